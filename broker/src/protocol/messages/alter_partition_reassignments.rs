//! The `AlterPartitionReassignments` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 0;

    /// The `AlterPartitionReassignments` request, versions 0 to 1.
    pub struct AlterPartitionReassignmentsRequest {
        timeout_ms: i32 = 60_000,
        allow_replication_factor_change: bool [since(1).required()] = true,
        topics: Vec<ReassignableTopic>,
    }

    /// An element of [`AlterPartitionReassignmentsRequest::topics`].
    pub struct ReassignableTopic {
        name: String,
        partitions: Vec<ReassignablePartition>,
    }

    /// An element of [`ReassignableTopic::partitions`].
    pub struct ReassignablePartition {
        partition_index: i32,
        /// Null cancels a reassignment under way.
        replicas: Option<Vec<i32>>,
    }

    /// The `AlterPartitionReassignments` response, versions 0 to 1.
    pub struct AlterPartitionReassignmentsResponse {
        throttle_time_ms: i32,
        allow_replication_factor_change: bool [since(1)] = true,
        error_code: ErrorCode,
        error_message: Option<String>,
        responses: Vec<ReassignableTopicResponse>,
    }

    /// An element of [`AlterPartitionReassignmentsResponse::responses`].
    pub struct ReassignableTopicResponse {
        name: String,
        partitions: Vec<ReassignablePartitionResponse>,
    }

    /// An element of [`ReassignableTopicResponse::partitions`].
    pub struct ReassignablePartitionResponse {
        partition_index: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
    }
}
