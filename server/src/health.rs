//! How a node is: `/healthcheck`, `/readyz` and `/info`.
//!
//! Healthy (200) is a node whose broker writes and whose command topic could be read; a query that
//! failed, or cannot go on now, is named in the details and costs itself only. Ready is a healthy
//! broker with no query that still starts or restores.

use serde_json::{Map, Value, json};
use weir_engine::query::status::{QueryState, QueryStatus};

use crate::command::runner::CommandRunner;
use crate::command::scan::Degradation;
use crate::context::Context;
use crate::http::api::Answer;
use crate::queries::conditions;

/// Queries named in the details; further ones are counted.
const QUERIES_NAMED_MAX: usize = 20;

pub(crate) fn check_health(commands: &CommandRunner) -> Answer {
    let context = commands.context();
    let broker = context.broker().check_health();
    let running = context.broker().with(|_| ()).is_some();
    let engine = context.engine().health().check();
    let degradation = commands.degradation();
    let healthy = broker.is_ok() && engine.is_ok() && degradation.is_none();
    let body = json!({
        "isHealthy": healthy,
        "details": {
            "metastore": {"isHealthy": degradation.is_none_or(|d| d.held_back == 0 && d.offset.is_some())},
            "kafka": part(&broker),
            "commandRunner": command_runner(degradation),
            "engine": part(&engine),
            "queries": queries_health(context),
        },
        "serverState": if running { "READY" } else { "TERMINATING" },
    });
    Answer { status: if healthy { 200 } else { 503 }, body }
}

/// Source: the states of ksqlDB's command runner.
pub(crate) fn server_status(commands: &CommandRunner) -> &'static str {
    if commands.degradation().is_some() { "DEGRADED" } else { "RUNNING" }
}

pub(crate) fn is_ready(context: &Context) -> bool {
    let restores = |q: &QueryStatus| matches!(q.state, QueryState::Restoring | QueryState::Starting);
    let restoring = context.engine().queries().iter().any(restores);
    context.broker().check_health().is_ok() && !restoring && context.starts().starting_ids().is_empty()
}

fn command_runner(degradation: Option<&Degradation>) -> Value {
    match degradation {
        None => json!({"isHealthy": true}),
        Some(degradation) => json!({
            "isHealthy": false,
            "reason": degradation.to_string(),
            "offset": degradation.offset,
            "commandsHeldBack": degradation.held_back,
        }),
    }
}

/// The queries that should run and do not, each with its cause, and those that something keeps
/// from their work.
fn queries_health(context: &Context) -> Value {
    let ended = context.engine().queries().into_iter().filter(|q| q.state == QueryState::Error);
    let ended = ended.map(|mut q| {
        let cause = q.errors.pop().map_or_else(|| "unknown cause".to_owned(), |e| e.message);
        (q.query_id, cause)
    });
    let unstarted = context.starts().failures().into_iter().map(|(id, failure)| (id, failure.reason));
    let failed: Vec<(String, String)> = ended.chain(unstarted).collect();
    let conditions = conditions::all(context);
    if failed.is_empty() && conditions.is_empty() {
        return json!({"isHealthy": true});
    }
    let failures = failed.iter().map(|(id, cause)| format!("query {id} failed: {cause}"));
    let held_up = conditions.iter().filter(|(id, _)| failed.iter().all(|(failed, _)| failed != *id));
    let held_up = held_up.flat_map(|(id, all)| all.iter().map(move |one| format!("query {id}: {one}")));
    let named: Vec<String> = failures.chain(held_up).take(QUERIES_NAMED_MAX).collect();
    let causes: Map<String, Value> =
        failed.iter().take(QUERIES_NAMED_MAX).map(|(id, cause)| (id.clone(), json!(cause))).collect();
    let listed: Map<String, Value> = conditions
        .iter()
        .take(QUERIES_NAMED_MAX)
        .map(|(id, all)| (id.clone(), conditions::list(all)))
        .collect();
    json!({
        "isHealthy": false, "reason": named.join("; "), "failed": failed.len(), "causes": causes,
        "conditions": listed,
    })
}

fn part(checked: &Result<(), String>) -> Value {
    match checked {
        Ok(()) => json!({"isHealthy": true}),
        Err(reason) => json!({"isHealthy": false, "reason": reason}),
    }
}
