//! The `DescribeQuorum` API.

use uuid::Uuid;

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 0;

    /// The `DescribeQuorum` request, versions 0 to 2.
    pub struct DescribeQuorumRequest {
        topics: Vec<WantedTopic>,
    }

    /// An element of [`DescribeQuorumRequest::topics`].
    pub struct WantedTopic {
        topic_name: String,
        partitions: Vec<WantedPartition>,
    }

    /// An element of [`WantedTopic::partitions`].
    pub struct WantedPartition {
        partition_index: i32,
    }

    /// The `DescribeQuorum` response, versions 0 to 2.
    pub struct DescribeQuorumResponse {
        error_code: ErrorCode,
        error_message: Option<String> [since(2)],
        topics: Vec<QuorumTopic>,
        nodes: Vec<QuorumNode> [since(2)],
    }

    /// An element of [`DescribeQuorumResponse::topics`].
    pub struct QuorumTopic {
        topic_name: String,
        partitions: Vec<QuorumPartition>,
    }

    /// An element of [`QuorumTopic::partitions`].
    pub struct QuorumPartition {
        partition_index: i32,
        error_code: ErrorCode,
        error_message: Option<String> [since(2)],
        leader_id: i32,
        leader_epoch: i32,
        high_watermark: i64,
        current_voters: Vec<ReplicaState>,
        observers: Vec<ReplicaState>,
    }

    /// An element of [`QuorumPartition::current_voters`] and [`QuorumPartition::observers`].
    pub struct ReplicaState {
        replica_id: i32,
        replica_directory_id: Uuid [since(2)],
        log_end_offset: i64,
        /// When the leader last heard of it. Units: ms since epoch.
        last_fetch_timestamp: i64 [since(1)] = -1,
        last_caught_up_timestamp: i64 [since(1)] = -1,
    }

    /// An element of [`DescribeQuorumResponse::nodes`].
    pub struct QuorumNode {
        node_id: i32,
        listeners: Vec<QuorumListener>,
    }

    /// An element of [`QuorumNode::listeners`].
    pub struct QuorumListener {
        name: String,
        host: String,
        port: u16,
    }
}
