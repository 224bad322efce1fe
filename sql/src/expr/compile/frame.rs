//! The rows an expression is evaluated over.

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::error::ArrowError;

use crate::expr::compile::CompileContext;
use crate::functions::call::Environment;

/// A batch of rows by column index. Only the columns an expression reads need to have `rows` rows.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) columns: Vec<ArrayRef>,
    pub(crate) rows: usize,
    /// The row of the batch that each row of this frame belongs to; None if they are the same.
    origin: Option<Vec<u32>>,
    context: &'a CompileContext,
}

impl<'a> Frame<'a> {
    pub(crate) fn new(columns: Vec<ArrayRef>, rows: usize, context: &'a CompileContext) -> Frame<'a> {
        Frame { columns, rows, origin: None, context }
    }

    /// Some of the rows. Only the `used` columns are carried over.
    pub(crate) fn select(&self, rows: &[u32], used: &[usize]) -> Result<Frame<'a>, ArrowError> {
        let indices = UInt32Array::from(rows.to_vec());
        let mut columns = self.columns.clone();
        for &column in used {
            columns[column] = take(&self.columns[column], &indices, None)?;
        }
        Ok(Frame { columns, rows: rows.len(), origin: Some(self.origins(rows)), context: self.context })
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
        Ok(Frame { columns, rows: rows.len(), origin: Some(self.origins(rows)), context: self.context })
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
