//! How consumed records are printed.

use std::io::{self, Write};

use serde_json::{Map, Value, json};
use weir_broker::record::batch::TimestampType;
use weir_broker::record::reader::Record;

use crate::kafka_tools::produce::line_format::unescape;

/// A piece of a format string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Text(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Key,
    KeyBytes,
    Value,
    ValueBytes,
    /// The same, as four bytes, the highest first.
    ValueBytesBinary,
    Timestamp,
    /// `CreateTime` or `LogAppendTime`.
    TimestampKind,
    /// `a=1,b=2`
    Headers,
    /// As Kafka's own console consumer prints them: `a:1,b:2`, or `NO_HEADERS`.
    ConsoleHeaders,
}

/// Form of a line of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordFormat {
    Parts(Vec<Part>),
    /// An object a line, with kcat's members.
    Json,
}

/// Display of offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithOffset {
    Yes,
    No,
}

/// A record and where it stood.
#[derive(Clone, Copy, Debug)]
pub struct Consumed<'r> {
    pub topic: &'r str,
    pub partition: i32,
    /// The broker it came from; None for files.
    pub broker: Option<i32>,
    pub timestamp_type: TimestampType,
    pub record: &'r Record<'r>,
}

impl RecordFormat {
    /// `%t` topic, `%p` partition, `%o` offset, `%k` key, `%K` its bytes, `%s` value, `%S` its bytes, `%R` the same in binary,
    /// `%T` timestamp, `%h` headers, `%%`; escapes such as `\n` and `\x00`. Errors: an unknown letter.
    pub fn parse(text: &str) -> Result<RecordFormat, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            parts.extend(text_part(before));
            let mut letters = after.chars();
            parts.push(match letters.next() {
                Some('t') => Part::Topic,
                Some('p') => Part::Partition,
                Some('o') => Part::Offset,
                Some('k') => Part::Key,
                Some('K') => Part::KeyBytes,
                Some('s' | 'v') => Part::Value,
                Some('S' | 'V') => Part::ValueBytes,
                Some('R') => Part::ValueBytesBinary,
                Some('T' | 'd') => Part::Timestamp,
                Some('h') => Part::Headers,
                Some('%') => Part::Text(b"%".to_vec()),
                other => {
                    let letter = other.map(String::from).unwrap_or_default();
                    return Err(format!("\"%{letter}\" is none of %t %p %o %k %K %s %S %R %T %h %%"));
                }
            });
            rest = letters.as_str();
        }
        parts.extend(text_part(rest));
        Ok(RecordFormat::Parts(parts))
    }

    /// The key, if its delimiter is given, the offset, if asked for, the value, and what ends a record.
    pub fn delimited(key_delimiter: Option<&str>, offset: WithOffset, end: &str) -> RecordFormat {
        let delimiter = unescape(key_delimiter.unwrap_or_default());
        let mut parts = Vec::new();
        if offset == WithOffset::Yes {
            parts.extend([Part::Offset, Part::Text(delimiter.clone())]);
        }
        if key_delimiter.is_some() {
            parts.extend([Part::Key, Part::Text(delimiter)]);
        }
        parts.extend([Part::Value, Part::Text(unescape(end))]);
        RecordFormat::Parts(parts)
    }

    /// Writes a record. `null` stands for keys and values that are null.
    pub fn write(&self, out: &mut impl Write, consumed: &Consumed<'_>, null: &[u8]) -> io::Result<()> {
        let record = consumed.record;
        let parts = match self {
            RecordFormat::Json => return writeln!(out, "{}", json_of(consumed)),
            RecordFormat::Parts(parts) => parts,
        };
        let length = |bytes: Option<&[u8]>| bytes.map_or(-1, |b| i64::try_from(b.len()).unwrap_or(i64::MAX));
        for part in parts {
            match part {
                Part::Text(text) => out.write_all(text)?,
                Part::Topic => out.write_all(consumed.topic.as_bytes())?,
                Part::Partition => write!(out, "{}", consumed.partition)?,
                Part::Offset => write!(out, "{}", record.offset)?,
                Part::Key => out.write_all(record.key.unwrap_or(null))?,
                Part::KeyBytes => write!(out, "{}", length(record.key))?,
                Part::Value => out.write_all(record.value.unwrap_or(null))?,
                Part::ValueBytes => write!(out, "{}", length(record.value))?,
                Part::ValueBytesBinary => {
                    let length = record.value.map_or(-1, |v| i32::try_from(v.len()).unwrap_or(i32::MAX));
                    out.write_all(&length.to_be_bytes())?;
                }
                Part::Timestamp => write!(out, "{}", record.timestamp)?,
                Part::TimestampKind => out.write_all(match consumed.timestamp_type {
                    TimestampType::CreateTime => b"CreateTime",
                    TimestampType::LogAppendTime => b"LogAppendTime",
                })?,
                Part::ConsoleHeaders if record.headers.is_empty() => out.write_all(b"NO_HEADERS")?,
                Part::ConsoleHeaders => {
                    for (at, header) in record.headers.iter().enumerate() {
                        let comma = if at == 0 { "" } else { "," };
                        write!(out, "{comma}{}:", header.key)?;
                        out.write_all(header.value.unwrap_or(null))?;
                    }
                }
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

/// Text between tokens, unless there is none.
fn text_part(text: &str) -> Option<Part> {
    (!text.is_empty()).then(|| Part::Text(unescape(text)))
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
    if let Some(broker) = consumed.broker {
        members.insert("broker".to_owned(), broker.into());
    }
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

    fn written(format: &RecordFormat, key: Option<&[u8]>, value: Option<&[u8]>) -> Vec<u8> {
        let record = Record { offset: 7, timestamp: 9, key, value, headers: Headers::default() };
        let consumed = Consumed {
            topic: "t",
            partition: 3,
            broker: Some(1),
            timestamp_type: TimestampType::CreateTime,
            record: &record,
        };
        let mut out = Vec::new();
        format.write(&mut out, &consumed, b"NULL").expect("memory");
        out
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[test]
    fn letters_stand_for_parts() {
        let format = RecordFormat::parse(r"%t[%p]@%o %k(%K)=%s(%S) %T%%\n").expect("valid");
        assert_eq!(text(&written(&format, Some(b"a"), None)), "t[3]@7 a(1)=NULL(-1) 9%\n");
        assert!(RecordFormat::parse("%q").is_err() && RecordFormat::parse("100%").is_err());
    }

    #[test]
    fn bytes_stay_as_they_are() {
        let format = RecordFormat::parse(r"%R%s\xff\x00%%\x25k").expect("valid");
        assert_eq!(written(&format, None, Some(&[0xfe])), b"\x00\x00\x00\x01\xfe\xff\x00%%k");
        assert_eq!(written(&format, None, None)[..4], [0xff; 4]);
    }

    #[test]
    fn keys_and_offsets_stand_before_their_delimiter() {
        let check = |key, offset, expected: &str| {
            let format = RecordFormat::delimited(key, offset, r"\x00");
            assert_eq!(text(&written(&format, Some(b"a"), Some(b"b"))), expected);
        };
        check(None, WithOffset::No, "b\0");
        check(Some(r"\t"), WithOffset::No, "a\tb\0");
        check(Some(":"), WithOffset::Yes, "7:a:b\0");
    }

    #[test]
    fn bytes_that_are_no_text_are_hex() {
        let line = written(&RecordFormat::Json, None, Some(&[0xff, 0x00]));
        assert_eq!(
            text(&line),
            "{\"topic\":\"t\",\"partition\":3,\"offset\":7,\"tstype\":\"create\",\"ts\":9,\"broker\":1,\"key\":null,\
             \"payload\":{\"hex\":\"ff00\"}}\n"
        );
    }
}
