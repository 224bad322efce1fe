//! A cursor over JSON text: tokens without a tree.

use crate::serde::error::{Fallible, Fault};
use crate::serde::text::NumberParts;

/// Powers of ten that doubles hold exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
/// Digits that always fit an i64, and a u64 less one digit.
const FAST_DIGITS: usize = 18;
/// Integers up to here are exact doubles.
const EXACT_DOUBLE_MAX: u64 = 1 << 53;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    pub(crate) position: usize,
}

/// A string between its quotes, escapes not yet resolved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawString<'a> {
    pub(crate) text: &'a str,
    pub(crate) escaped: bool,
}

/// The first byte at or after `from` that ends a run of plain string text: a quote, a backslash or a control character.
#[inline]
pub(crate) fn plain_run_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(chunk) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        let quote = word ^ (ONES * u64::from(b'"'));
        let backslash = word ^ (ONES * u64::from(b'\\'));
        let found = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        if found & HIGHS != 0 {
            return at + ((found & HIGHS).trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while at < bytes.len() && bytes[at] >= 0x20 && bytes[at] != b'"' && bytes[at] != b'\\' {
        at += 1;
    }
    at
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Scanner<'a> {
        Scanner { text, position: 0 }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// The next byte that is not blank, not consumed.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes().get(self.position) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.position += 1,
                other => return other.copied(),
            }
        }
    }

    /// The next byte that is not blank; an error at the end of the text.
    #[inline]
    pub(crate) fn first(&mut self) -> Fallible<u8> {
        match self.peek() {
            Some(byte) => Ok(byte),
            None => Err(Fault::new("the JSON text ends too early")),
        }
    }

    #[inline]
    pub(crate) fn expect(&mut self, byte: u8) -> Fallible<()> {
        if self.peek() == Some(byte) {
            self.position += 1;
            return Ok(());
        }
        Err(self.unexpected(&format!("'{}'", byte as char)))
    }

    /// After an opening bracket: consumes the closing one and says true if the container is empty.
    #[inline]
    pub(crate) fn closes(&mut self, close: u8) -> bool {
        let closes = self.peek() == Some(close);
        self.position += usize::from(closes);
        closes
    }

    /// After a member: consumes a comma (false: another member follows) or the closing bracket (true).
    #[inline]
    pub(crate) fn ends(&mut self, close: u8) -> Fallible<bool> {
        match self.peek() {
            Some(b',') => {
                self.position += 1;
                Ok(false)
            }
            Some(byte) if byte == close => {
                self.position += 1;
                Ok(true)
            }
            _ => Err(self.unexpected(&format!("',' or '{}'", close as char))),
        }
    }

    /// Checks that only blanks are left.
    pub(crate) fn end(&mut self) -> Fallible<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end of the JSON text")),
        }
    }

    #[cold]
    pub(crate) fn unexpected(&mut self, expected: &str) -> Box<Fault> {
        match self.text.get(self.position..).and_then(|rest| rest.chars().next()) {
            Some(c) => Fault::new(format!(
                "expected {expected} at byte {} of the JSON text, found '{c}'",
                self.position
            )),
            None => Fault::new(format!("expected {expected}, but the JSON text ends")),
        }
    }

    #[inline]
    pub(crate) fn literal(&mut self, word: &'static str) -> Fallible<()> {
        let end = self.position + word.len();
        if self.bytes().get(self.position..end) == Some(word.as_bytes()) {
            self.position = end;
            return Ok(());
        }
        Err(self.unexpected(word))
    }

    /// Reads a string; the cursor stands on its quote.
    #[inline]
    pub(crate) fn string(&mut self) -> Fallible<RawString<'a>> {
        self.expect(b'"')?;
        let start = self.position;
        let mut at = start;
        let mut escaped = false;
        loop {
            at = plain_run_end(self.bytes(), at);
            match self.bytes().get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                Some(_) => return Err(Fault::new("a string has an unescaped control character")),
                None => return Err(Fault::new("a string has no closing quote")),
            }
        }
        self.position = at + 1;
        match self.text.get(start..at) {
            Some(text) => Ok(RawString { text, escaped }),
            None => Err(Fault::new("a string has an invalid escape")),
        }
    }

    /// Reads an integer of up to 18 digits that is not followed by a fraction or exponent. None, and nothing consumed, if
    /// what stands here is anything else.
    #[inline]
    pub(crate) fn short_integer(&mut self) -> Option<i64> {
        let bytes = self.bytes();
        let mut at = self.position;
        let negative = bytes.get(at) == Some(&b'-');
        at += usize::from(negative);
        let start = at;
        let mut value = 0i64;
        while let Some(digit) = bytes.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
            if at - start == FAST_DIGITS {
                return None;
            }
            value = value * 10 + i64::from(digit);
            at += 1;
        }
        let odd_zero = at > start + 1 && bytes[start] == b'0';
        if at == start || odd_zero || matches!(bytes.get(at), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        self.position = at;
        Some(if negative { -value } else { value })
    }

    /// Reads a double exactly: short ones by one exact multiplication or division, others by the full algorithm.
    #[inline]
    pub(crate) fn double(&mut self) -> Fallible<f64> {
        let start = self.position;
        let number = self.number()?;
        let fraction = number.fraction.len();
        if number.whole.len() + fraction <= FAST_DIGITS {
            let mantissa = number.digits().fold(0u64, |m, d| m * 10 + u64::from(d - b'0'));
            let exponent = number.exponent - fraction as i32;
            if mantissa <= EXACT_DOUBLE_MAX && exponent.unsigned_abs() < EXACT_POWERS.len() as u32 {
                let power = EXACT_POWERS[exponent.unsigned_abs() as usize];
                let value = if exponent < 0 { mantissa as f64 / power } else { mantissa as f64 * power };
                return Ok(if number.negative { -value } else { value });
            }
        }
        let text = self.text.get(start..self.position).unwrap_or("");
        text.parse().map_err(|_| Fault::new(format!("\"{text}\" is not a number")))
    }

    /// Reads a number by JSON's grammar.
    #[inline]
    pub(crate) fn number(&mut self) -> Fallible<NumberParts<'a>> {
        let bytes = self.bytes();
        let start = self.position;
        let mut at = start;
        while let Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E') = bytes.get(at) {
            at += 1;
        }
        let parsed = NumberParts::parse(&bytes[start..at]);
        match parsed {
            Some(parts) if is_json_number(&bytes[start..at], &parts) => {
                self.position = at;
                Ok(parts)
            }
            _ => Err(self.unexpected("a JSON value")),
        }
    }

    /// Passes over one value without reading it: brackets are counted, strings respected.
    pub(crate) fn skip_value(&mut self) -> Fallible<()> {
        let mut depth = 0usize;
        loop {
            match self.first()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    self.position += 1;
                    depth += 1;
                    continue;
                }
                b'}' | b']' | b',' | b':' if depth > 0 => {
                    let byte = self.bytes()[self.position];
                    self.position += 1;
                    if matches!(byte, b',' | b':') {
                        continue;
                    }
                    depth -= 1;
                }
                b't' => self.literal("true")?,
                b'f' => self.literal("false")?,
                b'n' => self.literal("null")?,
                _ => {
                    self.number()?;
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

/// JSON wants digits on both sides of a point, no leading zeros and no plus.
fn is_json_number(text: &[u8], parts: &NumberParts<'_>) -> bool {
    let whole_fits = parts.whole.len() == 1 || (parts.whole.len() > 1 && parts.whole[0] != b'0');
    let point = text.get(usize::from(parts.negative) + parts.whole.len()) == Some(&b'.');
    whole_fits && text[0] != b'+' && (!point || !parts.fraction.is_empty())
}

impl RawString<'_> {
    /// Appends the string's text as UTF-8, escapes resolved. Half of a surrogate pair becomes U+FFFD.
    #[inline]
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) -> Fallible<()> {
        if !self.escaped {
            out.extend_from_slice(self.text.as_bytes());
            return Ok(());
        }
        self.append_unescaped(out)
    }

    fn append_unescaped(&self, out: &mut Vec<u8>) -> Fallible<()> {
        let bytes = self.text.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if byte != b'\\' {
                let end = bytes[at..].iter().position(|b| *b == b'\\').map_or(bytes.len(), |n| at + n);
                out.extend_from_slice(&bytes[at..end]);
                at = end;
                continue;
            }
            let escape = bytes.get(at + 1).copied().unwrap_or(b' ');
            at += 2;
            match escape {
                b'"' | b'\\' | b'/' => out.push(escape),
                b'b' => out.push(8),
                b'f' => out.push(12),
                b'n' => out.push(b'\n'),
                b'r' => out.push(b'\r'),
                b't' => out.push(b'\t'),
                b'u' => {
                    let (c, used) = unicode_escape(&bytes[at..])?;
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    at += used;
                }
                _ => return Err(Fault::new("a string has an invalid escape")),
            }
        }
        Ok(())
    }
}

/// The character after `\u`, and how many bytes it took (with the second half of a pair, `\uXXXX` again).
fn unicode_escape(bytes: &[u8]) -> Fallible<(char, usize)> {
    let unit = |bytes: &[u8]| -> Option<u32> {
        let digits = std::str::from_utf8(bytes.get(..4)?).ok()?;
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok()).flatten()
    };
    let Some(first) = unit(bytes) else { return Err(Fault::new("a string has an invalid unicode escape")) };
    if (0xd800..0xdc00).contains(&first)
        && bytes.get(4..6) == Some(b"\\u")
        && let Some(second @ 0xdc00..0xe000) = unit(&bytes[6..])
    {
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return Ok((char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 10));
    }
    Ok((char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 4))
}
