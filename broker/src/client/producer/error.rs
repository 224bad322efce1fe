//! Failures of a batching producer.

use std::sync::Arc;

use crate::client::error::ClientError;

/// Why a record is not stored. Cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProducerError {
    /// The record alone makes a larger batch than its topic takes, even compressed. It costs itself only.
    #[error("record makes a batch of {bytes} bytes, topic \"{topic}\" takes {bytes_max}")]
    RecordTooLarge { topic: Arc<str>, bytes: usize, bytes_max: usize },
    /// The record costs itself only.
    #[error("topic \"{topic}\" has partitions 0 to {last}, not {partition}")]
    NoPartition { topic: Arc<str>, partition: i32, last: i32 },
    /// The record's transaction was aborted.
    #[error("transaction of the record was aborted")]
    Aborted,
    /// The producer has no transactional id.
    #[error("producer is not transactional")]
    NotTransactional,
    /// The producer was closed.
    #[error("producer is closed")]
    Closed,
    /// Batches could not be stored: the producer takes no more records, unless its transaction is aborted.
    #[error("records were not stored")]
    Client(#[from] ClientError),
}
