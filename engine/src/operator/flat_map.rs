//! Table functions: one row in, any number of rows out.

use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt32Array};
use weir_sql::expr::compile::batch_budget::rows_bytes;
use weir_sql::functions::table::TableKernel;
use weir_sql::types::SqlType;

use crate::batch::{RowBatch, take_columns};
use crate::error::Result;
use crate::operator::evaluator::Evaluator;
use crate::operator::pieces::PieceLimit;
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
    calls: Vec<TableCall>,
    reporter: StepReporter,
    expansion: Option<Expansion>,
    /// Rows that a row of the last batch became, on average.
    rows_per_row: usize,
}

/// Rows that are being expanded. Shape: each list has one entry per row.
#[derive(Debug)]
struct Expansion {
    batch: RowBatch,
    lists: Vec<ListArray>,
    /// The next row to expand, and how many of its elements were.
    row: usize,
    element: usize,
}

/// A part of an expansion. Shape: emitted row `i` repeats row `rows[i]`, with element `positions[c][i]` of call `c`.
struct Piece {
    rows: Vec<u32>,
    positions: Vec<Vec<Option<u32>>>,
}

impl FlatMapOperator {
    pub fn new(calls: Vec<TableCall>, reporter: StepReporter) -> FlatMapOperator {
        FlatMapOperator { calls, reporter, expansion: None, rows_per_row: 1 }
    }

    fn emit_piece(&mut self, out: &mut Output) -> Result<bool> {
        let Some(mut expansion) = self.expansion.take() else { return Ok(false) };
        let Piece { rows, positions } = expansion.next_piece();
        let mut expanded = expansion.batch.take(&rows)?;
        for (list, positions) in expansion.lists.iter().zip(positions) {
            expanded.value.extend(take_columns(&[list.values().clone()], &UInt32Array::from(positions))?);
        }
        out.emit(expanded);
        self.expansion = (expansion.row < expansion.batch.len()).then_some(expansion);
        Ok(true)
    }
}

impl Expansion {
    /// Rows that a row becomes.
    fn length(&self, row: usize) -> usize {
        self.lists.iter().map(|list| list_length(list, row)).max().unwrap_or(0)
    }

    fn next_piece(&mut self) -> Piece {
        let mut piece = Piece { rows: Vec::new(), positions: vec![Vec::new(); self.lists.len()] };
        // Bytes are those of the columns that emitted rows repeat.
        let PieceLimit { rows_max, bytes_max: mut bytes_left } = PieceLimit::default();
        while self.row < self.batch.len() && piece.rows.len() < rows_max && bytes_left > 0 {
            let length = self.length(self.row);
            let row_bytes = match length - self.element {
                0 | 1 => 0,
                _ => row_bytes(&self.batch, self.row),
            };
            let fitting = (bytes_left / row_bytes.max(1)).max(1);
            let end = length.min(self.element + fitting.min(rows_max - piece.rows.len()));
            piece.rows.extend(std::iter::repeat_n(self.row as u32, end - self.element));
            for (list, positions) in self.lists.iter().zip(&mut piece.positions) {
                let start = list.value_offsets()[self.row] as u32;
                let given = list_length(list, self.row);
                positions.extend((self.element..end).map(|i| (i < given).then(|| start + i as u32)));
            }
            bytes_left = bytes_left.saturating_sub((end - self.element).saturating_mul(row_bytes));
            self.element = end;
            if end == length {
                (self.row, self.element) = (self.row + 1, 0);
            }
        }
        piece
    }
}

fn list_length(list: &ListArray, row: usize) -> usize {
    if list.is_null(row) { 0 } else { list.value_length(row) as usize }
}

/// Bytes of one row in its columns.
fn row_bytes(batch: &RowBatch, row: usize) -> usize {
    batch.key.iter().chain(&batch.value).map(|column| rows_bytes(column, row, 1)).sum()
}

impl Operator for FlatMapOperator {
    fn rows_per_row(&self) -> usize {
        self.rows_per_row
    }

    fn process(
        &mut self,
        _port: usize,
        batch: RowBatch,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<()> {
        let present = match &batch.absent {
            Some(absent) => batch.clone().filter(&!absent)?,
            None => batch,
        };
        let mut lists: Vec<ListArray> = Vec::with_capacity(self.calls.len());
        let mut errors = Vec::new();
        for call in &self.calls {
            let arguments = call.arguments.evaluate(&present, context.budget)?;
            let (lists_of_call, errors_of_call): (ArrayRef, _) =
                (call.kernel)(&arguments, &call.return_type, context.budget)?;
            errors.extend(errors_of_call);
            lists.push(lists_of_call.as_list::<i32>().clone());
        }
        errors.iter().for_each(|e| self.reporter.row_error(e.message.as_str(), &present, e.row));
        let expansion = Expansion { batch: present, lists, row: 0, element: 0 };
        let rows = expansion.batch.len();
        let expanded: usize = (0..rows).map(|row| expansion.length(row)).sum();
        self.rows_per_row = expanded.checked_div(rows).unwrap_or(1).max(1);
        self.expansion = Some(expansion);
        self.emit_piece(out)?;
        Ok(())
    }

    fn resume(&mut self, _context: &mut OperatorContext<'_>, out: &mut Output) -> Result<bool> {
        self.emit_piece(out)
    }
}
