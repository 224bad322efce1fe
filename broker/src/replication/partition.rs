//! One partition: its log, its leader epoch, its replicas.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::error::{Error, Result};
use crate::ids::{
    BrokerId, FIRST_LEADER_EPOCH, LeaderEpoch, NO_LEADER_EPOCH, Offset, ProducerId, TopicId, TopicPartition,
};
use crate::log::access::{
    ActiveProducer, AppendOrigin, Appended, FetchData, Isolation, LogOffsets, OffsetSpec, ReadRequest,
    TimestampedOffset,
};
use crate::log::config::LogConfig;
use crate::log::flush_ticket::FlushTicket;
use crate::log::partition_log::Log;

/// A partition led by this broker. Threads: any; calls without `async` in their name touch the page cache on the
/// calling thread; only the flush ticket of an append waits for the disk.
#[derive(Debug)]
pub struct Partition {
    topic_id: TopicId,
    leader: BrokerId,
    leader_epoch: AtomicI32,
    log: Arc<Log>,
}

impl Partition {
    pub(crate) fn new(topic_id: TopicId, leader: BrokerId, log: Arc<Log>) -> Arc<Self> {
        Arc::new(Partition { topic_id, leader, leader_epoch: AtomicI32::new(FIRST_LEADER_EPOCH), log })
    }

    pub fn topic_partition(&self) -> &TopicPartition {
        self.log.topic_partition()
    }

    pub fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    pub fn leader(&self) -> BrokerId {
        self.leader
    }

    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch.load(Ordering::Acquire)
    }

    /// The brokers which have everything below the high watermark: this one.
    pub fn isr(&self) -> Vec<BrokerId> {
        vec![self.leader]
    }

    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    pub fn config(&self) -> Arc<LogConfig> {
        self.log.config()
    }

    pub fn set_config(&self, config: impl Into<Arc<LogConfig>>) {
        self.log.set_config(config);
    }

    /// Checks the leader epoch a client believes in; -1 is not checked. Source: KIP-320.
    ///
    /// # Errors
    /// [`Error::FencedLeaderEpoch`], [`Error::UnknownLeaderEpoch`].
    pub fn check_leader_epoch(&self, actual: LeaderEpoch) -> Result<()> {
        let (current, partition) = (self.leader_epoch(), || self.topic_partition().clone());
        if actual == NO_LEADER_EPOCH || actual == current {
            Ok(())
        } else if actual < current {
            Err(Error::FencedLeaderEpoch { partition: partition(), current, actual })
        } else {
            Err(Error::UnknownLeaderEpoch { partition: partition(), current, actual })
        }
    }

    /// The last epoch at or before `epoch` and the offset after it. Source: OffsetForLeaderEpoch.
    pub fn end_offset_of_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let current = self.leader_epoch();
        (epoch == current).then(|| (current, self.log.offsets().log_end))
    }

    /// Appends one or more whole batches. They are durable, and visible to readers, when [`Appended::flush`] is done:
    /// wait for it before answering a producer which asked for acknowledgement.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn append(&self, batches: Bytes, origin: AppendOrigin) -> Result<Appended> {
        self.log.append(batches, origin, self.leader_epoch())
    }

    /// As [`Log::flush_ticket`].
    pub fn flush_ticket(&self) -> FlushTicket {
        self.log.flush_ticket()
    }

    /// As [`Log::read`].
    ///
    /// # Errors
    /// As [`Log::read`].
    pub fn read(&self, request: &ReadRequest) -> Result<FetchData> {
        self.log.read(request)
    }

    /// As [`Log::bytes_after`].
    pub fn bytes_after(&self, offset: Offset) -> u64 {
        self.log.bytes_after(offset)
    }

    pub fn offsets(&self) -> LogOffsets {
        self.log.offsets()
    }

    pub fn high_watermark(&self) -> Offset {
        self.log.offsets().high_watermark
    }

    pub fn last_stable_offset(&self) -> Offset {
        self.log.offsets().last_stable
    }

    /// As [`Log::lookup`]; the leader epoch is filled in for offsets that do not come from a record.
    ///
    /// # Errors
    /// As [`Log::lookup`].
    pub fn lookup(&self, spec: OffsetSpec, isolation: Isolation) -> Result<Option<TimestampedOffset>> {
        let found = self.log.lookup(spec, isolation)?;
        Ok(found.map(|found| match found.leader_epoch {
            NO_LEADER_EPOCH => TimestampedOffset { leader_epoch: self.leader_epoch(), ..found },
            _ => found,
        }))
    }

    /// As [`Log::delete_records_before`].
    ///
    /// # Errors
    /// As [`Log::delete_records_before`].
    pub fn delete_records_before(&self, offset: Offset) -> Result<Offset> {
        self.log.delete_records_before(offset)
    }

    /// As [`Log::register_waiter`]: one notification when more becomes visible.
    pub fn register_waiter(&self, waiter: &Arc<Notify>) {
        self.log.register_waiter(waiter);
    }

    /// As [`Log::visible_bytes`].
    pub fn visible_bytes(&self) -> Option<u64> {
        self.log.visible_bytes()
    }

    /// First offset of the transaction which `producer_id` has open here.
    pub fn ongoing_txn(&self, producer_id: ProducerId) -> Option<Offset> {
        self.log.ongoing_txn(producer_id)
    }

    pub fn producers(&self) -> Vec<ActiveProducer> {
        self.log.producers()
    }

    /// Size on disk, indexes not counted.
    pub fn size_bytes(&self) -> u64 {
        self.log.size_bytes()
    }
}
