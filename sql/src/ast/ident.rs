//! Names.

use crate::ast::place::Place;
use crate::span::Span;

/// A name in its final form: upper-cased if it was written without quotes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ident {
    pub name: String,
    pub place: Place,
}

impl Ident {
    pub fn new(name: impl Into<String>, span: Span) -> Ident {
        Ident { name: name.into(), place: Place(span) }
    }

    pub fn span(&self) -> Span {
        self.place.span()
    }
}
