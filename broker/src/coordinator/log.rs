//! A coordinator's log: one partition of an internal topic, read once at start and appended to from then on.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::codec::{CoordinatorRecord, RecordError};
use crate::env::clock::Clock;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::ids::ProducerIdentity;
use crate::ids::{ProducerEpoch, ProducerId};
use crate::log::access::{AppendOrigin, Isolation, ReadRequest};
use crate::log::flush_ticket::FlushTicket;
use crate::record::batch::BatchIter;
use crate::record::builder::{BatchOptions, RecordBatchBuilder};
use crate::record::compression::DecompressBuf;
use crate::record::control::{EndTxnMarker, MarkerKind};
use crate::replication::partition::Partition;

/// Bytes read at once while replaying.
const REPLAY_BYTES: usize = 4 << 20;

/// Which of `count` partitions stores what belongs to `key`. Kafka hashes with Java's `String.hashCode`.
#[must_use]
pub fn partition_for(key: &str, count: usize) -> usize {
    let hash =
        key.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    let positive = usize::try_from(hash & i32::MAX).expect("not negative");
    positive % count
}

/// An append that becomes durable soon.
#[derive(Debug)]
#[must_use = "acknowledge only what is durable"]
pub struct Durable {
    ticket: FlushTicket,
}

impl Durable {
    pub(crate) fn new(ticket: FlushTicket) -> Self {
        Self { ticket }
    }

    /// True if it is durable already.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.ticket.is_done()
    }

    /// Waits for the disk.
    pub async fn wait(self) -> Result<()> {
        self.ticket.wait().await
    }
}

/// Item of a replayed log.
#[derive(Debug)]
pub enum ReplayItem {
    /// `producer_id` is given for records that wait for the end of a transaction.
    Record { producer_id: Option<i64>, key: Bytes, value: Option<Bytes> },
    /// The transaction of a producer ended in this partition.
    Marker { producer_id: i64, kind: MarkerKind },
}

/// One partition of an internal topic.
#[derive(Debug)]
pub struct CoordinatorLog {
    partition: Arc<Partition>,
    clock: Arc<dyn Clock>,
}

impl CoordinatorLog {
    #[must_use]
    pub fn new(partition: Arc<Partition>, clock: Arc<dyn Clock>) -> Self {
        Self { partition, clock }
    }

    /// Appends records as one batch, as part of a transaction if there is a producer.
    pub fn append(
        &self,
        records: &[CoordinatorRecord],
        producer: Option<ProducerIdentity>,
    ) -> Result<Durable> {
        failpoint!("coordinator.append.before")?;
        let now = self.clock.now_ms();
        let mut options = BatchOptions::default();
        if let Some(producer) = producer {
            options.producer_id = ProducerId(producer.producer_id);
            options.producer_epoch = ProducerEpoch(producer.producer_epoch);
            options.transactional = true;
        }
        let mut batch = RecordBatchBuilder::new(options);
        for record in records {
            batch.append(now, Some(&record.key), record.value.as_deref(), &[]);
        }
        let appended = self.partition.append(batch.build()?, AppendOrigin::Coordinator)?;
        failpoint!("coordinator.append.after")?;
        Ok(Durable::new(appended.flush))
    }

    /// Everything appended so far, for answers that depend on records of earlier requests.
    pub fn appended(&self) -> Durable {
        Durable::new(self.partition.flush_ticket())
    }

    /// Appends the end of a producer's transaction.
    pub fn append_marker(
        &self,
        producer: ProducerIdentity,
        kind: MarkerKind,
        coordinator_epoch: i32,
    ) -> Result<Durable> {
        failpoint!("coordinator.marker.before")?;
        let marker = EndTxnMarker { kind, coordinator_epoch };
        let batch = marker.to_batch(
            self.clock.now_ms(),
            ProducerId(producer.producer_id),
            ProducerEpoch(producer.producer_epoch),
        );
        let appended = self.partition.append(batch, AppendOrigin::Marker)?;
        failpoint!("coordinator.marker.after")?;
        Ok(Durable::new(appended.flush))
    }

    /// Gives every record and marker from start to end to `apply`.
    pub fn replay(&self, mut apply: impl FnMut(ReplayItem) -> Result<()>) -> Result<()> {
        let mut scratch = DecompressBuf::default();
        let mut offset = self.partition.offsets().log_start;
        loop {
            let request = ReadRequest {
                offset,
                bytes_max: REPLAY_BYTES,
                isolation: Isolation::LogEnd,
                at_least_one_batch: true,
            };
            let data = self.partition.read(&request)?;
            if data.bytes.is_empty() {
                return Ok(());
            }
            for batch in BatchIter::new(data.bytes) {
                let batch = batch?;
                offset = batch.header().next_offset();
                if batch.header().is_control() {
                    if let Some(marker) = EndTxnMarker::parse(&batch)? {
                        let producer_id = batch.producer_id().0;
                        apply(ReplayItem::Marker { producer_id, kind: marker.kind })?;
                    }
                    continue;
                }
                let producer_id = batch.header().is_transactional().then_some(batch.producer_id().0);
                for record in batch.records(&mut scratch)? {
                    let record = record?;
                    // Compacted topics refuse records without a key.
                    let Some(key) = record.key else { continue };
                    let key = Bytes::copy_from_slice(key);
                    let value = record.value.map(Bytes::copy_from_slice);
                    apply(ReplayItem::Record { producer_id, key, value })?;
                }
            }
        }
    }

    /// The error for a record of this log that makes no sense.
    #[must_use]
    pub fn corrupt(&self, error: &RecordError) -> Error {
        let path = PathBuf::from(self.partition.topic_partition().to_string());
        Error::CorruptFile { path, reason: error.to_string() }
    }
}
