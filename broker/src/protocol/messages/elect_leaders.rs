//! The `ElectLeaders` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 2;

    /// The `ElectLeaders` request, versions 0 to 2.
    pub struct ElectLeadersRequest {
        /// 0: the preferred leader, 1: any replica if there is no other way.
        election_type: i8 [since(1).required()],
        /// Null asks for all partitions.
        topic_partitions: Option<Vec<TopicPartitions>>,
        timeout_ms: i32 = 60_000,
    }

    /// An element of [`ElectLeadersRequest::topic_partitions`].
    pub struct TopicPartitions {
        topic: String,
        partitions: Vec<i32>,
    }

    /// The `ElectLeaders` response, versions 0 to 2.
    pub struct ElectLeadersResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode [since(1)],
        replica_election_results: Vec<ReplicaElectionResult>,
    }

    /// An element of [`ElectLeadersResponse::replica_election_results`].
    pub struct ReplicaElectionResult {
        topic: String,
        partition_result: Vec<PartitionResult>,
    }

    /// An element of [`ReplicaElectionResult::partition_result`].
    pub struct PartitionResult {
        partition_id: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
    }
}
