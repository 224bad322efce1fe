//! The `DescribeTopicPartitions` API.

use uuid::Uuid;

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 0;

    /// The `DescribeTopicPartitions` request, version 0.
    pub struct DescribeTopicPartitionsRequest {
        topics: Vec<TopicRequest>,
        response_partition_limit: i32 = 2000,
        cursor: Option<Cursor>,
    }

    /// An element of [`DescribeTopicPartitionsRequest::topics`].
    pub struct TopicRequest {
        name: String,
    }

    /// The value of [`DescribeTopicPartitionsRequest::cursor`].
    pub struct Cursor {
        topic_name: String,
        partition_index: i32,
    }

    /// The `DescribeTopicPartitions` response, version 0.
    pub struct DescribeTopicPartitionsResponse {
        throttle_time_ms: i32,
        topics: Vec<DescribeTopicPartitionsResponseTopic>,
        next_cursor: Option<Cursor>,
    }

    /// An element of [`DescribeTopicPartitionsResponse::topics`].
    pub struct DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode,
        name: Option<String>,
        topic_id: Uuid,
        is_internal: bool,
        partitions: Vec<DescribeTopicPartitionsResponsePartition>,
        topic_authorized_operations: i32 = i32::MIN,
    }

    /// An element of [`DescribeTopicPartitionsResponseTopic::partitions`].
    pub struct DescribeTopicPartitionsResponsePartition {
        error_code: ErrorCode,
        partition_index: i32,
        leader_id: i32,
        leader_epoch: i32 = -1,
        replica_nodes: Vec<i32>,
        isr_nodes: Vec<i32>,
        eligible_leader_replicas: Option<Vec<i32>>,
        last_known_elr: Option<Vec<i32>>,
        offline_replicas: Vec<i32>,
    }
}
