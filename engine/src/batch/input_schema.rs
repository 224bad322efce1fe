//! Batches as expressions see them: columns by name, system columns included.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use weir_sql::schema::{LogicalSchema, ROWOFFSET, ROWPARTITION, ROWTIME, WINDOWEND, WINDOWSTART};

use crate::batch::RowBatch;
use crate::error::Result;

/// Names and types that the expressions of a step may read.
///
/// Shape: the columns of the step's input in order, then ROWTIME, then WINDOWSTART and WINDOWEND if keys are windowed, then
/// ROWPARTITION and ROWOFFSET if rows are still those of a source.
#[derive(Clone, Debug)]
pub struct InputSchema {
    arrow: SchemaRef,
    windowed: bool,
    origin: bool,
}

impl InputSchema {
    pub fn new(schema: &LogicalSchema, windowed: bool, origin: bool) -> InputSchema {
        let mut fields: Vec<Field> =
            schema.columns().map(|c| Field::new(&c.name, c.sql_type.to_arrow(), true)).collect();
        fields.push(Field::new(ROWTIME, DataType::Int64, true));
        if windowed {
            fields.push(Field::new(WINDOWSTART, DataType::Int64, true));
            fields.push(Field::new(WINDOWEND, DataType::Int64, true));
        }
        if origin {
            fields.push(Field::new(ROWPARTITION, DataType::Int32, true));
            fields.push(Field::new(ROWOFFSET, DataType::Int64, true));
        }
        InputSchema { arrow: Arc::new(Schema::new(fields)), windowed, origin }
    }

    pub fn arrow(&self) -> &SchemaRef {
        &self.arrow
    }

    /// The batch with `value` in place of its own value columns (the old values of a table, say).
    pub fn record_batch(&self, batch: &RowBatch, value: &[ArrayRef]) -> Result<RecordBatch> {
        let rows = batch.len();
        let mut columns: Vec<ArrayRef> = batch.key.iter().chain(value).cloned().collect();
        columns.push(Arc::new(Int64Array::new(batch.rowtime.clone(), None)));
        if self.windowed {
            let (start, end): (ArrayRef, ArrayRef) = match &batch.window {
                Some(w) => (
                    Arc::new(Int64Array::new(w.start.clone(), None)),
                    Arc::new(Int64Array::new(w.end.clone(), None)),
                ),
                None => (Arc::new(Int64Array::new_null(rows)), Arc::new(Int64Array::new_null(rows))),
            };
            columns.push(start);
            columns.push(end);
        }
        if self.origin {
            let (partition, offset): (ArrayRef, ArrayRef) = match &batch.origin {
                Some(o) => (
                    Arc::new(Int32Array::new(o.partition.clone(), None)),
                    Arc::new(Int64Array::new(o.offset.clone(), None)),
                ),
                None => (Arc::new(Int32Array::new_null(rows)), Arc::new(Int64Array::new_null(rows))),
            };
            columns.push(partition);
            columns.push(offset);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.arrow.clone(), columns, &options)?)
    }
}
