//! The windows of windowed keys.

use arrow::buffer::ScalarBuffer;

use crate::batch::take_values;

/// Start and end of the window of each row. Units: ms since epoch. Ends are exclusive for time windows and inclusive for sessions.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowColumns {
    pub start: ScalarBuffer<i64>,
    pub end: ScalarBuffer<i64>,
    pub kind: WindowEnds,
}

/// What the end of a window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowEnds {
    /// It follows from the start: windows of equal start are equal.
    Fixed,
    /// Sessions: it is part of the window's identity.
    OfSession,
}

impl WindowColumns {
    pub fn slice(&self, offset: usize, length: usize) -> WindowColumns {
        WindowColumns {
            start: self.start.slice(offset, length),
            end: self.end.slice(offset, length),
            kind: self.kind,
        }
    }

    pub fn take(&self, indices: &[u32]) -> WindowColumns {
        WindowColumns {
            start: take_values(&self.start, indices),
            end: take_values(&self.end, indices),
            kind: self.kind,
        }
    }

    /// None if there is none to concatenate.
    pub fn concat<'a>(parts: impl Iterator<Item = &'a WindowColumns> + Clone) -> Option<WindowColumns> {
        let kind = parts.clone().next()?.kind;
        Some(WindowColumns {
            start: parts.clone().flat_map(|w| w.start.iter().copied()).collect(),
            end: parts.flat_map(|w| w.end.iter().copied()).collect(),
            kind,
        })
    }
}
