//! `${name}` references in statement text, replaced by the values of DEFINE.
//!
//! Values are text. Where a reference stands decides what its value may be, so that a value can never become more than
//! the name or literal it stands for: in a string it is escaped; elsewhere it must be a name, a quoted string, a boolean
//! or a number. Inside comments and quoted names nothing is replaced. Replaced text is not looked at again.

use std::collections::BTreeMap;

use crate::dialect::{is_plain_identifier, is_reserved};
use crate::error::{Result, SqlError};
use crate::parser::{SegmentKind, segments};
use crate::span::{Location, Span};

/// The text with its references replaced. Names match in any case. References to unknown names stay as they are, and
/// `$${name}` becomes `${name}`.
///
/// Errors: a value that is not allowed where the reference stands.
pub fn substitute(text: &str, variables: &BTreeMap<String, String>) -> Result<String> {
    if !text.contains("${") {
        return Ok(text.to_owned());
    }
    let mut out = String::with_capacity(text.len());
    for segment in segments(text) {
        let part = &text[segment.range.clone()];
        match segment.kind {
            SegmentKind::Code => replace(part, variables, &mut out, |name, value, at| {
                if is_bare_value(value) {
                    Ok(value.to_owned())
                } else {
                    Err(illegal_value(text, segment.range.start + at, name, value))
                }
            })?,
            SegmentKind::String => {
                replace(part, variables, &mut out, |_, value, _| Ok(value.replace('\'', "''")))?;
            }
            SegmentKind::QuotedName
            | SegmentKind::LineComment
            | SegmentKind::Directive
            | SegmentKind::BlockComment => out.push_str(part),
        }
    }
    Ok(out)
}

/// A reference found in a text.
struct Reference<'t> {
    /// Offset of `$`, of the first `$` when escaped.
    start: usize,
    end: usize,
    name: &'t str,
    escaped: bool,
}

fn replace(
    part: &str,
    variables: &BTreeMap<String, String>,
    out: &mut String,
    mut render: impl FnMut(&str, &str, usize) -> Result<String>,
) -> Result<()> {
    let mut done = 0;
    while let Some(reference) = next_reference(part, done) {
        out.push_str(&part[done..reference.start]);
        let value = variables.iter().find(|(name, _)| name.eq_ignore_ascii_case(reference.name));
        match value {
            _ if reference.escaped => out.push_str(&part[reference.start + 1..reference.end]),
            Some((_, value)) => out.push_str(&render(reference.name, value, reference.start)?),
            None => out.push_str(&part[reference.start..reference.end]),
        }
        done = reference.end;
    }
    out.push_str(&part[done..]);
    Ok(())
}

fn next_reference(text: &str, from: usize) -> Option<Reference<'_>> {
    let mut search = from;
    while let Some(found) = text[search..].find("${") {
        let dollar = search + found;
        let name_start = dollar + 2;
        let name_length = text[name_start..]
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '@'))
            .unwrap_or(text.len() - name_start);
        let name = &text[name_start..name_start + name_length];
        let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let end = name_start + name_length + 1;
        if begins_well && text[name_start + name_length..].starts_with('}') {
            let escaped = dollar > from && text.as_bytes()[dollar - 1] == b'$';
            return Some(Reference { start: dollar - usize::from(escaped), end, name, escaped });
        }
        search = name_start;
    }
    None
}

/// A value that is exactly one name, quoted name, quoted string, boolean or number.
fn is_bare_value(value: &str) -> bool {
    let boolean = value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false");
    boolean
        || is_plain_identifier(value)
        || is_digit_identifier(value)
        || is_number(value)
        || is_quoted(value)
}

fn is_digit_identifier(value: &str) -> bool {
    value.starts_with(|c: char| c.is_ascii_digit())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '@')
        && !is_reserved(value)
}

fn is_number(value: &str) -> bool {
    let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
    digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
        && digits.parse::<f64>().is_ok()
}

fn is_quoted(value: &str) -> bool {
    let mut found = segments(value);
    let Some(first) = found.next() else { return false };
    let quoted = matches!(first.kind, SegmentKind::String | SegmentKind::QuotedName);
    quoted && first.closed && first.range.end == value.len()
}

fn illegal_value(text: &str, offset: usize, name: &str, value: &str) -> SqlError {
    let before = &text[..offset];
    let line = u32::try_from(before.matches('\n').count() + 1).unwrap_or(u32::MAX);
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    let start = Location { line, column: u32::try_from(column).unwrap_or(u32::MAX) };
    let width = u32::try_from(name.len() + 3).unwrap_or(0);
    let end = Location { column: start.column.saturating_add(width), ..start };
    let shown: String = value.chars().take(100).collect();
    SqlError::syntax(
        format!(
            "Illegal argument at Line: {}, Col: {}: variable '{name}' must be a name, a quoted string, a boolean or a \
             number here. Got: '{shown}'",
            start.line, start.column
        ),
        Span { start, end },
    )
    .with_hint(format!("For a string write DEFINE {name} = '''text''';."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn references_are_replaced_where_they_may_stand() {
        let vars = variables(&[("a", "tab"), ("q", "'it''s'"), ("n", "-1.5"), ("b", "`x y`"), ("t", "a'b")]);
        for (text, expected) in [
            ("SELECT ${a} FROM ${A}", "SELECT tab FROM tab"),
            ("${q} ${n} ${b}", "'it''s' -1.5 `x y`"),
            ("'x ${t} ${q}'", "'x a''b ''it''''s'''"),
            ("${unknown} $${a} ${1a} ${a", "${unknown} ${a} ${1a} ${a"),
            ("-- ${a}\n`${a}` /* ${a} */", "-- ${a}\n`${a}` /* ${a} */"),
            ("'$${a}'${a}${a}", "'${a}'tabtab"),
        ] {
            assert_eq!(substitute(text, &vars).expect(text), expected);
        }
    }

    #[test]
    fn values_cannot_bring_in_more_than_one_token() {
        for value in
            ["", "a b", "a;b", "x' OR '1'='1", "SELECT", "a--", "'a' 'b'", "`a`.b", "1 OR 1", "é", "'a"]
        {
            let error = substitute("SELECT\n ${v}", &variables(&[("v", value)])).expect_err(value);
            assert_eq!(error.span.start, Location { line: 2, column: 2 });
            assert!(error.message.contains("Illegal argument at Line: 2, Col: 2"), "{}", error.message);
        }
    }

    #[test]
    fn values_are_not_looked_at_again() {
        let vars = variables(&[("a", "'${b}'"), ("b", "x")]);
        assert_eq!(substitute("${a} '${a}'", &vars).expect("valid"), "'${b}' '''${b}'''");
    }
}
