//! One SQL value outside a column: literals, constants of INSERT VALUES, keys of pull queries, aggregate state.

pub mod convert;
pub mod decimal;
pub(crate) mod decimal_builder;
pub mod order;
pub mod text;
pub mod time;

use arrow::datatypes::i256;
use serde::{Deserialize, Serialize};

use crate::types::SqlType;

/// A value of some [`SqlType`]; the type travels beside it. Units: dates in days, times in ms of the day, timestamps
/// in ms, all since the epoch and UTC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SqlValue {
    Null,
    Boolean(bool),
    Integer(i32),
    Bigint(i64),
    Double(f64),
    /// `unscaled` × 10^-`scale`.
    Decimal(DecimalValue),
    String(String),
    Bytes(Vec<u8>),
    Date(i32),
    Time(i32),
    Timestamp(i64),
    Array(Vec<SqlValue>),
    /// Entries in insertion order.
    Map(Vec<(SqlValue, SqlValue)>),
    /// One value per field of the type, in its order.
    Struct(Vec<SqlValue>),
}

/// An exact decimal. Its text form, which is also its serde form, is plain notation with all `scale` digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DecimalValue {
    pub unscaled: i256,
    pub scale: u8,
}

impl SqlValue {
    pub fn is_null(&self) -> bool {
        matches!(self, SqlValue::Null)
    }
}

/// A value with its type; `sql_type` None only for the untyped NULL literal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Literal {
    pub value: SqlValue,
    pub sql_type: Option<SqlType>,
}

impl Serialize for DecimalValue {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DecimalValue {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<DecimalValue, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl std::fmt::Display for DecimalValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = self.unscaled.to_string();
        let (sign, digits) = match digits.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None => ("", digits.as_str()),
        };
        let scale = self.scale as usize;
        if scale == 0 {
            return write!(f, "{sign}{digits}");
        }
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

/// Why text is not a decimal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not a decimal number of at most 76 digits")]
pub struct DecimalParseError {
    pub text: String,
}

impl std::str::FromStr for DecimalValue {
    type Err = DecimalParseError;

    /// Accepts an optional sign, digits, a point and digits; no exponent.
    fn from_str(text: &str) -> Result<DecimalValue, DecimalParseError> {
        let error = || DecimalParseError { text: text.to_owned() };
        let (negative, body) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || digits.len() > 76 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(error());
        }
        let magnitude = i256::from_string(&digits).ok_or_else(error)?;
        let unscaled = if negative { magnitude.wrapping_neg() } else { magnitude };
        Ok(DecimalValue { unscaled, scale: fraction.len() as u8 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_text_round_trips() {
        for text in ["0", "1.50", "-0.05", "123456789012345678901234567890.12", "-7"] {
            assert_eq!(text.parse::<DecimalValue>().expect("valid").to_string(), text);
        }
        for text in ["", "-", "1e3", "1.2.3", "x"] {
            assert!(text.parse::<DecimalValue>().is_err(), "{text}");
        }
    }
}
