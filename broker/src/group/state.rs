//! One consumer group of the classic protocol: its members and where it is in a rebalance.
//!
//! ```text
//!            join                all joined / timeout          leader's SyncGroup
//!  Empty ----------> Preparing ----------------------> Completing ----------------> Stable
//!    ^                 |  ^                                |                           |
//!    +--- last member -+  +-- join, leave, expiry ---------+---------------------------+
//!         gone
//!  Dead: deleted; every request is answered as if the group were unknown.
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use indexmap::IndexMap;

use crate::protocol::consumer_protocol::ConsumerSubscription;

/// The protocol type of Kafka's consumers.
const CONSUMER_PROTOCOL: &str = "consumer";

/// Names the request a reply belongs to; the runtime keeps the way back to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// State of a group. See the module for the transitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupState {
    /// No members; offsets may exist.
    Empty,
    /// Waiting for members to (re)join.
    PreparingRebalance,
    /// Everyone joined; waiting for the leader's assignment.
    CompletingRebalance,
    /// Members hold their assignments.
    Stable,
    /// Deleted.
    Dead,
}

impl GroupState {
    /// The name used by ListGroups and DescribeGroups.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    pub member_id: String,
    /// `group.instance.id` of a static member (KIP-345).
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    /// Supported assignors in order of preference, with the subscription for each.
    pub protocols: Vec<(String, Bytes)>,
    pub assignment: Bytes,
    /// The JoinGroup this member waits in.
    pub awaiting_join: Option<Ticket>,
    /// The SyncGroup this member waits in.
    pub awaiting_sync: Option<Ticket>,
    /// Units: ms since epoch. Without a sign of life until then the member is removed.
    pub session_deadline: i64,
}

impl Member {
    /// The subscription given for `protocol`; empty when the member does not support it.
    #[must_use]
    pub fn subscription(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|(name, _)| name == protocol)
            .map(|(_, data)| data.clone())
            .unwrap_or_default()
    }

    /// True when the request names the same assignors with the same subscriptions.
    #[must_use]
    pub fn matches(&self, protocols: &[(String, Bytes)]) -> bool {
        self.protocols == protocols
    }
}

/// A group of the classic protocol.
#[derive(Debug, Clone)]
pub struct Group {
    pub(crate) group_id: String,
    pub(crate) state: GroupState,
    /// Units: ms since epoch; when `state` was entered.
    pub(crate) state_since: i64,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) leader: Option<String>,
    pub(crate) members: IndexMap<String, Member>,
    /// instance id → member id.
    pub(crate) static_members: BTreeMap<String, String>,
    /// Member ids given out with MEMBER_ID_REQUIRED that have not come back yet → deadline.
    pub(crate) pending_members: BTreeMap<String, i64>,
    /// When joining ends even if members are missing. Only in `PreparingRebalance`.
    pub(crate) join_deadline: Option<i64>,
    /// The first rebalance waits for more members until then, even when everyone known has joined.
    pub(crate) initial_deadline: Option<i64>,
    /// When members that have not synced are removed. Only in `CompletingRebalance` and `Stable`.
    pub(crate) sync_deadline: Option<i64>,
    /// Members that joined this generation and have not sent SyncGroup.
    pub(crate) pending_sync: Vec<String>,
}

impl Group {
    /// A group without members.
    #[must_use]
    pub fn new(group_id: &str, now: i64) -> Self {
        Self {
            group_id: group_id.to_owned(),
            state: GroupState::Empty,
            state_since: now,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: IndexMap::new(),
            static_members: BTreeMap::new(),
            pending_members: BTreeMap::new(),
            join_deadline: None,
            initial_deadline: None,
            sync_deadline: None,
            pending_sync: Vec::new(),
        }
    }

    #[must_use]
    pub fn group_id(&self) -> &str {
        &self.group_id
    }

    #[must_use]
    pub fn state(&self) -> GroupState {
        self.state
    }

    #[must_use]
    pub fn generation(&self) -> i32 {
        self.generation
    }

    #[must_use]
    pub fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    #[must_use]
    pub fn leader(&self) -> Option<&str> {
        self.leader.as_deref()
    }

    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// Members of this protocol type say which topics they read; of others nothing is known.
    #[must_use]
    pub fn is_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL)
    }

    /// True when a member may read the topic: it says so, or what it says is not understood.
    #[must_use]
    pub fn subscribes(&self, topic: &str) -> bool {
        let reads = |subscription: &Bytes| {
            let known = ConsumerSubscription::decode(subscription.clone());
            known.map_or(true, |known| known.topics.iter().any(|name| name == topic))
        };
        let mut subscriptions = self.members.values().flat_map(|member| &member.protocols);
        !self.members.is_empty()
            && (!self.is_consumers() || subscriptions.any(|(_, subscription)| reads(subscription)))
    }

    pub(crate) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    pub(crate) fn enter(&mut self, state: GroupState, now: i64) {
        self.state = state;
        self.state_since = now;
    }

    /// Assignors every member supports.
    pub(crate) fn candidate_protocols(&self) -> Vec<&str> {
        let Some(first) = self.members.values().next() else { return Vec::new() };
        let common = |name: &str| self.members.values().all(|m| m.protocols.iter().any(|(n, _)| n == name));
        first.protocols.iter().map(|(name, _)| name.as_str()).filter(|name| common(name)).collect()
    }

    /// Each member votes for its most preferred assignor among those all support.
    pub(crate) fn select_protocol(&self) -> Option<String> {
        let candidates = self.candidate_protocols();
        let mut votes: Vec<(usize, &str)> = candidates.iter().map(|name| (0, *name)).collect();
        for member in self.members.values() {
            let choice = member.protocols.iter().find(|(name, _)| candidates.contains(&name.as_str()));
            if let Some(slot) = choice.and_then(|(name, _)| votes.iter_mut().find(|(_, n)| n == name)) {
                slot.0 += 1;
            }
        }
        // The first of equals wins: candidates are in the first member's order of preference.
        let most = votes.iter().map(|(count, _)| *count).max()?;
        votes.iter().find(|(count, _)| *count == most).map(|(_, name)| (*name).to_owned())
    }

    /// True when a member with these assignors can be in the group with the others.
    pub(crate) fn supports(&self, protocol_type: &str, protocols: &[(String, Bytes)]) -> bool {
        if protocol_type.is_empty() || protocols.is_empty() {
            return false;
        }
        if self.members.is_empty() {
            return true;
        }
        let candidates = self.candidate_protocols();
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|(name, _)| candidates.contains(&name.as_str()))
    }

    pub(crate) fn rebalance_timeout_max(&self) -> i64 {
        self.members.values().map(|m| i64::from(m.rebalance_timeout_ms)).max().unwrap_or(0)
    }

    /// The earliest moment at which [`Group::expire`](Self::expire) has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<i64> {
        let sessions = self.members.values().filter(|m| !m.is_waiting()).map(|m| m.session_deadline).min();
        let pending = self.pending_members.values().copied().min();
        [sessions, pending, self.join_deadline, self.initial_deadline, self.sync_deadline]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Member {
    /// A member in a waiting request cannot send heartbeats and needs none.
    pub(crate) fn is_waiting(&self) -> bool {
        self.awaiting_join.is_some() || self.awaiting_sync.is_some()
    }
}
