//! The `OffsetFetch` API.

use uuid::Uuid;

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 6;

    /// The `OffsetFetch` request, versions 1 to 10.
    pub struct OffsetFetchRequest {
        group_id: String [until(7).required()],
        /// Null asks for all topics of the group. Up to version 7; later `groups`.
        topics: Option<Vec<OffsetFetchRequestTopic>> [until(7).nullable(2).required()],
        groups: Vec<OffsetFetchRequestGroup> [since(8).required()],
        /// Whether offsets of open transactions are an error instead of being left out (KIP-447).
        require_stable: bool [since(7).required()],
    }

    /// An element of [`OffsetFetchRequest::topics`].
    pub struct OffsetFetchRequestTopic {
        name: String,
        partition_indexes: Vec<i32>,
    }

    /// An element of [`OffsetFetchRequest::groups`].
    pub struct OffsetFetchRequestGroup {
        group_id: String,
        member_id: Option<String> [since(9)],
        member_epoch: i32 [since(9)] = -1,
        /// Null asks for all topics of the group.
        topics: Option<Vec<OffsetFetchRequestTopics>>,
    }

    /// An element of [`OffsetFetchRequestGroup::topics`].
    pub struct OffsetFetchRequestTopics {
        name: String [until(9)],
        topic_id: Uuid [since(10).required()],
        partition_indexes: Vec<i32>,
    }

    /// The `OffsetFetch` response, versions 1 to 10.
    pub struct OffsetFetchResponse {
        throttle_time_ms: i32 [since(3)],
        topics: Vec<OffsetFetchResponseTopic> [until(7).required()],
        error_code: ErrorCode [since(2).until(7)],
        groups: Vec<OffsetFetchResponseGroup> [since(8).required()],
    }

    /// An element of [`OffsetFetchResponse::topics`].
    pub struct OffsetFetchResponseTopic {
        name: String,
        partitions: Vec<OffsetFetchResponsePartition>,
    }

    /// An element of [`OffsetFetchResponseTopic::partitions`].
    pub struct OffsetFetchResponsePartition {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 [since(5)] = -1,
        metadata: Option<String>,
        error_code: ErrorCode,
    }

    /// An element of [`OffsetFetchResponse::groups`].
    pub struct OffsetFetchResponseGroup {
        group_id: String,
        topics: Vec<OffsetFetchResponseTopics>,
        error_code: ErrorCode,
    }

    /// An element of [`OffsetFetchResponseGroup::topics`].
    pub struct OffsetFetchResponseTopics {
        name: String [until(9)],
        topic_id: Uuid [since(10)],
        partitions: Vec<OffsetFetchResponsePartitions>,
    }

    /// An element of [`OffsetFetchResponseTopics::partitions`].
    pub struct OffsetFetchResponsePartitions {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 = -1,
        metadata: Option<String>,
        error_code: ErrorCode,
    }
}
