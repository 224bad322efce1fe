//! Table functions: one row in, any number of rows out.

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use weir_sql::functions::table::TableKernel;
use weir_sql::types::SqlType;

use crate::batch::{RowBatch, take_columns};
use crate::error::Result;
use crate::operator::evaluator::Evaluator;
use crate::operator::{Operator, OperatorContext, Output};
use crate::processing_log::StepReporter;

/// One call of a table function.
#[derive(Debug)]
pub struct TableCall {
    pub kernel: TableKernel,
    pub arguments: Evaluator,
    /// Type of one emitted row.
    pub return_type: SqlType,
}

/// Zips the results of its calls: shorter ones are padded with NULL.
#[derive(Debug)]
pub struct FlatMapOperator {
    pub calls: Vec<TableCall>,
    pub reporter: StepReporter,
}

impl Operator for FlatMapOperator {
    fn process(
        &mut self,
        _port: usize,
        batch: RowBatch,
        _context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<()> {
        let present = match &batch.absent {
            Some(absent) => batch.clone().filter(&!absent)?,
            None => batch,
        };
        let mut lists = Vec::with_capacity(self.calls.len());
        for call in &self.calls {
            let (lists_of_call, errors) =
                (call.kernel)(&call.arguments.evaluate(&present)?, &call.return_type);
            errors.iter().for_each(|e| self.reporter.record_error(e.message.as_str()));
            lists.push(lists_of_call);
        }
        let (rows, positions) = expansion(&lists, present.len());
        let mut expanded = present.take(&rows)?;
        for (list, positions) in lists.iter().zip(positions) {
            let elements = list.as_list::<i32>().values().clone();
            expanded.value.extend(take_columns(&[elements], &positions)?);
        }
        out.emit(expanded);
        Ok(())
    }
}

/// Which input row each emitted row repeats, and for each call which of its elements goes there.
fn expansion(lists: &[ArrayRef], rows: usize) -> (Vec<u32>, Vec<UInt32Array>) {
    let lists: Vec<_> = lists.iter().map(|l| l.as_list::<i32>()).collect();
    let length = |list: &arrow::array::ListArray, row: usize| {
        if list.is_null(row) { 0 } else { list.value_length(row) as usize }
    };
    let mut repeats = Vec::new();
    let mut positions: Vec<Vec<Option<u32>>> = vec![Vec::new(); lists.len()];
    for row in 0..rows {
        let longest = lists.iter().map(|l| length(l, row)).max().unwrap_or(0);
        repeats.extend(std::iter::repeat_n(row as u32, longest));
        for (list, positions) in lists.iter().zip(&mut positions) {
            let start = list.value_offsets()[row] as u32;
            let given = length(list, row);
            positions.extend((0..longest).map(|i| (i < given).then(|| start + i as u32)));
        }
    }
    (repeats, positions.into_iter().map(UInt32Array::from).collect())
}
