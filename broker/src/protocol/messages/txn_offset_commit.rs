//! The `TxnOffsetCommit` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 3;

    /// The `TxnOffsetCommit` request, versions 0 to 5.
    pub struct TxnOffsetCommitRequest {
        transactional_id: String,
        group_id: String,
        producer_id: i64,
        producer_epoch: i16,
        generation_id: i32 [since(3).required()] = -1,
        member_id: String [since(3).required()],
        group_instance_id: Option<String> [since(3).required()],
        topics: Vec<TxnOffsetCommitRequestTopic>,
    }

    /// An element of [`TxnOffsetCommitRequest::topics`].
    pub struct TxnOffsetCommitRequestTopic {
        name: String,
        partitions: Vec<TxnOffsetCommitRequestPartition>,
    }

    /// An element of [`TxnOffsetCommitRequestTopic::partitions`].
    pub struct TxnOffsetCommitRequestPartition {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 [since(2)] = -1,
        committed_metadata: Option<String>,
    }

    /// The `TxnOffsetCommit` response, versions 0 to 5.
    pub struct TxnOffsetCommitResponse {
        throttle_time_ms: i32,
        topics: Vec<TxnOffsetCommitResponseTopic>,
    }

    /// An element of [`TxnOffsetCommitResponse::topics`].
    pub struct TxnOffsetCommitResponseTopic {
        name: String,
        partitions: Vec<TxnOffsetCommitResponsePartition>,
    }

    /// An element of [`TxnOffsetCommitResponseTopic::partitions`].
    pub struct TxnOffsetCommitResponsePartition {
        partition_index: i32,
        error_code: ErrorCode,
    }
}
