//! The `IncrementalAlterConfigs` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 1;

    /// The `IncrementalAlterConfigs` request, versions 0 to 1.
    pub struct IncrementalAlterConfigsRequest {
        resources: Vec<AlterConfigsResource>,
        validate_only: bool,
    }

    /// An element of [`IncrementalAlterConfigsRequest::resources`].
    pub struct AlterConfigsResource {
        resource_type: i8,
        resource_name: String,
        configs: Vec<AlterableConfig>,
    }

    /// An element of [`AlterConfigsResource::configs`].
    pub struct AlterableConfig {
        name: String,
        config_operation: i8,
        value: Option<String>,
    }

    /// The `IncrementalAlterConfigs` response, versions 0 to 1.
    pub struct IncrementalAlterConfigsResponse {
        throttle_time_ms: i32,
        responses: Vec<AlterConfigsResourceResponse>,
    }

    /// An element of [`IncrementalAlterConfigsResponse::responses`].
    pub struct AlterConfigsResourceResponse {
        error_code: ErrorCode,
        error_message: Option<String>,
        resource_type: i8,
        resource_name: String,
    }
}
