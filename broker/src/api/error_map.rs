//! The one place where failures of the broker become codes of the Kafka protocol.

use crate::error::Error;
use crate::protocol::error_code::ErrorCode;

/// A code with the sentence that explains it.
pub(crate) type Refusal = (ErrorCode, String);

/// The refusal of a request that failed.
pub(crate) fn refusal(error: Error) -> Refusal {
    (code(&error), error.to_string())
}

/// Kafka's error code of an error.
pub(crate) fn code(error: &Error) -> ErrorCode {
    match error {
        Error::Io { .. }
        | Error::StorageFailed { .. }
        | Error::DirLocked { .. }
        | Error::CopiedWhileRunning { .. } => ErrorCode::KafkaStorageError,
        Error::CorruptLog { .. } | Error::CorruptFile { .. } => ErrorCode::KafkaStorageError,
        Error::CorruptBatch { .. } => ErrorCode::CorruptMessage,
        // Formats v0 and v1 are not stored any more (KIP-724).
        Error::InvalidRecord { .. } | Error::UnsupportedMagic { .. } => ErrorCode::InvalidRecord,
        Error::UnsupportedCompression { .. } => ErrorCode::UnsupportedCompressionType,
        Error::Decompression { .. } => ErrorCode::CorruptMessage,
        Error::DecompressedTooLarge { .. } | Error::BatchTooLarge { .. } => ErrorCode::MessageTooLarge,
        Error::Compression { .. } => ErrorCode::UnknownServerError,
        Error::InvalidTimestamp { .. } => ErrorCode::InvalidTimestamp,
        Error::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        Error::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        Error::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        Error::InvalidTxnState { .. } => ErrorCode::InvalidTxnState,
        Error::TransactionCoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
        Error::FencedLeaderEpoch { .. } => ErrorCode::FencedLeaderEpoch,
        Error::UnknownLeaderEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
        Error::UnknownTopic { .. } | Error::UnknownPartition(_) => ErrorCode::UnknownTopicOrPartition,
        Error::TopicExists { .. } | Error::PartitionExists(_) => ErrorCode::TopicAlreadyExists,
        Error::PartitionClosed(_) => ErrorCode::NotLeaderOrFollower,
        Error::InvalidTopicName(_) | Error::TopicNameCollides { .. } => ErrorCode::InvalidTopicException,
        Error::PartitionCount { .. } => ErrorCode::InvalidPartitions,
        Error::Interrupted { .. } => ErrorCode::RequestTimedOut,
        Error::InvalidConfig { .. } => ErrorCode::InvalidConfig,
    }
}
