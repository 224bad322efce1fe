//! The properties of Kafka's own console producer.

use crate::kafka_tools::error::{Result, ToolError};
use crate::kafka_tools::produce::line_format::{LineFormat, LineHeaders, unescape};

/// Sets what `parse.key=true`, `key.separator=:` and the like say.
pub fn console_format(format: &mut LineFormat, properties: &[&String]) -> Result<()> {
    let (mut parse_key, mut parse_headers, mut ignore_error) = (false, false, false);
    let mut separator = b"\t".to_vec();
    let mut headers = LineHeaders { end: b"\t".to_vec(), separator: b",".to_vec(), name_end: b":".to_vec() };
    for text in properties {
        let unknown = || {
            ToolError::Usage(format!(
                "property \"{text}\" is none of parse.key, key.separator, parse.headers, headers.delimiter, \
                 headers.separator, headers.key.separator, null.marker, ignore.error"
            ))
        };
        let (name, value) = text.split_once('=').ok_or_else(unknown)?;
        match name {
            "parse.key" => parse_key = value == "true",
            "parse.headers" => parse_headers = value == "true",
            "ignore.error" => ignore_error = value == "true",
            "key.separator" => separator = unescape(value),
            "headers.delimiter" => headers.end = unescape(value),
            "headers.separator" => headers.separator = unescape(value),
            "headers.key.separator" => headers.name_end = unescape(value),
            "null.marker" => format.null_marker = Some(value.as_bytes().to_vec()),
            _ => return Err(unknown()),
        }
    }
    if [&separator, &headers.end, &headers.separator, &headers.name_end].iter().any(|text| text.is_empty()) {
        return Err(ToolError::Usage("a separator is empty".to_owned()));
    }
    if parse_key && format.key_delimiter.is_none() {
        format.key_delimiter = Some(separator);
    }
    format.line_headers = parse_headers.then_some(headers);
    format.is_strict = !ignore_error;
    Ok(())
}
