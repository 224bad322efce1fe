//! Records as cases write them, and as bytes.

use serde_json::Value;
use weir_engine::serde::encoded::EncodedRows;
use weir_engine::serde::error::SerdeError;
use weir_engine::serde::json::decode::JsonDecoder;
use weir_engine::serde::json::encode::JsonEncoder;
use weir_engine::serde::{RowDecoder, RowEncoder, value_decoder, value_encoder};
use weir_sql::format::{Format, FormatInfo};
use weir_sql::schema::Column;

use crate::testing::case::WindowSpec;
use crate::testing::report::Stop;

/// One side of the records of a topic.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    pub format: &'a FormatInfo,
    pub columns: &'a [Column],
}

impl Side<'_> {
    /// The bytes that a value of a case stands for; None is Kafka's null.
    ///
    /// Errors: the value does not fit the columns; the format is not built (a skip).
    pub fn encode(&self, value: &Value) -> Result<Option<Vec<u8>>, Stop> {
        if value.is_null() {
            return Ok(None);
        }
        match self.format.format {
            Format::Json => Ok(Some(value.to_string().into_bytes())),
            Format::Delimited | Format::None => Ok(Some(plain_text(value).into_bytes())),
            Format::Kafka if self.columns.len() != 1 => Ok(Some(plain_text(value).into_bytes())),
            Format::Kafka | Format::JsonSr | Format::Avro | Format::Protobuf | Format::ProtobufNosr => {
                self.encode_columns(value)
            }
        }
    }

    /// The value as the columns take it: names in the columns' case, strings as numbers where a column is one. None if it
    /// has members that are no columns, or does not fit.
    pub fn normal(&self, value: &Value) -> Option<Value> {
        let wrapped = self.columns.len() != 1 || self.format.wrap_single;
        if wrapped {
            let known =
                |name: &String| self.columns.iter().any(|c| c.name == *name || c.name == name.to_uppercase());
            if !value.as_object()?.keys().all(known) {
                return None;
            }
        }
        let text = value.to_string();
        let decoded =
            JsonDecoder::new(self.columns, self.format.wrap_single).decode(&[Some(text.as_bytes())]);
        if !decoded.errors.is_empty() {
            return None;
        }
        let mut rows = EncodedRows::new();
        let mut encoder = JsonEncoder::new(self.columns, self.format.wrap_single);
        encoder.encode(&decoded.columns, 1, Some(&decoded.present), &mut rows);
        rows.get(0).and_then(|json| serde_json::from_slice(json).ok())
    }

    /// Through columns: JSON is read as the logical value and written in the format.
    fn encode_columns(&self, value: &Value) -> Result<Option<Vec<u8>>, Stop> {
        let mut encoder = value_encoder(self.format, self.columns).map_err(unavailable)?;
        let text = value.to_string();
        let decoded =
            JsonDecoder::new(self.columns, self.format.wrap_single).decode(&[Some(text.as_bytes())]);
        if let Some(error) = decoded.errors.first() {
            return Err(Stop::Failed(format!("{text} is not a record of {}: {error}", self.format.format)));
        }
        let mut rows = EncodedRows::new();
        let errors = encoder.encode(&decoded.columns, 1, Some(&decoded.present), &mut rows);
        match errors.first() {
            Some(error) => {
                Err(Stop::Failed(format!("{text} cannot be written as {}: {error}", self.format.format)))
            }
            None => Ok(rows.get(0).map(<[u8]>::to_vec)),
        }
    }

    /// Representation of bytes in a case.
    ///
    /// Errors: the bytes are not of the format.
    pub fn render(&self, bytes: Option<&[u8]>) -> Result<Value, Stop> {
        let Some(bytes) = bytes else { return Ok(Value::Null) };
        let text = || String::from_utf8_lossy(bytes).into_owned();
        match self.format.format {
            Format::Json => serde_json::from_slice(bytes)
                .map_err(|e| Stop::Failed(format!("\"{}\" is not JSON: {e}", text()))),
            Format::Delimited | Format::None => Ok(Value::String(text())),
            Format::Kafka if self.columns.len() != 1 => Ok(Value::String(text())),
            Format::Kafka | Format::JsonSr | Format::Avro | Format::Protobuf | Format::ProtobufNosr => {
                self.render_columns(bytes)
            }
        }
    }

    fn render_columns(&self, bytes: &[u8]) -> Result<Value, Stop> {
        let mut decoder = value_decoder(self.format, self.columns).map_err(unavailable)?;
        let decoded = decoder.decode(&[Some(bytes)]);
        if let Some(error) = decoded.errors.first() {
            return Err(Stop::Failed(format!(
                "{bytes:?} is not a record of {}: {error}",
                self.format.format
            )));
        }
        let mut rows = EncodedRows::new();
        JsonEncoder::new(self.columns, self.format.wrap_single).encode(
            &decoded.columns,
            1,
            Some(&decoded.present),
            &mut rows,
        );
        match rows.get(0) {
            None => Ok(Value::Null),
            Some(json) => serde_json::from_slice(json).map_err(|e| Stop::Failed(e.to_string())),
        }
    }
}

/// A format that is not built skips the case, anything else fails it.
pub fn unavailable(error: SerdeError) -> Stop {
    match error {
        SerdeError::NotAvailable { format } => Stop::Skipped(format!("format {format} is not built")),
        other => Stop::Failed(other.to_string()),
    }
}

fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Appends the bounds of a window to a key.
pub fn append_window(key: &mut Vec<u8>, window: &WindowSpec) {
    if window.kind.eq_ignore_ascii_case("session") {
        key.extend_from_slice(&window.end.to_be_bytes());
    }
    key.extend_from_slice(&window.start.to_be_bytes());
}

/// The key without its window, and the window's bounds as (start, end); the end of a fixed window is not in the key.
pub fn split_window(key: &[u8], session: bool) -> Option<(&[u8], i64, Option<i64>)> {
    let (rest, start) = key.split_last_chunk::<8>()?;
    let start = i64::from_be_bytes(*start);
    if !session {
        return Some((rest, start, None));
    }
    let (rest, end) = rest.split_last_chunk::<8>()?;
    Some((rest, start, Some(i64::from_be_bytes(*end))))
}
