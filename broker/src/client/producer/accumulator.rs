//! Records gathered into batches by partition.
//!
//! ```text
//!         append            full, lingered, memory used up, flush         take             acknowledged
//! record --------> open ----------------------------------------> closed ------> under way ------------> released
//! ```
//!
//! Pure: time is an argument, and sending is the caller's business.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::config::ProducerConfig;
use super::delivery::{BatchOutcome, Delivery};
use super::error::ProducerError;
use super::partitioner::partition_for_key;
use super::record::{ProducerRecord, ProducerTopic, TopicIndex};
use crate::client::error::ClientError;
use crate::ids::TopicPartition;
use crate::record::builder::{BatchOptions, RecordBatchBuilder};

/// Whether a delivery is wanted for a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tracking {
    Untracked,
    Tracked,
}

/// Outcome of [`RecordAccumulator::append`].
#[derive(Debug)]
pub(crate) enum Appended {
    /// No memory: try again when batches have been released.
    NoRoom,
    /// The record is in a batch. `has_work`: there is a closed batch or an earlier deadline than before.
    ///
    /// Boxed: most records have no delivery, and the outcome of each is moved a few times.
    Added { has_work: bool, delivery: Option<Box<Delivery>> },
}

/// Records of a closed batch.
#[derive(Debug)]
enum Records {
    Unbuilt(RecordBatchBuilder),
    Built(Bytes),
}

/// A batch to send.
#[derive(Debug)]
pub(crate) struct ClosedBatch {
    pub(crate) partition: TopicPartition,
    /// Memory that the batch counts for.
    pub(crate) charged_bytes: usize,
    pub(crate) outcome: Option<BatchOutcome>,
    records: Records,
}

impl ClosedBatch {
    /// Compresses and encodes the records.
    pub(crate) fn encode(self) -> Result<(Bytes, Option<BatchOutcome>), ClientError> {
        let bytes = match self.records {
            Records::Built(bytes) => bytes,
            Records::Unbuilt(builder) => builder.build()?,
        };
        Ok((bytes, self.outcome))
    }
}

#[derive(Debug)]
struct OpenBatch {
    builder: RecordBatchBuilder,
    /// Closed then at the latest.
    deadline: Duration,
    charged_bytes: usize,
    outcome: Option<BatchOutcome>,
}

#[derive(Debug, Default)]
struct PartitionSlot {
    open: Option<OpenBatch>,
    /// Size of the last batch: that of the next is likely the same.
    last_bytes: usize,
}

#[derive(Debug)]
struct TopicBatches {
    topic: ProducerTopic,
    /// Partition of records without a key, until its batch is closed (KIP-480); then the next one.
    sticky: i32,
    partitions: Vec<PartitionSlot>,
}

impl TopicBatches {
    fn partition_of(&self, record: &ProducerRecord<'_>) -> Result<i32, ProducerError> {
        match (record.partition, record.key) {
            (Some(partition), _) if (0..self.topic.partitions).contains(&partition) => Ok(partition),
            (Some(partition), _) => Err(ProducerError::NoPartition {
                topic: self.topic.name.clone(),
                partition,
                last: self.topic.partitions - 1,
            }),
            (None, Some(key)) => Ok(partition_for_key(key, self.topic.partitions)),
            (None, None) => Ok(self.sticky),
        }
    }

    fn slot(&mut self, partition: i32) -> &mut PartitionSlot {
        let at = usize::try_from(partition).expect("partitions are checked when they are chosen");
        &mut self.partitions[at]
    }
}

/// Open and closed batches of all topics of a producer, bounded in bytes.
#[derive(Debug)]
pub(crate) struct RecordAccumulator {
    config: ProducerConfig,
    topics: Vec<TopicBatches>,
    /// Every open batch: its deadline, topic and partition.
    lingering: BTreeSet<(Duration, usize, i32)>,
    closed: VecDeque<ClosedBatch>,
    /// Memory of all batches that are not released, those under way included.
    charged_bytes: usize,
    /// A record found no memory: open batches are closed at once.
    is_exhausted: bool,
}

impl RecordAccumulator {
    pub(crate) fn new(config: ProducerConfig) -> Self {
        Self {
            config,
            topics: Vec::new(),
            lingering: BTreeSet::new(),
            closed: VecDeque::new(),
            charged_bytes: 0,
            is_exhausted: false,
        }
    }

    /// Records without a key begin at partition `sticky`, modulo the number of partitions.
    pub(crate) fn add_topic(&mut self, topic: ProducerTopic, sticky: u64) -> TopicIndex {
        let partitions = topic.partitions.max(1);
        let sticky = sticky % u64::from(partitions.unsigned_abs());
        self.topics.push(TopicBatches {
            topic: ProducerTopic { partitions, ..topic },
            sticky: i32::try_from(sticky).unwrap_or(0),
            partitions: (0..partitions).map(|_| PartitionSlot::default()).collect(),
        });
        TopicIndex(self.topics.len() - 1)
    }

    /// Adds a record to the open batch of its partition. The time is asked for only when a batch is opened.
    ///
    /// Errors: `NoPartition`, `RecordTooLarge`; nothing is added then.
    pub(crate) fn append(
        &mut self,
        topic: TopicIndex,
        record: &ProducerRecord<'_>,
        tracking: Tracking,
        now: impl FnOnce() -> Duration,
    ) -> Result<Appended, ProducerError> {
        let bytes = record.bytes_max();
        if self.charged_bytes > 0 && self.charged_bytes.saturating_add(bytes) > self.config.buffer_bytes_max {
            self.is_exhausted = true;
            return Ok(Appended::NoRoom);
        }
        let batches = &mut self.topics[topic.0];
        let partition = batches.partition_of(record)?;
        let bytes_max = batches.topic.batch_bytes_max;
        // A record that does not fit beside others goes alone.
        let open = batches.slot(partition).open.as_ref();
        if open.is_some_and(|open| open.builder.size_bytes().saturating_add(bytes) > bytes_max) {
            self.close(topic, partition);
        }
        let closed_before = self.closed.len();
        let is_first = self.lingering.is_empty();
        let opened = self.open(topic, partition, bytes, now);
        let TopicBatches { topic: to, partitions, .. } = &mut self.topics[topic.0];
        let slot = usize::try_from(partition).ok().and_then(|at| partitions.get_mut(at));
        let open = slot.and_then(|slot| slot.open.as_mut()).expect("opened above");
        let index = i64::from(open.builder.count());
        open.builder.append(record.timestamp, record.key, record.value, record.headers);
        let size = open.builder.size_bytes();
        let grown = size.saturating_sub(open.charged_bytes);
        open.charged_bytes += grown;
        self.charged_bytes += grown;
        let delivery = (tracking == Tracking::Tracked).then(|| {
            let outcome = open.outcome.get_or_insert_with(BatchOutcome::new);
            Box::new(outcome.delivery(TopicPartition::new(to.name.clone(), partition), index))
        });
        if size > bytes_max {
            self.close_large(topic, partition)?;
        } else if size >= self.config.batch_bytes {
            self.close(topic, partition);
        }
        let has_work = self.closed.len() > closed_before || (opened && is_first);
        Ok(Appended::Added { has_work, delivery })
    }

    /// Opens a batch of a partition if none is; `bytes` are about to be added.
    fn open(
        &mut self,
        topic: TopicIndex,
        partition: i32,
        bytes: usize,
        now: impl FnOnce() -> Duration,
    ) -> bool {
        let slot = self.topics[topic.0].slot(partition);
        if slot.open.is_some() {
            return false;
        }
        // Some more than the last batch had, so that its size does not make this one move.
        let expected = slot.last_bytes + slot.last_bytes / 8;
        let is_affordable =
            self.charged_bytes.saturating_add(expected).saturating_add(bytes) <= self.config.buffer_bytes_max;
        let capacity = if is_affordable { expected } else { 0 };
        let options = BatchOptions { compression: self.config.compression, ..BatchOptions::default() };
        let deadline = now().saturating_add(self.config.linger);
        slot.open = Some(OpenBatch {
            builder: RecordBatchBuilder::with_capacity(options, capacity),
            deadline,
            charged_bytes: capacity,
            outcome: None,
        });
        self.charged_bytes += capacity;
        self.lingering.insert((deadline, topic.0, partition));
        true
    }

    /// Takes the open batch of a partition.
    fn end_open(&mut self, topic: TopicIndex, partition: i32) -> Option<ClosedBatch> {
        let batches = &mut self.topics[topic.0];
        if partition == batches.sticky {
            batches.sticky = (batches.sticky + 1) % batches.topic.partitions;
        }
        let name = batches.topic.name.clone();
        let slot = batches.slot(partition);
        let open = slot.open.take()?;
        slot.last_bytes = open.builder.size_bytes();
        self.lingering.remove(&(open.deadline, topic.0, partition));
        Some(ClosedBatch {
            partition: TopicPartition::new(name, partition),
            charged_bytes: open.charged_bytes,
            outcome: open.outcome,
            records: Records::Unbuilt(open.builder),
        })
    }

    fn close(&mut self, topic: TopicIndex, partition: i32) {
        let batch = self.end_open(topic, partition);
        self.closed.extend(batch);
    }

    /// Closes the batch of a single record that its topic takes only if compression makes it small enough.
    fn close_large(&mut self, topic: TopicIndex, partition: i32) -> Result<(), ProducerError> {
        let Some(batch) = self.end_open(topic, partition) else { return Ok(()) };
        let ProducerTopic { name, batch_bytes_max: bytes_max, .. } = self.topics[topic.0].topic.clone();
        let (partition, charged_bytes) = (batch.partition.clone(), batch.charged_bytes);
        let outcome = match batch.encode() {
            Ok((bytes, outcome)) if bytes.len() <= bytes_max => {
                let records = Records::Built(bytes);
                self.closed.push_back(ClosedBatch { partition, charged_bytes, outcome, records });
                return Ok(());
            }
            Ok((bytes, _)) => ProducerError::RecordTooLarge { topic: name, bytes: bytes.len(), bytes_max },
            Err(error) => error.into(),
        };
        self.release(charged_bytes);
        Err(outcome)
    }

    /// Closes all open batches.
    pub(crate) fn close_all(&mut self) {
        while let Some((_, topic, partition)) = self.lingering.first().copied() {
            self.close(TopicIndex(topic), partition);
        }
    }

    /// The oldest closed batches, of together `bytes_max` bytes or a little more. Batches that have lingered long enough
    /// are closed before.
    pub(crate) fn take(&mut self, now: Duration, bytes_max: usize) -> Vec<ClosedBatch> {
        if std::mem::take(&mut self.is_exhausted) {
            self.close_all();
        }
        while let Some((deadline, topic, partition)) = self.lingering.first().copied()
            && deadline <= now
        {
            self.close(TopicIndex(topic), partition);
        }
        let (mut taken, mut bytes) = (Vec::new(), 0_usize);
        while bytes < bytes_max
            && let Some(batch) = self.closed.pop_front()
        {
            bytes = bytes.saturating_add(batch.charged_bytes);
            taken.push(batch);
        }
        taken
    }

    /// The time at which the next batch has lingered long enough.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.lingering.first().map(|(deadline, _, _)| *deadline)
    }

    pub(crate) fn closed_count(&self) -> usize {
        self.closed.len()
    }

    /// Memory of batches that were taken is free again.
    pub(crate) fn release(&mut self, charged_bytes: usize) {
        debug_assert!(charged_bytes <= self.charged_bytes, "a batch is released once");
        self.charged_bytes = self.charged_bytes.saturating_sub(charged_bytes);
    }

    /// Removes everything; batches that were taken are released as well.
    pub(crate) fn clear(&mut self) -> Vec<ClosedBatch> {
        self.close_all();
        self.charged_bytes = 0;
        self.is_exhausted = false;
        std::mem::take(&mut self.closed).into()
    }
}

#[cfg(test)]
mod tests;
