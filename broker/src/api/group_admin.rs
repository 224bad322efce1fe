//! ListGroups, DescribeGroups and DeleteGroups.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::api::node::Node;
use crate::group::any_group::AnyGroup;
use crate::group::consumer::assignor::PartitionSet;
use crate::group::consumer::state::{ConsumerGroup, ConsumerMember};
use crate::group::state::{Group, GroupState};
use crate::ids::TopicId;
use crate::metadata::image::MetadataImage;
use crate::protocol::consumer_protocol::ConsumerAssignment;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::consumer_group_describe::{
    Assignment, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse,
    DescribedGroup as DescribedConsumerGroup, Member, TopicPartitions,
};
use crate::protocol::messages::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};
use crate::protocol::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use crate::protocol::messages::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};

const CLASSIC: &str = "classic";
const CONSUMER: &str = "consumer";
/// Type of members of the newer protocol in version 1 of ConsumerGroupDescribe.
const CONSUMER_MEMBER: i8 = 1;

pub(crate) fn list(node: &Node, request: &ListGroupsRequest) -> ListGroupsResponse {
    let matches = |filter: &[String], value: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    let view = |group: &AnyGroup| match group {
        AnyGroup::Classic(group) => ListedGroup {
            group_id: group.group_id().to_owned(),
            protocol_type: group.protocol_type().unwrap_or_default().to_owned(),
            group_state: group.state().name().to_owned(),
            group_type: CLASSIC.to_owned(),
        },
        AnyGroup::Consumer(group) => ListedGroup {
            group_id: group.group_id().to_owned(),
            protocol_type: CONSUMER.to_owned(),
            group_state: group.state().name().to_owned(),
            group_type: CONSUMER.to_owned(),
        },
    };
    let mut groups = node.groups().list(view);
    groups.retain(|group| matches(&request.states_filter, &group.group_state));
    groups.retain(|group| matches(&request.types_filter, &group.group_type));
    groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
    ListGroupsResponse { throttle_time_ms: 0, error_code: ErrorCode::None, groups }
}

pub(crate) fn describe(node: &Node, version: i16, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let describe = |group_id: String| {
        let view = |group: &AnyGroup| group.as_classic().map(describe_group).ok_or("is not a classic group");
        node.groups().with_group(&group_id, view).unwrap_or(Err("does not exist")).unwrap_or_else(|why| {
            let missing = version >= 6;
            DescribedGroup {
                error_code: if missing { ErrorCode::GroupIdNotFound } else { ErrorCode::None },
                error_message: missing.then(|| format!("group \"{group_id}\" {why}")),
                group_id,
                group_state: GroupState::Dead.name().to_owned(),
                ..DescribedGroup::default()
            }
        })
    };
    DescribeGroupsResponse { throttle_time_ms: 0, groups: request.groups.into_iter().map(describe).collect() }
}

fn describe_group(group: &Group) -> DescribedGroup {
    // Assignments and subscriptions mean something only under a protocol that was agreed on.
    let protocol =
        if group.state() == GroupState::Stable { group.protocol().unwrap_or_default() } else { "" };
    let members = group.members().map(|member| DescribedGroupMember {
        member_id: member.member_id.clone(),
        group_instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        member_metadata: member.subscription(protocol),
        member_assignment: member.assignment.clone(),
    });
    DescribedGroup {
        error_code: ErrorCode::None,
        error_message: None,
        group_id: group.group_id().to_owned(),
        group_state: group.state().name().to_owned(),
        protocol_type: group.protocol_type().unwrap_or_default().to_owned(),
        protocol_data: protocol.to_owned(),
        members: members.collect(),
        ..DescribedGroup::default()
    }
}

pub(crate) async fn delete(node: &Node, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for group_id in request.groups_names {
        let error_code = node.groups().delete(&group_id).await;
        results.push(DeletableGroupResult { group_id, error_code });
    }
    DeleteGroupsResponse { throttle_time_ms: 0, results }
}

/// ConsumerGroupDescribe.
pub(crate) fn describe_consumer(
    node: &Node,
    request: ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
    let image = node.metadata().image();
    let describe = |group_id: String| {
        let view = |group: &AnyGroup| {
            group
                .as_consumer()
                .map(|group| describe_consumer_group(&image, group))
                .ok_or("is not a consumer group")
        };
        node.groups().with_group(&group_id, view).unwrap_or(Err("does not exist")).unwrap_or_else(|why| {
            DescribedConsumerGroup {
                error_code: ErrorCode::GroupIdNotFound,
                error_message: Some(format!("group \"{group_id}\" {why}")),
                group_id,
                ..DescribedConsumerGroup::default()
            }
        })
    };
    let groups = request.group_ids.into_iter().map(describe).collect();
    ConsumerGroupDescribeResponse { throttle_time_ms: 0, groups }
}

fn describe_consumer_group(image: &MetadataImage, group: &ConsumerGroup) -> DescribedConsumerGroup {
    let member = |member: &ConsumerMember| Member {
        member_id: member.member_id.clone(),
        instance_id: member.instance_id.clone(),
        rack_id: member.rack_id.clone(),
        member_epoch: member.epoch,
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        subscribed_topic_names: member.topics.iter().cloned().collect(),
        subscribed_topic_regex: member.regex.clone(),
        assignment: describe_partitions(image, Some(&member.assigned)),
        target_assignment: describe_partitions(image, group.target(&member.member_id)),
        member_type: CONSUMER_MEMBER,
    };
    DescribedConsumerGroup {
        error_code: ErrorCode::None,
        error_message: None,
        group_id: group.group_id().to_owned(),
        group_state: group.state().name().to_owned(),
        group_epoch: group.group_epoch(),
        assignment_epoch: group.assignment_epoch(),
        assignor_name: group.assignor().name().to_owned(),
        members: group.members().map(member).collect(),
        ..DescribedConsumerGroup::default()
    }
}

/// The group of each consumer and the topics of its assigned partitions. Members with assignments
/// of their own kind, such as Connect's workers, have none.
pub(crate) fn consumers(node: &Node) -> Vec<(String, BTreeSet<String>)> {
    let image = node.metadata().image();
    let consumer = |group_id: &str, topics: BTreeSet<String>| (group_id.to_owned(), topics);
    let of_group = |group: &AnyGroup| -> Vec<(String, BTreeSet<String>)> {
        match group {
            AnyGroup::Classic(group) => {
                let assigned = |assignment: Bytes| {
                    let decoded = ConsumerAssignment::decode(assignment).unwrap_or_default();
                    let topics = decoded.assigned_partitions.into_iter();
                    topics.filter(|topic| !topic.partitions.is_empty()).map(|topic| topic.topic).collect()
                };
                let members = group.members();
                members
                    .map(|member| consumer(group.group_id(), assigned(member.assignment.clone())))
                    .collect()
            }
            AnyGroup::Consumer(group) => {
                let assigned = |member: &ConsumerMember| {
                    let assignment = describe_partitions(&image, Some(&member.assigned));
                    assignment.topic_partitions.into_iter().map(|topic| topic.topic_name).collect()
                };
                group.members().map(|member| consumer(group.group_id(), assigned(member))).collect()
            }
        }
    };
    node.groups().list(of_group).into_iter().flatten().collect()
}

/// Partitions of topics that exist, by topic.
fn describe_partitions(image: &MetadataImage, partitions: Option<&PartitionSet>) -> Assignment {
    let mut topics: BTreeMap<_, Vec<i32>> = BTreeMap::new();
    for (topic_id, partition) in partitions.into_iter().flatten() {
        topics.entry(*topic_id).or_default().push(*partition);
    }
    let topic = |(topic_id, partitions)| {
        let topic_name = image.topic_by_id(TopicId(topic_id))?.name.to_string();
        Some(TopicPartitions { topic_id, topic_name, partitions })
    };
    Assignment { topic_partitions: topics.into_iter().filter_map(topic).collect() }
}
