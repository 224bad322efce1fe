//! The `ListConfigResources` API; version 0 was called `ListClientMetricsResources`.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

/// The type of subscriptions to client metrics, the only one version 0 knows.
pub const CLIENT_METRICS: i8 = 16;

message! {
    flexible 0;

    /// The `ListConfigResources` request, versions 0 to 1.
    pub struct ListConfigResourcesRequest {
        /// Empty: every type.
        resource_types: Vec<i8> [since(1).required()],
    }

    /// The `ListConfigResources` response, versions 0 to 1.
    pub struct ListConfigResourcesResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        config_resources: Vec<ConfigResource>,
    }

    /// An element of [`ListConfigResourcesResponse::config_resources`].
    pub struct ConfigResource {
        resource_name: String,
        resource_type: i8 [since(1)] = CLIENT_METRICS,
    }
}
