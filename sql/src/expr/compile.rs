//! Compiles typed expressions: for the batches of streams, and to DataFusion expressions for pull queries.
//!
//! A failing row costs a row: what could not be computed is NULL and goes to the [`ErrorReporter`]; no error leaves a
//! compiled expression for bad data.

pub mod batch_budget;
pub mod describe;
pub mod physical;

pub(crate) mod collection;
pub(crate) mod frame;
pub(crate) mod lower;
pub(crate) mod node;
pub(crate) mod sliced;

use std::fmt;
use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use datafusion_common::{Column, ScalarValue};
use datafusion_expr::{BinaryExpr, Operator, ScalarUDF};

use crate::expr::compile::batch_budget::BatchBudget;
use crate::expr::compile::describe::describe;
use crate::expr::compile::lower::{Name, Scope, lower};
use crate::expr::compile::physical::{CompiledExpr, Program, ProgramUdf};
use crate::expr::compile::sliced::Overflow;
use crate::expr::ir::{CompareOp, Expr, ExprKind, LogicalOp};
use crate::functions::call::Value;
use crate::types::SqlType;
use crate::value::SqlValue;
use crate::value::convert::{from_array, to_array};

/// Takes the rows that an expression could not compute.
pub trait ErrorReporter: Send + Sync + fmt::Debug {
    /// `row` is the index in the batch being evaluated. The value of that row became NULL.
    fn report(&self, row: usize, message: &str);
}

/// Drops every report.
#[derive(Clone, Copy, Debug)]
pub struct IgnoreErrors;

impl ErrorReporter for IgnoreErrors {
    fn report(&self, _row: usize, _message: &str) {}
}

/// The world outside an expression.
#[derive(Clone)]
pub struct CompileContext {
    pub reporter: Arc<dyn ErrorReporter>,
    /// Units: ms since epoch, UTC.
    pub now_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// 64 random bits.
    pub random: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl fmt::Debug for CompileContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompileContext").field("reporter", &self.reporter).finish_non_exhaustive()
    }
}

/// Why a typed expression cannot be compiled: it does not fit the schema it is given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    #[error("column \"{name}\" is not in the input")]
    UnknownColumn { name: String },
    #[error("column \"{name}\" is {actual} in the input, not {expected}")]
    ColumnType { name: String, actual: String, expected: String },
    #[error(transparent)]
    Function(#[from] crate::functions::error::FunctionError),
    #[error("cast of {from} to {to} is not supported")]
    Cast { from: String, to: String },
    #[error("expression does not type-check: {message}")]
    Malformed { message: String },
}

/// Compiles an expression over the columns of a batch, found by name. Its values have the Arrow form of `expr.sql_type`.
pub fn compile(expr: &Expr, schema: &Schema, context: &CompileContext) -> Result<CompiledExpr, CompileError> {
    let names = column_types(expr);
    let mut columns = Vec::with_capacity(names.len());
    for (name, sql_type) in &names {
        let (index, field) = schema
            .column_with_name(name)
            .ok_or_else(|| CompileError::UnknownColumn { name: name.clone() })?;
        if *field.data_type() != sql_type.to_arrow() {
            return Err(CompileError::ColumnType {
                name: name.clone(),
                actual: field.data_type().to_string(),
                expected: sql_type.to_string(),
            });
        }
        columns.push(index);
    }
    let program = Arc::new(program(expr, names, context)?);
    Ok(CompiledExpr { program, columns })
}

/// As a logical expression for DataFusion's planner. Columns, literals, AND, and comparisons of columns and literals of one type
/// stay what they are, so that key and range look-ups can be pushed down; the rest becomes scalar functions over columns.
pub fn to_datafusion(expr: &Expr, context: &CompileContext) -> Result<datafusion_expr::Expr, CompileError> {
    match &expr.kind {
        ExprKind::Column(name) => Ok(column(name)),
        ExprKind::Literal(value) => literal(value, &expr.sql_type),
        ExprKind::Logical { op: LogicalOp::And, left, right } if never_null(left) && never_null(right) => {
            Ok(to_datafusion(left, context)?.and(to_datafusion(right, context)?))
        }
        ExprKind::Compare { op, left, right } if is_native(left, right) => {
            let operator = match op {
                CompareOp::Equal => Operator::Eq,
                CompareOp::NotEqual => Operator::NotEq,
                CompareOp::Less => Operator::Lt,
                CompareOp::LessOrEqual => Operator::LtEq,
                CompareOp::Greater => Operator::Gt,
                CompareOp::GreaterOrEqual => Operator::GtEq,
            };
            let left = Box::new(to_datafusion(left, context)?);
            let right = Box::new(to_datafusion(right, context)?);
            Ok(datafusion_expr::Expr::BinaryExpr(BinaryExpr::new(left, operator, right)).is_true())
        }
        _ => {
            let names = column_types(expr);
            let arguments = names.iter().map(|(name, _)| column(name)).collect();
            let udf = ScalarUDF::new_from_impl(ProgramUdf::new(program(expr, names, context)?));
            Ok(udf.call(arguments))
        }
    }
}

fn column(name: &str) -> datafusion_expr::Expr {
    datafusion_expr::Expr::Column(Column::new_unqualified(name))
}

fn literal(value: &SqlValue, sql_type: &SqlType) -> Result<datafusion_expr::Expr, CompileError> {
    let array = to_array(sql_type, std::iter::once(value));
    ScalarValue::try_from_array(&array, 0)
        .map(|scalar| datafusion_expr::Expr::Literal(scalar, None))
        .map_err(|e| CompileError::Malformed { message: e.to_string() })
}

/// Comparisons that Arrow orders as SQL does.
fn is_native(left: &Expr, right: &Expr) -> bool {
    let simple = |e: &Expr| matches!(e.kind, ExprKind::Column(_) | ExprKind::Literal(_));
    let same_order = matches!(
        left.sql_type,
        SqlType::Integer
            | SqlType::Bigint
            | SqlType::String
            | SqlType::Boolean
            | SqlType::Date
            | SqlType::Time
            | SqlType::Timestamp
            | SqlType::Decimal { .. }
    );
    simple(left) && simple(right) && same_order && left.sql_type == right.sql_type
}

fn never_null(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Compare { .. }
        | ExprKind::IsDistinctFrom { .. }
        | ExprKind::IsNull { .. }
        | ExprKind::Between { .. }
        | ExprKind::In { .. } => true,
        ExprKind::Logical { left, right, .. } => never_null(left) && never_null(right),
        ExprKind::Not(e) => never_null(e),
        _ => false,
    }
}

/// The columns an expression reads, sorted by name.
fn column_types(expr: &Expr) -> Vec<(String, SqlType)> {
    let mut names: Vec<(String, SqlType)> = Vec::new();
    expr.visit(&mut |e| {
        if let ExprKind::Column(name) = &e.kind
            && !names.iter().any(|(n, _)| n == name)
        {
            names.push((name.clone(), e.sql_type.clone()));
        }
    });
    names.sort();
    names
}

fn program(
    expr: &Expr,
    names: Vec<(String, SqlType)>,
    context: &CompileContext,
) -> Result<Program, CompileError> {
    let inputs = names.iter().map(|(_, sql_type)| sql_type.to_arrow()).collect();
    let scope = Scope { names: names.into_iter().map(|(n, t)| (Name::Column(n), t)).collect() };
    Ok(Program {
        text: describe(expr),
        node: lower(expr, &scope)?,
        inputs,
        result: expr.sql_type.clone(),
        volatile: is_volatile(expr),
        context: context.clone(),
    })
}

/// True if two evaluations over the same rows may differ.
fn is_volatile(expr: &Expr) -> bool {
    let mut found = false;
    expr.visit(&mut |e| {
        if let ExprKind::Call { function, arguments } = &e.kind {
            found |= arguments.is_empty() && function != "PI";
        }
    });
    found
}

/// Why a constant expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConstantError {
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// What a row would have been reported with.
    #[error("{message}")]
    Evaluation { message: String },
}

/// The value of an expression without columns: INSERT VALUES, keys of pull queries.
pub fn evaluate_constant(expr: &Expr, context: &CompileContext) -> Result<SqlValue, ConstantError> {
    let reports = Arc::new(FirstError::default());
    let context =
        CompileContext { reporter: Arc::clone(&reports) as Arc<dyn ErrorReporter>, ..context.clone() };
    let compiled = program(expr, Vec::new(), &context)?;
    let budget = BatchBudget::for_rows(1);
    let value: Result<Value, ArrowError> = compiled.evaluate(Vec::new(), 1, &budget, Overflow::FailBatch);
    let array: ArrayRef =
        value.map(|value| value.array).map_err(|e| ConstantError::Evaluation { message: e.to_string() })?;
    budget.report();
    debug_assert_eq!(array.len(), 1);
    let message = reports.message.lock().map(|mut m| m.take()).unwrap_or_default();
    match message {
        Some(message) => Err(ConstantError::Evaluation { message }),
        None => Ok(from_array(&array, 0, &expr.sql_type)),
    }
}

#[derive(Debug, Default)]
struct FirstError {
    message: Mutex<Option<String>>,
}

impl ErrorReporter for FirstError {
    fn report(&self, _row: usize, message: &str) {
        if let Ok(mut first) = self.message.lock() {
            first.get_or_insert_with(|| message.to_owned());
        }
    }
}
