//! The `OffsetForLeaderEpoch` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 4;

    /// The `OffsetForLeaderEpoch` request, versions 2 to 4.
    pub struct OffsetForLeaderEpochRequest {
        replica_id: i32 [since(3)] = -2,
        topics: Vec<OffsetForLeaderTopic>,
    }

    /// An element of [`OffsetForLeaderEpochRequest::topics`].
    pub struct OffsetForLeaderTopic {
        topic: String,
        partitions: Vec<OffsetForLeaderPartition>,
    }

    /// An element of [`OffsetForLeaderTopic::partitions`].
    pub struct OffsetForLeaderPartition {
        partition: i32,
        current_leader_epoch: i32 = -1,
        leader_epoch: i32,
    }

    /// The `OffsetForLeaderEpoch` response, versions 2 to 4.
    pub struct OffsetForLeaderEpochResponse {
        throttle_time_ms: i32,
        topics: Vec<OffsetForLeaderTopicResult>,
    }

    /// An element of [`OffsetForLeaderEpochResponse::topics`].
    pub struct OffsetForLeaderTopicResult {
        topic: String,
        partitions: Vec<EpochEndOffset>,
    }

    /// An element of [`OffsetForLeaderTopicResult::partitions`].
    pub struct EpochEndOffset {
        error_code: ErrorCode,
        partition: i32,
        leader_epoch: i32 = -1,
        end_offset: i64 = -1,
    }
}
