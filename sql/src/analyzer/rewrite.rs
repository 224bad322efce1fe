//! Changing expressions as written, before they are typed.

use crate::ast::expr::{Argument, Expr, ExprKind};
use crate::ast::ident::Ident;
use crate::error::{Result, SqlError};

/// Operators and calls inside each other. What walks expressions does so by recursion.
pub(crate) const EXPRESSION_DEPTH_MAX: usize = 200;

/// Errors: an expression deeper than [`EXPRESSION_DEPTH_MAX`].
pub(crate) fn refuse_deep<'e>(exprs: impl Iterator<Item = &'e Expr>) -> Result<()> {
    for expr in exprs {
        let mut level = vec![expr];
        let mut depth = 0;
        while !level.is_empty() {
            depth += 1;
            if depth > EXPRESSION_DEPTH_MAX {
                return Err(SqlError::analysis(
                    format!("the expression is nested more than {EXPRESSION_DEPTH_MAX} deep"),
                    expr.span(),
                )
                .with_hint("Long chains of comparisons with OR can be written with IN."));
            }
            level = level.into_iter().flat_map(Expr::children).collect();
        }
    }
    Ok(())
}

/// The expression with every column reference replaced; parameters of lambdas are none.
pub(crate) fn map_columns(
    expr: &Expr,
    change: &mut dyn FnMut(Option<&Ident>, &Ident) -> Result<ExprKind>,
) -> Result<Expr> {
    let mut out = expr.clone();
    Mapper { change, parameters: Vec::new() }.map(&mut out)?;
    Ok(out)
}

/// Calls `visit` on every column reference that is no parameter of a lambda.
pub(crate) fn visit_columns<'e>(
    expr: &'e Expr,
    visit: &mut dyn FnMut(&'e Expr, Option<&'e Ident>, &'e Ident) -> Result<()>,
) -> Result<()> {
    fn go<'e>(
        expr: &'e Expr,
        parameters: &mut Vec<&'e str>,
        visit: &mut dyn FnMut(&'e Expr, Option<&'e Ident>, &'e Ident) -> Result<()>,
    ) -> Result<()> {
        match &expr.kind {
            ExprKind::Column { qualifier, name } => {
                if qualifier.is_none() && parameters.contains(&name.name.as_str()) {
                    return Ok(());
                }
                visit(expr, qualifier.as_ref(), name)
            }
            ExprKind::Call { arguments, .. } => {
                for argument in arguments {
                    match argument {
                        Argument::Expr(e) => go(e, parameters, visit)?,
                        Argument::Lambda(lambda) => {
                            let outer = parameters.len();
                            parameters.extend(lambda.parameters.iter().map(|p| p.name.as_str()));
                            go(&lambda.body, parameters, visit)?;
                            parameters.truncate(outer);
                        }
                        Argument::Unit(_) => {}
                    }
                }
                Ok(())
            }
            _ => expr.children().into_iter().try_for_each(|child| go(child, parameters, visit)),
        }
    }
    go(expr, &mut Vec::new(), visit)
}

struct Mapper<'a> {
    change: &'a mut dyn FnMut(Option<&Ident>, &Ident) -> Result<ExprKind>,
    parameters: Vec<String>,
}

impl Mapper<'_> {
    fn map(&mut self, expr: &mut Expr) -> Result<()> {
        match &mut expr.kind {
            ExprKind::Column { qualifier, name } => {
                if qualifier.is_some() || !self.parameters.contains(&name.name) {
                    expr.kind = (self.change)(qualifier.as_ref(), name)?;
                }
                Ok(())
            }
            ExprKind::Call { arguments, .. } => arguments.iter_mut().try_for_each(|a| self.argument(a)),
            ExprKind::Literal(_) => Ok(()),
            ExprKind::Unary { operand, .. }
            | ExprKind::IsNull { operand, .. }
            | ExprKind::Cast { operand, .. }
            | ExprKind::Not(operand) => self.map(operand),
            ExprKind::Logical { left, right, .. }
            | ExprKind::Compare { left, right, .. }
            | ExprKind::IsDistinctFrom { left, right, .. }
            | ExprKind::Arithmetic { left, right, .. }
            | ExprKind::Concat { left, right } => {
                self.map(left)?;
                self.map(right)
            }
            ExprKind::Between { operand, low, high, .. } => {
                self.map(operand)?;
                self.map(low)?;
                self.map(high)
            }
            ExprKind::In { operand, list, .. } => {
                self.map(operand)?;
                list.iter_mut().try_for_each(|e| self.map(e))
            }
            ExprKind::Like { operand, pattern, .. } => {
                self.map(operand)?;
                self.map(pattern)
            }
            ExprKind::Case { operand, branches, otherwise } => {
                for e in operand.iter_mut().chain(otherwise.iter_mut()) {
                    self.map(e)?;
                }
                for branch in branches {
                    self.map(&mut branch.when)?;
                    self.map(&mut branch.then)?;
                }
                Ok(())
            }
            ExprKind::Array(items) => items.iter_mut().try_for_each(|e| self.map(e)),
            ExprKind::Map(entries) => entries.iter_mut().try_for_each(|(key, value)| {
                self.map(key)?;
                self.map(value)
            }),
            ExprKind::Struct(fields) => fields.iter_mut().try_for_each(|(_, value)| self.map(value)),
            ExprKind::Subscript { base, index } => {
                self.map(base)?;
                self.map(index)
            }
            ExprKind::Field { base, .. } => self.map(base),
        }
    }

    fn argument(&mut self, argument: &mut Argument) -> Result<()> {
        match argument {
            Argument::Expr(e) => self.map(e),
            Argument::Lambda(lambda) => {
                let outer = self.parameters.len();
                self.parameters.extend(lambda.parameters.iter().map(|p| p.name.clone()));
                let result = self.map(&mut lambda.body);
                self.parameters.truncate(outer);
                result
            }
            Argument::Unit(_) => Ok(()),
        }
    }
}
