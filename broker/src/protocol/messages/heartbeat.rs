//! The `Heartbeat` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 4;

    /// The `Heartbeat` request, versions 0 to 4.
    pub struct HeartbeatRequest {
        group_id: String,
        generation_id: i32,
        member_id: String,
        group_instance_id: Option<String> [since(3).required()],
    }

    /// The `Heartbeat` response, versions 0 to 4.
    pub struct HeartbeatResponse {
        throttle_time_ms: i32 [since(1)],
        error_code: ErrorCode,
    }
}
