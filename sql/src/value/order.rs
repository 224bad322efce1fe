//! A total order over values, and equality as SQL sees it.

use std::cmp::Ordering;

use crate::value::SqlValue;

/// Orders two values of one type: NULL first, false before true, numbers by size (NaN last, −0.0 before 0.0), text and
/// bytes by unsigned bytes, ARRAY and STRUCT from the left, MAP by its sorted entries. Values of different types are
/// ordered by type, numbers excepted.
pub fn compare(left: &SqlValue, right: &SqlValue) -> Ordering {
    match (left, right) {
        (SqlValue::Null, SqlValue::Null) => Ordering::Equal,
        (SqlValue::Boolean(a), SqlValue::Boolean(b)) => a.cmp(b),
        (SqlValue::Integer(a), SqlValue::Integer(b)) => a.cmp(b),
        (SqlValue::Bigint(a), SqlValue::Bigint(b)) => a.cmp(b),
        (SqlValue::Integer(a), SqlValue::Bigint(b)) => i64::from(*a).cmp(b),
        (SqlValue::Bigint(a), SqlValue::Integer(b)) => a.cmp(&i64::from(*b)),
        (SqlValue::Double(a), SqlValue::Double(b)) => a.total_cmp(b),
        (SqlValue::Decimal(a), SqlValue::Decimal(b)) => a.compare(*b),
        (SqlValue::String(a), SqlValue::String(b)) => a.cmp(b),
        (SqlValue::Bytes(a), SqlValue::Bytes(b)) => a.cmp(b),
        (SqlValue::Date(a), SqlValue::Date(b)) | (SqlValue::Time(a), SqlValue::Time(b)) => a.cmp(b),
        (SqlValue::Timestamp(a), SqlValue::Timestamp(b)) => a.cmp(b),
        (SqlValue::Array(a), SqlValue::Array(b)) | (SqlValue::Struct(a), SqlValue::Struct(b)) => {
            compare_lists(a, b)
        }
        (SqlValue::Map(a), SqlValue::Map(b)) => compare_maps(a, b),
        _ => rank(left).cmp(&rank(right)),
    }
}

fn compare_lists(left: &[SqlValue], right: &[SqlValue]) -> Ordering {
    left.iter()
        .zip(right)
        .map(|(a, b)| compare(a, b))
        .find(|o| o.is_ne())
        .unwrap_or_else(|| left.len().cmp(&right.len()))
}

fn compare_maps(left: &[(SqlValue, SqlValue)], right: &[(SqlValue, SqlValue)]) -> Ordering {
    let sorted = |entries: &[(SqlValue, SqlValue)]| {
        let mut entries = entries.to_vec();
        entries.sort_by(|a, b| compare(&a.0, &b.0));
        entries
    };
    let (left, right) = (sorted(left), sorted(right));
    left.iter()
        .zip(&right)
        .map(|(a, b)| compare(&a.0, &b.0).then_with(|| compare(&a.1, &b.1)))
        .find(|o| o.is_ne())
        .unwrap_or_else(|| left.len().cmp(&right.len()))
}

fn rank(value: &SqlValue) -> u8 {
    match value {
        SqlValue::Null => 0,
        SqlValue::Boolean(_) => 1,
        SqlValue::Integer(_) => 2,
        SqlValue::Bigint(_) => 3,
        SqlValue::Double(_) => 4,
        SqlValue::Decimal(_) => 5,
        SqlValue::String(_) => 6,
        SqlValue::Bytes(_) => 7,
        SqlValue::Date(_) => 8,
        SqlValue::Time(_) => 9,
        SqlValue::Timestamp(_) => 10,
        SqlValue::Array(_) => 11,
        SqlValue::Map(_) => 12,
        SqlValue::Struct(_) => 13,
    }
}
