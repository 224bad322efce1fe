//! The `ListPartitionReassignments` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 0;

    /// The `ListPartitionReassignments` request, version 0.
    pub struct ListPartitionReassignmentsRequest {
        timeout_ms: i32 = 60_000,
        /// Null asks for all partitions.
        topics: Option<Vec<ListPartitionReassignmentsTopics>>,
    }

    /// An element of [`ListPartitionReassignmentsRequest::topics`].
    pub struct ListPartitionReassignmentsTopics {
        name: String,
        partition_indexes: Vec<i32>,
    }

    /// The `ListPartitionReassignments` response, version 0.
    pub struct ListPartitionReassignmentsResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
        topics: Vec<OngoingTopicReassignment>,
    }

    /// An element of [`ListPartitionReassignmentsResponse::topics`].
    pub struct OngoingTopicReassignment {
        name: String,
        partitions: Vec<OngoingPartitionReassignment>,
    }

    /// An element of [`OngoingTopicReassignment::partitions`].
    pub struct OngoingPartitionReassignment {
        partition_index: i32,
        replicas: Vec<i32>,
        adding_replicas: Vec<i32>,
        removing_replicas: Vec<i32>,
    }
}
