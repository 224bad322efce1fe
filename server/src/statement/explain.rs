//! EXPLAIN of a running query or of a statement.

use serde_json::{Value, json};
use weir_sql::ast::statement::ExplainTarget;
use weir_sql::plan::explain::{explain as explain_plan, explain_pull};
use weir_sql::plan::physical::QueryPlan;
use weir_sql::plan::statement::PreparedStatement;

use crate::error::ApiError;
use crate::node::Node;
use crate::statement::describe::{query_description, topology};
use crate::statement::entity::{entity, fields, window_type};
use crate::statement::execute::{RequestScope, sql_error};

pub async fn explain(
    node: &Node,
    target: &ExplainTarget,
    scope: &RequestScope,
    text: &str,
) -> Result<Value, ApiError> {
    match target {
        ExplainTarget::Query(id) => {
            let metastore = node.metastore();
            let query = metastore.query(&id.name).ok_or_else(|| {
                ApiError::statement(
                    format!(
                        "Query with id:{} does not exist, use SHOW QUERIES to view the full set of queries.",
                        id.name
                    ),
                    text,
                )
            })?;
            Ok(entity("queryDescription", text, json!({"queryDescription": query_description(node, query)})))
        }
        ExplainTarget::Statement { statement, .. } => {
            let sandbox = node.sandbox(&scope.session).await?;
            let prepared = sandbox.prepare(statement, text, 0).map_err(|e| sql_error(&e, text, text))?;
            let description = match &prepared {
                PreparedStatement::Command(command) => match &command.query {
                    Some(query) => plan_description(node, &query.plan, text),
                    None => {
                        return Err(ApiError::statement(
                            "The provided statement does not run a ksql query",
                            text,
                        ));
                    }
                },
                PreparedStatement::Push(push) => plan_description(node, &push.plan, text),
                PreparedStatement::Pull(pull) => json!({
                    "id": "", "statementText": text, "fields": [], "sources": pull.sources, "sinks": [],
                    "topology": "", "executionPlan": explain_pull(pull), "queryType": "PULL",
                    "queryErrors": [], "state": null,
                }),
                _ => {
                    return Err(ApiError::statement(
                        "The provided statement does not run a ksql query",
                        text,
                    ));
                }
            };
            Ok(entity("queryDescription", text, json!({"queryDescription": description})))
        }
    }
}

fn plan_description(node: &Node, plan: &QueryPlan, text: &str) -> Value {
    json!({
        "id": plan.query_id,
        "statementText": text,
        "windowType": window_type(plan.root.window()),
        "fields": fields(plan.root.schema()),
        "sources": plan.sources,
        "sinks": plan.sink.iter().collect::<Vec<_>>(),
        "topology": topology(node, plan),
        "executionPlan": explain_plan(plan),
        "overriddenProperties": {},
        "queryErrors": [],
        "state": null,
    })
}
