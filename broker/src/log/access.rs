//! Requests and answers of a log: appends, reads and look-ups.

use bytes::Bytes;

use crate::ids::{LeaderEpoch, Offset, ProducerId};
use crate::log::flush_ticket::FlushTicket;

/// Origin of an append, which decides on the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A producer: every record is checked; control batches are refused.
    Client,
    /// A coordinator of this broker writing its own records: sequences are not checked.
    Coordinator,
    /// The transaction coordinator ending a transaction: exactly one control batch.
    Marker,
}

/// An append that is in the page cache, and (once `flush` is waited for) on disk.
#[derive(Debug, Clone)]
pub struct Appended {
    pub base_offset: Offset,
    pub last_offset: Offset,
    /// Set if the topic stamps records itself. Units: ms since epoch.
    pub log_append_time: Option<i64>,
    pub log_start_offset: Offset,
    /// Acknowledge after [`FlushTicket::wait`] or [`FlushTicket::wait_blocking`] only.
    pub flush: FlushTicket,
    /// The batch had been appended before; the offsets are those it got then. Source: KIP-98.
    pub duplicate: bool,
}

/// Visibility of records for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// Up to the high watermark.
    ReadUncommitted,
    /// Up to the last stable offset, with the aborted transactions named.
    ReadCommitted,
    /// Up to the log end: replication and coordinators replaying their own log.
    LogEnd,
}

/// A read from one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadRequest {
    pub offset: Offset,
    /// Bytes wanted at most.
    pub bytes_max: usize,
    pub isolation: Isolation,
    /// Return the first batch even if it alone exceeds `bytes_max`, so that the reader gets on. Source: KIP-74.
    pub at_least_one_batch: bool,
}

/// An aborted transaction whose records a read-committed reader must leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTxn {
    pub producer_id: ProducerId,
    pub first_offset: Offset,
}

/// Result of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchData {
    /// Whole batches, in order. The first may begin before the offset asked for.
    pub bytes: Bytes,
    pub high_watermark: Offset,
    pub last_stable_offset: Offset,
    pub log_start_offset: Offset,
    /// Sorted by first offset; empty unless read committed.
    pub aborted: Vec<AbortedTxn>,
}

/// An offset to look up. Source: the timestamp field of ListOffsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The log start offset (-2).
    Earliest,
    /// The first offset the reader cannot see yet (-1).
    Latest,
    /// The record with the highest timestamp (-3).
    MaxTimestamp,
    /// The first record at or after this time. Units: ms since epoch.
    Timestamp(i64),
}

/// An offset that was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampedOffset {
    pub offset: Offset,
    /// `-1` where the offset does not come from a record.
    pub timestamp: i64,
    pub leader_epoch: LeaderEpoch,
}

/// The offsets that describe a log at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOffsets {
    pub log_start: Offset,
    pub last_stable: Offset,
    pub high_watermark: Offset,
    /// Everything before it survives a crash.
    pub durable: Offset,
    pub log_end: Offset,
}

/// A producer as DescribeProducers shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveProducer {
    pub producer_id: ProducerId,
    pub producer_epoch: i16,
    pub last_sequence: i32,
    /// Units: ms since epoch.
    pub last_timestamp: i64,
    pub coordinator_epoch: i32,
    /// First offset of the transaction in progress.
    pub current_txn_start_offset: Option<Offset>,
}
