//! Text: case, parts, search, padding. Positions and lengths count UTF-16 units, the first being 1.

use crate::functions::budget::{VALUE_BYTES_MAX, check_value};
use crate::functions::call::{Call, KernelResult};
use crate::functions::scalar::ScalarFunction;
use crate::functions::scalar::bytes;
use crate::functions::scalar::collect::{StringLists, StringMaps};
use crate::functions::utf16;

const CATEGORY: &str = "STRING";

pub(crate) fn functions() -> Vec<ScalarFunction> {
    let mut all = parts();
    all.extend(search());
    all.extend(split_and_join());
    all
}

fn function(name: &'static str, overview: &'static str) -> ScalarFunction {
    ScalarFunction::new(name, CATEGORY, overview)
}

fn parts() -> Vec<ScalarFunction> {
    vec![
        function("LCASE", "The text in lower case.")
            .with("(STRING) -> STRING", |c| map(c, |s| Ok(Some(s.to_lowercase())))),
        function("UCASE", "The text in upper case.")
            .with("(STRING) -> STRING", |c| map(c, |s| Ok(Some(s.to_uppercase())))),
        function("INITCAP", "Each word with a capital first letter, the rest in lower case.")
            .with("(STRING) -> STRING", |c| map(c, |s| Ok(Some(initcap(s))))),
        function("TRIM", "The text without spaces and control characters around it.")
            .with("(STRING) -> STRING", |c| map(c, |s| Ok(Some(s.trim_matches(|ch| ch <= ' ').to_owned())))),
        function("LEN", "The number of characters of a text, or of bytes.")
            .with("(STRING) -> INT", |c| {
                let texts = c.strings(0);
                c.build_ints(|i| Ok(texts.get(i).map(|s| utf16::length(s) as i32)))
            })
            .with("(BYTES) -> INT", |c| {
                let values = c.bytes(0);
                c.build_ints(|i| Ok(values.get(i).map(|b| b.len() as i32)))
            }),
        function(
            "SUBSTRING",
            "The part from a position on, or of a length. Negative positions count from the end.",
        )
        .with("(STRING, INT) -> STRING", substring)
        .with("(STRING, INT, INT) -> STRING", substring)
        .with("(BYTES, INT) -> BYTES", bytes::substring)
        .with("(BYTES, INT, INT) -> BYTES", bytes::substring),
        function("LPAD", "Fills up on the left to a length, or cuts on the right.")
            .with("(STRING, INT, STRING) -> STRING", |c| pad(c, Side::Left))
            .with("(BYTES, INT, BYTES) -> BYTES", |c| bytes::pad(c, true)),
        function("RPAD", "Fills up on the right to a length, or cuts.")
            .with("(STRING, INT, STRING) -> STRING", |c| pad(c, Side::Right))
            .with("(BYTES, INT, BYTES) -> BYTES", |c| bytes::pad(c, false)),
        function("CHR", "The character of a code point, or of an escape such as \\u004b.")
            .with("(INT) -> STRING", |c| {
                let codes = c.ints(0);
                c.build_strings(|i| {
                    let code = codes.get(i).and_then(|code| u32::try_from(code).ok());
                    Ok(code.and_then(char::from_u32).map(String::from))
                })
            })
            .with("(STRING) -> STRING", |c| map(c, |s| Ok(unescape(s)))),
        function("REPLACE", "The text with every occurrence of a part replaced.").with(
            "(STRING, STRING, STRING) -> STRING",
            |c| {
                let (texts, olds, news) = (c.strings(0), c.strings(1), c.strings(2));
                c.build_strings(|i| match (texts.get(i), olds.get(i), news.get(i)) {
                    (Some(text), Some(old), Some(new)) => {
                        check_replaced(text, old, new)?;
                        Ok(Some(text.replace(old, new)))
                    }
                    _ => Ok(None),
                })
            },
        ),
    ]
}

fn search() -> Vec<ScalarFunction> {
    vec![
        function(
            "INSTR",
            "The position of a part in a text, from a start on, at its n-th occurrence; 0 if absent.",
        )
        .with("(STRING, STRING) -> INT", instr)
        .with("(STRING, STRING, INT) -> INT", instr)
        .with("(STRING, STRING, INT, INT) -> INT", instr),
        function("ELT", "The text at a position among those given.").with(
            "(INT, STRING...) -> STRING",
            |c| {
                let positions = c.ints(0);
                let texts: Vec<_> = (1..c.count()).map(|i| c.strings(i)).collect();
                c.build_strings(|i| {
                    let position = positions.get(i).and_then(|p| usize::try_from(p).ok()).filter(|p| *p > 0);
                    Ok(position.and_then(|p| texts.get(p - 1)).and_then(|t| t.get(i)))
                })
            },
        ),
        function("FIELD", "The position of a text among others; 0 if absent.").with(
            "(STRING, STRING...) -> INT",
            |c| {
                let wanted = c.strings(0);
                let others: Vec<_> = (1..c.count()).map(|i| c.strings(i)).collect();
                c.build_ints(|i| {
                    let Some(wanted) = wanted.get(i) else { return Ok(Some(0)) };
                    let found = others.iter().position(|o| o.get(i) == Some(wanted));
                    Ok(Some(found.map_or(0, |p| p as i32 + 1)))
                })
            },
        ),
    ]
}

fn split_and_join() -> Vec<ScalarFunction> {
    vec![
        function("CONCAT", "The arguments one after another; NULLs are left out.")
            .with("(STRING, STRING...) -> STRING", |c| {
                let parts: Vec<_> = (0..c.count()).map(|i| c.strings(i)).collect();
                c.build_strings(|i| {
                    let present = || parts.iter().filter_map(|p| p.get(i));
                    check_value(present().map(str::len).sum())?;
                    Ok(Some(present().collect::<String>()))
                })
            })
            .with("(BYTES, BYTES...) -> BYTES", |c| {
                let parts: Vec<_> = (0..c.count()).map(|i| c.bytes(i)).collect();
                c.build_bytes(|i| {
                    let present = parts.iter().filter_map(|p| p.get(i)).collect::<Vec<_>>();
                    check_value(present.iter().map(|p| p.len()).sum())?;
                    Ok(Some(present.concat()))
                })
            }),
        function(
            "CONCAT_WS",
            "The arguments after the first, with the first between them; NULLs are left out.",
        )
        .with("(STRING, STRING, STRING...) -> STRING", |c| {
            let parts: Vec<_> = (0..c.count()).map(|i| c.strings(i)).collect();
            c.build_strings(|i| {
                let Some(separator) = parts[0].get(i) else { return Ok(None) };
                let present = parts[1..].iter().filter_map(|p| p.get(i)).collect::<Vec<_>>();
                check_value(present.iter().map(|p| p.len() + separator.len()).sum())?;
                Ok(Some(present.join(separator)))
            })
        })
        .with("(BYTES, BYTES, BYTES...) -> BYTES", |c| {
            let parts: Vec<_> = (0..c.count()).map(|i| c.bytes(i)).collect();
            c.build_bytes(|i| {
                let Some(separator) = parts[0].get(i) else { return Ok(None) };
                let present = parts[1..].iter().filter_map(|p| p.get(i)).collect::<Vec<_>>();
                check_value(present.iter().map(|p| p.len() + separator.len()).sum())?;
                Ok(Some(present.join(separator)))
            })
        }),
        function("SPLIT", "The parts between delimiters; every character if the delimiter is empty.")
            .with("(STRING, STRING) -> ARRAY<STRING>", split)
            .with("(BYTES, BYTES) -> ARRAY<BYTES>", bytes::split),
        function("SPLIT_TO_MAP", "Keys and values of a text such as a:1/b:2.")
            .with("(STRING, STRING, STRING) -> MAP<STRING, STRING>", split_to_map),
    ]
}

/// One text in, one text out; NULL stays NULL.
pub(crate) fn map(call: &Call<'_>, compute: impl Fn(&str) -> Result<Option<String>, String>) -> KernelResult {
    let texts = call.strings(0);
    call.build_strings(|i| texts.get(i).map_or(Ok(None), &compute))
}

fn initcap(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut first = true;
    for c in text.trim_start().to_lowercase().chars() {
        if first {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        first = c.is_whitespace();
    }
    out
}

/// Text with escapes of the form \uXXXX. None if it does not begin with one or has a wrong one.
fn unescape(text: &str) -> Option<String> {
    if !text.starts_with("\\u") || text.len() < 6 {
        return None;
    }
    let mut units = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(escape) = rest.strip_prefix("\\u") {
            units.push(u16::from_str_radix(escape.get(..4)?, 16).ok()?);
            rest = &escape[4..];
        } else {
            let c = rest.chars().next()?;
            units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
            rest = &rest[c.len_utf8()..];
        }
    }
    String::from_utf16(&units).ok()
}

/// Start and end, counted from 0, of a SQL position and length in a value of `length` units.
pub(crate) fn range(length: usize, position: i32, count: Option<i32>) -> (usize, usize) {
    let length = length as i64;
    let start = match position {
        0 => 0,
        1.. => i64::from(position) - 1,
        _ => length + i64::from(position),
    };
    let start = start.clamp(0, length);
    let end = count.map_or(length, |c| (start + i64::from(c.max(0))).min(length));
    (start as usize, end as usize)
}

fn substring(call: &Call<'_>) -> KernelResult {
    let (texts, positions) = (call.strings(0), call.ints(1));
    let counts = (call.count() > 2).then(|| call.ints(2));
    call.build_strings(|i| {
        let (Some(text), Some(position)) = (texts.get(i), positions.get(i)) else { return Ok(None) };
        let count = match &counts {
            None => None,
            Some(counts) => match counts.get(i) {
                None => return Ok(None),
                count => count,
            },
        };
        let (from, to) = range(utf16::length(text), position, count);
        Ok(Some(utf16::slice(text, from, to)))
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// The longest text that padding makes. Units: UTF-16 units, or bytes.
pub(crate) const PAD_LENGTH_MAX: usize = VALUE_BYTES_MAX;

fn pad(call: &Call<'_>, side: Side) -> KernelResult {
    let (texts, lengths, paddings) = (call.strings(0), call.ints(1), call.strings(2));
    call.build_strings(|i| {
        let (Some(text), Some(length), Some(padding)) = (texts.get(i), lengths.get(i), paddings.get(i))
        else {
            return Ok(None);
        };
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        if padding.is_empty() {
            return Ok(None);
        }
        if length > PAD_LENGTH_MAX {
            return Err(format!("padding to {length} characters is too long"));
        }
        let present = utf16::length(text);
        if present >= length {
            return Ok(Some(utf16::slice(text, 0, length).into_owned()));
        }
        let fill = fill(padding, length - present);
        check_value(text.len() + fill.len())?;
        Ok(Some(if side == Side::Left { fill + text } else { format!("{text}{fill}") }))
    })
}

/// Repetitions of a padding, cut to a length in UTF-16 units.
fn fill(padding: &str, units: usize) -> String {
    let length = utf16::length(padding);
    let mut fill = padding.repeat(units / length);
    fill.push_str(&utf16::slice(padding, 0, units % length));
    fill
}

/// Errors: replacing every occurrence of `old` makes the text too long.
fn check_replaced(text: &str, old: &str, new: &str) -> Result<(), String> {
    let longest = (text.len() / old.len().max(1) + 1).saturating_mul(new.len()).saturating_add(text.len());
    if check_value(longest).is_ok() {
        return Ok(());
    }
    let count = text.matches(old).count();
    check_value((text.len() - count * old.len()).saturating_add(count.saturating_mul(new.len())))
}

fn instr(call: &Call<'_>) -> KernelResult {
    let (texts, parts) = (call.strings(0), call.strings(1));
    let optional = |index: usize| (call.count() > index).then(|| call.ints(index));
    let (positions, occurrences) = (optional(2), optional(3));
    call.build_ints(|i| {
        let position = positions.as_ref().map_or(Some(1), |p| p.get(i));
        let occurrence = occurrences.as_ref().map_or(Some(1), |o| o.get(i));
        let (Some(text), Some(part), Some(position), Some(occurrence)) =
            (texts.get(i), parts.get(i), position, occurrence)
        else {
            return Ok(Some(0));
        };
        let text: Vec<u16> = text.encode_utf16().collect();
        let part: Vec<u16> = part.encode_utf16().collect();
        Ok(Some(find(&text, &part, position, occurrence)))
    })
}

/// Position from 1 of the n-th occurrence: forward from `position`, or backward if it is negative.
fn find(text: &[u16], part: &[u16], position: i32, occurrence: i32) -> i32 {
    let magnitude = position.unsigned_abs() as usize;
    if magnitude == 0 || magnitude > text.len() || occurrence < 1 || part.len() > text.len() {
        return 0;
    }
    let nth = occurrence as usize - 1;
    let found = if position > 0 {
        occurrences(text, part).filter(|start| *start >= magnitude - 1).nth(nth)
    } else {
        let starts: Vec<usize> =
            occurrences(text, part).take_while(|start| *start <= text.len() - magnitude).collect();
        starts.iter().rev().nth(nth).copied()
    };
    found.map_or(0, |start| start as i32 + 1)
}

/// Where a part begins in a text, overlapping occurrences included, in time linear in both (Knuth, Morris, Pratt).
fn occurrences<'t>(text: &'t [u16], part: &'t [u16]) -> Box<dyn Iterator<Item = usize> + 't> {
    if part.is_empty() {
        return Box::new(0..=text.len());
    }
    // `border[i]`: the longest proper prefix of the part that ends at place i of it, too.
    let mut border = vec![0; part.len()];
    let mut matched = 0;
    for i in 1..part.len() {
        while matched > 0 && part[i] != part[matched] {
            matched = border[matched - 1];
        }
        matched += usize::from(part[i] == part[matched]);
        border[i] = matched;
    }
    let mut matched = 0;
    Box::new(text.iter().enumerate().filter_map(move |(i, unit)| {
        while matched > 0 && (matched == part.len() || *unit != part[matched]) {
            matched = border[matched - 1];
        }
        matched += usize::from(*unit == part[matched]);
        (matched == part.len()).then(|| i + 1 - part.len())
    }))
}

fn split(call: &Call<'_>) -> KernelResult {
    let (texts, delimiters) = (call.strings(0), call.strings(1));
    let mut lists = StringLists::new(call);
    for i in 0..call.rows {
        match (texts.get(i), delimiters.get(i)) {
            (Some(""), Some("")) => lists.append([""]),
            (Some(text), Some("")) => {
                let mut buffer = [0; 4];
                for c in text.chars() {
                    lists.push(c.encode_utf8(&mut buffer));
                }
                lists.finish_row(true);
            }
            (Some(text), Some(delimiter)) => lists.append(text.split(delimiter)),
            _ => lists.finish_row(false),
        }
    }
    lists.finish(call.return_type)
}

fn split_to_map(call: &Call<'_>) -> KernelResult {
    let (texts, entries, pairs) = (call.strings(0), call.strings(1), call.strings(2));
    let mut maps = StringMaps::new(call);
    for i in 0..call.rows {
        let (Some(text), Some(entry), Some(pair)) = (texts.get(i), entries.get(i), pairs.get(i)) else {
            maps.finish_row(false);
            continue;
        };
        if entry.is_empty() || pair.is_empty() || entry == pair {
            maps.finish_row(false);
            continue;
        }
        for part in text.split(entry) {
            let mut halves = part.split(pair);
            if let (Some(key), Some(value)) = (halves.next(), halves.next()) {
                maps.put(key, Some(value));
            }
        }
        maps.finish_row(true);
    }
    maps.finish(call.return_type)
}
