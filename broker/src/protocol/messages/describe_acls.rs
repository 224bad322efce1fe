//! The `DescribeAcls` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 2;

    /// The `DescribeAcls` request, versions 1 to 3: a filter of rules.
    pub struct DescribeAclsRequest {
        resource_type_filter: i8,
        /// Null matches every name.
        resource_name_filter: Option<String>,
        pattern_type_filter: i8 [since(1)] = 3,
        principal_filter: Option<String>,
        host_filter: Option<String>,
        operation: i8,
        permission_type: i8,
    }

    /// The `DescribeAcls` response, versions 1 to 3.
    pub struct DescribeAclsResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
        resources: Vec<DescribeAclsResource>,
    }

    /// An element of [`DescribeAclsResponse::resources`].
    pub struct DescribeAclsResource {
        resource_type: i8,
        resource_name: String,
        pattern_type: i8 [since(1)] = 3,
        acls: Vec<AclDescription>,
    }

    /// An element of [`DescribeAclsResource::acls`].
    pub struct AclDescription {
        principal: String,
        host: String,
        operation: i8,
        permission_type: i8,
    }
}
