//! The `DescribeConfigs` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 4;

    /// The `DescribeConfigs` request, versions 1 to 4.
    pub struct DescribeConfigsRequest {
        resources: Vec<DescribeConfigsResource>,
        include_synonyms: bool,
        include_documentation: bool [since(3).required()],
    }

    /// An element of [`DescribeConfigsRequest::resources`].
    pub struct DescribeConfigsResource {
        /// 2: topic; 4: broker; 8: broker logger; 32: group.
        resource_type: i8,
        resource_name: String,
        configuration_keys: Option<Vec<String>>,
    }

    /// The `DescribeConfigs` response, versions 1 to 4.
    pub struct DescribeConfigsResponse {
        throttle_time_ms: i32,
        results: Vec<DescribeConfigsResult>,
    }

    /// An element of [`DescribeConfigsResponse::results`].
    pub struct DescribeConfigsResult {
        error_code: ErrorCode,
        error_message: Option<String>,
        resource_type: i8,
        resource_name: String,
        configs: Vec<DescribeConfigsResourceResult>,
    }

    /// An element of [`DescribeConfigsResult::configs`].
    pub struct DescribeConfigsResourceResult {
        name: String,
        value: Option<String>,
        read_only: bool,
        config_source: i8 = -1,
        is_sensitive: bool,
        synonyms: Vec<DescribeConfigsSynonym>,
        config_type: i8 [since(3)],
        documentation: Option<String> [since(3)],
    }

    /// An element of [`DescribeConfigsResourceResult::synonyms`].
    pub struct DescribeConfigsSynonym {
        name: String,
        value: Option<String>,
        source: i8,
    }
}
