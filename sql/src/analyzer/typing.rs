//! Typing of expressions: every column resolved, every implicit cast written out.

mod arithmetic;
pub(crate) mod call;
mod compare;
mod constructor;
mod list;

use std::cell::RefCell;
use std::collections::HashMap;

use crate::analyzer::clause::Clause;
use crate::analyzer::coercion::cast_allowed;
use crate::analyzer::display::{Names, show};
use crate::ast;
use crate::ast::ident::Ident;
use crate::context::Context;
use crate::error::{Result, SqlError};
use crate::expr::ir::{Expr, ExprKind, LogicalOp};
use crate::functions::registry::FunctionRegistry;
use crate::span::Span;
use crate::types::SqlType;
use crate::value::{Literal, SqlValue};

/// What names mean to a [`Typer`].
pub(crate) trait Resolver {
    /// The column of the step's input that a reference stands for.
    fn column(&self, qualifier: Option<&Ident>, name: &Ident) -> Result<Expr>;

    /// A chance to give a whole expression a meaning before its parts are looked at: grouping expressions,
    /// aggregate and table function calls.
    fn replace(&self, _expr: &ast::expr::Expr, _typer: &Typer<'_>) -> Result<Option<Expr>> {
        Ok(None)
    }

    /// How messages show columns.
    fn names(&self) -> Names {
        Names::Bare
    }
}

/// Types expressions of one clause.
pub(crate) struct Typer<'a> {
    pub(crate) context: Context<'a>,
    pub(crate) resolver: &'a dyn Resolver,
    pub(crate) clause: Clause,
    /// Parameters of the lambdas that enclose the current expression, innermost last.
    lambda_parameters: RefCell<Vec<(String, SqlType)>>,
    /// Results by the address of the expression, since lists type their elements more than once. The expressions
    /// given to one typer live at least as long as it is used.
    typed: RefCell<HashMap<usize, Option<Expr>>>,
}

impl<'a> Typer<'a> {
    pub(crate) fn new(context: Context<'a>, resolver: &'a dyn Resolver, clause: Clause) -> Typer<'a> {
        Typer { context, resolver, clause, lambda_parameters: RefCell::default(), typed: RefCell::default() }
    }

    pub(crate) fn functions(&self) -> &'a FunctionRegistry {
        self.context.functions
    }

    /// The typed expression; the untyped NULL is refused.
    pub(crate) fn value(&self, expr: &ast::expr::Expr) -> Result<Expr> {
        self.infer(expr)?.ok_or_else(|| {
            SqlError::analysis("Can't infer a type of null", expr.span())
                .with_hint("Please explicitly cast it to a required type, e.g. CAST(null AS VARCHAR).")
        })
    }

    /// The typed expression, which must be a BOOLEAN: a WHERE, HAVING or CASE condition.
    pub(crate) fn condition(&self, expr: &ast::expr::Expr) -> Result<Expr> {
        let typed = self.value(expr)?;
        if typed.sql_type != SqlType::Boolean {
            return Err(SqlError::analysis(
                format!(
                    "Type error in {} expression: Should evaluate to boolean but is {} ({}) instead.",
                    self.clause,
                    self.show(expr),
                    typed.sql_type
                ),
                expr.span(),
            ));
        }
        Ok(typed)
    }

    /// The typed expression converted to `target` where that is possible without an explicit cast.
    pub(crate) fn show(&self, expr: &ast::expr::Expr) -> String {
        show(expr, self.resolver.names())
    }

    /// The typed expression, None for the untyped NULL.
    pub(crate) fn infer(&self, expr: &ast::expr::Expr) -> Result<Option<Expr>> {
        // Bodies of lambdas may be typed again with other parameters.
        let remembered = self.lambda_parameters.borrow().is_empty() && !expr.children().is_empty();
        let place = std::ptr::from_ref(expr) as usize;
        if remembered && let Some(known) = self.typed.borrow().get(&place) {
            return Ok(known.clone());
        }
        let typed = self.infer_anew(expr)?;
        if remembered {
            self.typed.borrow_mut().insert(place, typed.clone());
        }
        Ok(typed)
    }

    fn infer_anew(&self, expr: &ast::expr::Expr) -> Result<Option<Expr>> {
        if let Some(replaced) = self.resolver.replace(expr, self)? {
            return Ok(Some(replaced));
        }
        match &expr.kind {
            ast::expr::ExprKind::Literal(literal) => Ok(self.literal(literal)),
            _ => self.infer_parts(expr).map(Some),
        }
    }

    /// By kind of expression. Every arm is one call, which keeps the frame of this recursive function small.
    fn infer_parts(&self, expr: &ast::expr::Expr) -> Result<Expr> {
        use ast::expr::ExprKind as Ast;
        match &expr.kind {
            Ast::Literal(_) => self.value(expr),
            Ast::Column { qualifier, name } => self.column(qualifier.as_ref(), name),
            Ast::Unary { op, operand } => self.unary(expr, *op, operand),
            Ast::Not(operand) => self.not(operand),
            Ast::Logical { op, left, right } => self.logical(*op, left, right),
            Ast::Compare { op, left, right } => self.compare(expr, *op, left, right),
            Ast::IsDistinctFrom { negated, left, right } => self.is_distinct(expr, *negated, left, right),
            Ast::IsNull { negated, operand } => self.is_null(*negated, operand),
            Ast::Between { negated, operand, low, high } => self.between(expr, *negated, operand, low, high),
            Ast::In { negated, operand, list } => self.in_list(*negated, operand, list),
            Ast::Like { negated, operand, pattern, escape } => {
                self.like(expr, *negated, operand, pattern, *escape)
            }
            Ast::Arithmetic { op, left, right } => self.arithmetic(expr, *op, left, right),
            Ast::Concat { left, right } => self.concat(expr, left, right),
            Ast::Case { operand, branches, otherwise } => {
                self.case(expr, operand.as_deref(), branches, otherwise.as_deref())
            }
            Ast::Cast { operand, target } => self.cast(operand, target, expr.span()),
            Ast::Call { function, arguments } => self.call(expr, function, arguments),
            Ast::Array(items) => self.array(expr, items),
            Ast::Map(entries) => self.map(expr, entries),
            Ast::Struct(fields) => self.structure(fields),
            Ast::Subscript { base, index } => self.subscript(base, index),
            Ast::Field { base, field } => self.field(base, field),
        }
    }

    fn not(&self, operand: &ast::expr::Expr) -> Result<Expr> {
        let operand = Box::new(self.boolean_operand(operand, "NOT")?);
        Ok(Expr::new(ExprKind::Not(operand), SqlType::Boolean))
    }

    fn logical(&self, op: LogicalOp, left: &ast::expr::Expr, right: &ast::expr::Expr) -> Result<Expr> {
        let word = match op {
            LogicalOp::And => "AND",
            LogicalOp::Or => "OR",
        };
        let left = Box::new(self.boolean_operand(left, word)?);
        let right = Box::new(self.boolean_operand(right, word)?);
        Ok(Expr::new(ExprKind::Logical { op, left, right }, SqlType::Boolean))
    }

    fn is_null(&self, negated: bool, operand: &ast::expr::Expr) -> Result<Expr> {
        let operand = self.infer(operand)?.unwrap_or_else(|| null_of(SqlType::String));
        Ok(Expr::new(ExprKind::IsNull { negated, operand: Box::new(operand) }, SqlType::Boolean))
    }

    fn literal(&self, literal: &Literal) -> Option<Expr> {
        literal.sql_type.as_ref().map(|sql_type| Expr::literal(literal.value.clone(), sql_type.clone()))
    }

    fn column(&self, qualifier: Option<&Ident>, name: &Ident) -> Result<Expr> {
        if qualifier.is_none()
            && let Some((_, sql_type)) =
                self.lambda_parameters.borrow().iter().rev().find(|(parameter, _)| *parameter == name.name)
        {
            return Ok(Expr::new(ExprKind::LambdaParameter(name.name.clone()), sql_type.clone()));
        }
        self.resolver.column(qualifier, name)
    }

    fn boolean_operand(&self, operand: &ast::expr::Expr, operator: &str) -> Result<Expr> {
        let typed = self.value(operand)?;
        if typed.sql_type != SqlType::Boolean {
            return Err(SqlError::analysis(
                format!(
                    "{operator} needs boolean operands. Got {} ({}).",
                    self.show(operand),
                    typed.sql_type
                ),
                operand.span(),
            ));
        }
        Ok(typed)
    }

    fn cast(&self, operand: &ast::expr::Expr, target: &ast::types::TypeName, span: Span) -> Result<Expr> {
        let target = target.resolve(&|name| self.context.metastore.custom_type(name).cloned())?;
        let Some(typed) = self.infer(operand)? else { return Ok(null_of(target)) };
        if !cast_allowed(&typed.sql_type, &target) {
            return Err(SqlError::analysis(
                format!(
                    "Invalid {}: Cast of {} to {target} is not supported",
                    self.clause.role(),
                    typed.sql_type
                ),
                span,
            ));
        }
        Ok(cast_to(typed, &target))
    }

    fn field(&self, base: &ast::expr::Expr, field: &Ident) -> Result<Expr> {
        let typed = self.value(base)?;
        let SqlType::Struct(fields) = &typed.sql_type else {
            return Err(SqlError::analysis(
                format!(
                    "Expected STRUCT type, got: {} for '{}', which field '{}' is taken from",
                    typed.sql_type,
                    self.show(base),
                    field.name
                ),
                base.span(),
            ));
        };
        let Some(found) = fields.iter().find(|f| f.name == field.name) else {
            let known: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
            return Err(SqlError::analysis(
                format!("Could not find field '{}' in '{}'.", field.name, self.show(base)),
                field.span(),
            )
            .with_hint(format!("Its fields are: {}.", known.join(", "))));
        };
        let sql_type = found.sql_type.clone();
        Ok(Expr::new(ExprKind::Field { base: Box::new(typed), field: field.name.clone() }, sql_type))
    }

    fn subscript(&self, base: &ast::expr::Expr, index: &ast::expr::Expr) -> Result<Expr> {
        let typed = self.value(base)?;
        let typed_index = self.value(index)?;
        let mismatch = |wanted: &SqlType| {
            SqlError::analysis(
                format!(
                    "Subscript of '{}' must be {wanted}. Got {} ({}).",
                    self.show(base),
                    self.show(index),
                    typed_index.sql_type
                ),
                index.span(),
            )
        };
        let (wanted, element) = match &typed.sql_type {
            SqlType::Array(element) => (SqlType::Integer, (**element).clone()),
            SqlType::Map(key, value) => ((**key).clone(), (**value).clone()),
            other => {
                return Err(SqlError::analysis(
                    format!("Subscript expression is not supported on {other}: '{}'", self.show(base)),
                    base.span(),
                ));
            }
        };
        let narrowing = wanted == SqlType::Integer && typed_index.sql_type == SqlType::Bigint;
        if !narrowing && !crate::analyzer::coercion::widens_to(&typed_index.sql_type, &wanted) {
            return Err(mismatch(&wanted));
        }
        let index = cast_to(typed_index, &wanted);
        Ok(Expr::new(ExprKind::Subscript { base: Box::new(typed), index: Box::new(index) }, element))
    }
}

/// The expression as it is if it has the type already, else under a cast.
pub(crate) fn cast_to(expr: Expr, target: &SqlType) -> Expr {
    if expr.sql_type == *target {
        return expr;
    }
    if matches!(expr.kind, ExprKind::Literal(SqlValue::Null)) {
        return null_of(target.clone());
    }
    Expr::new(ExprKind::Cast(Box::new(expr)), target.clone())
}

/// NULL of a type.
pub(crate) fn null_of(sql_type: SqlType) -> Expr {
    Expr::literal(SqlValue::Null, sql_type)
}
