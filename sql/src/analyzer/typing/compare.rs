//! Comparisons, BETWEEN, LIKE.

use crate::analyzer::coercion::comparable;
use crate::analyzer::display::operator_name;
use crate::analyzer::magic_timestamp;
use crate::analyzer::typing::Typer;
use crate::ast;
use crate::error::{Result, SqlError};
use crate::expr::ir::{CompareOp, Expr, ExprKind};
use crate::schema::{ROWTIME, WINDOWEND, WINDOWSTART};
use crate::types::SqlType;
use crate::value::SqlValue;

impl Typer<'_> {
    pub(super) fn compare(
        &self,
        whole: &ast::expr::Expr,
        op: CompareOp,
        left: &ast::expr::Expr,
        right: &ast::expr::Expr,
    ) -> Result<Expr> {
        let (l, r) = self.operands(whole, left, right)?;
        self.check_comparable(op, (left, &l), (right, &r))?;
        Ok(Expr::new(ExprKind::Compare { op, left: Box::new(l), right: Box::new(r) }, SqlType::Boolean))
    }

    pub(super) fn is_distinct(
        &self,
        whole: &ast::expr::Expr,
        negated: bool,
        left: &ast::expr::Expr,
        right: &ast::expr::Expr,
    ) -> Result<Expr> {
        let (l, r) = self.operands(whole, left, right)?;
        self.check_comparable(CompareOp::Equal, (left, &l), (right, &r))?;
        Ok(Expr::new(
            ExprKind::IsDistinctFrom { negated, left: Box::new(l), right: Box::new(r) },
            SqlType::Boolean,
        ))
    }

    pub(super) fn between(
        &self,
        whole: &ast::expr::Expr,
        negated: bool,
        operand: &ast::expr::Expr,
        low: &ast::expr::Expr,
        high: &ast::expr::Expr,
    ) -> Result<Expr> {
        let (value, typed_low) = self.operands(whole, operand, low)?;
        let (_, typed_high) = self.operands(whole, operand, high)?;
        self.check_comparable(CompareOp::GreaterOrEqual, (operand, &value), (low, &typed_low))?;
        self.check_comparable(CompareOp::LessOrEqual, (operand, &value), (high, &typed_high))?;
        Ok(Expr::new(
            ExprKind::Between {
                negated,
                operand: Box::new(value),
                low: Box::new(typed_low),
                high: Box::new(typed_high),
            },
            SqlType::Boolean,
        ))
    }

    pub(super) fn like(
        &self,
        whole: &ast::expr::Expr,
        negated: bool,
        operand: &ast::expr::Expr,
        pattern: &ast::expr::Expr,
        escape: Option<char>,
    ) -> Result<Expr> {
        let value = self.value(operand)?;
        let typed_pattern = self.value(pattern)?;
        if value.sql_type != SqlType::String || typed_pattern.sql_type != SqlType::String {
            return Err(SqlError::analysis(
                format!(
                    "Like condition must be between strings. Got {} ({}) LIKE {} ({}).",
                    self.show(operand),
                    value.sql_type,
                    self.show(pattern),
                    typed_pattern.sql_type
                ),
                whole.span(),
            ));
        }
        Ok(Expr::new(
            ExprKind::Like { negated, operand: Box::new(value), pattern: Box::new(typed_pattern), escape },
            SqlType::Boolean,
        ))
    }

    /// Both sides typed; a string literal beside ROWTIME or a window bound becomes its timestamp.
    fn operands(
        &self,
        whole: &ast::expr::Expr,
        left: &ast::expr::Expr,
        right: &ast::expr::Expr,
    ) -> Result<(Expr, Expr)> {
        let (Some(l), Some(r)) = (self.infer(left)?, self.infer(right)?) else {
            return Err(SqlError::analysis(
                format!("Comparison with NULL not supported: {}", self.show(whole).trim_matches(['(', ')'])),
                whole.span(),
            )
            .with_hint("Use IS NULL or IS NOT NULL."));
        };
        let l = if is_time_column(right) { magic(left, l)? } else { l };
        let r = if is_time_column(left) { magic(right, r)? } else { r };
        Ok((l, r))
    }

    fn check_comparable(
        &self,
        op: CompareOp,
        (left, l): (&ast::expr::Expr, &Expr),
        (right, r): (&ast::expr::Expr, &Expr),
    ) -> Result<()> {
        if comparable(op, &l.sql_type, &r.sql_type) {
            return Ok(());
        }
        Err(SqlError::analysis(
            format!(
                "Cannot compare {} ({}) to {} ({}) with {}.",
                self.show(left),
                l.sql_type,
                self.show(right),
                r.sql_type,
                operator_name(op)
            ),
            left.span().union(right.span()),
        ))
    }
}

fn is_time_column(expr: &ast::expr::Expr) -> bool {
    match &expr.kind {
        ast::expr::ExprKind::Column { name, .. } => {
            [ROWTIME, WINDOWSTART, WINDOWEND].contains(&name.name.as_str())
        }
        _ => false,
    }
}

fn magic(expr: &ast::expr::Expr, typed: Expr) -> Result<Expr> {
    let ExprKind::Literal(SqlValue::String(text)) = &typed.kind else { return Ok(typed) };
    match magic_timestamp::parse(text) {
        Some(millis) => Ok(Expr::literal(SqlValue::Bigint(millis), SqlType::Bigint)),
        None => Err(SqlError::analysis(
            format!("Failed to parse timestamp '{text}'"),
            expr.span(),
        )
        .with_hint("Required format is: yyyy-MM-dd'T'HH:mm:ss.SSS with an optional time zone; later parts may be left out.")),
    }
}
