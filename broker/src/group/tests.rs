//! The group coordinator driven step by step, with time as a number.

use bytes::Bytes;

use super::any_group::AnyGroup;
use super::coordinator::{CoordinatorLimits, GroupCoordinator, OffsetToCommit, Step};
use super::message::{JoinReply, JoinRequest, Reply, SyncReply, SyncRequest};
use super::state::{Group, GroupState, Ticket};
use super::sync::{CommitKind, Committer};
use crate::coordinator::codec::CoordinatorRecord;
use crate::coordinator::log::ReplayItem;
use crate::coordinator::shard::CoordinatorShard;
use crate::ids::ProducerIdentity;
use crate::protocol::consumer_protocol::ConsumerSubscription;
use crate::protocol::error_code::ErrorCode;
use crate::record::control::MarkerKind;

const SESSION_MS: i32 = 10_000;
const REBALANCE_MS: i32 = 60_000;

/// A coordinator whose records and answers are kept.
struct Bench {
    coordinator: GroupCoordinator,
    log: Vec<(Option<i64>, CoordinatorRecord)>,
    replies: Vec<(Ticket, Reply)>,
    ticket_next: u64,
    now: i64,
}

impl Bench {
    fn new() -> Self {
        Self::with_delay(0)
    }

    fn with_delay(initial_rebalance_delay_ms: i64) -> Self {
        let mut limits = CoordinatorLimits::default();
        limits.group.initial_rebalance_delay_ms = initial_rebalance_delay_ms;
        let coordinator = GroupCoordinator::new(limits);
        Self { coordinator, log: Vec::new(), replies: Vec::new(), ticket_next: 0, now: 1_000_000 }
    }

    fn take(&mut self, step: Step) {
        self.log.extend(step.records.into_iter().map(|record| (None, record)));
        self.replies.extend(step.replies);
    }

    fn ticket(&mut self) -> Ticket {
        self.ticket_next += 1;
        Ticket(self.ticket_next)
    }

    fn join(&mut self, request: JoinRequest) -> Ticket {
        let ticket = self.ticket();
        let step = self.coordinator.join("g", ticket, request, self.now);
        self.take(step);
        ticket
    }

    fn sync(&mut self, member: &str, generation: i32, assignments: &[(&str, &str)]) -> Ticket {
        let ticket = self.ticket();
        let assignments = assignments.iter().map(|(id, text)| ((*id).to_owned(), bytes(text))).collect();
        let request = SyncRequest {
            generation,
            member_id: member.to_owned(),
            instance_id: None,
            protocol_type: Some("consumer".to_owned()),
            protocol: Some("range".to_owned()),
            assignments,
        };
        let step = self.coordinator.sync("g", ticket, request, self.now);
        self.take(step);
        ticket
    }

    fn pass(&mut self, ms: i64) {
        self.now += ms;
        let step = self.coordinator.expire(self.now);
        self.take(step);
    }

    fn heartbeat(&mut self, member: &str, generation: i32) -> ErrorCode {
        self.coordinator.heartbeat("g", member, None, generation, self.now)
    }

    fn leave(&mut self, member: &str) -> ErrorCode {
        let members = [(member.to_owned(), None)];
        let (errors, step) = self.coordinator.leave("g", &members, self.now).expect("the group exists");
        self.take(step);
        errors[0]
    }

    fn joined(&mut self, ticket: Ticket) -> JoinReply {
        match self.answer(ticket) {
            Some(Reply::Join(reply)) => reply,
            other => panic!("ticket {ticket:?} has {other:?}"),
        }
    }

    fn synced(&mut self, ticket: Ticket) -> SyncReply {
        match self.answer(ticket) {
            Some(Reply::Sync(reply)) => reply,
            other => panic!("ticket {ticket:?} has {other:?}"),
        }
    }

    fn answer(&mut self, ticket: Ticket) -> Option<Reply> {
        let at = self.replies.iter().position(|(owner, _)| *owner == ticket)?;
        Some(self.replies.remove(at).1)
    }

    fn group(&self) -> &Group {
        self.coordinator.group("g").and_then(AnyGroup::as_classic).expect("the group exists")
    }

    fn commit(&mut self, generation: i32, member: &str, offset: i64) -> Result<ErrorCode, ErrorCode> {
        let by = Committer {
            generation,
            member_id: member,
            instance_id: None,
            kind: CommitKind::Plain,
            knows_member_epochs: true,
        };
        let step = self.coordinator.commit_offsets("g", by, None, vec![at(offset)], self.now)?;
        self.log.extend(step.records.into_iter().map(|record| (None, record)));
        Ok(step.errors[0])
    }

    fn committed(&self) -> Option<i64> {
        let offsets = self.coordinator.offsets().group("g")?;
        offsets.get(&("t".to_owned(), 0)).map(|offset| offset.offset)
    }

    fn replayed(&self) -> GroupCoordinator {
        let mut rebuilt = GroupCoordinator::new(CoordinatorLimits::default());
        for (producer_id, record) in &self.log {
            let (key, value) = (record.key.clone(), record.value.clone());
            let item = ReplayItem::Record { producer_id: *producer_id, key, value };
            rebuilt.replay(item, self.now).expect("own records are readable");
        }
        rebuilt
    }

    /// Two members in generation 1, stable.
    fn stable_pair() -> Self {
        let mut bench = Self::new();
        let a = bench.join(request("", "a"));
        assert_eq!(bench.joined(a).generation, 1);
        let b = bench.join(request("", "b"));
        assert_eq!(bench.heartbeat("a", 1), ErrorCode::RebalanceInProgress);
        let a = bench.join(request("a", "a"));
        assert_eq!(bench.joined(a).members.len(), 2);
        assert!(bench.joined(b).members.is_empty(), "only the leader sees the members");
        let b = bench.sync("b", 2, &[]);
        assert_eq!(bench.answer(b), None, "followers wait for the leader");
        let a = bench.sync("a", 2, &[("a", "p0"), ("b", "p1")]);
        assert_eq!(bench.synced(a).assignment, bytes("p0"));
        assert_eq!(bench.synced(b).assignment, bytes("p1"));
        bench
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn at(offset: i64) -> OffsetToCommit {
    OffsetToCommit { topic: "t".to_owned(), partition: 0, offset, leader_epoch: 0, metadata: String::new() }
}

fn request(member_id: &str, new_member_id: &str) -> JoinRequest {
    JoinRequest {
        member_id: member_id.to_owned(),
        instance_id: None,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: REBALANCE_MS,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), bytes("topics"))],
        new_member_id: new_member_id.to_owned(),
        require_known_member_id: false,
        skip_assignment_supported: true,
    }
}

fn static_request(instance: &str, new_member_id: &str) -> JoinRequest {
    JoinRequest { instance_id: Some(instance.to_owned()), ..request("", new_member_id) }
}

#[test]
fn two_members_share_a_generation() {
    let mut bench = Bench::stable_pair();
    assert_eq!(bench.group().state(), GroupState::Stable);
    assert_eq!(bench.heartbeat("a", 2), ErrorCode::None);
    assert_eq!(bench.heartbeat("b", 1), ErrorCode::IllegalGeneration);
    assert_eq!(bench.heartbeat("x", 2), ErrorCode::UnknownMemberId);
    assert_eq!(bench.leave("b"), ErrorCode::None);
    assert_eq!(bench.heartbeat("a", 2), ErrorCode::RebalanceInProgress);
    let a = bench.join(request("a", "a"));
    assert_eq!(bench.joined(a).generation, 3);
}

#[test]
fn a_new_dynamic_member_is_first_told_its_id() {
    let mut bench = Bench::new();
    let ticket = bench.join(JoinRequest { require_known_member_id: true, ..request("", "a") });
    let reply = bench.joined(ticket);
    assert_eq!((reply.error, reply.member_id.as_str()), (ErrorCode::MemberIdRequired, "a"));
    let ticket = bench.join(request("a", "unused"));
    assert_eq!(bench.joined(ticket).generation, 1);
    let ticket = bench.join(request("stranger", "unused"));
    assert_eq!(bench.joined(ticket).error, ErrorCode::UnknownMemberId);
}

#[test]
fn a_member_id_given_out_and_not_used_does_not_hold_a_rebalance_for_ever() {
    let mut bench = Bench::new();
    let pending = bench.join(JoinRequest { require_known_member_id: true, ..request("", "ghost") });
    bench.joined(pending);
    let a = bench.join(request("", "a"));
    assert_eq!(bench.answer(a), None, "the ghost may still come");
    bench.pass(i64::from(SESSION_MS));
    assert_eq!(bench.joined(a).generation, 1);
}

#[test]
fn a_silent_member_is_removed_and_the_others_rebalance() {
    let mut bench = Bench::stable_pair();
    bench.pass(i64::from(SESSION_MS) - 1);
    assert_eq!(bench.heartbeat("a", 2), ErrorCode::None);
    bench.pass(1);
    assert_eq!(bench.group().state(), GroupState::PreparingRebalance);
    let a = bench.join(request("a", "a"));
    let reply = bench.joined(a);
    assert_eq!((reply.generation, reply.members.len(), reply.leader.as_str()), (3, 1, "a"));
}

#[test]
fn members_that_do_not_rejoin_in_time_are_left_behind() {
    let mut bench = Bench::stable_pair();
    let c = bench.join(request("", "c"));
    for _ in 0..REBALANCE_MS / 5_000 {
        assert_eq!(bench.answer(c), None);
        // Alive but busy: heartbeats come, JoinGroup does not.
        assert_eq!(bench.heartbeat("a", 2), ErrorCode::RebalanceInProgress);
        assert_eq!(bench.heartbeat("b", 2), ErrorCode::RebalanceInProgress);
        bench.pass(5_000);
    }
    let reply = bench.joined(c);
    assert_eq!((reply.members.len(), reply.leader.as_str()), (1, "c"));
    assert_eq!(bench.heartbeat("a", 2), ErrorCode::UnknownMemberId);
}

#[test]
fn a_member_that_does_not_sync_is_removed() {
    let mut bench = Bench::stable_pair();
    let b =
        bench.join(JoinRequest { protocols: vec![("range".to_owned(), bytes("more"))], ..request("b", "b") });
    let a = bench.join(request("a", "a"));
    bench.joined(a);
    bench.joined(b);
    let waiting = bench.sync("b", 3, &[]);
    for _ in 0..REBALANCE_MS / 5_000 {
        bench.pass(5_000);
        if bench.group().state() == GroupState::CompletingRebalance {
            assert_eq!(bench.heartbeat("a", 3), ErrorCode::None);
        }
    }
    assert_eq!(bench.synced(waiting).error, ErrorCode::RebalanceInProgress);
    assert_eq!(bench.heartbeat("a", 3), ErrorCode::UnknownMemberId);
}

#[test]
fn a_first_rebalance_waits_for_more_members() {
    let mut bench = Bench::with_delay(3_000);
    let a = bench.join(request("", "a"));
    bench.pass(2_000);
    let b = bench.join(request("", "b"));
    bench.pass(2_000);
    assert_eq!(bench.answer(a), None, "each newcomer extends the wait");
    bench.pass(1_000);
    assert_eq!(bench.joined(a).generation, 1);
    assert_eq!(bench.joined(b).generation, 1);
}

#[test]
fn the_protocol_all_support_and_most_prefer_is_chosen() {
    let mut bench = Bench::new();
    let named =
        |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), bytes("s"))).collect::<Vec<_>>();
    let a = bench.join(JoinRequest { protocols: named(&["sticky", "range"]), ..request("", "a") });
    assert_eq!(bench.joined(a).protocol.as_deref(), Some("sticky"));
    let b = bench.join(JoinRequest { protocols: named(&["range", "roundrobin"]), ..request("", "b") });
    let a = bench.join(JoinRequest { protocols: named(&["sticky", "range"]), ..request("a", "a") });
    assert_eq!(bench.joined(a).protocol.as_deref(), Some("range"));
    bench.joined(b);
    let c = bench.join(JoinRequest { protocols: named(&["sticky"]), ..request("", "c") });
    assert_eq!(bench.joined(c).error, ErrorCode::InconsistentGroupProtocol);
}

#[test]
fn a_static_member_returns_without_a_rebalance_and_fences_its_former_self() {
    let mut bench = Bench::new();
    let a = bench.join(static_request("one", "a-1"));
    assert_eq!(bench.joined(a).generation, 1);
    let a = bench.sync("a-1", 1, &[("a-1", "p0")]);
    bench.synced(a);
    let a = bench.join(static_request("one", "a-2"));
    let reply = bench.joined(a);
    assert_eq!((reply.error, reply.generation, reply.leader.as_str()), (ErrorCode::None, 1, "a-2"));
    assert!(reply.skip_assignment);
    let a = bench.sync("a-2", 1, &[]);
    assert_eq!(bench.synced(a).assignment, bytes("p0"));
    let error = bench.coordinator.heartbeat("g", "a-1", Some("one"), 1, bench.now);
    assert_eq!(error, ErrorCode::FencedInstanceId);
}

#[test]
fn offsets_are_accepted_from_members_of_the_generation_only() {
    let mut bench = Bench::stable_pair();
    assert_eq!(bench.commit(2, "a", 5), Ok(ErrorCode::None));
    assert_eq!(bench.commit(1, "a", 6), Err(ErrorCode::IllegalGeneration));
    assert_eq!(bench.commit(2, "x", 6), Err(ErrorCode::UnknownMemberId));
    assert_eq!(
        bench.commit(-1, "", 6),
        Err(ErrorCode::UnknownMemberId),
        "outsiders wait until the group is empty"
    );
    assert_eq!(bench.committed(), Some(5));
    bench.leave("a");
    bench.leave("b");
    assert_eq!(bench.commit(-1, "", 7), Ok(ErrorCode::None));
    assert_eq!(bench.committed(), Some(7));
}

#[test]
fn a_producer_may_commit_while_the_group_waits_for_its_assignment() {
    let mut bench = Bench::new();
    let joined = bench.join(request("", "a"));
    assert_eq!(bench.joined(joined).generation, 1);
    assert_eq!(bench.group().state(), GroupState::CompletingRebalance);
    assert_eq!(bench.commit(1, "a", 5), Err(ErrorCode::RebalanceInProgress));
    let mut commit = |generation| {
        let by = Committer {
            generation,
            member_id: "a",
            instance_id: None,
            kind: CommitKind::Transactional,
            knows_member_epochs: true,
        };
        let producer = Some(ProducerIdentity { producer_id: 7, producer_epoch: 0 });
        bench.coordinator.commit_offsets("g", by, producer, vec![at(5)], bench.now).map(|step| step.errors)
    };
    assert_eq!(commit(1), Ok(vec![ErrorCode::None]), "the producer would take a refusal for its end");
    assert_eq!(commit(0), Err(ErrorCode::IllegalGeneration));
}

#[test]
fn transactional_offsets_count_after_the_commit_marker() {
    let mut bench = Bench::new();
    let by = Committer {
        generation: -1,
        member_id: "",
        instance_id: None,
        kind: CommitKind::Transactional,
        knows_member_epochs: true,
    };
    for (producer_id, offset) in [(1, 10), (2, 20)] {
        let producer = ProducerIdentity { producer_id, producer_epoch: 0 };
        let step = bench
            .coordinator
            .commit_offsets("g", by, Some(producer), vec![at(offset)], bench.now)
            .expect("allowed");
        bench.log.extend(step.records.into_iter().map(|record| (Some(producer_id), record)));
    }
    assert_eq!(bench.committed(), None);
    assert!(bench.coordinator.offsets().is_unstable("g", "t", 0));
    let mut replayed = bench.replayed();
    for coordinator in [&mut bench.coordinator, &mut replayed] {
        coordinator.end_transaction(1, MarkerKind::Commit);
        coordinator.end_transaction(2, MarkerKind::Abort);
        assert!(!coordinator.offsets().is_unstable("g", "t", 0));
    }
    assert_eq!(bench.committed(), Some(10));
    assert_eq!(replayed.offsets(), bench.coordinator.offsets());
}

#[test]
fn no_transaction_brings_the_offset_of_a_deleted_topic_back() {
    let mut bench = Bench::new();
    let by = Committer {
        generation: -1,
        member_id: "",
        instance_id: None,
        kind: CommitKind::Transactional,
        knows_member_epochs: true,
    };
    let producer = Some(ProducerIdentity { producer_id: 1, producer_epoch: 0 });
    let step = bench.coordinator.commit_offsets("g", by, producer, vec![at(10)], bench.now).expect("allowed");
    bench.log.extend(step.records.into_iter().map(|record| (Some(1), record)));
    let records = bench.coordinator.forget_topics(&["t"].into());
    assert_eq!(records.len(), 1, "the log has to know as well");
    bench.log.extend(records.into_iter().map(|record| (None, record)));
    let mut replayed = bench.replayed();
    for coordinator in [&mut bench.coordinator, &mut replayed] {
        coordinator.end_transaction(1, MarkerKind::Commit);
        assert!(coordinator.offsets().is_empty());
    }
}

#[test]
fn replaying_the_log_gives_the_live_state() {
    let mut bench = Bench::stable_pair();
    bench.commit(2, "a", 5).expect("allowed");
    let replayed = bench.replayed();
    let (live, again) =
        (bench.group(), replayed.group("g").and_then(AnyGroup::as_classic).expect("replayed"));
    assert_eq!(replayed.offsets(), bench.coordinator.offsets());
    assert_eq!(again.state(), live.state());
    assert_eq!(again.generation(), live.generation());
    assert_eq!(again.leader(), live.leader());
    let view = |group: &Group| {
        let member =
            |m: &super::state::Member| (m.member_id.clone(), m.assignment.clone(), m.subscription("range"));
        group.members().map(member).collect::<Vec<_>>()
    };
    assert_eq!(view(again), view(live));
    // The members go on where they were, and have a whole session to say so.
    let mut coordinator = replayed;
    assert_eq!(coordinator.heartbeat("g", "a", None, 2, bench.now), ErrorCode::None);
    assert!(coordinator.expire(bench.now + i64::from(SESSION_MS) - 1).replies.is_empty());
}

#[test]
fn offsets_outlive_their_group_for_the_retention_time() {
    let mut bench = Bench::stable_pair();
    bench.commit(2, "a", 5).expect("allowed");
    let retention = CoordinatorLimits::default().offset_retention_ms;
    bench.leave("a");
    bench.leave("b");
    bench.now += retention - 1;
    assert!(bench.coordinator.expire_offsets(bench.now).is_empty());
    bench.now += 1;
    let records = bench.coordinator.expire_offsets(bench.now);
    assert_eq!(records.len(), 2, "the offset and the group");
    assert!(bench.coordinator.group("g").is_none());
    bench.log.extend(records.into_iter().map(|record| (None, record)));
    let replayed = bench.replayed();
    assert!(replayed.group("g").is_none());
    assert!(replayed.offsets().is_empty());
}

#[test]
fn only_groups_without_members_are_deleted() {
    let mut bench = Bench::stable_pair();
    bench.commit(2, "a", 5).expect("allowed");
    assert_eq!(bench.coordinator.delete_group("g"), Err(ErrorCode::NonEmptyGroup));
    assert_eq!(bench.coordinator.delete_group("h"), Err(ErrorCode::GroupIdNotFound));
    bench.leave("a");
    bench.leave("b");
    assert_eq!(bench.coordinator.delete_group("g").expect("deleted").len(), 2);
    assert_eq!(bench.committed(), None);
}

#[test]
fn a_client_that_went_away_while_joining_is_expired_like_any_other() {
    let mut bench = Bench::stable_pair();
    let c = bench.join(request("", "c"));
    bench.coordinator.abandon("g", c, bench.now);
    let a = bench.join(request("a", "a"));
    let b = bench.join(request("b", "b"));
    assert_eq!(bench.answer(a), None, "the newcomer may come back");
    bench.pass(i64::from(SESSION_MS));
    assert_eq!(bench.joined(a).members.len(), 2);
    bench.joined(b);
}

#[test]
fn offsets_of_topics_the_members_read_cannot_be_deleted() {
    let subscription =
        ConsumerSubscription { topics: vec!["t".to_owned()], ..ConsumerSubscription::default() };
    let encoded = subscription.encode(1).expect("short enough");
    for (protocol_type, of_t, of_u) in [
        ("consumer", Some(ErrorCode::GroupSubscribedToTopic), None),
        ("connect", Some(ErrorCode::NonEmptyGroup), Some(ErrorCode::NonEmptyGroup)),
    ] {
        let mut bench = Bench::new();
        bench.join(JoinRequest {
            protocol_type: protocol_type.to_owned(),
            protocols: vec![("range".to_owned(), encoded.clone())],
            ..request("", "a")
        });
        assert_eq!(bench.coordinator.delete_offset("g", "t", 0).err(), of_t, "{protocol_type}");
        assert_eq!(bench.coordinator.delete_offset("g", "u", 0).err(), of_u, "{protocol_type}");
    }
}
