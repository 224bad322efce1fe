//! Which types go together: widening, arithmetic, casts, comparisons. Pure rules over [`SqlType`].

use crate::expr::ir::{ArithmeticOp, CompareOp};
use crate::types::{DECIMAL_PRECISION_MAX, SqlType, StructField};

/// Digits after the point that a division keeps at least.
const DIVISION_SCALE_MIN: i32 = 6;

/// Precision and scale of an exact number: INTEGER is (10, 0), BIGINT (19, 0).
pub fn as_decimal(sql_type: &SqlType) -> Option<(u8, u8)> {
    match sql_type {
        SqlType::Integer => Some((10, 0)),
        SqlType::Bigint => Some((19, 0)),
        SqlType::Decimal { precision, scale } => Some((*precision, *scale)),
        _ => None,
    }
}

/// The narrowest type that both widen to without an explicit cast. None if there is none.
pub fn common_type(left: &SqlType, right: &SqlType) -> Option<SqlType> {
    use SqlType::{Array, Bigint, Bytes, Decimal, Double, Integer, Map, Struct};
    if left == right {
        return Some(left.clone());
    }
    match (left, right) {
        (Integer, Bigint) | (Bigint, Integer) => Some(Bigint),
        (Double, other) | (other, Double) if other.is_numeric() => Some(Double),
        (Decimal { .. }, other) | (other, Decimal { .. }) if other.is_numeric() => {
            let (p1, s1) = as_decimal(left)?;
            let (p2, s2) = as_decimal(right)?;
            let scale = s1.max(s2);
            let whole = (p1 - s1).max(p2 - s2);
            Some(bounded_decimal(i32::from(whole) + i32::from(scale), i32::from(scale)))
        }
        (SqlType::String, other) | (other, SqlType::String) if other.is_time() || *other == Bytes => {
            Some(other.clone())
        }
        (Array(a), Array(b)) => Some(SqlType::array(common_type(a, b)?)),
        (Map(k1, v1), Map(k2, v2)) => Some(SqlType::map(common_type(k1, k2)?, common_type(v1, v2)?)),
        (Struct(a), Struct(b)) => common_struct(a, b),
        _ => None,
    }
}

/// Fields of both by name, those of the left first.
fn common_struct(left: &[StructField], right: &[StructField]) -> Option<SqlType> {
    let mut fields = Vec::with_capacity(left.len());
    for field in left {
        let sql_type = match right.iter().find(|f| f.name == field.name) {
            Some(other) => common_type(&field.sql_type, &other.sql_type)?,
            None => field.sql_type.clone(),
        };
        fields.push(StructField { name: field.name.clone(), sql_type });
    }
    fields.extend(right.iter().filter(|f| left.iter().all(|l| l.name != f.name)).cloned());
    Some(SqlType::Struct(fields))
}

/// True if a value of `from` may stand where `to` is wanted, without an explicit cast and without losing digits.
pub fn widens_to(from: &SqlType, to: &SqlType) -> bool {
    use SqlType::{Array, Bigint, Bytes, Decimal, Double, Integer, Map, Struct};
    if from == to {
        return true;
    }
    match (from, to) {
        (Integer, Bigint) => true,
        (Integer | Bigint | Decimal { .. }, Double) => true,
        (Integer | Bigint | Decimal { .. }, Decimal { precision, scale }) => match as_decimal(from) {
            Some((p, s)) => s <= *scale && p - s <= precision - scale,
            None => false,
        },
        (SqlType::String, other) => other.is_time() || *other == Bytes,
        (Array(a), Array(b)) => widens_to(a, b),
        (Map(k1, v1), Map(k2, v2)) => widens_to(k1, k2) && widens_to(v1, v2),
        (Struct(a), Struct(b)) => a.iter().all(|f| {
            b.iter().find(|t| t.name == f.name).is_some_and(|t| widens_to(&f.sql_type, &t.sql_type))
        }),
        _ => false,
    }
}

/// The type of `left op right`. None if the operator does not take these types.
pub fn arithmetic_type(op: ArithmeticOp, left: &SqlType, right: &SqlType) -> Option<SqlType> {
    match (left, right) {
        (SqlType::String, SqlType::String) if op == ArithmeticOp::Add => Some(SqlType::String),
        (SqlType::Integer, SqlType::Integer) => Some(SqlType::Integer),
        (SqlType::Integer | SqlType::Bigint, SqlType::Integer | SqlType::Bigint) => Some(SqlType::Bigint),
        (SqlType::Double, other) | (other, SqlType::Double) if other.is_numeric() => Some(SqlType::Double),
        _ => {
            let (p1, s1) = as_decimal(left)?;
            let (p2, s2) = as_decimal(right)?;
            Some(decimal_result(op, (p1.into(), s1.into()), (p2.into(), s2.into())))
        }
    }
}

fn decimal_result(op: ArithmeticOp, (p1, s1): (i32, i32), (p2, s2): (i32, i32)) -> SqlType {
    let (precision, scale) = match op {
        ArithmeticOp::Add | ArithmeticOp::Subtract => (s1.max(s2) + (p1 - s1).max(p2 - s2) + 1, s1.max(s2)),
        ArithmeticOp::Multiply => (p1 + p2 + 1, s1 + s2),
        ArithmeticOp::Divide => {
            let scale = DIVISION_SCALE_MIN.max(s1 + p2 + 1);
            (p1 - s1 + s2 + scale, scale)
        }
        ArithmeticOp::Modulus => ((p1 - s1).min(p2 - s2) + s1.max(s2), s1.max(s2)),
    };
    bounded_decimal(precision, scale)
}

/// A DECIMAL of at most [`DECIMAL_PRECISION_MAX`] digits: what is too much is taken from the fraction, of which six
/// digits stay.
fn bounded_decimal(precision: i32, scale: i32) -> SqlType {
    let max = i32::from(DECIMAL_PRECISION_MAX);
    let excess = (precision - max).max(0);
    let scale = if excess > 0 { (scale - excess).max(scale.min(DIVISION_SCALE_MIN)) } else { scale };
    SqlType::decimal(precision.min(max) as u8, scale as u8)
}

/// True if CAST takes `from` to `to`.
pub fn cast_allowed(from: &SqlType, to: &SqlType) -> bool {
    use SqlType::{
        Array, Bigint, Boolean, Bytes, Date, Decimal, Double, Integer, Map, String, Struct, Time, Timestamp,
    };
    if from == to {
        return true;
    }
    match (from, to) {
        (Bytes, String) => false,
        (_, String) => true,
        (String, Boolean | Integer | Bigint | Decimal { .. } | Double | Bytes | Time | Date | Timestamp) => {
            true
        }
        (Integer | Bigint | Decimal { .. } | Double, Integer | Bigint | Decimal { .. } | Double) => true,
        (Date, Timestamp) | (Timestamp, Time | Date) => true,
        (Array(a), Array(b)) => cast_allowed(a, b),
        (Map(k1, v1), Map(k2, v2)) => cast_allowed(k1, k2) && cast_allowed(v1, v2),
        (Struct(a), Struct(b)) => b.iter().all(|target| {
            a.iter()
                .find(|f| f.name == target.name)
                .is_none_or(|f| cast_allowed(&f.sql_type, &target.sql_type))
        }),
        _ => false,
    }
}

/// True if `left op right` is a comparison.
pub fn comparable(op: CompareOp, left: &SqlType, right: &SqlType) -> bool {
    use SqlType::{Array, Boolean, Bytes, Date, Map, String, Struct, Time, Timestamp};
    let equality = matches!(op, CompareOp::Equal | CompareOp::NotEqual);
    match (left, right) {
        (l, r) if l.is_numeric() && r.is_numeric() => true,
        (String, String) | (Bytes, Bytes) | (Time, Time) => true,
        (String, other) | (other, String) if other.is_time() => true,
        (Date | Timestamp, Date | Timestamp) => true,
        (Boolean, Boolean) => equality,
        (Array(_), Array(_)) | (Map(..), Map(..)) | (Struct(_), Struct(_)) => equality,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
