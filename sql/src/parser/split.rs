//! Scripts and half-typed input, cut into statements without parsing them.

use crate::parser::scan::{SegmentKind, segments};
use crate::span::Location;

/// A text cut at its semicolons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script<'t> {
    /// The complete statements, each with its semicolon. Lone semicolons are left out.
    pub statements: Vec<Fragment<'t>>,
    /// What follows the last semicolon, if it holds more than blanks and closed comments.
    pub rest: Option<Fragment<'t>>,
    /// What the end of the text is inside of.
    pub open: Open,
    /// Directives after the last fragment.
    pub directives: Vec<Directive<'t>>,
}

/// One statement of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment<'t> {
    /// From the first character that is neither blank nor in a comment.
    pub text: &'t str,
    /// Byte offset of `text` in the script.
    pub offset: usize,
    /// Place of `text` in the script.
    pub start: Location,
    /// The `--@` comments since the statement before.
    pub directives: Vec<Directive<'t>>,
}

/// A `--@…` comment, which only the SQL test runner reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive<'t> {
    /// Without `--@` and surrounding blanks: `test: name`.
    pub text: &'t str,
    pub line: u32,
}

/// What is unfinished at the end of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// The last statement is complete, or there is none.
    Nothing,
    /// A statement waits for its semicolon.
    Statement,
    String,
    QuotedName,
    BlockComment,
}

impl Script<'_> {
    /// True if nothing is left unfinished: a REPL may run what it has.
    pub fn is_complete(&self) -> bool {
        self.open == Open::Nothing
    }
}

/// Cuts the text at the semicolons outside quotes and comments.
pub fn split_statements(text: &str) -> Script<'_> {
    let mut splitter = Splitter { text, place: Place::default(), start: None, directives: Vec::new() };
    let mut statements = Vec::new();
    let mut open = Open::Nothing;
    for segment in segments(text) {
        let range = segment.range.clone();
        match segment.kind {
            SegmentKind::Code => splitter.code(range.start, &text[range], &mut statements),
            SegmentKind::String | SegmentKind::QuotedName => {
                splitter.begin(range.start);
            }
            SegmentKind::LineComment | SegmentKind::BlockComment => {}
            SegmentKind::Directive => {
                let line = splitter.place.at(text, range.start).line;
                splitter.directives.push(Directive { text: text[range.start + 3..range.end].trim(), line });
            }
        }
        if !segment.closed {
            open = match segment.kind {
                SegmentKind::String => Open::String,
                SegmentKind::QuotedName => Open::QuotedName,
                _ => Open::BlockComment,
            };
        }
    }
    let rest = splitter.start.take().map(|start| splitter.fragment(start, text.len()));
    if rest.is_some() && open == Open::Nothing {
        open = Open::Statement;
    }
    Script { statements, rest, open, directives: splitter.directives }
}

struct Splitter<'t> {
    text: &'t str,
    place: Place,
    /// Offset of the statement being read.
    start: Option<usize>,
    directives: Vec<Directive<'t>>,
}

impl<'t> Splitter<'t> {
    fn code(&mut self, offset: usize, code: &str, statements: &mut Vec<Fragment<'t>>) {
        for (at, byte) in code.bytes().enumerate() {
            let here = offset + at;
            if byte == b';' {
                if let Some(start) = self.start.take() {
                    statements.push(self.fragment(start, here + 1));
                }
            } else if !byte.is_ascii_whitespace() {
                self.begin(here);
            }
        }
    }

    fn begin(&mut self, offset: usize) {
        self.start.get_or_insert(offset);
    }

    fn fragment(&mut self, start: usize, end: usize) -> Fragment<'t> {
        Fragment {
            text: self.text[start..end].trim_end(),
            offset: start,
            start: self.place.at(self.text, start),
            directives: std::mem::take(&mut self.directives),
        }
    }
}

/// Line and column of offsets asked for in rising order.
struct Place {
    offset: usize,
    location: Location,
}

impl Default for Place {
    fn default() -> Place {
        Place { offset: 0, location: Location { line: 1, column: 1 } }
    }
}

impl Place {
    fn at(&mut self, text: &str, offset: usize) -> Location {
        if offset < self.offset {
            *self = Place::default();
        }
        for c in text[self.offset..offset].chars() {
            if c == '\n' {
                self.location.line += 1;
                self.location.column = 1;
            } else {
                self.location.column += 1;
            }
        }
        self.offset = offset;
        self.location
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, statements: &[&str], rest: Option<&str>, open: Open) {
        let script = split_statements(text);
        assert_eq!(script.statements.iter().map(|f| f.text).collect::<Vec<_>>(), statements, "{text}");
        assert_eq!(script.rest.as_ref().map(|f| f.text), rest, "{text}");
        assert_eq!(script.open, open, "{text}");
    }

    #[test]
    fn semicolons_in_quotes_and_comments_do_not_split() {
        check("", &[], None, Open::Nothing);
        check(" ;; -- x;\n", &[], None, Open::Nothing);
        check("a; b", &["a;"], Some("b"), Open::Statement);
        check(
            "a ';' `;` \";\" /* ; */ -- ;\n b; ",
            &["a ';' `;` \";\" /* ; */ -- ;\n b;"],
            None,
            Open::Nothing,
        );
        check("/* c */ a; -- d", &["a;"], None, Open::Nothing);
        check("a 'it''s; ", &[], Some("a 'it''s;"), Open::String);
        check("a `b;", &[], Some("a `b;"), Open::QuotedName);
        check("a; /* b;", &["a;"], None, Open::BlockComment);
        check("a /* b;", &[], Some("a /* b;"), Open::BlockComment);
        check("é 'ü;' ;x", &["é 'ü;' ;"], Some("x"), Open::Statement);
    }

    #[test]
    fn fragments_know_their_place_and_directives() {
        let script = split_statements("--@test: one\n\n  a;\n--@expected.error: x\n--@test: two\nb;");
        let [first, second] = script.statements.as_slice() else { panic!("two statements") };
        assert_eq!((first.offset, first.start), (16, Location { line: 3, column: 3 }));
        assert_eq!(first.directives, [Directive { text: "test: one", line: 1 }]);
        assert_eq!(
            second.directives.iter().map(|d| (d.text, d.line)).collect::<Vec<_>>(),
            [("expected.error: x", 4), ("test: two", 5)]
        );
    }
}
