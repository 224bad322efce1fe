//! WINDOW clauses, WITHIN, and the durations in them.

use sqlparser::tokenizer::Token;

use crate::ast::place::Place;
use crate::ast::query::{Duration, WindowClause, Within};
use crate::error::{Result, SqlError};
use crate::expr::ir::TimeUnit;
use crate::parser::cursor::Cursor;
use crate::window::WindowKind;

impl Cursor<'_> {
    /// `n unit`
    pub(super) fn duration(&mut self) -> Result<Duration> {
        let start = self.span();
        let amount = self.unsigned()?;
        let Some(unit) = self.word(0).and_then(|word| TimeUnit::from_name(&word.value)) else {
            for unit in ["DAYS", "HOURS", "MINUTES", "SECONDS", "MILLISECONDS"] {
                self.note_expected(unit);
            }
            return Err(self.unexpected());
        };
        self.advance();
        let span = self.span_since(start);
        if amount.checked_mul(unit.millis()).is_none() {
            return Err(SqlError::syntax(
                format!("line {}: the duration does not fit 64 bits of milliseconds", span.start),
                span,
            ));
        }
        Ok(Duration { amount, unit, place: Place(span) })
    }

    /// After WINDOW: an optional name without meaning, the kind, and its parts in parentheses.
    pub(super) fn window_clause(&mut self) -> Result<WindowClause> {
        let start = self.span();
        if self.is_name(0) && *self.peek_nth(1) != Token::LParen {
            self.advance();
        }
        let kind = if self.eat_keyword("TUMBLING") {
            WindowKind::Tumbling
        } else if self.eat_keyword("HOPPING") {
            WindowKind::Hopping
        } else {
            self.expect_keyword("SESSION")?;
            WindowKind::Session
        };
        self.expect(&Token::LParen)?;
        if kind != WindowKind::Session {
            self.expect_keyword("SIZE")?;
        }
        let size = self.duration()?;
        let mut advance = None;
        if kind == WindowKind::Hopping {
            self.expect(&Token::Comma)?;
            self.expect_keyword("ADVANCE")?;
            self.expect_keyword("BY")?;
            advance = Some(self.duration()?);
        }
        let (mut retention, mut grace) = (None, None);
        if *self.peek() == Token::Comma && self.is_keyword(1, "RETENTION") {
            self.advance();
            self.advance();
            retention = Some(self.duration()?);
        }
        if self.eat(&Token::Comma) {
            self.expect_keyword("GRACE")?;
            self.expect_keyword("PERIOD")?;
            grace = Some(self.duration()?);
        }
        self.expect_closer(&Token::RParen)?;
        Ok(WindowClause { kind, size, advance, retention, grace, place: Place(self.span_since(start)) })
    }

    /// After WITHIN.
    pub(super) fn within(&mut self) -> Result<Within> {
        let start = self.span();
        let (before, after) = if self.eat(&Token::LParen) {
            let before = self.duration()?;
            self.expect(&Token::Comma)?;
            let after = self.duration()?;
            self.expect_closer(&Token::RParen)?;
            (before, after)
        } else {
            let both = self.duration()?;
            (both, both)
        };
        let grace = if self.eat_keyword("GRACE") {
            self.expect_keyword("PERIOD")?;
            Some(self.duration()?)
        } else {
            None
        };
        Ok(Within { before, after, grace, place: Place(self.span_since(start)) })
    }
}
