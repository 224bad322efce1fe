//! The text of values, as CAST to STRING and string conversion give it, and the numbers read from text.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::types::SqlType;
use crate::value::SqlValue;
use crate::value::time::{format_date, format_time, format_timestamp};

/// A double as the JVM prints it: `1.0`, `1.0E10`, `NaN`, `-Infinity`.
pub fn format_double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return format!("{value:?}");
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("scientific form has an exponent");
    if mantissa.contains('.') { format!("{mantissa}E{exponent}") } else { format!("{mantissa}.0E{exponent}") }
}

/// A double from trimmed text. None if it is not a number, or not finite.
pub fn parse_double(text: &str) -> Option<f64> {
    let value: f64 = text.trim().parse().ok()?;
    (value.is_finite() && !text.trim().ends_with(|c: char| c.is_ascii_alphabetic())).then_some(value)
}

/// Sign and digits, trimmed.
pub fn parse_bigint(text: &str) -> Option<i64> {
    text.trim().parse().ok()
}

/// True for a prefix of `true` or `yes`, in any case; false for anything else.
pub fn parse_boolean(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    !text.is_empty() && ("true".starts_with(&text) || "yes".starts_with(&text))
}

/// None if a part has no text (a TIME past the end of the day).
pub fn format_value(value: &SqlValue, sql_type: &SqlType) -> Option<String> {
    let mut out = String::new();
    write_value(&mut out, value, sql_type)?;
    Some(out)
}

fn write_value(out: &mut String, value: &SqlValue, sql_type: &SqlType) -> Option<()> {
    match value {
        SqlValue::Null => out.push_str("null"),
        SqlValue::Boolean(v) => out.push_str(if *v { "true" } else { "false" }),
        SqlValue::Integer(v) => append(out, v),
        SqlValue::Bigint(v) => append(out, v),
        SqlValue::Double(v) => out.push_str(&format_double(*v)),
        SqlValue::Decimal(v) => append(out, v),
        SqlValue::String(v) => out.push_str(v),
        SqlValue::Bytes(v) => out.push_str(&BASE64.encode(v)),
        SqlValue::Date(v) => out.push_str(&format_date(*v)),
        SqlValue::Time(v) => out.push_str(&format_time(*v)?),
        SqlValue::Timestamp(v) => out.push_str(&format_timestamp(*v)),
        SqlValue::Array(items) => {
            let SqlType::Array(element) = sql_type else { return None };
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_value(out, item, element)?;
            }
            out.push(']');
        }
        SqlValue::Map(entries) => {
            let SqlType::Map(key_type, value_type) = sql_type else { return None };
            out.push('{');
            for (i, (key, value)) in entries.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_value(out, key, key_type)?;
                out.push('=');
                write_value(out, value, value_type)?;
            }
            out.push('}');
        }
        SqlValue::Struct(items) => {
            let SqlType::Struct(fields) = sql_type else { return None };
            out.push_str("Struct{");
            let mut separator = "";
            for (item, field) in items.iter().zip(fields).filter(|(item, _)| !item.is_null()) {
                out.push_str(separator);
                separator = ",";
                out.push_str(&field.name);
                out.push('=');
                write_value(out, item, &field.sql_type)?;
            }
            out.push('}');
        }
    }
    Some(())
}

fn append(out: &mut String, value: impl std::fmt::Display) {
    write!(out, "{value}").expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_print_like_the_jvm() {
        let check = |value: f64, expected: &str| assert_eq!(format_double(value), expected);
        check(1.0, "1.0");
        check(-0.0, "-0.0");
        check(1e7, "1.0E7");
        check(9_999_999.5, "9999999.5");
        check(1e10, "1.0E10");
        check(1.5e-5, "1.5E-5");
        check(0.001, "0.001");
        check(f64::NAN, "NaN");
        check(f64::NEG_INFINITY, "-Infinity");
        check(f64::MAX, "1.7976931348623157E308");
    }

    #[test]
    fn numbers_are_read_from_text() {
        assert_eq!(parse_double(" 1e3 "), Some(1000.0));
        for bad in ["NaN", "inf", "1e999", "", "x"] {
            assert_eq!(parse_double(bad), None, "{bad}");
        }
        assert!(
            parse_boolean(" Y ") && parse_boolean("TRUE") && !parse_boolean("truex") && !parse_boolean("")
        );
    }
}
