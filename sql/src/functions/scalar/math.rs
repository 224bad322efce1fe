//! Arithmetic, rounding, logarithms, trigonometry.

use std::sync::Arc;

use arrow::array::{AsArray, PrimitiveArray};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};

use crate::functions::call::{Call, KernelResult};
use crate::functions::scalar::ScalarFunction;
use crate::types::SqlType;
use crate::value::DecimalValue;
use crate::value::decimal::{BigDecimal, Rounding, to_i256};

const CATEGORY: &str = "MATHEMATICAL";

pub(crate) fn functions() -> Vec<ScalarFunction> {
    let mut all = rounding();
    all.extend(trigonometry());
    all.extend(logarithms());
    all.push(
        ScalarFunction::new(
            "GEO_DISTANCE",
            "OTHER",
            "The great-circle distance between two points on earth.",
        )
        .with("(DOUBLE, DOUBLE, DOUBLE, DOUBLE) -> DOUBLE", geo_distance)
        .with("(DOUBLE, DOUBLE, DOUBLE, DOUBLE, STRING) -> DOUBLE", geo_distance),
    );
    all.push(
        ScalarFunction::new("RANDOM", CATEGORY, "A random number from 0.0, included, to 1.0, excluded.")
            .with("() -> DOUBLE", random),
    );
    all
}

fn function(name: &'static str, overview: &'static str) -> ScalarFunction {
    ScalarFunction::new(name, CATEGORY, overview)
}

/// The type of the first argument.
fn same(types: &[Option<SqlType>]) -> Option<SqlType> {
    types[0].clone()
}

/// DECIMAL(p − s, 0), at least one digit wide.
fn whole(types: &[Option<SqlType>]) -> Option<SqlType> {
    match types[0] {
        Some(SqlType::Decimal { precision, scale }) => Some(SqlType::decimal((precision - scale).max(1), 0)),
        _ => None,
    }
}

fn rounding() -> Vec<ScalarFunction> {
    vec![
        function("ABS", "The absolute value.")
            .with("(INT) -> INT", |c| ints(c, i32::wrapping_abs))
            .with("(BIGINT) -> BIGINT", |c| longs(c, i64::wrapping_abs))
            .with("(DOUBLE) -> DOUBLE", |c| doubles(c, f64::abs))
            .with_type("(DECIMAL) -> DECIMAL", same, |c| {
                let values = c.decimals(0);
                c.build_decimals(|i| Ok(values.get(i).map(|v| v.unscaled.wrapping_abs())))
            }),
        function("CEIL", "The smallest whole number that is not less.")
            .with("(INT) -> INT", |c| ints(c, |v| v))
            .with("(BIGINT) -> BIGINT", |c| longs(c, |v| v))
            .with("(DOUBLE) -> DOUBLE", |c| doubles(c, f64::ceil))
            .with_type("(DECIMAL) -> DECIMAL", same, |c| round_decimal(c, Rounding::Ceiling)),
        function("FLOOR", "The largest whole number that is not greater.")
            .with("(INT) -> INT", |c| ints(c, |v| v))
            .with("(BIGINT) -> BIGINT", |c| longs(c, |v| v))
            .with("(DOUBLE) -> DOUBLE", |c| doubles(c, f64::floor))
            .with_type("(DECIMAL) -> DECIMAL", same, |c| round_decimal(c, Rounding::Floor)),
        function("ROUND", "Rounds half up, toward positive infinity, to a number of decimal places.")
            .with("(INT) -> BIGINT", int_to_long)
            .with("(BIGINT) -> BIGINT", |c| longs(c, |v| v))
            .with("(DOUBLE) -> BIGINT", |c| double_to_long(c, |v| (v + 0.5).floor()))
            .with("(DOUBLE, INT) -> DOUBLE", |c| round_double(c, Rounding::HalfUpTowardPositive))
            .with_type("(DECIMAL) -> DECIMAL", whole, |c| round_decimal(c, Rounding::HalfUpTowardPositive))
            .with_type("(DECIMAL, INT) -> DECIMAL", same, |c| {
                round_decimal(c, Rounding::HalfUpTowardPositive)
            }),
        function("TRUNC", "Cuts to a number of decimal places.")
            .with("(INT) -> BIGINT", int_to_long)
            .with("(BIGINT) -> BIGINT", |c| longs(c, |v| v))
            .with("(DOUBLE) -> BIGINT", |c| double_to_long(c, f64::trunc))
            .with("(DOUBLE, INT) -> DOUBLE", |c| round_double(c, Rounding::TowardZero))
            .with_type("(DECIMAL) -> DECIMAL", whole, |c| round_decimal(c, Rounding::TowardZero))
            .with_type("(DECIMAL, INT) -> DECIMAL", same, |c| round_decimal(c, Rounding::TowardZero)),
        function("SIGN", "−1, 0 or 1 by the sign of a number.")
            .with("(INT) -> INT", |c| ints(c, i32::signum))
            .with("(BIGINT) -> INT", |c| {
                let values = c.longs(0);
                c.build_ints(|i| Ok(values.get(i).map(|v| v.signum() as i32)))
            })
            .with("(DOUBLE) -> INT", |c| {
                let values = c.doubles(0);
                c.build_ints(|i| Ok(values.get(i).map(|v| i32::from(v > 0.0) - i32::from(v < 0.0))))
            }),
    ]
}

fn trigonometry() -> Vec<ScalarFunction> {
    let unary = |name, overview, kernel| function(name, overview).with("(DOUBLE) -> DOUBLE", kernel);
    vec![
        unary("ACOS", "The inverse cosine, in radians.", |c| doubles(c, f64::acos)),
        unary("ASIN", "The inverse sine, in radians.", |c| doubles(c, f64::asin)),
        unary("ATAN", "The inverse tangent, in radians.", |c| doubles(c, f64::atan)),
        function("ATAN2", "The angle of the point (x, y), given y first, in radians.")
            .with("(DOUBLE, DOUBLE) -> DOUBLE", |c| binary(c, f64::atan2)),
        unary("COS", "The cosine of an angle in radians.", |c| doubles(c, f64::cos)),
        unary("COSH", "The hyperbolic cosine.", |c| doubles(c, f64::cosh)),
        unary("COT", "The cotangent of an angle in radians.", |c| doubles(c, |v| 1.0 / v.tan())),
        unary("DEGREES", "Radians to degrees.", |c| doubles(c, f64::to_degrees)),
        unary("RADIANS", "Degrees to radians.", |c| doubles(c, f64::to_radians)),
        unary("SIN", "The sine of an angle in radians.", |c| doubles(c, f64::sin)),
        unary("SINH", "The hyperbolic sine.", |c| doubles(c, f64::sinh)),
        unary("TAN", "The tangent of an angle in radians.", |c| doubles(c, f64::tan)),
        unary("TANH", "The hyperbolic tangent.", |c| doubles(c, f64::tanh)),
        function("PI", "The ratio of a circle's circumference to its diameter.").with("() -> DOUBLE", |c| {
            Ok(Arc::new(PrimitiveArray::<Float64Type>::from_value(std::f64::consts::PI, c.rows)))
        }),
    ]
}

fn logarithms() -> Vec<ScalarFunction> {
    let unary = |name, overview, kernel| function(name, overview).with("(DOUBLE) -> DOUBLE", kernel);
    vec![
        unary("CBRT", "The cube root.", |c| doubles(c, f64::cbrt)),
        unary("EXP", "Euler's number to a power.", |c| doubles(c, f64::exp)),
        unary("LN", "The natural logarithm.", |c| doubles(c, f64::ln)),
        function("LOG", "The logarithm: natural, or to a base that is given first.")
            .with("(DOUBLE) -> DOUBLE", |c| doubles(c, f64::ln))
            .with("(DOUBLE, DOUBLE) -> DOUBLE", |c| {
                binary(
                    c,
                    |base, value| {
                        if base <= 0.0 || base == 1.0 { f64::NAN } else { value.ln() / base.ln() }
                    },
                )
            }),
        function("POWER", "A base to an exponent.")
            .with("(DOUBLE, DOUBLE) -> DOUBLE", |c| binary(c, f64::powf)),
        unary("SQRT", "The square root.", |c| doubles(c, f64::sqrt)),
    ]
}

fn ints(call: &Call<'_>, compute: fn(i32) -> i32) -> KernelResult {
    Ok(Arc::new(call.array(0)?.as_primitive::<Int32Type>().unary::<_, Int32Type>(compute)))
}

fn longs(call: &Call<'_>, compute: fn(i64) -> i64) -> KernelResult {
    Ok(Arc::new(call.array(0)?.as_primitive::<Int64Type>().unary::<_, Int64Type>(compute)))
}

fn doubles(call: &Call<'_>, compute: fn(f64) -> f64) -> KernelResult {
    Ok(Arc::new(call.array(0)?.as_primitive::<Float64Type>().unary::<_, Float64Type>(compute)))
}

fn int_to_long(call: &Call<'_>) -> KernelResult {
    Ok(Arc::new(call.array(0)?.as_primitive::<Int32Type>().unary::<_, Int64Type>(i64::from)))
}

/// Saturates, and gives 0 for NaN, as the JVM does.
fn double_to_long(call: &Call<'_>, compute: fn(f64) -> f64) -> KernelResult {
    Ok(Arc::new(call.array(0)?.as_primitive::<Float64Type>().unary::<_, Int64Type>(|v| compute(v) as i64)))
}

fn binary(call: &Call<'_>, compute: fn(f64, f64) -> f64) -> KernelResult {
    let (left, right) = (call.doubles(0), call.doubles(1));
    call.build_doubles(|i| match (left.get(i), right.get(i)) {
        (Some(l), Some(r)) => Ok(Some(compute(l, r))),
        _ => Ok(None),
    })
}

fn round_double(call: &Call<'_>, rounding: Rounding) -> KernelResult {
    let (values, places) = (call.doubles(0), call.ints(1));
    call.build_doubles(|i| {
        let (Some(value), Some(places)) = (values.get(i), places.get(i)) else { return Ok(None) };
        // NaN, infinities, and places beyond every digit stay as they are.
        let Some(decimal) = BigDecimal::from_f64(value) else { return Ok(Some(value)) };
        let places = i64::from(places);
        if places >= decimal.scale {
            return Ok(Some(value));
        }
        if places < -400 {
            return Ok(Some(0.0));
        }
        let rounded = decimal.rescale(places, rounding).ok_or("rounding failed")?;
        let text = format!("{}e{}", rounded.unscaled, -rounded.scale);
        text.parse().map(Some).map_err(|_| format!("{text} is not a number"))
    })
}

/// Rounds to the places of the second argument, or to none, and gives the result the scale of the call's type.
fn round_decimal(call: &Call<'_>, rounding: Rounding) -> KernelResult {
    let values = call.decimals(0);
    let places = (call.count() > 1).then(|| call.ints(1));
    let SqlType::Decimal { scale, .. } = *call.return_type else {
        unreachable!("rounding a decimal gives a decimal");
    };
    let round = |value: DecimalValue, places: i64| {
        let places = places.clamp(-400, i64::from(value.scale));
        let rounded = value.to_big().rescale(places, rounding)?;
        to_i256(&rounded.rescale(i64::from(scale), Rounding::TowardZero)?.unscaled)
    };
    call.build_rounded_decimals(|i| {
        let Some(value) = values.get(i) else { return Ok(None) };
        let places = match &places {
            None => 0,
            Some(places) => match places.get(i) {
                Some(places) => i64::from(places),
                None => return Ok(None),
            },
        };
        round(value, places).map(Some).ok_or_else(|| format!("numeric field overflow: rounding {value}"))
    })
}

fn random(call: &Call<'_>) -> KernelResult {
    // 53 random bits are every double of that spacing in [0, 1).
    call.build_doubles(|_| Ok(Some((call.environment.random() >> 11) as f64 / (1_u64 << 53) as f64)))
}

/// Haversine on a sphere. The order of the operations decides the last digits: the conformance cases fix it.
fn geo_distance(call: &Call<'_>) -> KernelResult {
    let [lat1, lon1, lat2, lon2] = [0, 1, 2, 3].map(|i| call.doubles(i));
    let units = (call.count() > 4).then(|| call.strings(4));
    call.build_doubles(|i| {
        let (Some(lat1), Some(lon1), Some(lat2), Some(lon2)) =
            (lat1.get(i), lon1.get(i), lat2.get(i), lon2.get(i))
        else {
            return Ok(None);
        };
        let radius = match units.as_ref().and_then(|u| u.get(i)).unwrap_or("").to_ascii_lowercase().trim() {
            "" | "km" | "kilometer" | "kilometers" | "kilometre" | "kilometres" => 6371.0,
            "mi" | "mile" | "miles" => 3959.0,
            other => return Err(format!("GEO_DISTANCE measures in kilometres or miles, not \"{other}\"")),
        };
        if [lat1, lat2].iter().any(|v| v.abs() > 90.0) || [lon1, lon2].iter().any(|v| v.abs() > 180.0) {
            return Err("GEO_DISTANCE takes latitudes up to ±90 and longitudes up to ±180 degrees".to_owned());
        }
        let radians = |degrees: f64| degrees / 180.0 * std::f64::consts::PI;
        let half_latitude = (radians(lat2 - lat1) / 2.0).sin();
        let half_longitude = (radians(lon2 - lon1) / 2.0).sin();
        let a = half_latitude * half_latitude
            + half_longitude * half_longitude * radians(lat1).cos() * radians(lat2).cos();
        Ok(Some(radius * 2.0 * a.sqrt().asin()))
    })
}
