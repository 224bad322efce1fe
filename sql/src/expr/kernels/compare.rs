//! Comparisons, which are FALSE for NULL and never NULL themselves.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, make_comparator};
use arrow::buffer::BooleanBuffer;
use arrow::compute::SortOptions;
use arrow::compute::kernels::cmp;
use arrow::datatypes::Float64Type;
use arrow::error::ArrowError;

use crate::expr::ir::CompareOp;
use crate::expr::kernels::arithmetic::datum;
use crate::expr::kernels::cast::cast_value;
use crate::functions::call::{Decimals, Environment, Value};
use crate::types::SqlType;
use crate::value::convert::from_array;
use crate::value::decimal::BigDecimal;
use crate::value::order;

/// Compares two columns of these types.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    pub(crate) op: CompareOp,
    pub(crate) left: SqlType,
    pub(crate) right: SqlType,
}

impl Comparison {
    /// Shape: a Boolean column of `rows` rows without NULLs, or one such value if both sides are scalar.
    pub(crate) fn evaluate(
        &self,
        left: &Value,
        right: &Value,
        rows: usize,
        environment: &dyn Environment,
    ) -> Result<Value, ArrowError> {
        let scalar = left.scalar && right.scalar;
        let length = if scalar { 1 } else { rows };
        let (left, right, common) = self.coerce(left, right, rows, environment)?;
        let result = match common {
            Common::Native => self.native(&left, &right)?,
            Common::Double => self.rows(&left, &right, length, |l, r| {
                let (l, r) = (l.as_primitive::<Float64Type>(), r.as_primitive::<Float64Type>());
                Box::new(move |i, j| l.value(i).partial_cmp(&r.value(j)))
            }),
            Common::Bytes => self.rows(&left, &right, length, |l, r| {
                let (l, r) = (l.as_binary::<i32>(), r.as_binary::<i32>());
                Box::new(move |i, j| Some(compare_signed(l.value(i), r.value(j))))
            }),
            Common::Exact => self.exact(&left, &right, length),
            Common::Nested => self.nested(&left, &right, length)?,
        };
        let array: ArrayRef = Arc::new(result);
        Ok(Value { array, scalar })
    }

    /// Brings both sides to types that one kernel compares.
    fn coerce(
        &self,
        left: &Value,
        right: &Value,
        rows: usize,
        environment: &dyn Environment,
    ) -> Result<(Value, Value, Common), ArrowError> {
        let to = |target: &SqlType| -> Result<(Value, Value), ArrowError> {
            Ok((
                cast_value(left, &self.left, target, rows, environment)?,
                cast_value(right, &self.right, target, rows, environment)?,
            ))
        };
        let (target, common) = match (&self.left, &self.right) {
            (SqlType::Decimal { .. }, other) | (other, SqlType::Decimal { .. }) => {
                let common = if self.left == self.right { Common::Native } else { Common::Exact };
                debug_assert!(other.is_numeric());
                return Ok((left.clone(), right.clone(), common));
            }
            (SqlType::Double, _) | (_, SqlType::Double) => (SqlType::Double, Common::Double),
            (SqlType::Bytes, SqlType::Bytes) => (SqlType::Bytes, Common::Bytes),
            (l, r) if l == r && !l.is_nested() => (l.clone(), Common::Native),
            (SqlType::Integer | SqlType::Bigint, SqlType::Integer | SqlType::Bigint) => {
                (SqlType::Bigint, Common::Native)
            }
            (SqlType::Date, SqlType::Timestamp) | (SqlType::Timestamp, SqlType::Date) => {
                (SqlType::Timestamp, Common::Native)
            }
            (SqlType::String, time) | (time, SqlType::String) if time.is_time() => {
                (time.clone(), Common::Native)
            }
            (l, r) if l.is_nested() && r.is_nested() => {
                return Ok((left.clone(), right.clone(), Common::Nested));
            }
            (l, r) => {
                return Err(ArrowError::ComputeError(format!("{l} cannot be compared with {r}")));
            }
        };
        let (left, right) = to(&target)?;
        Ok((left, right, common))
    }

    fn native(&self, left: &Value, right: &Value) -> Result<BooleanArray, ArrowError> {
        let (l, r) = (datum(left), datum(right));
        let (l, r) = (l.as_ref(), r.as_ref());
        let result = match self.op {
            CompareOp::Equal => cmp::eq(l, r),
            CompareOp::NotEqual => cmp::neq(l, r),
            CompareOp::Less => cmp::lt(l, r),
            CompareOp::LessOrEqual => cmp::lt_eq(l, r),
            CompareOp::Greater => cmp::gt(l, r),
            CompareOp::GreaterOrEqual => cmp::gt_eq(l, r),
        }?;
        Ok(false_for_null(&result))
    }

    /// Compares present rows one by one; an order of None (NaN) satisfies only `<>`.
    fn rows<'a>(
        &self,
        left: &'a Value,
        right: &'a Value,
        rows: usize,
        comparator: impl Fn(&'a ArrayRef, &'a ArrayRef) -> Box<dyn Fn(usize, usize) -> Option<Ordering> + 'a>,
    ) -> BooleanArray {
        let compare = comparator(&left.array, &right.array);
        let (l_step, r_step) = (usize::from(!left.scalar), usize::from(!right.scalar));
        let holds = |i: usize| {
            let (l, r) = (i * l_step, i * r_step);
            left.array.is_valid(l) && right.array.is_valid(r) && self.accepts(compare(l, r))
        };
        BooleanArray::new(BooleanBuffer::collect_bool(rows, holds), None)
    }

    fn accepts(&self, order: Option<Ordering>) -> bool {
        let Some(order) = order else { return self.op == CompareOp::NotEqual };
        match self.op {
            CompareOp::Equal => order.is_eq(),
            CompareOp::NotEqual => order.is_ne(),
            CompareOp::Less => order.is_lt(),
            CompareOp::LessOrEqual => order.is_le(),
            CompareOp::Greater => order.is_gt(),
            CompareOp::GreaterOrEqual => order.is_ge(),
        }
    }

    /// Numbers of which at least one is a DECIMAL.
    fn exact(&self, left: &Value, right: &Value, rows: usize) -> BooleanArray {
        if let (SqlType::Decimal { .. }, SqlType::Decimal { .. }) = (&self.left, &self.right) {
            let (l, r) = (Decimals::new(left), Decimals::new(right));
            let holds = |i: usize| match (l.get(i), r.get(i)) {
                (Some(l), Some(r)) => self.accepts(Some(l.compare(r))),
                _ => false,
            };
            return BooleanArray::new(BooleanBuffer::collect_bool(rows, holds), None);
        }
        self.rows(left, right, rows, |l, r| {
            Box::new(move |i, j| {
                let (l, r) = (number(l, i, &self.left), number(r, j, &self.right));
                Some(match (l, r) {
                    (Number::Exact(l), Number::Exact(r)) => l.compare(&r),
                    (Number::Infinite(l), Number::Exact(_)) => l.partial_cmp(&0.0)?,
                    (Number::Exact(_), Number::Infinite(r)) => 0.0.partial_cmp(&r)?,
                    (Number::Infinite(l), Number::Infinite(r)) => l.partial_cmp(&r)?,
                })
            })
        })
    }

    fn nested(&self, left: &Value, right: &Value, rows: usize) -> Result<BooleanArray, ArrowError> {
        let maps = self.left.contains_map();
        if !maps && self.left == self.right {
            let compare = make_comparator(&left.array, &right.array, SortOptions::default())?;
            return Ok(self.rows(left, right, rows, |_, _| Box::new(|i, j| Some(compare(i, j)))));
        }
        Ok(self.rows(left, right, rows, |l, r| {
            Box::new(move |i, j| {
                Some(order::compare(&from_array(l, i, &self.left), &from_array(r, j, &self.right)))
            })
        }))
    }

    /// IS DISTINCT FROM: like `<>`, with NULL as a value of its own.
    pub(crate) fn distinct(
        &self,
        left: &Value,
        right: &Value,
        rows: usize,
        environment: &dyn Environment,
    ) -> Result<Value, ArrowError> {
        let equal = self.evaluate(left, right, rows, environment)?;
        let scalar = equal.scalar;
        let equal = equal.array.as_boolean();
        let (l_step, r_step) = (usize::from(!left.scalar), usize::from(!right.scalar));
        let holds = |i: usize| {
            let (l, r) = (left.array.is_null(i * l_step), right.array.is_null(i * r_step));
            !(l && r || equal.value(i))
        };
        let array: ArrayRef =
            Arc::new(BooleanArray::new(BooleanBuffer::collect_bool(equal.len(), holds), None));
        Ok(Value { array, scalar })
    }
}

/// What both sides of a comparison were brought to.
#[derive(Clone, Copy, Debug)]
enum Common {
    /// One Arrow type with an ordering of its own.
    Native,
    Double,
    Bytes,
    /// Numbers compared as exact decimals.
    Exact,
    Nested,
}

enum Number {
    Exact(BigDecimal),
    /// Infinities and NaN.
    Infinite(f64),
}

fn number(array: &ArrayRef, row: usize, sql_type: &SqlType) -> Number {
    use crate::value::{DecimalValue, SqlValue};
    match from_array(array, row, sql_type) {
        SqlValue::Integer(v) => Number::Exact(DecimalValue::from_i64(i64::from(v)).to_big()),
        SqlValue::Bigint(v) => Number::Exact(DecimalValue::from_i64(v).to_big()),
        SqlValue::Decimal(v) => Number::Exact(v.to_big()),
        SqlValue::Double(v) => BigDecimal::from_f64(v).map_or(Number::Infinite(v), Number::Exact),
        _ => Number::Infinite(f64::NAN),
    }
}

/// Bytes compare as signed, from the left.
fn compare_signed(left: &[u8], right: &[u8]) -> Ordering {
    left.iter()
        .zip(right)
        .map(|(l, r)| (*l as i8).cmp(&(*r as i8)))
        .find(|o| o.is_ne())
        .unwrap_or_else(|| left.len().cmp(&right.len()))
}

/// NULL becomes FALSE.
pub(crate) fn false_for_null(array: &BooleanArray) -> BooleanArray {
    match array.nulls() {
        Some(nulls) if nulls.null_count() > 0 => BooleanArray::new(array.values() & nulls.inner(), None),
        _ => BooleanArray::new(array.values().clone(), None),
    }
}
