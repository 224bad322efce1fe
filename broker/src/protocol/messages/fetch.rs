//! The `Fetch` API.

use bytes::Bytes;
use uuid::Uuid;

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 12;

    /// The `Fetch` request, versions 4 to 18.
    pub struct FetchRequest {
        /// The follower that fetches; -1 for consumers. Moved to `replica_state` in version 15.
        replica_id: i32 [until(14).required()] = -1,
        /// How long to wait for `min_bytes` to be there.
        max_wait_ms: i32,
        min_bytes: i32,
        max_bytes: i32 = i32::MAX,
        /// 0: read uncommitted; 1: read committed.
        isolation_level: i8,
        /// 0 asks for a session or for a full fetch (KIP-227).
        session_id: i32 [since(7)],
        /// 0 begins a session, -1 ends it or does without.
        session_epoch: i32 [since(7)] = -1,
        topics: Vec<FetchTopic>,
        forgotten_topics_data: Vec<ForgottenTopic> [since(7).required()],
        rack_id: String [since(11)],
        cluster_id: Option<String> [since(12).tag(0)],
        replica_state: ReplicaState [since(15).tag(1)],
    }

    /// The value of [`FetchRequest::replica_state`].
    pub struct ReplicaState {
        replica_id: i32 = -1,
        replica_epoch: i64 = -1,
    }

    /// An element of [`FetchRequest::topics`].
    pub struct FetchTopic {
        topic: String [until(12)],
        topic_id: Uuid [since(13)],
        partitions: Vec<FetchPartition>,
    }

    /// An element of [`FetchTopic::partitions`].
    pub struct FetchPartition {
        partition: i32,
        current_leader_epoch: i32 [since(9)] = -1,
        fetch_offset: i64,
        last_fetched_epoch: i32 [since(12).required()] = -1,
        log_start_offset: i64 [since(5)] = -1,
        partition_max_bytes: i32,
        replica_directory_id: Uuid [since(17).tag(0)],
        high_watermark: i64 [since(18).tag(1)] = i64::MAX,
    }

    /// An element of [`FetchRequest::forgotten_topics_data`].
    pub struct ForgottenTopic {
        topic: String [until(12)],
        topic_id: Uuid [since(13)],
        partitions: Vec<i32>,
    }

    /// The `Fetch` response, versions 4 to 18.
    pub struct FetchResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode [since(7)],
        session_id: i32 [since(7).required()],
        responses: Vec<FetchableTopicResponse>,
        node_endpoints: Vec<NodeEndpoint> [since(16).tag(0)],
    }

    /// An element of [`FetchResponse::responses`].
    pub struct FetchableTopicResponse {
        topic: String [until(12)],
        topic_id: Uuid [since(13)],
        partitions: Vec<PartitionData>,
    }

    /// An element of [`FetchableTopicResponse::partitions`].
    pub struct PartitionData {
        partition_index: i32,
        error_code: ErrorCode,
        high_watermark: i64,
        last_stable_offset: i64 = -1,
        log_start_offset: i64 [since(5)] = -1,
        /// Null when the request is read uncommitted.
        aborted_transactions: Option<Vec<AbortedTransaction>>,
        preferred_read_replica: i32 [since(11).required()] = -1,
        /// Record batches, as they are stored; the last may be cut off.
        records: Option<Bytes>,
        diverging_epoch: EpochEndOffset [since(12).tag(0)],
        current_leader: LeaderIdAndEpoch [since(12).tag(1)],
        snapshot_id: SnapshotId [since(12).tag(2)],
    }

    /// The value of [`PartitionData::diverging_epoch`].
    pub struct EpochEndOffset {
        epoch: i32 = -1,
        end_offset: i64 = -1,
    }

    /// The value of [`PartitionData::current_leader`].
    pub struct LeaderIdAndEpoch {
        leader_id: i32 = -1,
        leader_epoch: i32 = -1,
    }

    /// The value of [`PartitionData::snapshot_id`].
    pub struct SnapshotId {
        end_offset: i64 = -1,
        epoch: i32 = -1,
    }

    /// An element of [`PartitionData::aborted_transactions`].
    pub struct AbortedTransaction {
        producer_id: i64,
        first_offset: i64,
    }

    /// An element of [`FetchResponse::node_endpoints`].
    pub struct NodeEndpoint {
        node_id: i32,
        host: String,
        port: i32,
        rack: Option<String>,
    }
}
