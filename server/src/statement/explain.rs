//! EXPLAIN of a running query or of a statement.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weir_sql::ast::statement::ExplainTarget;
use weir_sql::plan::statement::PreparedStatement;

use crate::context::Context;
use crate::error::ApiError;
use crate::statement::entity::entity;
use crate::statement::query_description::{
    plan_description, pull_description, push_description, query_description,
};
use crate::statement::sandbox::Sandbox;
use crate::statement::scope::{RequestScope, sql_error};
use crate::statement::script::RequestStatement;

pub async fn explain(
    context: &Context,
    target: &ExplainTarget,
    scope: &RequestScope,
    request: &RequestStatement,
) -> Result<Value, ApiError> {
    let text = &request.parsed.text;
    let description = match target {
        ExplainTarget::Query(id) => running(context, scope, &id.name).ok_or_else(|| {
            let message = format!(
                "Query with id:{} does not exist, use SHOW QUERIES to view the full set of queries.",
                id.name
            );
            ApiError::statement(message, text)
        })?,
        ExplainTarget::Statement { statement, .. } => {
            let sandbox = Sandbox::new(context, &scope.session);
            let prepared =
                sandbox.prepare(statement, text, 0).map_err(|e| sql_error(&e, &request.place, text))?;
            planned(context, &prepared, explained_text(text), scope).ok_or_else(|| {
                ApiError::statement("The provided statement does not run a ksql query", text)
            })?
        }
    };
    Ok(entity("queryDescription", text, json!({"queryDescription": description})))
}

/// Describes the persistent query of an id, in any case, or a push query of the client.
fn running(context: &Context, scope: &RequestScope, id: &str) -> Option<Value> {
    let metastore = context.metastore();
    if let Some(query) = metastore.query(id).or_else(|| metastore.query(&id.to_uppercase())) {
        return Some(query_description(context, query));
    }
    let push = context.pushes().find(&scope.caller, id)?;
    Some(push_description(context, &push.plan, &push.sql, &push.properties))
}

/// None: the statement runs no query.
fn planned(
    context: &Context,
    prepared: &PreparedStatement,
    text: &str,
    scope: &RequestScope,
) -> Option<Value> {
    let properties: BTreeMap<String, String> =
        scope.properties.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    match prepared {
        PreparedStatement::Command(command) => {
            let query = command.query.as_ref()?;
            Some(plan_description(context, &query.plan, text, properties))
        }
        PreparedStatement::Push(push) => Some(plan_description(context, &push.plan, text, properties)),
        PreparedStatement::Pull(pull) => Some(pull_description(context, pull, text, properties)),
        _ => None,
    }
}

/// The statement after EXPLAIN.
fn explained_text(text: &str) -> &str {
    let text = text.trim_start();
    text.get("EXPLAIN".len()..).map_or(text, str::trim_start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_explained_statement_follows_the_verb() {
        assert_eq!(explained_text("explain  SELECT 1;"), "SELECT 1;");
        assert_eq!(
            explained_text("EXPLAIN\nCREATE STREAM s AS SELECT * FROM t;"),
            "CREATE STREAM s AS SELECT * FROM t;"
        );
    }
}
