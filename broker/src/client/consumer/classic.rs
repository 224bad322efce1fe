//! The classic protocol of a consumer group's member: one of the members assigns, and all join again for each change.
//!
//! ```text
//!            JoinGroup              SyncGroup        other partitions           confirmed
//!  joining ------------> syncing -------------> stable -------------> revoking ----------> stable
//!   ^  ^                    |                     |                      |
//!   |  +--------------------+--- rebalance -------+                      |              any --leave--> left
//!   +--- rebalance with the range assignor, or more to give up ----------+
//! ```
//!
//! Pure: requests and answers are values, time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::classic_assignor::{ClassicAssignor, JoinedMember, divide, topics_of};
use super::membership::MemberEvent;
use crate::client::call::check;
use crate::client::error::{ClientError, Result};
use crate::ids::TopicPartition;
use crate::protocol::api_key::ApiKey;
use crate::protocol::consumer_protocol::{ConsumerAssignment, ConsumerSubscription, ConsumerTopicPartitions};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use crate::protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use crate::protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use crate::protocol::messages::sync_group::{
    SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse,
};

const PROTOCOL_TYPE: &str = "consumer";
/// Version of subscriptions and assignments.
const CONSUMER_PROTOCOL_VERSION: i16 = 3;
const NO_GENERATION: i32 = -1;
/// `session.timeout.ms` of Kafka's clients.
const SESSION_TIMEOUT_MS: i32 = 45_000;
/// How long members may take to join again.
const REBALANCE_TIMEOUT_MS: i32 = 60_000;
/// `heartbeat.interval.ms` of Kafka's clients.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Joining,
    Syncing,
    Stable,
    Revoking,
    Left,
}

/// The next step after a response to JoinGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Joined {
    /// The member joins again.
    Again,
    /// The member gets its share from the leader.
    Follows,
    /// The member divides the partitions of these topics.
    Leads(BTreeSet<String>),
}

/// The state of a member.
#[derive(Debug, Clone)]
pub(crate) struct ClassicMembership {
    group_id: String,
    member_id: String,
    generation: i32,
    assignor: ClassicAssignor,
    topics: BTreeSet<Arc<str>>,
    phase: Phase,
    owned: BTreeSet<TopicPartition>,
    target: BTreeSet<TopicPartition>,
    /// After the revocation the member joins again.
    joins_again: bool,
    /// All members, if this one leads.
    members: Vec<JoinedMember>,
    next_heartbeat: Duration,
}

impl ClassicMembership {
    pub(crate) fn new(group_id: &str, topics: BTreeSet<Arc<str>>, assignor: ClassicAssignor) -> Self {
        Self {
            group_id: group_id.to_owned(),
            member_id: String::new(),
            generation: NO_GENERATION,
            assignor,
            topics,
            phase: Phase::Joining,
            owned: BTreeSet::new(),
            target: BTreeSet::new(),
            joins_again: false,
            members: Vec::new(),
            next_heartbeat: Duration::ZERO,
        }
    }

    pub(crate) fn group_id(&self) -> &str {
        &self.group_id
    }

    pub(crate) fn member_id(&self) -> &str {
        &self.member_id
    }

    pub(crate) fn generation(&self) -> i32 {
        self.generation
    }

    pub(crate) fn owned(&self) -> &BTreeSet<TopicPartition> {
        &self.owned
    }

    /// Whether the member is about to join.
    pub(crate) fn is_joining(&self) -> bool {
        matches!(self.phase, Phase::Joining | Phase::Syncing)
    }

    pub(crate) fn is_due(&self, now: Duration) -> bool {
        match self.phase {
            Phase::Joining | Phase::Syncing => true,
            Phase::Stable | Phase::Revoking => now >= self.next_heartbeat,
            Phase::Left => false,
        }
    }

    /// Errors: names that are too long.
    pub(crate) fn join(&self) -> Result<JoinGroupRequest> {
        let subscription = ConsumerSubscription {
            topics: self.topics.iter().map(|topic| topic.to_string()).collect(),
            owned_partitions: by_topic(&self.owned),
            generation_id: self.generation,
            ..ConsumerSubscription::default()
        };
        let metadata = subscription.encode(CONSUMER_PROTOCOL_VERSION);
        let metadata = metadata.map_err(|_| self.unusable(ApiKey::JoinGroup, "a subscription"))?;
        let protocol = JoinGroupRequestProtocol { name: self.assignor.name().to_owned(), metadata };
        Ok(JoinGroupRequest {
            group_id: self.group_id.clone(),
            session_timeout_ms: SESSION_TIMEOUT_MS,
            rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
            member_id: self.member_id.clone(),
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocols: vec![protocol],
            ..JoinGroupRequest::default()
        })
    }

    fn unusable(&self, api: ApiKey, what: &str) -> ClientError {
        ClientError::Incomplete { api, missing: format!("{what} of group \"{}\"", self.group_id) }
    }

    fn check(&self, api: ApiKey, code: ErrorCode) -> Result<()> {
        check(api, &format!("group \"{}\"", self.group_id), code, None)
    }

    /// Takes the answer to [`ClassicMembership::join`].
    pub(crate) fn handle_join(&mut self, answer: JoinGroupResponse) -> Result<Joined> {
        match answer.error_code {
            ErrorCode::MemberIdRequired => {
                self.member_id = answer.member_id;
                return Ok(Joined::Again);
            }
            ErrorCode::RebalanceInProgress => return Ok(Joined::Again),
            ErrorCode::UnknownMemberId if !self.member_id.is_empty() => {
                self.member_id.clear();
                return Ok(Joined::Again);
            }
            code => self.check(ApiKey::JoinGroup, code)?,
        }
        let leads = answer.leader == answer.member_id;
        self.member_id = answer.member_id;
        self.generation = answer.generation_id;
        self.phase = Phase::Syncing;
        self.members.clear();
        if !leads {
            return Ok(Joined::Follows);
        }
        for member in answer.members {
            let subscription = ConsumerSubscription::decode(member.metadata)
                .map_err(|_| self.unusable(ApiKey::JoinGroup, "a readable subscription"))?;
            let (member_id, instance_id) = (member.member_id, member.group_instance_id);
            self.members.push(JoinedMember { member_id, instance_id, subscription });
        }
        Ok(Joined::Leads(topics_of(&self.members)))
    }

    /// The request for the member's share; with those of all, if it leads, of topics with these numbers of partitions.
    pub(crate) fn sync(&self, partitions: &BTreeMap<String, i32>) -> Result<SyncGroupRequest> {
        let mut assignments = Vec::with_capacity(self.members.len());
        let shares = divide(self.assignor, &self.members, partitions);
        for (member, assigned_partitions) in self.members.iter().zip(shares) {
            let share = ConsumerAssignment { assigned_partitions, ..ConsumerAssignment::default() };
            let assignment = share.encode(CONSUMER_PROTOCOL_VERSION);
            let assignment = assignment.map_err(|_| self.unusable(ApiKey::SyncGroup, "an assignment"))?;
            assignments.push(SyncGroupRequestAssignment { member_id: member.member_id.clone(), assignment });
        }
        Ok(SyncGroupRequest {
            group_id: self.group_id.clone(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            protocol_type: Some(PROTOCOL_TYPE.to_owned()),
            protocol_name: Some(self.assignor.name().to_owned()),
            assignments,
            ..SyncGroupRequest::default()
        })
    }

    /// Takes the answer to [`ClassicMembership::sync`].
    pub(crate) fn handle_sync(&mut self, answer: SyncGroupResponse, now: Duration) -> Result<MemberEvent> {
        match answer.error_code {
            ErrorCode::RebalanceInProgress => {
                self.phase = Phase::Joining;
                return Ok(MemberEvent::Unchanged);
            }
            code if is_lost(code) => return Ok(self.fence(code)),
            code => self.check(ApiKey::SyncGroup, code)?,
        }
        let share = ConsumerAssignment::decode(answer.assignment)
            .map_err(|_| self.unusable(ApiKey::SyncGroup, "a readable assignment"))?;
        let mut target = BTreeSet::new();
        for topic in share.assigned_partitions {
            if let Some(name) = self.topics.get(topic.topic.as_str()) {
                let named = |partition| TopicPartition::new(name.clone(), partition);
                target.extend(topic.partitions.into_iter().map(named));
            }
        }
        self.target = target;
        self.next_heartbeat = now.saturating_add(HEARTBEAT_INTERVAL);
        self.joins_again = match self.assignor {
            ClassicAssignor::Range => false,
            ClassicAssignor::CooperativeSticky => !self.owned.is_subset(&self.target),
        };
        Ok(self.change())
    }

    fn change(&mut self) -> MemberEvent {
        if self.target == self.owned {
            self.phase = Phase::Stable;
            return MemberEvent::Unchanged;
        }
        self.phase = Phase::Revoking;
        MemberEvent::Assigned {
            revoked: self.owned.difference(&self.target).cloned().collect(),
            added: self.target.difference(&self.owned).cloned().collect(),
        }
    }

    pub(crate) fn heartbeat(&self) -> HeartbeatRequest {
        HeartbeatRequest {
            group_id: self.group_id.clone(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            ..HeartbeatRequest::default()
        }
    }

    /// Takes the answer to [`ClassicMembership::heartbeat`].
    pub(crate) fn handle_heartbeat(
        &mut self,
        answer: &HeartbeatResponse,
        now: Duration,
    ) -> Result<MemberEvent> {
        match answer.error_code {
            ErrorCode::RebalanceInProgress => {
                if self.assignor == ClassicAssignor::Range && !self.owned.is_empty() {
                    self.target.clear();
                    self.joins_again = true;
                    return Ok(self.change());
                }
                self.phase = Phase::Joining;
                Ok(MemberEvent::Unchanged)
            }
            code if is_lost(code) => Ok(self.fence(code)),
            code => {
                self.check(ApiKey::Heartbeat, code)?;
                self.next_heartbeat = now.saturating_add(HEARTBEAT_INTERVAL);
                Ok(if self.phase == Phase::Revoking { self.change() } else { MemberEvent::Unchanged })
            }
        }
    }

    /// Everything starts anew.
    fn fence(&mut self, code: ErrorCode) -> MemberEvent {
        if code == ErrorCode::UnknownMemberId {
            self.member_id.clear();
        }
        self.phase = Phase::Joining;
        self.generation = NO_GENERATION;
        self.joins_again = false;
        self.target.clear();
        MemberEvent::Fenced { lost: std::mem::take(&mut self.owned).into_iter().collect() }
    }

    /// Revoked partitions are not read any more: the assigned ones are the member's.
    pub(crate) fn confirm(&mut self) {
        if self.phase == Phase::Revoking {
            self.owned.clone_from(&self.target);
            self.phase = if std::mem::take(&mut self.joins_again) { Phase::Joining } else { Phase::Stable };
        }
    }

    /// Ends the membership; none if there is none.
    pub(crate) fn leave(&mut self) -> Option<LeaveGroupRequest> {
        let was_left = std::mem::replace(&mut self.phase, Phase::Left) == Phase::Left;
        self.owned.clear();
        self.target.clear();
        let is_member = !was_left && !self.member_id.is_empty();
        is_member.then(|| LeaveGroupRequest {
            group_id: self.group_id.clone(),
            members: vec![MemberIdentity { member_id: self.member_id.clone(), ..MemberIdentity::default() }],
            ..LeaveGroupRequest::default()
        })
    }
}

/// Whether the coordinator has given the member's partitions to others.
fn is_lost(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId)
}

fn by_topic(partitions: &BTreeSet<TopicPartition>) -> Vec<ConsumerTopicPartitions> {
    let mut topics: Vec<ConsumerTopicPartitions> = Vec::new();
    for TopicPartition { topic, partition } in partitions {
        match topics.last_mut() {
            Some(last) if *last.topic == **topic => last.partitions.push(*partition),
            Some(_) | None => topics
                .push(ConsumerTopicPartitions { topic: topic.to_string(), partitions: vec![*partition] }),
        }
    }
    topics
}

#[cfg(test)]
mod tests;
