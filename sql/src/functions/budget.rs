//! Bounds of the memory that evaluating an expression takes.
//!
//! The output of functions is charged to the [`Budget`] of the batch while it is built. An evaluation that needs more
//! fails with [`ArrowError::MemoryError`] and is repeated on fewer rows at a time (`expr::compile::sliced`); if the values
//! of all rows are too much, the batch is cut (`expr::compile::batch_budget`).

use std::cell::Cell;

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

/// Bytes that one step may hold for a batch of several rows.
pub(crate) const BATCH_BYTES_MAX: usize = 64 << 20;

/// Bytes that one step may hold for one row, and an expression of a pull query for one batch.
pub(crate) const ROW_BYTES_MAX: usize = 256 << 20;

/// A batch that needed too much memory is cut into this many.
pub(crate) const CUTS: usize = 8;

/// Bytes of one value that a function makes.
pub(crate) const VALUE_BYTES_MAX: usize = 64 << 20;

/// Counts the bytes that are held.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: usize,
    used: Cell<usize>,
    peak: Cell<usize>,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Budget {
        Budget { bytes_max, used: Cell::new(0), peak: Cell::new(0) }
    }

    /// Errors: a memory error, from the charge on that exceeds the budget.
    pub(crate) fn charge(&self, bytes: usize) -> Result<(), ArrowError> {
        let used = self.used.get().saturating_add(bytes);
        self.used.set(used);
        self.peak.set(self.peak.get().max(used));
        if used <= self.bytes_max {
            return Ok(());
        }
        Err(ArrowError::MemoryError(format!("the rows need more than {} bytes", self.bytes_max)))
    }

    pub(crate) fn used(&self) -> usize {
        self.used.get()
    }

    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Begins to look at the most that is in use at once.
    pub(crate) fn reset_peak(&self) {
        self.peak.set(self.used.get());
    }

    /// True if what was used at most, beside `held` bytes, is so little that more rows at a time would fit.
    pub(crate) fn is_slack(&self, held: usize) -> bool {
        self.peak.get().saturating_sub(held) < self.bytes_max.saturating_sub(held) / CUTS
    }

    /// Gives back what was charged since [`Budget::used`] gave `used`.
    pub(crate) fn restore(&self, used: usize) {
        self.used.set(used);
    }
}

/// Errors: a value of so many bytes is too long to be made.
pub(crate) fn check_value(bytes: usize) -> Result<(), String> {
    if bytes <= VALUE_BYTES_MAX {
        return Ok(());
    }
    Err(format!("the result of {bytes} bytes is too long, {VALUE_BYTES_MAX} are the limit"))
}

/// The bytes of some rows of an array, those of nested values included.
pub(crate) fn bytes_of(array: &dyn Array, from: usize, rows: usize) -> usize {
    const OFFSET_BYTES: usize = 4;
    let span = |offsets: &[i32]| (offsets[from] as usize, (offsets[from + rows] - offsets[from]) as usize);
    match array.data_type() {
        DataType::Utf8 => span(array.as_string::<i32>().value_offsets()).1 + rows * OFFSET_BYTES,
        DataType::Binary => span(array.as_binary::<i32>().value_offsets()).1 + rows * OFFSET_BYTES,
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (first, count) = span(list.value_offsets());
            bytes_of(list.values().as_ref(), first, count) + rows * OFFSET_BYTES
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let (first, count) = span(map.value_offsets());
            bytes_of(map.entries(), first, count) + rows * OFFSET_BYTES
        }
        DataType::Struct(_) => {
            array.as_struct().columns().iter().map(|column| bytes_of(column.as_ref(), from, rows)).sum()
        }
        other => other.primitive_width().unwrap_or(1) * rows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::SqlType;
    use crate::value::SqlValue;
    use crate::value::convert::to_array;

    #[test]
    fn bytes_of_counts_the_rows_asked_for() {
        let text = |s: &str| SqlValue::String(s.to_owned());
        let lists = [
            SqlValue::Array(vec![text("abc"), text("d")]),
            SqlValue::Null,
            SqlValue::Array(vec![text("efghij")]),
        ];
        let array = to_array(&SqlType::array(SqlType::String), lists.iter());
        assert_eq!(bytes_of(array.as_ref(), 0, 1), 4 + (3 + 1 + 2 * 4));
        assert_eq!(bytes_of(array.as_ref(), 1, 1), 4);
        assert_eq!(bytes_of(array.as_ref(), 1, 2), 2 * 4 + (6 + 4));
        assert_eq!(bytes_of(array.slice(2, 1).as_ref(), 0, 1), 4 + (6 + 4));
    }

    #[test]
    fn a_budget_stays_exceeded_until_it_is_restored() {
        let budget = Budget::new(10);
        let before = budget.used();
        assert!(budget.charge(10).is_ok());
        assert!(budget.charge(1).is_err());
        assert!(budget.charge(usize::MAX).is_err());
        budget.restore(before);
        assert!(budget.charge(10).is_ok());
        assert_eq!(budget.used(), 10);
    }

    #[test]
    fn a_budget_is_slack_while_little_of_what_is_left_is_used() {
        let budget = Budget::new(100);
        assert!(budget.charge(60).is_ok());
        assert!(!budget.is_slack(0));
        budget.reset_peak();
        assert!(budget.is_slack(60));
        assert!(budget.charge(4).is_ok());
        assert!(budget.is_slack(60));
        assert!(budget.charge(2).is_ok());
        budget.restore(60);
        assert!(!budget.is_slack(60), "what was given back counts");
    }
}
