//! Requests about groups: who may join, and who may see and move offsets.

use crate::api::authorize::{Check, Verdict, completed, message, take_out};
use crate::auth::acl::{Operation, ResourceType};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::consumer_group_describe::{
    ConsumerGroupDescribeRequest, DescribedGroup as DescribedConsumerGroup, Member,
};
use crate::protocol::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
};
use crate::protocol::messages::delete_groups::{DeletableGroupResult, DeleteGroupsRequest};
use crate::protocol::messages::describe_groups::{DescribeGroupsRequest, DescribedGroup};
use crate::protocol::messages::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};
use crate::protocol::messages::heartbeat::HeartbeatResponse;
use crate::protocol::messages::join_group::{JoinGroupRequest, JoinGroupResponse};
use crate::protocol::messages::leave_group::LeaveGroupResponse;
use crate::protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestTopic, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use crate::protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use crate::protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchResponse, OffsetFetchResponseGroup,
    OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use crate::protocol::messages::sync_group::SyncGroupResponse;

const REFUSED: ErrorCode = ErrorCode::GroupAuthorizationFailed;
const TOPIC_REFUSED: ErrorCode = ErrorCode::TopicAuthorizationFailed;

const KEY_TYPE_GROUP: i8 = 0;
const KEY_TYPE_TRANSACTION: i8 = 1;

pub(super) fn find_coordinator(check: Check<'_>, request: &mut FindCoordinatorRequest) -> Verdict {
    let key_type = request.key_type;
    let (kind, code) = match key_type {
        KEY_TYPE_GROUP => (ResourceType::Group, REFUSED),
        KEY_TYPE_TRANSACTION => {
            (ResourceType::TransactionalId, ErrorCode::TransactionalIdAuthorizationFailed)
        }
        // The handler knows no others.
        _ => return Verdict::Allowed,
    };
    let is_refused = |key: &String| !check.access.may(Operation::Describe, kind, key);
    if check.version < 4 {
        return Verdict::unless(!is_refused(&request.key), || FindCoordinatorResponse {
            error_code: code,
            error_message: message(code),
            node_id: -1,
            port: -1,
            ..FindCoordinatorResponse::default()
        });
    }
    let refused = take_out(&mut request.coordinator_keys, is_refused);
    completed!(FindCoordinator, |answer| {
        answer.coordinators.extend(refused.into_iter().map(|key| Coordinator {
            key,
            node_id: -1,
            host: String::new(),
            port: -1,
            error_code: code,
            error_message: message(code),
        }));
    })
}

pub(super) fn join(check: Check<'_>, request: &JoinGroupRequest) -> Verdict {
    Verdict::unless(check.access.group(Operation::Read, &request.group_id), || JoinGroupResponse {
        error_code: REFUSED,
        generation_id: -1,
        // Null only exists from version 7 on.
        protocol_name: (check.version < 7).then(String::new),
        member_id: request.member_id.clone(),
        ..JoinGroupResponse::default()
    })
}

pub(super) fn no_sync() -> SyncGroupResponse {
    SyncGroupResponse { error_code: REFUSED, ..SyncGroupResponse::default() }
}

pub(super) fn no_heartbeat() -> HeartbeatResponse {
    HeartbeatResponse { error_code: REFUSED, ..HeartbeatResponse::default() }
}

pub(super) fn no_leave() -> LeaveGroupResponse {
    LeaveGroupResponse { error_code: REFUSED, ..LeaveGroupResponse::default() }
}

pub(super) fn offset_commit(check: Check<'_>, request: &mut OffsetCommitRequest) -> Verdict {
    if check.access.is_unrestricted() {
        return Verdict::Allowed;
    }
    let all_refused = !check.access.group(Operation::Read, &request.group_id);
    let refused = take_out(&mut request.topics, |topic| {
        all_refused || !check.topic(Operation::Read, check.version >= 10, &topic.name, topic.topic_id)
    });
    let error_code = if all_refused { REFUSED } else { TOPIC_REFUSED };
    let refuse = move |topic: OffsetCommitRequestTopic| {
        let partitions = topic.partitions.iter().map(|partition| OffsetCommitResponsePartition {
            partition_index: partition.partition_index,
            error_code,
        });
        let partitions = partitions.collect();
        OffsetCommitResponseTopic { name: topic.name, topic_id: topic.topic_id, partitions }
    };
    if refused.is_empty() {
        return Verdict::Allowed;
    }
    completed!(OffsetCommit, |answer| { answer.topics.extend(refused.into_iter().map(refuse)) })
}

/// An offset that is withheld.
fn no_offset(partition_index: i32, error_code: ErrorCode) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(String::new()),
        error_code,
    }
}

pub(super) fn offset_fetch(check: Check<'_>, request: &mut OffsetFetchRequest) -> Verdict {
    if check.access.is_unrestricted() {
        return Verdict::Allowed;
    }
    if check.version < 8 { offset_fetch_one(check, request) } else { offset_fetch_many(check, request) }
}

fn offset_fetch_one(check: Check<'_>, request: &mut OffsetFetchRequest) -> Verdict {
    let older = |partition: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
    };
    let refuse = move |topic: crate::protocol::messages::offset_fetch::OffsetFetchRequestTopic, code| {
        let partitions = topic.partition_indexes.into_iter().map(|index| older(no_offset(index, code)));
        OffsetFetchResponseTopic { name: topic.name, partitions: partitions.collect() }
    };
    if !check.access.group(Operation::Describe, &request.group_id) {
        // Before version 2 there was no place for it but the partitions.
        let named = if check.version < 2 { request.topics.take().unwrap_or_default() } else { Vec::new() };
        let topics = named.into_iter().map(|topic| refuse(topic, REFUSED)).collect();
        let answer = OffsetFetchResponse { topics, error_code: REFUSED, ..OffsetFetchResponse::default() };
        return Verdict::Refused(answer.into());
    }
    let refused = match &mut request.topics {
        Some(topics) => take_out(topics, |topic| !check.access.topic(Operation::Describe, &topic.name)),
        None => Vec::new(),
    };
    let access = check.access.unaudited();
    completed!(OffsetFetch, |answer| {
        answer.topics.retain(|topic| access.topic(Operation::Describe, &topic.name));
        answer.topics.extend(refused.into_iter().map(|topic| refuse(topic, TOPIC_REFUSED)));
    })
}

fn offset_fetch_many(check: Check<'_>, request: &mut OffsetFetchRequest) -> Verdict {
    let by_id = check.version >= 10;
    let refused_groups =
        take_out(&mut request.groups, |group| !check.access.group(Operation::Describe, &group.group_id));
    let mut refused_topics = Vec::new();
    for group in &mut request.groups {
        let Some(topics) = &mut group.topics else { continue };
        let refused =
            take_out(topics, |topic| !check.topic(Operation::Describe, by_id, &topic.name, topic.topic_id));
        let refused = refused.into_iter().map(|topic| {
            let partitions = topic.partition_indexes.into_iter();
            OffsetFetchResponseTopics {
                name: topic.name,
                topic_id: topic.topic_id,
                partitions: partitions.map(|index| no_offset(index, TOPIC_REFUSED)).collect(),
            }
        });
        refused_topics.push((group.group_id.clone(), refused.collect::<Vec<_>>()));
    }
    let access = check.access.unaudited();
    completed!(OffsetFetch, |answer| {
        for group in &mut answer.groups {
            // Groups that were asked for all their topics: the names are there in every version.
            group
                .topics
                .retain(|topic| topic.name.is_empty() || access.topic(Operation::Describe, &topic.name));
            if let Some(at) = refused_topics.iter().position(|(id, _)| *id == group.group_id) {
                group.topics.extend(refused_topics.swap_remove(at).1);
            }
        }
        let refuse = |group: OffsetFetchRequestGroup| OffsetFetchResponseGroup {
            group_id: group.group_id,
            error_code: REFUSED,
            ..OffsetFetchResponseGroup::default()
        };
        answer.groups.extend(refused_groups.into_iter().map(refuse));
    })
}

pub(super) fn offset_delete(check: Check<'_>, request: &mut OffsetDeleteRequest) -> Verdict {
    if !check.access.group(Operation::Delete, &request.group_id) {
        let answer = OffsetDeleteResponse { error_code: REFUSED, ..OffsetDeleteResponse::default() };
        return Verdict::Refused(answer.into());
    }
    let refused = take_out(&mut request.topics, |topic| !check.access.topic(Operation::Read, &topic.name));
    completed!(OffsetDelete, |answer| {
        if answer.error_code.is_err() {
            return;
        }
        answer.topics.extend(refused.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| OffsetDeleteResponsePartition {
                partition_index: partition.partition_index,
                error_code: TOPIC_REFUSED,
            });
            OffsetDeleteResponseTopic { name: topic.name, partitions: partitions.collect() }
        }));
    })
}

pub(super) fn list(check: Check<'_>) -> Verdict {
    let access = check.access.unaudited();
    if access.cluster(Operation::Describe) {
        return Verdict::Allowed;
    }
    completed!(ListGroups, |answer| {
        answer.groups.retain(|group| access.group(Operation::Describe, &group.group_id));
    })
}

pub(super) fn describe(check: Check<'_>, request: &mut DescribeGroupsRequest) -> Verdict {
    let refused = take_out(&mut request.groups, |group| !check.access.group(Operation::Describe, group));
    let (access, operations_wanted) = (check.access.unaudited(), request.include_authorized_operations);
    let message = if check.version >= 6 { message(REFUSED) } else { None };
    completed!(DescribeGroups, |answer| {
        for group in answer.groups.iter_mut().filter(|_| operations_wanted) {
            group.authorized_operations = access.operations(ResourceType::Group, &group.group_id);
        }
        answer.groups.extend(refused.into_iter().map(|group_id| DescribedGroup {
            error_code: REFUSED,
            error_message: message.clone(),
            group_id,
            ..DescribedGroup::default()
        }));
    })
}

pub(super) fn delete(check: Check<'_>, request: &mut DeleteGroupsRequest) -> Verdict {
    let refused = take_out(&mut request.groups_names, |group| !check.access.group(Operation::Delete, group));
    completed!(DeleteGroups, |answer| {
        let refuse = |group_id| DeletableGroupResult { group_id, error_code: REFUSED };
        answer.results.extend(refused.into_iter().map(refuse));
    })
}

pub(super) fn consumer_heartbeat(check: Check<'_>, request: &ConsumerGroupHeartbeatRequest) -> Verdict {
    let refusal = |error_code| ConsumerGroupHeartbeatResponse {
        error_code,
        error_message: message(error_code),
        ..ConsumerGroupHeartbeatResponse::default()
    };
    if !check.access.group(Operation::Read, &request.group_id) {
        return Verdict::Refused(refusal(REFUSED).into());
    }
    let mut names = request.subscribed_topic_names.iter().flatten();
    let all_visible = names.all(|name| check.access.topic(Operation::Describe, name));
    Verdict::unless(all_visible, || refusal(TOPIC_REFUSED))
}

pub(super) fn consumer_describe(check: Check<'_>, request: &mut ConsumerGroupDescribeRequest) -> Verdict {
    let refused = take_out(&mut request.group_ids, |group| !check.access.group(Operation::Describe, group));
    let (access, operations_wanted) = (check.access.unaudited(), request.include_authorized_operations);
    completed!(ConsumerGroupDescribe, |answer| {
        let is_visible = |member: &Member| {
            let assignments = [&member.assignment, &member.target_assignment];
            let mut topics = assignments.into_iter().flat_map(|assignment| &assignment.topic_partitions);
            topics.all(|topic| access.topic(Operation::Describe, &topic.topic_name))
        };
        let refusal = |group_id, error_code| DescribedConsumerGroup {
            error_code,
            error_message: message(error_code),
            group_id,
            ..DescribedConsumerGroup::default()
        };
        for group in &mut answer.groups {
            if !group.members.iter().all(is_visible) {
                *group = refusal(std::mem::take(&mut group.group_id), TOPIC_REFUSED);
            } else if operations_wanted {
                group.authorized_operations = access.operations(ResourceType::Group, &group.group_id);
            }
        }
        answer.groups.extend(refused.into_iter().map(|group_id| refusal(group_id, REFUSED)));
    })
}
