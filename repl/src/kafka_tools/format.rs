//! How consumed records are printed.

use std::io::{self, Write};

use serde_json::{Map, Value, json};
use weir_broker::record::batch::TimestampType;
use weir_broker::record::reader::Record;

use crate::kafka_tools::produce_input::unescape;

/// A piece of a format string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Topic,
    Partition,
    Offset,
    Key,
    KeyBytes,
    Value,
    ValueBytes,
    Timestamp,
    Headers,
}

/// What a line of output looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordFormat {
    Parts(Vec<Part>),
    /// An object a line, with kcat's members.
    Json,
}

/// A record and where it stood.
#[derive(Clone, Copy, Debug)]
pub struct Consumed<'r> {
    pub topic: &'r str,
    pub partition: i32,
    pub timestamp_type: TimestampType,
    pub record: &'r Record<'r>,
}

impl RecordFormat {
    /// `%t` topic, `%p` partition, `%o` offset, `%k` key, `%K` its bytes, `%s` value, `%S` its bytes, `%T` timestamp, `%h`
    /// headers, `%%`; escapes such as `\n`. Errors: an unknown letter.
    pub fn parse(text: &str) -> Result<RecordFormat, String> {
        let text = unescape(text);
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('%') {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let mut letters = after.chars();
            let part = match letters.next() {
                Some('t') => Part::Topic,
                Some('p') => Part::Partition,
                Some('o') => Part::Offset,
                Some('k') => Part::Key,
                Some('K') => Part::KeyBytes,
                Some('s' | 'v') => Part::Value,
                Some('S' | 'V') => Part::ValueBytes,
                Some('T' | 'd') => Part::Timestamp,
                Some('h') => Part::Headers,
                Some('%') => Part::Text("%".to_owned()),
                other => {
                    let letter = other.map(String::from).unwrap_or_default();
                    return Err(format!("\"%{letter}\" is none of %t %p %o %k %K %s %S %T %h %%"));
                }
            };
            parts.push(part);
            rest = letters.as_str();
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(RecordFormat::Parts(parts))
    }

    /// The value and a line end.
    pub fn value_lines() -> RecordFormat {
        RecordFormat::Parts(vec![Part::Value, Part::Text("\n".to_owned())])
    }

    /// Writes a record. `null` stands for keys and values that are null.
    pub fn write(&self, out: &mut impl Write, consumed: &Consumed<'_>, null: &str) -> io::Result<()> {
        let record = consumed.record;
        let parts = match self {
            RecordFormat::Json => return writeln!(out, "{}", json_of(consumed)),
            RecordFormat::Parts(parts) => parts,
        };
        let length = |bytes: Option<&[u8]>| bytes.map_or(-1, |b| i64::try_from(b.len()).unwrap_or(i64::MAX));
        for part in parts {
            match part {
                Part::Text(text) => out.write_all(text.as_bytes())?,
                Part::Topic => out.write_all(consumed.topic.as_bytes())?,
                Part::Partition => write!(out, "{}", consumed.partition)?,
                Part::Offset => write!(out, "{}", record.offset)?,
                Part::Key => out.write_all(record.key.unwrap_or(null.as_bytes()))?,
                Part::KeyBytes => write!(out, "{}", length(record.key))?,
                Part::Value => out.write_all(record.value.unwrap_or(null.as_bytes()))?,
                Part::ValueBytes => write!(out, "{}", length(record.value))?,
                Part::Timestamp => write!(out, "{}", record.timestamp)?,
                Part::Headers => {
                    for (at, header) in record.headers.iter().enumerate() {
                        let comma = if at == 0 { "" } else { "," };
                        write!(out, "{comma}{}=", header.key)?;
                        out.write_all(header.value.unwrap_or(b"NULL"))?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn json_of(consumed: &Consumed<'_>) -> Value {
    let record = consumed.record;
    let mut members = Map::new();
    members.insert("topic".to_owned(), consumed.topic.into());
    members.insert("partition".to_owned(), consumed.partition.into());
    members.insert("offset".to_owned(), record.offset.into());
    let kind = match consumed.timestamp_type {
        TimestampType::CreateTime => "create",
        TimestampType::LogAppendTime => "logappend",
    };
    members.insert("tstype".to_owned(), kind.into());
    members.insert("ts".to_owned(), record.timestamp.into());
    if !record.headers.is_empty() {
        let list: Vec<Value> =
            record.headers.iter().flat_map(|header| [header.key.into(), text_of(header.value)]).collect();
        members.insert("headers".to_owned(), list.into());
    }
    members.insert("key".to_owned(), text_of(record.key));
    members.insert("payload".to_owned(), text_of(record.value));
    Value::Object(members)
}

/// Text as it is; bytes that are none as `{"hex": "…"}`.
fn text_of(bytes: Option<&[u8]>) -> Value {
    match bytes.map(std::str::from_utf8) {
        None => Value::Null,
        Some(Ok(text)) => text.into(),
        Some(Err(_)) => json!({"hex": hex::encode(bytes.unwrap_or_default())}),
    }
}

#[cfg(test)]
mod tests {
    use weir_broker::record::reader::Headers;

    use super::*;

    fn written(format: &RecordFormat, key: Option<&[u8]>, value: Option<&[u8]>) -> String {
        let record = Record { offset: 7, timestamp: 9, key, value, headers: Headers::default() };
        let consumed =
            Consumed { topic: "t", partition: 3, timestamp_type: TimestampType::CreateTime, record: &record };
        let mut out = Vec::new();
        format.write(&mut out, &consumed, "NULL").expect("memory");
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn letters_stand_for_parts() {
        let format = RecordFormat::parse(r"%t[%p]@%o %k(%K)=%s(%S) %T%%\n").expect("valid");
        assert_eq!(written(&format, Some(b"a"), None), "t[3]@7 a(1)=NULL(-1) 9%\n");
        assert!(RecordFormat::parse("%q").is_err() && RecordFormat::parse("100%").is_err());
    }

    #[test]
    fn bytes_that_are_no_text_are_hex() {
        let line = written(&RecordFormat::Json, None, Some(&[0xff, 0x00]));
        assert_eq!(
            line,
            "{\"topic\":\"t\",\"partition\":3,\"offset\":7,\"tstype\":\"create\",\"ts\":9,\"key\":null,\
             \"payload\":{\"hex\":\"ff00\"}}\n"
        );
    }
}
