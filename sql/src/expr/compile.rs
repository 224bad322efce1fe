//! Compiles typed expressions to DataFusion expressions.
//!
//! A failing row costs a row: what could not be computed is NULL and goes to the [`ErrorReporter`]; no error leaves a
//! compiled expression for bad data.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion_physical_expr::PhysicalExpr;

use crate::expr::ir::Expr;

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
