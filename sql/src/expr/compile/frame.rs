//! The rows an expression is evaluated over.

use std::cell::RefCell;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array, make_array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::error::ArrowError;

use crate::expr::compile::CompileContext;
use crate::expr::compile::batch_budget::BatchBudget;
use crate::functions::budget::{Budget, bytes_of};
use crate::functions::call::{Environment, Value};

/// Reports that one evaluation keeps.
const REPORTS_MAX: usize = 1 << 16;

/// Characters that are kept of a message.
const MESSAGE_CHARS_MAX: usize = 1_000;

/// One evaluation of a program over a batch or a slice of it, and the rows that failed so far. Reports are held back,
/// since an evaluation that exceeds the budget is repeated on fewer rows.
#[derive(Debug)]
pub(crate) struct Evaluation<'a> {
    context: &'a CompileContext,
    batch: &'a BatchBudget,
    reports: RefCell<Vec<(usize, String)>>,
}

impl<'a> Evaluation<'a> {
    pub(crate) fn new(context: &'a CompileContext, batch: &'a BatchBudget) -> Evaluation<'a> {
        Evaluation { context, batch, reports: RefCell::default() }
    }

    pub(crate) fn budget(&self) -> &Budget {
        self.batch.budget()
    }

    fn report(&self, row: usize, message: &str) {
        let mut reports = self.reports.borrow_mut();
        if reports.len() < REPORTS_MAX {
            let end = message.char_indices().nth(MESSAGE_CHARS_MAX).map_or(message.len(), |(at, _)| at);
            reports.push((row, message[..end].to_owned()));
        }
    }

    /// Hands the reports to the batch. Row 0 of the evaluation is row `first` of the batch.
    ///
    /// Errors: a memory error, as [`BatchBudget::hold_back`].
    pub(crate) fn flush(&self, first: usize) -> Result<(), ArrowError> {
        let mut reports = self.reports.take().into_iter();
        reports
            .try_for_each(|(row, message)| self.batch.hold_back(&self.context.reporter, first + row, message))
    }
}

/// A batch of rows by column index. Only the columns an expression reads need to have `rows` rows.
///
/// A row whose value cannot be computed is *raised*: everything above is void for it, up to the next place that makes it
/// NULL (see [`Frame::caught`]): an argument of a function, an element of a constructor, a CAST, the whole expression.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) columns: Vec<ArrayRef>,
    pub(crate) rows: usize,
    /// The row of the batch that each row of this frame belongs to; None if they are the same.
    origin: Option<Vec<u32>>,
    raised: RefCell<Option<Vec<bool>>>,
    evaluation: &'a Evaluation<'a>,
}

impl<'a> Frame<'a> {
    pub(crate) fn new(columns: Vec<ArrayRef>, rows: usize, evaluation: &'a Evaluation<'a>) -> Frame<'a> {
        Frame { columns, rows, origin: None, raised: RefCell::new(None), evaluation }
    }

    /// Some of the rows. Only the `used` columns are carried over.
    pub(crate) fn select(&self, rows: &[u32], used: &[usize]) -> Result<Frame<'a>, ArrowError> {
        let indices = UInt32Array::from(rows.to_vec());
        let mut columns = self.columns.clone();
        let whole: usize = used.iter().map(|c| bytes_of(self.columns[*c].as_ref(), 0, self.rows)).sum();
        self.budget().charge(whole / self.rows.max(1) * rows.len())?;
        for &column in used {
            columns[column] = take(&self.columns[column], &indices, None)?;
        }
        Ok(self.derived(columns, rows))
    }

    /// A frame of elements, element `i` belonging to row `rows[i]`. Its columns are the `captured` ones of this frame,
    /// repeated per element, then `parameters`.
    pub(crate) fn elements(
        &self,
        rows: &[u32],
        captured: &[usize],
        parameters: Vec<ArrayRef>,
    ) -> Result<Frame<'a>, ArrowError> {
        let mut columns = Vec::with_capacity(captured.len() + parameters.len());
        if !captured.is_empty() {
            let indices = UInt32Array::from(rows.to_vec());
            for &column in captured {
                self.budget().charge(repeated_bytes(&self.columns[column], rows))?;
                columns.push(take(&self.columns[column], &indices, None)?);
            }
        }
        columns.extend(parameters);
        Ok(self.derived(columns, rows))
    }

    fn derived(&self, columns: Vec<ArrayRef>, rows: &[u32]) -> Frame<'a> {
        let origin = Some(self.origins(rows));
        Frame { columns, rows: rows.len(), origin, raised: RefCell::new(None), evaluation: self.evaluation }
    }

    /// Raises a row, without a report.
    pub(crate) fn raise(&self, row: usize) {
        self.raised.borrow_mut().get_or_insert_with(|| vec![false; self.rows])[row] = true;
    }

    /// Raises the rows that were raised in a frame made of this one; its row `i` is `rows[i]` here.
    pub(crate) fn absorb(&self, part: &Frame<'_>, rows: &[u32]) {
        if let Some(raised) = part.raised.borrow().as_ref() {
            rows.iter()
                .zip(raised)
                .filter(|(_, raised)| **raised)
                .for_each(|(row, _)| self.raise(*row as usize));
        }
    }

    /// Evaluates something whose raised rows become NULL and are raised no more.
    pub(crate) fn caught(
        &self,
        evaluate: impl FnOnce() -> Result<Value, ArrowError>,
    ) -> Result<Value, ArrowError> {
        let before = self.raised.take();
        let value = evaluate()?;
        match self.raised.replace(before) {
            None => Ok(value),
            Some(raised) => {
                let array = value.to_array(self.rows, self.budget())?;
                let kept: NullBuffer = raised.iter().map(|raised| !raised).collect();
                let nulls = NullBuffer::union(array.nulls(), Some(&kept));
                Ok(Value::column(make_array(array.to_data().into_builder().nulls(nulls).build()?)))
            }
        }
    }

    fn origins(&self, rows: &[u32]) -> Vec<u32> {
        match &self.origin {
            None => rows.to_vec(),
            Some(origin) => rows.iter().map(|row| origin[*row as usize]).collect(),
        }
    }

    pub(crate) fn column(&self, index: usize) -> ArrayRef {
        Arc::clone(&self.columns[index])
    }
}

impl Environment for Frame<'_> {
    fn fail(&self, row: usize, message: &str) {
        self.raise(row);
        let row = match &self.origin {
            None => row,
            Some(origin) => origin[row] as usize,
        };
        self.evaluation.report(row, message);
    }

    fn now_ms(&self) -> i64 {
        (self.evaluation.context.now_ms)()
    }

    fn random(&self) -> u64 {
        (self.evaluation.context.random)()
    }

    fn budget(&self) -> &Budget {
        self.evaluation.budget()
    }
}

/// The bytes of a column whose rows are repeated once per element. Elements of one row stand together.
fn repeated_bytes(column: &ArrayRef, rows: &[u32]) -> usize {
    let runs = rows.chunk_by(|a, b| a == b);
    runs.map(|run| bytes_of(column.as_ref(), run[0] as usize, 1).saturating_mul(run.len()))
        .fold(0, usize::saturating_add)
}
