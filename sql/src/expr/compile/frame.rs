//! The rows an expression is evaluated over.

use std::cell::RefCell;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array, make_array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::error::ArrowError;

use crate::expr::compile::CompileContext;
use crate::functions::call::{Environment, Value};

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
    context: &'a CompileContext,
}

impl<'a> Frame<'a> {
    pub(crate) fn new(columns: Vec<ArrayRef>, rows: usize, context: &'a CompileContext) -> Frame<'a> {
        Frame { columns, rows, origin: None, raised: RefCell::new(None), context }
    }

    /// Some of the rows. Only the `used` columns are carried over.
    pub(crate) fn select(&self, rows: &[u32], used: &[usize]) -> Result<Frame<'a>, ArrowError> {
        let indices = UInt32Array::from(rows.to_vec());
        let mut columns = self.columns.clone();
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
                columns.push(take(&self.columns[column], &indices, None)?);
            }
        }
        columns.extend(parameters);
        Ok(self.derived(columns, rows))
    }

    fn derived(&self, columns: Vec<ArrayRef>, rows: &[u32]) -> Frame<'a> {
        let origin = Some(self.origins(rows));
        Frame { columns, rows: rows.len(), origin, raised: RefCell::new(None), context: self.context }
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
                let array = value.to_array(self.rows)?;
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
        self.context.reporter.report(row, message);
    }

    fn now_ms(&self) -> i64 {
        (self.context.now_ms)()
    }

    fn random(&self) -> u64 {
        (self.context.random)()
    }
}
