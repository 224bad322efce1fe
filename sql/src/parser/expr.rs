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
    Logical(LogicalOp),
    Compare(CompareOp),
    Is,
    Between,
    In,
    Like,
    Concat,
    Arithmetic(ArithmeticOp),
}

impl Infix {
    fn power(self) -> u8 {
        match self {
            Infix::Logical(LogicalOp::Or) => OR,
            Infix::Logical(LogicalOp::And) => AND,
            Infix::Compare(_) | Infix::Is | Infix::Between | Infix::In | Infix::Like => PREDICATE,
            Infix::Concat => CONCAT,
            Infix::Arithmetic(ArithmeticOp::Add | ArithmeticOp::Subtract) => ADDITIVE,
            Infix::Arithmetic(_) => MULTIPLICATIVE,
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
        let result = self.climb_operators(power);
        self.restore_depth(depth);
        result
    }

    fn climb_operators(&mut self, power: u8) -> Result<Expr> {
        let start = self.span();
        let (mut left, mut ceiling) = self.prefix(power)?;
        while let Some((infix, negated)) = self.peek_infix() {
            let bound = infix.power();
            if bound < power || bound > ceiling {
                break;
            }
            self.deepen(1)?;
            self.advance();
            if negated {
                self.advance();
            }
            let kind = self.infix(infix, negated, left)?;
            left = Expr::new(kind, self.span_since(start));
            // After a predicate only AND and OR may follow: `a < b < c` is no expression.
            ceiling = if bound == PREDICATE { NOT } else { bound };
        }
        Ok(left)
    }

    /// A prefix operator with its operand, or a primary; and the tightest operator that may follow.
    fn prefix(&mut self, power: u8) -> Result<(Expr, u8)> {
        let start = self.span();
        if self.is_keyword(0, "NOT") && power <= NOT {
            self.advance();
            let operand = self.climb(NOT)?;
            return Ok((Expr::new(ExprKind::Not(Box::new(operand)), self.span_since(start)), NOT));
        }
        let op = match (self.peek(), self.peek_nth(1)) {
            (Token::Minus, Token::Number(..)) => None,
            (Token::Minus, _) => Some(UnaryOp::Minus),
            (Token::Plus, _) => Some(UnaryOp::Plus),
            _ => None,
        };
        let Some(op) = op else { return Ok((self.primary()?, SIGN)) };
        self.advance();
        let operand = Box::new(self.climb(SIGN)?);
        Ok((Expr::new(ExprKind::Unary { op, operand }, self.span_since(start)), SIGN))
    }

    /// The operator at the cursor, and whether NOT stands before it.
    fn peek_infix(&self) -> Option<(Infix, bool)> {
        let infix = match self.peek() {
            Token::Eq => Infix::Compare(CompareOp::Equal),
            Token::Neq => Infix::Compare(CompareOp::NotEqual),
            Token::Lt => Infix::Compare(CompareOp::Less),
            Token::LtEq => Infix::Compare(CompareOp::LessOrEqual),
            Token::Gt => Infix::Compare(CompareOp::Greater),
            Token::GtEq => Infix::Compare(CompareOp::GreaterOrEqual),
            Token::StringConcat => Infix::Concat,
            Token::Plus => Infix::Arithmetic(ArithmeticOp::Add),
            Token::Minus => Infix::Arithmetic(ArithmeticOp::Subtract),
            Token::Mul => Infix::Arithmetic(ArithmeticOp::Multiply),
            Token::Div => Infix::Arithmetic(ArithmeticOp::Divide),
            Token::Mod => Infix::Arithmetic(ArithmeticOp::Modulus),
            Token::Word(word) if word.quote_style.is_none() => {
                return match word.value.to_ascii_uppercase().as_str() {
                    "OR" => Some((Infix::Logical(LogicalOp::Or), false)),
                    "AND" => Some((Infix::Logical(LogicalOp::And), false)),
                    "IS" => Some((Infix::Is, false)),
                    "NOT" => self.keyword_predicate(1).map(|infix| (infix, true)),
                    _ => self.keyword_predicate(0).map(|infix| (infix, false)),
                };
            }
            _ => return None,
        };
        Some((infix, false))
    }

    fn keyword_predicate(&self, n: usize) -> Option<Infix> {
        [("BETWEEN", Infix::Between), ("IN", Infix::In), ("LIKE", Infix::Like)]
            .into_iter()
            .find(|(keyword, _)| self.is_keyword(n, keyword))
            .map(|(_, infix)| infix)
    }

    /// What follows the operator, joined to what stood before it.
    fn infix(&mut self, infix: Infix, negated: bool, left: Expr) -> Result<ExprKind> {
        let left = Box::new(left);
        Ok(match infix {
            Infix::Logical(op) => {
                // Left-associative: the right side takes only what binds tighter.
                let right = Box::new(self.climb(infix.power() + 1)?);
                ExprKind::Logical { op, left, right }
            }
            Infix::Compare(op) => {
                let right = Box::new(self.climb(CONCAT)?);
                ExprKind::Compare { op, left, right }
            }
            Infix::Is => self.is_predicate(left)?,
            Infix::Between => {
                let low = Box::new(self.climb(CONCAT)?);
                self.expect_keyword("AND")?;
                let high = Box::new(self.climb(CONCAT)?);
                ExprKind::Between { negated, operand: left, low, high }
            }
            Infix::In => {
                self.expect(&Token::LParen)?;
                let list = self.comma_separated(Self::expr)?;
                self.expect_closer(&Token::RParen)?;
                ExprKind::In { negated, operand: left, list }
            }
            Infix::Like => {
                let pattern = Box::new(self.climb(CONCAT)?);
                let escape = self.escape()?;
                ExprKind::Like { negated, operand: left, pattern, escape }
            }
            Infix::Concat => {
                let right = Box::new(self.climb(CONCAT + 1)?);
                ExprKind::Concat { left, right }
            }
            Infix::Arithmetic(op) => {
                let right = Box::new(self.climb(infix.power() + 1)?);
                ExprKind::Arithmetic { op, left, right }
            }
        })
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
