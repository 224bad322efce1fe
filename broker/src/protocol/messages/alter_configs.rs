//! The `AlterConfigs` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 2;

    /// The `AlterConfigs` request, versions 0 to 2.
    pub struct AlterConfigsRequest {
        resources: Vec<AlterConfigsResource>,
        validate_only: bool,
    }

    /// An element of [`AlterConfigsRequest::resources`].
    pub struct AlterConfigsResource {
        resource_type: i8,
        resource_name: String,
        configs: Vec<AlterableConfig>,
    }

    /// An element of [`AlterConfigsResource::configs`].
    pub struct AlterableConfig {
        name: String,
        value: Option<String>,
    }

    /// The `AlterConfigs` response, versions 0 to 2.
    pub struct AlterConfigsResponse {
        throttle_time_ms: i32,
        responses: Vec<AlterConfigsResourceResponse>,
    }

    /// An element of [`AlterConfigsResponse::responses`].
    pub struct AlterConfigsResourceResponse {
        error_code: ErrorCode,
        error_message: Option<String>,
        resource_type: i8,
        resource_name: String,
    }
}
