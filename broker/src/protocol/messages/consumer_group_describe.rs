//! The `ConsumerGroupDescribe` API.

use uuid::Uuid;

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 0;

    /// The `ConsumerGroupDescribe` request, versions 0 to 1.
    pub struct ConsumerGroupDescribeRequest {
        group_ids: Vec<String>,
        include_authorized_operations: bool,
    }

    /// The `ConsumerGroupDescribe` response, versions 0 to 1.
    pub struct ConsumerGroupDescribeResponse {
        throttle_time_ms: i32,
        groups: Vec<DescribedGroup>,
    }

    /// An element of [`ConsumerGroupDescribeResponse::groups`].
    pub struct DescribedGroup {
        error_code: ErrorCode,
        error_message: Option<String>,
        group_id: String,
        group_state: String,
        group_epoch: i32,
        assignment_epoch: i32,
        assignor_name: String,
        members: Vec<Member>,
        authorized_operations: i32 = i32::MIN,
    }

    /// An element of [`DescribedGroup::members`].
    pub struct Member {
        member_id: String,
        instance_id: Option<String>,
        rack_id: Option<String>,
        member_epoch: i32,
        client_id: String,
        client_host: String,
        subscribed_topic_names: Vec<String>,
        subscribed_topic_regex: Option<String>,
        assignment: Assignment,
        target_assignment: Assignment,
        member_type: i8 [since(1)] = -1,
    }

    /// The value of [`Member::assignment`].
    pub struct Assignment {
        topic_partitions: Vec<TopicPartitions>,
    }

    /// An element of [`Assignment::topic_partitions`].
    pub struct TopicPartitions {
        topic_id: Uuid,
        topic_name: String,
        partitions: Vec<i32>,
    }
}
