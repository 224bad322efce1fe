//! Records as lines: `TOPIC  KEY  VALUE  @TIMESTAMP  window START..END  headers {…}`.
//!
//! Key and value are JSON. In a JSON topic they are the bytes themselves, in a DELIMITED topic the
//! text as a string, in a KAFKA topic the value of the column. `text:"…"` and `hex:"…"` give the
//! bytes in any topic. The timestamp may be missing, and is 0 then.

use std::sync::Arc;

use serde::de::IgnoredAny;
use serde_json::Value;
use weir_engine::batch::RecordHeaders;
use weir_engine::driver::topic_log::DriverRecord;
use weir_sql::format::Format;
use weir_sql::metastore::source::Source;
use weir_sql::window::WindowKind;

use crate::testing::case::WindowSpec;
use crate::testing::codec::{Side, append_window, split_window};
use crate::testing::report::Stop;

/// A record line, cut up.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RecordLine<'a> {
    topic: &'a str,
    key: &'a str,
    value: &'a str,
    timestamp: i64,
    window: Option<(i64, i64)>,
    headers: Option<&'a str>,
}

impl<'a> RecordLine<'a> {
    fn parse(line: &'a str) -> Result<RecordLine<'a>, String> {
        let mut rest = line;
        let topic = word(&mut rest);
        let key = datum(&mut rest)?;
        let value = datum(&mut rest)?;
        let mut record = RecordLine { topic, key, value, timestamp: 0, window: None, headers: None };
        while !rest.trim().is_empty() {
            match word(&mut rest) {
                "window" => record.window = Some(bounds(word(&mut rest))?),
                "headers" => record.headers = Some(datum(&mut rest)?),
                at => record.timestamp = timestamp(at)?,
            }
        }
        Ok(record)
    }
}

fn timestamp(word: &str) -> Result<i64, String> {
    let number = word.strip_prefix('@').and_then(|n| n.parse().ok());
    number.ok_or_else(|| format!("expected @TIMESTAMP, window or headers, not {word}"))
}

fn bounds(word: &str) -> Result<(i64, i64), String> {
    let parsed = word.split_once("..").and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    parsed.ok_or_else(|| format!("expected window START..END, not {word}"))
}

/// The next word.
fn word<'a>(rest: &mut &'a str) -> &'a str {
    let text = rest.trim_start();
    let (word, after) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
    *rest = after;
    word
}

/// The next key, value or column value: JSON, or JSON behind `text:` or `hex:`.
pub(super) fn datum<'a>(rest: &mut &'a str) -> Result<&'a str, String> {
    let text = rest.trim_start();
    let prefix = ["text:", "hex:"].iter().find(|p| text.starts_with(**p)).map_or(0, |p| p.len());
    let mut values = serde_json::Deserializer::from_str(&text[prefix..]).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(IgnoredAny)) => {}
        Some(Err(error)) => return Err(format!("{text} does not begin with JSON: {error}")),
        None => return Err("a key or a value is missing".to_owned()),
    }
    let (datum, after) = text.split_at(prefix + values.byte_offset());
    *rest = after;
    Ok(datum)
}

/// The bytes that a datum stands for. None is Kafka's null.
fn encode(side: Side<'_>, datum: &str) -> Result<Option<Vec<u8>>, Stop> {
    let failed = |error: &dyn std::fmt::Display| Stop::Failed(format!("{datum}: {error}"));
    let string = |json: &str| serde_json::from_str::<String>(json).map_err(|e| failed(&e));
    if let Some(json) = datum.strip_prefix("text:") {
        return Ok(Some(string(json)?.into_bytes()));
    }
    if let Some(json) = datum.strip_prefix("hex:") {
        return hex::decode(string(json)?).map(Some).map_err(|e| failed(&e));
    }
    if datum == "null" || side.format.format == Format::Json {
        return Ok((datum != "null").then(|| datum.as_bytes().to_vec()));
    }
    side.encode(&serde_json::from_str::<Value>(datum).map_err(|e| failed(&e))?)
}

/// The datum of bytes.
fn render(side: Side<'_>, bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "null".to_owned() };
    let text = std::str::from_utf8(bytes).ok();
    if side.format.format == Format::Json
        && let Some(json) = text.filter(|t| is_plain_json(t))
    {
        return json.to_owned();
    }
    match (side.format.format, side.render(Some(bytes)), text) {
        (Format::Json, _, Some(text)) | (_, Err(_), Some(text)) => format!("text:{}", Value::from(text)),
        (Format::Json, _, None) | (_, Err(_), None) => format!("hex:\"{}\"", hex::encode(bytes)),
        (_, Ok(value), _) => value.to_string(),
    }
}

/// JSON of one line that is not `null` and has no blanks around it.
fn is_plain_json(text: &str) -> bool {
    let trimmed = text.trim() == text && text != "null" && !text.contains('\n');
    trimmed && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The record of a line. `source` is looked up by topic.
///
/// Errors: the line is not one of a record; no source is over its topic; a datum does not fit the
/// format.
pub fn parse<'s>(
    line: &str,
    source: impl FnOnce(&str) -> Option<&'s Arc<Source>>,
) -> Result<DriverRecord, Stop> {
    let parsed = RecordLine::parse(line).map_err(Stop::Failed)?;
    let Some(source) = source(parsed.topic) else {
        return Err(Stop::Failed(format!("no source is over topic {}", parsed.topic)));
    };
    let mut key = encode(key_side(source), parsed.key)?;
    if let (Some(key), Some((start, end))) = (&mut key, parsed.window) {
        let session = source.window.is_some_and(|w| w.kind == WindowKind::Session);
        let kind = if session { "session" } else { "time" }.to_owned();
        append_window(key, &WindowSpec { start, end, kind });
    }
    Ok(DriverRecord {
        topic: parsed.topic.to_owned(),
        key,
        value: encode(value_side(source), parsed.value)?,
        timestamp: parsed.timestamp,
        headers: parsed.headers.map(headers).transpose()?.map(Arc::new),
        ..DriverRecord::default()
    })
}

/// Headers from `[["name","text"],["name",null]]`.
fn headers(json: &str) -> Result<RecordHeaders, Stop> {
    let pairs: Vec<(String, Option<String>)> =
        serde_json::from_str(json).map_err(|e| Stop::Failed(format!("headers {json}: {e}")))?;
    Ok(pairs.into_iter().map(|(name, value)| (name, value.map(String::into_bytes))).collect())
}

/// The line of a record.
pub fn line(source: &Source, record: &DriverRecord) -> String {
    let session = source.window.map(|w| w.kind == WindowKind::Session);
    let split = match (record.key.as_deref(), session) {
        (Some(key), Some(session)) => split_window(key, session),
        _ => None,
    };
    let key = split.map_or(record.key.as_deref(), |(key, _, _)| Some(key));
    let key = render(key_side(source), key);
    let value = render(value_side(source), record.value.as_deref());
    let mut line = format!("{}  {key}  {value}", record.topic);
    if record.timestamp != 0 {
        line.push_str(&format!("  @{}", record.timestamp));
    }
    if let Some((_, start, end)) = split {
        let size_ms = source.window.and_then(|w| w.size_ms).unwrap_or_default();
        line.push_str(&format!("  window {start}..{}", end.unwrap_or(start + size_ms)));
    }
    if let Some(headers) = record.headers.as_deref().filter(|h| !h.is_empty()) {
        let text = |v: &Option<Vec<u8>>| v.as_ref().map(|v| String::from_utf8_lossy(v).into_owned());
        let pairs: Vec<(&str, Option<String>)> = headers.iter().map(|(n, v)| (n.as_str(), text(v))).collect();
        line.push_str(&format!("  headers {}", serde_json::json!(pairs)));
    }
    line
}

/// True if two lines are of the same record, whatever blanks they have.
pub fn same_line(expected: &str, actual: &str) -> bool {
    match (RecordLine::parse(expected), RecordLine::parse(actual)) {
        (Ok(expected), Ok(actual)) => expected == actual,
        _ => expected.trim_end() == actual.trim_end(),
    }
}

fn key_side(source: &Source) -> Side<'_> {
    Side { format: &source.key_format, columns: &source.schema.key }
}

fn value_side(source: &Source) -> Side<'_> {
    Side { format: &source.value_format, columns: &source.schema.value }
}
