//! Evaluation of a batch in slices, where the whole of it would need too much memory at once.

use arrow::array::{Array, ArrayRef, UInt32Array, new_null_array};
use arrow::compute::{concat, take};
use arrow::error::ArrowError;

use crate::expr::compile::frame::Evaluation;
use crate::expr::compile::node::NodeResult;
use crate::expr::compile::physical::Program;
use crate::functions::budget::{EVALUATION_BYTES_MAX, RESULT_BYTES_MAX, bytes_of};
use crate::functions::call::Value;

/// Treatment of rows that do not fit into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// They are reported and become NULL.
    FailRows,
    /// The evaluation fails, with a memory error.
    FailBatch,
}

/// A slice that needed too much memory is cut into this many.
const CUTS: usize = 8;

/// Evaluates slice by slice; their size follows the memory that they need.
///
/// Errors: defects of the program; memory errors under [`Overflow::FailBatch`].
pub(crate) fn evaluate(
    program: &Program,
    columns: &[ArrayRef],
    rows: usize,
    overflow: Overflow,
) -> NodeResult {
    let mut parts: Vec<ArrayRef> = Vec::new();
    let (mut start, mut kept_bytes) = (0, 0);
    let mut size = (rows / CUTS).max(1);
    while start < rows {
        let count = size.min(rows - start);
        let evaluation = Evaluation::new(&program.context);
        let array = match program.attempt(cut(columns, start, count)?, count, &evaluation) {
            Ok(value) => value.to_array(count, evaluation.budget()).ok(),
            Err(ArrowError::MemoryError(_)) => None,
            Err(defect) => return Err(defect),
        };
        let array = match array {
            Some(array) if kept_bytes + bytes_of(array.as_ref(), 0, count) <= RESULT_BYTES_MAX => array,
            _ if count > 1 => {
                size = (count / CUTS).max(1);
                continue;
            }
            fitting => {
                let (message, failed) = match fitting {
                    // The results of the rows before it leave no place.
                    Some(_) => (result_message(rows), rows - start),
                    None => (row_message(), 1),
                };
                if overflow == Overflow::FailBatch {
                    return Err(ArrowError::MemoryError(message));
                }
                (start..start + failed).for_each(|row| program.context.reporter.report(row, &message));
                parts.push(new_null_array(&program.result.to_arrow(), failed));
                start += failed;
                continue;
            }
        };
        evaluation.flush(start);
        kept_bytes += bytes_of(array.as_ref(), 0, count);
        parts.push(array);
        start += count;
        if evaluation.budget().peak() < EVALUATION_BYTES_MAX / CUTS {
            size = (size * 2).min(rows);
        }
    }
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    Ok(Value::column(concat(&parts)?))
}

fn row_message() -> String {
    format!("the row needs more than {EVALUATION_BYTES_MAX} bytes of memory to be computed")
}

fn result_message(rows: usize) -> String {
    format!("the values of this expression for {rows} rows need more than {RESULT_BYTES_MAX} bytes")
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
