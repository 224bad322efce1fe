//! The `LeaveGroup` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 4;

    /// The `LeaveGroup` request, versions 0 to 5.
    pub struct LeaveGroupRequest {
        group_id: String,
        member_id: String [until(2).required()],
        members: Vec<MemberIdentity> [since(3).required()],
    }

    /// An element of [`LeaveGroupRequest::members`].
    pub struct MemberIdentity {
        member_id: String,
        group_instance_id: Option<String>,
        reason: Option<String> [since(5)],
    }

    /// The `LeaveGroup` response, versions 0 to 5.
    pub struct LeaveGroupResponse {
        throttle_time_ms: i32 [since(1)],
        error_code: ErrorCode,
        members: Vec<MemberResponse> [since(3).required()],
    }

    /// An element of [`LeaveGroupResponse::members`].
    pub struct MemberResponse {
        member_id: String,
        group_instance_id: Option<String>,
        error_code: ErrorCode,
    }
}
