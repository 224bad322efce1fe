//! SELECT.

use sqlparser::tokenizer::Token;

use crate::ast::expr::Expr;
use crate::ast::ident::Ident;
use crate::ast::place::Place;
use crate::ast::query::{
    Emit, ExprList, Join, JoinKind, NullsOrder, OrderItem, Query, SelectItem, SelectKind, SortDirection,
    Source,
};
use crate::dialect::is_reserved;
use crate::error::{Result, SqlError};
use crate::parser::cursor::Cursor;

impl Cursor<'_> {
    pub(super) fn query(&mut self) -> Result<Query> {
        let start = self.span();
        if self.is_keyword(0, "WITH")
            && let Some(refusal) = self.unsupported_verb()
        {
            return Err(refusal);
        }
        self.expect_keyword("SELECT")?;
        let distinct = self.eat_keyword("DISTINCT");
        let projection = self.comma_separated(Self::select_item)?;
        if matches!(self.peek(), Token::SemiColon | Token::EOF) {
            self.note_expected("FROM");
            return Err(self.unexpected().with_hint(
                "SELECT needs FROM. To try an expression, select it from any stream: SELECT … FROM s LIMIT 1;",
            ));
        }
        self.expect_keyword("FROM")?;
        let from = self.source()?;
        if *self.peek() == Token::Comma {
            return Err(self.source_list());
        }
        let mut joins = Vec::new();
        while let Some(join) = self.join_opt()? {
            joins.push(join);
        }
        let window = if self.eat_keyword("WINDOW") { Some(self.window_clause()?) } else { None };
        let filter = if self.eat_keyword("WHERE") { Some(self.expr()?) } else { None };
        let group_by = if self.eat_keywords("GROUP", "BY") { Some(self.expr_list()?) } else { None };
        let partition_by = if self.eat_keywords("PARTITION", "BY") { Some(self.expr_list()?) } else { None };
        let having = if self.eat_keyword("HAVING") { Some(self.expr()?) } else { None };
        let order_by = self.order_by()?;
        let emit = self.emit_opt()?;
        let limit = self.limit(emit)?;
        let offset = if self.at_offset() { Some(self.offset()?) } else { None };
        Ok(Query {
            distinct,
            projection,
            from,
            joins,
            window,
            filter,
            group_by,
            partition_by,
            having,
            order_by,
            emit,
            limit,
            offset,
            place: Place(self.span_since(start)),
        })
    }

    fn select_item(&mut self) -> Result<SelectItem> {
        let start = self.span();
        let kind = if *self.peek() == Token::Mul {
            self.advance();
            SelectKind::All
        } else if self.is_name(0) && *self.peek_nth(1) == Token::Period && *self.peek_nth(2) == Token::Mul {
            let source = self.name()?;
            self.advance();
            self.advance();
            SelectKind::AllOf(source)
        } else {
            let expr = self.expr()?;
            if *self.peek() == Token::Arrow && *self.peek_nth(1) == Token::Mul {
                self.advance();
                self.advance();
                SelectKind::Fields(expr)
            } else {
                let alias = self.alias_opt()?;
                SelectKind::Expr { expr, alias }
            }
        };
        Ok(SelectItem { kind, place: Place(self.span_since(start)) })
    }

    fn source(&mut self) -> Result<Source> {
        let start = self.span();
        if *self.peek() == Token::LParen {
            return Err(self.subquery());
        }
        let name = self.source_name()?;
        if self.is_keyword(0, "AS") && self.is_keyword(1, "OF") && !self.ends_alias(2) {
            return Err(self.as_of());
        }
        let alias = self.alias_opt()?;
        Ok(Source { name, alias, place: Place(self.span_since(start)) })
    }

    /// `[AS] name`. A word that begins a clause is no alias unless AS stands before it.
    fn alias_opt(&mut self) -> Result<Option<Ident>> {
        if self.eat_keyword("AS") {
            return self.name().map(Some);
        }
        if self.is_name(0) && !self.at_clause() {
            return self.name().map(Some);
        }
        Ok(None)
    }

    /// True if what stands behind an alias may follow it.
    fn ends_alias(&self, n: usize) -> bool {
        matches!(self.peek_nth(n), Token::SemiColon | Token::EOF | Token::Comma | Token::RParen)
            || self.word(n).is_some_and(|word| is_reserved(&word.value))
    }

    /// At a clause whose first word may also be a name.
    fn at_clause(&self) -> bool {
        let pairs =
            [("EMIT", "CHANGES"), ("EMIT", "FINAL"), ("PARTITION", "BY"), ("ORDER", "BY")].into_iter();
        pairs.into_iter().any(|(first, second)| self.is_keyword(0, first) && self.is_keyword(1, second))
            || self.at_offset()
            || self.unsupported_clause(false).is_some()
    }

    fn at_offset(&self) -> bool {
        self.is_keyword(0, "OFFSET") && matches!(self.peek_nth(1), Token::Number(..))
    }

    fn join_opt(&mut self) -> Result<Option<Join>> {
        let start = self.span();
        let kind = if self.eat_keyword("JOIN") {
            JoinKind::Inner
        } else if self.eat_keyword("INNER") {
            self.expect_keyword("JOIN")?;
            JoinKind::Inner
        } else {
            let outer = [("LEFT", JoinKind::Left), ("RIGHT", JoinKind::Right), ("FULL", JoinKind::Full)];
            let Some((keyword, kind)) = outer.into_iter().find(|(keyword, _)| self.is_keyword(0, keyword))
            else {
                return Ok(None);
            };
            self.expect_keyword(keyword)?;
            self.eat_keyword("OUTER");
            self.expect_keyword("JOIN")?;
            kind
        };
        let source = self.source()?;
        let within = if self.eat_keyword("WITHIN") { Some(self.within()?) } else { None };
        self.expect_keyword("ON")?;
        let on = self.expr()?;
        Ok(Some(Join { kind, source, within, on, place: Place(self.span_since(start)) }))
    }

    /// `e, …` or `(e, …)` or `()`.
    fn expr_list(&mut self) -> Result<ExprList> {
        let start = self.span();
        let mark = self.mark();
        if self.eat(&Token::LParen) {
            if self.eat(&Token::RParen) {
                return Ok(ExprList { items: Vec::new(), place: Place(self.span_since(start)) });
            }
            // `(a, b)` is the list; `(a) + b, c` is not, and is read again as expressions.
            if let Ok(items) = self.comma_separated(Self::expr)
                && items.len() > 1
                && self.eat(&Token::RParen)
            {
                return Ok(ExprList { items, place: Place(self.span_since(start)) });
            }
            self.rewind(mark);
        }
        let items: Vec<Expr> = self.comma_separated(Self::expr)?;
        Ok(ExprList { items, place: Place(self.span_since(start)) })
    }

    fn order_by(&mut self) -> Result<Vec<OrderItem>> {
        if !(self.is_keyword(0, "ORDER") && self.is_keyword(1, "BY")) {
            return Ok(Vec::new());
        }
        self.advance();
        self.advance();
        self.comma_separated(|cursor| {
            let start = cursor.span();
            let expr = cursor.expr()?;
            let direction = if cursor.is_keyword(0, "DESC") {
                cursor.advance();
                SortDirection::Descending
            } else {
                cursor.eat_keyword("ASC");
                SortDirection::Ascending
            };
            let nulls = if cursor.eat_keywords("NULLS", "FIRST") {
                Some(NullsOrder::First)
            } else if cursor.eat_keywords("NULLS", "LAST") {
                Some(NullsOrder::Last)
            } else {
                None
            };
            Ok(OrderItem { expr, direction, nulls, place: Place(cursor.span_since(start)) })
        })
    }

    fn emit_opt(&mut self) -> Result<Option<Emit>> {
        if !self.eat_keyword("EMIT") {
            return Ok(None);
        }
        if self.eat_keyword("CHANGES") {
            return Ok(Some(Emit::Changes));
        }
        self.expect_keyword("FINAL")?;
        Ok(Some(Emit::Final))
    }

    fn limit(&mut self, emit: Option<Emit>) -> Result<Option<u64>> {
        if !self.eat_keyword("LIMIT") {
            return Ok(None);
        }
        if *self.peek() == Token::Minus && matches!(self.peek_nth(1), Token::Number(..)) {
            let message = match emit {
                None => "Pull queries don't support negative integers in the LIMIT clause",
                Some(_) => "Push queries don't support negative integers in the LIMIT clause",
            };
            return Err(SqlError::syntax(message, self.span()));
        }
        self.row_count("LIMIT").map(Some)
    }

    fn offset(&mut self) -> Result<u64> {
        self.expect_keyword("OFFSET")?;
        self.row_count("OFFSET")
    }

    /// The number of a clause that counts rows.
    pub(super) fn row_count(&mut self, clause: &str) -> Result<u64> {
        if let Token::Number(digits, _) = self.peek()
            && !digits.bytes().all(|b| b.is_ascii_digit())
        {
            return Err(SqlError::syntax(
                format!("Value must be integer for command: {clause}"),
                self.span(),
            ));
        }
        let count = self.unsigned()?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}
