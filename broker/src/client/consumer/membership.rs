//! The protocol of a consumer group's member (KIP-848): the coordinator assigns, the member confirms.
//!
//! ```text
//!            answered             other partitions              confirmed
//!  joining ----------> stable ----------------------> revoking ----------> stable
//!     ^                   |                               |
//!     +--fenced, unknown--+-------------------------------+            any --leave--> left
//! ```
//!
//! Pure: requests and answers are values, time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::client::call::check;
use crate::client::error::Result;
use crate::ids::TopicPartition;
use crate::protocol::api_key::ApiKey;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};

/// How long the member may take to give partitions up (`max.poll.interval.ms` of Kafka's clients is longer).
const REBALANCE_TIMEOUT_MS: i32 = 60_000;
/// Epoch of a member that leaves.
const LEAVE_EPOCH: i32 = -1;
const INTERVAL_MS_MIN: u64 = 10;
const INTERVAL_MS_MAX: u64 = 60_000;
/// Pause of a member without partitions: there may be some with the next answer.
const IDLE_INTERVAL_MS_MAX: u64 = 200;

/// A change by the answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberEvent {
    /// The member keeps its partitions.
    Unchanged,
    /// The member's partitions change. It stops reading `revoked`, commits their offsets and confirms; then `added` are
    /// its own.
    Assigned { revoked: Vec<TopicPartition>, added: Vec<TopicPartition> },
    /// The coordinator has given the member up and its partitions, `lost`, to others: their offsets cannot be committed.
    /// The next heartbeat joins anew.
    Fenced { lost: Vec<TopicPartition> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Joining,
    Stable,
    Revoking,
    Left,
}

/// The state of a member.
#[derive(Debug, Clone)]
pub struct Membership {
    group_id: String,
    member_id: String,
    epoch: i32,
    /// Topics the member has subscribed to.
    topics: BTreeMap<Uuid, Arc<str>>,
    phase: Phase,
    /// Partitions that are the member's.
    owned: BTreeSet<TopicPartition>,
    /// Partitions that it is to have.
    target: BTreeSet<TopicPartition>,
    /// The coordinator does not know `owned` yet.
    is_unconfirmed: bool,
    next_heartbeat: Duration,
}

impl Membership {
    /// A member that has not joined yet.
    #[must_use]
    pub fn new(group_id: &str, member_id: Uuid, topics: BTreeMap<Uuid, Arc<str>>) -> Self {
        Self {
            group_id: group_id.to_owned(),
            member_id: member_id.to_string(),
            epoch: 0,
            topics,
            phase: Phase::Joining,
            owned: BTreeSet::new(),
            target: BTreeSet::new(),
            is_unconfirmed: false,
            next_heartbeat: Duration::ZERO,
        }
    }

    #[must_use]
    pub fn group_id(&self) -> &str {
        &self.group_id
    }

    #[must_use]
    pub fn member_id(&self) -> &str {
        &self.member_id
    }

    /// The epoch with which offsets are committed.
    #[must_use]
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The partitions that are the member's.
    #[must_use]
    pub fn owned(&self) -> &BTreeSet<TopicPartition> {
        &self.owned
    }

    /// Whether the coordinator should hear from the member.
    #[must_use]
    pub fn is_due(&self, now: Duration) -> bool {
        self.phase != Phase::Left && now >= self.next_heartbeat
    }

    /// The next heartbeat: all about the member when it joins, afterwards what is new.
    #[must_use]
    pub fn heartbeat(&self) -> ConsumerGroupHeartbeatRequest {
        let request = ConsumerGroupHeartbeatRequest {
            group_id: self.group_id.clone(),
            member_id: self.member_id.clone(),
            member_epoch: self.epoch,
            ..ConsumerGroupHeartbeatRequest::default()
        };
        match self.phase {
            Phase::Joining => ConsumerGroupHeartbeatRequest {
                rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
                subscribed_topic_names: Some(self.topics.values().map(|name| name.to_string()).collect()),
                topic_partitions: Some(Vec::new()),
                ..request
            },
            Phase::Stable | Phase::Revoking => ConsumerGroupHeartbeatRequest {
                topic_partitions: self.is_unconfirmed.then(|| self.owned_by_topic()),
                ..request
            },
            Phase::Left => request,
        }
    }

    fn owned_by_topic(&self) -> Vec<TopicPartitions> {
        let of_topic = |(topic_id, name): (&Uuid, &Arc<str>)| TopicPartitions {
            topic_id: *topic_id,
            partitions: self.owned.iter().filter(|p| p.topic == *name).map(|p| p.partition).collect(),
        };
        self.topics.iter().map(of_topic).filter(|topic| !topic.partitions.is_empty()).collect()
    }

    /// Takes the answer to [`Membership::heartbeat`].
    ///
    /// Errors: the refusal, unless the member was only fenced.
    pub fn handle(&mut self, answer: ConsumerGroupHeartbeatResponse, now: Duration) -> Result<MemberEvent> {
        let is_fenced =
            matches!(answer.error_code, ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId);
        if is_fenced && self.phase != Phase::Joining {
            return Ok(self.fence());
        }
        let resource = format!("group \"{}\"", self.group_id);
        check(ApiKey::ConsumerGroupHeartbeat, &resource, answer.error_code, answer.error_message)?;
        if self.phase == Phase::Joining {
            self.phase = Phase::Stable;
        }
        self.epoch = answer.member_epoch;
        self.is_unconfirmed = false;
        if let Some(id) = answer.member_id {
            self.member_id = id;
        }
        if let Some(assignment) = answer.assignment {
            // Topics that were not subscribed to are topics of another id: they are read after joining anew.
            let named = assignment.topic_partitions.iter().filter_map(|topic| {
                let name = self.topics.get(&topic.topic_id)?;
                Some(topic.partitions.iter().map(|partition| TopicPartition::new(name.clone(), *partition)))
            });
            self.target = named.flatten().collect();
        }
        let interval_ms = u64::try_from(answer.heartbeat_interval_ms).unwrap_or(0);
        let interval_ms = interval_ms.clamp(INTERVAL_MS_MIN, INTERVAL_MS_MAX);
        let interval_ms =
            if self.target.is_empty() { interval_ms.min(IDLE_INTERVAL_MS_MAX) } else { interval_ms };
        self.next_heartbeat = now.saturating_add(Duration::from_millis(interval_ms));
        if self.target == self.owned {
            self.phase = Phase::Stable;
            return Ok(MemberEvent::Unchanged);
        }
        self.phase = Phase::Revoking;
        Ok(MemberEvent::Assigned {
            revoked: self.owned.difference(&self.target).cloned().collect(),
            added: self.target.difference(&self.owned).cloned().collect(),
        })
    }

    /// Everything starts anew.
    fn fence(&mut self) -> MemberEvent {
        self.phase = Phase::Joining;
        self.epoch = 0;
        self.is_unconfirmed = false;
        self.next_heartbeat = Duration::ZERO;
        self.target.clear();
        MemberEvent::Fenced { lost: std::mem::take(&mut self.owned).into_iter().collect() }
    }

    /// Revoked partitions are not read any more: the assigned ones are the member's, which the next heartbeat, due at
    /// once, says.
    pub fn confirm(&mut self) {
        if self.phase == Phase::Revoking {
            self.phase = Phase::Stable;
            self.owned.clone_from(&self.target);
            self.is_unconfirmed = true;
            self.next_heartbeat = Duration::ZERO;
        }
    }

    /// Ends the membership. The next heartbeat says so, unless the member has never joined or was fenced.
    pub fn leave(&mut self) -> Option<ConsumerGroupHeartbeatRequest> {
        let is_member = match self.phase {
            Phase::Stable | Phase::Revoking => true,
            Phase::Joining | Phase::Left => false,
        };
        self.phase = Phase::Left;
        self.epoch = LEAVE_EPOCH;
        self.owned.clear();
        self.target.clear();
        is_member.then(|| self.heartbeat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::messages::consumer_group_heartbeat::Assignment;

    const ID: Uuid = Uuid::from_u128(7);
    const NOW: Duration = Duration::from_secs(100);

    fn member() -> Membership {
        Membership::new("g", Uuid::from_u128(1), BTreeMap::from([(ID, "t".into())]))
    }

    fn answer(epoch: i32, partitions: Option<&[i32]>) -> ConsumerGroupHeartbeatResponse {
        let assignment = |partitions: &[i32]| Assignment {
            topic_partitions: vec![TopicPartitions { topic_id: ID, partitions: partitions.to_vec() }],
        };
        ConsumerGroupHeartbeatResponse {
            member_epoch: epoch,
            heartbeat_interval_ms: 3_000,
            assignment: partitions.map(assignment),
            ..ConsumerGroupHeartbeatResponse::default()
        }
    }

    fn refusal(error_code: ErrorCode) -> ConsumerGroupHeartbeatResponse {
        ConsumerGroupHeartbeatResponse { error_code, ..ConsumerGroupHeartbeatResponse::default() }
    }

    fn partitions(numbers: &[i32]) -> Vec<TopicPartition> {
        numbers.iter().map(|number| TopicPartition::new("t", *number)).collect()
    }

    /// A member that has confirmed these partitions at epoch 1.
    fn with(numbers: &[i32]) -> Membership {
        let mut member = member();
        member.handle(answer(1, Some(numbers)), NOW).expect("joins");
        member.confirm();
        member.handle(answer(1, None), NOW).expect("confirms");
        member
    }

    #[test]
    fn joining_says_everything_and_adopts_the_assignment() {
        let mut member = member();
        assert!(member.is_due(Duration::ZERO));
        let request = member.heartbeat();
        assert_eq!((request.member_epoch, request.rebalance_timeout_ms), (0, REBALANCE_TIMEOUT_MS));
        assert_eq!(request.subscribed_topic_names, Some(vec!["t".to_owned()]));
        assert_eq!(request.topic_partitions, Some(Vec::new()));

        let event = member.handle(answer(1, Some(&[0, 1])), NOW).expect("joins");
        assert_eq!(event, MemberEvent::Assigned { revoked: Vec::new(), added: partitions(&[0, 1]) });
        assert!(member.owned().is_empty(), "not before it is confirmed");
        assert!(!member.is_due(NOW));
        member.confirm();
        assert!(member.is_due(NOW), "the coordinator is to know at once");
        let request = member.heartbeat();
        assert_eq!((request.member_epoch, request.subscribed_topic_names), (1, None));
        let owned = TopicPartitions { topic_id: ID, partitions: vec![0, 1] };
        assert_eq!(request.topic_partitions, Some(vec![owned]));

        assert_eq!(member.handle(answer(1, None), NOW).expect("confirms"), MemberEvent::Unchanged);
        assert_eq!(member.heartbeat().topic_partitions, None, "nothing is new");
        assert!(!member.is_due(NOW + Duration::from_millis(2_999)));
        assert!(member.is_due(NOW + Duration::from_secs(3)));
    }

    #[test]
    fn partitions_are_the_members_until_it_has_given_them_up() {
        let mut member = with(&[0, 1]);
        let event = member.handle(answer(2, Some(&[1, 2])), NOW).expect("answers");
        assert_eq!(event, MemberEvent::Assigned { revoked: partitions(&[0]), added: partitions(&[2]) });
        assert_eq!((member.owned().len(), member.epoch()), (2, 2));
        assert_eq!(member.heartbeat().topic_partitions, None, "revoking takes its time");
        let again = member.handle(answer(2, None), NOW).expect("answers");
        assert!(matches!(again, MemberEvent::Assigned { .. }), "still to be done: {again:?}");
        member.confirm();
        assert_eq!(member.owned().iter().cloned().collect::<Vec<_>>(), partitions(&[1, 2]));
    }

    #[test]
    fn an_assignment_that_is_taken_back_before_it_is_confirmed_changes_nothing() {
        let mut member = with(&[0]);
        member.handle(answer(2, Some(&[1])), NOW).expect("answers");
        assert_eq!(member.handle(answer(3, Some(&[0])), NOW).expect("answers"), MemberEvent::Unchanged);
        member.confirm();
        assert_eq!(member.heartbeat().topic_partitions, None);
    }

    #[test]
    fn a_fenced_member_loses_its_partitions_and_joins_anew() {
        for code in [ErrorCode::FencedMemberEpoch, ErrorCode::UnknownMemberId] {
            let mut member = with(&[0, 1]);
            let event = member.handle(refusal(code), NOW).expect("is no failure");
            assert_eq!(event, MemberEvent::Fenced { lost: partitions(&[0, 1]) });
            assert!(member.owned().is_empty() && member.is_due(Duration::ZERO));
            let request = member.heartbeat();
            assert_eq!((request.member_epoch, request.topic_partitions), (0, Some(Vec::new())));
            assert!(member.handle(refusal(code), NOW).is_err(), "a member that joins cannot be fenced");
        }
    }

    #[test]
    fn a_refusal_is_an_error() {
        let mut member = member();
        let error = member.handle(refusal(ErrorCode::GroupAuthorizationFailed), NOW).expect_err("refused");
        assert_eq!(error.code(), Some(ErrorCode::GroupAuthorizationFailed));
    }

    #[test]
    fn partitions_of_unknown_topics_are_left_out_and_a_member_without_any_asks_soon() {
        let mut member = member();
        let mut stranger = answer(1, Some(&[0]));
        if let Some(assignment) = &mut stranger.assignment {
            assignment.topic_partitions[0].topic_id = Uuid::from_u128(8);
        }
        assert_eq!(member.handle(stranger, NOW).expect("joins"), MemberEvent::Unchanged);
        assert!(member.is_due(NOW + Duration::from_millis(IDLE_INTERVAL_MS_MAX)));
    }

    #[test]
    fn leaving_is_said_once_by_members() {
        let mut member = with(&[0]);
        assert_eq!(member.leave().expect("a member").member_epoch, LEAVE_EPOCH);
        assert!(member.leave().is_none());
        assert!(!member.is_due(Duration::MAX));
        assert!(self::member().leave().is_none(), "it has never joined");
    }
}
