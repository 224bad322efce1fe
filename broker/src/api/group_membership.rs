//! JoinGroup, SyncGroup, Heartbeat, LeaveGroup and ConsumerGroupHeartbeat.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::api::access::Access;
use crate::api::node::Node;
use crate::auth::acl::{Operation, ResourceType};
use crate::group::consumer::assignor::PartitionSet;
use crate::group::consumer::heartbeat::HeartbeatRequest as ConsumerHeartbeat;
use crate::group::consumer::state::JOIN_EPOCH;
use crate::group::consumer::topic_visibility::Viewer;
use crate::group::message::{JoinRequest, SyncRequest};
use crate::net::handler::RequestContext;
use crate::net::session::Session;
use crate::protocol::api_key::ApiKey;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use crate::protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use crate::protocol::messages::join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};
use crate::protocol::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberResponse};
use crate::protocol::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};

/// Sender of a request.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) client_id: String,
    /// The address as Kafka shows it: `/127.0.0.1`.
    pub(crate) host: String,
}

pub(crate) async fn join(
    node: &Node,
    client: Client,
    version: i16,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let random = node.rng().uuid();
    let prefix = request.group_instance_id.as_deref().unwrap_or(&client.client_id);
    let join = JoinRequest {
        new_member_id: format!("{prefix}-{random}"),
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        client_id: client.client_id,
        client_host: client.host,
        session_timeout_ms: request.session_timeout_ms,
        // Version 0 has one timeout for both.
        rebalance_timeout_ms: if version >= 1 {
            request.rebalance_timeout_ms
        } else {
            request.session_timeout_ms
        },
        protocol_type: request.protocol_type,
        protocols: request.protocols.into_iter().map(|protocol| (protocol.name, protocol.metadata)).collect(),
        require_known_member_id: version >= 4,
        skip_assignment_supported: version >= 9,
    };
    let reply = node.groups().join(&request.group_id, join).await;
    let members = reply.members.into_iter().map(|member| JoinGroupResponseMember {
        member_id: member.member_id,
        group_instance_id: member.instance_id,
        metadata: member.subscription,
    });
    JoinGroupResponse {
        throttle_time_ms: 0,
        error_code: reply.error,
        generation_id: reply.generation,
        protocol_type: reply.protocol_type,
        // Null only exists from version 7 on.
        protocol_name: if version >= 7 { reply.protocol } else { Some(reply.protocol.unwrap_or_default()) },
        leader: reply.leader,
        skip_assignment: version >= 9 && reply.skip_assignment,
        member_id: reply.member_id,
        members: members.collect(),
    }
}

pub(crate) async fn sync(node: &Node, version: i16, request: SyncGroupRequest) -> SyncGroupResponse {
    let refused = |error_code| SyncGroupResponse { error_code, ..SyncGroupResponse::default() };
    if version >= 5 && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
        return refused(ErrorCode::InconsistentGroupProtocol);
    }
    let sync = SyncRequest {
        generation: request.generation_id,
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        protocol_type: request.protocol_type,
        protocol: request.protocol_name,
        assignments: request
            .assignments
            .into_iter()
            .map(|given| (given.member_id, given.assignment))
            .collect(),
    };
    let reply = node.groups().sync(&request.group_id, sync).await;
    SyncGroupResponse {
        throttle_time_ms: 0,
        error_code: reply.error,
        protocol_type: reply.protocol_type,
        protocol_name: reply.protocol,
        assignment: reply.assignment,
    }
}

pub(crate) fn heartbeat(node: &Node, request: &HeartbeatRequest) -> HeartbeatResponse {
    let error_code = node.groups().heartbeat(
        &request.group_id,
        &request.member_id,
        request.group_instance_id.as_deref(),
        request.generation_id,
    );
    HeartbeatResponse { throttle_time_ms: 0, error_code }
}

pub(crate) async fn leave(node: &Node, version: i16, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let members: Vec<(String, Option<String>)> = if version >= 3 {
        request.members.into_iter().map(|member| (member.member_id, member.group_instance_id)).collect()
    } else {
        vec![(request.member_id, None)]
    };
    let refused = |error_code| LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() };
    let errors = match node.groups().leave(&request.group_id, &members).await {
        Ok(errors) => errors,
        Err(error) => return refused(error),
    };
    if version < 3 {
        return refused(errors.first().copied().unwrap_or(ErrorCode::None));
    }
    let answer = |((member_id, group_instance_id), error_code)| MemberResponse {
        member_id,
        group_instance_id,
        error_code,
    };
    let members = members.into_iter().zip(errors).map(answer).collect();
    LeaveGroupResponse { throttle_time_ms: 0, error_code: ErrorCode::None, members }
}

/// Principal whose rules decide which topics a member's pattern names.
fn viewer(node: &Node, session: &Session) -> Option<Viewer> {
    let access = Access::of(node, session, ApiKey::ConsumerGroupHeartbeat).unaudited();
    let name = access.subject_name()?;
    Some(Viewer::new(&name, move |image, topic| {
        access.may_under(image.security(), Operation::Describe, ResourceType::Topic, topic)
    }))
}

pub(crate) async fn consumer_heartbeat(
    node: &Node,
    client: Client,
    context: &RequestContext,
    request: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    let version = context.api_version;
    // Members of version 0 get their ids here; later ones choose them.
    let chosen_here = version == 0 && request.member_id.is_empty() && request.member_epoch == JOIN_EPOCH;
    let member_id = if chosen_here { member_id(node.rng().uuid()) } else { request.member_id };
    let flatten = |topics: Vec<TopicPartitions>| -> PartitionSet {
        let one = |topic: TopicPartitions| {
            topic.partitions.into_iter().map(move |partition| (topic.topic_id, partition))
        };
        topics.into_iter().flat_map(one).collect()
    };
    let heartbeat = ConsumerHeartbeat {
        member_id,
        member_epoch: request.member_epoch,
        instance_id: request.instance_id,
        rack_id: request.rack_id,
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        topics: request.subscribed_topic_names,
        regex: request.subscribed_topic_regex,
        server_assignor: request.server_assignor,
        owned: request.topic_partitions.map(flatten),
        client_id: client.client_id,
        client_host: client.host,
        viewer: viewer(node, &context.session),
    };
    let image = node.metadata().image();
    match node.groups().consumer_heartbeat(&request.group_id, &heartbeat, &image).await {
        Err(refusal) => ConsumerGroupHeartbeatResponse {
            error_code: refusal.error,
            error_message: Some(refusal.message),
            ..ConsumerGroupHeartbeatResponse::default()
        },
        Ok(reply) => ConsumerGroupHeartbeatResponse {
            member_id: Some(reply.member_id),
            member_epoch: reply.member_epoch,
            heartbeat_interval_ms: reply.heartbeat_interval_ms,
            assignment: reply.assignment.as_ref().map(by_topic),
            ..ConsumerGroupHeartbeatResponse::default()
        },
    }
}

/// Member ids are written like Kafka's: 22 characters.
fn member_id(id: Uuid) -> String {
    crate::api::cluster::short_uuid(id)
}

fn by_topic(partitions: &PartitionSet) -> Assignment {
    let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for (topic_id, partition) in partitions {
        topics.entry(*topic_id).or_default().push(*partition);
    }
    let topic = |(topic_id, partitions)| TopicPartitions { topic_id, partitions };
    Assignment { topic_partitions: topics.into_iter().map(topic).collect() }
}
