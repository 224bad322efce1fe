//! The `DescribeCluster` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 0;

    /// The `DescribeCluster` request, versions 0 to 2.
    pub struct DescribeClusterRequest {
        include_cluster_authorized_operations: bool,
        endpoint_type: i8 [since(1).required()] = 1,
        include_fenced_brokers: bool [since(2).required()],
    }

    /// The `DescribeCluster` response, versions 0 to 2.
    pub struct DescribeClusterResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
        endpoint_type: i8 [since(1).required()] = 1,
        cluster_id: String,
        controller_id: i32 = -1,
        brokers: Vec<DescribeClusterBroker>,
        cluster_authorized_operations: i32 = i32::MIN,
    }

    /// An element of [`DescribeClusterResponse::brokers`].
    pub struct DescribeClusterBroker {
        broker_id: i32,
        host: String,
        port: i32,
        rack: Option<String>,
        is_fenced: bool [since(2).required()],
    }
}
