//! The `AddPartitionsToTxn` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 3;

    /// The `AddPartitionsToTxn` request, versions 0 to 5.
    pub struct AddPartitionsToTxnRequest {
        /// Since version 4, which only brokers send; clients use the `v3_and_below` fields.
        transactions: Vec<AddPartitionsToTxnTransaction> [since(4).required()],
        v3_and_below_transactional_id: String [until(3).required()],
        v3_and_below_producer_id: i64 [until(3).required()],
        v3_and_below_producer_epoch: i16 [until(3).required()],
        v3_and_below_topics: Vec<AddPartitionsToTxnTopic> [until(3).required()],
    }

    /// An element of [`AddPartitionsToTxnRequest::transactions`].
    pub struct AddPartitionsToTxnTransaction {
        transactional_id: String,
        producer_id: i64,
        producer_epoch: i16,
        verify_only: bool,
        topics: Vec<AddPartitionsToTxnTopic>,
    }

    /// An element of [`AddPartitionsToTxnRequest::v3_and_below_topics`].
    pub struct AddPartitionsToTxnTopic {
        name: String,
        partitions: Vec<i32>,
    }

    /// The `AddPartitionsToTxn` response, versions 0 to 5.
    pub struct AddPartitionsToTxnResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode [since(4)],
        results_by_transaction: Vec<AddPartitionsToTxnResult> [since(4).required()],
        results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult> [until(3).required()],
    }

    /// An element of [`AddPartitionsToTxnResponse::results_by_transaction`].
    pub struct AddPartitionsToTxnResult {
        transactional_id: String,
        topic_results: Vec<AddPartitionsToTxnTopicResult>,
    }

    /// An element of [`AddPartitionsToTxnResponse::results_by_topic_v3_and_below`].
    pub struct AddPartitionsToTxnTopicResult {
        name: String,
        results_by_partition: Vec<AddPartitionsToTxnPartitionResult>,
    }

    /// An element of [`AddPartitionsToTxnTopicResult::results_by_partition`].
    pub struct AddPartitionsToTxnPartitionResult {
        partition_index: i32,
        partition_error_code: ErrorCode,
    }
}
