//! Parts of URLs, and form encoding.

use crate::functions::call::{Call, KernelResult};
use crate::functions::scalar::ScalarFunction;
use crate::functions::scalar::string::map;

pub(crate) fn functions() -> Vec<ScalarFunction> {
    let function = |name, overview| ScalarFunction::new(name, "URL", overview);
    let part = |name, overview, kernel| function(name, overview).with("(STRING) -> STRING", kernel);
    vec![
        part("URL_ENCODE_PARAM", "Encodes a text as a form parameter.", |c| {
            map(c, |s| Ok(Some(form_encode(s))))
        }),
        part("URL_DECODE_PARAM", "Decodes a form parameter.", |c| map(c, |s| form_decode(s).map(Some))),
        part("URL_EXTRACT_FRAGMENT", "The part of a URL after #.", |c| {
            map(c, |s| Url::parse(s)?.fragment.map(percent_decode).transpose())
        }),
        part("URL_EXTRACT_HOST", "The host of a URL.", |c| {
            map(c, |s| Ok(Url::parse(s)?.host.map(str::to_owned)))
        }),
        part("URL_EXTRACT_PATH", "The path of a URL.", |c| {
            map(c, |s| Url::parse(s)?.path.map(percent_decode).transpose())
        }),
        function("URL_EXTRACT_PORT", "The port of a URL, if it names one.").with("(STRING) -> INT", |c| {
            let texts = c.strings(0);
            c.build_ints(|i| texts.get(i).map_or(Ok(None), |s| Ok(Url::parse(s)?.port)))
        }),
        part("URL_EXTRACT_PROTOCOL", "The scheme of a URL.", |c| {
            map(c, |s| Ok(Url::parse(s)?.scheme.map(str::to_owned)))
        }),
        part("URL_EXTRACT_QUERY", "The part of a URL after ?.", |c| {
            map(c, |s| Url::parse(s)?.query.map(percent_decode).transpose())
        }),
        function("URL_EXTRACT_PARAMETER", "The value of a parameter of a URL.")
            .with("(STRING, STRING) -> STRING", parameter),
    ]
}

/// A URI reference of RFC 3986, split but not decoded.
#[derive(Debug)]
struct Url<'a> {
    scheme: Option<&'a str>,
    host: Option<&'a str>,
    port: Option<i32>,
    /// None if the URL is opaque: its scheme is followed by something other than a slash.
    path: Option<&'a str>,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

impl<'a> Url<'a> {
    fn parse(text: &'a str) -> Result<Url<'a>, String> {
        check_characters(text)?;
        let (rest, fragment) = split_at(text, '#');
        let (rest, query) = split_at(rest, '?');
        let scheme_end = rest.find([':', '/']).filter(|at| rest[*at..].starts_with(':'));
        let (scheme, rest) = match scheme_end {
            Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
            None => (None, rest),
        };
        if let Some(scheme) = scheme {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
            let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(plain);
            if !valid || rest.is_empty() {
                return Err(format!("\"{text}\" is not a URL"));
            }
        }
        if scheme.is_some() && !rest.starts_with('/') {
            return Ok(Url { scheme, host: None, port: None, path: None, query: None, fragment });
        }
        let (authority, path) = match rest.strip_prefix("//") {
            Some(after) => {
                let end = after.find('/').unwrap_or(after.len());
                (Some(&after[..end]), &after[end..])
            }
            None => (None, rest),
        };
        let (host, port) = match authority {
            Some(authority) => split_authority(authority),
            None => (None, None),
        };
        Ok(Url { scheme, host, port, path: Some(path), query, fragment })
    }
}

fn split_at(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn split_authority(authority: &str) -> (Option<&str>, Option<i32>) {
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, rest)| rest);
    let bracket = host_and_port.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match host_and_port[bracket..].rfind(':') {
        Some(at) => (&host_and_port[..bracket + at], host_and_port[bracket + at + 1..].parse().ok()),
        None => (host_and_port, None),
    };
    ((!host.is_empty()).then_some(host), port)
}

fn check_characters(text: &str) -> Result<(), String> {
    for (at, c) in text.char_indices() {
        let escape_is_wrong = || {
            let digits = text.as_bytes().get(at + 1..at + 3);
            !digits.is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit))
        };
        let illegal = match c {
            '%' => escape_is_wrong(),
            ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}' => true,
            _ => c.is_control(),
        };
        if illegal {
            return Err(format!("\"{text}\" is not a URL: illegal character at {at}"));
        }
    }
    Ok(())
}

fn percent_decode(text: &str) -> Result<String, String> {
    decode(text, false)
}

fn form_decode(text: &str) -> Result<String, String> {
    decode(text, true)
}

fn decode(text: &str, plus_is_space: bool) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let digits = text.get(at + 1..at + 3);
                let byte = digits.and_then(|d| u8::from_str_radix(d, 16).ok());
                out.push(byte.ok_or_else(|| format!("\"{text}\" has an incomplete % escape"))?);
                at += 3;
                continue;
            }
            b'+' if plus_is_space => out.push(b' '),
            other => out.push(other),
        }
        at += 1;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn form_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

fn parameter(call: &Call<'_>) -> KernelResult {
    let (texts, names) = (call.strings(0), call.strings(1));
    call.build_strings(|i| {
        let (Some(text), Some(name)) = (texts.get(i), names.get(i)) else { return Ok(None) };
        let Some(query) = Url::parse(text)?.query else { return Ok(None) };
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if form_decode(key)? == name {
                return form_decode(value).map(Some);
            }
        }
        Ok(None)
    })
}
