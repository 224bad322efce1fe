//! Literals: strings, numbers, booleans, NULL.

use sqlparser::tokenizer::Token;

use crate::error::{Result, SqlError};
use crate::parser::cursor::Cursor;
use crate::parser::syntax_error::syntax_error;
use crate::span::Span;
use crate::types::{DECIMAL_PRECISION_MAX, SqlType};
use crate::value::{DecimalValue, Literal, SqlValue};

impl Cursor<'_> {
    /// A literal, if the next tokens are one. A sign directly before a number is part of it.
    pub(super) fn literal_opt(&mut self) -> Result<Option<Literal>> {
        let span = self.span();
        let literal = match (self.peek(), self.peek_nth(1)) {
            (Token::SingleQuotedString(text), _) => string_literal(text),
            (Token::Number(text, _), _) => number(text, span)?,
            (Token::Minus, Token::Number(text, _)) => {
                let literal = number(&format!("-{text}"), span)?;
                self.advance();
                literal
            }
            (Token::Word(word), next) if word.quote_style.is_none() => {
                match word.value.to_ascii_uppercase().as_str() {
                    "TRUE" => boolean(true),
                    "FALSE" => boolean(false),
                    "NULL" => Literal { value: SqlValue::Null, sql_type: None },
                    "DECIMAL" => {
                        let Token::SingleQuotedString(text) = next else { return Ok(None) };
                        let literal = decimal(text.trim(), span)?;
                        self.advance();
                        literal
                    }
                    _ => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        self.advance();
        Ok(Some(literal))
    }
}

pub(super) fn string_literal(text: &str) -> Literal {
    Literal { value: SqlValue::String(text.to_owned()), sql_type: Some(SqlType::String) }
}

fn boolean(value: bool) -> Literal {
    Literal { value: SqlValue::Boolean(value), sql_type: Some(SqlType::Boolean) }
}

/// A number by its form: with an exponent DOUBLE, with a point DECIMAL, else INTEGER or BIGINT by range.
fn number(text: &str, span: Span) -> Result<Literal> {
    if text.contains(['e', 'E']) {
        let value: f64 = text.parse().map_err(|_| invalid(text, span))?;
        if value.is_infinite() {
            return Err(SqlError::syntax(
                format!("line {}: Number overflows DOUBLE: {text}", span.start),
                span,
            ));
        }
        return Ok(Literal { value: SqlValue::Double(value), sql_type: Some(SqlType::Double) });
    }
    if text.contains('.') {
        return decimal(text, span);
    }
    let value: i64 = text.parse().map_err(|_| invalid(text, span))?;
    Ok(match i32::try_from(value) {
        Ok(small) => Literal { value: SqlValue::Integer(small), sql_type: Some(SqlType::Integer) },
        Err(_) => Literal { value: SqlValue::Bigint(value), sql_type: Some(SqlType::Bigint) },
    })
}

/// An exact decimal: scale is the digits after the point, precision all digits but leading zeros, at least scale + 1
/// for values below 1.
fn decimal(text: &str, span: Span) -> Result<Literal> {
    let value: DecimalValue = text.parse().map_err(|_| invalid(text, span))?;
    let whole = text.trim_start_matches(['+', '-']).split('.').next().unwrap_or("");
    let whole_digits = whole.trim_start_matches('0').len().max(1);
    let precision = u8::try_from(whole_digits + usize::from(value.scale)).unwrap_or(u8::MAX);
    if precision > DECIMAL_PRECISION_MAX {
        return Err(invalid(text, span));
    }
    // Parsed as written, without leading zeros: 00.10 and 0.10 are the same literal.
    Ok(Literal { value: SqlValue::Decimal(value), sql_type: Some(SqlType::decimal(precision, value.scale)) })
}

fn invalid(text: &str, span: Span) -> SqlError {
    let shown: String = text.chars().take(100).collect();
    syntax_error(&format!("Invalid numeric literal: {shown}"), span)
}
