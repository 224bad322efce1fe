//! Rows of a result as records of its topic.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::buffer::BooleanBuffer;
use weir_sql::plan::physical::SinkStep;

use crate::batch::RowBatch;
use crate::error::{EngineError, Result};
use crate::operator::BuildContext;
use crate::processing_log::{ProcessingError, StepReporter};
use crate::serde::encoded::EncodedRows;
use crate::serde::error::EncodeError;
use crate::serde::windowed_key::bounds_bytes;
use crate::serde::{RowEncoder, key_encoder, value_encoder};
use crate::topology::emit::EncodedRecords;
use crate::topology::timestamp::{AbsentRows, TimestampExtractor};

/// Encodes rows for a topic.
#[derive(Debug)]
pub struct SinkWriter {
    topic: String,
    key: Box<dyn RowEncoder>,
    value: Box<dyn RowEncoder>,
    timestamp: Option<TimestampExtractor>,
    reporter: StepReporter,
    window_bytes: usize,
}

impl SinkWriter {
    pub fn new(step: &SinkStep, name: &str, build: &BuildContext) -> Result<SinkWriter> {
        let format = |reason: String| EngineError::Format { topic: step.topic.clone(), reason };
        let key = key_encoder(&step.key_format, &step.schema.key, step.window)
            .map_err(|e| format(e.to_string()))?;
        let value =
            value_encoder(&step.value_format, &step.schema.value).map_err(|e| format(e.to_string()))?;
        let timestamp = match &step.timestamp {
            Some(column) => {
                Some(TimestampExtractor::new(column, &step.schema, step.window.is_some(), name, build)?)
            }
            None => None,
        };
        Ok(SinkWriter {
            topic: step.topic.clone(),
            key,
            value,
            timestamp,
            reporter: build.reporter(name),
            window_bytes: step.window.map_or(0, |w| bounds_bytes(w.kind)),
        })
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The rows with their timestamps from the topic's timestamp column, if it has one. Rows that the formats cannot express are
    /// reported and left out.
    pub fn write(&mut self, batch: RowBatch) -> Result<EncodedRecords> {
        let batch = match &self.timestamp {
            Some(extractor) => extractor.apply(batch, AbsentRows::KeepTheirTime)?,
            None => batch,
        };
        let records = self.encode(batch);
        if records.1.is_empty() {
            return Ok(records.0);
        }
        let failed = records.1;
        let keep = BooleanBuffer::collect_bool(records.0.batch.len(), |i| !failed.contains(&i));
        let kept = records.0.batch.filter(&keep)?;
        Ok(self.encode(kept).0)
    }

    fn encode(&mut self, batch: RowBatch) -> (EncodedRecords, Vec<usize>) {
        let rows = batch.len();
        let (mut keys, mut values) = (EncodedRows::new(), EncodedRows::new());
        let mut key_columns: Vec<ArrayRef> = batch.key.clone();
        if let Some(window) = &batch.window {
            key_columns.push(Arc::new(Int64Array::new(window.start.clone(), None)));
            key_columns.push(Arc::new(Int64Array::new(window.end.clone(), None)));
        }
        let key_present = batch.null_key.as_ref().map(|n| !n);
        let key_errors = self.key.encode(&key_columns, rows, key_present.as_ref(), &mut keys);
        let value_present = batch.absent.as_ref().map(|a| !a);
        let value_errors = self.value.encode(&batch.value, rows, value_present.as_ref(), &mut values);
        self.report(&key_errors, true);
        self.report(&value_errors, false);
        let failed = key_errors.iter().chain(&value_errors).map(|e| e.row).collect();
        let window_bytes = self.window_bytes;
        (EncodedRecords { keys, values, window_bytes, partitions: None, batch }, failed)
    }

    fn report(&self, errors: &[EncodeError], is_key: bool) {
        for error in errors {
            self.reporter.log.report(
                &self.reporter.logger,
                ProcessingError::Serialization {
                    topic: self.topic.clone(),
                    is_key,
                    message: error.to_string(),
                },
            );
        }
    }
}
