//! Formats: record bytes to Arrow columns and back.
//!
//! A decoder reads the keys or the values of a whole batch straight into column builders; an encoder writes a batch
//! into one flat buffer. Both are built once per topic and query and keep their scratch memory. A record that
//! cannot be read or written costs that record alone: it is reported and its columns are NULL.
//!
//! A format is one module below and one line in each of the two tables here, [`decoder`] and [`encoder`].

mod coerce;
pub mod delimited;
pub mod encoded;
pub mod error;
pub mod insert;
pub mod json;
pub mod json_value;
pub mod kafka;
pub mod none;
pub mod text;
pub mod windowed_key;

use std::fmt;

use arrow::array::ArrayRef;
use arrow::buffer::BooleanBuffer;
use weir_sql::format::{Format, FormatInfo};
use weir_sql::schema::Column;
use weir_sql::window::WindowInfo;

use crate::serde::encoded::EncodedRows;
use crate::serde::error::{DecodeError, EncodeError, SerdeError};
use crate::serde::json::decode::{JsonDecoder, RecordRole};

/// Bytes of records that one call of [`RowDecoder::decode`] takes. Rows past it fail: an Arrow column of strings
/// addresses 2 GiB and text may grow by half when it is normalised.
pub const DECODE_BYTES_MAX: usize = 512 << 20;

/// One batch of keys or values as columns.
#[derive(Debug)]
pub struct Decoded {
    /// Shape: one array per column the decoder was built for, in their order, `present.len()` rows each. Keys of
    /// windowed topics have two more, WINDOWSTART and WINDOWEND (BIGINT).
    pub columns: Vec<ArrayRef>,
    /// False where the record was null (or what the format has for it) or failed: all columns are NULL there. On the
    /// value side of a table this is a tombstone, unless the row is among `errors`.
    pub present: BooleanBuffer,
    /// Records that could not be read, in row order; the caller skips these rows.
    pub errors: Vec<DecodeError>,
}

/// Reads record keys, or record values, of one format into columns.
pub trait RowDecoder: Send + fmt::Debug {
    /// Decodes one batch. `records[i]` is row `i`; None is Kafka's null.
    ///
    /// Invariant: row `i` depends on `records[i]` alone, not on how records were cut into batches.
    fn decode(&mut self, records: &[Option<&[u8]>]) -> Decoded;
}

/// Writes columns as record keys, or record values, of one format.
pub trait RowEncoder: Send + fmt::Debug {
    /// Appends one row per row of `columns` to `out`. Shape: `columns` as [`Decoded::columns`], `rows` long each.
    /// Rows that are not `present` are null (None: all are present); an unwrapped single NULL is null as well.
    ///
    /// Errors: rows that this format cannot express; they are null in `out`, and the caller must not write them.
    fn encode(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        present: Option<&BooleanBuffer>,
        out: &mut EncodedRows,
    ) -> Vec<EncodeError>;
}

/// A decoder for the keys of a topic. `window` is set if the topic's keys are windowed. Without key columns nothing is
/// read, whatever the format.
pub fn key_decoder(
    format: &FormatInfo,
    columns: &[Column],
    window: Option<WindowInfo>,
) -> Result<Box<dyn RowDecoder>, SerdeError> {
    let inner = if columns.is_empty() {
        Box::new(none::NoneSerde)
    } else {
        decoder(format, columns, RecordRole::Key)?
    };
    Ok(match window {
        Some(window) => Box::new(windowed_key::WindowedKeyDecoder::new(inner, window)?),
        None => inner,
    })
}

/// An encoder for the keys of a topic. `window` is set if the topic's keys are windowed. Without key columns all keys are
/// null, whatever the format.
pub fn key_encoder(
    format: &FormatInfo,
    columns: &[Column],
    window: Option<WindowInfo>,
) -> Result<Box<dyn RowEncoder>, SerdeError> {
    let inner = if columns.is_empty() { Box::new(none::NoneSerde) } else { encoder(format, columns)? };
    Ok(match window {
        Some(window) => Box::new(windowed_key::WindowedKeyEncoder::new(inner, columns.len(), window)),
        None => inner,
    })
}

/// A decoder for the values of a topic.
pub fn value_decoder(format: &FormatInfo, columns: &[Column]) -> Result<Box<dyn RowDecoder>, SerdeError> {
    decoder(format, columns, RecordRole::Value)
}

/// An encoder for the values of a topic.
pub fn value_encoder(format: &FormatInfo, columns: &[Column]) -> Result<Box<dyn RowEncoder>, SerdeError> {
    encoder(format, columns)
}

fn decoder(
    format: &FormatInfo,
    columns: &[Column],
    role: RecordRole,
) -> Result<Box<dyn RowDecoder>, SerdeError> {
    Ok(match format.format {
        Format::None => Box::new(none::NoneSerde::new(columns)?),
        Format::Kafka => Box::new(kafka::KafkaDecoder::new(columns)?),
        Format::Json => Box::new(JsonDecoder::new(columns, format.wrap_single).with_role(role)),
        Format::Delimited => Box::new(delimited::DelimitedDecoder::new(format, columns)?),
        other @ (Format::JsonSr | Format::Avro | Format::Protobuf | Format::ProtobufNosr) => {
            return Err(SerdeError::NotAvailable { format: other });
        }
    })
}

fn encoder(format: &FormatInfo, columns: &[Column]) -> Result<Box<dyn RowEncoder>, SerdeError> {
    Ok(match format.format {
        Format::None => Box::new(none::NoneSerde::new(columns)?),
        Format::Kafka => Box::new(kafka::KafkaEncoder::new(columns)?),
        Format::Json => Box::new(json::encode::JsonEncoder::new(columns, format.wrap_single)),
        Format::Delimited => Box::new(delimited::DelimitedEncoder::new(format, columns)?),
        other @ (Format::JsonSr | Format::Avro | Format::Protobuf | Format::ProtobufNosr) => {
            return Err(SerdeError::NotAvailable { format: other });
        }
    })
}

#[cfg(test)]
mod tests;
