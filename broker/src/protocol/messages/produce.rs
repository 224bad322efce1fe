//! The `Produce` API.

use bytes::Bytes;
use uuid::Uuid;

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 9;

    /// The `Produce` request, versions 3 to 13.
    pub struct ProduceRequest {
        /// Null for producers that are not transactional.
        transactional_id: Option<String>,
        /// 0: answer nothing; 1: answer when the leader has the records; -1: when all in-sync replicas have them.
        acks: i16,
        /// How long the broker may wait for replicas.
        timeout_ms: i32,
        topic_data: Vec<TopicProduceData>,
    }

    /// An element of [`ProduceRequest::topic_data`].
    pub struct TopicProduceData {
        name: String [until(12)],
        topic_id: Uuid [since(13)],
        partition_data: Vec<PartitionProduceData>,
    }

    /// An element of [`TopicProduceData::partition_data`].
    pub struct PartitionProduceData {
        index: i32,
        /// One record batch, as it will be stored. A slice of the frame.
        records: Option<Bytes>,
    }

    /// The `Produce` response, versions 3 to 13.
    pub struct ProduceResponse {
        responses: Vec<TopicProduceResponse>,
        throttle_time_ms: i32,
        node_endpoints: Vec<NodeEndpoint> [since(10).tag(0)],
    }

    /// An element of [`ProduceResponse::responses`].
    pub struct TopicProduceResponse {
        name: String [until(12)],
        topic_id: Uuid [since(13)],
        partition_responses: Vec<PartitionProduceResponse>,
    }

    /// An element of [`TopicProduceResponse::partition_responses`].
    pub struct PartitionProduceResponse {
        index: i32,
        error_code: ErrorCode,
        base_offset: i64,
        log_append_time_ms: i64 = -1,
        log_start_offset: i64 [since(5)] = -1,
        record_errors: Vec<BatchIndexAndErrorMessage> [since(8)],
        error_message: Option<String> [since(8)],
        current_leader: LeaderIdAndEpoch [since(10).tag(0)],
    }

    /// An element of [`PartitionProduceResponse::record_errors`].
    pub struct BatchIndexAndErrorMessage {
        batch_index: i32,
        batch_index_error_message: Option<String>,
    }

    /// The value of [`PartitionProduceResponse::current_leader`].
    pub struct LeaderIdAndEpoch {
        leader_id: i32 = -1,
        leader_epoch: i32 = -1,
    }

    /// An element of [`ProduceResponse::node_endpoints`].
    pub struct NodeEndpoint {
        node_id: i32,
        host: String,
        port: i32,
        rack: Option<String>,
    }
}
