//! INSERT INTO … VALUES and `/inserts-stream`: rows to records of a topic.

use std::sync::Arc;

use arrow::array::ArrayRef;
use serde_json::{Map, Value};
use weir_broker::auth::acl::Operation;
use weir_broker::client::producer::partitioner::partition_for_key;
use weir_broker::ids::TopicPartition;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};
use weir_engine::serde::encoded::EncodedRows;
use weir_engine::serde::json_value::from_json;
use weir_engine::serde::{key_encoder, value_encoder};
use weir_sql::expr::compile::{CompileContext, IgnoreErrors, evaluate_constant};
use weir_sql::expr::ir::Expr;
use weir_sql::metastore::source::Source;
use weir_sql::plan::statement::InsertRow;
use weir_sql::value::SqlValue;
use weir_sql::value::convert::to_array;

use crate::auth::caller::{Audited, Caller, Right};
use crate::error::ApiError;
use crate::node::Node;

/// A row with its parts as single-row columns.
struct Row {
    key: Vec<ArrayRef>,
    value: Vec<ArrayRef>,
    timestamp: Option<i64>,
}

/// Evaluates the constants and writes the record; it is durable when this returns.
pub async fn insert(node: &Node, row: &InsertRow) -> Result<(), ApiError> {
    let metastore = node.metastore();
    let source = metastore
        .source(&row.source)
        .ok_or_else(|| ApiError::bad_request(format!("Source `{}` does not exist", row.source)))?;
    let context = compile_context(node);
    let timestamp = match &row.timestamp {
        None => None,
        Some(expr) => match evaluate(expr, &context)? {
            SqlValue::Bigint(ms) | SqlValue::Timestamp(ms) => Some(ms),
            SqlValue::Integer(ms) => Some(i64::from(ms)),
            _ => None,
        },
    };
    let arrays = |exprs: &[Expr]| -> Result<Vec<ArrayRef>, ApiError> {
        exprs
            .iter()
            .map(|e| evaluate(e, &context).map(|v| to_array(&e.sql_type, std::iter::once(&v))))
            .collect()
    };
    let row = Row { key: arrays(&row.key)?, value: arrays(&row.value)?, timestamp };
    write(node, source, row).await
}

/// Rows of `/inserts-stream`, each an object by column name. They are written in order; each has its own outcome.
pub async fn insert_objects(
    node: &Node,
    target: &str,
    rows: Vec<Map<String, Value>>,
) -> Vec<Result<(), ApiError>> {
    let metastore = node.metastore();
    let mut outcomes = Vec::with_capacity(rows.len());
    for object in rows {
        let outcome = match metastore.source(target) {
            None => Err(ApiError::bad_request(format!("Source `{target}` does not exist"))),
            Some(source) => match object_row(source, object) {
                Ok(row) => write(node, source, row).await,
                Err(error) => Err(error),
            },
        };
        outcomes.push(outcome);
    }
    outcomes
}

/// Errors: the source cannot be inserted into, or not by this client.
pub fn check_target(node: &Node, caller: &Caller, name: &str) -> Result<String, ApiError> {
    let unquoted = match name.strip_prefix('`').and_then(|n| n.strip_suffix('`')) {
        Some(inner) => inner.replace("``", "`"),
        None => name.to_ascii_uppercase(),
    };
    let metastore = node.metastore();
    let Some(source) = metastore.source(&unquoted) else {
        return Err(ApiError::bad_request(format!(
            "Cannot insert values into an unknown stream/table: `{unquoted}`"
        )));
    };
    let right = Right::topic(Operation::Write, source.topic.clone());
    caller.require("/inserts-stream", &[right], Audited::All)?;
    if source.read_only {
        let kind = if source.is_stream() { "stream" } else { "table" };
        return Err(ApiError::bad_request(format!("Cannot insert into read-only {kind}: {unquoted}")));
    }
    if node.topic_policy().is_read_only(&source.topic) {
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

fn object_row(source: &Source, object: Map<String, Value>) -> Result<Row, ApiError> {
    let mut cells: Vec<(String, Value)> = object
        .into_iter()
        .map(|(name, value)| {
            let name = match name.strip_prefix('`').and_then(|n| n.strip_suffix('`')) {
                Some(inner) => inner.to_owned(),
                None => name.to_ascii_uppercase(),
            };
            (name, value)
        })
        .collect();
    if let Some((unknown, _)) = cells.iter().find(|(name, _)| source.schema.find(name).is_none()) {
        return Err(ApiError::bad_request(format!("Column name `{unknown}` does not exist.")));
    }
    let mut side = |columns: &[weir_sql::schema::Column]| -> Result<Vec<ArrayRef>, ApiError> {
        let row: Vec<Value> = columns
            .iter()
            .map(|c| {
                let at = cells.iter().position(|(name, _)| *name == c.name);
                at.map_or(Value::Null, |at| cells.swap_remove(at).1)
            })
            .collect();
        let (arrays, errors) = from_json(columns, &[row]);
        match errors.into_iter().next() {
            None => Ok(arrays),
            Some(error) => Err(ApiError::bad_request(format!("Can't coerce a field: {error}"))),
        }
    };
    let key = side(&source.schema.key)?;
    let value = side(&source.schema.value)?;
    if let Some((array, column)) = key.iter().zip(&source.schema.key).find(|(a, _)| a.is_null(0)) {
        debug_assert_eq!(array.len(), 1);
        return Err(ApiError::bad_request(format!("Key field must be specified: {}", column.name)));
    }
    Ok(Row { key, value, timestamp: None })
}

fn compile_context(node: &Node) -> CompileContext {
    let now_ms = node.now_ms();
    CompileContext {
        reporter: Arc::new(IgnoreErrors),
        now_ms: Arc::new(move || now_ms),
        random: node.random(),
    }
}

fn evaluate(expr: &Expr, context: &CompileContext) -> Result<SqlValue, ApiError> {
    evaluate_constant(expr, context)
        .map_err(|e| ApiError::bad_request(format!("Failed to insert values: {e}")))
}

async fn write(node: &Node, source: &Source, row: Row) -> Result<(), ApiError> {
    let failed =
        |e: String| ApiError::bad_request(format!("Failed to insert values into '{}'. {e}", source.name));
    let key = if source.schema.key.is_empty() {
        None
    } else {
        let mut encoder = key_encoder(&source.key_format, &source.schema.key, source.window)
            .map_err(|e| failed(e.to_string()))?;
        encode_one(encoder.as_mut(), &row.key).map_err(failed)?
    };
    let mut encoder =
        value_encoder(&source.value_format, &source.schema.value).map_err(|e| failed(e.to_string()))?;
    let value = encode_one(encoder.as_mut(), &row.value).map_err(failed)?;
    let partitions = node.partition_count(&source.topic).await?;
    let partition = match &key {
        Some(key) => partition_for_key(key, partitions),
        None => node.next_keyless_partition(partitions),
    };
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    builder.append(row.timestamp.unwrap_or_else(|| node.now_ms()), key.as_deref(), value.as_deref(), &[]);
    let batch = builder.build().map_err(|e| failed(e.to_string()))?;
    node.produce(TopicPartition::new(source.topic.as_str(), partition), batch).await
}

fn encode_one(
    encoder: &mut dyn weir_engine::serde::RowEncoder,
    columns: &[ArrayRef],
) -> Result<Option<Vec<u8>>, String> {
    let mut out = EncodedRows::new();
    let errors = encoder.encode(columns, 1, None, &mut out);
    match errors.into_iter().next() {
        Some(error) => Err(error.to_string()),
        None => Ok(out.get(0).map(<[u8]>::to_vec)),
    }
}
