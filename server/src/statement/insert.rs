//! INSERT INTO … VALUES and `/inserts-stream`: rows to records of a topic.

mod records;

use std::sync::Arc;

use arrow::array::Array;
use serde_json::{Map, Value};
use weir_engine::serde::insert::columns_of;
use weir_engine::serde::json_value::from_json;
use weir_sql::expr::compile::{CompileContext, IgnoreErrors};
use weir_sql::metastore::source::Source;
use weir_sql::plan::statement::{InsertRow, InsertedRow};
use weir_sql::schema::Column;
use weir_sql::value::SqlValue;

use crate::auth::caller::{Audited, Caller};
use crate::context::{Context, random};
use crate::error::{ApiError, ErrorCode};
use crate::statement::insert::records::{RowFailure, Rows, write};
use crate::statement::rights;

/// The endpoint, as refusals and the audit name it.
const INSERTS_STREAM: &str = "/inserts-stream";

/// Evaluates the constants of INSERT statements into one source and writes the rows; they are durable when this returns.
///
/// Errors: the first row that failed. Rows before it are written. Rows after it are not, unless they belong to other partitions
/// and it was the broker that refused it.
pub async fn insert(context: &Context, rows: &[InsertRow]) -> Result<(), ApiError> {
    let Some(first) = rows.first() else { return Ok(()) };
    let metastore = context.metastore();
    let source = metastore.source(&first.source).ok_or_else(|| unknown_source(&first.source))?;
    let compile = compile_context(context);
    let nulls = |columns: &[Column]| vec![SqlValue::Null; columns.len()];
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    let (mut timestamps, mut outcomes) = (Vec::new(), Vec::new());
    for row in rows {
        let (row, outcome) = match row.evaluate(&compile) {
            Ok(row) => (row, Ok(())),
            Err(error) => {
                let (key, value) = (nulls(&source.schema.key), nulls(&source.schema.value));
                let error = ApiError::bad_request(error.message);
                (InsertedRow { key, value, timestamp: None }, Err(error))
            }
        };
        keys.push(row.key);
        values.push(row.value);
        timestamps.push(row.timestamp);
        outcomes.push(outcome);
    }
    let key = columns_of(&source.schema.key, &keys);
    let value = columns_of(&source.schema.value, &values);
    let rows = Rows { source, key, value, timestamps, outcomes };
    write(context, rows, RowFailure::EndsTheRest).await.into_iter().collect()
}

/// Rows of `/inserts-stream`, each an object by column name. They are written together, in order; each has its own outcome.
pub async fn insert_objects(
    context: &Context,
    caller: &Caller,
    target: &str,
    rows: Vec<Map<String, Value>>,
) -> Vec<Result<(), ApiError>> {
    let metastore = context.metastore();
    let found = metastore.source(target).ok_or_else(|| unknown_source(target));
    let permitted = found.and_then(|source| {
        caller.require_still(INSERTS_STREAM, &[rights::insertion(source)]).map(|()| source)
    });
    let source = match permitted {
        Ok(source) => source,
        Err(error) => return rows.iter().map(|_| Err(error.clone())).collect(),
    };
    write(context, object_rows(source, rows), RowFailure::CostsTheRow).await
}

fn unknown_source(name: &str) -> ApiError {
    ApiError::bad_request(format!("Source `{name}` does not exist"))
}

/// Errors: the source cannot be inserted into, or not by this client.
pub fn check_target(context: &Context, caller: &Caller, name: &str) -> Result<String, ApiError> {
    let unquoted = unquoted(name);
    let metastore = context.metastore();
    let Some(source) = metastore.source(&unquoted) else {
        return Err(ApiError::new(
            ErrorCode::BadStatement,
            format!("Cannot insert values into an unknown stream/table: `{unquoted}`"),
        ));
    };
    caller.require(INSERTS_STREAM, &[rights::insertion(source)], Audited::All)?;
    if source.read_only {
        let kind = if source.is_stream() { "stream" } else { "table" };
        return Err(ApiError::bad_request(format!("Cannot insert into read-only {kind}: {unquoted}")));
    }
    if context.topic_policy().is_read_only(&source.topic) {
        return Err(ApiError::bad_request(format!(
            "Cannot insert values into read-only topic: {}",
            source.topic
        )));
    }
    if source.window.is_some() || !source.schema.headers.is_empty() {
        return Err(ApiError::bad_request(format!(
            "Cannot insert into `{unquoted}`: it is windowed or has header columns"
        )));
    }
    Ok(unquoted)
}

/// Objects as columns. An object that does not fit the source is refused by its outcome.
fn object_rows(source: &Source, objects: Vec<Map<String, Value>>) -> Rows<'_> {
    let (mut keys, mut values) = (Vec::with_capacity(objects.len()), Vec::with_capacity(objects.len()));
    let mut outcomes = Vec::with_capacity(objects.len());
    for object in objects {
        let (cells, outcome) = match named_cells(source, object) {
            Ok(cells) => (cells, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        let mut cells = cells;
        keys.push(take_cells(&source.schema.key, &mut cells));
        values.push(take_cells(&source.schema.value, &mut cells));
        outcomes.push(outcome);
    }
    let mut decode = |columns: &[Column], rows: &[Vec<Value>]| {
        let (arrays, errors) = from_json(columns, rows);
        for error in errors {
            refuse(&mut outcomes[error.row], || format!("Can't coerce a field: {error}"));
        }
        arrays
    };
    let key = decode(&source.schema.key, &keys);
    let value = decode(&source.schema.value, &values);
    for (array, column) in key.iter().zip(&source.schema.key) {
        for (row, outcome) in outcomes.iter_mut().enumerate().filter(|(row, _)| array.is_null(*row)) {
            debug_assert!(row < array.len(), "one entry per row");
            refuse(outcome, || format!("Key field must be specified: {}", column.name));
        }
    }
    let timestamps = vec![None; outcomes.len()];
    Rows { source, key, value, timestamps, outcomes }
}

/// The first reason counts.
fn refuse(outcome: &mut Result<(), ApiError>, message: impl FnOnce() -> String) {
    if outcome.is_ok() {
        *outcome = Err(ApiError::bad_request(message()));
    }
}

/// Errors: a name that is no column.
fn named_cells(source: &Source, object: Map<String, Value>) -> Result<Vec<(String, Value)>, ApiError> {
    let cells: Vec<(String, Value)> =
        object.into_iter().map(|(name, value)| (unquoted(&name), value)).collect();
    match cells.iter().find(|(name, _)| source.schema.find(name).is_none()) {
        Some((unknown, _)) => Err(ApiError::bad_request(format!("Column name `{unknown}` does not exist."))),
        None => Ok(cells),
    }
}

/// The cells of some columns; null where there is none.
fn take_cells(columns: &[Column], cells: &mut Vec<(String, Value)>) -> Vec<Value> {
    let mut take = |column: &Column| {
        let at = cells.iter().position(|(name, _)| *name == column.name);
        at.map_or(Value::Null, |at| cells.swap_remove(at).1)
    };
    columns.iter().map(&mut take).collect()
}

/// A name as SQL reads it: in back-quotes it stays, else it is upper case.
fn unquoted(name: &str) -> String {
    match name.strip_prefix('`').and_then(|n| n.strip_suffix('`')) {
        Some(inner) => inner.replace("``", "`"),
        None => name.to_ascii_uppercase(),
    }
}

fn compile_context(context: &Context) -> CompileContext {
    let now_ms = context.now_ms();
    CompileContext { reporter: Arc::new(IgnoreErrors), now_ms: Arc::new(move || now_ms), random: random() }
}
