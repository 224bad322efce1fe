//! FindCoordinator: on one node every coordinator is here.

use crate::api::node::Node;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};

const KEY_TYPE_SHARE: i8 = 2;

pub(crate) fn handle(node: &Node, version: i16, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    let known_type = (0..KEY_TYPE_SHARE).contains(&request.key_type);
    let (host, port) = node.advertised();
    if version >= 4 {
        let find = |key: String| {
            if known_type && !key.is_empty() {
                let error_code = ErrorCode::None;
                Coordinator {
                    key,
                    node_id: node.id(),
                    host: host.clone(),
                    port,
                    error_code,
                    error_message: None,
                }
            } else {
                let error_message = Some("the coordinator key is empty or of unknown type".to_owned());
                let error_code = ErrorCode::InvalidRequest;
                Coordinator { key, node_id: -1, host: String::new(), port: -1, error_code, error_message }
            }
        };
        let coordinators = request.coordinator_keys.into_iter().map(find).collect();
        return FindCoordinatorResponse { coordinators, ..FindCoordinatorResponse::default() };
    }
    if !known_type {
        return FindCoordinatorResponse {
            error_code: ErrorCode::InvalidRequest,
            node_id: -1,
            port: -1,
            ..FindCoordinatorResponse::default()
        };
    }
    FindCoordinatorResponse { node_id: node.id(), host, port, ..FindCoordinatorResponse::default() }
}
