//! A member and its coordinator's answers.

use super::*;
use crate::protocol::messages::join_group::JoinGroupResponseMember;

const NOW: Duration = Duration::from_secs(100);

fn member(assignor: ClassicAssignor) -> ClassicMembership {
    ClassicMembership::new("g", BTreeSet::from(["t".into()]), assignor)
}

fn partitions(numbers: &[i32]) -> Vec<TopicPartition> {
    numbers.iter().map(|number| TopicPartition::new("t", *number)).collect()
}

fn joined(generation_id: i32) -> JoinGroupResponse {
    JoinGroupResponse {
        generation_id,
        leader: "another".to_owned(),
        member_id: "me".to_owned(),
        ..Default::default()
    }
}

fn share(numbers: &[i32]) -> SyncGroupResponse {
    let topic = ConsumerTopicPartitions { topic: "t".to_owned(), partitions: numbers.to_vec() };
    let share = ConsumerAssignment { assigned_partitions: vec![topic], ..Default::default() };
    SyncGroupResponse { assignment: share.encode(0).expect("encodes"), ..Default::default() }
}

fn rebalancing() -> HeartbeatResponse {
    HeartbeatResponse { error_code: ErrorCode::RebalanceInProgress, ..Default::default() }
}

/// A member that has confirmed these partitions in generation 1.
fn with(assignor: ClassicAssignor, numbers: &[i32]) -> ClassicMembership {
    let mut member = member(assignor);
    member.handle_join(joined(1)).expect("joins");
    member.handle_sync(share(numbers), NOW).expect("syncs");
    member.confirm();
    member
}

/// Owned partitions in the member's subscription.
fn said_to_own(member: &ClassicMembership) -> Vec<ConsumerTopicPartitions> {
    let request = member.join().expect("encodes");
    let subscription = ConsumerSubscription::decode(request.protocols[0].metadata.clone());
    subscription.expect("readable").owned_partitions
}

#[test]
fn a_member_joins_with_the_id_that_it_is_given() {
    let mut member = member(ClassicAssignor::Range);
    assert!(member.is_due(Duration::ZERO));
    let error_code = ErrorCode::MemberIdRequired;
    let given = JoinGroupResponse { error_code, member_id: "me".to_owned(), ..Default::default() };
    assert_eq!(member.handle_join(given).expect("joins"), Joined::Again);
    let request = member.join().expect("encodes");
    assert_eq!((request.member_id.as_str(), request.protocols[0].name.as_str()), ("me", "range"));
    assert_eq!(member.handle_join(joined(1)).expect("joins"), Joined::Follows);
    assert!(member.sync(&BTreeMap::new()).expect("encodes").assignments.is_empty());
    let event = member.handle_sync(share(&[0, 1]), NOW).expect("syncs");
    assert_eq!(event, MemberEvent::Assigned { revoked: Vec::new(), added: partitions(&[0, 1]) });
    member.confirm();
    assert_eq!((member.owned().len(), member.generation()), (2, 1));
    assert!(!member.is_joining() && !member.is_due(NOW) && member.is_due(NOW + HEARTBEAT_INTERVAL));
}

#[test]
fn the_leader_divides() {
    let mut member = member(ClassicAssignor::Range);
    let subscription = ConsumerSubscription { topics: vec!["t".to_owned()], ..Default::default() };
    let joined_member = |id: &str| JoinGroupResponseMember {
        member_id: id.to_owned(),
        metadata: subscription.encode(1).expect("encodes"),
        ..Default::default()
    };
    let leads = JoinGroupResponse {
        leader: "me".to_owned(),
        members: vec![joined_member("me"), joined_member("you")],
        ..joined(1)
    };
    let topics = BTreeSet::from(["t".to_owned()]);
    assert_eq!(member.handle_join(leads).expect("joins"), Joined::Leads(topics));
    let request = member.sync(&BTreeMap::from([("t".to_owned(), 3)])).expect("encodes");
    let shares: Vec<(String, Vec<i32>)> = request
        .assignments
        .into_iter()
        .map(|one| {
            let share = ConsumerAssignment::decode(one.assignment).expect("readable");
            (one.member_id, share.assigned_partitions[0].partitions.clone())
        })
        .collect();
    assert_eq!(shares, [("me".to_owned(), vec![0, 1]), ("you".to_owned(), vec![2])]);
}

#[test]
fn with_ranges_everything_is_given_up_before_joining_again() {
    let mut member = with(ClassicAssignor::Range, &[0, 1]);
    let event = member.handle_heartbeat(&rebalancing(), NOW).expect("answers");
    assert_eq!(event, MemberEvent::Assigned { revoked: partitions(&[0, 1]), added: Vec::new() });
    assert!(!member.is_joining(), "it has to commit first");
    member.confirm();
    assert!(member.is_joining() && member.owned().is_empty());
    assert!(said_to_own(&member).is_empty());
}

#[test]
fn a_cooperating_member_keeps_what_it_has_and_joins_again_after_giving_up_some() {
    let mut member = with(ClassicAssignor::CooperativeSticky, &[0, 1]);
    assert_eq!(member.handle_heartbeat(&rebalancing(), NOW).expect("answers"), MemberEvent::Unchanged);
    assert!(member.is_joining());
    assert_eq!(said_to_own(&member)[0].partitions, [0, 1]);
    member.handle_join(joined(2)).expect("joins");
    let event = member.handle_sync(share(&[0]), NOW).expect("syncs");
    assert_eq!(event, MemberEvent::Assigned { revoked: partitions(&[1]), added: Vec::new() });
    member.confirm();
    assert!(member.is_joining(), "others wait for what was given up");
    member.handle_join(joined(3)).expect("joins");
    assert_eq!(member.handle_sync(share(&[0]), NOW).expect("syncs"), MemberEvent::Unchanged);
    assert!(!member.is_joining());
}

#[test]
fn a_member_that_was_given_up_joins_anew() {
    let refused = |error_code| HeartbeatResponse { error_code, ..Default::default() };
    for (code, id) in [(ErrorCode::IllegalGeneration, "me"), (ErrorCode::UnknownMemberId, "")] {
        let mut member = with(ClassicAssignor::CooperativeSticky, &[0]);
        let event = member.handle_heartbeat(&refused(code), NOW).expect("is no failure");
        assert_eq!(event, MemberEvent::Fenced { lost: partitions(&[0]) });
        let request = member.join().expect("encodes");
        assert_eq!((request.member_id.as_str(), member.generation()), (id, NO_GENERATION));
        assert!(said_to_own(&member).is_empty());
    }
    let mut member = with(ClassicAssignor::Range, &[0]);
    let error = member.handle_heartbeat(&refused(ErrorCode::FencedInstanceId), NOW).expect_err("a failure");
    assert_eq!(error.code(), Some(ErrorCode::FencedInstanceId));
}

#[test]
fn leaving_is_said_once_by_members() {
    let mut member = with(ClassicAssignor::Range, &[0]);
    assert_eq!(member.leave().expect("a member").members[0].member_id, "me");
    assert!(member.leave().is_none() && !member.is_due(Duration::MAX));
    assert!(self::member(ClassicAssignor::Range).leave().is_none(), "it has never joined");
}
