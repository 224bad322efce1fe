//! The `ListOffsets` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 6;

    /// The `ListOffsets` request, versions 1 to 11.
    pub struct ListOffsetsRequest {
        /// -1 for consumers.
        replica_id: i32,
        /// 0: read uncommitted; 1: read committed.
        isolation_level: i8 [since(2).required()],
        topics: Vec<ListOffsetsTopic>,
        timeout_ms: i32 [since(10)],
    }

    /// An element of [`ListOffsetsRequest::topics`].
    pub struct ListOffsetsTopic {
        name: String,
        partitions: Vec<ListOffsetsPartition>,
    }

    /// An element of [`ListOffsetsTopic::partitions`].
    pub struct ListOffsetsPartition {
        partition_index: i32,
        current_leader_epoch: i32 [since(4)] = -1,
        /// Milliseconds since the epoch, or -1: end of the log, -2: its start, -3: the highest timestamp (since
        /// version 7), -4: start of the local log (since 8), -5: end of the tiered log (since 9), -6: what waits for
        /// upload (since 11).
        timestamp: i64,
    }

    /// The `ListOffsets` response, versions 1 to 11.
    pub struct ListOffsetsResponse {
        throttle_time_ms: i32 [since(2)],
        topics: Vec<ListOffsetsTopicResponse>,
    }

    /// An element of [`ListOffsetsResponse::topics`].
    pub struct ListOffsetsTopicResponse {
        name: String,
        partitions: Vec<ListOffsetsPartitionResponse>,
    }

    /// An element of [`ListOffsetsTopicResponse::partitions`].
    pub struct ListOffsetsPartitionResponse {
        partition_index: i32,
        error_code: ErrorCode,
        timestamp: i64 = -1,
        offset: i64 = -1,
        leader_epoch: i32 [since(4).required()] = -1,
    }
}
