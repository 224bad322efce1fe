//! Looks at the topics of all queries from time to time: at idle ones too, and for partitions that were added, which neither reading
//! nor writing shows.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use weir_broker::client::admin::Admin;
use weir_broker::env::clock::Clock;

use crate::query::handle::{QueryHandle, QueryRegistry};
use crate::query::topics;
use crate::runtime::pool::WorkerPool;

/// What the monitor looks at. It ends with the engine that owns them.
#[derive(Debug)]
pub(crate) struct TopicMonitor {
    pub(crate) queries: Weak<QueryRegistry>,
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
            self.check(&running).await;
        }
    }

    /// Ends the queries whose topics have changed.
    async fn check(&self, queries: &[Arc<QueryHandle>]) {
        let names: BTreeSet<&str> = queries.iter().flat_map(|q| q.topics.ids.keys()).map(|t| &**t).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let found = match self.admin.describe_topics(&names).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "topics of queries cannot be looked at");
                return;
            }
        };
        let mut any = false;
        for query in queries {
            let Some((topic, change)) = topics::change(&query.topics, &found) else { continue };
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
