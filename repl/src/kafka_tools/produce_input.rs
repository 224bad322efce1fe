//! Lines to records.

use serde_json::Value;

/// A header of a record to produce: name and value.
pub type InputHeader = (String, Option<Vec<u8>>);

/// How lines are read.
#[derive(Clone, Debug, Default)]
pub struct LineFormat {
    /// What stands between key and value.
    pub key_delimiter: Option<String>,
    /// Key of records whose line has none.
    pub key: Option<Vec<u8>>,
    /// Headers of every record.
    pub headers: Vec<InputHeader>,
    /// An empty value is a tombstone.
    pub empty_is_null: bool,
    /// Lines are objects: key, value, headers, partition, timestamp.
    pub is_json: bool,
}

/// A record to produce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputRecord {
    pub key: Option<Vec<u8>>,
    /// None is a tombstone.
    pub value: Option<Vec<u8>>,
    pub headers: Vec<InputHeader>,
    pub partition: Option<i32>,
    /// Units: ms since epoch.
    pub timestamp: Option<i64>,
}

impl LineFormat {
    /// The record of a line without its end. Errors: what is wrong with the line.
    pub fn record(&self, line: &[u8]) -> Result<InputRecord, String> {
        if self.is_json {
            return self.json_record(line);
        }
        let (key, value) = match &self.key_delimiter {
            None => (self.key.clone(), line),
            Some(delimiter) => match find(line, delimiter.as_bytes()) {
                Some(at) => (Some(line[..at].to_vec()), &line[at + delimiter.len()..]),
                // A line without a key, as kcat reads it.
                None => (self.key.clone(), line),
            },
        };
        let is_null = self.empty_is_null && value.is_empty();
        let key = key.filter(|key| !(self.empty_is_null && key.is_empty()));
        Ok(InputRecord {
            key,
            value: (!is_null).then(|| value.to_vec()),
            headers: self.headers.clone(),
            ..InputRecord::default()
        })
    }

    fn json_record(&self, line: &[u8]) -> Result<InputRecord, String> {
        let value: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let Value::Object(members) = value else { return Err("it is no JSON object".to_owned()) };
        let mut record =
            InputRecord { key: self.key.clone(), headers: self.headers.clone(), ..InputRecord::default() };
        let mut has_value = false;
        for (name, member) in members {
            match name.as_str() {
                "key" => record.key = bytes(&member),
                "value" | "payload" => {
                    record.value = bytes(&member);
                    has_value = true;
                }
                "headers" => record.headers.extend(headers(&member)?),
                "partition" => {
                    let number = member.as_i64().and_then(|n| i32::try_from(n).ok());
                    record.partition = Some(number.ok_or("\"partition\" is no partition")?);
                }
                "timestamp" | "ts" => {
                    record.timestamp = Some(member.as_i64().ok_or("\"timestamp\" is no number of ms")?);
                }
                // What `weir consume -J` and kcat add.
                "topic" | "offset" | "tstype" | "broker" => {}
                other => {
                    return Err(format!(
                        "member \"{other}\" is none of key, value, headers, partition, timestamp"
                    ));
                }
            }
        }
        if !has_value {
            return Err("member \"value\" is missing; null makes a tombstone".to_owned());
        }
        Ok(record)
    }
}

/// A string is its text, `{"hex": "…"}` its bytes, null nothing, anything else its JSON.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Object(members) if members.len() == 1 => {
            let hex = members.get("hex").and_then(Value::as_str).and_then(|text| hex::decode(text).ok());
            Some(hex.unwrap_or_else(|| value.to_string().into_bytes()))
        }
        other => Some(other.to_string().into_bytes()),
    }
}

/// `{"name": "value"}`, or names and values in turn as kcat prints them.
fn headers(value: &Value) -> Result<Vec<InputHeader>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Object(members) => Ok(members.iter().map(|(name, v)| (name.clone(), bytes(v))).collect()),
        Value::Array(items) if items.len() % 2 == 0 => items
            .chunks_exact(2)
            .map(|pair| {
                let name = pair[0].as_str().ok_or("a header's name is no string")?;
                Ok((name.to_owned(), bytes(&pair[1])))
            })
            .collect(),
        _ => Err("\"headers\" is neither an object nor a list of names and values".to_owned()),
    }
}

/// `NAME=VALUE`, or `NAME` for a header without value.
pub fn parse_header(text: &str) -> InputHeader {
    match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.as_bytes().to_vec())),
        None => (text.to_owned(), None),
    }
}

/// `\t`, `\n`, `\r`, `\0`, `\xNN` and `\\` as the characters they stand for.
pub fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let hex = after.strip_prefix('x').and_then(|digits| digits.get(..2));
        if let Some(byte) = hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            out.push(char::from(byte));
            rest = &after[3..];
            continue;
        }
        let mut chars = after.chars();
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('0') => out.push('\0'),
            Some('\\') => out.push('\\'),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return None;
    }
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(record: &InputRecord) -> (Option<String>, Option<String>) {
        let text =
            |bytes: &Option<Vec<u8>>| bytes.as_deref().map(|b| String::from_utf8_lossy(b).into_owned());
        (text(&record.key), text(&record.value))
    }

    #[test]
    fn lines_are_split_at_the_first_delimiter() {
        let format = LineFormat { key_delimiter: Some("::".to_owned()), ..LineFormat::default() };
        let check = |line: &str| text(&format.record(line.as_bytes()).expect("valid"));
        assert_eq!(check("a::b::c"), (Some("a".to_owned()), Some("b::c".to_owned())));
        assert_eq!(check("only value"), (None, Some("only value".to_owned())));
        assert_eq!(check("a::"), (Some("a".to_owned()), Some(String::new())));
        let nulls = LineFormat { empty_is_null: true, ..format };
        assert_eq!(text(&nulls.record(b"a::").expect("valid")), (Some("a".to_owned()), None));
    }

    #[test]
    fn json_lines_carry_everything() {
        let format = LineFormat { is_json: true, ..LineFormat::default() };
        let line = br#"{"key": "k", "value": {"n": 1}, "headers": {"h": "1", "e": null}, "partition": 2, "timestamp": 7}"#;
        let record = format.record(line).expect("valid");
        assert_eq!(text(&record), (Some("k".to_owned()), Some("{\"n\":1}".to_owned())));
        assert_eq!(record.headers, [("h".to_owned(), Some(b"1".to_vec())), ("e".to_owned(), None)]);
        assert_eq!((record.partition, record.timestamp), (Some(2), Some(7)));
        let bytes = format.record(br#"{"payload": {"hex": "ff00"}, "headers": ["a", "b"]}"#).expect("valid");
        assert_eq!(bytes.value, Some(vec![0xff, 0]));
        for wrong in [
            &b"[]"[..],
            b"{",
            br#"{"key": "k"}"#,
            br#"{"value": 1, "valu": 2}"#,
            br#"{"value": 1, "headers": [1]}"#,
        ] {
            assert!(format.record(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn escapes_stand_for_characters() {
        assert_eq!(unescape(r"a\tb\n\x41\\\q"), "a\tb\nA\\\\q");
        assert_eq!(unescape(r"end\"), "end\\");
        assert_eq!(unescape(r"\xé"), "\\xé");
    }
}
