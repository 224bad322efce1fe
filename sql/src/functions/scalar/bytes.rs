//! Bytes: encodings, numbers in bytes, parts.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder};
use arrow::buffer::NullBuffer;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use md5::{Digest, Md5};

use crate::functions::call::{Call, KernelResult};
use crate::functions::scalar::ScalarFunction;
use crate::functions::scalar::string::{PAD_LENGTH_MAX, map, range};
use crate::value::convert::list_array;

const CATEGORY: &str = "CONVERSIONS";

pub(crate) fn functions() -> Vec<ScalarFunction> {
    let function = |name, overview| ScalarFunction::new(name, CATEGORY, overview);
    let text_function = |name, overview| ScalarFunction::new(name, "STRING", overview);
    vec![
        text_function("TO_BYTES", "The bytes of a text in the encoding hex, utf8, ascii or base64.").with(
            "(STRING, STRING) -> BYTES",
            |c| {
                let (texts, encodings) = (c.strings(0), c.strings(1));
                c.build_bytes(|i| match (texts.get(i), encodings.get(i)) {
                    (Some(text), Some(encoding)) => Encoding::parse(encoding)?.decode(text).map(Some),
                    _ => Ok(None),
                })
            },
        ),
        text_function("FROM_BYTES", "Bytes as text in the encoding hex, utf8, ascii or base64.").with(
            "(BYTES, STRING) -> STRING",
            |c| {
                let (values, encodings) = (c.bytes(0), c.strings(1));
                c.build_strings(|i| match (values.get(i), encodings.get(i)) {
                    (Some(bytes), Some(encoding)) => Ok(Some(match Encoding::parse(encoding)? {
                        Encoding::Hex => hex::encode_upper(bytes),
                        encoding => encoding.encode(bytes),
                    })),
                    _ => Ok(None),
                })
            },
        ),
        ScalarFunction::new("ENCODE", "STRING", "A text from one encoding to another.")
            .with("(STRING, STRING, STRING) -> STRING", encode),
        ScalarFunction::new("MD5", "STRING", "The MD5 digest of a text, as hexadecimal digits.")
            .with("(STRING) -> STRING", |c| map(c, |s| Ok(Some(hex::encode(Md5::digest(s.as_bytes())))))),
        function("INT_FROM_BYTES", "The INTEGER in four bytes.")
            .with("(BYTES) -> INT", |c| {
                numbers::<4, _>(c, |call, value| call.build_ints(|i| Ok(value(i)?.map(i32::from_be_bytes))))
            })
            .with("(BYTES, STRING) -> INT", |c| {
                numbers::<4, _>(c, |call, value| call.build_ints(|i| Ok(value(i)?.map(i32::from_be_bytes))))
            }),
        function("BIGINT_FROM_BYTES", "The BIGINT in eight bytes.")
            .with("(BYTES) -> BIGINT", |c| {
                numbers::<8, _>(c, |call, value| call.build_longs(|i| Ok(value(i)?.map(i64::from_be_bytes))))
            })
            .with("(BYTES, STRING) -> BIGINT", |c| {
                numbers::<8, _>(c, |call, value| call.build_longs(|i| Ok(value(i)?.map(i64::from_be_bytes))))
            }),
        function("DOUBLE_FROM_BYTES", "The DOUBLE in eight bytes.")
            .with("(BYTES) -> DOUBLE", |c| {
                numbers::<8, _>(c, |call, value| {
                    call.build_doubles(|i| Ok(value(i)?.map(f64::from_be_bytes)))
                })
            })
            .with("(BYTES, STRING) -> DOUBLE", |c| {
                numbers::<8, _>(c, |call, value| {
                    call.build_doubles(|i| Ok(value(i)?.map(f64::from_be_bytes)))
                })
            }),
        text_function("UUID", "A random version 4 UUID, or the UUID in sixteen bytes.")
            .with("() -> STRING", |c| {
                c.build_strings(|_| {
                    let (high, low) = (c.environment.random(), c.environment.random());
                    let bytes = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
                    Ok(Some(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()))
                })
            })
            .with("(BYTES) -> STRING", |c| {
                let values = c.bytes(0);
                c.build_strings(|i| {
                    let bytes = values.get(i).and_then(|b| <[u8; 16]>::try_from(b).ok());
                    Ok(bytes.map(|b| uuid::Uuid::from_bytes(b).to_string()))
                })
            }),
    ]
}

/// How bytes are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Hex,
    Utf8,
    Ascii,
    Base64,
}

impl Encoding {
    fn parse(name: &str) -> Result<Encoding, String> {
        match name.to_ascii_lowercase().as_str() {
            "hex" => Ok(Encoding::Hex),
            "utf8" => Ok(Encoding::Utf8),
            "ascii" => Ok(Encoding::Ascii),
            "base64" => Ok(Encoding::Base64),
            _ => Err(format!("encoding \"{name}\" is not one of hex, utf8, ascii, base64")),
        }
    }

    fn decode(self, text: &str) -> Result<Vec<u8>, String> {
        match self {
            Encoding::Hex => decode_hex(text),
            Encoding::Utf8 => Ok(text.as_bytes().to_vec()),
            Encoding::Ascii => Ok(text.chars().map(|c| if c.is_ascii() { c as u8 } else { b'?' }).collect()),
            Encoding::Base64 => STANDARD
                .decode(text)
                .or_else(|_| STANDARD_NO_PAD.decode(text))
                .map_err(|e| format!("\"{text}\" is not base64: {e}")),
        }
    }

    fn encode(self, bytes: &[u8]) -> String {
        match self {
            Encoding::Hex => hex::encode(bytes),
            Encoding::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Encoding::Ascii => bytes
                .iter()
                .map(|b| if b.is_ascii() { char::from(*b) } else { char::REPLACEMENT_CHARACTER })
                .collect(),
            Encoding::Base64 => STANDARD.encode(bytes),
        }
    }
}

/// Plain digits, `0x…` (of any number of digits) or `X'…'`.
fn decode_hex(text: &str) -> Result<Vec<u8>, String> {
    let error = |e: hex::FromHexError| format!("\"{text}\" is not hexadecimal: {e}");
    if let Some(digits) = text.strip_prefix("0x") {
        let padded = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits.to_owned() };
        return hex::decode(padded).map_err(error);
    }
    let quoted = text.strip_prefix("X'").or_else(|| text.strip_prefix("x'"));
    let digits = quoted.map_or(Some(text), |rest| rest.strip_suffix('\''));
    let digits = digits.ok_or_else(|| format!("\"{text}\" is not hexadecimal: the quote is not closed"))?;
    hex::decode(digits).map_err(error)
}

fn encode(call: &Call<'_>) -> KernelResult {
    let (texts, froms, tos) = (call.strings(0), call.strings(1), call.strings(2));
    call.build_strings(|i| {
        let (Some(text), Some(from), Some(to)) = (texts.get(i), froms.get(i), tos.get(i)) else {
            return Ok(None);
        };
        let (from, to) = (Encoding::parse(from)?, Encoding::parse(to)?);
        if from == to {
            return Err(format!("ENCODE from {from:?} to itself is not supported"));
        }
        Ok(Some(to.encode(&from.decode(text)?)))
    })
}

/// Runs `build` with a reader of `N` bytes in big-endian order.
fn numbers<const N: usize, F>(call: &Call<'_>, build: F) -> KernelResult
where
    F: FnOnce(&Call<'_>, &dyn Fn(usize) -> Result<Option<[u8; N]>, String>) -> KernelResult,
{
    let values = call.bytes(0);
    let orders = (call.count() > 1).then(|| call.strings(1));
    let read = |i: usize| {
        let Some(bytes) = values.get(i) else { return Ok(None) };
        let order = match &orders {
            None => "BIG_ENDIAN",
            Some(orders) => match orders.get(i) {
                Some(order) => order,
                None => return Ok(None),
            },
        };
        let mut bytes = <[u8; N]>::try_from(bytes)
            .map_err(|_| format!("a number of {N} bytes was asked of {} bytes", bytes.len()))?;
        match order {
            "BIG_ENDIAN" => {}
            "LITTLE_ENDIAN" => bytes.reverse(),
            other => {
                return Err(format!("byte order \"{other}\" is not BIG_ENDIAN or LITTLE_ENDIAN"));
            }
        }
        Ok(Some(bytes))
    };
    build(call, &read)
}

pub(crate) fn substring(call: &Call<'_>) -> KernelResult {
    let (values, positions) = (call.bytes(0), call.ints(1));
    let counts = (call.count() > 2).then(|| call.ints(2));
    call.build_bytes(|i| {
        let (Some(bytes), Some(position)) = (values.get(i), positions.get(i)) else { return Ok(None) };
        let count = match &counts {
            None => None,
            Some(counts) => match counts.get(i) {
                None => return Ok(None),
                count => count,
            },
        };
        let (from, to) = range(bytes.len(), position, count);
        Ok(Some(&bytes[from..to]))
    })
}

pub(crate) fn pad(call: &Call<'_>, left: bool) -> KernelResult {
    let (values, lengths, paddings) = (call.bytes(0), call.ints(1), call.bytes(2));
    call.build_bytes(|i| {
        let (Some(bytes), Some(length), Some(padding)) = (values.get(i), lengths.get(i), paddings.get(i))
        else {
            return Ok(None);
        };
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        if padding.is_empty() {
            return Ok(None);
        }
        if length > PAD_LENGTH_MAX {
            return Err(format!("padding to {length} bytes is too long"));
        }
        if bytes.len() >= length {
            return Ok(Some(bytes[..length].to_vec()));
        }
        let fill: Vec<u8> = padding.iter().copied().cycle().take(length - bytes.len()).collect();
        Ok(Some(if left { [&fill, bytes].concat() } else { [bytes, &fill].concat() }))
    })
}

pub(crate) fn split(call: &Call<'_>) -> KernelResult {
    let (values, delimiters) = (call.bytes(0), call.bytes(1));
    let mut elements = BinaryBuilder::new();
    let mut offsets = vec![0_i32];
    let mut valid = Vec::with_capacity(call.rows);
    let mut count = 0;
    for i in 0..call.rows {
        let row = values.get(i).zip(delimiters.get(i));
        if let Some((bytes, delimiter)) = row {
            for part in split_bytes(bytes, delimiter) {
                call.budget().charge(part.len() + size_of::<i32>())?;
                elements.append_value(part);
                count += 1;
            }
        }
        offsets.push(count);
        valid.push(row.is_some());
    }
    let elements: ArrayRef = Arc::new(elements.finish());
    Ok(list_array(call.return_type, offsets, elements, Some(NullBuffer::from(valid))))
}

fn split_bytes<'a>(bytes: &'a [u8], delimiter: &[u8]) -> Vec<&'a [u8]> {
    if bytes.is_empty() {
        return vec![bytes];
    }
    if delimiter.is_empty() {
        return bytes.chunks(1).collect();
    }
    let mut parts = Vec::new();
    let mut from = 0;
    for at in memchr::memmem::find_iter(bytes, delimiter) {
        parts.push(&bytes[from..at]);
        from = at + delimiter.len();
    }
    parts.push(&bytes[from..]);
    parts
}
