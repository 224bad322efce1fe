//! Expressions as error messages show them.

use crate::analyzer::rewrite::map_columns;
use crate::ast::expr::{Expr, ExprKind};
use crate::ast::ident::Ident;
use crate::expr::ir::CompareOp;

/// How column references are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// `A.ID` stays `A.ID`.
    Qualified,
    /// `A.ID` is shown as `ID`.
    Bare,
    /// `A.ID` is shown as `A_ID`, the name it has after a join.
    Joined,
}

/// The expression as text, operators in parentheses: `(A.ID + 1)`.
pub(crate) fn show(expr: &Expr, names: Names) -> String {
    let renamed = map_columns(expr, &mut |qualifier, name| {
        let (qualifier, name) = match (qualifier, names) {
            (Some(q), Names::Joined) => (None, Ident::new(format!("{}_{}", q.name, name.name), name.span())),
            (Some(q), Names::Qualified) => (Some(q.clone()), name.clone()),
            (Some(_), Names::Bare) | (None, _) => (None, name.clone()),
        };
        Ok(ExprKind::Column { qualifier, name })
    });
    renamed.as_ref().unwrap_or(expr).to_string()
}

/// `EQUAL`, `LESS_THAN`, …
pub(crate) fn operator_name(op: CompareOp) -> &'static str {
    match op {
        CompareOp::Equal => "EQUAL",
        CompareOp::NotEqual => "NOT_EQUAL",
        CompareOp::Less => "LESS_THAN",
        CompareOp::LessOrEqual => "LESS_THAN_OR_EQUAL",
        CompareOp::Greater => "GREATER_THAN",
        CompareOp::GreaterOrEqual => "GREATER_THAN_OR_EQUAL",
    }
}
