//! Consumer groups driven step by step, with time as a number.

mod churn;

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::assignor::PartitionSet;
use super::heartbeat::{HeartbeatReply, HeartbeatRequest};
use super::state::{ConsumerGroup, ConsumerGroupState, MemberState};
use super::topic_visibility::Viewer;
use crate::coordinator::codec::CoordinatorRecord;
use crate::coordinator::log::ReplayItem;
use crate::coordinator::shard::CoordinatorShard;
use crate::group::any_group::AnyGroup;
use crate::group::coordinator::{CoordinatorLimits, GroupCoordinator, OffsetToCommit};
use crate::group::message::{JoinRequest, Reply};
use crate::group::state::Ticket;
use crate::group::sync::{CommitKind, Committer};
use crate::metadata::image::MetadataImage;
use crate::metadata::record::MetadataRecord;
use crate::protocol::error_code::ErrorCode;

const REBALANCE_MS: i32 = 30_000;

fn topic_id(name: &str) -> Uuid {
    Uuid::from_u128(name.bytes().fold(7_u128, |id, byte| id.wrapping_mul(251) + u128::from(byte)))
}

/// A coordinator, the topics there are, and the records it wrote.
struct Bench {
    coordinator: GroupCoordinator,
    image: Arc<MetadataImage>,
    log: Vec<CoordinatorRecord>,
    now: i64,
}

impl Bench {
    fn new(topics: &[(&str, i32)]) -> Self {
        let mut bench = Self {
            coordinator: GroupCoordinator::new(CoordinatorLimits::default()),
            image: Arc::default(),
            log: Vec::new(),
            now: 1_000_000,
        };
        for (name, partitions) in topics {
            bench.create(name, *partitions);
        }
        bench
    }

    fn change(&mut self, record: &MetadataRecord) {
        let mut image = MetadataImage::clone(&self.image);
        image.apply(record).expect("a good record");
        self.image = Arc::new(image);
    }

    fn create(&mut self, name: &str, partitions: i32) {
        let (name, id) = (name.to_owned(), topic_id(name));
        self.change(&MetadataRecord::TopicCreated { name, id, partitions, configs: BTreeMap::new() });
    }

    fn heartbeat(&mut self, request: &HeartbeatRequest) -> Result<HeartbeatReply, ErrorCode> {
        match self.coordinator.consumer_heartbeat("g", request, &self.image, self.now) {
            Ok((reply, records)) => {
                self.log.extend(records);
                Ok(reply)
            }
            Err(refusal) => {
                assert!(!refusal.message.is_empty());
                Err(refusal.error)
            }
        }
    }

    fn pass(&mut self, ms: i64) {
        self.now += ms;
        let step = self.coordinator.expire(self.now);
        assert!(step.replies.is_empty());
        self.log.extend(step.records);
    }

    /// What a coordinator knows that reads the log from its start.
    fn replayed(&self) -> GroupCoordinator {
        let mut coordinator = GroupCoordinator::new(CoordinatorLimits::default());
        for record in &self.log {
            let (key, value) = (record.key.clone(), record.value.clone());
            let item = ReplayItem::Record { producer_id: None, key, value };
            coordinator.replay(item, self.now).expect("a good record");
        }
        coordinator.loaded(self.now);
        coordinator
    }

    fn group(&self) -> &ConsumerGroup {
        consumer(&self.coordinator)
    }

    fn check_replay(&self) {
        let (live, replayed) = (self.group(), self.replayed());
        let replayed = consumer(&replayed);
        assert_eq!(live.group_epoch, replayed.group_epoch);
        assert_eq!(live.assignment_epoch, replayed.assignment_epoch);
        assert_eq!(live.topics_digest, replayed.topics_digest);
        assert_eq!(live.targets, replayed.targets);
        assert_eq!(live.static_members, replayed.static_members);
        assert_eq!(live.owners, replayed.owners);
        let timeless = |group: &ConsumerGroup| {
            let mut members = group.members.clone();
            for member in members.values_mut() {
                member.session_deadline = 0;
                member.revocation_deadline = None;
                member.claimed = None;
                member.told_again = false;
            }
            members
        };
        assert_eq!(timeless(live), timeless(replayed));
    }
}

fn consumer(coordinator: &GroupCoordinator) -> &ConsumerGroup {
    coordinator.group("g").and_then(AnyGroup::as_consumer).expect("a consumer group")
}

fn join(member_id: &str, topics: &[&str]) -> HeartbeatRequest {
    HeartbeatRequest {
        member_id: member_id.to_owned(),
        rebalance_timeout_ms: REBALANCE_MS,
        topics: Some(topics.iter().map(|name| (*name).to_owned()).collect()),
        owned: Some(PartitionSet::new()),
        ..HeartbeatRequest::default()
    }
}

fn beat(member_id: &str, member_epoch: i32) -> HeartbeatRequest {
    let member_id = member_id.to_owned();
    HeartbeatRequest { member_id, member_epoch, rebalance_timeout_ms: -1, ..HeartbeatRequest::default() }
}

fn owning(member_id: &str, member_epoch: i32, owned: &PartitionSet) -> HeartbeatRequest {
    HeartbeatRequest { owned: Some(owned.clone()), ..beat(member_id, member_epoch) }
}

#[test]
fn members_give_up_before_others_take_on() {
    let mut bench = Bench::new(&[("t", 4)]);
    let first = bench.heartbeat(&join("a", &["t"])).expect("joined");
    let all = first.assignment.expect("told when joining");
    assert_eq!((first.member_epoch, all.len()), (1, 4));
    assert_eq!(bench.group().state(), ConsumerGroupState::Stable);

    let second = bench.heartbeat(&join("b", &["t"])).expect("joined");
    assert_eq!((second.member_epoch, second.assignment), (2, Some(PartitionSet::new())));
    assert_eq!(bench.group().state(), ConsumerGroupState::Reconciling);

    // The first one is told to keep two; until it says so, the other gets nothing.
    let told = bench.heartbeat(&beat("a", 1)).expect("alive");
    let kept = told.assignment.expect("changed");
    assert_eq!((told.member_epoch, kept.len()), (1, 2));
    assert_eq!(bench.heartbeat(&beat("b", 2)).expect("alive").assignment, None);
    assert_eq!(bench.heartbeat(&owning("a", 1, &all)).expect("alive").member_epoch, 1);
    bench.check_replay();

    assert_eq!(bench.heartbeat(&owning("a", 1, &kept)).expect("alive").member_epoch, 2);
    let rest = bench.heartbeat(&beat("b", 2)).expect("alive").assignment.expect("free now");
    assert_eq!(rest, all.difference(&kept).copied().collect());
    assert_eq!(bench.group().state(), ConsumerGroupState::Stable);
    bench.check_replay();
    let written = bench.log.len();
    bench.heartbeat(&beat("a", 2)).expect("alive");
    assert_eq!(bench.log.len(), written, "a heartbeat without news writes nothing");
}

#[test]
fn a_lost_answer_is_given_again_and_strangers_are_fenced() {
    let mut bench = Bench::new(&[("t", 2)]);
    let joined = bench.heartbeat(&join("a", &["t"])).expect("joined");
    let owned = joined.assignment.expect("told");
    bench.create("u", 1);
    let resubscribe =
        HeartbeatRequest { topics: Some(vec!["t".to_owned(), "u".to_owned()]), ..owning("a", 1, &owned) };
    let raised = bench.heartbeat(&resubscribe).expect("alive");
    assert_eq!((raised.member_epoch, raised.assignment.as_ref().map(PartitionSet::len)), (2, Some(3)));
    assert_eq!(bench.heartbeat(&resubscribe).expect("the answer was lost"), raised);

    assert_eq!(bench.heartbeat(&beat("a", 1)), Err(ErrorCode::FencedMemberEpoch));
    assert_eq!(bench.heartbeat(&beat("a", 3)), Err(ErrorCode::FencedMemberEpoch));
    assert_eq!(bench.heartbeat(&beat("z", 1)), Err(ErrorCode::UnknownMemberId));
    assert_eq!(bench.heartbeat(&beat("z", -1)), Err(ErrorCode::UnknownMemberId));
    // A fenced member joins again under its id and gets its partitions back.
    let again = bench.heartbeat(&join("a", &["t", "u"])).expect("joined");
    assert_eq!((again.member_epoch, again.assignment), (2, raised.assignment));
    bench.check_replay();
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let mut bench = Bench::new(&[("t", 1)]);
    let plain = join("a", &["t"]);
    let cases = [
        (HeartbeatRequest { member_id: String::new(), ..plain.clone() }, ErrorCode::InvalidRequest),
        (HeartbeatRequest { rebalance_timeout_ms: -1, ..plain.clone() }, ErrorCode::InvalidRequest),
        (HeartbeatRequest { owned: None, ..plain.clone() }, ErrorCode::InvalidRequest),
        (HeartbeatRequest { topics: None, ..plain.clone() }, ErrorCode::InvalidRequest),
        (HeartbeatRequest { instance_id: Some(String::new()), ..plain.clone() }, ErrorCode::InvalidRequest),
        (HeartbeatRequest { member_epoch: -3, ..plain.clone() }, ErrorCode::InvalidRequest),
        (HeartbeatRequest { member_epoch: -2, ..plain.clone() }, ErrorCode::InvalidRequest),
        (
            HeartbeatRequest { server_assignor: Some("sticky".to_owned()), ..plain.clone() },
            ErrorCode::UnsupportedAssignor,
        ),
        (HeartbeatRequest { regex: Some("(".to_owned()), ..plain }, ErrorCode::InvalidRegularExpression),
        (beat("a", 1), ErrorCode::GroupIdNotFound),
    ];
    for (request, error) in cases {
        assert_eq!(bench.heartbeat(&request), Err(error), "{request:?}");
    }
    assert!(bench.coordinator.group("g").is_none());
}

#[test]
fn a_full_group_takes_nobody_else() {
    let mut bench = Bench::new(&[("t", 1)]);
    let mut limits = CoordinatorLimits::default();
    limits.consumer.members_max = 1;
    bench.coordinator = GroupCoordinator::new(limits);
    bench.heartbeat(&join("a", &["t"])).expect("joined");
    assert_eq!(bench.heartbeat(&join("b", &["t"])), Err(ErrorCode::GroupMaxSizeReached));
    bench.heartbeat(&join("a", &["t"])).expect("the same member may come again");
}

#[test]
fn silent_members_and_those_that_do_not_let_go_are_removed() {
    let mut bench = Bench::new(&[("t", 2)]);
    let all = bench.heartbeat(&join("a", &["t"])).expect("joined").assignment.expect("told");
    bench.heartbeat(&join("b", &["t"])).expect("joined");
    let told = bench.heartbeat(&owning("a", 1, &all)).expect("alive");
    assert_eq!(told.assignment.expect("changed").len(), 1);
    // It lives, but does not let go within its rebalance timeout.
    bench.pass(i64::from(REBALANCE_MS) - 1);
    bench.heartbeat(&beat("a", 1)).expect("still in time");
    bench.heartbeat(&beat("b", 2)).expect("alive");
    bench.pass(1);
    assert_eq!(bench.heartbeat(&beat("a", 1)), Err(ErrorCode::UnknownMemberId));
    let all = bench.heartbeat(&beat("b", 2)).expect("alive");
    assert_eq!((all.member_epoch, all.assignment.expect("changed").len()), (3, 2));
    bench.check_replay();
    bench.pass(45_000);
    assert_eq!(bench.group().state(), ConsumerGroupState::Empty);
    bench.check_replay();
}

#[test]
fn a_group_may_have_its_own_session_timeout() {
    let mut bench = Bench::new(&[("t", 1)]);
    let configs = BTreeMap::from([("consumer.session.timeout.ms".to_owned(), "2000".to_owned())]);
    bench.change(&MetadataRecord::GroupConfigsChanged { group: "g".to_owned(), configs });
    bench.heartbeat(&join("a", &["t"])).expect("joined");
    bench.pass(1_999);
    bench.heartbeat(&beat("a", 1)).expect("alive");
    bench.pass(2_000);
    assert_eq!(bench.heartbeat(&beat("a", 1)), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn a_static_member_takes_over_from_its_former_self() {
    let instance = |request| HeartbeatRequest { instance_id: Some("i".to_owned()), ..request };
    let mut bench = Bench::new(&[("t", 4)]);
    let joined = bench.heartbeat(&instance(join("a", &["t"]))).expect("joined");
    bench.heartbeat(&join("b", &["t"])).expect("joined");
    let kept = bench.heartbeat(&beat("a", 1)).expect("alive").assignment.expect("changed");
    bench.heartbeat(&owning("a", 1, &kept)).expect("alive");
    bench.heartbeat(&beat("b", 2)).expect("alive");
    assert_ne!(joined.assignment.as_ref(), Some(&kept));
    assert_eq!(bench.heartbeat(&instance(join("c", &["t"]))), Err(ErrorCode::UnreleasedInstanceId));
    let away = HeartbeatRequest { member_epoch: -2, ..instance(beat("a", 0)) };
    assert_eq!(bench.heartbeat(&away).expect("left for a while").member_epoch, -2);
    bench.check_replay();
    // While it is away the other gets nothing of it.
    assert_eq!(bench.heartbeat(&beat("b", 2)).expect("alive").assignment, None);
    let back = bench.heartbeat(&instance(join("c", &["t"]))).expect("joined");
    assert_eq!((back.member_epoch, back.assignment), (2, Some(kept)));
    assert_eq!(bench.heartbeat(&instance(beat("a", 2))), Err(ErrorCode::FencedInstanceId));
    assert_eq!(bench.group().state(), ConsumerGroupState::Stable);
    bench.check_replay();
    // A static member that does not come back loses its place with its session.
    let away = HeartbeatRequest { member_epoch: -2, ..instance(beat("c", 0)) };
    bench.heartbeat(&away).expect("left for a while");
    bench.pass(30_000);
    bench.heartbeat(&beat("b", 2)).expect("alive");
    bench.pass(15_000);
    let all = bench.heartbeat(&beat("b", 2)).expect("alive").assignment.expect("changed");
    assert_eq!(all.len(), 4);
}

#[test]
fn new_topics_and_partitions_are_noticed() {
    let mut bench = Bench::new(&[("t-1", 1), ("__consumer_offsets", 4)]);
    let regex = Some("t-.*|_.*".to_owned());
    let joined =
        bench.heartbeat(&HeartbeatRequest { topics: None, regex, ..join("a", &[]) }).expect("joined");
    assert_eq!(joined.assignment, Some(PartitionSet::from([(topic_id("t-1"), 0)])));
    bench.create("other", 1);
    assert_eq!(bench.heartbeat(&beat("a", 1)).expect("alive").member_epoch, 1);
    bench.create("t-2", 1);
    let more = bench.heartbeat(&beat("a", 1)).expect("alive");
    assert_eq!((more.member_epoch, more.assignment.expect("changed").len()), (2, 2));
    bench.change(&MetadataRecord::PartitionsAdded { name: "t-2".to_owned(), partitions: 3 });
    assert_eq!(bench.heartbeat(&beat("a", 2)).expect("alive").assignment.expect("changed").len(), 4);
    bench.check_replay();
    bench.change(&MetadataRecord::TopicDeleting { name: "t-2".to_owned(), id: topic_id("t-2") });
    let fewer = bench.heartbeat(&beat("a", 3)).expect("alive").assignment.expect("changed");
    assert_eq!(fewer.len(), 1);
    assert_eq!(bench.heartbeat(&owning("a", 3, &fewer)).expect("alive").member_epoch, 4);
    // A restart alone changes nothing.
    bench.coordinator = bench.replayed();
    assert_eq!(bench.heartbeat(&beat("a", 4)).expect("alive").member_epoch, 4);
}

/// Rules, as they are now: which topics a client may see.
type Rules = Arc<parking_lot::Mutex<BTreeMap<&'static str, Vec<&'static str>>>>;

fn viewer(rules: &Rules, name: &'static str) -> Option<Viewer> {
    let rules = rules.clone();
    Some(Viewer::new(name, move |_, topic| {
        rules.lock().get(name).is_some_and(|visible| visible.contains(&topic))
    }))
}

#[test]
fn a_pattern_names_only_what_its_member_may_see() {
    let mut bench = Bench::new(&[("t-1", 2), ("t-2", 2), ("t-3", 2)]);
    let rules: Rules = Arc::default();
    rules.lock().extend([("alice", vec!["t-1", "t-2"]), ("bob", vec!["t-2"])]);
    let as_user =
        |request: HeartbeatRequest, user| HeartbeatRequest { viewer: viewer(&rules, user), ..request };
    let pattern = |member_id: &str, user| {
        let regex = Some("t-.*".to_owned());
        as_user(HeartbeatRequest { topics: None, regex, ..join(member_id, &[]) }, user)
    };
    let topics_of = |bench: &Bench, member_id: &str| {
        let target = bench.group().target(member_id).cloned().unwrap_or_default();
        target.into_iter().map(|(id, _)| id).collect::<std::collections::BTreeSet<_>>()
    };
    let ids =
        |names: &[&str]| names.iter().map(|name| topic_id(name)).collect::<std::collections::BTreeSet<_>>();
    bench.heartbeat(&pattern("a", "alice")).expect("joined");
    assert_eq!(topics_of(&bench, "a"), ids(&["t-1", "t-2"]));
    bench.heartbeat(&pattern("b", "bob")).expect("joined");
    assert_eq!(topics_of(&bench, "b"), ids(&["t-2"]));
    bench.check_replay();

    // Alice's other topic is shown to Bob as well: known to the group, new to him.
    rules.lock().insert("bob", vec!["t-1", "t-2"]);
    bench.change(&MetadataRecord::ProducerIds { next: 1 });
    let epoch = bench.group().group_epoch();
    bench.heartbeat(&as_user(beat("b", 2), "bob")).expect("alive");
    assert_eq!(bench.group().group_epoch(), epoch + 1);
    bench.heartbeat(&as_user(beat("a", 1), "alice")).expect("alive");
    assert_eq!(bench.group().group_epoch(), epoch + 1, "once, not once for each member");
    // And taken from both.
    rules.lock().extend([("alice", vec!["t-1"]), ("bob", vec!["t-1"])]);
    bench.change(&MetadataRecord::ProducerIds { next: 2 });
    let member_epoch = bench.group().members["a"].epoch;
    bench.heartbeat(&as_user(beat("a", member_epoch), "alice")).expect("alive");
    for member in ["a", "b"] {
        assert!(topics_of(&bench, member).is_subset(&ids(&["t-1"])), "{member}");
    }
    // Nobody restricts a third one.
    let regex = Some("t-.*".to_owned());
    let free = HeartbeatRequest { topics: None, regex, ..join("c", &[]) };
    bench.heartbeat(&free).expect("joined");
    assert!(topics_of(&bench, "c").is_superset(&ids(&["t-2", "t-3"])));
}

#[test]
fn a_start_shows_nobody_what_is_hidden_and_moves_nothing() {
    let mut bench = Bench::new(&[("t-1", 2), ("t-2", 2)]);
    let rules: Rules = Arc::default();
    rules.lock().extend([("alice", vec!["t-1", "t-2"]), ("bob", vec!["t-2"])]);
    let as_user =
        |request: HeartbeatRequest, user| HeartbeatRequest { viewer: viewer(&rules, user), ..request };
    for (member_id, user) in [("a", "alice"), ("b", "bob")] {
        let regex = Some("t-.*".to_owned());
        let request = HeartbeatRequest { topics: None, regex, ..join(member_id, &[]) };
        bench.heartbeat(&as_user(request, user)).expect("joined");
    }
    let settle = |bench: &mut Bench| {
        for _ in 0..4 {
            for (member_id, user) in [("a", "alice"), ("b", "bob")] {
                let member = &bench.group().members[member_id];
                let request = owning(member_id, member.epoch, &member.assigned.clone());
                bench.heartbeat(&as_user(request, user)).expect("alive");
            }
        }
    };
    settle(&mut bench);
    assert_eq!(bench.group().state(), ConsumerGroupState::Stable);
    let (epoch, targets) = (bench.group().group_epoch(), bench.group().targets.clone());
    bench.coordinator = bench.replayed();
    settle(&mut bench);
    assert_eq!((bench.group().group_epoch(), &bench.group().targets), (epoch, &targets));
    // A topic made before the second one is heard of again.
    bench.coordinator = bench.replayed();
    rules.lock().extend([("alice", vec!["t-1", "t-2", "t-3"]), ("bob", vec!["t-2", "t-3"])]);
    bench.create("t-3", 4);
    settle(&mut bench);
    let has = |member_id: &str, name: &str| {
        bench.group().targets[member_id].iter().any(|(id, _)| *id == topic_id(name))
    };
    assert!(has("a", "t-3") && has("b", "t-3"), "{:?}", bench.group().targets);
    assert!(!has("b", "t-1"));
}

#[test]
fn offsets_are_for_members_at_their_epoch() {
    let mut bench = Bench::new(&[("t", 1)]);
    bench.heartbeat(&join("a", &["t"])).expect("joined");
    let commit = |bench: &mut Bench, member_id: &str, generation, knows_member_epochs| {
        let kind = CommitKind::Plain;
        let by = Committer { generation, member_id, instance_id: None, kind, knows_member_epochs };
        let offset = OffsetToCommit {
            topic: "t".to_owned(),
            partition: 0,
            offset: 7,
            leader_epoch: -1,
            metadata: String::new(),
        };
        let step = bench.coordinator.commit_offsets("g", by, None, vec![offset], bench.now);
        step.map(|step| bench.log.extend(step.records)).err()
    };
    assert_eq!(commit(&mut bench, "a", 1, true), None);
    assert_eq!(commit(&mut bench, "a", 0, true), Some(ErrorCode::StaleMemberEpoch));
    assert_eq!(commit(&mut bench, "b", 1, true), Some(ErrorCode::UnknownMemberId));
    assert_eq!(commit(&mut bench, "", -1, true), Some(ErrorCode::UnknownMemberId));
    assert_eq!(commit(&mut bench, "a", 1, false), Some(ErrorCode::UnsupportedVersion));
    let stale = Committer {
        generation: 0,
        member_id: "a",
        instance_id: None,
        kind: CommitKind::Transactional,
        knows_member_epochs: true,
    };
    assert_eq!(bench.group().check_commit(stale), Err(ErrorCode::IllegalGeneration));
    let fetch = |bench: &Bench, member, epoch| bench.coordinator.check_fetch("g", member, epoch);
    assert_eq!(fetch(&bench, Some("a"), 1), Ok(()));
    assert_eq!(fetch(&bench, None, -1), Ok(()));
    assert_eq!(fetch(&bench, Some("a"), 2), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(fetch(&bench, Some("b"), 1), Err(ErrorCode::UnknownMemberId));
    let delete = bench.coordinator.delete_offset("g", "t", 0);
    assert_eq!(delete.err(), Some(ErrorCode::GroupSubscribedToTopic));
    assert_eq!(bench.coordinator.delete_group("g").err(), Some(ErrorCode::NonEmptyGroup));
    bench.heartbeat(&beat("a", -1)).expect("left");
    bench.check_replay();
    assert_eq!(commit(&mut bench, "", -1, true), None);
    let records = bench.coordinator.delete_group("g").expect("empty");
    bench.log.extend(records);
    assert!(bench.replayed().group("g").is_none());
}

#[test]
fn tools_remove_members_and_old_offsets_of_unread_topics_expire() {
    let mut bench = Bench::new(&[("t", 2), ("u", 1)]);
    bench.heartbeat(&join("a", &["t"])).expect("joined");
    let instance = HeartbeatRequest { instance_id: Some("i".to_owned()), ..join("b", &["t"]) };
    bench.heartbeat(&instance).expect("joined");
    let epoch = bench.heartbeat(&beat("a", 1)).expect("alive").member_epoch;
    let offset = |topic: &str| OffsetToCommit {
        topic: topic.to_owned(),
        partition: 0,
        offset: 1,
        leader_epoch: -1,
        metadata: String::new(),
    };
    let kind = CommitKind::Plain;
    let by =
        Committer { generation: epoch, member_id: "a", instance_id: None, kind, knows_member_epochs: true };
    let step = bench.coordinator.commit_offsets("g", by, None, vec![offset("t"), offset("u")], bench.now);
    bench.log.extend(step.expect("a member").records);
    let later = bench.now + 8 * 24 * 3_600 * 1_000;
    let expired = bench.coordinator.expire_offsets(later);
    assert_eq!(expired.len(), 1, "nobody reads u");
    bench.log.extend(expired);
    assert!(
        bench.coordinator.offsets().group("g").is_some_and(|left| left.contains_key(&("t".to_owned(), 0)))
    );

    let gone = [(String::new(), Some("i".to_owned())), (String::new(), Some("j".to_owned()))];
    let (codes, step) = bench.coordinator.leave("g", &gone, bench.now).expect("a group");
    assert_eq!(codes, [ErrorCode::None, ErrorCode::UnknownMemberId]);
    bench.log.extend(step.records);
    assert_eq!(bench.group().members().count(), 1);
    bench.check_replay();
}

#[test]
fn an_empty_group_changes_its_protocol_and_keeps_its_offsets() {
    let mut bench = Bench::new(&[("t", 1)]);
    let classic = |bench: &mut Bench, member_id: &str| {
        let request = JoinRequest {
            member_id: member_id.to_owned(),
            instance_id: None,
            client_id: "c".to_owned(),
            client_host: "h".to_owned(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 10_000,
            protocol_type: "consumer".to_owned(),
            protocols: vec![("range".to_owned(), bytes::Bytes::new())],
            new_member_id: "m".to_owned(),
            require_known_member_id: false,
            skip_assignment_supported: false,
        };
        let mut step = bench.coordinator.join("g", Ticket(1), request, bench.now);
        bench.log.append(&mut step.records);
        match step.replies.pop() {
            Some((_, Reply::Join(reply))) => reply.error,
            other => panic!("not a join: {other:?}"),
        }
    };
    assert_eq!(classic(&mut bench, ""), ErrorCode::None);
    assert_eq!(bench.heartbeat(&join("a", &["t"])), Err(ErrorCode::GroupIdNotFound));
    bench.coordinator.leave("g", &[("m".to_owned(), None)], bench.now).expect("left");
    bench.heartbeat(&join("a", &["t"])).expect("the classic group is empty");
    bench.check_replay();
    assert_eq!(classic(&mut bench, ""), ErrorCode::InconsistentGroupProtocol);
    assert_eq!(bench.coordinator.heartbeat("g", "m", None, 1, bench.now), ErrorCode::UnknownMemberId);
    bench.heartbeat(&beat("a", -1)).expect("left");
    assert_eq!(classic(&mut bench, ""), ErrorCode::None);
    assert!(bench.coordinator.group("g").and_then(AnyGroup::as_classic).is_some());
}

#[test]
fn members_states_have_stable_numbers() {
    for state in [MemberState::Stable, MemberState::UnrevokedPartitions, MemberState::UnreleasedPartitions] {
        assert_eq!(MemberState::from_code(state.code()), Some(state));
    }
    assert_eq!(MemberState::from_code(127), None);
}
