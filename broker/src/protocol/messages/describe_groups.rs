//! The `DescribeGroups` API.

use bytes::Bytes;

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 5;

    /// The `DescribeGroups` request, versions 0 to 6.
    pub struct DescribeGroupsRequest {
        groups: Vec<String>,
        include_authorized_operations: bool [since(3).required()],
    }

    /// The `DescribeGroups` response, versions 0 to 6.
    pub struct DescribeGroupsResponse {
        throttle_time_ms: i32 [since(1)],
        groups: Vec<DescribedGroup>,
    }

    /// An element of [`DescribeGroupsResponse::groups`].
    pub struct DescribedGroup {
        error_code: ErrorCode,
        error_message: Option<String> [since(6).required()],
        group_id: String,
        group_state: String,
        protocol_type: String,
        protocol_data: String,
        members: Vec<DescribedGroupMember>,
        authorized_operations: i32 [since(3).required()] = i32::MIN,
    }

    /// An element of [`DescribedGroup::members`].
    pub struct DescribedGroupMember {
        member_id: String,
        group_instance_id: Option<String> [since(4)],
        client_id: String,
        client_host: String,
        member_metadata: Bytes,
        member_assignment: Bytes,
    }
}
