//! The `OffsetCommit` API.

use uuid::Uuid;

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 8;

    /// The `OffsetCommit` request, versions 2 to 10.
    pub struct OffsetCommitRequest {
        group_id: String,
        generation_id_or_member_epoch: i32 = -1,
        member_id: String,
        group_instance_id: Option<String> [since(7).required()],
        retention_time_ms: i64 [until(4)] = -1,
        topics: Vec<OffsetCommitRequestTopic>,
    }

    /// An element of [`OffsetCommitRequest::topics`].
    pub struct OffsetCommitRequestTopic {
        name: String [until(9)],
        topic_id: Uuid [since(10).required()],
        partitions: Vec<OffsetCommitRequestPartition>,
    }

    /// An element of [`OffsetCommitRequestTopic::partitions`].
    pub struct OffsetCommitRequestPartition {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 [since(6)] = -1,
        committed_metadata: Option<String>,
    }

    /// The `OffsetCommit` response, versions 2 to 10.
    pub struct OffsetCommitResponse {
        throttle_time_ms: i32 [since(3)],
        topics: Vec<OffsetCommitResponseTopic>,
    }

    /// An element of [`OffsetCommitResponse::topics`].
    pub struct OffsetCommitResponseTopic {
        name: String [until(9)],
        topic_id: Uuid [since(10)],
        partitions: Vec<OffsetCommitResponsePartition>,
    }

    /// An element of [`OffsetCommitResponseTopic::partitions`].
    pub struct OffsetCommitResponsePartition {
        partition_index: i32,
        error_code: ErrorCode,
    }
}
