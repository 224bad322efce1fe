//! The ends of queries and of the engine.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::mpsc;
use weir_broker::client::admin::Admin;
use weir_broker::client::group_offsets;

use crate::engine::{Engine, StopMode, assign, send};
use crate::error::query::{Result, RuntimeError};
use crate::query::handle::QueryHandle;
use crate::query::topics;
use crate::runtime::messages::{Assignment, Mode, WorkerMessage};
use crate::runtime::pool::StuckWorker;

/// How often a worker is looked at while its tasks of a query are stopped.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Part of the time for a stop after which a run that has not ended is given up.
const INTERRUPT_SHARE: u64 = 5;
/// Queries whose state is written to disk at the same time.
const RELEASES_AT_ONCE: usize = 16;

impl Engine {
    /// Commits what is done and ends the query. Ends it without a commit if that takes too long, or if a task does not return.
    pub async fn stop_query(&self, query_id: &str, mode: StopMode) -> Result<()> {
        let query = self.query(query_id);
        let query = query.ok_or_else(|| RuntimeError::UnknownQuery { query_id: query_id.to_owned() })?;
        match mode {
            StopMode::Keep => query.cancel(),
            StopMode::Delete => query.interrupt(),
        }
        self.stop_tasks(&query).await;
        self.queries.write().remove(query_id);
        match mode {
            StopMode::Keep => self.release(&query).await,
            StopMode::Delete => self.delete_state(&query).await,
        }
    }

    /// Ends what workers run of a query.
    pub(super) async fn stop_tasks(&self, query: &QueryHandle) {
        let workers = self.workers.inboxes();
        let stops = workers.iter().enumerate().map(|(worker, inbox)| async move {
            let (done, mut stopped) = mpsc::channel(1);
            let message = WorkerMessage::Stop { query_id: query.query_id.clone(), done };
            if send(inbox, message).is_err() {
                // The thread has ended, and the tasks with it.
                return;
            }
            let begun = self.io.clock.monotonic();
            let interrupt_after = Duration::from_millis(self.config.stop_timeout_ms / INTERRUPT_SHARE);
            // Ends when the worker has dropped its sender.
            while tokio::time::timeout(LOOK_INTERVAL, stopped.recv()).await.is_err() {
                if self.workers.is_replaced(worker, inbox) {
                    return;
                }
                if query.cancellation().is_cancelled() && self.io.clock.monotonic() >= begun + interrupt_after
                {
                    query.interrupt();
                }
                let patience = Duration::from_millis(self.config.stop_timeout_ms);
                if let Some(stuck) = self.workers.stuck(worker, patience) {
                    self.replace(&stuck);
                    return;
                }
            }
        });
        futures::future::join_all(stops).await;
    }

    /// Lets the other queries of a worker that does not return from a step go on with a new thread.
    fn replace(&self, stuck: &StuckWorker) {
        if self.is_closing() {
            return;
        }
        match self.workers.replace(stuck) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::error!(cause = error.chain(), "worker cannot be replaced");
                return;
            }
        }
        let (query_id, worker) = (&stuck.step.query.query_id, stuck.worker);
        tracing::error!(%query_id, worker, "task does not return from a step, its thread was replaced");
        let workers = self.workers.inboxes();
        let goes_on = |q: &&Arc<QueryHandle>| !q.is_failed() && !q.cancellation().is_cancelled();
        for query in self.queries.read().values().filter(goes_on) {
            let Some(tasks) = assign(query, workers.len()).remove(&worker) else { continue };
            let assignment = Assignment { query: query.clone(), tasks, mode: Mode::Persistent };
            let _ = send(&workers[worker], WorkerMessage::Start(assignment));
        }
    }

    /// Makes the state of a query survive a crash, and forgets it.
    pub(super) async fn release(&self, query: &QueryHandle) -> Result<()> {
        let (storage, id) = (self.io.storage.clone(), query.application_id.clone());
        let released = self.io.runtime.spawn_blocking(move || storage.release(&id)).await;
        released.unwrap_or(Err(RuntimeError::ShutDown))
    }

    /// Deletes what a query keeps, all that can be.
    ///
    /// Errors: of the first part that cannot be deleted.
    pub(super) async fn delete_state(&self, query: &QueryHandle) -> Result<()> {
        let specs = query.factory.sub_topologies();
        let changelogs = specs.iter().flat_map(|s| &s.changelogs).map(|c| c.topic.clone());
        let topics: Vec<Arc<str>> = topics::internal_topics(specs).into_iter().chain(changelogs).collect();
        let deleted = topics::delete(&Admin::new(self.io.transport.clone()), &topics).await;
        deleted.and(self.delete_progress(query).await)
    }

    /// Deletes the committed offsets and the local state of a query.
    pub(super) async fn delete_progress(&self, query: &QueryHandle) -> Result<()> {
        let offsets = group_offsets::delete(&self.io.transport, &query.application_id)
            .await
            .map_err(RuntimeError::client("delete committed offsets"));
        let (storage, id) = (self.io.storage.clone(), query.application_id.clone());
        let deleted = self.io.runtime.spawn_blocking(move || storage.delete(&id)).await;
        offsets.and(deleted.unwrap_or(Err(RuntimeError::ShutDown)))
    }

    /// Commits what is done and ends all queries and workers. Queries go on with the next engine.
    ///
    /// Errors: the state of a query cannot be written; the next start restores it.
    pub async fn shutdown(&self) -> Result<()> {
        self.close();
        let queries = std::mem::take(&mut *self.queries.write());
        queries.values().for_each(|query| query.cancel());
        futures::future::join_all(queries.values().map(|query| self.stop_tasks(query))).await;
        let releases: Vec<_> = queries.values().map(|query| self.release(query)).collect();
        let releases = futures::stream::iter(releases).buffer_unordered(RELEASES_AT_ONCE);
        let released: Vec<Result<()>> = releases.collect().await;
        let workers = self.workers.clone();
        let patience = Duration::from_millis(self.config.stop_timeout_ms);
        let ended = self.io.runtime.spawn_blocking(move || workers.end(patience)).await;
        ended.map_err(|_| RuntimeError::ShutDown)?;
        released.into_iter().collect()
    }
}
