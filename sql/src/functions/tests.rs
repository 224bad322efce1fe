//! Every function and operator by example: the text of an expression, and the text of its value.

mod aggregates;
mod collections;
mod datetime;
mod memory;
mod operators;
mod properties;
mod pull;
mod text;

use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use crate::analyzer::clause::Clause;
use crate::analyzer::typing::{Resolver, Typer};
use crate::ast::ident::Ident;
use crate::catalog::{MemoryTopics, NoSchemas};
use crate::context::Context;
use crate::error::SqlError;
use crate::expr::compile::batch_budget::BatchBudget;
use crate::expr::compile::{CompileContext, ErrorReporter, compile};
use crate::expr::ir::Expr;
use crate::functions::registry::FunctionRegistry;
use crate::metastore::Metastore;
use crate::parser::parse_expression;
use crate::session::Session;
use crate::types::SqlType;
use crate::value::SqlValue;
use crate::value::convert::{from_array, to_array};
use crate::value::text::format_value;

/// Collects what was reported.
#[derive(Debug, Default)]
pub(super) struct Reports(Mutex<Vec<(usize, String)>>);

impl ErrorReporter for Reports {
    fn report(&self, row: usize, message: &str) {
        self.0.lock().expect("not poisoned").push((row, message.to_owned()));
    }
}

impl Reports {
    pub(super) fn take(&self) -> Vec<(usize, String)> {
        std::mem::take(&mut self.0.lock().expect("not poisoned"))
    }
}

/// A clock at 2023-11-14T22:13:20Z, and "random" numbers that never change.
pub(super) fn context(reports: &Arc<Reports>) -> CompileContext {
    CompileContext {
        reporter: Arc::clone(reports) as Arc<dyn ErrorReporter>,
        now_ms: Arc::new(|| 1_700_000_000_000),
        random: Arc::new(|| 0x8000_0000_0000_0000),
    }
}

/// Columns by name.
struct Columns<'a>(&'a [(&'a str, SqlType)]);

impl Resolver for Columns<'_> {
    fn column(&self, _qualifier: Option<&Ident>, name: &Ident) -> crate::error::Result<Expr> {
        let found = self.0.iter().find(|(known, _)| *known == name.name);
        let (name, sql_type) =
            found.ok_or_else(|| SqlError::analysis(format!("no column {}", name.name), name.span()))?;
        Ok(Expr::column(*name, sql_type.clone()))
    }
}

/// Types an expression over these columns.
pub(super) fn typed(text: &str, columns: &[(&str, SqlType)]) -> Result<Expr, String> {
    let (metastore, session, topics) = (Metastore::new(), Session::default(), MemoryTopics::default());
    let context = Context {
        metastore: &metastore,
        session: &session,
        topics: &topics,
        schemas: &NoSchemas,
        functions: FunctionRegistry::standard(),
    };
    let parsed = parse_expression(text).map_err(|e| e.to_string())?;
    Typer::new(context, &Columns(columns), Clause::Select).value(&parsed).map_err(|e| e.to_string())
}

/// A batch with these columns. Shape: `rows[i]` has a value per column.
pub(super) fn batch(columns: &[(&str, SqlType)], rows: &[Vec<SqlValue>]) -> RecordBatch {
    let fields: Vec<Field> = columns.iter().map(|(name, t)| Field::new(*name, t.to_arrow(), true)).collect();
    let arrays: Vec<ArrayRef> =
        columns.iter().enumerate().map(|(i, (_, t))| to_array(t, rows.iter().map(|r| &r[i]))).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options).expect("columns fit")
}

/// Evaluates an expression over a batch: the values, and what was reported.
pub(super) fn evaluate(expr: &Expr, batch: &RecordBatch) -> (Vec<SqlValue>, Vec<(usize, String)>) {
    let reports = Arc::new(Reports::default());
    let compiled = compile(expr, &batch.schema(), &context(&reports)).expect("typed expressions compile");
    let budget = BatchBudget::for_rows(batch.num_rows());
    let array = compiled.evaluate(batch, &budget).expect("bad rows are no errors");
    budget.report();
    assert_eq!(array.len(), batch.num_rows());
    assert_eq!(array.data_type(), &expr.sql_type.to_arrow());
    let values = (0..array.len()).map(|i| from_array(&array, i, &expr.sql_type)).collect();
    (values, reports.take())
}

/// The text of a constant expression's value, or `ERROR` if its row was reported.
pub(super) fn value_of(text: &str) -> String {
    let expr = typed(text, &[]).unwrap_or_else(|e| panic!("{text}: {e}"));
    let (values, reports) = evaluate(&expr, &batch(&[], &[vec![]]));
    match (&values[0], reports.first()) {
        (SqlValue::Null, Some(_)) => "ERROR".to_owned(),
        (value, _) => format_value(value, &expr.sql_type).expect("in range"),
    }
}

#[track_caller]
pub(super) fn check(text: &str, expected: &str) {
    assert_eq!(value_of(text), expected, "{text}");
}

/// The message of an expression that is refused.
#[track_caller]
pub(super) fn refused(text: &str, part: &str) {
    let message = typed(text, &[]).expect_err(text);
    assert!(message.contains(part), "{text}: {message}");
}
