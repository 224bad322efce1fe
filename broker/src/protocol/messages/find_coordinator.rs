//! The `FindCoordinator` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 3;

    /// The `FindCoordinator` request, versions 0 to 6.
    pub struct FindCoordinatorRequest {
        /// Group or transactional id, up to version 3; later `coordinator_keys`.
        key: String [until(3).required()],
        /// 0: group; 1: transaction; 2: share group.
        key_type: i8 [since(1).required()],
        coordinator_keys: Vec<String> [since(4).required()],
    }

    /// The `FindCoordinator` response, versions 0 to 6.
    pub struct FindCoordinatorResponse {
        throttle_time_ms: i32 [since(1)],
        error_code: ErrorCode [until(3).required()],
        error_message: Option<String> [since(1).until(3)],
        node_id: i32 [until(3).required()],
        host: String [until(3).required()],
        port: i32 [until(3).required()],
        coordinators: Vec<Coordinator> [since(4).required()],
    }

    /// An element of [`FindCoordinatorResponse::coordinators`].
    pub struct Coordinator {
        key: String,
        node_id: i32,
        host: String,
        port: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
    }
}
