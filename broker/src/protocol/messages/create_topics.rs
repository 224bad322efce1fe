//! The `CreateTopics` API.

use uuid::Uuid;

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 5;

    /// The `CreateTopics` request, versions 2 to 7.
    pub struct CreateTopicsRequest {
        topics: Vec<CreatableTopic>,
        timeout_ms: i32 = 60000,
        validate_only: bool,
    }

    /// An element of [`CreateTopicsRequest::topics`].
    pub struct CreatableTopic {
        name: String,
        /// -1 for the default of the broker, or with `assignments`.
        num_partitions: i32,
        /// -1 for the default of the broker, or with `assignments`.
        replication_factor: i16,
        assignments: Vec<CreatableReplicaAssignment>,
        configs: Vec<CreatableTopicConfig>,
    }

    /// An element of [`CreatableTopic::assignments`].
    pub struct CreatableReplicaAssignment {
        partition_index: i32,
        broker_ids: Vec<i32>,
    }

    /// An element of [`CreatableTopic::configs`].
    pub struct CreatableTopicConfig {
        name: String,
        value: Option<String>,
    }

    /// The `CreateTopics` response, versions 2 to 7.
    pub struct CreateTopicsResponse {
        throttle_time_ms: i32,
        topics: Vec<CreatableTopicResult>,
    }

    /// An element of [`CreateTopicsResponse::topics`].
    pub struct CreatableTopicResult {
        name: String,
        topic_id: Uuid [since(7)],
        error_code: ErrorCode,
        error_message: Option<String>,
        num_partitions: i32 [since(5)] = -1,
        replication_factor: i16 [since(5)] = -1,
        configs: Option<Vec<CreatableTopicConfigs>> [since(5)],
        topic_config_error_code: ErrorCode [since(5).tag(0)],
    }

    /// An element of [`CreatableTopicResult::configs`].
    pub struct CreatableTopicConfigs {
        name: String,
        value: Option<String>,
        read_only: bool,
        config_source: i8 = -1,
        is_sensitive: bool,
    }
}
