//! The `DeleteTopics` API.

use uuid::Uuid;

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 4;

    /// The `DeleteTopics` request, versions 1 to 6.
    pub struct DeleteTopicsRequest {
        /// Names or ids, since version 6; before, `topic_names`.
        topics: Vec<DeleteTopicState> [since(6).required()],
        topic_names: Vec<String> [until(5)],
        timeout_ms: i32,
    }

    /// An element of [`DeleteTopicsRequest::topics`].
    pub struct DeleteTopicState {
        name: Option<String> [nullable(6)],
        topic_id: Uuid,
    }

    /// The `DeleteTopics` response, versions 1 to 6.
    pub struct DeleteTopicsResponse {
        throttle_time_ms: i32,
        responses: Vec<DeletableTopicResult>,
    }

    /// An element of [`DeleteTopicsResponse::responses`].
    pub struct DeletableTopicResult {
        name: Option<String> [nullable(6)],
        topic_id: Uuid [since(6)],
        error_code: ErrorCode,
        error_message: Option<String> [since(5)],
    }
}
