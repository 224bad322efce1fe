//! The `DescribeProducers` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 0;

    /// The `DescribeProducers` request, version 0.
    pub struct DescribeProducersRequest {
        topics: Vec<TopicRequest>,
    }

    /// An element of [`DescribeProducersRequest::topics`].
    pub struct TopicRequest {
        name: String,
        partition_indexes: Vec<i32>,
    }

    /// The `DescribeProducers` response, version 0.
    pub struct DescribeProducersResponse {
        throttle_time_ms: i32,
        topics: Vec<TopicResponse>,
    }

    /// An element of [`DescribeProducersResponse::topics`].
    pub struct TopicResponse {
        name: String,
        partitions: Vec<PartitionResponse>,
    }

    /// An element of [`TopicResponse::partitions`].
    pub struct PartitionResponse {
        partition_index: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
        active_producers: Vec<ProducerState>,
    }

    /// An element of [`PartitionResponse::active_producers`].
    pub struct ProducerState {
        producer_id: i64,
        producer_epoch: i32,
        last_sequence: i32 = -1,
        last_timestamp: i64 = -1,
        coordinator_epoch: i32,
        current_txn_start_offset: i64 = -1,
    }
}
