//! Outcomes of batches, for those who wait for single records.

use futures::FutureExt;
use futures::future::Shared;
use tokio::sync::oneshot;

use super::error::ProducerError;
use crate::ids::{Offset, TopicPartition};

/// The first offset of a batch, if the broker says it.
pub(crate) type Outcome = Result<Option<Offset>, ProducerError>;

/// A stored record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    pub partition: TopicPartition,
    /// None: unknown, with `acks=0`.
    pub offset: Option<Offset>,
}

/// The outcome of a record, which is that of its batch.
#[derive(Debug, Clone)]
pub struct Delivery {
    partition: TopicPartition,
    /// Place in its batch.
    index: i64,
    batch: Shared<oneshot::Receiver<Outcome>>,
}

impl Delivery {
    /// Waits until the record is acknowledged or given up.
    pub async fn wait(self) -> Result<StoredRecord, ProducerError> {
        let base_offset = self.batch.await.unwrap_or(Err(ProducerError::Closed))?;
        Ok(StoredRecord { partition: self.partition, offset: base_offset.map(|base| base + self.index) })
    }
}

/// Outcome of a batch that is not settled yet.
#[derive(Debug)]
pub(crate) struct BatchOutcome {
    sender: oneshot::Sender<Outcome>,
    receiver: Shared<oneshot::Receiver<Outcome>>,
}

impl BatchOutcome {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = oneshot::channel();
        Self { sender, receiver: receiver.shared() }
    }

    /// For the record at `index` of the batch.
    pub(crate) fn delivery(&self, partition: TopicPartition, index: i64) -> Delivery {
        Delivery { partition, index, batch: self.receiver.clone() }
    }

    pub(crate) fn settle(self, outcome: Outcome) {
        // All deliveries may have been dropped.
        let _ = self.sender.send(outcome);
    }
}
