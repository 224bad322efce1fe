//! Primaries: literals, columns, calls, constructors, CASE, CAST, parentheses, and the `[…]` and `->` behind them.

use std::collections::HashSet;

use sqlparser::tokenizer::Token;

use crate::ast::expr::{Argument, CaseBranch, Expr, ExprKind, Lambda, UnitWord};
use crate::ast::ident::Ident;
use crate::ast::place::Place;
use crate::error::{Result, SqlError};
use crate::expr::ir::TimeUnit;
use crate::parser::cursor::Cursor;
use crate::parser::syntax_error::syntax_error;
use crate::span::Span;

impl Cursor<'_> {
    /// Rules on the path of recursion keep their frames small: what they build, they build in leaves.
    pub(super) fn primary(&mut self) -> Result<Expr> {
        let start = self.span();
        let mut expr = self.operand(start)?;
        loop {
            expr = match self.peek() {
                Token::LBracket => self.subscript(start, expr)?,
                // `->*` belongs to the select list.
                Token::Arrow if *self.peek_nth(1) != Token::Mul => self.field(start, expr)?,
                _ => break,
            };
        }
        if self.is_keyword(0, "AT") && self.is_keyword(1, "TIME") {
            return Err(SqlError::unsupported("AT TIME ZONE is not supported", self.span())
                .with_hint("Use CONVERT_TZ(timestamp, from, to)."));
        }
        Ok(expr)
    }

    fn subscript(&mut self, start: Span, base: Expr) -> Result<Expr> {
        self.deepen(1)?;
        self.advance();
        let index = self.expr()?;
        self.expect_closer(&Token::RBracket)?;
        let kind = ExprKind::Subscript { base: Box::new(base), index: Box::new(index) };
        Ok(Expr::new(kind, self.span_since(start)))
    }

    fn field(&mut self, start: Span, base: Expr) -> Result<Expr> {
        self.deepen(1)?;
        self.advance();
        let kind = ExprKind::Field { base: Box::new(base), field: self.name()? };
        Ok(Expr::new(kind, self.span_since(start)))
    }

    fn operand(&mut self, start: Span) -> Result<Expr> {
        let rule = match self.operand_rule() {
            Some(rule) => rule,
            None => return self.literal_or_name(start),
        };
        let kind = rule(self)?;
        Ok(Expr::new(kind, self.span_since(start)))
    }

    /// The rule of an operand that has operands itself.
    fn operand_rule(&self) -> Option<fn(&mut Self) -> Result<ExprKind>> {
        let next = self.peek_nth(1);
        let Some(word) = self.word(0) else {
            let quoted_call = *next == Token::LParen && self.is_name(0);
            return match self.peek() {
                Token::LParen => Some(Self::parenthesised),
                _ if quoted_call => Some(Self::call),
                _ => None,
            };
        };
        let is = |keyword: &str| word.value.eq_ignore_ascii_case(keyword);
        Some(match next {
            _ if is("CASE") => Self::case,
            _ if is("CAST") => Self::cast,
            Token::LBracket if is("ARRAY") => Self::array,
            Token::LParen if is("MAP") => Self::map,
            Token::LParen if is("STRUCT") => Self::structure,
            Token::LParen if self.is_name(0) => Self::call,
            _ => return None,
        })
    }

    fn parenthesised(&mut self) -> Result<ExprKind> {
        self.advance();
        let inner = self.expr()?;
        self.expect_closer(&Token::RParen)?;
        Ok(inner.kind)
    }

    /// An operand without operands.
    fn literal_or_name(&mut self, start: Span) -> Result<Expr> {
        let kind = if let Some(literal) = self.literal_opt()? {
            ExprKind::Literal(literal)
        } else if self.is_name(0) {
            self.column_reference(start)?
        } else {
            if self.is_keyword(0, "SELECT") {
                return Err(self.subquery());
            }
            if self.is_keyword(0, "EXISTS") {
                return Err(self.subquery_predicate());
            }
            self.note_expected("expression");
            // Reserved words are refused as the name they would have been.
            return Err(self.name().err().unwrap_or_else(|| self.unexpected()));
        };
        Ok(Expr::new(kind, self.span_since(start)))
    }

    fn column_reference(&mut self, start: Span) -> Result<ExprKind> {
        if matches!(self.peek_nth(1), Token::SingleQuotedString(_)) {
            let name = self.name()?;
            let hint = if name.name == "INTERVAL" {
                "Add and subtract with a unit: TIMESTAMPSUB(MINUTES, 10, ts), TIMESTAMPADD(DAYS, 1, ts)."
            } else {
                "Typed literals exist for DECIMAL only; use CAST('…' AS type)."
            };
            return Err(syntax_error(&format!("Unknown type: {}", name.name), start).with_hint(hint));
        }
        let first = self.name()?;
        if *self.peek() != Token::Period {
            return Ok(ExprKind::Column { qualifier: None, name: first });
        }
        self.advance();
        Ok(ExprKind::Column { qualifier: Some(first), name: self.name()? })
    }

    fn call(&mut self) -> Result<ExprKind> {
        let name = self.name()?;
        let function = Ident { name: name.name.to_ascii_uppercase(), ..name };
        self.expect(&Token::LParen)?;
        if *self.peek() == Token::Mul && *self.peek_nth(1) == Token::RParen {
            self.advance();
        }
        if self.eat(&Token::RParen) {
            return Ok(ExprKind::Call { function, arguments: Vec::new() });
        }
        let mut arguments = Vec::new();
        loop {
            let argument = self.argument()?;
            match (&argument, arguments.last()) {
                (Argument::Lambda(lambda), None) => {
                    return Err(lambda_place("a lambda cannot be the first argument", lambda.place.span()));
                }
                (Argument::Expr(_) | Argument::Unit(_), Some(Argument::Lambda(lambda))) => {
                    return Err(lambda_place("lambdas must be the last arguments", lambda.place.span()));
                }
                _ => {}
            }
            arguments.push(argument);
            if !self.eat(&Token::Comma) {
                break;
            }
        }
        self.expect_closer(&Token::RParen)?;
        Ok(ExprKind::Call { function, arguments })
    }

    fn argument(&mut self) -> Result<Argument> {
        if self.is_keyword(0, "DISTINCT") {
            return Err(self.distinct_argument());
        }
        if self.at_lambda() {
            return self.lambda().map(Argument::Lambda);
        }
        let unit = self.word(0).and_then(|word| TimeUnit::from_name(&word.value));
        match (unit, self.peek_nth(1)) {
            (Some(unit), Token::Comma | Token::RParen) => {
                let place = Place(self.span());
                let column = if self.is_name(0) { Some(self.name()?) } else { None };
                if column.is_none() {
                    self.advance();
                }
                Ok(Argument::Unit(UnitWord { unit, column, place }))
            }
            _ => self.expr().map(Argument::Expr),
        }
    }

    /// True at `x =>` and `(x, y) =>`.
    fn at_lambda(&self) -> bool {
        if self.is_name(0) {
            return *self.peek_nth(1) == Token::RArrow;
        }
        if *self.peek() != Token::LParen {
            return false;
        }
        let mut n = 1;
        while self.is_name(n) {
            match self.peek_nth(n + 1) {
                Token::Comma => n += 2,
                Token::RParen => return *self.peek_nth(n + 2) == Token::RArrow,
                _ => return false,
            }
        }
        false
    }

    fn lambda(&mut self) -> Result<Lambda> {
        let start = self.span();
        let parameters = if self.eat(&Token::LParen) {
            let parameters = self.comma_separated(Self::name)?;
            self.expect_closer(&Token::RParen)?;
            parameters
        } else {
            vec![self.name()?]
        };
        if let Some(twice) = first_duplicate(&parameters) {
            return Err(syntax_error(
                &format!("Lambda parameter {} is declared twice", twice.name),
                twice.span(),
            ));
        }
        self.expect(&Token::RArrow)?;
        let body = Box::new(self.expr()?);
        Ok(Lambda { parameters, body, place: Place(self.span_since(start)) })
    }

    fn case(&mut self) -> Result<ExprKind> {
        self.expect_keyword("CASE")?;
        let operand = if self.is_keyword(0, "WHEN") { None } else { Some(Box::new(self.expr()?)) };
        let mut branches = Vec::new();
        self.expect_keyword("WHEN")?;
        loop {
            let when = self.expr()?;
            self.expect_keyword("THEN")?;
            let then = self.expr()?;
            branches.push(CaseBranch { when, then });
            if !self.eat_keyword("WHEN") {
                break;
            }
        }
        let otherwise = if self.eat_keyword("ELSE") { Some(Box::new(self.expr()?)) } else { None };
        self.expect_keyword("END")?;
        Ok(ExprKind::Case { operand, branches, otherwise })
    }

    fn cast(&mut self) -> Result<ExprKind> {
        self.expect_keyword("CAST")?;
        self.expect(&Token::LParen)?;
        let operand = Box::new(self.expr()?);
        self.expect_keyword("AS")?;
        let target = self.type_name()?;
        self.expect_closer(&Token::RParen)?;
        Ok(ExprKind::Cast { operand, target })
    }

    fn array(&mut self) -> Result<ExprKind> {
        self.advance();
        self.expect(&Token::LBracket)?;
        if self.eat(&Token::RBracket) {
            return Ok(ExprKind::Array(Vec::new()));
        }
        let items = self.comma_separated(Self::expr)?;
        self.expect_closer(&Token::RBracket)?;
        Ok(ExprKind::Array(items))
    }

    fn map(&mut self) -> Result<ExprKind> {
        self.advance();
        self.expect(&Token::LParen)?;
        if self.eat(&Token::RParen) {
            return Ok(ExprKind::Map(Vec::new()));
        }
        let entries = self.comma_separated(|cursor| {
            let key = cursor.expr()?;
            cursor.expect(&Token::Assignment)?;
            Ok((key, cursor.expr()?))
        })?;
        self.expect_closer(&Token::RParen)?;
        Ok(ExprKind::Map(entries))
    }

    fn structure(&mut self) -> Result<ExprKind> {
        let start = self.span();
        self.advance();
        self.expect(&Token::LParen)?;
        if self.eat(&Token::RParen) {
            return Ok(ExprKind::Struct(Vec::new()));
        }
        let fields = self.comma_separated(|cursor| {
            let name = cursor.name()?;
            cursor.expect(&Token::Assignment)?;
            Ok((name, cursor.expr()?))
        })?;
        self.expect_closer(&Token::RParen)?;
        let mut seen = HashSet::new();
        if let Some((twice, _)) = fields.iter().find(|(name, _)| !seen.insert(&name.name)) {
            let span = self.span_since(start);
            return Err(SqlError::syntax(
                format!("line {}: Duplicate field names found in STRUCT: '{}'", span.start, twice.name),
                twice.span(),
            ));
        }
        Ok(ExprKind::Struct(fields))
    }
}

fn lambda_place(message: &str, span: Span) -> SqlError {
    syntax_error(message, span).with_hint("Write the other arguments first: f(array, x => …).")
}

fn first_duplicate(names: &[Ident]) -> Option<&Ident> {
    let mut seen = HashSet::new();
    names.iter().find(|ident| !seen.insert(&ident.name))
}
