//! The `CreateAcls` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 2;

    /// The `CreateAcls` request, versions 1 to 3.
    pub struct CreateAclsRequest {
        creations: Vec<AclCreation>,
    }

    /// An element of [`CreateAclsRequest::creations`].
    pub struct AclCreation {
        resource_type: i8,
        resource_name: String,
        resource_pattern_type: i8 [since(1)] = 3,
        principal: String,
        host: String,
        operation: i8,
        permission_type: i8,
    }

    /// The `CreateAcls` response, versions 1 to 3.
    pub struct CreateAclsResponse {
        throttle_time_ms: i32,
        results: Vec<AclCreationResult>,
    }

    /// An element of [`CreateAclsResponse::results`].
    pub struct AclCreationResult {
        error_code: ErrorCode,
        error_message: Option<String>,
    }
}
