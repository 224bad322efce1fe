//! The states of queries and what keeps them from their work, as the answers of the API show it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weir_broker::broker::Broker;
use weir_engine::query::condition::QueryCondition;
use weir_engine::query::status::{QueryState, QueryStatus};
use weir_sql::metastore::Metastore;
use weir_sql::metastore::source::QueryEntry;

use crate::context::Context;

/// The conditions of every persistent query that is in any, by id.
pub(crate) fn all(context: &Context) -> BTreeMap<String, Vec<QueryCondition>> {
    let metastore = context.metastore();
    let mut statuses: BTreeMap<String, QueryStatus> =
        context.engine().queries().into_iter().map(|status| (status.query_id.clone(), status)).collect();
    let conditions = |query: &QueryEntry| {
        let id = &query.plan.query_id;
        let status = statuses.remove(id);
        let conditions = of_query(context, query, &metastore, status.as_ref());
        (!conditions.is_empty()).then(|| (id.clone(), conditions))
    };
    metastore.queries().map(|query| &**query).filter_map(conditions).collect()
}

/// The conditions of a persistent query. `status`: as the engine knows it.
pub(crate) fn of_query(
    context: &Context,
    query: &QueryEntry,
    metastore: &Metastore,
    status: Option<&QueryStatus>,
) -> Vec<QueryCondition> {
    let mut conditions = status.map_or_else(Vec::new, |status| status.conditions.clone());
    conditions.extend(context.starts().back_off(&query.plan.query_id));
    let topics = missing_topics(context, query, metastore);
    if !topics.is_empty() {
        conditions.push(QueryCondition::TopicsMissing { topics });
    }
    conditions
}

/// Topics that the query reads or writes and that do not exist.
fn missing_topics(context: &Context, query: &QueryEntry, metastore: &Metastore) -> Vec<String> {
    let mut topics: Vec<String> = match context.engine().query(&query.plan.query_id) {
        Some(running) => running.topic_names().map(str::to_owned).collect(),
        None => {
            let names = query.plan.sources.iter().chain(&query.plan.sink);
            names.filter_map(|name| metastore.source(name)).map(|source| source.topic.clone()).collect()
        }
    };
    let Some(image) = context.broker().with(Broker::metadata_image) else { return Vec::new() };
    topics.retain(|topic| image.topic(topic).is_none());
    topics.sort_unstable();
    topics.dedup();
    topics
}

/// RUNNING, PAUSED, RESTORING or ERROR; ERROR for a query that should run and does not.
pub(crate) fn state(context: &Context, id: &str) -> &'static str {
    // The engine knows a query before its start has ended.
    let starting = context.starts().starting(id);
    let state = match (context.engine().query_status(id), starting) {
        (Some(status), _) => status.state,
        (None, Some(true)) => QueryState::Paused,
        (None, Some(false)) => QueryState::Starting,
        (None, None) => QueryState::Error,
    };
    state.name()
}

/// A condition as a JSON object. Units: ms since epoch.
fn condition(condition: &QueryCondition) -> Value {
    let mut members = json!({"type": condition.kind(), "message": condition.to_string()});
    if let Some(since_ms) = condition.since_ms() {
        members["since"] = json!(since_ms);
    }
    match condition {
        QueryCondition::BackOff { failures, cause, retry_at_ms, .. } => {
            members["failures"] = json!(failures);
            members["cause"] = json!(cause);
            members["nextAttempt"] = json!(retry_at_ms);
        }
        QueryCondition::WritePending { cause, .. } | QueryCondition::CommitPending { cause, .. } => {
            members["cause"] = json!(cause);
        }
        QueryCondition::TopicsMissing { topics } => members["topics"] = json!(topics),
        QueryCondition::StepOverdue { .. } => {}
    }
    members
}

/// Conditions as a JSON array.
pub(crate) fn list(conditions: &[QueryCondition]) -> Value {
    conditions.iter().map(condition).collect()
}
