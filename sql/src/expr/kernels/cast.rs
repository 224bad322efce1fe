//! CAST and implicit conversions.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, MapArray, StructArray, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::cast::cast as arrow_cast;
use arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int32Type, Int64Type, Time32MillisecondType, TimestampMillisecondType,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::functions::budget::Budget;
use crate::functions::call::{Call, Environment, KernelResult, Operand, Value};
use crate::types::{SqlType, StructField};
use crate::value::DecimalValue;
use crate::value::convert::{from_array, list_array, map_array};
use crate::value::decimal::{BigDecimal, Rounding};
use crate::value::text::{format_value, parse_bigint, parse_boolean, parse_double};
use crate::value::time::{DAY_MS, parse_date, parse_time, parse_timestamp};

/// True if CAST from one type to the other exists.
pub(crate) fn is_supported(from: &SqlType, to: &SqlType) -> bool {
    match (from, to) {
        _ if from == to => true,
        (SqlType::Bytes, _) => false,
        (_, SqlType::String) => true,
        (SqlType::String, to) => !to.is_nested(),
        (from, to) if from.is_numeric() && to.is_numeric() => true,
        (SqlType::Date, SqlType::Timestamp) | (SqlType::Timestamp, SqlType::Date | SqlType::Time) => true,
        (SqlType::Array(from), SqlType::Array(to)) => is_supported(from, to),
        (SqlType::Map(from_key, from_value), SqlType::Map(to_key, to_value)) => {
            is_supported(from_key, to_key) && is_supported(from_value, to_value)
        }
        (SqlType::Struct(from), SqlType::Struct(to)) => to.iter().all(|target| {
            from.iter()
                .find(|source| source.name == target.name)
                .is_none_or(|source| is_supported(&source.sql_type, &target.sql_type))
        }),
        _ => false,
    }
}

/// Converts a whole column; rows that cannot be converted are reported and become NULL.
pub(crate) fn cast(
    array: &ArrayRef,
    from: &SqlType,
    to: &SqlType,
    environment: &dyn Environment,
) -> KernelResult {
    if from == to {
        return Ok(Arc::clone(array));
    }
    match (from, to) {
        (SqlType::Integer, SqlType::Bigint | SqlType::Double) | (SqlType::Bigint, SqlType::Double) => {
            arrow_cast(array, &to.to_arrow())
        }
        (SqlType::Bigint, SqlType::Integer) => {
            let wrapped = array.as_primitive::<Int64Type>().unary::<_, Int32Type>(|v| v as i32);
            Ok(Arc::new(wrapped))
        }
        (SqlType::Double, SqlType::Integer) => {
            Ok(Arc::new(array.as_primitive::<Float64Type>().unary::<_, Int32Type>(|v| v as i32)))
        }
        (SqlType::Double, SqlType::Bigint) => {
            Ok(Arc::new(array.as_primitive::<Float64Type>().unary::<_, Int64Type>(|v| v as i64)))
        }
        (SqlType::Date, SqlType::Timestamp) => {
            let days = array.as_primitive::<Date32Type>();
            Ok(Arc::new(days.unary::<_, TimestampMillisecondType>(|d| i64::from(d) * DAY_MS)))
        }
        (SqlType::Timestamp, SqlType::Date) => {
            let timestamps = array.as_primitive::<TimestampMillisecondType>();
            Ok(Arc::new(timestamps.unary::<_, Date32Type>(|t| t.div_euclid(DAY_MS) as i32)))
        }
        (SqlType::Timestamp, SqlType::Time) => {
            let timestamps = array.as_primitive::<TimestampMillisecondType>();
            Ok(Arc::new(timestamps.unary::<_, Time32MillisecondType>(|t| t.rem_euclid(DAY_MS) as i32)))
        }
        (SqlType::Array(from_element), SqlType::Array(to_element)) => {
            let list = array.as_list::<i32>();
            let (offsets, first, count) = own_offsets(list.value_offsets());
            let owner = Owners::new(&offsets, environment);
            let elements = cast(&list.values().slice(first, count), from_element, to_element, &owner)?;
            Ok(list_array(to, offsets, elements, list.nulls().cloned()))
        }
        (SqlType::Map(from_key, from_value), SqlType::Map(to_key, to_value)) => {
            cast_map(array.as_map(), (from_key, from_value), (to_key, to_value), to, environment)
        }
        (SqlType::Struct(from_fields), SqlType::Struct(to_fields)) => {
            cast_struct(array.as_struct(), from_fields, to_fields, to, environment)
        }
        _ => cast_rows(array, from, to, environment),
    }
}

/// The same for a column or a single value; a value that cannot be converted fails in every row.
pub(crate) fn cast_value(
    value: &Value,
    from: &SqlType,
    to: &SqlType,
    rows: usize,
    environment: &dyn Environment,
) -> Result<Value, arrow::error::ArrowError> {
    let spread = AllRows { environment, rows };
    let environment: &dyn Environment = if value.scalar { &spread } else { environment };
    Ok(Value { array: cast(&value.array, from, to, environment)?, scalar: value.scalar })
}

/// Reports a failure of the one value of a constant for each row that reads it.
pub(crate) struct AllRows<'a> {
    pub(crate) environment: &'a dyn Environment,
    pub(crate) rows: usize,
}

impl Environment for AllRows<'_> {
    fn fail(&self, _row: usize, message: &str) {
        for row in 0..self.rows {
            self.environment.fail(row, message);
        }
    }

    fn now_ms(&self) -> i64 {
        self.environment.now_ms()
    }

    fn random(&self) -> u64 {
        self.environment.random()
    }

    fn budget(&self) -> &Budget {
        self.environment.budget()
    }
}

/// Reports a failure of an element for the row that the element belongs to.
struct Owners<'a> {
    offsets: &'a [i32],
    environment: &'a dyn Environment,
}

impl<'a> Owners<'a> {
    fn new(offsets: &'a [i32], environment: &'a dyn Environment) -> Owners<'a> {
        Owners { offsets, environment }
    }
}

impl Environment for Owners<'_> {
    fn fail(&self, row: usize, message: &str) {
        let owner = self.offsets.partition_point(|offset| *offset <= row as i32);
        self.environment.fail(owner.saturating_sub(1), message);
    }

    fn now_ms(&self) -> i64 {
        self.environment.now_ms()
    }

    fn random(&self) -> u64 {
        self.environment.random()
    }

    fn budget(&self) -> &Budget {
        self.environment.budget()
    }
}

/// The offsets of a slice of a list, counted from its own first element, which is `.1`; `.2` are its elements. The
/// elements of rows outside of the slice are not converted: their failures belong to no row of it.
fn own_offsets(offsets: &[i32]) -> (Vec<i32>, usize, usize) {
    let first = offsets[0];
    let own: Vec<i32> = offsets.iter().map(|offset| offset - first).collect();
    let count = own[own.len() - 1] as usize;
    (own, first as usize, count)
}

fn cast_map(
    map: &MapArray,
    (from_key, from_value): (&SqlType, &SqlType),
    (to_key, to_value): (&SqlType, &SqlType),
    to: &SqlType,
    environment: &dyn Environment,
) -> KernelResult {
    let (own, first, count) = own_offsets(map.value_offsets());
    let owner = Owners::new(&own, environment);
    let keys = cast(&map.keys().slice(first, count), from_key, to_key, &owner)?;
    let values = cast(&map.values().slice(first, count), from_value, to_value, &owner)?;
    if keys.null_count() == 0 {
        return Ok(map_array(to, own, keys, values, map.nulls().cloned()));
    }
    // A key that could not be converted takes its entry with it.
    let mut offsets = vec![0_i32];
    let mut kept = Vec::new();
    for window in own.windows(2) {
        kept.extend((window[0]..window[1]).filter(|i| keys.is_valid(*i as usize)).map(|i| i as u32));
        offsets.push(kept.len() as i32);
    }
    let kept = arrow::array::UInt32Array::from(kept);
    let keys = arrow::compute::take(&keys, &kept, None)?;
    let values = arrow::compute::take(&values, &kept, None)?;
    Ok(map_array(to, offsets, keys, values, map.nulls().cloned()))
}

fn cast_struct(
    source: &StructArray,
    from: &[StructField],
    to: &[StructField],
    target: &SqlType,
    environment: &dyn Environment,
) -> KernelResult {
    let DataType::Struct(fields) = target.to_arrow() else {
        unreachable!("STRUCT is a struct in Arrow");
    };
    let columns = to
        .iter()
        .map(|field| match from.iter().position(|f| f.name == field.name) {
            Some(i) => cast(source.column(i), &from[i].sql_type, &field.sql_type, environment),
            None => Ok(new_null_array(&field.sql_type.to_arrow(), source.len())),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let nulls: Option<NullBuffer> = source.nulls().cloned();
    if columns.is_empty() {
        return Ok(Arc::new(StructArray::new_empty_fields(source.len(), nulls)));
    }
    Ok(Arc::new(StructArray::new(fields, columns, nulls)))
}

/// Casts that go through values one by one.
fn cast_rows(array: &ArrayRef, from: &SqlType, to: &SqlType, environment: &dyn Environment) -> KernelResult {
    let operands = [Operand::Value(Value::column(Arc::clone(array)))];
    let argument_types = [Some(from.clone())];
    let call = Call {
        rows: array.len(),
        operands: &operands,
        argument_types: &argument_types,
        return_type: to,
        environment,
    };
    match (from, to) {
        (SqlType::String, _) => from_string(&call, to),
        (_, SqlType::String) => to_string(&call, array, from),
        (_, SqlType::Decimal { precision, scale }) => to_decimal(&call, from, *precision, *scale),
        (SqlType::Decimal { .. }, _) => from_decimal(&call, to),
        _ => Err(unsupported(from, to)),
    }
}

fn unsupported(from: &SqlType, to: &SqlType) -> arrow::error::ArrowError {
    arrow::error::ArrowError::CastError(format!("cast of {from} to {to} is not supported"))
}

/// Casts a present text, or says that it is not a value of the type.
fn parse<T>(text: &str, to: &SqlType, value: Option<T>) -> Result<Option<T>, String> {
    match value {
        Some(value) => Ok(Some(value)),
        None => Err(format!("cannot cast \"{text}\" to {to}")),
    }
}

fn from_string(call: &Call<'_>, to: &SqlType) -> KernelResult {
    let texts = call.strings(0);
    match to {
        SqlType::Boolean => call.build_booleans(|i| Ok(texts.get(i).map(parse_boolean))),
        SqlType::Integer => call.build_ints(|i| match texts.get(i) {
            Some(t) => parse(t, to, t.trim().parse().ok()),
            None => Ok(None),
        }),
        SqlType::Bigint => call.build_longs(|i| match texts.get(i) {
            Some(t) => parse(t, to, parse_bigint(t)),
            None => Ok(None),
        }),
        SqlType::Double => call.build_doubles(|i| match texts.get(i) {
            Some(t) => parse(t, to, parse_double(t)),
            None => Ok(None),
        }),
        SqlType::Decimal { precision, scale } => call.build_decimals(|i| match texts.get(i) {
            Some(t) => {
                let number = BigDecimal::parse(t.trim());
                let fitted = number.and_then(|n| n.to_decimal(*precision, *scale, Rounding::HalfUp));
                parse(t, to, fitted.map(|d| d.unscaled))
            }
            None => Ok(None),
        }),
        SqlType::Bytes => call.build_bytes(|i| match texts.get(i) {
            Some(t) => parse(t, to, BASE64.decode(t).ok()),
            None => Ok(None),
        }),
        SqlType::Date => call.build_dates(|i| match texts.get(i) {
            Some(t) => parse(t, to, parse_date(t.trim())),
            None => Ok(None),
        }),
        SqlType::Time => call.build_times(|i| match texts.get(i) {
            Some(t) => parse(t, to, parse_time(t.trim())),
            None => Ok(None),
        }),
        SqlType::Timestamp => call.build_timestamps(|i| match texts.get(i) {
            Some(t) => parse(t, to, parse_timestamp(t.trim())),
            None => Ok(None),
        }),
        SqlType::String | SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_) => {
            Err(unsupported(&SqlType::String, to))
        }
    }
}

fn to_string(call: &Call<'_>, array: &ArrayRef, from: &SqlType) -> KernelResult {
    let mut buffer = itoa::Buffer::new();
    match from {
        SqlType::Integer => {
            let values = call.ints(0);
            call.build_strings(|i| Ok(values.get(i).map(|v| buffer.format(v).to_owned())))
        }
        SqlType::Bigint => {
            let values = call.longs(0);
            call.build_strings(|i| Ok(values.get(i).map(|v| buffer.format(v).to_owned())))
        }
        _ => call.build_strings(|i| {
            if array.is_null(i) {
                return Ok(None);
            }
            match format_value(&from_array(array, i, from), from) {
                Some(text) => Ok(Some(text)),
                None => Err(format!("a {from} out of range has no text")),
            }
        }),
    }
}

fn to_decimal(call: &Call<'_>, from: &SqlType, precision: u8, scale: u8) -> KernelResult {
    let rescale = |value: DecimalValue| {
        let fits = value.to_big().to_decimal(precision, scale, Rounding::HalfUp);
        match fits {
            Some(fitted) => Ok(Some(fitted.unscaled)),
            None => {
                Err(format!("numeric field overflow: {value} does not fit DECIMAL({precision}, {scale})"))
            }
        }
    };
    match from {
        SqlType::Integer => {
            let values = call.ints(0);
            call.build_decimals(|i| match values.get(i) {
                Some(v) => rescale(DecimalValue::from_i64(i64::from(v))),
                None => Ok(None),
            })
        }
        SqlType::Bigint => {
            let values = call.longs(0);
            call.build_decimals(|i| match values.get(i) {
                Some(v) => rescale(DecimalValue::from_i64(v)),
                None => Ok(None),
            })
        }
        SqlType::Double => {
            let values = call.doubles(0);
            call.build_decimals(|i| match values.get(i) {
                Some(v) => {
                    let rounded =
                        BigDecimal::from_f64(v).map(|d| d.round_to_precision(usize::from(precision)));
                    match rounded.and_then(|d| d.to_decimal(precision, scale, Rounding::HalfUp)) {
                        Some(fitted) => Ok(Some(fitted.unscaled)),
                        None => Err(format!(
                            "numeric field overflow: {v} does not fit DECIMAL({precision}, {scale})"
                        )),
                    }
                }
                None => Ok(None),
            })
        }
        SqlType::Decimal { scale: from_scale, .. } => {
            let values = call.decimals(0);
            if *from_scale <= scale {
                // No digit is dropped; the builder refuses what is too large.
                return call.build_decimals(|i| match values.get(i) {
                    Some(v) => match v.rescale(scale, Rounding::Unnecessary) {
                        Some(unscaled) => Ok(Some(unscaled)),
                        None => rescale(v),
                    },
                    None => Ok(None),
                });
            }
            call.build_decimals(|i| values.get(i).map_or(Ok(None), rescale))
        }
        _ => Err(unsupported(from, call.return_type)),
    }
}

fn from_decimal(call: &Call<'_>, to: &SqlType) -> KernelResult {
    let values = call.decimals(0);
    // Drops the fraction and keeps the low 64 bits.
    let whole = |value: DecimalValue| {
        let whole =
            value.to_big().rescale(0, Rounding::TowardZero).expect("this rounding always gives a number");
        let bytes = whole.unscaled.to_signed_bytes_le();
        let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xFF } else { 0 };
        let mut low = [fill; 8];
        let taken = bytes.len().min(8);
        low[..taken].copy_from_slice(&bytes[..taken]);
        i64::from_le_bytes(low)
    };
    match to {
        SqlType::Integer => call.build_ints(|i| Ok(values.get(i).map(|v| whole(v) as i32))),
        SqlType::Bigint => call.build_longs(|i| Ok(values.get(i).map(whole))),
        SqlType::Double => call.build_doubles(|i| Ok(values.get(i).map(DecimalValue::to_f64))),
        _ => Err(unsupported(call.argument_type(0), to)),
    }
}
