//! Rows that INSERT and `/inserts-stream` write, as records of a source's topic.

use arrow::array::{Array, ArrayRef};
use arrow::buffer::BooleanBuffer;
use weir_sql::metastore::source::Source;
use weir_sql::schema::Column;
use weir_sql::value::SqlValue;
use weir_sql::value::convert::to_array;

use crate::serde::encoded::EncodedRows;
use crate::serde::error::{EncodeError, SerdeError};
use crate::serde::{key_encoder, value_encoder};

/// Encoded rows. Shape: one key and one value per row.
#[derive(Debug)]
pub struct InsertRecords {
    /// None: the source has no key.
    pub keys: Option<EncodedRows>,
    pub values: EncodedRows,
    /// Rows that the formats cannot express; they must not be written.
    pub errors: Vec<EncodeError>,
}

impl InsertRecords {
    /// None is Kafka's null.
    pub fn key(&self, row: usize) -> Option<&[u8]> {
        self.keys.as_ref().and_then(|keys| keys.get(row))
    }

    /// None is Kafka's null.
    pub fn value(&self, row: usize) -> Option<&[u8]> {
        self.values.get(row)
    }
}

/// Encodes rows of a source. A row whose key columns are all NULL has no key. Shape: `key` and `value` have one array per column of
/// the source, `rows` long each.
///
/// Errors: a format that is not built.
pub fn encode_rows(
    source: &Source,
    key: &[ArrayRef],
    value: &[ArrayRef],
    rows: usize,
) -> Result<InsertRecords, SerdeError> {
    let mut errors = Vec::new();
    let mut keys = None;
    if !source.schema.key.is_empty() {
        let encoded = keys.insert(EncodedRows::new());
        let present = BooleanBuffer::collect_bool(rows, |row| key.iter().any(|column| column.is_valid(row)));
        let mut encoder = key_encoder(&source.key_format, &source.schema.key, source.window)?;
        errors.extend(encoder.encode(key, rows, Some(&present), encoded));
    }
    let mut values = EncodedRows::new();
    let mut encoder = value_encoder(&source.value_format, &source.schema.value)?;
    errors.extend(encoder.encode(value, rows, None, &mut values));
    Ok(InsertRecords { keys, values, errors })
}

/// Rows as columns. Shape: `rows[r][c]` is the value of column `c`.
pub fn columns_of(columns: &[Column], rows: &[Vec<SqlValue>]) -> Vec<ArrayRef> {
    let column = |(at, column): (usize, &Column)| to_array(&column.sql_type, rows.iter().map(|row| &row[at]));
    columns.iter().enumerate().map(column).collect()
}
