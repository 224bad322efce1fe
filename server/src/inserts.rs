//! Writing inserted rows.

mod recent;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use weir_broker::client::error::ClientError;
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::transport::Transport;
use weir_broker::env::clock::Clock;
use weir_broker::ids::{Offset, TopicPartition};

use crate::inserts::recent::RecentInserts;

/// State that INSERT statements and `/inserts-stream` share.
pub(crate) struct Inserts {
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    producer: tokio::sync::Mutex<IdempotentProducer>,
    keyless: AtomicU64,
    recent: RecentInserts,
}

impl fmt::Debug for Inserts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inserts").field("recent", &self.recent).finish_non_exhaustive()
    }
}

impl Inserts {
    pub(crate) async fn start(
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
    ) -> Result<Inserts, ClientError> {
        let producer = IdempotentProducer::init(Arc::clone(&transport)).await?;
        Ok(Inserts {
            transport,
            clock,
            producer: tokio::sync::Mutex::new(producer),
            keyless: AtomicU64::new(0),
            recent: RecentInserts::default(),
        })
    }

    /// Rows without a key go round the partitions.
    pub(crate) fn next_keyless_partition(&self, partitions: i32) -> i32 {
        let turn = self.keyless.fetch_add(1, Ordering::Relaxed);
        (turn % u64::from(partitions.max(1).unsigned_abs())) as i32
    }

    /// Writes one batch of inserted rows; it is durable when this returns. After an error nothing of it is, or it is not
    /// known.
    pub(crate) async fn produce(&self, partition: TopicPartition, batch: Bytes) -> Result<(), ClientError> {
        let mut producer = self.producer.lock().await;
        match producer.send(vec![(partition, vec![batch])]).await {
            Ok(written) => {
                let now = self.clock.monotonic();
                for batch in written.into_iter().filter(|b| b.base_offset >= 0) {
                    self.recent.note(batch.partition, batch.next_offset, now);
                }
                Ok(())
            }
            Err(error) => {
                // Its sequences are unknown now.
                if let Ok(renewed) = IdempotentProducer::init(Arc::clone(&self.transport)).await {
                    *producer = renewed;
                }
                Err(error)
            }
        }
    }

    /// The ends of partitions into which rows were inserted a short time ago.
    pub(crate) fn recent_ends(&self) -> BTreeMap<TopicPartition, Offset> {
        self.recent.ends(self.clock.monotonic())
    }
}
