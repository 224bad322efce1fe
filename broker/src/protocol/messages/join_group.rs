//! The `JoinGroup` API.

use bytes::Bytes;

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 6;

    /// The `JoinGroup` request, versions 0 to 9.
    pub struct JoinGroupRequest {
        group_id: String,
        session_timeout_ms: i32,
        /// How long members may take to rejoin; -1 means `session_timeout_ms`.
        rebalance_timeout_ms: i32 [since(1)] = -1,
        member_id: String,
        group_instance_id: Option<String> [since(5).required()],
        protocol_type: String,
        protocols: Vec<JoinGroupRequestProtocol>,
        reason: Option<String> [since(8)],
    }

    /// An element of [`JoinGroupRequest::protocols`].
    pub struct JoinGroupRequestProtocol {
        name: String,
        metadata: Bytes,
    }

    /// The `JoinGroup` response, versions 0 to 9.
    pub struct JoinGroupResponse {
        throttle_time_ms: i32 [since(2)],
        error_code: ErrorCode,
        generation_id: i32 = -1,
        protocol_type: Option<String> [since(7)],
        /// Never null below version 7, where an empty string says that there is none.
        protocol_name: Option<String> [nullable(7)],
        leader: String,
        skip_assignment: bool [since(9).required()],
        member_id: String,
        members: Vec<JoinGroupResponseMember>,
    }

    /// An element of [`JoinGroupResponse::members`].
    pub struct JoinGroupResponseMember {
        member_id: String,
        group_instance_id: Option<String> [since(5)],
        metadata: Bytes,
    }
}
