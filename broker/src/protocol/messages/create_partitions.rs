//! The `CreatePartitions` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 2;

    /// The `CreatePartitions` request, versions 0 to 3.
    pub struct CreatePartitionsRequest {
        topics: Vec<CreatePartitionsTopic>,
        timeout_ms: i32,
        validate_only: bool,
    }

    /// An element of [`CreatePartitionsRequest::topics`].
    pub struct CreatePartitionsTopic {
        name: String,
        count: i32,
        assignments: Option<Vec<CreatePartitionsAssignment>>,
    }

    /// An element of [`CreatePartitionsTopic::assignments`].
    pub struct CreatePartitionsAssignment {
        broker_ids: Vec<i32>,
    }

    /// The `CreatePartitions` response, versions 0 to 3.
    pub struct CreatePartitionsResponse {
        throttle_time_ms: i32,
        results: Vec<CreatePartitionsTopicResult>,
    }

    /// An element of [`CreatePartitionsResponse::results`].
    pub struct CreatePartitionsTopicResult {
        name: String,
        error_code: ErrorCode,
        error_message: Option<String>,
    }
}
