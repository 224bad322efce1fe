//! The `ConsumerGroupHeartbeat` API.

use uuid::Uuid;

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 0;

    /// The `ConsumerGroupHeartbeat` request, versions 0 to 1.
    pub struct ConsumerGroupHeartbeatRequest {
        group_id: String,
        member_id: String,
        member_epoch: i32,
        instance_id: Option<String>,
        rack_id: Option<String>,
        rebalance_timeout_ms: i32 = -1,
        subscribed_topic_names: Option<Vec<String>>,
        subscribed_topic_regex: Option<String> [since(1).required()],
        server_assignor: Option<String>,
        topic_partitions: Option<Vec<TopicPartitions>>,
    }

    /// An element of [`ConsumerGroupHeartbeatRequest::topic_partitions`].
    pub struct TopicPartitions {
        topic_id: Uuid,
        partitions: Vec<i32>,
    }

    /// The `ConsumerGroupHeartbeat` response, versions 0 to 1.
    pub struct ConsumerGroupHeartbeatResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
        member_id: Option<String>,
        member_epoch: i32,
        heartbeat_interval_ms: i32,
        assignment: Option<Assignment>,
    }

    /// The value of [`ConsumerGroupHeartbeatResponse::assignment`].
    pub struct Assignment {
        topic_partitions: Vec<TopicPartitions>,
    }
}
