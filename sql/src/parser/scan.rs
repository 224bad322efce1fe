//! Cuts text into code, strings, quoted names and comments. It never fails, so it serves half-typed input too.

use std::ops::Range;

/// What a stretch of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentKind {
    /// Anything outside quotes and comments.
    Code,
    /// `'…'`, quotes included.
    String,
    /// `` `…` `` or `"…"`, quotes included.
    QuotedName,
    /// `-- …` without the line end.
    LineComment,
    /// `--@…` without the line end.
    Directive,
    /// `/* … */`
    BlockComment,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) kind: SegmentKind,
    pub(crate) range: Range<usize>,
    /// False if the text ends before the closing quote or `*/`.
    pub(crate) closed: bool,
}

/// The segments of the text; their ranges follow each other without gaps.
pub(crate) fn segments(text: &str) -> Segments<'_> {
    Segments { text, position: 0 }
}

#[derive(Debug)]
pub(crate) struct Segments<'t> {
    text: &'t str,
    position: usize,
}

impl Iterator for Segments<'_> {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        let start = self.position;
        let rest = &self.text.as_bytes()[start..];
        let kind = match rest {
            [] => return None,
            [b'\'', ..] => SegmentKind::String,
            [b'`' | b'"', ..] => SegmentKind::QuotedName,
            [b'-', b'-', b'@', ..] => SegmentKind::Directive,
            [b'-', b'-', ..] => SegmentKind::LineComment,
            [b'/', b'*', ..] => SegmentKind::BlockComment,
            _ => SegmentKind::Code,
        };
        let (length, closed) = match kind {
            SegmentKind::String | SegmentKind::QuotedName => quoted_length(rest),
            SegmentKind::LineComment | SegmentKind::Directive => {
                (rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()), true)
            }
            SegmentKind::BlockComment => match find(&rest[2..], b"*/") {
                Some(at) => (at + 4, true),
                None => (rest.len(), false),
            },
            SegmentKind::Code => (code_length(rest), true),
        };
        self.position = start + length;
        Some(Segment { kind, range: start..self.position, closed })
    }
}

/// Length of a quoted stretch; the quote is escaped by doubling it.
fn quoted_length(rest: &[u8]) -> (usize, bool) {
    let quote = rest[0];
    let mut at = 1;
    while at < rest.len() {
        if rest[at] != quote {
            at += 1;
        } else if rest.get(at + 1) == Some(&quote) {
            at += 2;
        } else {
            return (at + 1, true);
        }
    }
    (rest.len(), false)
}

fn code_length(rest: &[u8]) -> usize {
    let begins_other = |at: &usize| {
        matches!(rest[*at], b'\'' | b'`' | b'"')
            || rest[*at..].starts_with(b"--")
            || rest[*at..].starts_with(b"/*")
    };
    (1..rest.len()).find(begins_other).unwrap_or(rest.len())
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}
