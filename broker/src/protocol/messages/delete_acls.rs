//! The `DeleteAcls` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 2;

    /// The `DeleteAcls` request, versions 1 to 3.
    pub struct DeleteAclsRequest {
        filters: Vec<DeleteAclsFilter>,
    }

    /// An element of [`DeleteAclsRequest::filters`].
    pub struct DeleteAclsFilter {
        resource_type_filter: i8,
        /// Null matches every name.
        resource_name_filter: Option<String>,
        pattern_type_filter: i8 [since(1)] = 3,
        principal_filter: Option<String>,
        host_filter: Option<String>,
        operation: i8,
        permission_type: i8,
    }

    /// The `DeleteAcls` response, versions 1 to 3.
    pub struct DeleteAclsResponse {
        throttle_time_ms: i32,
        filter_results: Vec<DeleteAclsFilterResult>,
    }

    /// An element of [`DeleteAclsResponse::filter_results`].
    pub struct DeleteAclsFilterResult {
        error_code: ErrorCode,
        error_message: Option<String>,
        matching_acls: Vec<DeleteAclsMatchingAcl>,
    }

    /// An element of [`DeleteAclsFilterResult::matching_acls`].
    pub struct DeleteAclsMatchingAcl {
        error_code: ErrorCode,
        error_message: Option<String>,
        resource_type: i8,
        resource_name: String,
        pattern_type: i8 [since(1)] = 3,
        principal: String,
        host: String,
        operation: i8,
        permission_type: i8,
    }
}
