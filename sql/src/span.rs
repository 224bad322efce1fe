//! Places in statement text.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One place in the text of a request. Lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Location {
    pub line: u32,
    pub column: u32,
}

/// A stretch of statement text, `end` exclusive. The default span (all zero) means "no place known".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    pub start: Location,
    pub end: Location,
}

impl Span {
    /// True for the default span, which points nowhere.
    pub fn is_unknown(&self) -> bool {
        self.start.line == 0
    }

    /// The smallest span that covers both.
    pub fn union(self, other: Span) -> Span {
        if self.is_unknown() {
            return other;
        }
        if other.is_unknown() {
            return self;
        }
        let key = |l: &Location| (l.line, l.column);
        Span {
            start: if key(&self.start) <= key(&other.start) { self.start } else { other.start },
            end: if key(&self.end) >= key(&other.end) { self.end } else { other.end },
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}
