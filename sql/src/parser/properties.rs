//! WITH clauses.

use sqlparser::tokenizer::Token;

use crate::ast::place::Place;
use crate::ast::statement::{Properties, Property};
use crate::error::Result;
use crate::parser::cursor::Cursor;
use crate::parser::syntax_error::syntax_error;

/// When two names of one WITH clause are the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NameCase {
    /// Properties of Weir's own: any case.
    Insensitive,
    /// Properties passed on to a connector.
    Sensitive,
}

impl Cursor<'_> {
    /// `[WITH (name = literal, …)]`
    pub(super) fn properties_opt(&mut self, case: NameCase) -> Result<Properties> {
        if self.eat_keyword("WITH") { self.properties(case) } else { Ok(Properties::default()) }
    }

    /// After WITH.
    pub(super) fn properties(&mut self, case: NameCase) -> Result<Properties> {
        let start = self.span();
        self.expect(&Token::LParen)?;
        let entries = self.comma_separated(Self::property)?;
        self.expect_closer(&Token::RParen)?;
        let mut seen = std::collections::HashSet::new();
        for property in &entries {
            let key = match case {
                NameCase::Insensitive => property.name.to_ascii_uppercase(),
                NameCase::Sensitive => property.name.clone(),
            };
            if !seen.insert(key) {
                let span = property.name_place.span();
                return Err(syntax_error(
                    &format!("Duplicate property in WITH clause: {}", property.name),
                    span,
                ));
            }
        }
        Ok(Properties { entries, place: Place(self.span_since(start)) })
    }

    fn property(&mut self) -> Result<Property> {
        let name_place = Place(self.span());
        let name = match self.peek() {
            Token::SingleQuotedString(_) => self.string()?,
            _ if self.is_keyword(0, "TOPIC") => {
                return Err(self.unexpected().with_hint("Did you mean KAFKA_TOPIC?"));
            }
            _ => {
                self.note_expected("STRING");
                self.name()?.name
            }
        };
        self.expect(&Token::Eq)?;
        let value_start = self.span();
        let Some(value) = self.literal_opt()? else {
            for what in ["STRING", "INTEGER_VALUE", "DECIMAL_VALUE", "TRUE", "FALSE"] {
                self.note_expected(what);
            }
            return Err(self.unexpected());
        };
        Ok(Property { name, value, name_place, value_place: Place(self.span_since(value_start)) })
    }
}
