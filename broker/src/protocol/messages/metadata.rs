//! The `Metadata` API.

use uuid::Uuid;

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 9;

    /// The `Metadata` request, versions 0 to 13.
    pub struct MetadataRequest {
        /// Null asks for all topics; so does an empty array in version 0.
        topics: Option<Vec<MetadataRequestTopic>> [nullable(1)],
        allow_auto_topic_creation: bool [since(4).required()] = true,
        include_cluster_authorized_operations: bool [since(8).until(10).required()],
        include_topic_authorized_operations: bool [since(8).required()],
    }

    /// An element of [`MetadataRequest::topics`].
    pub struct MetadataRequestTopic {
        topic_id: Uuid [since(10)],
        name: Option<String> [nullable(10)],
    }

    /// The `Metadata` response, versions 0 to 13.
    pub struct MetadataResponse {
        throttle_time_ms: i32 [since(3)],
        brokers: Vec<MetadataResponseBroker>,
        cluster_id: Option<String> [since(2)],
        controller_id: i32 [since(1)] = -1,
        topics: Vec<MetadataResponseTopic>,
        /// Bit n stands for ACL operation n; `i32::MIN` when not asked for.
        cluster_authorized_operations: i32 [since(8).until(10).required()] = i32::MIN,
        error_code: ErrorCode [since(13)],
    }

    /// An element of [`MetadataResponse::brokers`].
    pub struct MetadataResponseBroker {
        node_id: i32,
        host: String,
        port: i32,
        rack: Option<String> [since(1)],
    }

    /// An element of [`MetadataResponse::topics`].
    pub struct MetadataResponseTopic {
        error_code: ErrorCode,
        name: Option<String> [nullable(12)],
        topic_id: Uuid [since(10)],
        is_internal: bool [since(1)],
        partitions: Vec<MetadataResponsePartition>,
        /// Bit n stands for ACL operation n; `i32::MIN` when not asked for.
        topic_authorized_operations: i32 [since(8).required()] = i32::MIN,
    }

    /// An element of [`MetadataResponseTopic::partitions`].
    pub struct MetadataResponsePartition {
        error_code: ErrorCode,
        partition_index: i32,
        leader_id: i32,
        leader_epoch: i32 [since(7)] = -1,
        replica_nodes: Vec<i32>,
        isr_nodes: Vec<i32>,
        offline_replicas: Vec<i32> [since(5)],
    }
}
