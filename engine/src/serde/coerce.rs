//! Text and numbers into values of a SQL type, as formats of text read them.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::batch::column_builder::{ColumnBuilder, Values};
use crate::serde::error::{Fallible, Fault};
use crate::serde::text::{NumberParts, parse_double};

/// Ms of a day; TIME takes this value as well.
const TIME_MAX_MS: i64 = 86_400_000;

/// Base64 as it is read: padding may be missing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn refuse(text: &str, type_name: &str) -> Box<Fault> {
    Fault::new(format!("\"{text}\" is not a value of type {type_name}"))
}

pub(crate) fn integer(text: &str) -> Fallible<i32> {
    text.parse().map_err(|_| refuse(text, "INTEGER"))
}

pub(crate) fn bigint(text: &str) -> Fallible<i64> {
    text.parse().map_err(|_| refuse(text, "BIGINT"))
}

pub(crate) fn double(text: &str) -> Fallible<f64> {
    parse_double(text).ok_or_else(|| refuse(text, "DOUBLE"))
}

/// Days since the epoch.
pub(crate) fn date(days: i64) -> Fallible<i32> {
    i32::try_from(days).map_err(|_| Fault::new(format!("{days} is out of range for DATE")))
}

/// Ms of the day, 0 to 86,400,000.
pub(crate) fn time(ms: i64) -> Fallible<i32> {
    if (0..=TIME_MAX_MS).contains(&ms) {
        return Ok(ms as i32);
    }
    Err(Fault::new(format!("{ms} is out of range for TIME, which is 0 to {TIME_MAX_MS} ms")))
}

pub(crate) fn append_base64(out: &mut Vec<u8>, text: &[u8]) -> Fallible<()> {
    BASE64.decode_vec(text, out).map_err(|_| Fault::new("the text is not base64"))
}

/// Pushes the value that the text stands for in a format of plain text: booleans are "true" in any case or else false, times
/// are numbers, bytes base64. Errors: the text is no such value, or the type is nested; nothing is pushed.
pub(crate) fn push_text(column: &mut ColumnBuilder, text: &str) -> Fallible<()> {
    match &mut column.values {
        Values::Boolean(values) => values.push(text.eq_ignore_ascii_case("true")),
        Values::Integer(values) => values.push(integer(text)?),
        Values::Bigint(values) => values.push(bigint(text)?),
        Values::Double(values) => values.push(double(text)?),
        Values::Decimal128 { precision, scale, values } => {
            let parts = NumberParts::parse(text.as_bytes()).ok_or_else(|| refuse(text, "DECIMAL"))?;
            values.push(parts.to_decimal128(*precision, *scale).map_err(|e| Fault::new(e.to_string()))?);
        }
        Values::Decimal256 { precision, scale, values } => {
            let parts = NumberParts::parse(text.as_bytes()).ok_or_else(|| refuse(text, "DECIMAL"))?;
            values.push(parts.to_decimal256(*precision, *scale).map_err(|e| Fault::new(e.to_string()))?);
        }
        Values::String(values) => values.data.extend_from_slice(text.as_bytes()),
        Values::Bytes(values) => append_base64(&mut values.data, text.as_bytes())?,
        Values::Date(values) => values.push(date(bigint(text)?)?),
        Values::Time(values) => values.push(time(bigint(text)?)?),
        Values::Timestamp(values) => values.push(bigint(text)?),
        Values::Array { .. } | Values::Map { .. } | Values::Struct(_) => {
            return Err(Fault::new("arrays, maps and structs have no plain text form"));
        }
    }
    column.end_valid();
    Ok(())
}
