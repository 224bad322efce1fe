//! Types: `INT`, `VARCHAR(n)`, `DECIMAL(p, s)`, `ARRAY<…>`, `MAP<…>`, `STRUCT<…>`, `T ARRAY`, custom names.

use sqlparser::tokenizer::Token;

use crate::ast::place::Place;
use crate::ast::types::{TypeKind, TypeName};
use crate::error::{Result, SqlError};
use crate::parser::cursor::Cursor;
use crate::span::Span;
use crate::types::{DECIMAL_PRECISION_MAX, SqlType};

impl Cursor<'_> {
    pub(super) fn type_name(&mut self) -> Result<TypeName> {
        let start = self.span();
        let depth = self.depth();
        let mut type_name = self.nested(Self::base_type)?;
        while self.is_keyword(0, "ARRAY") && *self.peek_nth(1) != Token::Lt {
            self.deepen(1)?;
            self.advance();
            let kind = TypeKind::Array(Box::new(type_name));
            type_name = TypeName { kind, place: Place(self.span_since(start)) };
        }
        self.restore_depth(depth);
        Ok(type_name)
    }

    fn base_type(&mut self) -> Result<TypeName> {
        let start = self.span();
        let word = self.word(0).map(|word| word.value.to_ascii_uppercase()).unwrap_or_default();
        let kind = match (word.as_str(), self.peek_nth(1)) {
            ("ARRAY", Token::Lt) => {
                self.advance();
                self.advance();
                let element = self.type_name()?;
                self.expect_closer(&Token::Gt)?;
                TypeKind::Array(Box::new(element))
            }
            ("MAP", Token::Lt) => {
                self.advance();
                self.advance();
                let key = self.type_name()?;
                self.expect(&Token::Comma)?;
                let value = self.type_name()?;
                self.expect_closer(&Token::Gt)?;
                TypeKind::Map(Box::new(key), Box::new(value))
            }
            ("STRUCT", Token::Neq) => {
                self.advance();
                self.advance();
                TypeKind::Struct(Vec::new())
            }
            ("STRUCT", Token::Lt) => {
                self.advance();
                self.advance();
                self.struct_type()?
            }
            ("DECIMAL", _) => {
                self.advance();
                self.decimal_type(start)?
            }
            _ => self.named_type()?,
        };
        Ok(TypeName { kind, place: Place(self.span_since(start)) })
    }

    fn struct_type(&mut self) -> Result<TypeKind> {
        if self.eat(&Token::Gt) {
            return Ok(TypeKind::Struct(Vec::new()));
        }
        let fields = self.comma_separated(|cursor| {
            let name = cursor.name()?;
            let type_name = cursor.type_name()?;
            Ok((name, type_name))
        })?;
        self.expect_closer(&Token::Gt)?;
        Ok(TypeKind::Struct(fields))
    }

    fn decimal_type(&mut self, start: Span) -> Result<TypeKind> {
        self.expect(&Token::LParen)?;
        let precision = self.unsigned()?;
        self.expect(&Token::Comma)?;
        let scale = self.unsigned()?;
        self.expect_closer(&Token::RParen)?;
        let span = self.span_since(start);
        let wrong = |message: String| Err(SqlError::syntax(format!("line {}: {message}", span.start), span));
        if precision < 1 {
            return wrong(format!("DECIMAL precision must be >= 1: DECIMAL({precision},{scale})"));
        }
        if precision < scale {
            return wrong(format!("DECIMAL precision must be >= scale: DECIMAL({precision},{scale})"));
        }
        match (u8::try_from(precision), u8::try_from(scale)) {
            (Ok(p), Ok(s)) if p <= DECIMAL_PRECISION_MAX => Ok(TypeKind::Scalar(SqlType::decimal(p, s))),
            _ => wrong(format!(
                "DECIMAL precision must be <= {DECIMAL_PRECISION_MAX}: DECIMAL({precision},{scale})"
            )),
        }
    }

    /// A built-in type without parts, or a custom type; `(n)` after it is accepted and has no meaning.
    fn named_type(&mut self) -> Result<TypeKind> {
        let quoted = self.word(0).is_none();
        let name = self.name()?;
        if self.eat(&Token::LParen) {
            self.comma_separated(Self::type_parameter)?;
            self.expect_closer(&Token::RParen)?;
        }
        self.clear_expected();
        let builtin = if quoted { None } else { builtin(&name.name) };
        Ok(match builtin {
            Some(sql_type) => TypeKind::Scalar(sql_type),
            None => TypeKind::Custom(name),
        })
    }

    fn type_parameter(&mut self) -> Result<()> {
        if self.is_keyword(0, "STRING") {
            self.advance();
            return Ok(());
        }
        self.clear_expected();
        self.note_expected("'STRING'");
        self.unsigned().map(|_| ())
    }
}

fn builtin(name: &str) -> Option<SqlType> {
    Some(match name {
        "BOOLEAN" => SqlType::Boolean,
        "INT" | "INTEGER" => SqlType::Integer,
        "BIGINT" => SqlType::Bigint,
        "DOUBLE" => SqlType::Double,
        "STRING" | "VARCHAR" => SqlType::String,
        "BYTES" => SqlType::Bytes,
        "DATE" => SqlType::Date,
        "TIME" => SqlType::Time,
        "TIMESTAMP" => SqlType::Timestamp,
        _ => return None,
    })
}
