//! Arithmetic and signs.

use crate::analyzer::coercion::arithmetic_type;
use crate::analyzer::typing::Typer;
use crate::ast;
use crate::ast::expr::UnaryOp;
use crate::error::{Result, SqlError};
use crate::expr::ir::{ArithmeticOp, Expr, ExprKind};

impl Typer<'_> {
    pub(super) fn arithmetic(
        &self,
        whole: &ast::expr::Expr,
        op: ArithmeticOp,
        left: &ast::expr::Expr,
        right: &ast::expr::Expr,
    ) -> Result<Expr> {
        let typed_left = self.infer(left)?;
        let typed_right = self.infer(right)?;
        let name = |typed: &Option<Expr>| {
            typed.as_ref().map_or_else(|| "null".to_owned(), |e| e.sql_type.base_name().to_owned())
        };
        let (Some(l), Some(r)) = (&typed_left, &typed_right) else {
            return Err(SqlError::analysis(
                format!(
                    "Error processing expression: {}. Arithmetic on types {} and {} are not supported.",
                    self.show(whole),
                    name(&typed_left),
                    name(&typed_right)
                ),
                whole.span(),
            ));
        };
        let Some(sql_type) = arithmetic_type(op, &l.sql_type, &r.sql_type) else {
            return Err(SqlError::analysis(
                format!(
                    "Error processing expression: {}. Unsupported arithmetic types. {} {}",
                    self.show(whole),
                    name(&typed_left),
                    name(&typed_right)
                ),
                whole.span(),
            ));
        };
        let (Some(l), Some(r)) = (typed_left, typed_right) else { unreachable!("both were matched above") };
        Ok(Expr::new(ExprKind::Arithmetic { op, left: Box::new(l), right: Box::new(r) }, sql_type))
    }

    pub(super) fn unary(
        &self,
        whole: &ast::expr::Expr,
        op: UnaryOp,
        operand: &ast::expr::Expr,
    ) -> Result<Expr> {
        let typed = self.value(operand)?;
        if !typed.sql_type.is_numeric() {
            return Err(SqlError::analysis(
                format!(
                    "Error processing expression: {}. Unsupported arithmetic type: {}. A number is expected.",
                    self.show(whole),
                    typed.sql_type.base_name()
                ),
                operand.span(),
            ));
        }
        let sql_type = typed.sql_type.clone();
        Ok(match op {
            UnaryOp::Plus => typed,
            UnaryOp::Minus => Expr::new(ExprKind::Negate(Box::new(typed)), sql_type),
        })
    }
}
