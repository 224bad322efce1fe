//! The `ListGroups` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 3;

    /// The `ListGroups` request, versions 0 to 5.
    pub struct ListGroupsRequest {
        states_filter: Vec<String> [since(4).required()],
        types_filter: Vec<String> [since(5).required()],
    }

    /// The `ListGroups` response, versions 0 to 5.
    pub struct ListGroupsResponse {
        throttle_time_ms: i32 [since(1)],
        error_code: ErrorCode,
        groups: Vec<ListedGroup>,
    }

    /// An element of [`ListGroupsResponse::groups`].
    pub struct ListedGroup {
        group_id: String,
        protocol_type: String,
        group_state: String [since(4)],
        group_type: String [since(5)],
    }
}
