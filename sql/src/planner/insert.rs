//! INSERT INTO … VALUES.

use crate::analyzer::clause::Clause;
use crate::analyzer::coercion::as_decimal;
use crate::analyzer::rewrite::refuse_deep;
use crate::analyzer::typing::{Resolver, Typer, cast_to, null_of};
use crate::ast;
use crate::ast::ident::Ident;
use crate::ast::statement::InsertValues;
use crate::context::Context;
use crate::error::{ErrorKind, Result, SqlError};
use crate::expr::ir::{Argument, Expr, ExprKind};
use crate::metastore::source::{Source, kind_noun};
use crate::plan::statement::InsertRow;
use crate::planner::target::unknown_source;
use crate::schema::{Column, ROWOFFSET, ROWPARTITION, ROWTIME};
use crate::types::{SqlType, quote_identifier};
use crate::value::SqlValue;

/// Checks an insert and types its constants.
pub(crate) fn insert_values(context: &Context<'_>, insert: &InsertValues) -> Result<InsertRow> {
    let name = &insert.target;
    refuse_deep(insert.values.iter())?;
    let Some(source) = context.metastore.source(&name.name) else {
        let message =
            format!("Cannot insert values into an unknown stream/table: {}", quote_identifier(&name.name));
        return Err(unknown_source(context, message, &name.name, name.span()).of_kind(ErrorKind::Missing));
    };
    refuse_target(context, source, name)?;
    let columns = columns(source, insert)?;
    if columns.len() != insert.values.len() {
        return Err(SqlError::analysis(
            format!(
                "Expected number columns and values to match: {}, {}",
                columns.len(),
                insert.values.len()
            ),
            name.span(),
        ));
    }
    let mut timestamp = None;
    let mut given: Vec<(&str, Expr)> = Vec::with_capacity(columns.len());
    for (column, value) in columns.iter().zip(&insert.values) {
        let typed = typed_constant(context, value, &column.name, &column.sql_type)?;
        if column.name == ROWTIME && source.schema.find(ROWTIME).is_none() {
            timestamp = Some(typed);
        } else {
            given.push((&column.name, typed));
        }
    }
    if source.is_table() {
        let missing: Vec<&str> = source
            .schema
            .key
            .iter()
            .map(|c| c.name.as_str())
            .filter(|key| given.iter().all(|(name, _)| name != key))
            .collect();
        if !missing.is_empty() {
            return Err(SqlError::analysis(
                format!(
                    "Failed to insert values into '{}'. Value for primary key column(s) {} is required for tables",
                    source.name,
                    missing.join(", ")
                ),
                name.span(),
            ));
        }
    }
    let pick = |columns: &[Column]| {
        columns
            .iter()
            .map(|c| match given.iter().find(|(name, _)| *name == c.name) {
                Some((_, value)) => value.clone(),
                None => null_of(c.sql_type.clone()),
            })
            .collect()
    };
    Ok(InsertRow {
        source: source.name.clone(),
        key: pick(&source.schema.key),
        value: pick(&source.schema.value),
        timestamp,
    })
}

fn refuse_target(context: &Context<'_>, source: &Source, name: &Ident) -> Result<()> {
    let message = if !context.session.insert_values_enabled {
        "The server has disabled INSERT INTO ... VALUES functionality. To enable it, restart the server with \
         'ksql.insert.into.values.enabled'=true"
            .to_owned()
    } else if source.read_only {
        format!("Cannot insert values into read-only {}: {}", kind_noun(source.kind), source.name)
    } else if source.window.is_some() {
        "Cannot insert values into windowed stream/table".to_owned()
    } else if context.topics.is_read_only(&source.topic) {
        format!("Cannot insert values into read-only topic: {}", source.topic)
    } else {
        return Ok(());
    };
    Err(SqlError::analysis(message, name.span()))
}

/// The columns that values are given for.
fn columns(source: &Source, insert: &InsertValues) -> Result<Vec<Column>> {
    let headers: Vec<&str> = source.schema.headers.iter().map(|h| h.column.name.as_str()).collect();
    let refuse_headers = |names: &[&str]| {
        Err(SqlError::analysis(
            format!("Cannot insert into HEADER columns: {}", names.join(", ")),
            insert.target.span(),
        ))
    };
    if insert.columns.is_empty() {
        if !headers.is_empty() {
            return refuse_headers(&headers);
        }
        return Ok(source.schema.key.iter().chain(&source.schema.value).cloned().collect());
    }
    let mut out: Vec<Column> = Vec::with_capacity(insert.columns.len());
    for name in &insert.columns {
        if headers.contains(&name.name.as_str()) {
            return refuse_headers(&[&name.name]);
        }
        let column = match source.schema.find(&name.name) {
            Some(column) => column.clone(),
            None if name.name == ROWTIME => Column::new(ROWTIME, SqlType::Bigint),
            None if [ROWPARTITION, ROWOFFSET].contains(&name.name.as_str()) => {
                return Err(SqlError::analysis(
                    format!("Inserting into column {} is not allowed.", quote_identifier(&name.name)),
                    name.span(),
                ));
            }
            None => {
                return Err(SqlError::analysis(
                    format!("Column name {} does not exist.", quote_identifier(&name.name)),
                    name.span(),
                ));
            }
        };
        if out.iter().any(|known| known.name == column.name) {
            return Err(SqlError::analysis(
                format!("Column {} is listed twice.", quote_identifier(&name.name)),
                name.span(),
            ));
        }
        out.push(column);
    }
    Ok(out)
}

fn typed_constant(
    context: &Context<'_>,
    value: &ast::expr::Expr,
    column: &str,
    wanted: &SqlType,
) -> Result<Expr> {
    let typer = Typer::new(*context, &NoColumns, Clause::Values);
    let Some(typed) = typer.infer(value)? else { return Ok(null_of(wanted.clone())) };
    if !insertable(&typed.sql_type, wanted) {
        return Err(SqlError::analysis(
            format!(
                "Expected type {wanted} for field {} but got {}({})",
                quote_identifier(column),
                typed.sql_type,
                typer.show(value)
            ),
            value.span(),
        ));
    }
    Ok(text_null_keys(cast_to(typed, wanted)))
}

/// The expression with NULL keys of maps of texts written as the text null: ksqlDB hands them to its JSON writer, which
/// does that.
fn text_null_keys(expr: Expr) -> Expr {
    let all = |items: Vec<Expr>| items.into_iter().map(text_null_keys).collect();
    let kind = match expr.kind {
        ExprKind::Map(entries) => {
            let entries = entries.into_iter().map(|(key, value)| (text_key(key), text_null_keys(value)));
            ExprKind::Map(entries.collect())
        }
        ExprKind::Array(items) => ExprKind::Array(all(items)),
        ExprKind::Struct(items) => ExprKind::Struct(all(items)),
        ExprKind::Cast(inner) => ExprKind::Cast(Box::new(text_null_keys(*inner))),
        other => other,
    };
    Expr::new(kind, expr.sql_type)
}

fn text_key(key: Expr) -> Expr {
    let is_text = matches!(&key.kind, ExprKind::Literal(value) if !value.is_null());
    if is_text || key.sql_type != SqlType::String {
        return key;
    }
    let null = Expr::literal(SqlValue::String("null".to_owned()), SqlType::String);
    let arguments = vec![Argument::Value(key), Argument::Value(null)];
    Expr::new(ExprKind::Call { function: "COALESCE".to_owned(), arguments }, SqlType::String)
}

/// True if a constant of `from` may be given for a column of `to`; whether a number fits a DECIMAL shows when it is computed.
fn insertable(from: &SqlType, to: &SqlType) -> bool {
    match (from, to) {
        (_, SqlType::Decimal { scale, .. }) => as_decimal(from).is_some_and(|(_, s)| s <= *scale),
        (SqlType::Array(a), SqlType::Array(b)) => insertable(a, b),
        (SqlType::Map(k1, v1), SqlType::Map(k2, v2)) => insertable(k1, k2) && insertable(v1, v2),
        (SqlType::Struct(a), SqlType::Struct(b)) => {
            a.iter().all(|f| b.iter().any(|t| t.name == f.name && insertable(&f.sql_type, &t.sql_type)))
        }
        _ => crate::analyzer::coercion::widens_to(from, to),
    }
}

/// Constants have no columns.
struct NoColumns;

impl Resolver for NoColumns {
    fn column(&self, qualifier: Option<&Ident>, name: &Ident) -> Result<Expr> {
        if let Some(qualifier) = qualifier {
            let message = format!("'{}' is not a valid stream/table name or alias.", qualifier.name);
            return Err(SqlError::analysis(message, qualifier.span()));
        }
        Err(SqlError::analysis(
            format!("Column references are not supported in VALUES: {}", name.name),
            name.span(),
        ))
    }
}
