//! The `DeleteGroups` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 2;

    /// The `DeleteGroups` request, versions 0 to 2.
    pub struct DeleteGroupsRequest {
        groups_names: Vec<String>,
    }

    /// The `DeleteGroups` response, versions 0 to 2.
    pub struct DeleteGroupsResponse {
        throttle_time_ms: i32,
        results: Vec<DeletableGroupResult>,
    }

    /// An element of [`DeleteGroupsResponse::results`].
    pub struct DeletableGroupResult {
        group_id: String,
        error_code: ErrorCode,
    }
}
