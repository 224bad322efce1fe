//! A consumer group and its members.
//!
//! ```text
//!  Stable ---- newer target ----> Unrevoked ---- confirmed ----> Unreleased ---- the last one is free ----> Stable
//!     |                                                             ^
//!     +---------- newer target, nothing to give up -----------------+        (or straight to Stable)
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Weak;

use uuid::Uuid;

use super::assignor::{Assignor, PartitionSet};
use super::pattern;
use super::topic_visibility::TopicVisibility;
use crate::metadata::image::MetadataImage;

/// The epoch by which a member joins.
pub const JOIN_EPOCH: i32 = 0;
/// The epoch by which a member leaves.
pub const LEAVE_EPOCH: i32 = -1;
/// The epoch by which a static member goes away and keeps its place until its session ends.
pub const STATIC_LEAVE_EPOCH: i32 = -2;

/// Progress of a member towards its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberState {
    /// At its target for the member's epoch.
    Stable,
    /// Has to confirm that it gave partitions up.
    UnrevokedPartitions,
    /// Waits for partitions other members hold.
    UnreleasedPartitions,
}

impl MemberState {
    /// The number in stored records.
    #[must_use]
    pub fn code(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::UnrevokedPartitions => 1,
            Self::UnreleasedPartitions => 2,
        }
    }

    #[must_use]
    pub fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Stable),
            1 => Some(Self::UnrevokedPartitions),
            2 => Some(Self::UnreleasedPartitions),
            _ => None,
        }
    }
}

/// A member of a consumer group.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsumerMember {
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// Time limit of the member for revoking partitions.
    pub rebalance_timeout_ms: i32,
    /// The assignor the member votes for.
    pub server_assignor: Option<String>,
    pub topics: BTreeSet<String>,
    /// A pattern for whole topic names; `None` without one.
    pub regex: Option<String>,
    /// The epoch of the target the member is at; [`STATIC_LEAVE_EPOCH`] while a static member is away.
    pub epoch: i32,
    /// The epoch before, in case the answer that raised it was lost.
    pub previous_epoch: i32,
    pub state: MemberState,
    /// Partitions that the member may read.
    pub assigned: PartitionSet,
    /// Partitions that it must give up and has not confirmed yet. No other member may read these.
    pub revoking: PartitionSet,
    /// Partitions that the member last claimed; not stored.
    pub claimed: Option<PartitionSet>,
    /// The member has missed an answer while it had to give partitions up, and was answered again; not stored.
    pub told_again: bool,
    /// Units: ms since epoch. Without a sign of life until then the member is removed.
    pub session_deadline: i64,
    /// Units: ms since epoch. Without `revoking` confirmed until then the member is removed.
    pub revocation_deadline: Option<i64>,
}

impl ConsumerMember {
    /// A member without subscription and partitions.
    #[must_use]
    pub fn new(member_id: &str) -> Self {
        Self {
            member_id: member_id.to_owned(),
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            rebalance_timeout_ms: -1,
            server_assignor: None,
            topics: BTreeSet::new(),
            regex: None,
            epoch: JOIN_EPOCH,
            previous_epoch: -1,
            state: MemberState::Stable,
            assigned: PartitionSet::new(),
            revoking: PartitionSet::new(),
            claimed: None,
            told_again: false,
            session_deadline: i64::MAX,
            revocation_deadline: None,
        }
    }

    pub(crate) fn next_deadline(&self) -> i64 {
        self.revocation_deadline.map_or(self.session_deadline, |deadline| deadline.min(self.session_deadline))
    }
}

/// State of a consumer group; it follows from epochs and members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsumerGroupState {
    /// No members; offsets may exist.
    Empty,
    /// A newer target assignment is about to be made.
    Assigning,
    /// Members are on the way to their targets.
    Reconciling,
    /// Every member is at its target.
    Stable,
}

impl ConsumerGroupState {
    /// The name used by ListGroups and ConsumerGroupDescribe.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

/// A consumer group.
///
/// Invariant: a partition is in `assigned` or `revoking` of one member at most.
#[derive(Debug, Clone)]
pub struct ConsumerGroup {
    pub(crate) group_id: String,
    pub(crate) group_epoch: i32,
    /// The group epoch the targets were made for.
    pub(crate) assignment_epoch: i32,
    /// Digest of the subscribed topics and their sizes, at `group_epoch`.
    pub(crate) topics_digest: i64,
    pub(crate) assignor: Assignor,
    pub(crate) members: BTreeMap<String, ConsumerMember>,
    /// Instance id → member id.
    pub(crate) static_members: BTreeMap<String, String>,
    /// Member id → what it shall have.
    pub(crate) targets: BTreeMap<String, PartitionSet>,
    /// Holder of each partition, assigned or still to be given up.
    pub(crate) owners: HashMap<(Uuid, i32), String>,
    /// Member id → topics that its pattern may name; not stored.
    pub(crate) visibility: BTreeMap<String, TopicVisibility>,
    /// Digest of the topics that each member's pattern names; `None` when it must be computed again. Not stored.
    pub(crate) visibility_digest: Option<i64>,
    /// The group epoch at the start.
    pub(crate) loaded_epoch: i32,
    /// The metadata `topics_digest` was last compared with.
    pub(crate) image_seen: Weak<MetadataImage>,
    /// Units: ms since epoch; when the last member went away.
    pub(crate) empty_since: i64,
}

impl ConsumerGroup {
    /// A group without members.
    #[must_use]
    pub fn new(group_id: &str, now: i64) -> Self {
        Self {
            group_id: group_id.to_owned(),
            group_epoch: 0,
            assignment_epoch: 0,
            topics_digest: 0,
            assignor: Assignor::Uniform,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            targets: BTreeMap::new(),
            owners: HashMap::new(),
            visibility: BTreeMap::new(),
            visibility_digest: None,
            loaded_epoch: 0,
            image_seen: Weak::new(),
            empty_since: now,
        }
    }

    #[must_use]
    pub fn group_id(&self) -> &str {
        &self.group_id
    }

    #[must_use]
    pub fn group_epoch(&self) -> i32 {
        self.group_epoch
    }

    #[must_use]
    pub fn assignment_epoch(&self) -> i32 {
        self.assignment_epoch
    }

    #[must_use]
    pub fn assignor(&self) -> Assignor {
        self.assignor
    }

    pub fn members(&self) -> impl Iterator<Item = &ConsumerMember> {
        self.members.values()
    }

    /// Target assignment of a member.
    #[must_use]
    pub fn target(&self, member_id: &str) -> Option<&PartitionSet> {
        self.targets.get(member_id)
    }

    #[must_use]
    pub fn state(&self) -> ConsumerGroupState {
        let at_target = |member: &ConsumerMember| {
            member.state == MemberState::Stable && member.epoch == self.assignment_epoch
        };
        if self.members.is_empty() {
            ConsumerGroupState::Empty
        } else if self.group_epoch > self.assignment_epoch {
            ConsumerGroupState::Assigning
        } else if self.members.values().all(at_target) {
            ConsumerGroupState::Stable
        } else {
            ConsumerGroupState::Reconciling
        }
    }

    /// True when a member names the topic in its subscription.
    #[must_use]
    pub fn subscribes(&self, topic: &str) -> bool {
        self.members.values().any(|member| {
            member.topics.contains(topic)
                || member.regex.as_ref().is_some_and(|regex| pattern::matches(regex, topic))
        })
    }

    /// The earliest moment at which [`ConsumerGroup::expire`](Self::expire) has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<i64> {
        self.members.values().map(ConsumerMember::next_deadline).min()
    }

    /// Puts a member's partitions in place of those it held before.
    pub(crate) fn set_partitions(&mut self, member_id: &str, assigned: PartitionSet, revoking: PartitionSet) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        for partition in member.assigned.iter().chain(&member.revoking) {
            if self.owners.get(partition).is_some_and(|owner| owner == member_id) {
                self.owners.remove(partition);
            }
        }
        for partition in assigned.iter().chain(&revoking) {
            let before = self.owners.insert(*partition, member_id.to_owned());
            debug_assert!(before.is_none(), "partition {partition:?} of {before:?} given to {member_id}");
        }
        member.assigned = assigned;
        member.revoking = revoking;
    }
}
