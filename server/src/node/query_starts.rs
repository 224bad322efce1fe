//! Queries that ran when the node was stopped: they are started side by side while the node serves,
//! and again after a failure that may pass.
//!
//! ```text
//!  begin_start --> waits for a permit --> starts --+--> runs in the engine
//!                          ^                       |
//!                          +------ back-off <------+--> ended: a start failure that only RESUME tries again
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use indexmap::IndexMap;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use weir_broker::client::error::ClientError;
use weir_broker::env::{failpoint, spawn};
use weir_engine::query::condition::QueryCondition;
use weir_engine::runtime::error::{Retry, RuntimeError};
use weir_sql::metastore::Metastore;
use weir_sql::plan::physical::{QueryPlan, QueryRole};

use crate::node::Node;

/// Starts under way at a time; further ones wait.
const STARTS_AT_ONCE: usize = 256;
/// First pause before a failed start is tried again; doubles with each failure.
const BACK_OFF_FIRST: Duration = Duration::from_millis(250);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// A query to start.
#[derive(Clone, Debug)]
pub(crate) struct StartRequest {
    pub(crate) plan: Arc<QueryPlan>,
    pub(crate) properties: IndexMap<String, String>,
    pub(crate) paused: bool,
}

/// A start that has not ended.
#[derive(Debug)]
struct QueryStart {
    request: StartRequest,
    /// None: no attempt has failed yet.
    back_off: Option<QueryCondition>,
    task: JoinHandle<()>,
}

/// Every start that has not ended, by query id. Threads: any.
#[derive(Debug)]
pub(crate) struct QueryStarts {
    by_id: Mutex<BTreeMap<String, QueryStart>>,
    permits: Semaphore,
    /// Counts the starts that have ended or failed.
    changes: watch::Sender<u64>,
}

impl Default for QueryStarts {
    fn default() -> QueryStarts {
        QueryStarts {
            by_id: Mutex::default(),
            permits: Semaphore::new(STARTS_AT_ONCE),
            changes: watch::Sender::new(0),
        }
    }
}

impl QueryStarts {
    /// True if the query is to be paused; None if it is not starting. A start in back-off is none.
    fn starting(&self, id: &str) -> Option<bool> {
        let starts = self.by_id.lock();
        starts.get(id).filter(|start| start.back_off.is_none()).map(|start| start.request.paused)
    }

    fn request(&self, id: &str) -> Option<StartRequest> {
        self.by_id.lock().get(id).map(|start| start.request.clone())
    }

    fn note_change(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }
}

impl Node {
    /// Starts a query beside everything else. A failure that may pass is waited out, with state
    /// ERROR meanwhile.
    pub(crate) fn begin_start(&self, request: StartRequest) {
        let id = request.plan.query_id.clone();
        let (node, of) = (self.clone(), id.clone());
        let mut starts = self.shared.starts.by_id.lock();
        let task = spawn::task("query-start", async move { node.run_start(&of).await });
        starts.insert(id, QueryStart { request, back_off: None, task });
    }

    async fn run_start(&self, id: &str) {
        let starts = &self.shared.starts;
        let (mut failures, mut since_ms) = (0, None);
        loop {
            let permit = starts.permits.acquire().await;
            let Some(request) = starts.request(id) else { return };
            let attempt = AssertUnwindSafe(self.try_start(&request)).catch_unwind().await;
            drop(permit);
            let error = match attempt {
                Ok(Ok(())) => return self.start_succeeded(id, request.paused),
                Ok(Err(error)) => error,
                Err(_) => {
                    let (query_id, message) = (id.to_owned(), "its start panicked".to_owned());
                    RuntimeError::Panicked { query_id, message }
                }
            };
            failures += 1;
            let pause = BACK_OFF_FIRST.saturating_mul(1 << (failures - 1).min(16)).min(BACK_OFF_MAX);
            let now_ms = self.now_ms();
            let back_off = QueryCondition::BackOff {
                failures,
                cause: error.chain(),
                since_ms: *since_ms.get_or_insert(now_ms),
                retry_at_ms: now_ms.saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)),
            };
            let back_off = Some(back_off).filter(|_| error.retry() == Retry::Backoff);
            tracing::error!(query_id = id, error = %error.chain(), again = back_off.is_some(), "query did not start");
            let goes_on = back_off.is_some();
            self.start_failed(id, &error, back_off);
            if !goes_on {
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// One attempt to start a query.
    pub(crate) async fn try_start(&self, request: &StartRequest) -> Result<(), RuntimeError> {
        failpoint::pass_async("query.start.before").await.map_err(|error| RuntimeError::Client {
            action: "start the query",
            source: ClientError::from(error),
        })?;
        let options = self.query_options(&request.properties, request.paused);
        self.engine().start_query((*request.plan).clone(), options).await.map(drop)
    }

    /// The query runs; it is paused as was asked for meanwhile.
    fn start_succeeded(&self, id: &str, paused: bool) {
        let mut starts = self.shared.starts.by_id.lock();
        let Some(start) = starts.remove(id) else { return };
        self.set_start_failure(id, None);
        if start.request.paused != paused
            && let Err(error) = self.engine().set_paused(id, start.request.paused)
        {
            tracing::error!(query_id = id, error = %error.chain(), "query is not paused as it should be");
        }
        drop(starts);
        self.shared.starts.note_change();
    }

    fn start_failed(&self, id: &str, error: &RuntimeError, back_off: Option<QueryCondition>) {
        let mut starts = self.shared.starts.by_id.lock();
        // Without an entry the start was cancelled.
        if let Some(start) = starts.get_mut(id) {
            self.set_start_failure(id, Some((error.chain(), start.request.properties.clone())));
            match back_off {
                Some(_) => start.back_off = back_off,
                None => drop(starts.remove(id)),
            }
        }
        drop(starts);
        self.shared.starts.note_change();
    }

    /// Ends the start of a query and gives what was to be started. None: no start is under way.
    pub(crate) async fn cancel_start(&self, id: &str) -> Option<StartRequest> {
        let start = self.shared.starts.by_id.lock().remove(id)?;
        start.task.abort();
        // The end of an aborted task is an error.
        let _ = start.task.await;
        self.shared.starts.note_change();
        Some(start.request)
    }

    /// Ends all starts: the node stops.
    pub(crate) async fn cancel_starts(&self) {
        let starts = std::mem::take(&mut *self.shared.starts.by_id.lock());
        starts.values().for_each(|start| start.task.abort());
        futures::future::join_all(starts.into_values().map(|start| start.task)).await;
    }

    /// Pauses a query that is starting, or lets it run. Gives what it was before; None: no start is
    /// under way.
    pub(crate) fn pause_start(&self, id: &str, paused: bool) -> Option<bool> {
        let mut starts = self.shared.starts.by_id.lock();
        let start = starts.get_mut(id)?;
        Some(std::mem::replace(&mut start.request.paused, paused))
    }

    /// True if the start of the query has failed and is tried again later.
    pub(crate) fn start_waits(&self, id: &str) -> bool {
        self.shared.starts.by_id.lock().get(id).is_some_and(|start| start.back_off.is_some())
    }

    /// True if the query is starting and to be paused then; None if it is not starting.
    pub(crate) fn starting(&self, id: &str) -> Option<bool> {
        self.shared.starts.starting(id)
    }

    /// Ids of the queries whose first start has not ended.
    pub(crate) fn starting_queries(&self) -> Vec<String> {
        let starts = self.shared.starts.by_id.lock();
        starts.iter().filter(|(_, start)| start.back_off.is_none()).map(|(id, _)| id.clone()).collect()
    }

    /// The condition of a query whose start has failed and is tried again.
    pub(crate) fn start_back_off(&self, id: &str) -> Option<QueryCondition> {
        self.shared.starts.by_id.lock().get(id).and_then(|start| start.back_off.clone())
    }

    /// Waits, at most for `within`, until the queries that sources depend on are started. Gives one
    /// that is not.
    pub(crate) async fn wait_for_starts(&self, sources: &[String], within: Duration) -> Option<String> {
        let starts = &self.shared.starts;
        if starts.by_id.lock().is_empty() {
            return None;
        }
        let ids = upstream(&self.metastore(), sources);
        let deadline = tokio::time::Instant::now() + within;
        let mut changes = starts.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let starting = ids.iter().find(|id| starts.starting(id).is_some())?;
            if tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
                return Some(starting.clone());
            }
        }
    }
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
