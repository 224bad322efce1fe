//! JSON in text.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Deserializer, Map, Number, Value as Json};

use crate::functions::call::{Call, KernelResult};
use crate::functions::scalar::ScalarFunction;
use crate::functions::scalar::collect::{StringLists, StringMaps};
use crate::types::SqlType;
use crate::value::SqlValue;
use crate::value::convert::from_array;
use crate::value::decimal::{BigDecimal, Rounding};
use crate::value::text::format_double;
use crate::value::time::{format_date, format_time, format_timestamp};

const CATEGORY: &str = "JSON";

pub(crate) fn functions() -> Vec<ScalarFunction> {
    let function = |name, overview| ScalarFunction::new(name, CATEGORY, overview);
    vec![
        function("EXTRACTJSONFIELD", "The value at a path such as $.a.b[0] in a JSON text.")
            .with("(STRING, STRING) -> STRING", extract),
        function("IS_JSON_STRING", "True if a text is JSON.").with("(STRING) -> BOOLEAN", |c| {
            let texts = c.strings(0);
            c.build_booleans(|i| Ok(Some(texts.get(i).is_some_and(|t| parse(t).is_ok()))))
        }),
        function("JSON_ARRAY_CONTAINS", "True if a JSON array has a value among its elements.")
            .with("(STRING, ANY) -> BOOLEAN", array_contains),
        function("JSON_ARRAY_LENGTH", "The number of elements of a JSON array.").with(
            "(STRING) -> INT",
            |c| {
                let texts = c.strings(0);
                c.build_ints(|i| match texts.get(i).map(parse).transpose()? {
                    Some(Json::Array(items)) => Ok(Some(items.len() as i32)),
                    _ => Ok(None),
                })
            },
        ),
        function("JSON_CONCAT", "JSON objects merged, or arrays and values as one array.")
            .with("(STRING, STRING...) -> STRING", concat),
        function("JSON_ITEMS", "The elements of a JSON array, as JSON.")
            .with("(STRING) -> ARRAY<STRING>", items),
        function("JSON_KEYS", "The keys of a JSON object.").with("(STRING) -> ARRAY<STRING>", keys),
        function("JSON_RECORDS", "The fields of a JSON object as a map of texts.")
            .with("(STRING) -> MAP<STRING, STRING>", records),
        function("TO_JSON_STRING", "Any value as JSON.").with("(ANY) -> STRING", |c| {
            let (value, sql_type) = (c.array(0)?, c.argument_type(0));
            c.build_strings(|i| {
                let mut out = String::new();
                write_value(&mut out, &from_array(&value, i, sql_type), sql_type)?;
                Ok(Some(out))
            })
        }),
    ]
}

/// The first JSON value of a text; what follows it is not looked at.
fn parse(text: &str) -> Result<Json, String> {
    match Deserializer::from_str(text).into_iter::<Json>().next() {
        Some(Ok(value)) => Ok(value),
        Some(Err(e)) => Err(format!("invalid JSON: {e}")),
        None => Err("invalid JSON: no content".to_owned()),
    }
}

/// The text of a number, as the JVM's decimals print: 1e5 is 1E+5, 1.50 keeps its zero.
fn number_text(number: &Number) -> String {
    let text = number.to_string();
    if !text.contains(['e', 'E']) {
        return text;
    }
    let Some(decimal) = BigDecimal::parse(&text) else { return text };
    let unscaled = decimal.unscaled.to_string();
    let (sign, digits) = unscaled.strip_prefix('-').map_or(("", unscaled.as_str()), |d| ("-", d));
    let exponent = digits.len() as i64 - 1 - decimal.scale;
    if decimal.scale >= 0 && exponent >= -6 {
        let scale = decimal.scale as usize;
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        return if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") };
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{first}{point}{rest}E{exponent:+}")
}

/// Places that a number is written out to without an exponent: the range of a double, and more than a DECIMAL has.
const PLAIN_PLACES_MAX: i64 = 400;

/// The text of a number without an exponent.
fn plain_number_text(number: &Number) -> String {
    let text = number.to_string();
    if !text.contains(['e', 'E']) {
        return text;
    }
    let Some(decimal) = BigDecimal::parse(&text).filter(|d| d.scale.abs() <= PLAIN_PLACES_MAX) else {
        return text;
    };
    let decimal = if decimal.scale < 0 { decimal.rescale(0, Rounding::Unnecessary) } else { Some(decimal) };
    let Some(decimal) = decimal else { return text };
    let unscaled = decimal.unscaled.to_string();
    let (sign, digits) = unscaled.strip_prefix('-').map_or(("", unscaled.as_str()), |d| ("-", d));
    match usize::try_from(decimal.scale) {
        Ok(scale) if scale > 0 => {
            let padded = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = padded.split_at(padded.len() - scale);
            format!("{sign}{whole}.{fraction}")
        }
        _ => format!("{sign}{digits}"),
    }
}

/// How numbers are written.
type NumberText = fn(&Number) -> String;

fn write_json(out: &mut String, value: &Json, number_text: NumberText) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(v) => out.push_str(if *v { "true" } else { "false" }),
        Json::Number(number) => out.push_str(&number_text(number)),
        Json::String(text) => write_text(out, text),
        Json::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(out, item, number_text);
            }
            out.push(']');
        }
        Json::Object(fields) => {
            out.push('{');
            for (i, (key, value)) in fields.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_text(out, key);
                out.push(':');
                write_json(out, value, number_text);
            }
            out.push('}');
        }
    }
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => write!(out, "\\u{:04X}", c as u32).expect("writing to a string cannot fail"),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn json_text(value: &Json) -> String {
    let mut out = String::new();
    write_json(&mut out, value, number_text);
    out
}

/// As [`json_text`], with numbers written plain.
fn plain_json_text(value: &Json) -> String {
    let mut out = String::new();
    write_json(&mut out, value, plain_number_text);
    out
}

/// Texts as they are, anything else as JSON.
fn node_text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => json_text(other),
    }
}

/// One step of a path: a key, or a place in an array.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(Option<usize>),
}

/// `$.a.b[0]['c d']`.
fn parse_path(path: &str) -> Result<Vec<Step>, String> {
    let error = || format!("\"{path}\" is not a JSON path");
    let mut rest = path.strip_prefix('$').ok_or_else(error)?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            if end == 0 {
                return Err(error());
            }
            steps.push(Step::Key(after[..end].to_owned()));
            rest = &after[end..];
        } else if let Some(after) = rest.strip_prefix('[') {
            let end = after.find(']').ok_or_else(error)?;
            let inner = after[..end].trim();
            let quoted = ['\'', '"'].iter().find_map(|q| inner.strip_prefix(*q)?.strip_suffix(*q));
            steps.push(match quoted {
                Some(key) => Step::Key(key.to_owned()),
                // A negative place is in no array.
                None => Step::Index(usize::try_from(inner.parse::<i64>().map_err(|_| error())?).ok()),
            });
            rest = &after[end + 1..];
        } else {
            return Err(error());
        }
    }
    Ok(steps)
}

fn extract(call: &Call<'_>) -> KernelResult {
    let (texts, paths) = (call.strings(0), call.strings(1));
    let mut last: Option<(&str, Result<Vec<Step>, String>)> = None;
    call.build_strings(|i| {
        let (Some(text), Some(path)) = (texts.get(i), paths.get(i)) else { return Ok(None) };
        if last.as_ref().is_none_or(|(known, _)| *known != path) {
            last = Some((path, parse_path(path)));
        }
        let steps = match &last {
            Some((_, Ok(steps))) => steps,
            Some((_, Err(message))) => return Err(message.clone()),
            None => return Ok(None),
        };
        let value = parse(text)?;
        let found = steps.iter().try_fold(&value, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.as_array()?.get((*index)?),
        });
        Ok(found.map(node_text))
    })
}

fn array_contains(call: &Call<'_>) -> KernelResult {
    let texts = call.strings(0);
    let (wanted, sql_type) = (call.array(1)?, call.argument_type(1));
    call.build_booleans(|i| {
        let Some(text) = texts.get(i) else { return Ok(None) };
        let Ok(Json::Array(items)) = parse(text) else { return Ok(Some(false)) };
        let wanted = from_array(&wanted, i, sql_type);
        Ok(Some(items.iter().any(|item| same(item, &wanted, sql_type))))
    })
}

/// Equality that tells whole numbers from others.
fn same(json: &Json, value: &SqlValue, sql_type: &SqlType) -> bool {
    match (json, value) {
        (Json::Null, SqlValue::Null) => true,
        (Json::Bool(a), SqlValue::Boolean(b)) => a == b,
        (Json::String(a), SqlValue::String(b)) => a == b,
        (Json::Number(n), SqlValue::Integer(v)) => n.to_string() == v.to_string(),
        (Json::Number(n), SqlValue::Bigint(v)) => n.to_string() == v.to_string(),
        (Json::Number(n), SqlValue::Double(v)) => {
            let text = n.to_string();
            text.contains(['.', 'e', 'E']) && text.parse::<f64>().is_ok_and(|n| n == *v)
        }
        (Json::Number(n), SqlValue::Decimal(v)) => {
            let text = n.to_string();
            text.contains(['.', 'e', 'E'])
                && BigDecimal::parse(&text).is_some_and(|n| n.compare(&v.to_big()).is_eq())
        }
        (Json::Array(_) | Json::Object(_), SqlValue::Array(_) | SqlValue::Map(_) | SqlValue::Struct(_)) => {
            let mut text = String::new();
            write_value(&mut text, value, sql_type).is_ok() && parse(&text).is_ok_and(|v| v == *json)
        }
        _ => false,
    }
}

fn concat(call: &Call<'_>) -> KernelResult {
    let texts: Vec<_> = (0..call.count()).map(|i| call.strings(i)).collect();
    call.build_strings(|i| {
        let mut parts = Vec::with_capacity(texts.len());
        for text in &texts {
            let Some(text) = text.get(i) else { return Ok(None) };
            parts.push(parse(text)?);
        }
        if parts.iter().all(Json::is_object) {
            let mut merged = Map::new();
            for part in parts {
                if let Json::Object(fields) = part {
                    merged.extend(fields);
                }
            }
            return Ok(Some(plain_json_text(&Json::Object(merged))));
        }
        let items = parts.into_iter().flat_map(|part| match part {
            Json::Array(items) => items,
            other => vec![other],
        });
        Ok(Some(plain_json_text(&Json::Array(items.collect()))))
    })
}

fn items(call: &Call<'_>) -> KernelResult {
    let texts = call.strings(0);
    let mut lists = StringLists::new(call);
    for i in 0..call.rows {
        match texts.get(i).map(parse) {
            None => lists.finish_row(false),
            Some(Ok(Json::Array(items))) => {
                items.iter().for_each(|item| lists.push(&json_text(item)));
                lists.finish_row(true);
            }
            Some(other) => {
                let message = other.err().unwrap_or_else(|| "JSON_ITEMS takes a JSON array".to_owned());
                call.environment.fail(i, &message);
                lists.finish_row(false);
            }
        }
    }
    lists.finish(call.return_type)
}

/// The fields of the row's object. None if it is no object; invalid JSON is reported.
fn object(call: &Call<'_>, row: usize) -> Option<Map<String, Json>> {
    match parse(call.strings(0).get(row)?) {
        Ok(Json::Object(fields)) => Some(fields),
        Ok(_) => None,
        Err(message) => {
            call.environment.fail(row, &message);
            None
        }
    }
}

fn keys(call: &Call<'_>) -> KernelResult {
    let mut lists = StringLists::new(call);
    for i in 0..call.rows {
        match object(call, i) {
            Some(fields) => lists.append(fields.keys().map(String::as_str)),
            None => lists.finish_row(false),
        }
    }
    lists.finish(call.return_type)
}

fn records(call: &Call<'_>) -> KernelResult {
    let mut maps = StringMaps::new(call);
    for i in 0..call.rows {
        let fields = object(call, i);
        for (key, value) in fields.iter().flatten() {
            maps.put(key, Some(&node_text(value)));
        }
        maps.finish_row(fields.is_some());
    }
    maps.finish(call.return_type)
}

/// A value as JSON; keys of structs and maps in order.
fn write_value(out: &mut String, value: &SqlValue, sql_type: &SqlType) -> Result<(), String> {
    match (value, sql_type) {
        (SqlValue::Null, _) => out.push_str("null"),
        (SqlValue::Boolean(v), _) => out.push_str(if *v { "true" } else { "false" }),
        (SqlValue::Integer(v), _) => out.push_str(&v.to_string()),
        (SqlValue::Bigint(v), _) => out.push_str(&v.to_string()),
        (SqlValue::Double(v), _) if v.is_finite() => out.push_str(&format_double(*v)),
        (SqlValue::Double(v), _) => write_text(out, &format_double(*v)),
        (SqlValue::Decimal(v), _) => out.push_str(&v.to_string()),
        (SqlValue::String(v), _) => write_text(out, v),
        (SqlValue::Bytes(v), _) => write_text(out, &BASE64.encode(v)),
        (SqlValue::Date(v), _) => write_text(out, &format_date(*v)),
        (SqlValue::Time(v), _) => {
            write_text(out, &format_time(*v).ok_or("a TIME past the end of the day has no text")?);
        }
        (SqlValue::Timestamp(v), _) => write_text(out, &format_timestamp(*v)),
        (SqlValue::Array(items), SqlType::Array(element)) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(out, item, element)?;
            }
            out.push(']');
        }
        (SqlValue::Map(entries), SqlType::Map(_, value_type)) => {
            let mut fields: Vec<(String, &SqlValue)> = entries
                .iter()
                .map(|(key, value)| {
                    let name = match key {
                        SqlValue::String(text) => text.clone(),
                        other => {
                            let mut text = String::new();
                            write_value(&mut text, other, &SqlType::String)?;
                            text
                        }
                    };
                    Ok((name, value))
                })
                .collect::<Result<_, String>>()?;
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            write_fields(out, fields.into_iter().map(|(name, value)| (name, value, value_type.as_ref())))?;
        }
        (SqlValue::Struct(items), SqlType::Struct(fields)) => {
            let mut named: Vec<_> =
                fields.iter().zip(items).map(|(f, item)| (f.name.clone(), item, &f.sql_type)).collect();
            named.sort_by(|a, b| a.0.cmp(&b.0));
            write_fields(out, named.into_iter())?;
        }
        (other, sql_type) => return Err(format!("{other:?} is not a {sql_type}")),
    }
    Ok(())
}

fn write_fields<'a>(
    out: &mut String,
    fields: impl Iterator<Item = (String, &'a SqlValue, &'a SqlType)>,
) -> Result<(), String> {
    out.push('{');
    for (i, (name, value, sql_type)) in fields.enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_text(out, &name);
        out.push(':');
        write_value(out, value, sql_type)?;
    }
    out.push('}');
    Ok(())
}
