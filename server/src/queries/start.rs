//! Queries that ran when the node was stopped: they are started side by side while the node serves,
//! and again after a failure that may pass.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use indexmap::IndexMap;
use weir_broker::client::error::ClientError;
use weir_broker::env::{failpoint, spawn};
use weir_engine::error::query::{Retry, RuntimeError};
use weir_engine::query::condition::QueryCondition;
use weir_engine::settings::QueryOptions;
use weir_sql::metastore::Metastore;
use weir_sql::plan::physical::{QueryPlan, QueryRole};

use crate::context::Context;
use crate::query_starts::{StartFailure, StartRequest};

/// First pause before a failed start is tried again; doubles with each failure.
const BACK_OFF_FIRST: Duration = Duration::from_millis(250);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// The properties of a statement, with the node's for those that it does not set.
pub(crate) fn query_options(
    context: &Context,
    properties: &IndexMap<String, String>,
    paused: bool,
) -> QueryOptions {
    let mut merged: BTreeMap<String, String> =
        properties.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    for (name, value) in &context.config().query_defaults {
        if !properties.keys().any(|set| short_name(set) == short_name(name)) {
            merged.insert(name.clone(), value.clone());
        }
    }
    QueryOptions { properties: merged, paused }
}

/// A property with and without the prefix of Kafka Streams is the same one.
fn short_name(name: &str) -> &str {
    name.strip_prefix("ksql.streams.").unwrap_or(name)
}

/// Starts a query beside everything else. A failure that may pass is waited out, with state
/// ERROR meanwhile.
pub(crate) fn begin(context: &Context, request: StartRequest) {
    let (of_task, id) = (context.clone(), request.plan.query_id.clone());
    context.starts().begin(request, || spawn::task("query-start", async move { run(&of_task, &id).await }));
}

async fn run(context: &Context, id: &str) {
    let starts = context.starts();
    let (mut failures, mut since_ms) = (0, None);
    loop {
        let permit = starts.permit().await;
        let Some(request) = starts.request(id) else { return };
        let attempted = AssertUnwindSafe(attempt(context, &request)).catch_unwind().await;
        drop(permit);
        let error = match attempted {
            Ok(Ok(())) => return succeeded(context, id, request.paused),
            Ok(Err(error)) => error,
            Err(_) => {
                let (query_id, message) = (id.to_owned(), "its start panicked".to_owned());
                RuntimeError::Panicked { query_id, message }
            }
        };
        failures += 1;
        let pause = BACK_OFF_FIRST.saturating_mul(1 << (failures - 1).min(16)).min(BACK_OFF_MAX);
        let now_ms = context.now_ms();
        let back_off = QueryCondition::BackOff {
            failures,
            cause: error.chain(),
            since_ms: *since_ms.get_or_insert(now_ms),
            retry_at_ms: now_ms.saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)),
        };
        let back_off = Some(back_off).filter(|_| error.retry() == Retry::Backoff);
        tracing::error!(query_id = id, error = %error.chain(), again = back_off.is_some(), "query did not start");
        let goes_on = back_off.is_some();
        starts.failed(id, now_ms, error.chain(), back_off);
        if !goes_on {
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

/// One attempt to start a query.
pub(crate) async fn attempt(context: &Context, request: &StartRequest) -> Result<(), RuntimeError> {
    failpoint::pass_async("query.start.before").await.map_err(|error| RuntimeError::Client {
        action: "start the query",
        source: ClientError::from(error),
    })?;
    let options = query_options(context, &request.properties, request.paused);
    context.engine().start_query((*request.plan).clone(), options).await.map(drop)
}

/// The query runs; it is paused as was asked for meanwhile.
fn succeeded(context: &Context, id: &str, paused: bool) {
    context.starts().succeeded(id, |request| {
        if request.paused != paused
            && let Err(error) = context.engine().set_paused(id, request.paused)
        {
            tracing::error!(query_id = id, error = %error.chain(), "query is not paused as it should be");
        }
    });
}

/// The start of a query that should run and did not start.
pub(crate) fn failed(context: &Context, id: &str) -> Option<StartRequest> {
    let plan = Arc::new(context.metastore().query(id)?.plan.clone());
    let StartFailure { properties, .. } = context.starts().failure(id)?;
    Some(StartRequest { plan, properties, paused: false })
}

/// Notes that a query should run and did not start.
pub(crate) fn note_failure(
    context: &Context,
    id: &str,
    reason: String,
    properties: IndexMap<String, String>,
) {
    let at_ms = context.now_ms();
    context.starts().set_failure(id, Some(StartFailure { at_ms, reason, properties }));
}

/// Waits, at most for `within`, until the queries that sources depend on are started. Gives one
/// that is not.
pub(crate) async fn wait_for(context: &Context, sources: &[String], within: Duration) -> Option<String> {
    if context.starts().is_empty() {
        return None;
    }
    context.starts().wait_for(&upstream(&context.metastore(), sources), within).await
}

/// Ids of the queries that the content of sources comes from, through other sources as well.
fn upstream(metastore: &Metastore, sources: &[String]) -> BTreeSet<String> {
    let (mut ids, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut open = sources.to_vec();
    while let Some(source) = open.pop() {
        let writes = |plan: &QueryPlan| match plan.role {
            QueryRole::Persistent => plan.sink.as_ref() == Some(&source),
            QueryRole::SourceTable => plan.sources.contains(&source),
            QueryRole::Transient => false,
        };
        for query in metastore.queries().filter(|query| writes(&query.plan)) {
            ids.insert(query.plan.query_id.clone());
            open.extend(query.plan.sources.iter().filter(|s| !seen.contains(*s)).cloned());
        }
        seen.insert(source);
    }
    ids
}
