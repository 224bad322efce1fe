//! ListGroups, DescribeGroups and DeleteGroups.

use crate::api::node::Node;
use crate::group::state::{Group, GroupState};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};
use crate::protocol::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use crate::protocol::messages::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};

const CLASSIC: &str = "classic";

pub(crate) fn list(node: &Node, request: &ListGroupsRequest) -> ListGroupsResponse {
    let matches = |filter: &[String], value: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    let view = |group: &Group| ListedGroup {
        group_id: group.group_id().to_owned(),
        protocol_type: group.protocol_type().unwrap_or_default().to_owned(),
        group_state: group.state().name().to_owned(),
        group_type: CLASSIC.to_owned(),
    };
    let mut groups = node.groups().list(view);
    groups.retain(|group| matches(&request.states_filter, &group.group_state));
    groups.retain(|group| matches(&request.types_filter, &group.group_type));
    groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
    ListGroupsResponse { throttle_time_ms: 0, error_code: ErrorCode::None, groups }
}

pub(crate) fn describe(node: &Node, version: i16, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let describe = |group_id: String| {
        node.groups().with_group(&group_id, describe_group).unwrap_or_else(|| {
            let missing = version >= 6;
            DescribedGroup {
                error_code: if missing { ErrorCode::GroupIdNotFound } else { ErrorCode::None },
                error_message: missing.then(|| format!("group \"{group_id}\" does not exist")),
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
