//! Rows of internal topics. The record key has the format that decides the partition; the record value holds everything:
//!
//! | length | what |
//! |---|---|
//! | 1 | version, [`VERSION`] |
//! | 1 | flags: 1 key is null, 2 has a value, 4 has an old value |
//! | 4 + n | length and bytes of the key columns as a row |
//! | 4 + n | the same for the value, if there is one |
//! | 4 + n | the same for the old value, if there is one |
//!
//! Lengths are little-endian; rows are as in [`crate::state::row_codec`].

use arrow::array::ArrayRef;
use arrow::buffer::BooleanBuffer;
use weir_sql::format::FormatInfo;
use weir_sql::schema::LogicalSchema;
use weir_sql::types::SqlType;

use crate::batch::{OldRows, RowBatch, some_bits};
use crate::error::{EngineError, Result};
use crate::operator::join::side::side_types;
use crate::serde::encoded::EncodedRows;
use crate::serde::{RowEncoder, key_encoder};
use crate::state::column_reader::ColumnReader;
use crate::state::row_codec::{RowDecoder, encode_row};
use crate::topology::records::RecordColumns;

pub const VERSION: u8 = 1;
const NULL_KEY: u8 = 1;
const HAS_VALUE: u8 = 2;
const HAS_OLD: u8 = 4;

/// Whether rows travel with what they were before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldValues {
    Carried,
    Dropped,
}

/// Encodes rows for an internal topic.
#[derive(Debug)]
pub struct InternalWriter {
    key: Box<dyn RowEncoder>,
}

impl InternalWriter {
    pub fn new(topic: &str, key_format: &FormatInfo, schema: &LogicalSchema) -> Result<InternalWriter> {
        let key = key_encoder(key_format, &schema.key, None)
            .map_err(|e| EngineError::Format { topic: topic.to_owned(), reason: e.to_string() })?;
        Ok(InternalWriter { key })
    }

    /// Shape: one key and one value per row.
    pub fn write(&mut self, batch: &RowBatch) -> Result<(EncodedRows, EncodedRows)> {
        let (mut keys, mut values) = (EncodedRows::new(), EncodedRows::new());
        let present = batch.null_key.as_ref().map(|n| !n);
        // Rows whose key the format cannot express go under a null key: the value has the key columns.
        self.key.encode(&batch.key, batch.len(), present.as_ref(), &mut keys);
        let key_readers = ColumnReader::all(&batch.key)?;
        let value_readers = ColumnReader::all(&batch.value)?;
        let old_readers = match &batch.old {
            Some(old) => ColumnReader::all(&old.value)?,
            None => Vec::new(),
        };
        let mut bytes = Vec::new();
        for row in 0..batch.len() {
            let has_value = !batch.is_absent(row);
            let has_old = batch.old.is_some() && !batch.is_old_absent(row);
            bytes.clear();
            bytes.push(VERSION);
            let flag = |set: bool, flag: u8| if set { flag } else { 0 };
            bytes.push(
                flag(batch.is_null_key(row), NULL_KEY) | flag(has_value, HAS_VALUE) | flag(has_old, HAS_OLD),
            );
            push_row(&key_readers, row, &mut bytes);
            if has_value {
                push_row(&value_readers, row, &mut bytes);
            }
            if has_old {
                push_row(&old_readers, row, &mut bytes);
            }
            values.push(&bytes);
        }
        Ok((keys, values))
    }
}

fn push_row(readers: &[ColumnReader<'_>], row: usize, out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    encode_row(readers, row, 0, 0, out);
    let length = u32::try_from(out.len() - at - 4).expect("a row is far below 4 GiB");
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
}

/// Decodes rows of an internal topic.
#[derive(Debug)]
pub struct InternalReader {
    topic: String,
    key: RowDecoder,
    value: RowDecoder,
    old: RowDecoder,
    old_values: OldValues,
}

/// One record of an internal topic, cut into its rows.
struct Parts<'a> {
    null_key: bool,
    key: &'a [u8],
    value: Option<&'a [u8]>,
    old: Option<&'a [u8]>,
}

impl InternalReader {
    pub fn new(topic: &str, schema: &LogicalSchema, old_values: OldValues) -> InternalReader {
        let key_types: Vec<SqlType> = schema.key.iter().map(|c| c.sql_type.clone()).collect();
        let value_types = side_types(schema).split_off(schema.key.len());
        InternalReader {
            topic: topic.to_owned(),
            key: RowDecoder::new(&key_types),
            value: RowDecoder::new(&value_types),
            old: RowDecoder::new(&value_types),
            old_values,
        }
    }

    /// Errors: a record is not one that [`InternalWriter`] wrote.
    pub fn read(&mut self, records: &RecordColumns<'_>) -> Result<RowBatch> {
        let rows = records.len();
        let corrupt = |topic: &str| EngineError::CorruptRow {
            store: topic.to_owned(),
            reason: "the record is not one of an internal topic".to_owned(),
        };
        let mut parts = Vec::with_capacity(rows);
        for record in &records.values {
            let part = record.and_then(split).ok_or_else(|| corrupt(&self.topic))?;
            self.key.push(part.key)?;
            if let Some(value) = part.value {
                self.value.push(value)?;
            }
            if let Some(old) = part.old {
                self.old.push(old)?;
            }
            parts.push(part);
        }
        let key = self.key.finish().columns;
        let value = spread(self.value.finish().columns, |i| parts[i].value.is_some(), rows)?;
        let old = match self.old_values {
            OldValues::Carried => Some(OldRows {
                value: spread(self.old.finish().columns, |i| parts[i].old.is_some(), rows)?,
                absent: some_bits(BooleanBuffer::collect_bool(rows, |i| parts[i].old.is_none())),
            }),
            OldValues::Dropped => None,
        };
        Ok(RowBatch {
            null_key: some_bits(BooleanBuffer::collect_bool(rows, |i| parts[i].null_key)),
            absent: some_bits(BooleanBuffer::collect_bool(rows, |i| parts[i].value.is_none())),
            headers: (!records.headers.is_empty()).then(|| records.owned_headers()),
            old,
            ..RowBatch::new(key, value, records.timestamps.clone().into())
        })
    }
}

/// Columns that have rows only where `has` is true, with NULLs elsewhere.
fn spread(columns: Vec<ArrayRef>, has: impl Fn(usize) -> bool, rows: usize) -> Result<Vec<ArrayRef>> {
    if columns.iter().all(|c| c.len() == rows) && (0..rows).all(&has) {
        return Ok(columns);
    }
    let mut next = 0_u32..;
    let places = (0..rows).map(|i| if has(i) { next.next() } else { None }).collect();
    crate::batch::take_columns(&columns, &places)
}

fn split(bytes: &[u8]) -> Option<Parts<'_>> {
    let (header, mut rest) = bytes.split_first_chunk::<2>()?;
    let [version, flags] = *header;
    if version != VERSION || flags > (NULL_KEY | HAS_VALUE | HAS_OLD) {
        return None;
    }
    let mut row = || -> Option<&[u8]> {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (row, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        rest = after;
        Some(row)
    };
    let key = row()?;
    let value = if flags & HAS_VALUE != 0 { Some(row()?) } else { None };
    let old = if flags & HAS_OLD != 0 { Some(row()?) } else { None };
    Some(Parts { null_key: flags & NULL_KEY != 0, key, value, old })
}
