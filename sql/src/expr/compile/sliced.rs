//! Evaluation of a batch in slices, where the whole of it would need too much memory at once.

use arrow::array::{Array, ArrayRef, UInt32Array, new_null_array};
use arrow::compute::{concat, take};
use arrow::error::ArrowError;

use crate::expr::compile::batch_budget::BatchBudget;
use crate::expr::compile::frame::Evaluation;
use crate::expr::compile::node::NodeResult;
use crate::expr::compile::physical::Program;
use crate::functions::budget::{CUTS, bytes_of};
use crate::functions::call::Value;

/// Treatment of a row that does not fit into memory alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// It is reported and becomes NULL.
    FailRow,
    /// The evaluation fails, with a memory error.
    FailBatch,
}

/// Evaluates slice by slice; their size follows the memory that they need.
///
/// Errors: defects of the program; memory errors if the batch has several rows, or under [`Overflow::FailBatch`].
pub(crate) fn evaluate(
    program: &Program,
    columns: &[ArrayRef],
    rows: usize,
    batch: &BatchBudget,
    overflow: Overflow,
) -> NodeResult {
    let budget = batch.budget();
    let before = budget.used();
    let mut parts: Vec<ArrayRef> = Vec::new();
    let mut start = 0;
    let mut size = (rows / CUTS).max(1);
    while start < rows {
        let count = size.min(rows - start);
        let held = budget.used();
        budget.reset_peak();
        let evaluation = Evaluation::new(&program.context, batch);
        let array = match program.attempt(cut(columns, start, count)?, count, &evaluation) {
            Ok(value) => value.to_array(count, budget).ok(),
            Err(ArrowError::MemoryError(_)) => None,
            Err(defect) => return Err(defect),
        };
        budget.restore(held);
        // Otherwise the values of other rows take the rest.
        let is_alone = array.is_none() && held == before;
        let kept = array.filter(|array| budget.charge(bytes_of(array.as_ref(), 0, count)).is_ok());
        let Some(array) = kept else {
            budget.restore(held);
            if count > 1 {
                size = (count / CUTS).max(1);
                continue;
            }
            if batch.rows() == 1 && overflow == Overflow::FailRow {
                batch.hold_back(&program.context.reporter, 0, batch.row_message())?;
                return Ok(Value::column(new_null_array(&program.result.to_arrow(), 1)));
            }
            let message = if is_alone { batch.row_message() } else { batch_message(batch) };
            return Err(ArrowError::MemoryError(message));
        };
        evaluation.flush(start)?;
        parts.push(array);
        start += count;
        if budget.is_slack(held) {
            size = (size * 2).min(rows);
        }
    }
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    Ok(Value::column(concat(&parts)?))
}

fn batch_message(batch: &BatchBudget) -> String {
    let (rows, bytes_max) = (batch.rows(), batch.budget().bytes_max());
    format!("the values of this expression for {rows} rows need more than {bytes_max} bytes")
}

/// Some rows of all columns. Nested columns are copied, so that no kernel meets elements of other rows.
fn cut(columns: &[ArrayRef], start: usize, count: usize) -> Result<Vec<ArrayRef>, ArrowError> {
    let one = |column: &ArrayRef| {
        if !column.data_type().is_nested() {
            return Ok(column.slice(start, count));
        }
        let indices = (start as u32..(start + count) as u32).collect::<UInt32Array>();
        take(column, &indices, None)
    };
    columns.iter().map(one).collect()
}
