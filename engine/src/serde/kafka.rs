//! KAFKA: one column as Kafka's own serializers write it.
//!
//! | type | bytes |
//! |---|---|
//! | INTEGER | 4, big-endian |
//! | BIGINT | 8, big-endian |
//! | DOUBLE | 8, IEEE 754, big-endian |
//! | STRING | UTF-8 |
//! | BYTES | as they are |
//!
//! NULL is Kafka's null. Nothing is coerced; a wrong length fails the record.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use weir_sql::format::Format;
use weir_sql::schema::Column;
use weir_sql::types::SqlType;

use crate::batch::column_builder::{ColumnBuilder, Values};
use crate::serde::encoded::EncodedRows;
use crate::serde::error::{EncodeError, Fallible, Fault, SerdeError};
use crate::serde::{DECODE_BYTES_MAX, Decoded, RowDecoder, RowEncoder};

/// The column, if the format can carry it.
fn single(columns: &[Column]) -> Result<&Column, SerdeError> {
    let [column] = columns else {
        return Err(SerdeError::ColumnCount { format: Format::Kafka, expected: 1, actual: columns.len() });
    };
    match column.sql_type {
        SqlType::Integer | SqlType::Bigint | SqlType::Double | SqlType::String | SqlType::Bytes => Ok(column),
        SqlType::Boolean
        | SqlType::Decimal { .. }
        | SqlType::Date
        | SqlType::Time
        | SqlType::Timestamp
        | SqlType::Array(_)
        | SqlType::Map(..)
        | SqlType::Struct(_) => Err(SerdeError::UnsupportedType {
            format: Format::Kafka,
            column: column.name.clone(),
            sql_type: column.sql_type.clone(),
        }),
    }
}

#[derive(Debug)]
pub struct KafkaDecoder {
    column: ColumnBuilder,
}

impl KafkaDecoder {
    /// Errors: more or fewer than one column, or a type the format has no bytes for.
    pub fn new(columns: &[Column]) -> Result<KafkaDecoder, SerdeError> {
        Ok(KafkaDecoder { column: ColumnBuilder::new(&single(columns)?.sql_type) })
    }

    fn push(&mut self, bytes: &[u8]) -> Fallible<()> {
        match &mut self.column.values {
            Values::Integer(values) => values.push(i32::from_be_bytes(fixed(bytes)?)),
            Values::Bigint(values) => values.push(i64::from_be_bytes(fixed(bytes)?)),
            Values::Double(values) => values.push(f64::from_be_bytes(fixed(bytes)?)),
            Values::String(values) => {
                let text = String::from_utf8_lossy(bytes);
                values.data.extend_from_slice(text.as_bytes());
            }
            Values::Bytes(values) => values.data.extend_from_slice(bytes),
            other => unreachable!("the constructor admits no {other:?}"),
        }
        self.column.end_valid();
        Ok(())
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Fallible<[u8; N]> {
    bytes.try_into().map_err(|_| Fault::new(format!("expected {N} bytes, the record has {}", bytes.len())))
}

impl RowDecoder for KafkaDecoder {
    fn decode(&mut self, records: &[Option<&[u8]>]) -> Decoded {
        self.column.reserve(records.len());
        let mut errors = Vec::new();
        let mut total = 0usize;
        let present = BooleanBuffer::collect_bool(records.len(), |row| {
            let Some(bytes) = records[row] else {
                self.column.push_null();
                return false;
            };
            total = total.saturating_add(bytes.len());
            let outcome = if total > DECODE_BYTES_MAX {
                Err(Fault::new(format!("the batch is larger than {DECODE_BYTES_MAX} bytes")))
            } else {
                self.push(bytes)
            };
            if let Err(fault) = outcome {
                errors.push(fault.at_row(row));
                self.column.truncate(row);
                self.column.push_null();
                return false;
            }
            true
        });
        Decoded { columns: vec![self.column.finish()], present, errors }
    }
}

#[derive(Debug)]
pub struct KafkaEncoder {
    sql_type: SqlType,
}

impl KafkaEncoder {
    /// Errors: more or fewer than one column, or a type the format has no bytes for.
    pub fn new(columns: &[Column]) -> Result<KafkaEncoder, SerdeError> {
        Ok(KafkaEncoder { sql_type: single(columns)?.sql_type.clone() })
    }
}

impl RowEncoder for KafkaEncoder {
    fn encode(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        present: Option<&BooleanBuffer>,
        out: &mut EncodedRows,
    ) -> Vec<EncodeError> {
        let column = &columns[0];
        out.reserve(rows, rows * 8);
        let null = |row: usize| column.is_null(row) || present.is_some_and(|p| !p.value(row));
        match &self.sql_type {
            SqlType::Integer => {
                let values = column.as_primitive::<Int32Type>();
                push_rows(out, rows, null, |row| values.value(row).to_be_bytes());
            }
            SqlType::Bigint => {
                let values = column.as_primitive::<Int64Type>();
                push_rows(out, rows, null, |row| values.value(row).to_be_bytes());
            }
            SqlType::Double => {
                let values = column.as_primitive::<Float64Type>();
                push_rows(out, rows, null, |row| values.value(row).to_be_bytes());
            }
            SqlType::String => push_rows(out, rows, null, |row| column.as_string::<i32>().value(row)),
            SqlType::Bytes => push_rows(out, rows, null, |row| column.as_binary::<i32>().value(row)),
            other => unreachable!("the constructor admits no {other}"),
        }
        Vec::new()
    }
}

fn push_rows<B: AsRef<[u8]>>(
    out: &mut EncodedRows,
    rows: usize,
    null: impl Fn(usize) -> bool,
    bytes: impl Fn(usize) -> B,
) {
    for row in 0..rows {
        if null(row) {
            out.push_null();
        } else {
            out.push(bytes(row).as_ref());
        }
    }
}
