//! Any JSON value as the text of a STRING column.

use crate::serde::error::{Fallible, Fault};
use crate::serde::json::encode::write_escaped;
use crate::serde::json::scan::Scanner;

/// Nesting that is rendered; deeper values fail the record.
const DEPTH_MAX: usize = 256;

/// Appends the text of the value at the cursor: strings as they are, numbers as Java's BigDecimal shows them, objects as JSON
/// without blanks, arrays as `[a, b]`.
pub(crate) fn append_text(scanner: &mut Scanner<'_>, out: &mut Vec<u8>, depth: usize) -> Fallible<()> {
    if depth > DEPTH_MAX {
        return Err(Fault::new(format!("the value is nested deeper than {DEPTH_MAX}")));
    }
    match scanner.first()? {
        b'"' => scanner.string()?.append_to(out),
        b'{' => append_json(scanner, out, depth),
        b'[' => {
            scanner.position += 1;
            out.push(b'[');
            if !scanner.closes(b']') {
                loop {
                    append_text(scanner, out, depth + 1)?;
                    if scanner.ends(b']')? {
                        break;
                    }
                    out.extend_from_slice(b", ");
                }
            }
            out.push(b']');
            Ok(())
        }
        _ => append_scalar(scanner, out),
    }
}

fn append_scalar(scanner: &mut Scanner<'_>, out: &mut Vec<u8>) -> Fallible<()> {
    let word = match scanner.first()? {
        b't' => "true",
        b'f' => "false",
        b'n' => "null",
        _ => {
            scanner.number()?.write_java(out);
            return Ok(());
        }
    };
    scanner.literal(word)?;
    out.extend_from_slice(word.as_bytes());
    Ok(())
}

/// Appends the value as JSON without blanks.
fn append_json(scanner: &mut Scanner<'_>, out: &mut Vec<u8>, depth: usize) -> Fallible<()> {
    if depth > DEPTH_MAX {
        return Err(Fault::new(format!("the value is nested deeper than {DEPTH_MAX}")));
    }
    let (open, close) = match scanner.first()? {
        b'"' => {
            append_string(scanner, out)?;
            return Ok(());
        }
        b'{' => (b'{', b'}'),
        b'[' => (b'[', b']'),
        _ => return append_scalar(scanner, out),
    };
    scanner.position += 1;
    out.push(open);
    if !scanner.closes(close) {
        loop {
            if open == b'{' {
                scanner.peek();
                append_string(scanner, out)?;
                scanner.expect(b':')?;
                out.push(b':');
            }
            append_json(scanner, out, depth + 1)?;
            if scanner.ends(close)? {
                break;
            }
            out.push(b',');
        }
    }
    out.push(close);
    Ok(())
}

fn append_string(scanner: &mut Scanner<'_>, out: &mut Vec<u8>) -> Fallible<()> {
    let string = scanner.string()?;
    let mut text = Vec::with_capacity(string.text.len());
    string.append_to(&mut text)?;
    write_escaped(out, &text);
    Ok(())
}
