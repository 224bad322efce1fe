//! How a node is: `/healthcheck`, `/readyz` and `/info`.
//!
//! Healthy (200) is a node whose broker writes and whose command topic could be read; a query that
//! failed, or cannot go on now, is named in the details and costs itself only. Ready is a healthy
//! broker with no query that still starts or restores.

use serde_json::{Map, Value, json};
use weir_engine::query::status::{QueryState, QueryStatus};

use crate::http::api::Answer;
use crate::node::Node;
use crate::node::conditions::list;

/// Queries named in the details; further ones are counted.
const QUERIES_NAMED_MAX: usize = 20;

impl Node {
    pub(crate) fn check_health(&self) -> Answer {
        let broker = self.check_broker();
        let running = self.shared.broker.read().is_some();
        let engine = self.engine().health().check();
        let healthy = broker.is_ok() && engine.is_ok() && self.degradation().is_none();
        let body = json!({
            "isHealthy": healthy,
            "details": {
                "metastore": {"isHealthy": self.degradation().is_none_or(|d| d.held_back == 0 && d.offset.is_some())},
                "kafka": part(&broker),
                "commandRunner": self.command_runner(),
                "engine": part(&engine),
                "queries": self.queries_health(),
            },
            "serverState": if running { "READY" } else { "TERMINATING" },
        });
        Answer { status: if healthy { 200 } else { 503 }, body }
    }

    /// Source: the states of ksqlDB's command runner.
    pub(crate) fn server_status(&self) -> &'static str {
        if self.degradation().is_some() { "DEGRADED" } else { "RUNNING" }
    }

    pub(crate) fn check_ready(&self) -> bool {
        let restores = |q: &QueryStatus| matches!(q.state, QueryState::Restoring | QueryState::Starting);
        let restoring = self.engine().queries().iter().any(restores);
        self.check_broker().is_ok() && !restoring && self.starting_queries().is_empty()
    }

    /// The broker's cluster id, as Kafka clients see it.
    pub(crate) fn cluster_id(&self) -> String {
        let broker = self.shared.broker.read();
        broker.as_ref().map(|broker| broker.cluster_id()).unwrap_or_default()
    }

    fn command_runner(&self) -> Value {
        match self.degradation() {
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
    fn queries_health(&self) -> Value {
        let ended = self.engine().queries().into_iter().filter(|q| q.state == QueryState::Error);
        let ended = ended.map(|mut q| {
            let cause = q.errors.pop().map_or_else(|| "unknown cause".to_owned(), |e| e.message);
            (q.query_id, cause)
        });
        let unstarted = self.start_failures().into_iter().map(|(id, (_, reason))| (id, reason));
        let failed: Vec<(String, String)> = ended.chain(unstarted).collect();
        let conditions = self.conditions();
        if failed.is_empty() && conditions.is_empty() {
            return json!({"isHealthy": true});
        }
        let failures = failed.iter().map(|(id, cause)| format!("query {id} failed: {cause}"));
        let held_up = conditions.iter().filter(|(id, _)| failed.iter().all(|(failed, _)| failed != *id));
        let held_up = held_up.flat_map(|(id, all)| all.iter().map(move |one| format!("query {id}: {one}")));
        let named: Vec<String> = failures.chain(held_up).take(QUERIES_NAMED_MAX).collect();
        let causes: Map<String, Value> =
            failed.iter().take(QUERIES_NAMED_MAX).map(|(id, cause)| (id.clone(), json!(cause))).collect();
        let listed: Map<String, Value> =
            conditions.iter().take(QUERIES_NAMED_MAX).map(|(id, all)| (id.clone(), list(all))).collect();
        json!({
            "isHealthy": false, "reason": named.join("; "), "failed": failed.len(), "causes": causes,
            "conditions": listed,
        })
    }

    fn check_broker(&self) -> Result<(), String> {
        match self.shared.broker.read().as_ref() {
            Some(broker) => broker.check_health().map_err(|e| e.to_string()),
            None => Err("the broker is shut down".to_owned()),
        }
    }
}

fn part(checked: &Result<(), String>) -> Value {
    match checked {
        Ok(()) => json!({"isHealthy": true}),
        Err(reason) => json!({"isHealthy": false, "reason": reason}),
    }
}
