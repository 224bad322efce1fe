//! Producer state of a log: enough to refuse duplicates, gaps, zombies and broken transactions.
//!
//! ```text
//!   no transaction --transactional batch--> ongoing --marker--> ended, marker not visible --high watermark--> gone
//! ```
//!
//! The state is a function of the batches of the log; snapshots only shorten the replay.
//!
//! Source: KIP-98, KIP-360, KIP-890.

pub(crate) mod replay;
pub(crate) mod snapshot;

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashMap;

use crate::error::{BatchDefect, Error, Result};
use crate::ids::{NO_SEQUENCE, Offset, ProducerEpoch, ProducerId, TopicPartition};
use crate::log::access::{ActiveProducer, AppendOrigin};
use crate::log::txn_index::TxnEntry;
use crate::record::batch::{BatchHeader, RecordBatch, add_sequence};
use crate::record::control::{EndTxnMarker, MarkerKind};

/// Batches remembered per producer; a client may have as many in flight. Source: KIP-98.
const BATCHES_KEPT: usize = 5;
/// When a producer whose batches were only read back was heard of last: it is, for the first who asks.
const SEEN_NOW: i64 = i64::MAX;
/// The coordinator epoch of a producer that has ended no transaction.
const NO_COORDINATOR_EPOCH: i32 = -1;

/// A batch that was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AppendedBatch {
    pub(crate) base_sequence: i32,
    pub(crate) last_sequence: i32,
    pub(crate) base_offset: Offset,
    pub(crate) last_offset: Offset,
    pub(crate) timestamp: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Producer {
    epoch: ProducerEpoch,
    coordinator_epoch: i32,
    /// Of its newest record, which may be about the distant past.
    last_timestamp: i64,
    /// When it wrote last, by the broker's clock. Units: ms since epoch.
    seen_ms: i64,
    txn_first_offset: Option<Offset>,
    /// The newest last, all of the current epoch.
    batches: VecDeque<AppendedBatch>,
}

impl Producer {
    fn new(epoch: ProducerEpoch) -> Self {
        Producer {
            epoch,
            coordinator_epoch: NO_COORDINATOR_EPOCH,
            last_timestamp: -1,
            seen_ms: SEEN_NOW,
            txn_first_offset: None,
            batches: VecDeque::new(),
        }
    }

    fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    fn raise_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
    }
}

/// A transaction whose marker was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CompletedTxn {
    pub(crate) producer_id: ProducerId,
    pub(crate) first_offset: Offset,
    /// The marker's.
    pub(crate) last_offset: Offset,
    pub(crate) kind: MarkerKind,
}

/// The producers of one log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProducerStates {
    producers: HashMap<ProducerId, Producer>,
    /// Transactions without a marker, by first offset.
    ongoing: BTreeMap<Offset, ProducerId>,
    /// Transactions whose marker is not below the high watermark yet: first offset to marker offset.
    invisible: BTreeMap<Offset, Offset>,
}

impl ProducerStates {
    pub(crate) fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// The first offset that is not decided: it belongs to a transaction which is open, or whose marker is not visible.
    pub(crate) fn first_unstable_offset(&self) -> Option<Offset> {
        let ongoing = self.ongoing.keys().next();
        let invisible = self.invisible.keys().next();
        ongoing.into_iter().chain(invisible).min().copied()
    }

    /// Notes that everything below `high_watermark` is visible.
    pub(crate) fn on_high_watermark(&mut self, high_watermark: Offset) {
        if !self.invisible.is_empty() {
            self.invisible.retain(|_, marker| *marker >= high_watermark);
        }
    }

    /// First offset of the transaction of `producer_id` in progress.
    pub(crate) fn ongoing_txn(&self, producer_id: ProducerId) -> Option<Offset> {
        self.producers.get(&producer_id).and_then(|producer| producer.txn_first_offset)
    }

    /// Finds the batch among the last appended ones of its producer.
    pub(crate) fn duplicate_of(&self, header: &BatchHeader) -> Option<AppendedBatch> {
        if !header.is_idempotent() {
            return None;
        }
        let producer = self.producers.get(&header.producer_id)?;
        let sequences = (header.base_sequence, header.last_sequence());
        let same = |batch: &&AppendedBatch| (batch.base_sequence, batch.last_sequence) == sequences;
        (producer.epoch == header.producer_epoch)
            .then(|| producer.batches.iter().find(same).copied())
            .flatten()
    }

    /// Checks that a batch of a producer may come next.
    ///
    /// # Errors
    /// [`Error::InvalidProducerEpoch`], [`Error::OutOfOrderSequence`], [`Error::InvalidTxnState`].
    pub(crate) fn check(
        &self,
        tp: &TopicPartition,
        header: &BatchHeader,
        origin: AppendOrigin,
    ) -> Result<()> {
        if header.producer_id.is_none() {
            return Ok(());
        }
        let Some(producer) = self.producers.get(&header.producer_id) else { return Ok(()) };
        if header.producer_epoch < producer.epoch {
            return Err(Error::InvalidProducerEpoch {
                partition: tp.clone(),
                producer_id: header.producer_id,
                current: producer.epoch,
                actual: header.producer_epoch,
            });
        }
        match origin {
            AppendOrigin::Client => Self::check_sequence(tp, producer, header)?,
            AppendOrigin::Coordinator | AppendOrigin::Marker => {}
        }
        if producer.txn_first_offset.is_some() && !header.is_transactional() {
            return Err(Error::InvalidTxnState {
                partition: tp.clone(),
                producer_id: header.producer_id,
                reason: "a batch outside the transaction in progress",
            });
        }
        Ok(())
    }

    fn check_sequence(tp: &TopicPartition, producer: &Producer, header: &BatchHeader) -> Result<()> {
        let expected = if header.producer_epoch == producer.epoch && producer.last_sequence() != NO_SEQUENCE {
            add_sequence(producer.last_sequence(), 1)
        } else {
            0
        };
        if header.base_sequence == expected {
            return Ok(());
        }
        Err(Error::OutOfOrderSequence {
            partition: tp.clone(),
            producer_id: header.producer_id,
            epoch: header.producer_epoch,
            expected,
            actual: header.base_sequence,
        })
    }

    /// Checks that a marker comes from the coordinator in charge.
    ///
    /// # Errors
    /// [`Error::TransactionCoordinatorFenced`].
    pub(crate) fn check_marker(
        &self,
        tp: &TopicPartition,
        id: ProducerId,
        marker: EndTxnMarker,
    ) -> Result<()> {
        let current =
            self.producers.get(&id).map_or(NO_COORDINATOR_EPOCH, |producer| producer.coordinator_epoch);
        if marker.coordinator_epoch < current {
            let actual = marker.coordinator_epoch;
            return Err(Error::TransactionCoordinatorFenced {
                partition: tp.clone(),
                producer_id: id,
                current,
                actual,
            });
        }
        Ok(())
    }

    /// Takes note of a batch of data that was appended at `now_ms`.
    pub(crate) fn apply_data(&mut self, header: &BatchHeader, now_ms: i64) {
        if header.producer_id.is_none() {
            return;
        }
        let producer =
            self.producers.entry(header.producer_id).or_insert_with(|| Producer::new(header.producer_epoch));
        producer.raise_epoch(header.producer_epoch);
        producer.last_timestamp = header.max_timestamp;
        producer.seen_ms = now_ms;
        if header.is_idempotent() {
            if producer.batches.len() == BATCHES_KEPT {
                producer.batches.pop_front();
            }
            producer.batches.push_back(AppendedBatch {
                base_sequence: header.base_sequence,
                last_sequence: header.last_sequence(),
                base_offset: header.base_offset,
                last_offset: header.last_offset(),
                timestamp: header.max_timestamp,
            });
        }
        if header.is_transactional() && producer.txn_first_offset.is_none() {
            producer.txn_first_offset = Some(header.base_offset);
            self.ongoing.insert(header.base_offset, header.producer_id);
        }
    }

    /// Takes note of a marker that was appended at `now_ms`. `None` if there was no transaction to end.
    pub(crate) fn apply_marker(
        &mut self,
        header: &BatchHeader,
        marker: EndTxnMarker,
        now_ms: i64,
    ) -> Option<CompletedTxn> {
        let producer =
            self.producers.entry(header.producer_id).or_insert_with(|| Producer::new(header.producer_epoch));
        producer.raise_epoch(header.producer_epoch);
        producer.last_timestamp = header.max_timestamp;
        producer.seen_ms = now_ms;
        producer.coordinator_epoch = marker.coordinator_epoch;
        let first_offset = producer.txn_first_offset.take()?;
        self.ongoing.remove(&first_offset);
        self.invisible.insert(first_offset, header.base_offset);
        Some(CompletedTxn {
            producer_id: header.producer_id,
            first_offset,
            last_offset: header.base_offset,
            kind: marker.kind,
        })
    }

    /// The last stable offset once `txn` is visible and nothing else changes.
    pub(crate) fn last_stable_offset_after(&self, txn: &CompletedTxn) -> Offset {
        let others = self.invisible.keys().filter(|first| **first != txn.first_offset);
        self.ongoing.keys().chain(others).min().copied().unwrap_or(txn.last_offset + 1)
    }

    /// The index entry of an aborted transaction.
    pub(crate) fn txn_entry(&self, txn: &CompletedTxn) -> TxnEntry {
        TxnEntry {
            producer_id: txn.producer_id,
            first_offset: txn.first_offset,
            last_offset: txn.last_offset,
            last_stable_offset: self.last_stable_offset_after(txn),
        }
    }

    /// Takes note of a batch read back from the log. Returns the transaction it ended.
    ///
    /// # Errors
    /// As [`EndTxnMarker::parse`].
    pub(crate) fn replay(&mut self, batch: &RecordBatch) -> Result<Option<CompletedTxn>> {
        let header = batch.header();
        if header.producer_id.is_none() {
            return Ok(None);
        }
        if !header.is_control() {
            self.apply_data(header, SEEN_NOW);
            return Ok(None);
        }
        match EndTxnMarker::parse(batch)? {
            Some(marker) => Ok(self.apply_marker(header, marker, SEEN_NOW)),
            None => Ok(None),
        }
    }

    /// Forgets producers which have been silent for longer than `expiration_ms` and have no transaction open.
    ///
    /// Timestamps of records do not count: duplicates are also refused while old data is copied.
    pub(crate) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.producers.retain(|_, producer| {
            if producer.seen_ms == SEEN_NOW {
                producer.seen_ms = now_ms;
            }
            producer.txn_first_offset.is_some() || now_ms.saturating_sub(producer.seen_ms) < expiration_ms
        });
    }

    /// The last offset of data each producer has written, by which the cleaner knows what replay needs.
    pub(crate) fn last_data_offsets(&self) -> HashMap<ProducerId, Offset> {
        let last =
            |(id, producer): (&ProducerId, &Producer)| Some((*id, producer.batches.back()?.last_offset));
        self.producers.iter().filter_map(last).collect()
    }

    /// The producers, for DescribeProducers.
    pub(crate) fn describe(&self) -> Vec<ActiveProducer> {
        let describe = |(id, producer): (&ProducerId, &Producer)| ActiveProducer {
            producer_id: *id,
            producer_epoch: producer.epoch.0,
            last_sequence: producer.last_sequence(),
            last_timestamp: producer.last_timestamp,
            coordinator_epoch: producer.coordinator_epoch,
            current_txn_start_offset: producer.txn_first_offset,
        };
        self.producers.iter().map(describe).collect()
    }
}

/// Reads the marker of a batch appended with [`AppendOrigin::Marker`].
///
/// # Errors
/// [`Error::InvalidRecord`] if it is anything else.
pub(crate) fn require_marker(batch: &RecordBatch) -> Result<EndTxnMarker> {
    let not_a_marker = || Error::InvalidRecord { reason: BatchDefect::NotAMarker };
    if !batch.header().is_control() || batch.header().last_offset_delta != 0 || batch.producer_id().is_none()
    {
        return Err(not_a_marker());
    }
    EndTxnMarker::parse(batch)?.ok_or_else(not_a_marker)
}
