//! Looks at the topics of all queries from time to time: at idle ones too, and for partitions that were added, which neither reading
//! nor writing shows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crossbeam_channel::Sender;
use parking_lot::Mutex;
use weir_broker::client::admin::{Admin, TopicDescription};
use weir_broker::env::clock::Clock;

use crate::error::query::TopicChange;
use crate::query::handle::{QueryHandle, QueryRegistry};
use crate::query::topic_notes::QueryTopics;
use crate::query::topics;
use crate::runtime::messages::WorkerMessage;
use crate::runtime::pool::WorkerPool;

/// Push queries whose topics are looked at, by query id. Those that have ended are left out by the next look.
#[derive(Debug, Default)]
pub(crate) struct WatchedPushes {
    pushes: Mutex<BTreeMap<String, WatchedPush>>,
}

#[derive(Debug)]
struct WatchedPush {
    query: Weak<QueryHandle>,
    worker: Sender<WorkerMessage>,
    /// With the partitions that the query reads by now.
    topics: QueryTopics,
}

impl WatchedPushes {
    pub(crate) fn watch(&self, query: &Arc<QueryHandle>, worker: Sender<WorkerMessage>) {
        let push = WatchedPush { query: Arc::downgrade(query), worker, topics: query.topics.clone() };
        self.pushes.lock().insert(query.query_id.clone(), push);
    }

    fn running(&self) -> Vec<Arc<QueryHandle>> {
        let mut pushes = self.pushes.lock();
        pushes.retain(|_, push| push.query.upgrade().is_some_and(|query| !query.is_failed()));
        pushes.values().filter_map(|push| push.query.upgrade()).collect()
    }

    /// Lets a query read the partitions that its topics were given. Gives a change that it cannot go on with.
    fn follow(&self, query: &QueryHandle, found: &[TopicDescription]) -> Option<(Arc<str>, TopicChange)> {
        let mut pushes = self.pushes.lock();
        let push = pushes.get_mut(&query.query_id)?;
        loop {
            let (topic, change) = topics::change(&push.topics, found)?;
            let TopicChange::PartitionsAdded { before, now } = change else { return Some((topic, change)) };
            if !query.takes_new_partitions(&topic) {
                return Some((topic, change));
            }
            tracing::info!(query_id = %query.query_id, %topic, before, now, "partitions added, reading them");
            push.topics.partitions.insert(topic.clone(), now);
            let (query_id, partitions) = (query.query_id.clone(), before..now);
            // Fails only if the worker is gone, and the query with it.
            let _ = push.worker.send(WorkerMessage::ReadPartitions { query_id, topic, partitions });
        }
    }
}

/// What the monitor looks at. It ends with the engine that owns them.
#[derive(Debug)]
pub(crate) struct TopicMonitor {
    pub(crate) queries: Weak<QueryRegistry>,
    pub(crate) pushes: Arc<WatchedPushes>,
    pub(crate) workers: Weak<WorkerPool>,
    pub(crate) admin: Admin,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) interval: Duration,
}

impl TopicMonitor {
    pub(crate) async fn run(self) {
        loop {
            tokio::time::sleep(self.interval).await;
            let Some(queries) = self.queries.upgrade() else { return };
            let running = |q: &&Arc<QueryHandle>| !q.is_failed() && !q.cancellation().is_cancelled();
            let running: Vec<Arc<QueryHandle>> = queries.read().values().filter(running).cloned().collect();
            drop(queries);
            self.check(&running, &self.pushes.running()).await;
        }
    }

    /// Ends the queries whose topics have changed, and lets push queries go on that can.
    async fn check(&self, queries: &[Arc<QueryHandle>], pushes: &[Arc<QueryHandle>]) {
        let all = queries.iter().chain(pushes);
        let names: BTreeSet<&str> = all.flat_map(|q| q.topics.ids.keys()).map(|topic| &**topic).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let found = match self.admin.describe_topics(&names).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "topics of queries cannot be looked at");
                return;
            }
        };
        let changed = queries.iter().filter_map(|q| Some((q, topics::change(&q.topics, &found)?)));
        let pushes = pushes.iter().filter_map(|q| Some((q, self.pushes.follow(q, &found)?)));
        let mut any = false;
        for (query, (topic, change)) in changed.chain(pushes) {
            if query.is_failed() || query.cancellation().is_cancelled() {
                continue;
            }
            let error = query.topic_changed(&topic, change);
            tracing::error!(query_id = %query.query_id, cause = error.chain(), "query stopped");
            query.fail(&error, self.clock.now_ms(), true);
            any = true;
        }
        if any && let Some(workers) = self.workers.upgrade() {
            workers.wake();
        }
    }
}
