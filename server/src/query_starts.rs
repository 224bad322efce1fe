//! The starts of queries that have not ended, and those that have failed.
//!
//! ```text
//!  begin --> waits for a permit --> starts --+--> runs in the engine
//!                    ^                       |
//!                    +------ back-off <------+--> ended: a start failure that only RESUME tries again
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::JoinHandle;
use weir_engine::query::condition::QueryCondition;
use weir_sql::plan::physical::QueryPlan;

/// Starts under way at a time; further ones wait.
const STARTS_AT_ONCE: usize = 256;

/// A query to start.
#[derive(Clone, Debug)]
pub(crate) struct StartRequest {
    pub(crate) plan: Arc<QueryPlan>,
    pub(crate) properties: IndexMap<String, String>,
    pub(crate) paused: bool,
}

/// Why a query did not start, and with which properties it is to be tried again.
#[derive(Clone, Debug)]
pub(crate) struct StartFailure {
    /// Units: ms since epoch.
    pub(crate) at_ms: i64,
    pub(crate) reason: String,
    pub(crate) properties: IndexMap<String, String>,
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
    /// Queries that should run and did not start, by id.
    failures: Mutex<BTreeMap<String, StartFailure>>,
}

impl Default for QueryStarts {
    fn default() -> QueryStarts {
        QueryStarts {
            by_id: Mutex::default(),
            permits: Semaphore::new(STARTS_AT_ONCE),
            changes: watch::Sender::new(0),
            failures: Mutex::default(),
        }
    }
}

impl QueryStarts {
    /// Notes a start. `spawn` starts the task that tries it, which finds it noted.
    pub(crate) fn begin(&self, request: StartRequest, spawn: impl FnOnce() -> JoinHandle<()>) {
        let id = request.plan.query_id.clone();
        let mut starts = self.by_id.lock();
        let task = spawn();
        starts.insert(id, QueryStart { request, back_off: None, task });
    }

    /// Waits until few enough starts are under way. None: never, the node stops.
    pub(crate) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        self.permits.acquire().await.ok()
    }

    /// The query to start; None: the start was cancelled.
    pub(crate) fn request(&self, id: &str) -> Option<StartRequest> {
        self.by_id.lock().get(id).map(|start| start.request.clone())
    }

    /// Ends a start whose query runs. `settle` gets what was asked for meanwhile; it is not called for a start that was
    /// cancelled.
    pub(crate) fn succeeded(&self, id: &str, settle: impl FnOnce(&StartRequest)) {
        let mut starts = self.by_id.lock();
        let Some(start) = starts.remove(id) else { return };
        self.set_failure(id, None);
        settle(&start.request);
        drop(starts);
        self.note_change();
    }

    /// Notes a failed attempt, unless the start was cancelled. Without `back_off` the start has ended.
    pub(crate) fn failed(&self, id: &str, at_ms: i64, reason: String, back_off: Option<QueryCondition>) {
        let mut starts = self.by_id.lock();
        if let Some(start) = starts.get_mut(id) {
            let properties = start.request.properties.clone();
            self.set_failure(id, Some(StartFailure { at_ms, reason, properties }));
            match back_off {
                Some(_) => start.back_off = back_off,
                None => drop(starts.remove(id)),
            }
        }
        drop(starts);
        self.note_change();
    }

    /// Ends the start of a query and gives what was to be started. None: no start is under way.
    pub(crate) async fn cancel(&self, id: &str) -> Option<StartRequest> {
        let start = self.by_id.lock().remove(id)?;
        start.task.abort();
        // The end of an aborted task is an error.
        let _ = start.task.await;
        self.note_change();
        Some(start.request)
    }

    /// Ends all starts: the node stops.
    pub(crate) async fn cancel_all(&self) {
        let starts = std::mem::take(&mut *self.by_id.lock());
        starts.values().for_each(|start| start.task.abort());
        futures::future::join_all(starts.into_values().map(|start| start.task)).await;
    }

    /// Pauses a query that is starting, or lets it run. Gives what it was before; None: no start is
    /// under way.
    pub(crate) fn set_paused(&self, id: &str, paused: bool) -> Option<bool> {
        let mut starts = self.by_id.lock();
        let start = starts.get_mut(id)?;
        Some(std::mem::replace(&mut start.request.paused, paused))
    }

    /// True if the start of the query has failed and is tried again later.
    pub(crate) fn waits(&self, id: &str) -> bool {
        self.by_id.lock().get(id).is_some_and(|start| start.back_off.is_some())
    }

    /// True if the query is to be paused; None if it is not starting. A start in back-off is none.
    pub(crate) fn starting(&self, id: &str) -> Option<bool> {
        let starts = self.by_id.lock();
        starts.get(id).filter(|start| start.back_off.is_none()).map(|start| start.request.paused)
    }

    /// Ids of the queries whose first start has not ended.
    pub(crate) fn starting_ids(&self) -> Vec<String> {
        let starts = self.by_id.lock();
        starts.iter().filter(|(_, start)| start.back_off.is_none()).map(|(id, _)| id.clone()).collect()
    }

    /// The condition of a query whose start has failed and is tried again.
    pub(crate) fn back_off(&self, id: &str) -> Option<QueryCondition> {
        self.by_id.lock().get(id).and_then(|start| start.back_off.clone())
    }

    /// True if no start is under way or waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.lock().is_empty()
    }

    /// Waits, at most for `within`, until none of the queries is starting. Gives one that is.
    pub(crate) async fn wait_for(&self, ids: &BTreeSet<String>, within: Duration) -> Option<String> {
        let deadline = tokio::time::Instant::now() + within;
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let starting = ids.iter().find(|id| self.starting(id).is_some())?;
            if tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
                return Some(starting.clone());
            }
        }
    }

    /// Queries that should run and did not start, by id.
    pub(crate) fn failures(&self) -> BTreeMap<String, StartFailure> {
        self.failures.lock().clone()
    }

    /// Why a query did not start, if it should run.
    pub(crate) fn failure(&self, id: &str) -> Option<StartFailure> {
        self.failures.lock().get(id).cloned()
    }

    pub(crate) fn set_failure(&self, id: &str, failure: Option<StartFailure>) {
        let mut failures = self.failures.lock();
        match failure {
            Some(failure) => _ = failures.insert(id.to_owned(), failure),
            None => _ = failures.remove(id),
        }
    }

    fn note_change(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }
}
