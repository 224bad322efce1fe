//! What the expressions of one step share while they compute one batch of rows.

use std::cell::RefCell;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::error::ArrowError;

use crate::expr::compile::ErrorReporter;
use crate::functions::budget::{BATCH_BYTES_MAX, Budget, ROW_BYTES_MAX, bytes_of};

/// Bytes of a report besides its message, about.
const REPORT_BYTES: usize = 64;

/// The memory that a step may take for one batch, and the rows that failed in it so far.
///
/// Every expression of the step, and what the step makes of their values, is charged to one budget, which goes with the
/// batch. Several rows that exceed it are computed in smaller batches; a row that exceeds it alone fails, and may take more
/// for that than a batch of several. So whether a row fails depends on that row only, not on how its input was cut.
///
/// Reports are held back until [`BatchBudget::report`], since a batch that is cut is computed again.
#[derive(Debug)]
pub struct BatchBudget {
    rows: usize,
    budget: Budget,
    reports: RefCell<Vec<Report>>,
}

#[derive(Debug)]
struct Report {
    reporter: Arc<dyn ErrorReporter>,
    row: usize,
    message: String,
}

impl BatchBudget {
    /// For one step over a batch of `rows` rows.
    pub fn for_rows(rows: usize) -> BatchBudget {
        BatchBudget::new(rows, if rows > 1 { BATCH_BYTES_MAX } else { ROW_BYTES_MAX })
    }

    /// For expressions whose values are small whatever the rows hold.
    pub fn unbounded(rows: usize) -> BatchBudget {
        BatchBudget::new(rows, usize::MAX)
    }

    /// For rows that are answered together and cannot be cut: more than a batch may take, and then a failure.
    pub fn for_whole(rows: usize) -> BatchBudget {
        BatchBudget::new(rows, ROW_BYTES_MAX)
    }

    fn new(rows: usize, bytes_max: usize) -> BatchBudget {
        BatchBudget { rows, budget: Budget::new(bytes_max), reports: RefCell::default() }
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Rows of the batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Counts bytes that the step holds until the batch is done.
    ///
    /// Errors: [`ArrowError::MemoryError`] if that is too much. Several rows are then to be computed in smaller batches.
    pub fn charge(&self, bytes: usize) -> Result<(), ArrowError> {
        self.budget.charge(bytes)
    }

    /// As [`BatchBudget::charge`], for something that a row can do without: what was charged is given back if it is too much.
    pub fn try_charge(&self, bytes: usize) -> Result<(), ArrowError> {
        let before = self.budget.used();
        self.budget.charge(bytes).inspect_err(|_| self.budget.restore(before))
    }

    /// True if a batch of twice as many such rows would fit easily.
    pub fn is_slack(&self) -> bool {
        self.budget.is_slack(0)
    }

    /// Why a row alone has no value.
    pub fn row_message(&self) -> String {
        format!("the row needs more than {} bytes of memory to be computed", self.budget.bytes_max())
    }

    /// Holds a report back.
    ///
    /// Errors: a memory error if the reports of several rows take too much.
    pub(crate) fn hold_back(
        &self,
        reporter: &Arc<dyn ErrorReporter>,
        row: usize,
        message: String,
    ) -> Result<(), ArrowError> {
        let charged = self.budget.charge(message.len() + REPORT_BYTES);
        if self.rows > 1 {
            charged?;
        }
        self.reports.borrow_mut().push(Report { reporter: Arc::clone(reporter), row, message });
        Ok(())
    }

    /// Hands over the reports: the batch is computed.
    pub fn report(self) {
        for Report { reporter, row, message } in self.reports.into_inner() {
            reporter.report(row, &message);
        }
    }
}

/// The bytes of the values of a column.
pub fn column_bytes(column: &ArrayRef) -> usize {
    bytes_of(column.as_ref(), 0, column.len())
}

/// The bytes of the values of some rows of a column.
pub fn rows_bytes(column: &ArrayRef, from: usize, rows: usize) -> usize {
    bytes_of(column.as_ref(), from, rows)
}
