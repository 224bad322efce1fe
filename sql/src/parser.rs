//! Text to statements.
//!
//! sqlparser's tokenizer and cursor carry the text; the grammar above them is ksqlDB's, written out here. [`split`] cuts
//! scripts and half-typed input into statements without parsing them.

pub mod kind;
pub mod split;

mod connector;
mod cursor;
mod expr;
mod literal;
mod primary;
mod properties;
mod query;
mod scan;
mod show;
mod source;
mod statement;
mod syntax_error;
mod types;
mod unsupported;
mod window;

#[cfg(test)]
mod tests;

pub(crate) use scan::{SegmentKind, segments};

use crate::ast::expr::Expr;
use crate::ast::statement::Statement;
use crate::ast::types::TypeName;
use crate::error::{Result, SqlError};
use crate::parser::cursor::Cursor;
use crate::span::Span;

/// Bytes of text that one call parses.
pub const TEXT_BYTES_MAX: usize = 4 << 20;
/// Statements that one call parses.
pub const STATEMENTS_MAX: usize = 10_000;
/// Parentheses, calls, CASEs and the like inside each other.
pub const NESTING_MAX: u32 = 128;

/// Which statements beyond the server's are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParseConfig {
    /// RUN SCRIPT and the assertions of SQL tests: ASSERT VALUES, NULL VALUES, STREAM, TABLE.
    pub test_statements: bool,
}

/// A statement with the text it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedStatement {
    /// The exact slice of the source, from the first word to the semicolon.
    pub text: String,
    pub span: Span,
    pub statement: Statement,
}

/// All statements of the text, each ended by a semicolon. Empty for text of nothing but blanks and comments.
///
/// Errors: the first syntax error; text over [`TEXT_BYTES_MAX`]; more than [`STATEMENTS_MAX`] statements.
pub fn parse_statements(text: &str) -> Result<Vec<ParsedStatement>> {
    parse_statements_with(text, ParseConfig::default())
}

/// As [`parse_statements`], with the statements that `config` adds.
pub fn parse_statements_with(text: &str, config: ParseConfig) -> Result<Vec<ParsedStatement>> {
    let mut cursor = Cursor::new(text, config)?;
    let mut statements = Vec::new();
    while !cursor.at_end() {
        if cursor.eat_semicolon() {
            continue;
        }
        if statements.len() == STATEMENTS_MAX {
            return Err(SqlError::syntax(
                format!("a request may hold at most {STATEMENTS_MAX} statements"),
                cursor.span(),
            ));
        }
        let start = cursor.mark();
        let statement = cursor.statement()?;
        cursor.expect_semicolon()?;
        let (text, span) = cursor.slice_since(start);
        statements.push(ParsedStatement { text: text.to_owned(), span, statement });
    }
    Ok(statements)
}

/// Exactly one statement; its semicolon may be missing.
///
/// Errors: as [`parse_statements`], and text that holds no statement or several.
pub fn parse_statement(text: &str) -> Result<ParsedStatement> {
    let mut cursor = Cursor::new(text, ParseConfig::default())?;
    let start = cursor.mark();
    let statement = cursor.statement()?;
    cursor.eat_semicolon();
    let (slice, span) = cursor.slice_since(start);
    let parsed = ParsedStatement { text: slice.to_owned(), span, statement };
    cursor.expect_end()?;
    Ok(parsed)
}

/// One expression and nothing else.
pub fn parse_expression(text: &str) -> Result<Expr> {
    let mut cursor = Cursor::new(text, ParseConfig::default())?;
    let expr = cursor.expr()?;
    cursor.expect_end()?;
    Ok(expr)
}

/// One type and nothing else, as in `ARRAY<STRUCT<A INT>>`.
pub fn parse_type(text: &str) -> Result<TypeName> {
    let mut cursor = Cursor::new(text, ParseConfig::default())?;
    let type_name = cursor.type_name()?;
    cursor.expect_end()?;
    Ok(type_name)
}
