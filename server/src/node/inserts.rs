//! Writing inserted rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use weir_broker::client::error::ClientError;
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::transport::Transport;
use weir_broker::ids::TopicPartition;
use weir_engine::pull::freshness::{Freshness, ReadSource, wait_until_read};
use weir_sql::metastore::Metastore;
use weir_sql::plan::pull::PullPlan;

use crate::node::Node;
use crate::node::recent_inserts::RecentInserts;

/// How long a pull query waits for rows that were inserted before it.
pub(crate) const READ_OWN_INSERTS_TIMEOUT: Duration = Duration::from_secs(3);

/// What INSERT statements and `/inserts-stream` share.
#[derive(Debug)]
pub(crate) struct Inserts {
    producer: tokio::sync::Mutex<IdempotentProducer>,
    keyless: AtomicU64,
    recent: RecentInserts,
}

impl Inserts {
    pub(crate) async fn start(transport: Arc<dyn Transport>) -> Result<Inserts, ClientError> {
        let producer = IdempotentProducer::init(transport).await?;
        Ok(Inserts {
            producer: tokio::sync::Mutex::new(producer),
            keyless: AtomicU64::new(0),
            recent: RecentInserts::default(),
        })
    }
}

impl Node {
    /// Rows without a key go round the partitions.
    pub fn next_keyless_partition(&self, partitions: i32) -> i32 {
        let turn = self.shared.inserts.keyless.fetch_add(1, Ordering::Relaxed);
        (turn % u64::from(partitions.max(1).unsigned_abs())) as i32
    }

    /// Writes one batch of inserted rows; it is durable when this returns. After an error nothing of it is, or it is not
    /// known.
    pub async fn produce(&self, partition: TopicPartition, batch: Bytes) -> Result<(), ClientError> {
        let inserts = &self.shared.inserts;
        let mut producer = inserts.producer.lock().await;
        match producer.send(vec![(partition, vec![batch])]).await {
            Ok(written) => {
                let now = self.shared.clock.monotonic();
                for batch in written.into_iter().filter(|b| b.base_offset >= 0) {
                    inserts.recent.note(batch.partition, batch.next_offset, now);
                }
                Ok(())
            }
            Err(error) => {
                // Its sequences are unknown now.
                if let Ok(renewed) = IdempotentProducer::init(self.transport()).await {
                    *producer = renewed;
                }
                Err(error)
            }
        }
    }

    /// Waits until the state that a pull query reads includes the rows inserted through this node before it.
    pub(crate) async fn wait_for_inserts(&self, plan: &PullPlan, metastore: &Metastore) -> Freshness {
        let written = self.shared.inserts.recent.ends(self.shared.clock.monotonic());
        if written.is_empty() {
            return Freshness::Current;
        }
        if let Some(query_id) = self.wait_for_starts(&plan.sources, READ_OWN_INSERTS_TIMEOUT).await {
            return Freshness::Behind { query_id };
        }
        let sources = plan.sources.iter().filter_map(|name| metastore.source(name));
        let sources: Vec<ReadSource<'_>> = sources
            .map(|s| ReadSource { name: s.name.as_str(), topic: s.topic.as_str(), kind: s.kind })
            .collect();
        wait_until_read(self.engine(), &sources, &written, READ_OWN_INSERTS_TIMEOUT).await
    }
}
