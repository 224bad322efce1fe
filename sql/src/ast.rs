//! The statement tree as the parser delivers it: names unresolved, types of expressions unknown.
//!
//! Unquoted names are upper-cased already, quoted ones keep their case. Every node carries a [`place::Place`], which
//! comparisons ignore: two nodes are equal when they mean the same text, wherever it stood.

mod display;
pub mod expr;
pub mod ident;
pub mod kind;
pub mod place;
pub mod query;
pub mod statement;
pub mod types;
