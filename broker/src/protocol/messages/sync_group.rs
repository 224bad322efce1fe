//! The `SyncGroup` API.

use bytes::Bytes;

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 4;

    /// The `SyncGroup` request, versions 0 to 5.
    pub struct SyncGroupRequest {
        group_id: String,
        generation_id: i32,
        member_id: String,
        group_instance_id: Option<String> [since(3).required()],
        protocol_type: Option<String> [since(5)],
        protocol_name: Option<String> [since(5)],
        assignments: Vec<SyncGroupRequestAssignment>,
    }

    /// An element of [`SyncGroupRequest::assignments`].
    pub struct SyncGroupRequestAssignment {
        member_id: String,
        assignment: Bytes,
    }

    /// The `SyncGroup` response, versions 0 to 5.
    pub struct SyncGroupResponse {
        throttle_time_ms: i32 [since(1)],
        error_code: ErrorCode,
        protocol_type: Option<String> [since(5)],
        protocol_name: Option<String> [since(5)],
        assignment: Bytes,
    }
}
