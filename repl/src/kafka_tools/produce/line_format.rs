//! Lines to records.

use serde_json::Value;

/// A header of a record to produce: name and value.
pub type InputHeader = (String, Option<Vec<u8>>);

/// Headers that stand in a line: `a:1,b:2` and a tab, for example.
#[derive(Clone, Debug)]
pub struct LineHeaders {
    /// Delimiter between the headers and the rest.
    pub end: Vec<u8>,
    /// Delimiter between two headers.
    pub separator: Vec<u8>,
    /// Delimiter between a header's name and its value.
    pub name_end: Vec<u8>,
}

/// How lines are read.
#[derive(Clone, Debug, Default)]
pub struct LineFormat {
    /// Delimiter between key and value.
    pub key_delimiter: Option<Vec<u8>>,
    /// Headers in front of each line, as Kafka's own console producer reads them.
    pub line_headers: Option<LineHeaders>,
    /// A line without a delimiter that is due is an error, not a record without that part.
    pub is_strict: bool,
    /// Keys, values and header values that are this are null.
    pub null_marker: Option<Vec<u8>>,
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
        let (line_headers, line) = self.headers_of(line)?;
        let (key, value) = match &self.key_delimiter {
            None => (self.key.clone(), line),
            Some(delimiter) => match find(line, delimiter) {
                Some(at) => (Some(line[..at].to_vec()), &line[at + delimiter.len()..]),
                None if self.is_strict => return Err("there is no key separator".to_owned()),
                // A line without a key, as kcat reads it.
                None => (self.key.clone(), line),
            },
        };
        let is_null = |bytes: &[u8]| {
            (self.empty_is_null && bytes.is_empty()) || self.null_marker.as_deref() == Some(bytes)
        };
        let mut headers = self.headers.clone();
        headers.extend(line_headers);
        Ok(InputRecord {
            key: key.filter(|key| !is_null(key)),
            value: (!is_null(value)).then(|| value.to_vec()),
            headers,
            ..InputRecord::default()
        })
    }

    /// The headers of a line, and the rest of it.
    fn headers_of<'l>(&self, line: &'l [u8]) -> Result<(Vec<InputHeader>, &'l [u8]), String> {
        let Some(form) = &self.line_headers else { return Ok((Vec::new(), line)) };
        let Some(at) = find(line, &form.end) else {
            return match self.is_strict {
                true => Err("there is no headers delimiter".to_owned()),
                false => Ok((Vec::new(), line)),
            };
        };
        let (mut texts, rest) = (&line[..at], &line[at + form.end.len()..]);
        let mut headers = Vec::new();
        if self.null_marker.as_deref() == Some(texts) {
            return Ok((headers, rest));
        }
        while !texts.is_empty() {
            let end = find(texts, &form.separator).unwrap_or(texts.len());
            let header = &texts[..end];
            texts = texts.get(end + form.separator.len()..).unwrap_or_default();
            let (name, value) = match find(header, &form.name_end) {
                Some(at) => (&header[..at], Some(&header[at + form.name_end.len()..])),
                None if self.is_strict => return Err("a header has no separator".to_owned()),
                None => (header, None),
            };
            let value = value.filter(|value| self.null_marker.as_deref() != Some(*value));
            headers.push((String::from_utf8_lossy(name).into_owned(), value.map(<[u8]>::to_vec)));
        }
        Ok((headers, rest))
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

/// `\t`, `\n`, `\r`, `\0`, `\xNN` and `\\` as the bytes they stand for; everything else as it is.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.extend_from_slice(before.as_bytes());
        let hex = after.strip_prefix('x').and_then(|digits| digits.get(..2));
        if let Some(byte) = hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            out.push(byte);
            rest = &after[3..];
            continue;
        }
        let mut chars = after.chars();
        let byte = match chars.next() {
            Some('t') => b'\t',
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('0') => 0,
            Some('\\') => b'\\',
            _ => {
                // Stands for itself, and what follows as well.
                out.push(b'\\');
                rest = after;
                continue;
            }
        };
        out.push(byte);
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
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
        let format = LineFormat { key_delimiter: Some(b"::".to_vec()), ..LineFormat::default() };
        let check = |line: &str| text(&format.record(line.as_bytes()).expect("valid"));
        assert_eq!(check("a::b::c"), (Some("a".to_owned()), Some("b::c".to_owned())));
        assert_eq!(check("only value"), (None, Some("only value".to_owned())));
        assert_eq!(check("a::"), (Some("a".to_owned()), Some(String::new())));
        let nulls = LineFormat { empty_is_null: true, ..format };
        assert_eq!(text(&nulls.record(b"a::").expect("valid")), (Some("a".to_owned()), None));
    }

    #[test]
    fn lines_may_begin_with_headers() {
        let form = LineHeaders { end: b"\t".to_vec(), separator: b",".to_vec(), name_end: b":".to_vec() };
        let format = LineFormat {
            line_headers: Some(form),
            key_delimiter: Some(b"\t".to_vec()),
            null_marker: Some(b"NIL".to_vec()),
            is_strict: true,
            ..LineFormat::default()
        };
        let record = format.record(b"a:1,b:NIL,c:x:y\tk\tv").expect("valid");
        let header =
            |name: &str, value: Option<&str>| (name.to_owned(), value.map(|v| v.as_bytes().to_vec()));
        assert_eq!(record.headers, [header("a", Some("1")), header("b", None), header("c", Some("x:y"))]);
        assert_eq!(text(&record), (Some("k".to_owned()), Some("v".to_owned())));
        let none = format.record(b"NIL\tNIL\tNIL").expect("valid");
        assert!(none.headers.is_empty() && text(&none) == (None, None));
        for wrong in ["a:1", "a:1\tv", "a\tk\tv"] {
            assert!(format.record(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let lenient = LineFormat { is_strict: false, ..format };
        assert_eq!(text(&lenient.record(b"v").expect("valid")), (None, Some("v".to_owned())));
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
        assert_eq!(unescape(r"a\tb\n\x41\\\q"), b"a\tb\nA\\\\q");
        assert_eq!(unescape(r"end\"), b"end\\");
        assert_eq!(unescape(r"\xé"), "\\xé".as_bytes());
        assert_eq!(unescape(r"\xff\x00"), [0xff, 0]);
    }
}
