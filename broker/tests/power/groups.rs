//! Groups and their offsets.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_broker::client::group_offsets;
use weir_broker::ids::TopicPartition;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::consumer_group_describe::ConsumerGroupDescribeRequest;
use weir_broker::protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use weir_broker::protocol::messages::delete_groups::DeleteGroupsRequest;
use weir_broker::protocol::messages::describe_groups::DescribeGroupsRequest;
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
    let partitions = vec![OffsetDeleteRequestPartition { partition_index: 0 }];
    let topics = vec![OffsetDeleteRequestTopic { name: "t".to_owned(), partitions }];
    let request = OffsetDeleteRequest { group_id: "g".to_owned(), topics };
    let (answer, after) = node.acknowledged(Request::OffsetDelete(request)).await;
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

/// A member of a classic group, and the request by which it gives itself everything.
async fn joined(node: &Node) -> (JoinGroupResponse, SyncGroupRequest) {
    let protocol = JoinGroupRequestProtocol { name: "range".to_owned(), metadata: Bytes::from_static(b"m") };
    let mut join = JoinGroupRequest {
        group_id: "g".to_owned(),
        session_timeout_ms: 60_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol],
        ..JoinGroupRequest::default()
    };
    let first = call!(node.transport, JoinGroup, join.clone());
    join.member_id = first.member_id.clone();
    let joined = match first.error_code {
        ErrorCode::MemberIdRequired => call!(node.transport, JoinGroup, join),
        _ => first,
    };
    assert_eq!(joined.error_code, ErrorCode::None);
    let assignment = SyncGroupRequestAssignment {
        member_id: joined.member_id.clone(),
        assignment: Bytes::from_static(b"everything"),
    };
    let sync = SyncGroupRequest {
        group_id: "g".to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("range".to_owned()),
        assignments: vec![assignment],
        ..SyncGroupRequest::default()
    };
    (joined, sync)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_has_left_is_gone() {
    let node = Node::with_topic("t", 1).await;
    let (joined, sync) = joined(&node).await;
    assert_eq!(call!(node.transport, SyncGroup, sync).error_code, ErrorCode::None);
    let member = MemberIdentity { member_id: joined.member_id, group_instance_id: None, reason: None };
    let request =
        LeaveGroupRequest { group_id: "g".to_owned(), members: vec![member], ..LeaveGroupRequest::default() };
    let (answer, after) = node.acknowledged(Request::LeaveGroup(request)).await;
    let Response::LeaveGroup(answer) = answer else { panic!("{answer:?}") };
    assert_eq!((answer.error_code, answer.members[0].error_code), (ErrorCode::None, ErrorCode::None));
    let request =
        DescribeGroupsRequest { groups: vec!["g".to_owned()], include_authorized_operations: false };
    let described = call!(after.transport, DescribeGroups, request).groups.remove(0);
    assert_eq!((&*described.group_state, described.members.len()), ("Empty", 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assignment_that_a_member_was_given_survives() {
    let node = Node::with_topic("t", 1).await;
    let (joined, request) = joined(&node).await;
    let (answer, after) = node.acknowledged(Request::SyncGroup(request)).await;
    let Response::SyncGroup(answer) = answer else { panic!("{answer:?}") };
    assert_eq!((answer.error_code, &answer.assignment[..]), (ErrorCode::None, &b"everything"[..]));
    let request =
        DescribeGroupsRequest { groups: vec!["g".to_owned()], include_authorized_operations: false };
    let described = call!(after.transport, DescribeGroups, request).groups.remove(0);
    assert_eq!((&*described.group_state, described.members.len()), ("Stable", 1));
    assert_eq!(described.members[0].member_id, joined.member_id);
    assert_eq!(&described.members[0].member_assignment[..], b"everything");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_the_consumer_protocol_survives_with_its_epoch() {
    let node = Node::with_topic("t", 1).await;
    let request = ConsumerGroupHeartbeatRequest {
        group_id: "g".to_owned(),
        member_id: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        member_epoch: 0,
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(vec!["t".to_owned()]),
        topic_partitions: Some(Vec::new()),
        ..ConsumerGroupHeartbeatRequest::default()
    };
    let (answer, after) = node.acknowledged(Request::ConsumerGroupHeartbeat(request)).await;
    let Response::ConsumerGroupHeartbeat(answer) = answer else { panic!("{answer:?}") };
    assert_eq!((answer.error_code, answer.member_epoch), (ErrorCode::None, 1));
    let request = ConsumerGroupDescribeRequest {
        group_ids: vec!["g".to_owned()],
        include_authorized_operations: false,
    };
    let described = call!(after.transport, ConsumerGroupDescribe, request).groups.remove(0);
    assert_eq!(
        (described.error_code, described.group_epoch, described.members.len()),
        (ErrorCode::None, 1, 1)
    );
    assert_eq!(
        (&*described.members[0].member_id, described.members[0].member_epoch),
        ("AAAAAAAAAAAAAAAAAAAAAA", 1)
    );
}
