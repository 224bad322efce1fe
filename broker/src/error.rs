//! Everything that can go wrong in the broker, with data instead of prose.
//!
//! Two questions decide what a caller does with an [`Error`]: [`Error::fault`] and [`Error::retry`].
//! The mapping to Kafka's numeric codes is the API layer's business.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ids::{InvalidTopicName, LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicPartition};

/// Result of broker operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The message of an error with those of its causes.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The caller sent something which can never work.
    User,
    /// A disk, a file or another process; the request itself was fine.
    External,
    /// Weir broke one of its own rules.
    Internal,
}

/// Whether the same request may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    Never,
    Backoff,
}

/// A failure of the broker. Cheap to clone, so that one failure can answer many waiters.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("cannot {action} \"{}\"", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: Arc<io::Error>,
    },
    /// A write or fsync in this log directory failed before; nothing more is acknowledged.
    #[error("log directory \"{}\" is offline after a failure: {reason}", dir.display())]
    StorageFailed { dir: PathBuf, reason: Arc<str> },
    #[error("log directory \"{}\" is locked by another process", dir.display())]
    DirLocked { dir: PathBuf },
    #[error(
        "data directory \"{}\" was copied while a node ran on it, or after it crashed: its files are of different \
         times and may contradict each other. Copy it after a clean stop or as an atomic snapshot of the file \
         system, or accept possible loss with --accept-copied-data",
        dir.display()
    )]
    CopiedWhileRunning { dir: PathBuf },
    /// Bytes on disk are not what was written.
    #[error("log file \"{}\" is corrupt at position {position}, near offset {offset}: {reason}", path.display())]
    CorruptLog { path: PathBuf, position: u64, offset: Offset, reason: String },
    /// A checkpoint, snapshot or metadata file cannot be understood.
    #[error("file \"{}\" is corrupt: {reason}", path.display())]
    CorruptFile { path: PathBuf, reason: String },

    /// Bytes received as a record batch are not one, or its checksum does not match.
    #[error("corrupt record batch: {reason}")]
    CorruptBatch { reason: BatchDefect },
    /// A well-formed batch breaks a rule.
    #[error("invalid record batch: {reason}")]
    InvalidRecord { reason: BatchDefect },
    #[error("record batch has magic {magic}, only format v2 is accepted")]
    UnsupportedMagic { magic: i8 },
    #[error("record batch uses unknown compression codec {codec}")]
    UnsupportedCompression { codec: u8 },
    #[error("cannot decompress {codec} records: {reason}")]
    Decompression { codec: &'static str, reason: String },
    #[error("{codec} records decompress to more than {limit} bytes")]
    DecompressedTooLarge { codec: &'static str, limit: usize },
    #[error("cannot compress records with {codec}: {reason}")]
    Compression { codec: &'static str, reason: String },
    #[error("record batch of {actual} bytes exceeds the limit of {limit} bytes of partition \"{partition}\"")]
    BatchTooLarge { partition: TopicPartition, actual: usize, limit: usize },
    #[error(
        "timestamp {timestamp} of a record for partition \"{partition}\" is {}",
        out_of_range(*timestamp, *earliest, *latest)
    )]
    InvalidTimestamp {
        partition: TopicPartition,
        /// Of the first of `records`.
        timestamp: i64,
        earliest: i64,
        latest: i64,
        /// All records of the batch that are outside, by index.
        records: Arc<[i32]>,
    },

    #[error("offset {offset} of partition \"{partition}\" is out of range {start} to {end}")]
    OffsetOutOfRange { partition: TopicPartition, offset: Offset, start: Offset, end: Offset },
    #[error(
        "producer {producer_id} epoch {epoch} sent sequence {actual} to partition \"{partition}\", \
         expected {expected}"
    )]
    OutOfOrderSequence {
        partition: TopicPartition,
        producer_id: ProducerId,
        epoch: ProducerEpoch,
        expected: i32,
        actual: i32,
    },
    #[error(
        "producer {producer_id} epoch {actual} is fenced by epoch {current} in partition \"{partition}\""
    )]
    InvalidProducerEpoch {
        partition: TopicPartition,
        producer_id: ProducerId,
        current: ProducerEpoch,
        actual: ProducerEpoch,
    },
    #[error("producer {producer_id} broke the transaction protocol in partition \"{partition}\": {reason}")]
    InvalidTxnState { partition: TopicPartition, producer_id: ProducerId, reason: &'static str },
    #[error(
        "transaction marker of producer {producer_id} has coordinator epoch {actual}, partition \
         \"{partition}\" knows epoch {current}"
    )]
    TransactionCoordinatorFenced {
        partition: TopicPartition,
        producer_id: ProducerId,
        current: i32,
        actual: i32,
    },
    #[error("leader epoch {actual} of a request for partition \"{partition}\" is older than {current}")]
    FencedLeaderEpoch { partition: TopicPartition, current: LeaderEpoch, actual: LeaderEpoch },
    #[error("leader epoch {actual} of a request for partition \"{partition}\" is newer than {current}")]
    UnknownLeaderEpoch { partition: TopicPartition, current: LeaderEpoch, actual: LeaderEpoch },

    #[error("partition \"{0}\" does not exist")]
    UnknownPartition(TopicPartition),
    #[error("partition \"{0}\" already exists")]
    PartitionExists(TopicPartition),
    /// The partition was deleted or the broker is shutting down.
    #[error("partition \"{0}\" is closed")]
    PartitionClosed(TopicPartition),
    #[error(transparent)]
    InvalidTopicName(#[from] InvalidTopicName),
    #[error("topic \"{name}\" does not exist")]
    UnknownTopic { name: String },
    #[error("topic \"{name}\" already exists")]
    TopicExists { name: String },
    #[error(
        "topic \"{name}\" differs from \"{other}\" in \".\" and \"_\" only, which metrics cannot tell apart"
    )]
    TopicNameCollides { name: String, other: String },
    #[error("topic \"{topic}\" cannot have {count} partitions: {rule}")]
    PartitionCount { topic: String, count: i32, rule: &'static str },
    /// The work was cut short because the process is ending or a part of it panicked.
    #[error("interrupted while trying to {action}")]
    Interrupted { action: &'static str },
    #[error("invalid value \"{value}\" of setting \"{key}\": {expected} expected")]
    InvalidConfig { key: String, value: String, expected: &'static str },
}

/// What is wrong with a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchDefect {
    #[error("{actual} bytes are present, {needed} are needed")]
    Truncated { needed: usize, actual: usize },
    #[error("length {0} is smaller than a batch header")]
    Length(i32),
    #[error("checksum is {actual:#010x}, {expected:#010x} was stored")]
    Checksum { expected: u32, actual: u32 },
    #[error("record count {count} cannot fit {bytes} bytes")]
    Count { count: i32, bytes: usize },
    #[error("last offset delta {0} is negative")]
    LastOffsetDelta(i32),
    #[error("base offset {0} is negative")]
    BaseOffset(Offset),
    #[error("last offset delta is {delta}, but there are {count} records")]
    CountMismatch { delta: i32, count: i32 },
    #[error("record {index} is malformed: {what}")]
    Record { index: i32, what: &'static str },
    #[error("{0} bytes follow the last record")]
    TrailingBytes(usize),
    #[error("record {index} has offset delta {actual}, {expected} expected")]
    OffsetDelta { index: i32, expected: i32, actual: i32 },
    #[error("{} of the records have no key, but the topic is compacted", records.len())]
    MissingKey {
        /// By index.
        records: Arc<[i32]>,
    },
    #[error("there are no batches")]
    Empty,
    #[error("clients may not write control batches")]
    ControlFromClient,
    #[error("a marker must be one control batch with one end-of-transaction record")]
    NotAMarker,
    #[error("a batch with a producer id needs an epoch and a base sequence")]
    ProducerFields,
    #[error("a batch with a producer id must be the only one of its partition in a request")]
    SeveralIdempotentBatches,
    #[error("base offset is {actual}, {expected} expected")]
    OffsetOrder { expected: Offset, actual: Offset },
    #[error("leader epoch is {0}, which there has never been")]
    LeaderEpoch(LeaderEpoch),
}

/// Which limit of the topic a timestamp does not keep.
fn out_of_range(timestamp: i64, earliest: i64, latest: i64) -> String {
    if timestamp > latest {
        format!("after {latest}, the latest that message.timestamp.after.max.ms allows now")
    } else {
        format!("before {earliest}, the earliest that message.timestamp.before.max.ms allows now")
    }
}

impl Error {
    /// Wraps an operating system error with what was being done to which file.
    pub fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Error::Io { action, path: path.to_owned(), source: Arc::new(source) }
    }

    /// The records of a batch because of which all of it was refused, by index, where that is known.
    pub fn bad_records(&self) -> &[i32] {
        match self {
            Error::InvalidTimestamp { records, .. }
            | Error::InvalidRecord { reason: BatchDefect::MissingKey { records } } => records,
            Error::InvalidRecord { reason: BatchDefect::OffsetDelta { index, .. } } => {
                std::slice::from_ref(index)
            }
            _ => &[],
        }
    }

    /// Whose fault this is.
    pub fn fault(&self) -> Fault {
        match self {
            Error::Io { .. }
            | Error::StorageFailed { .. }
            | Error::DirLocked { .. }
            | Error::CopiedWhileRunning { .. }
            | Error::CorruptLog { .. }
            | Error::CorruptFile { .. }
            | Error::PartitionClosed(_) => Fault::External,
            Error::Compression { .. } | Error::Interrupted { .. } => Fault::Internal,
            Error::CorruptBatch { .. }
            | Error::InvalidRecord { .. }
            | Error::UnsupportedMagic { .. }
            | Error::UnsupportedCompression { .. }
            | Error::Decompression { .. }
            | Error::DecompressedTooLarge { .. }
            | Error::BatchTooLarge { .. }
            | Error::InvalidTimestamp { .. }
            | Error::OffsetOutOfRange { .. }
            | Error::OutOfOrderSequence { .. }
            | Error::InvalidProducerEpoch { .. }
            | Error::InvalidTxnState { .. }
            | Error::TransactionCoordinatorFenced { .. }
            | Error::FencedLeaderEpoch { .. }
            | Error::UnknownLeaderEpoch { .. }
            | Error::UnknownPartition(_)
            | Error::PartitionExists(_)
            | Error::InvalidTopicName(_)
            | Error::UnknownTopic { .. }
            | Error::TopicExists { .. }
            | Error::TopicNameCollides { .. }
            | Error::PartitionCount { .. }
            | Error::InvalidConfig { .. } => Fault::User,
        }
    }

    /// Whether repeating the same request later may succeed.
    pub fn retry(&self) -> Retry {
        match self {
            Error::Io { .. }
            | Error::StorageFailed { .. }
            | Error::DirLocked { .. }
            | Error::CorruptBatch { .. }
            | Error::FencedLeaderEpoch { .. }
            | Error::UnknownLeaderEpoch { .. }
            | Error::UnknownPartition(_)
            | Error::UnknownTopic { .. }
            | Error::Interrupted { .. }
            | Error::PartitionClosed(_) => Retry::Backoff,
            Error::CorruptLog { .. }
            | Error::CorruptFile { .. }
            | Error::Compression { .. }
            | Error::InvalidRecord { .. }
            | Error::UnsupportedMagic { .. }
            | Error::UnsupportedCompression { .. }
            | Error::Decompression { .. }
            | Error::DecompressedTooLarge { .. }
            | Error::BatchTooLarge { .. }
            | Error::InvalidTimestamp { .. }
            | Error::OffsetOutOfRange { .. }
            | Error::OutOfOrderSequence { .. }
            | Error::InvalidProducerEpoch { .. }
            | Error::InvalidTxnState { .. }
            | Error::TransactionCoordinatorFenced { .. }
            | Error::CopiedWhileRunning { .. }
            | Error::PartitionExists(_)
            | Error::InvalidTopicName(_)
            | Error::TopicExists { .. }
            | Error::TopicNameCollides { .. }
            | Error::PartitionCount { .. }
            | Error::InvalidConfig { .. } => Retry::Never,
        }
    }
}
