//! The subject of a certificate as text: `CN=alice,OU=ops,O=Weir`. Source: RFC 5280, RFC 2253.
//!
//! The certificate was verified before; this only finds the name in it. Names that cannot be read give none.

use std::fmt::Write;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const VERSION: u8 = 0xa0;
const BMP_STRING: u8 = 0x1e;
const LATIN_STRING: u8 = 0x14;
/// Text types whose bytes are UTF-8 or a part of it: UTF8, numeric, printable and IA5 strings.
const UTF8_STRINGS: [u8; 4] = [0x0c, 0x12, 0x13, 0x16];

/// The subject of a certificate in DER form.
pub(crate) fn subject(certificate: &[u8]) -> Option<String> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut body, _) = element(certificate, SEQUENCE)?;
    if body.first() == Some(&VERSION) {
        body = any(body)?.2;
    }
    // Serial number, signature algorithm, issuer, validity.
    for _ in 0..4 {
        body = any(body)?.2;
    }
    let (subject, _) = element(body, SEQUENCE)?;
    distinguished_name(subject)
}

/// Type, contents and what follows.
fn any(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((kind, contents, rest))
}

fn element(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (found, contents, rest) = any(bytes)?;
    (found == kind).then_some((contents, rest))
}

/// The parts come most general first and are written most special first.
fn distinguished_name(mut bytes: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let (mut set, rest) = element(bytes, SET)?;
        bytes = rest;
        let mut values = Vec::new();
        while !set.is_empty() {
            let (attribute, rest) = element(set, SEQUENCE)?;
            set = rest;
            values.push(attribute_text(attribute)?);
        }
        parts.push(values.join("+"));
    }
    parts.reverse();
    Some(parts.join(","))
}

fn attribute_text(attribute: &[u8]) -> Option<String> {
    let (object_id, value) = element(attribute, OBJECT_ID)?;
    let (kind, contents, _) = any(value)?;
    let text = text(kind, contents);
    match (keyword(object_id), text) {
        (Some(keyword), Some(text)) => Some(format!("{keyword}={}", escaped(&text))),
        (keyword, _) => {
            let mut out = keyword.map_or_else(|| dotted(object_id), str::to_owned);
            out.push_str("=#");
            value[..value.len() - any(value)?.2.len()]
                .iter()
                .for_each(|byte| write!(out, "{byte:02x}").expect("strings take text"));
            Some(out)
        }
    }
}

fn text(kind: u8, contents: &[u8]) -> Option<String> {
    match kind {
        BMP_STRING => {
            let units: Vec<u16> =
                contents.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16(&units).ok()
        }
        LATIN_STRING => Some(contents.iter().map(|byte| char::from(*byte)).collect()),
        kind if UTF8_STRINGS.contains(&kind) => std::str::from_utf8(contents).ok().map(str::to_owned),
        _ => None,
    }
}

/// The names RFC 2253 has for types of attributes.
fn keyword(object_id: &[u8]) -> Option<&'static str> {
    match object_id {
        [0x55, 0x04, 0x03] => Some("CN"),
        [0x55, 0x04, 0x06] => Some("C"),
        [0x55, 0x04, 0x07] => Some("L"),
        [0x55, 0x04, 0x08] => Some("ST"),
        [0x55, 0x04, 0x09] => Some("STREET"),
        [0x55, 0x04, 0x0a] => Some("O"),
        [0x55, 0x04, 0x0b] => Some("OU"),
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01] => Some("UID"),
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19] => Some("DC"),
        _ => None,
    }
}

/// An object id in numbers.
fn dotted(object_id: &[u8]) -> String {
    let mut numbers = Vec::new();
    let mut number = 0_u64;
    for byte in object_id {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.push(first);
                number -= first * 40;
            }
            numbers.push(number);
            number = 0;
        }
    }
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.chars().count().saturating_sub(1);
    for (index, character) in text.chars().enumerate() {
        let special = matches!(character, ',' | '+' | '"' | '\\' | '<' | '>' | ';');
        let at_edge = (character == ' ' && (index == 0 || index == last)) || (character == '#' && index == 0);
        if special || at_edge {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlv(kind: u8, contents: &[u8]) -> Vec<u8> {
        let mut out = vec![kind];
        match contents.len() {
            short @ 0..=0x7f => out.push(short as u8),
            long => out.extend([0x82, (long >> 8) as u8, long as u8]),
        }
        out.extend_from_slice(contents);
        out
    }

    fn attribute(object_id: &[u8], kind: u8, value: &[u8]) -> Vec<u8> {
        let pair = [tlv(OBJECT_ID, object_id), tlv(kind, value)].concat();
        tlv(SET, &tlv(SEQUENCE, &pair))
    }

    fn certificate(name: &[Vec<u8>]) -> Vec<u8> {
        let skipped = [tlv(VERSION, &[2, 1, 2]), tlv(2, &[1]), tlv(SEQUENCE, &[]), tlv(SEQUENCE, &[0; 200])];
        let rest = [tlv(SEQUENCE, &[]), tlv(SEQUENCE, &name.concat()), tlv(SEQUENCE, &[1, 2, 3])];
        let body = [skipped.concat(), rest.concat()].concat();
        tlv(SEQUENCE, &tlv(SEQUENCE, &body))
    }

    #[test]
    fn subjects_are_written_most_special_first() {
        let name = [
            attribute(&[0x55, 4, 6], 0x13, b"DE"),
            attribute(&[0x55, 4, 0x0a], 0x0c, "Weir, Wölfe & Co".as_bytes()),
            attribute(&[0x55, 4, 3], BMP_STRING, &[0, b'a', 0, b'b']),
            attribute(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], 0x16, b"a@b"),
        ];
        let expected = "1.2.840.113549.1.9.1=#1603614062,CN=ab,O=Weir\\, Wölfe & Co,C=DE";
        assert_eq!(subject(&certificate(&name)).as_deref(), Some(expected));
        assert_eq!(subject(&certificate(&[])).as_deref(), Some(""));
    }

    #[test]
    fn damaged_certificates_give_no_name() {
        let whole = certificate(&[attribute(&[0x55, 4, 3], 0x0c, b"alice")]);
        for cut in 0..whole.len() - 6 {
            assert_eq!(subject(&whole[..cut]), None, "{cut}");
        }
        assert_eq!(subject(&[0xff; 64]), None);
        assert_eq!(escaped(" #a "), "\\ #a\\ ");
        assert_eq!(escaped("#a"), "\\#a");
    }
}
