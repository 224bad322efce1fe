//! The windows of windowed keys.

use arrow::buffer::ScalarBuffer;

use crate::batch::take_values;

/// Start and end of the window of each row. Units: ms since epoch. Ends are exclusive for time windows and inclusive for sessions.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowColumns {
    pub start: ScalarBuffer<i64>,
    pub end: ScalarBuffer<i64>,
}

impl WindowColumns {
    pub fn slice(&self, offset: usize, length: usize) -> WindowColumns {
        WindowColumns { start: self.start.slice(offset, length), end: self.end.slice(offset, length) }
    }

    pub fn take(&self, indices: &[u32]) -> WindowColumns {
        WindowColumns { start: take_values(&self.start, indices), end: take_values(&self.end, indices) }
    }

    /// None if there is none to concatenate.
    pub fn concat<'a>(parts: impl Iterator<Item = &'a WindowColumns> + Clone) -> Option<WindowColumns> {
        parts.clone().next()?;
        Some(WindowColumns {
            start: parts.clone().flat_map(|w| w.start.iter().copied()).collect(),
            end: parts.flat_map(|w| w.end.iter().copied()).collect(),
        })
    }
}
