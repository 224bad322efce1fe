//! Expressions, by precedence climbing.
//!
//! Loose to tight: OR, AND, NOT, predicates (which do not chain), `||`, `+ -`, `* / %`, signs, primaries.

use sqlparser::tokenizer::Token;

use crate::ast::expr::{Expr, ExprKind, UnaryOp};
use crate::error::{Result, SqlError};
use crate::expr::ir::{ArithmeticOp, CompareOp, LogicalOp};
use crate::parser::cursor::Cursor;
use crate::span::Span;

/// Binding powers.
const OR: u8 = 1;
const AND: u8 = 2;
const NOT: u8 = 3;
const PREDICATE: u8 = 4;
const CONCAT: u8 = 5;
const ADDITIVE: u8 = 6;
const MULTIPLICATIVE: u8 = 7;
const SIGN: u8 = 8;

/// An operator between operands, or after one.
#[derive(Clone, Copy)]
enum Infix {
    Binary(Binary),
    Is,
    Between,
    In,
    Like,
}

/// An operator with an expression on either side.
#[derive(Clone, Copy)]
enum Binary {
    Logical(LogicalOp),
    Compare(CompareOp),
    Concat,
    Arithmetic(ArithmeticOp),
}

impl Infix {
    fn power(self) -> u8 {
        match self {
            Infix::Binary(op) => op.power(),
            Infix::Is | Infix::Between | Infix::In | Infix::Like => PREDICATE,
        }
    }
}

impl Binary {
    fn power(self) -> u8 {
        match self {
            Binary::Logical(LogicalOp::Or) => OR,
            Binary::Logical(LogicalOp::And) => AND,
            Binary::Compare(_) => PREDICATE,
            Binary::Concat => CONCAT,
            Binary::Arithmetic(ArithmeticOp::Add | ArithmeticOp::Subtract) => ADDITIVE,
            Binary::Arithmetic(_) => MULTIPLICATIVE,
        }
    }
}

impl Cursor<'_> {
    pub(super) fn expr(&mut self) -> Result<Expr> {
        self.climb(OR)
    }

    /// An expression of operators that bind at least as tightly as `power`.
    fn climb(&mut self, power: u8) -> Result<Expr> {
        let depth = self.depth();
        self.deepen(crate::parser::cursor::NESTING_COST)?;
        let start = self.span();
        let mut ceiling = SIGN;
        let mut result = self.prefix(power, &mut ceiling);
        while let Ok(left) = result {
            let Some((infix, negated)) = self.peek_infix(power, ceiling) else {
                result = Ok(left);
                break;
            };
            // After a predicate only AND and OR may follow: `a < b < c` is no expression.
            ceiling = if infix.power() == PREDICATE { NOT } else { infix.power() };
            result = self.infix_expr(start, infix, negated, left);
        }
        self.restore_depth(depth);
        result
    }

    /// `left`, the operator at the cursor, and what follows it.
    fn infix_expr(&mut self, start: Span, infix: Infix, negated: bool, left: Expr) -> Result<Expr> {
        self.deepen(1)?;
        self.advance();
        if negated {
            self.advance();
        }
        let kind = self.infix(infix, negated, Box::new(left))?;
        Ok(Expr::new(kind, self.span_since(start)))
    }

    /// A prefix operator with its operand, or a primary; sets the tightest operator that may follow.
    fn prefix(&mut self, power: u8, ceiling: &mut u8) -> Result<Expr> {
        if self.is_keyword(0, "NOT") && power <= NOT {
            *ceiling = NOT;
            return self.negation();
        }
        match (self.peek(), self.peek_nth(1)) {
            (Token::Minus, Token::Number(..)) => self.primary(),
            (Token::Minus, _) => self.sign(UnaryOp::Minus),
            (Token::Plus, _) => self.sign(UnaryOp::Plus),
            _ => self.primary(),
        }
    }

    fn negation(&mut self) -> Result<Expr> {
        let start = self.span();
        self.advance();
        let operand = Box::new(self.climb(NOT)?);
        Ok(Expr::new(ExprKind::Not(operand), self.span_since(start)))
    }

    fn sign(&mut self, op: UnaryOp) -> Result<Expr> {
        let start = self.span();
        self.advance();
        let operand = Box::new(self.climb(SIGN)?);
        Ok(Expr::new(ExprKind::Unary { op, operand }, self.span_since(start)))
    }

    /// The operator at the cursor if its power lies between the two, and whether NOT stands before it.
    fn peek_infix(&self, power: u8, ceiling: u8) -> Option<(Infix, bool)> {
        let found = self.infix_at_cursor()?;
        (power..=ceiling).contains(&found.0.power()).then_some(found)
    }

    fn infix_at_cursor(&self) -> Option<(Infix, bool)> {
        let binary = match self.peek() {
            Token::Eq => Binary::Compare(CompareOp::Equal),
            Token::Neq => Binary::Compare(CompareOp::NotEqual),
            Token::Lt => Binary::Compare(CompareOp::Less),
            Token::LtEq => Binary::Compare(CompareOp::LessOrEqual),
            Token::Gt => Binary::Compare(CompareOp::Greater),
            Token::GtEq => Binary::Compare(CompareOp::GreaterOrEqual),
            Token::StringConcat => Binary::Concat,
            Token::Plus => Binary::Arithmetic(ArithmeticOp::Add),
            Token::Minus => Binary::Arithmetic(ArithmeticOp::Subtract),
            Token::Mul => Binary::Arithmetic(ArithmeticOp::Multiply),
            Token::Div => Binary::Arithmetic(ArithmeticOp::Divide),
            Token::Mod => Binary::Arithmetic(ArithmeticOp::Modulus),
            _ if self.is_keyword(0, "OR") => Binary::Logical(LogicalOp::Or),
            _ if self.is_keyword(0, "AND") => Binary::Logical(LogicalOp::And),
            _ if self.is_keyword(0, "IS") => return Some((Infix::Is, false)),
            _ if self.is_keyword(0, "NOT") => return Some((self.keyword_predicate(1)?, true)),
            _ => return Some((self.keyword_predicate(0)?, false)),
        };
        Some((Infix::Binary(binary), false))
    }

    fn keyword_predicate(&self, n: usize) -> Option<Infix> {
        [("BETWEEN", Infix::Between), ("IN", Infix::In), ("LIKE", Infix::Like)]
            .into_iter()
            .find(|(keyword, _)| self.is_keyword(n, keyword))
            .map(|(_, infix)| infix)
    }

    /// What follows the operator, joined to what stood before it.
    fn infix(&mut self, infix: Infix, negated: bool, left: Box<Expr>) -> Result<ExprKind> {
        match infix {
            Infix::Binary(op) => self.binary(op, left),
            Infix::Is => self.is_predicate(left),
            Infix::Between => self.between(negated, left),
            Infix::In => self.in_list(negated, left),
            Infix::Like => self.like(negated, left),
        }
    }

    fn binary(&mut self, op: Binary, left: Box<Expr>) -> Result<ExprKind> {
        // The right side takes only what binds tighter: operators are left-associative.
        let right = Box::new(self.climb(op.power() + 1)?);
        Ok(match op {
            Binary::Logical(op) => ExprKind::Logical { op, left, right },
            Binary::Compare(op) => ExprKind::Compare { op, left, right },
            Binary::Arithmetic(op) => ExprKind::Arithmetic { op, left, right },
            Binary::Concat => ExprKind::Concat { left, right },
        })
    }

    fn between(&mut self, negated: bool, operand: Box<Expr>) -> Result<ExprKind> {
        let low = Box::new(self.climb(CONCAT)?);
        self.expect_keyword("AND")?;
        let high = Box::new(self.climb(CONCAT)?);
        Ok(ExprKind::Between { negated, operand, low, high })
    }

    fn in_list(&mut self, negated: bool, operand: Box<Expr>) -> Result<ExprKind> {
        self.expect(&Token::LParen)?;
        if self.is_keyword(0, "SELECT") {
            return Err(self.subquery_predicate());
        }
        let list = self.comma_separated(Self::expr)?;
        self.expect_closer(&Token::RParen)?;
        Ok(ExprKind::In { negated, operand, list })
    }

    fn like(&mut self, negated: bool, operand: Box<Expr>) -> Result<ExprKind> {
        let pattern = Box::new(self.climb(CONCAT)?);
        let escape = self.escape()?;
        Ok(ExprKind::Like { negated, operand, pattern, escape })
    }

    /// After IS: `[NOT] NULL`, `[NOT] DISTINCT FROM value`.
    fn is_predicate(&mut self, operand: Box<Expr>) -> Result<ExprKind> {
        let negated = self.eat_keyword("NOT");
        if self.eat_keyword("NULL") {
            return Ok(ExprKind::IsNull { negated, operand });
        }
        self.expect_keyword("DISTINCT")?;
        self.expect_keyword("FROM")?;
        let right = Box::new(self.climb(CONCAT)?);
        Ok(ExprKind::IsDistinctFrom { negated, left: operand, right })
    }

    fn escape(&mut self) -> Result<Option<char>> {
        if !self.is_keyword(0, "ESCAPE") {
            return Ok(None);
        }
        self.advance();
        let span = self.span();
        let text = self.string()?;
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(escape), None) => Ok(Some(escape)),
            _ => Err(escape_error(&text, span)),
        }
    }
}

fn escape_error(text: &str, span: Span) -> SqlError {
    SqlError::syntax(
        format!("line {}: the escape of LIKE must be exactly one character, got: '{text}'", span.start),
        span,
    )
}
