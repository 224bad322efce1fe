//! Single values as the JSON that HTTP responses and requests carry, which is not quite the JSON of topics: dates and times
//! are text, decimals plain numbers.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Decimal256Type, Float64Type, Int32Type, Int64Type, Time32MillisecondType,
    TimestampMillisecondType,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use serde_json::{Map, Number, Value};
use weir_sql::schema::Column;
use weir_sql::types::SqlType;

use crate::batch::column_builder::{ColumnBuilder, Values};
use crate::serde::coerce;
use crate::serde::error::{DecodeError, Fallible, Fault};
use crate::serde::text::{write_decimal_plain, write_double};

const DAYS_FROM_CE_TO_EPOCH: i32 = 719_163;
const TIMESTAMP_FORMAT: &str = "%Y-%m-%dT%H:%M:%S%.3f";

/// The value of one row of a column: TIMESTAMP as `2020-05-26T23:59:58.123`, DATE `2020-05-26`, TIME `23:59` or
/// `23:59:58`, BYTES base64, infinite and undefined doubles as strings.
pub fn to_json(sql_type: &SqlType, array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match sql_type {
        SqlType::Boolean => array.as_boolean().value(row).into(),
        SqlType::Integer => array.as_primitive::<Int32Type>().value(row).into(),
        SqlType::Bigint => array.as_primitive::<Int64Type>().value(row).into(),
        SqlType::Double => double_to_json(array.as_primitive::<Float64Type>().value(row)),
        SqlType::Decimal { precision, scale } => {
            let digits = if *precision <= 38 {
                array.as_primitive::<Decimal128Type>().value(row).to_string()
            } else {
                array.as_primitive::<Decimal256Type>().value(row).to_string()
            };
            decimal_to_json(&digits, usize::from(*scale))
        }
        SqlType::String => array.as_string::<i32>().value(row).into(),
        SqlType::Bytes => STANDARD.encode(array.as_binary::<i32>().value(row)).into(),
        SqlType::Date => date_text(array.as_primitive::<Date32Type>().value(row)).into(),
        SqlType::Time => time_text(array.as_primitive::<Time32MillisecondType>().value(row)).into(),
        SqlType::Timestamp => {
            timestamp_text(array.as_primitive::<TimestampMillisecondType>().value(row)).into()
        }
        SqlType::Array(element) => {
            let items = array.as_list::<i32>().value(row);
            (0..items.len()).map(|i| to_json(element, &items, i)).collect()
        }
        SqlType::Map(key, value) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            let entry = |i| (name_text(key, keys, i), to_json(value, values, i));
            Value::Object((0..entries.len()).map(entry).collect())
        }
        SqlType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let member = |(f, c): (&weir_sql::types::StructField, &ArrayRef)| {
                (f.name.clone(), to_json(&f.sql_type, c, row))
            };
            Value::Object(fields.iter().zip(columns).map(member).collect())
        }
    }
}

/// A row as an array of its columns' values.
pub fn row_to_json(columns: &[Column], arrays: &[ArrayRef], row: usize) -> Vec<Value> {
    columns.iter().zip(arrays).map(|(column, array)| to_json(&column.sql_type, array, row)).collect()
}

fn double_to_json(value: f64) -> Value {
    let mut text = Vec::new();
    write_double(&mut text, value);
    let text = String::from_utf8(text).unwrap_or_default();
    if !value.is_finite() {
        return Value::String(text);
    }
    text.parse::<Number>().map_or(Value::Null, Value::Number)
}

fn decimal_to_json(digits: &str, scale: usize) -> Value {
    let mut text = Vec::new();
    write_decimal_plain(&mut text, digits, scale);
    let text = String::from_utf8(text).unwrap_or_default();
    text.parse::<Number>().map_or(Value::Null, Value::Number)
}

/// A map key as a member name.
fn name_text(sql_type: &SqlType, keys: &ArrayRef, row: usize) -> String {
    match to_json(sql_type, keys, row) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn date_text(days: i32) -> String {
    let date = days.checked_add(DAYS_FROM_CE_TO_EPOCH).and_then(NaiveDate::from_num_days_from_ce_opt);
    date.map_or_else(|| format!("{days} days"), |d| d.format("%Y-%m-%d").to_string())
}

fn time_text(ms: i32) -> String {
    // 24:00:00 is a TIME as well; it has no clock form of its own.
    let seconds = ms / 1000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if second == 0 { format!("{hour:02}:{minute:02}") } else { format!("{hour:02}:{minute:02}:{second:02}") }
}

fn timestamp_text(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms)
        .map_or_else(|| format!("{ms} ms"), |t| t.naive_utc().format(TIMESTAMP_FORMAT).to_string())
}

/// Columns from rows of JSON values, one value per column. Strings are taken for dates and times (ISO forms) and for bytes;
/// numbers must fit without loss; a failing row is reported and NULL.
pub fn from_json(columns: &[Column], rows: &[Vec<Value>]) -> (Vec<ArrayRef>, Vec<DecodeError>) {
    let mut builders: Vec<ColumnBuilder> = columns.iter().map(|c| ColumnBuilder::new(&c.sql_type)).collect();
    let mut errors = Vec::new();
    for (row, values) in rows.iter().enumerate() {
        let outcome = push_row(columns, &mut builders, values);
        if let Err(fault) = outcome {
            errors.push(fault.at_row(row));
            for builder in &mut builders {
                builder.truncate(row);
                builder.push_null();
            }
        }
    }
    (builders.iter_mut().map(ColumnBuilder::finish).collect(), errors)
}

fn push_row(columns: &[Column], builders: &mut [ColumnBuilder], values: &[Value]) -> Fallible<()> {
    if values.len() != columns.len() {
        return Err(Fault::new(format!("expected {} values, got {}", columns.len(), values.len())));
    }
    for ((column, builder), value) in columns.iter().zip(builders).zip(values) {
        push_value(&column.sql_type, builder, value).map_err(|f| f.in_field(&column.name))?;
    }
    Ok(())
}

fn push_value(sql_type: &SqlType, builder: &mut ColumnBuilder, value: &Value) -> Fallible<()> {
    let row = builder.len();
    match (&mut builder.values, sql_type, value) {
        (_, _, Value::Null) => {
            builder.push_null();
            return Ok(());
        }
        (Values::Boolean(values), _, Value::Bool(b)) => values.push(*b),
        (Values::Date(values), _, Value::String(text)) => values.push(parse_date(text)?),
        (Values::Time(values), _, Value::String(text)) => values.push(parse_time(text)?),
        (Values::Timestamp(values), _, Value::String(text)) => values.push(parse_timestamp(text)?),
        (Values::Array { element, .. }, SqlType::Array(inner), Value::Array(items)) => {
            for (i, item) in items.iter().enumerate() {
                push_value(inner, element, item).map_err(|f| f.in_element(i))?;
            }
        }
        (Values::Map { key, value: values, .. }, SqlType::Map(_, inner), Value::Object(entries)) => {
            for (name, entry) in entries {
                coerce::push_text(key, name)?;
                push_value(inner, values, entry).map_err(|f| f.in_field(name))?;
            }
        }
        (Values::Struct(builders), SqlType::Struct(fields), Value::Object(members)) => {
            for (field, builder) in fields.iter().zip(builders) {
                debug_assert_eq!(builder.len(), row);
                let member = member(members, &field.name);
                push_value(&field.sql_type, builder, member).map_err(|f| f.in_field(&field.name))?;
            }
        }
        (Values::String(_) | Values::Bytes(_), _, Value::String(text)) => {
            return coerce::push_text(builder, text);
        }
        (
            Values::Integer(_)
            | Values::Bigint(_)
            | Values::Double(_)
            | Values::Decimal128 { .. }
            | Values::Decimal256 { .. }
            | Values::Date(_)
            | Values::Time(_)
            | Values::Timestamp(_),
            _,
            Value::Number(number),
        ) => return coerce::push_text(builder, &number.to_string()),
        (_, sql_type, other) => return Err(Fault::new(format!("{other} is not a value of type {sql_type}"))),
    }
    builder.end_valid();
    Ok(())
}

/// The member of that name, or whose name is that in another case.
fn member<'a>(members: &'a Map<String, Value>, name: &str) -> &'a Value {
    members
        .get(name)
        .or_else(|| members.iter().find(|(k, _)| k.to_uppercase() == name).map(|(_, v)| v))
        .unwrap_or(&Value::Null)
}

fn parse_date(text: &str) -> Fallible<i32> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .map_err(|_| Fault::new(format!("\"{text}\" is not a date like 2020-05-26")))?;
    Ok(date.signed_duration_since(NaiveDate::default()).num_days() as i32)
}

fn parse_time(text: &str) -> Fallible<i32> {
    let time = NaiveTime::parse_from_str(text, "%H:%M:%S%.f")
        .or_else(|_| NaiveTime::parse_from_str(text, "%H:%M"))
        .map_err(|_| Fault::new(format!("\"{text}\" is not a time like 23:59:58")))?;
    Ok((time.num_seconds_from_midnight() * 1000 + time.nanosecond() / 1_000_000) as i32)
}

fn parse_timestamp(text: &str) -> Fallible<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.timestamp_millis());
    }
    let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")
        .map_err(|_| Fault::new(format!("\"{text}\" is not a timestamp like 2020-05-26T23:59:58.123")))?;
    Ok(time.and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests;
