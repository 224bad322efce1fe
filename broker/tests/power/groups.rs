//! Groups and their offsets.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_broker::client::group_offsets;
use weir_broker::ids::TopicPartition;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::consumer_group_describe::{
    ConsumerGroupDescribeRequest, DescribedGroup as DescribedConsumerGroup,
};
use weir_broker::protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use weir_broker::protocol::messages::delete_groups::DeleteGroupsRequest;
use weir_broker::protocol::messages::describe_groups::{DescribeGroupsRequest, DescribedGroup};
use weir_broker::protocol::messages::heartbeat::HeartbeatRequest;
use weir_broker::protocol::messages::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use weir_broker::protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use weir_broker::protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use weir_broker::protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use weir_broker::protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;

use super::{Node, call};

fn commit(offset: i64) -> Request {
    let partition = OffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: offset,
        committed_leader_epoch: -1,
        committed_metadata: Some(String::new()),
    };
    let topic = OffsetCommitRequestTopic {
        name: "t".to_owned(),
        partitions: vec![partition],
        ..OffsetCommitRequestTopic::default()
    };
    Request::OffsetCommit(OffsetCommitRequest {
        group_id: "g".to_owned(),
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    })
}

fn delete_offset() -> Request {
    let partitions = vec![OffsetDeleteRequestPartition { partition_index: 0 }];
    let topics = vec![OffsetDeleteRequestTopic { name: "t".to_owned(), partitions }];
    Request::OffsetDelete(OffsetDeleteRequest { group_id: "g".to_owned(), topics })
}

async fn offsets(node: &Node) -> BTreeMap<TopicPartition, i64> {
    group_offsets::fetch(&node.transport, "g").await.expect("fetched")
}

fn at(offset: i64) -> BTreeMap<TopicPartition, i64> {
    BTreeMap::from([(TopicPartition::new("t", 0), offset)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committed_offsets_survive() {
    let node = Node::with_topic("t", 1).await;
    for offset in [5, 9] {
        let (answer, after) = node.acknowledged(commit(offset)).await;
        let Response::OffsetCommit(answer) = answer else { panic!("{answer:?}") };
        assert_eq!(answer.topics[0].partitions[0].error_code, ErrorCode::None);
        assert_eq!(offsets(&after).await, at(offset));
    }
    let (answer, after) = node.acknowledged(delete_offset()).await;
    let Response::OffsetDelete(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(
        (answer.error_code, answer.topics[0].partitions[0].error_code),
        (ErrorCode::None, ErrorCode::None)
    );
    assert_eq!(offsets(&after).await, BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_group_stays_deleted() {
    let node = Node::with_topic("t", 1).await;
    node.transport.send(commit(5)).await.expect("answered");
    let request = DeleteGroupsRequest { groups_names: vec!["g".to_owned()] };
    let (answer, after) = node.acknowledged(Request::DeleteGroups(request)).await;
    let Response::DeleteGroups(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(answer.results[0].error_code, ErrorCode::None);
    assert_eq!(offsets(&after).await, BTreeMap::new());
    let request = DeleteGroupsRequest { groups_names: vec!["g".to_owned()] };
    let again = call!(after.transport, DeleteGroups, request);
    assert_eq!(again.results[0].error_code, ErrorCode::GroupIdNotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_in_a_deleted_topic_stay_deleted() {
    let node = Node::with_topic("t", 1).await;
    node.transport.send(commit(5)).await.expect("answered");
    node.admin().delete_topics(&["t"]).await.expect("deleted");
    let after = node.after_power_cut().await;
    after.admin().create_topic("t", 1, &BTreeMap::new()).await.expect("created anew");
    assert_eq!(offsets(&after).await, BTreeMap::new());
}

fn join_of(member_id: &str, instance_id: Option<&str>) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol { name: "range".to_owned(), metadata: Bytes::from_static(b"m") };
    JoinGroupRequest {
        group_id: "g".to_owned(),
        member_id: member_id.to_owned(),
        group_instance_id: instance_id.map(str::to_owned),
        session_timeout_ms: 60_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol],
        ..JoinGroupRequest::default()
    }
}

/// Joins `g` as its only member.
async fn joined(node: &Node, instance_id: Option<&str>) -> JoinGroupResponse {
    let first = call!(node.transport, JoinGroup, join_of("", instance_id));
    let joined = match first.error_code {
        ErrorCode::MemberIdRequired => {
            call!(node.transport, JoinGroup, join_of(&first.member_id, instance_id))
        }
        _ => first,
    };
    assert_eq!(joined.error_code, ErrorCode::None);
    joined
}

/// The assignment of the only member.
fn sync_of(joined: &JoinGroupResponse, instance_id: Option<&str>) -> Request {
    let assignment = SyncGroupRequestAssignment {
        member_id: joined.member_id.clone(),
        assignment: Bytes::from_static(b"everything"),
    };
    Request::SyncGroup(SyncGroupRequest {
        group_id: "g".to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        group_instance_id: instance_id.map(str::to_owned),
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("range".to_owned()),
        assignments: vec![assignment],
    })
}

async fn described(node: &Node) -> DescribedGroup {
    let groups = vec!["g".to_owned()];
    let request = DescribeGroupsRequest { groups, include_authorized_operations: false };
    call!(node.transport, DescribeGroups, request).groups.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assignment_that_a_member_was_given_survives() {
    let node = Node::with_topic("t", 1).await;
    let joined = joined(&node, None).await;
    let (answer, after) = node.acknowledged(sync_of(&joined, None)).await;
    let Response::SyncGroup(answer) = answer else { panic!("{answer:?}") };
    assert_eq!((answer.error_code, &answer.assignment[..]), (ErrorCode::None, &b"everything"[..]));
    let described = described(&after).await;
    assert_eq!((&*described.group_state, described.members.len()), ("Stable", 1));
    assert_eq!(described.members[0].member_id, joined.member_id);
    assert_eq!(&described.members[0].member_assignment[..], b"everything");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_left_stays_away() {
    let node = Node::with_topic("t", 1).await;
    let joined = joined(&node, None).await;
    node.transport.send(sync_of(&joined, None)).await.expect("answered");
    let members = vec![MemberIdentity { member_id: joined.member_id, ..MemberIdentity::default() }];
    let request = LeaveGroupRequest { group_id: "g".to_owned(), members, ..LeaveGroupRequest::default() };
    let (answer, after) = node.acknowledged(Request::LeaveGroup(request)).await;
    let Response::LeaveGroup(answer) = answer else { panic!("{answer:?}") };
    assert_eq!((answer.error_code, answer.members[0].error_code), (ErrorCode::None, ErrorCode::None));
    let described = described(&after).await;
    assert_eq!((&*described.group_state, described.members.len()), ("Empty", 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_member_that_was_replaced_stays_fenced() {
    let node = Node::with_topic("t", 1).await;
    let instance = Some("instance");
    let former = joined(&node, instance).await;
    node.transport.send(sync_of(&former, instance)).await.expect("answered");
    let (answer, after) = node.acknowledged(Request::JoinGroup(join_of("", instance))).await;
    let Response::JoinGroup(answer) = answer else { panic!("{answer:?}") };
    assert_eq!((answer.error_code, answer.generation_id), (ErrorCode::None, former.generation_id));
    let described = described(&after).await;
    assert_eq!((&*described.group_state, described.members.len()), ("Stable", 1));
    assert_eq!(described.members[0].member_id, answer.member_id);
    let heartbeat = |member_id: &str| HeartbeatRequest {
        group_id: "g".to_owned(),
        generation_id: former.generation_id,
        member_id: member_id.to_owned(),
        group_instance_id: instance.map(str::to_owned),
    };
    let of_former = call!(after.transport, Heartbeat, heartbeat(&former.member_id));
    assert_eq!(of_former.error_code, ErrorCode::FencedInstanceId);
    let of_new = call!(after.transport, Heartbeat, heartbeat(&answer.member_id));
    assert_eq!(of_new.error_code, ErrorCode::None);
}

const MEMBER: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// A heartbeat of the consumer protocol that joins `g`.
fn enter() -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: "g".to_owned(),
        member_id: MEMBER.to_owned(),
        member_epoch: 0,
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(vec!["t".to_owned()]),
        topic_partitions: Some(Vec::new()),
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

async fn consumers(node: &Node) -> DescribedConsumerGroup {
    let group_ids = vec!["g".to_owned()];
    let request = ConsumerGroupDescribeRequest { group_ids, include_authorized_operations: false };
    call!(node.transport, ConsumerGroupDescribe, request).groups.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_the_consumer_protocol_survives_with_its_epoch() {
    let node = Node::with_topic("t", 1).await;
    let (answer, after) = node.acknowledged(Request::ConsumerGroupHeartbeat(enter())).await;
    let Response::ConsumerGroupHeartbeat(answer) = answer else { panic!("{answer:?}") };
    assert_eq!((answer.error_code, answer.member_epoch), (ErrorCode::None, 1));
    let described = consumers(&after).await;
    assert_eq!(
        (described.error_code, described.group_epoch, described.members.len()),
        (ErrorCode::None, 1, 1)
    );
    assert_eq!((&*described.members[0].member_id, described.members[0].member_epoch), (MEMBER, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_the_consumer_protocol_that_left_or_were_removed_stay_away() {
    let leave = ConsumerGroupHeartbeatRequest {
        group_id: "g".to_owned(),
        member_id: MEMBER.to_owned(),
        member_epoch: -1,
        ..ConsumerGroupHeartbeatRequest::default()
    };
    let members = vec![MemberIdentity { member_id: MEMBER.to_owned(), ..MemberIdentity::default() }];
    let remove = LeaveGroupRequest { group_id: "g".to_owned(), members, ..LeaveGroupRequest::default() };
    for request in [Request::ConsumerGroupHeartbeat(leave), Request::LeaveGroup(remove)] {
        let node = Node::with_topic("t", 1).await;
        let entered = call!(node.transport, ConsumerGroupHeartbeat, enter());
        assert_eq!(entered.error_code, ErrorCode::None);
        let (answer, after) = node.acknowledged(request).await;
        match &answer {
            Response::ConsumerGroupHeartbeat(answer) => assert_eq!(answer.error_code, ErrorCode::None),
            Response::LeaveGroup(answer) => assert_eq!(answer.members[0].error_code, ErrorCode::None),
            other => panic!("{other:?}"),
        }
        let described = consumers(&after).await;
        assert_eq!((&*described.group_state, described.members.len()), ("Empty", 0), "{answer:?}");
        let request = DeleteGroupsRequest { groups_names: vec!["g".to_owned()] };
        let (answer, after) = node.acknowledged(Request::DeleteGroups(request)).await;
        assert!(
            matches!(&answer, Response::DeleteGroups(answer) if answer.results[0].error_code == ErrorCode::None)
        );
        assert_eq!(consumers(&after).await.error_code, ErrorCode::GroupIdNotFound);
    }
}

/// The second request changes nothing; it is answered only when the change of the first is durable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_sent_again_are_answered_when_the_first_would_survive() {
    let node = Node::with_topic("t", 1).await;
    let (answer, after) = node.acknowledged_again(commit(5)).await;
    assert!(
        matches!(&answer, Response::OffsetCommit(answer) if answer.topics[0].partitions[0].error_code == ErrorCode::None)
    );
    assert_eq!(offsets(&after).await, at(5));
    let (answer, after) = node.acknowledged_again(delete_offset()).await;
    assert!(
        matches!(&answer, Response::OffsetDelete(answer) if answer.topics[0].partitions[0].error_code == ErrorCode::None)
    );
    assert_eq!(offsets(&after).await, BTreeMap::new());

    let joined = joined(&node, None).await;
    let (answer, after) = node.acknowledged_again(sync_of(&joined, None)).await;
    assert!(matches!(&answer, Response::SyncGroup(answer) if answer.error_code == ErrorCode::None));
    assert_eq!(described(&after).await.group_state, "Stable");

    let node = Node::with_topic("t", 1).await;
    let (answer, after) = node.acknowledged_again(Request::ConsumerGroupHeartbeat(enter())).await;
    assert!(
        matches!(&answer, Response::ConsumerGroupHeartbeat(answer) if answer.error_code == ErrorCode::None)
    );
    assert_eq!(consumers(&after).await.members.len(), 1);
    // Its epoch rises with its subscription.
    let topics = ["t", "u"].map(str::to_owned).to_vec();
    let changed =
        ConsumerGroupHeartbeatRequest { member_epoch: 1, subscribed_topic_names: Some(topics), ..enter() };
    let (answer, after) = node.acknowledged_again(Request::ConsumerGroupHeartbeat(changed)).await;
    let Response::ConsumerGroupHeartbeat(answer) = answer else { panic!("{answer:?}") };
    assert_eq!((answer.error_code, answer.member_epoch), (ErrorCode::None, 2));
    assert_eq!(consumers(&after).await.members[0].member_epoch, 2);
}
