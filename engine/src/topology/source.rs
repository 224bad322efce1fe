//! Records of a topic as rows of a stream or table.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryBuilder, ListArray, StringBuilder, StructArray, new_null_array};
use arrow::buffer::{BooleanBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Int64Type};
use weir_sql::plan::physical::{ResultKind, SourceStep};
use weir_sql::schema::{HeaderColumn, LogicalSchema};
use weir_sql::window::{WindowInfo, WindowKind};

use crate::batch::windows::{WindowColumns, WindowEnds};
use crate::batch::{Origin, RecordHeaders, RowBatch, some_bits};
use crate::error::{EngineError, Result};
use crate::operator::BuildContext;
use crate::processing_log::origin::{Processing, RecordOrigin};
use crate::processing_log::{ProcessingError, StepReporter};
use crate::serde::error::DecodeError;
use crate::serde::{Decoded, RowDecoder, key_decoder, value_decoder};
use crate::topology::records::RecordColumns;
use crate::topology::timestamp::{AbsentRows, TimestampExtractor};

/// Decodes the records of a source.
#[derive(Debug)]
pub struct SourceReader {
    kind: ResultKind,
    topic: String,
    schema: LogicalSchema,
    window_ends: Option<WindowEnds>,
    key: Box<dyn RowDecoder>,
    value: Box<dyn RowDecoder>,
    timestamp: Option<TimestampExtractor>,
    reporter: StepReporter,
    /// `ksql.fail.on.deserialization.error`
    fatal: bool,
}

impl SourceReader {
    pub fn new(step: &SourceStep, name: &str, build: &BuildContext) -> Result<SourceReader> {
        let format = |reason: String| EngineError::Format { topic: step.topic.clone(), reason };
        let key = key_decoder(&step.key_format, &step.schema.key, step.window)
            .map_err(|e| format(e.to_string()))?;
        let value =
            value_decoder(&step.value_format, &step.schema.value).map_err(|e| format(e.to_string()))?;
        let timestamp = match &step.timestamp {
            Some(column) => {
                Some(TimestampExtractor::new(column, &step.schema, step.window.is_some(), name, build)?)
            }
            None => None,
        };
        Ok(SourceReader {
            kind: step.kind,
            topic: step.topic.clone(),
            schema: step.schema.clone(),
            window_ends: step.window.map(window_ends),
            key,
            value,
            timestamp,
            reporter: build.reporter(name),
            fatal: build.settings.fail_on_unreadable_record,
        })
    }

    pub fn kind(&self) -> ResultKind {
        self.kind
    }

    /// The rows of the records that can be read. Records that cannot are reported and skipped; so are table rows without a
    /// key and rows without a valid timestamp.
    ///
    /// Errors: such a record, if it is to stop the query.
    pub fn read(&mut self, records: &RecordColumns<'_>) -> Result<RowBatch> {
        let keys = self.key.decode(&records.keys);
        let values = self.value.decode(&records.values);
        let mut skip = BTreeSet::new();
        self.report(&keys.errors, true, records, &mut skip);
        self.report(&values.errors, false, records, &mut skip);
        if self.fatal
            && let Some(error) = keys.errors.first().or(values.errors.first())
        {
            return Err(EngineError::Unreadable { topic: self.topic.clone(), reason: error.to_string() });
        }
        let batch = self.rows(records, keys, values)?;
        if self.kind == ResultKind::Table {
            let null_keys = batch.null_key.iter().flat_map(BooleanBuffer::set_indices);
            for row in null_keys {
                // Unreadable keys count as NULL, and have been reported.
                if skip.insert(row) {
                    let error = ProcessingError::RecordProcessing {
                        message: "a row of a table has no key: it is left out".to_owned(),
                        origin: Some(self.origin(records, row)),
                    };
                    self.reporter.log.report(&self.reporter.logger, error);
                }
            }
        }
        let keep = BooleanBuffer::collect_bool(batch.len(), |i| !skip.contains(&i));
        let batch = if skip.is_empty() { batch } else { batch.filter(&keep)? };
        let _processing = Processing::rows(&self.topic, &batch);
        match &self.timestamp {
            Some(extractor) => extractor.apply(
                batch,
                match self.kind {
                    ResultKind::Stream => AbsentRows::Invalid,
                    ResultKind::Table => AbsentRows::KeepTheirTime,
                },
            ),
            None => self.drop_negative_times(batch),
        }
    }

    fn drop_negative_times(&self, batch: RowBatch) -> Result<RowBatch> {
        if batch.rowtime.iter().all(|t| *t >= 0) {
            return Ok(batch);
        }
        let keep = BooleanBuffer::collect_bool(batch.len(), |i| batch.rowtime[i] >= 0);
        for row in (0..batch.len()).filter(|row| batch.rowtime[*row] < 0) {
            self.reporter.row_error("the record has a negative timestamp", &batch, row);
        }
        batch.filter(&keep)
    }

    fn report(
        &self,
        errors: &[DecodeError],
        is_key: bool,
        records: &RecordColumns<'_>,
        skip: &mut BTreeSet<usize>,
    ) {
        for error in errors {
            let bytes = if is_key { records.keys[error.row] } else { records.values[error.row] };
            self.reporter.log.report(
                &self.reporter.logger,
                ProcessingError::Deserialization {
                    origin: self.origin(records, error.row),
                    is_key,
                    message: error.to_string(),
                    record: bytes.map(<[u8]>::to_vec),
                },
            );
            skip.insert(error.row);
        }
    }

    fn origin(&self, records: &RecordColumns<'_>, row: usize) -> RecordOrigin {
        let offset = records.offsets[row];
        RecordOrigin {
            topic: self.topic.as_str().into(),
            partition: records.partition,
            first_offset: offset,
            last_offset: offset,
        }
    }

    fn rows(&self, records: &RecordColumns<'_>, keys: Decoded, values: Decoded) -> Result<RowBatch> {
        let rows = records.len();
        let mut key = keys.columns;
        let window = match self.window_ends {
            Some(kind) => {
                let bounds = key.split_off(self.schema.key.len());
                Some(WindowColumns { start: bigints(&bounds[0]), end: bigints(&bounds[1]), kind })
            }
            None => None,
        };
        let headers = records.owned_headers();
        let mut value = values.columns;
        for column in &self.schema.headers {
            value.push(header_column(column, &headers, rows)?);
        }
        let null_key = match self.schema.key.is_empty() {
            true => None,
            false => some_bits(!&keys.present),
        };
        Ok(RowBatch {
            window,
            null_key,
            absent: some_bits(BooleanBuffer::collect_bool(rows, |i| !values.present.value(i))),
            origin: Some(Origin {
                partition: vec![records.partition; rows].into(),
                offset: records.offsets.clone().into(),
            }),
            headers: (!headers.is_empty()).then_some(headers),
            ..RowBatch::new(key, value, records.timestamps.clone().into())
        })
    }
}

/// What window ends of keyed rows are.
pub fn window_ends(window: WindowInfo) -> WindowEnds {
    match window.kind {
        WindowKind::Tumbling | WindowKind::Hopping => WindowEnds::Fixed,
        WindowKind::Session => WindowEnds::OfSession,
    }
}

fn bigints(column: &ArrayRef) -> ScalarBuffer<i64> {
    column.as_primitive::<Int64Type>().values().clone()
}

/// A column filled from headers.
fn header_column(
    column: &HeaderColumn,
    headers: &[Option<Arc<RecordHeaders>>],
    rows: usize,
) -> Result<ArrayRef> {
    let of_row = |row: usize| headers.get(row).and_then(Option::as_ref);
    if let Some(name) = &column.key {
        let mut values = BinaryBuilder::new();
        for row in 0..rows {
            let last = of_row(row).and_then(|h| h.iter().rev().find(|(key, _)| key == name));
            values.append_option(last.and_then(|(_, value)| value.as_deref()));
        }
        return Ok(Arc::new(values.finish()));
    }
    let (mut keys, mut values) = (StringBuilder::new(), BinaryBuilder::new());
    let mut lengths = Vec::with_capacity(rows);
    for row in 0..rows {
        let all = of_row(row).map_or(&[][..], |h| h.as_slice());
        lengths.push(all.len());
        for (key, value) in all {
            keys.append_value(key);
            values.append_option(value.as_deref());
        }
    }
    let data_type = column.column.sql_type.to_arrow();
    let DataType::List(item) = &data_type else {
        return Err(EngineError::Plan {
            reason: format!("column \"{}\" cannot hold headers", column.column.name),
        });
    };
    let DataType::Struct(fields) = item.data_type() else {
        return Ok(new_null_array(&data_type, rows));
    };
    let entries =
        StructArray::try_new(fields.clone(), vec![Arc::new(keys.finish()), Arc::new(values.finish())], None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(item.clone(), offsets, Arc::new(entries), None)?))
}
