//! `+ - * / %` and unary minus.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Datum, PrimitiveArray, Scalar};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::numeric::{add_wrapping, mul_wrapping, sub_wrapping};
use arrow::datatypes::{Decimal128Type, Decimal256Type, Float64Type, Int32Type, Int64Type, i256};
use arrow::error::ArrowError;

use crate::expr::ir::ArithmeticOp;
use crate::expr::kernels::cast::{AllRows, cast_value};
use crate::functions::budget::check_value;
use crate::functions::call::{Call, Decimals, Environment, KernelResult, Operand, Value};
use crate::types::SqlType;
use crate::value::DecimalValue;
use crate::value::decimal::{Rounding, power_of_ten, power_of_ten_i256, to_bigint, to_i256};

/// Computes `left op right` as `result`; NULL operands give NULL.
pub(crate) fn arithmetic(
    op: ArithmeticOp,
    (left, left_type): (&Value, &SqlType),
    (right, right_type): (&Value, &SqlType),
    result: &SqlType,
    rows: usize,
    environment: &dyn Environment,
) -> Result<Value, ArrowError> {
    let both_scalar = left.scalar && right.scalar;
    let spread = AllRows { environment, rows };
    let (rows, environment): (usize, &dyn Environment) =
        if both_scalar { (1, &spread) } else { (rows, environment) };
    let array = match result {
        SqlType::Integer | SqlType::Bigint | SqlType::Double => {
            let left = cast_value(left, left_type, result, rows, environment)?;
            let right = cast_value(right, right_type, result, rows, environment)?;
            match result {
                SqlType::Integer => integers::<Int32Type>(op, &left, &right, rows, environment)?,
                SqlType::Bigint => integers::<Int64Type>(op, &left, &right, rows, environment)?,
                _ => doubles(op, &left, &right, rows)?,
            }
        }
        SqlType::Decimal { precision, scale } => {
            let left = widened(left, left_type, rows, environment)?;
            let right = widened(right, right_type, rows, environment)?;
            decimals(op, &left, &right, (*precision, *scale), result, rows, environment)?
        }
        SqlType::String => concat(left, right, rows, environment)?,
        other => return Err(ArrowError::ComputeError(format!("no arithmetic gives {other}"))),
    };
    Ok(Value { array, scalar: both_scalar })
}

/// An integer operand as a DECIMAL of scale 0.
fn widened(
    value: &Value,
    sql_type: &SqlType,
    rows: usize,
    environment: &dyn Environment,
) -> Result<Value, ArrowError> {
    match sql_type {
        SqlType::Integer => cast_value(value, sql_type, &SqlType::decimal(10, 0), rows, environment),
        SqlType::Bigint => cast_value(value, sql_type, &SqlType::decimal(19, 0), rows, environment),
        _ => Ok(value.clone()),
    }
}

/// The value as an argument of an Arrow kernel.
pub(crate) fn datum(value: &Value) -> Box<dyn Datum> {
    if value.scalar {
        Box::new(Scalar::new(Arc::clone(&value.array)))
    } else {
        Box::new(Arc::clone(&value.array))
    }
}

/// Division of integers of the JVM: wraps, and has no result for zero.
trait WrappingDivision: Copy {
    fn is_zero_value(self) -> bool;
    fn divide(self, other: Self) -> Self;
    fn modulo(self, other: Self) -> Self;
}

macro_rules! wrapping_division {
    ($type:ty) => {
        impl WrappingDivision for $type {
            fn is_zero_value(self) -> bool {
                self == 0
            }
            fn divide(self, other: Self) -> Self {
                self.wrapping_div(other)
            }
            fn modulo(self, other: Self) -> Self {
                self.wrapping_rem(other)
            }
        }
    };
}

wrapping_division!(i32);
wrapping_division!(i64);

fn integers<T: ArrowPrimitiveType>(
    op: ArithmeticOp,
    left: &Value,
    right: &Value,
    rows: usize,
    environment: &dyn Environment,
) -> KernelResult
where
    T::Native: WrappingDivision + Default,
{
    let (l, r) = (datum(left), datum(right));
    let divide: fn(T::Native, T::Native) -> T::Native = match op {
        ArithmeticOp::Add => return add_wrapping(l.as_ref(), r.as_ref()),
        ArithmeticOp::Subtract => return sub_wrapping(l.as_ref(), r.as_ref()),
        ArithmeticOp::Multiply => return mul_wrapping(l.as_ref(), r.as_ref()),
        ArithmeticOp::Divide => WrappingDivision::divide,
        ArithmeticOp::Modulus => WrappingDivision::modulo,
    };
    let (l, r) = (left.array.as_primitive::<T>(), right.array.as_primitive::<T>());
    let (l_step, r_step) = (usize::from(!left.scalar), usize::from(!right.scalar));
    let mut values = Vec::with_capacity(rows);
    let mut valid = Vec::with_capacity(rows);
    for i in 0..rows {
        let (li, ri) = (i * l_step, i * r_step);
        let present = l.is_valid(li) && r.is_valid(ri);
        let divisor = r.value(ri);
        let zero = divisor.is_zero_value();
        if present && zero {
            environment.fail(i, "division by zero");
        }
        valid.push(present && !zero);
        values.push(if zero { T::Native::default() } else { divide(l.value(li), divisor) });
    }
    Ok(Arc::new(PrimitiveArray::<T>::new(values.into(), Some(NullBuffer::from(valid)))))
}

fn doubles(op: ArithmeticOp, left: &Value, right: &Value, rows: usize) -> KernelResult {
    let (l, r) = (left.array.as_primitive::<Float64Type>(), right.array.as_primitive::<Float64Type>());
    let compute: fn(f64, f64) -> f64 = match op {
        ArithmeticOp::Add => |a, b| a + b,
        ArithmeticOp::Subtract => |a, b| a - b,
        ArithmeticOp::Multiply => |a, b| a * b,
        ArithmeticOp::Divide => |a, b| a / b,
        ArithmeticOp::Modulus => |a, b| a % b,
    };
    let result: PrimitiveArray<Float64Type> = match (left.scalar, right.scalar) {
        (false, false) | (true, true) => arrow::compute::binary(l, r, compute)?,
        (false, true) if r.is_valid(0) => {
            let b = r.value(0);
            l.unary(|a| compute(a, b))
        }
        (true, false) if l.is_valid(0) => {
            let a = l.value(0);
            r.unary(|b| compute(a, b))
        }
        _ => PrimitiveArray::new_null(rows),
    };
    Ok(Arc::new(result))
}

fn concat(left: &Value, right: &Value, rows: usize, environment: &dyn Environment) -> KernelResult {
    let operands = [Operand::Value(left.clone()), Operand::Value(right.clone())];
    let argument_types = [Some(SqlType::String), Some(SqlType::String)];
    let return_type = SqlType::String;
    let call = Call {
        rows,
        operands: &operands,
        argument_types: &argument_types,
        return_type: &return_type,
        environment,
    };
    let (l, r) = (call.strings(0), call.strings(1));
    call.build_strings(|i| match (l.get(i), r.get(i)) {
        (Some(l), Some(r)) => {
            check_value(l.len() + r.len())?;
            Ok(Some(format!("{l}{r}")))
        }
        // As in Java, where the operator is joined with the text of the reference.
        (Some(l), None) => Ok(Some(format!("{l}null"))),
        (None, Some(r)) => Ok(Some(format!("null{r}"))),
        (None, None) => Ok(None),
    })
}

/// Exact decimals: a result that would have to be rounded, or has too many digits, fails.
fn decimals(
    op: ArithmeticOp,
    left: &Value,
    right: &Value,
    (precision, scale): (u8, u8),
    result: &SqlType,
    rows: usize,
    environment: &dyn Environment,
) -> KernelResult {
    if let Some(array) = decimals_by_arrow(op, left, right, result)? {
        return Ok(array);
    }
    let argument_types = [None, None];
    let operands = [Operand::Value(left.clone()), Operand::Value(right.clone())];
    let call =
        Call { rows, operands: &operands, argument_types: &argument_types, return_type: result, environment };
    let (l, r) = (Decimals::new(left), Decimals::new(right));
    call.build_decimals(|i| match (l.get(i), r.get(i)) {
        (Some(a), Some(b)) => decimal(op, a, b, precision, scale).map(Some),
        _ => Ok(None),
    })
}

/// Addition, subtraction and multiplication of decimals whose result cannot overflow 128 bits have Arrow kernels with
/// the same result types.
fn decimals_by_arrow(
    op: ArithmeticOp,
    left: &Value,
    right: &Value,
    result: &SqlType,
) -> Result<Option<ArrayRef>, ArrowError> {
    let SqlType::Decimal { precision, .. } = result else { return Ok(None) };
    let narrow = |v: &Value| v.array.as_primitive_opt::<Decimal128Type>().is_some();
    if *precision > 38 || !narrow(left) || !narrow(right) {
        return Ok(None);
    }
    let (l, r) = (datum(left), datum(right));
    let array = match op {
        ArithmeticOp::Add => add_wrapping(l.as_ref(), r.as_ref()),
        ArithmeticOp::Subtract => sub_wrapping(l.as_ref(), r.as_ref()),
        ArithmeticOp::Multiply => mul_wrapping(l.as_ref(), r.as_ref()),
        ArithmeticOp::Divide | ArithmeticOp::Modulus => return Ok(None),
    };
    // Arrow refuses some products early; the exact path takes those.
    Ok(array.ok().filter(|a| *a.data_type() == result.to_arrow()))
}

fn decimal(
    op: ArithmeticOp,
    left: DecimalValue,
    right: DecimalValue,
    precision: u8,
    scale: u8,
) -> Result<i256, String> {
    let inexact =
        || format!("rounding necessary: the result does not fit DECIMAL({precision}, {scale}) exactly");
    match op {
        ArithmeticOp::Add | ArithmeticOp::Subtract => {
            let at = |d: DecimalValue| to_bigint(d.unscaled) * power_of_ten(u32::from(scale - d.scale));
            let sum = if op == ArithmeticOp::Add { at(left) + at(right) } else { at(left) - at(right) };
            to_i256(&sum).ok_or_else(inexact)
        }
        ArithmeticOp::Multiply => {
            let mut product = left.to_big();
            product.unscaled *= to_bigint(right.unscaled);
            product.scale += i64::from(right.scale);
            let rescaled = product.rescale(i64::from(scale), Rounding::Unnecessary).ok_or_else(inexact)?;
            to_i256(&rescaled.unscaled).ok_or_else(inexact)
        }
        ArithmeticOp::Divide => {
            if right.unscaled == i256::ZERO {
                return Err("division by zero".to_owned());
            }
            let shift = i64::from(scale) - i64::from(left.scale) + i64::from(right.scale);
            divide(left.unscaled, right.unscaled, shift).ok_or_else(inexact)
        }
        ArithmeticOp::Modulus => {
            if right.unscaled == i256::ZERO {
                return Err("division by zero".to_owned());
            }
            let at = |d: DecimalValue| to_bigint(d.unscaled) * power_of_ten(u32::from(scale - d.scale));
            to_i256(&(at(left) % at(right))).ok_or_else(inexact)
        }
    }
}

/// `left` × 10^`shift` / `right` if that is a whole number.
fn divide(left: i256, right: i256, shift: i64) -> Option<i256> {
    let factor = u32::try_from(shift).ok().and_then(power_of_ten_i256);
    if let Some(numerator) = factor.and_then(|f| left.checked_mul(f)) {
        return (numerator.checked_rem(right)? == i256::ZERO).then(|| numerator.checked_div(right)).flatten();
    }
    let (mut numerator, mut divisor) = (to_bigint(left), to_bigint(right));
    if shift >= 0 {
        numerator *= power_of_ten(shift as u32);
    } else {
        divisor *= power_of_ten(-shift as u32);
    }
    to_i256(&crate::value::decimal::divide_rounded(&numerator, &divisor, Rounding::Unnecessary)?)
}

/// `-value`; the smallest integer stays as it is.
pub(crate) fn negate(array: &ArrayRef, sql_type: &SqlType) -> KernelResult {
    Ok(match sql_type {
        SqlType::Integer => {
            Arc::new(array.as_primitive::<Int32Type>().unary::<_, Int32Type>(i32::wrapping_neg))
        }
        SqlType::Bigint => {
            Arc::new(array.as_primitive::<Int64Type>().unary::<_, Int64Type>(i64::wrapping_neg))
        }
        SqlType::Double => Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(|v| -v)),
        SqlType::Decimal { precision, scale } if *precision <= 38 => {
            let negated = array.as_primitive::<Decimal128Type>().unary::<_, Decimal128Type>(|v| -v);
            Arc::new(negated.with_precision_and_scale(*precision, *scale as i8)?)
        }
        SqlType::Decimal { precision, scale } => {
            let negated =
                array.as_primitive::<Decimal256Type>().unary::<_, Decimal256Type>(i256::wrapping_neg);
            Arc::new(negated.with_precision_and_scale(*precision, *scale as i8)?)
        }
        other => return Err(ArrowError::ComputeError(format!("{other} has no negative"))),
    })
}
