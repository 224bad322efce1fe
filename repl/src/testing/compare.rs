//! Comparison of expected and actual values.

use serde_json::{Map, Value};
use weir_engine::serde::text::NumberParts;

/// Equal as JSON: numbers by value, objects without regard to order; a missing member is a null one.
pub fn same(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Number(a), Value::Number(b)) => same_number(&a.to_string(), &b.to_string()),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => members_match(a, b) && members_match(b, a),
        _ => expected == actual,
    }
}

fn members_match(left: &Map<String, Value>, right: &Map<String, Value>) -> bool {
    left.iter().all(|(name, value)| same(value, right.get(name).unwrap_or(&Value::Null)))
}

/// Equal exactly, or the same double: a case may write more digits than a double has.
fn same_number(left: &str, right: &str) -> bool {
    let normal = |text: &str| {
        let parts = NumberParts::parse(text.as_bytes())?;
        let digits: String = parts.digits().map(char::from).collect();
        let trimmed = digits.trim_end_matches('0');
        let exponent =
            i64::from(parts.exponent) - parts.fraction.len() as i64 + (digits.len() - trimmed.len()) as i64;
        let significant = trimmed.trim_start_matches('0').to_owned();
        Some(if significant.is_empty() {
            (false, significant, 0)
        } else {
            (parts.negative, significant, exponent)
        })
    };
    match (normal(left), normal(right)) {
        (Some(a), Some(b)) if a == b => true,
        (Some((_, a, _)), Some((_, b, _))) if a.len() > 15 && b.len() > 15 => {
            left.parse::<f64>().ok() == right.parse::<f64>().ok()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_value() {
        for (a, b, equal) in [
            ("10.1", "10.10", true),
            ("1E7", "10000000.0", true),
            ("0", "-0.0", true),
            ("0E-9", "0", true),
            ("1", "2", false),
            ("100", "10", false),
            ("0.1", "0.10000000000000001", false),
            ("0.30000000000000004", "0.3000000000000000444", true),
        ] {
            assert_eq!(same_number(a, b), equal, "{a} {b}");
        }
    }

    #[test]
    fn a_missing_member_is_null() {
        let value = |text| serde_json::from_str::<Value>(text).expect("JSON");
        assert!(same(&value("{\"A\":1,\"B\":null}"), &value("{\"A\":1.0}")));
        assert!(!same(&value("{\"A\":1}"), &value("{\"A\":1,\"B\":2}")));
        assert!(!same(&value("[1]"), &value("[1,2]")));
    }
}
