//! The values of a consumer group's records, in Kafka's own format.

use uuid::Uuid;

use crate::protocol::message::message;

message! {
    flexible 0;

    /// `ConsumerGroupMetadataValue`, version 0.
    pub struct GroupValue {
        epoch: i32,
        topics_digest: i64 [tag(0)],
    }

    /// `ConsumerGroupMemberMetadataValue`, version 0.
    pub struct MemberValue {
        instance_id: Option<String>,
        rack_id: Option<String>,
        client_id: String,
        client_host: String,
        subscribed_topic_names: Vec<String>,
        subscribed_topic_regex: Option<String>,
        rebalance_timeout_ms: i32,
        server_assignor: Option<String>,
    }

    /// `ConsumerGroupTargetAssignmentMetadataValue`, version 0.
    pub struct TargetEpochValue {
        assignment_epoch: i32,
    }

    /// `ConsumerGroupTargetAssignmentMemberValue`, version 0.
    pub struct TargetValue {
        topic_partitions: Vec<TopicPartitions>,
    }

    /// `ConsumerGroupCurrentMemberAssignmentValue`, version 0.
    pub struct CurrentAssignmentValue {
        member_epoch: i32,
        previous_member_epoch: i32,
        state: i8,
        assigned_partitions: Vec<TopicPartitions>,
        partitions_pending_revocation: Vec<TopicPartitions>,
    }

    /// The partitions of one topic.
    pub struct TopicPartitions {
        topic_id: Uuid,
        partitions: Vec<i32>,
    }
}
