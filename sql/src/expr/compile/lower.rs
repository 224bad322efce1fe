//! From typed expressions to the compiled tree.

use std::collections::BTreeSet;

use crate::expr::compile::CompileError;
use crate::expr::compile::node::{CallOperand, LambdaNode, Lazy, Node, Pattern, Typed};
use crate::expr::ir::{Argument, CompareOp, Expr, ExprKind, Lambda};
use crate::expr::kernels::cast::is_supported;
use crate::expr::kernels::compare::Comparison;
use crate::expr::kernels::like::LikePattern;
use crate::functions::registry::FunctionRegistry;
use crate::functions::signature::ArgumentType;
use crate::types::SqlType;
use crate::value::SqlValue;
use crate::value::convert::to_array;

/// What a name stands for: a column, or a parameter of a lambda.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Column(String),
    Parameter(String),
}

/// The columns of a frame by name, and their types.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) names: Vec<(Name, SqlType)>,
}

impl Scope {
    fn find(&self, name: &Name) -> Option<(usize, &SqlType)> {
        self.names.iter().position(|(n, _)| n == name).map(|i| (i, &self.names[i].1))
    }

    fn node(&self, name: &Name, expected: &SqlType) -> Result<Node, CompileError> {
        let text = match name {
            Name::Column(name) | Name::Parameter(name) => name.clone(),
        };
        let (index, actual) =
            self.find(name).ok_or_else(|| CompileError::UnknownColumn { name: text.clone() })?;
        if actual.to_arrow() != expected.to_arrow() {
            return Err(CompileError::ColumnType {
                name: text,
                actual: actual.to_string(),
                expected: expected.to_string(),
            });
        }
        Ok(Node::Column(index))
    }
}

/// The names an expression reads, own lambda parameters not among them.
fn free_names(expr: &Expr) -> Vec<Name> {
    let mut names = Vec::new();
    let mut bound = BTreeSet::new();
    expr.visit(&mut |e| {
        if let ExprKind::Call { arguments, .. } = &e.kind {
            for argument in arguments {
                if let Argument::Lambda(lambda) = argument {
                    bound.extend(lambda.parameters.iter().map(|(name, _)| name.clone()));
                }
            }
        }
        let name = match &e.kind {
            ExprKind::Column(name) => Name::Column(name.clone()),
            ExprKind::LambdaParameter(name) => Name::Parameter(name.clone()),
            _ => return,
        };
        if !names.contains(&name) {
            names.push(name);
        }
    });
    // Names of parameters are not reused in nested lambdas.
    names.retain(|name| !matches!(name, Name::Parameter(p) if bound.contains(p)));
    names
}

/// True if evaluating a row can fail, or costs much.
fn fallible(expr: &Expr) -> bool {
    let mut found = false;
    expr.visit(&mut |e| {
        found |= match &e.kind {
            ExprKind::Call { .. }
            | ExprKind::Like { .. }
            | ExprKind::Case { .. }
            | ExprKind::Map(_)
            | ExprKind::Arithmetic { .. }
            | ExprKind::Negate(_) => true,
            ExprKind::Cast(operand) => !matches!(
                (&operand.sql_type, &e.sql_type),
                (SqlType::Integer, SqlType::Bigint | SqlType::Double) | (SqlType::Bigint, SqlType::Double)
            ),
            ExprKind::Compare { left, right, .. } | ExprKind::IsDistinctFrom { left, right, .. } => {
                left.sql_type.is_time() != right.sql_type.is_time()
            }
            ExprKind::Between { operand, low, .. } => operand.sql_type.is_time() != low.sql_type.is_time(),
            ExprKind::In { operand, list, .. } => {
                list.iter().any(|item| operand.sql_type.is_time() != item.sql_type.is_time())
            }
            _ => false,
        };
    });
    found
}

pub(crate) fn lower(expr: &Expr, scope: &Scope) -> Result<Node, CompileError> {
    let boxed = |e: &Expr| lower(e, scope).map(Box::new);
    let all = |list: &[Expr]| list.iter().map(|e| lower(e, scope)).collect::<Result<Vec<_>, _>>();
    Ok(match &expr.kind {
        ExprKind::Column(name) => scope.node(&Name::Column(name.clone()), &expr.sql_type)?,
        ExprKind::LambdaParameter(name) => scope.node(&Name::Parameter(name.clone()), &expr.sql_type)?,
        ExprKind::Literal(value) => literal(value, &expr.sql_type),
        ExprKind::Logical { op, left, right } => {
            Node::Logical { op: *op, left: boxed(left)?, right: lazy(right, scope)? }
        }
        ExprKind::Not(operand) => Node::Not(boxed(operand)?),
        ExprKind::Compare { op, left, right } => {
            let comparison = comparison(*op, left, right)?;
            Node::Compare { comparison, left: boxed(left)?, right: boxed(right)? }
        }
        ExprKind::IsDistinctFrom { negated, left, right } => Node::Distinct {
            comparison: comparison(CompareOp::Equal, left, right)?,
            negated: *negated,
            left: boxed(left)?,
            right: boxed(right)?,
        },
        ExprKind::IsNull { negated, operand } => Node::IsNull { negated: *negated, operand: boxed(operand)? },
        ExprKind::Between { negated, operand, low, high } => Node::Between {
            negated: *negated,
            low_comparison: comparison(CompareOp::GreaterOrEqual, operand, low)?,
            high_comparison: comparison(CompareOp::LessOrEqual, operand, high)?,
            operands: Box::new([lower(operand, scope)?, lower(low, scope)?, lower(high, scope)?]),
        },
        ExprKind::In { negated, operand, list } => Node::In {
            negated: *negated,
            operand: boxed(operand)?,
            list: list
                .iter()
                .map(|item| Ok((comparison(CompareOp::Equal, operand, item)?, lower(item, scope)?)))
                .collect::<Result<Vec<_>, CompileError>>()?,
        },
        ExprKind::Like { negated, operand, pattern, escape } => Node::Like {
            negated: *negated,
            operand: boxed(operand)?,
            pattern: match &pattern.kind {
                ExprKind::Literal(SqlValue::String(text)) => {
                    Pattern::Constant(LikePattern::new(text, *escape))
                }
                _ => Pattern::Computed(boxed(pattern)?, *escape),
            },
        },
        ExprKind::Arithmetic { op, left, right } => Node::Arithmetic {
            op: *op,
            left: typed(left, scope)?,
            right: typed(right, scope)?,
            result: expr.sql_type.clone(),
        },
        ExprKind::Negate(operand) => Node::Negate(typed(operand, scope)?),
        ExprKind::Case { branches, otherwise } => {
            // Every branch gives the type of the whole.
            let branch = |e: &Expr| -> Result<Lazy, CompileError> {
                Ok(Lazy { node: Box::new(cast_to(e, &expr.sql_type, scope)?), ..lazy(e, scope)? })
            };
            Node::Case {
                branches: branches
                    .iter()
                    .map(|(condition, result)| Ok((lazy(condition, scope)?, branch(result)?)))
                    .collect::<Result<Vec<_>, CompileError>>()?,
                otherwise: otherwise.as_ref().map(|e| branch(e)).transpose()?,
                result: expr.sql_type.clone(),
            }
        }
        ExprKind::Cast(operand) => cast_to(operand, &expr.sql_type, scope)?,
        ExprKind::Call { function, arguments } => call(function, arguments, &expr.sql_type, scope)?,
        ExprKind::Array(items) => {
            let SqlType::Array(element) = &expr.sql_type else { return Err(malformed(expr)) };
            let items = items.iter().map(|e| cast_to(e, element, scope)).collect::<Result<Vec<_>, _>>()?;
            Node::Array { items, result: expr.sql_type.clone() }
        }
        ExprKind::Map(entries) => {
            let SqlType::Map(key, value) = &expr.sql_type else { return Err(malformed(expr)) };
            let entries = entries
                .iter()
                .map(|(k, v)| Ok((cast_to(k, key, scope)?, cast_to(v, value, scope)?)))
                .collect::<Result<Vec<_>, CompileError>>()?;
            Node::Map { entries, result: expr.sql_type.clone() }
        }
        ExprKind::Struct(items) => Node::Struct { items: all(items)?, result: expr.sql_type.clone() },
        ExprKind::Subscript { base, index } => {
            let index = match &base.sql_type {
                SqlType::Map(key, _) => cast_to(index, key, scope)?,
                _ => cast_to(index, &SqlType::Integer, scope)?,
            };
            Node::Subscript { base: typed(base, scope)?, index: Box::new(index) }
        }
        ExprKind::Field { base, field } => {
            let SqlType::Struct(fields) = &base.sql_type else { return Err(malformed(expr)) };
            let index = fields.iter().position(|f| f.name == *field).ok_or_else(|| malformed(expr))?;
            Node::Field { base: boxed(base)?, index }
        }
    })
}

fn malformed(expr: &Expr) -> CompileError {
    CompileError::Malformed { message: crate::expr::compile::describe::describe(expr) }
}

fn literal(value: &SqlValue, sql_type: &SqlType) -> Node {
    Node::Literal(to_array(sql_type, std::iter::once(value)))
}

fn typed(expr: &Expr, scope: &Scope) -> Result<Typed, CompileError> {
    Ok(Typed { node: Box::new(lower(expr, scope)?), sql_type: expr.sql_type.clone() })
}

fn lazy(expr: &Expr, scope: &Scope) -> Result<Lazy, CompileError> {
    let columns = free_names(expr).iter().filter_map(|name| scope.find(name).map(|(i, _)| i)).collect();
    Ok(Lazy { node: Box::new(lower(expr, scope)?), columns, fallible: fallible(expr) })
}

fn comparison(op: CompareOp, left: &Expr, right: &Expr) -> Result<Comparison, CompileError> {
    Ok(Comparison { op, left: left.sql_type.clone(), right: right.sql_type.clone() })
}

fn cast_to(expr: &Expr, to: &SqlType, scope: &Scope) -> Result<Node, CompileError> {
    let from = &expr.sql_type;
    if from == to {
        return lower(expr, scope);
    }
    if let ExprKind::Literal(SqlValue::Null) = expr.kind {
        return Ok(literal(&SqlValue::Null, to));
    }
    if !is_supported(from, to) {
        return Err(CompileError::Cast { from: from.to_string(), to: to.to_string() });
    }
    Ok(Node::Cast { operand: typed(expr, scope)?, to: to.clone() })
}

fn call(
    function: &str,
    arguments: &[Argument],
    result: &SqlType,
    scope: &Scope,
) -> Result<Node, CompileError> {
    let registry = FunctionRegistry::standard();
    let types: Vec<ArgumentType> = arguments
        .iter()
        .map(|argument| match argument {
            Argument::Value(e) => ArgumentType::Value(e.sql_type.clone()),
            Argument::Null => ArgumentType::Null,
            Argument::Lambda(lambda) => ArgumentType::Lambda {
                arity: lambda.parameters.len(),
                returns: Some(lambda.body.sql_type.clone()),
            },
            Argument::Unit(_) => ArgumentType::Unit,
        })
        .collect();
    let resolved = registry.resolve_scalar(function, &types)?;
    if resolved.return_type != *result {
        return Err(CompileError::Malformed {
            message: format!("{function} gives {}, not {result}", resolved.return_type),
        });
    }
    let mut argument_types = resolved.argument_types;
    let operands = arguments
        .iter()
        .zip(&mut argument_types)
        .map(|(argument, to)| {
            Ok(match argument {
                Argument::Value(e) => {
                    CallOperand::Value(cast_to(e, to.as_ref().unwrap_or(&e.sql_type), scope)?)
                }
                // A NULL whose type nothing fixes is a text as good as any.
                Argument::Null => {
                    CallOperand::Value(literal(&SqlValue::Null, to.get_or_insert(SqlType::String)))
                }
                Argument::Lambda(lambda) => CallOperand::Lambda(lower_lambda(lambda, scope)?),
                Argument::Unit(unit) => CallOperand::Unit(*unit),
            })
        })
        .collect::<Result<Vec<_>, CompileError>>()?;
    let kernel = registry.scalar(function)?.overloads[resolved.overload].kernel;
    Ok(Node::Call { kernel, operands, argument_types, result: result.clone() })
}

fn lower_lambda(lambda: &Lambda, scope: &Scope) -> Result<LambdaNode, CompileError> {
    let own: Vec<Name> = lambda.parameters.iter().map(|(name, _)| Name::Parameter(name.clone())).collect();
    let mut captured = Vec::new();
    let mut names = Vec::new();
    for name in free_names(&lambda.body) {
        if own.contains(&name) {
            continue;
        }
        if let Some((index, sql_type)) = scope.find(&name) {
            captured.push(index);
            names.push((name, sql_type.clone()));
        }
    }
    names.extend(own.into_iter().zip(lambda.parameters.iter().map(|(_, sql_type)| sql_type.clone())));
    Ok(LambdaNode { captured, body: lower(&lambda.body, &Scope { names })? })
}
