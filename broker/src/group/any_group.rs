//! A group of either protocol.

use super::consumer::state::{ConsumerGroup, ConsumerGroupState};
use super::state::{Group, GroupState};

/// Group ids are one namespace, whichever protocol the members speak.
#[derive(Debug, Clone)]
pub enum AnyGroup {
    /// Members agree among themselves (JoinGroup, SyncGroup). Groups that only have offsets are of this kind.
    Classic(Box<Group>),
    /// The coordinator assigns (KIP-848).
    Consumer(Box<ConsumerGroup>),
}

impl AnyGroup {
    /// A classic group without members.
    #[must_use]
    pub fn classic(group_id: &str, now: i64) -> Self {
        Self::Classic(Box::new(Group::new(group_id, now)))
    }

    /// A consumer group without members.
    #[must_use]
    pub fn consumer(group_id: &str, now: i64) -> Self {
        Self::Consumer(Box::new(ConsumerGroup::new(group_id, now)))
    }

    #[must_use]
    pub fn group_id(&self) -> &str {
        match self {
            Self::Classic(group) => group.group_id(),
            Self::Consumer(group) => group.group_id(),
        }
    }

    /// The name of its state, as ListGroups gives it.
    #[must_use]
    pub fn state_name(&self) -> &'static str {
        match self {
            Self::Classic(group) => group.state().name(),
            Self::Consumer(group) => group.state().name(),
        }
    }

    #[must_use]
    pub fn as_classic(&self) -> Option<&Group> {
        match self {
            Self::Classic(group) => Some(group),
            Self::Consumer(_) => None,
        }
    }

    #[must_use]
    pub fn as_consumer(&self) -> Option<&ConsumerGroup> {
        match self {
            Self::Classic(_) => None,
            Self::Consumer(group) => Some(group),
        }
    }

    /// True without members, also without some that are about to join.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Classic(group) => group.state == GroupState::Empty && group.pending_members.is_empty(),
            Self::Consumer(group) => group.state() == ConsumerGroupState::Empty,
        }
    }

    /// When the group became empty. Units: ms since epoch.
    #[must_use]
    pub fn empty_since(&self) -> i64 {
        match self {
            Self::Classic(group) => group.state_since,
            Self::Consumer(group) => group.empty_since,
        }
    }

    /// True when the group never had members: its offsets are kept by hand.
    #[must_use]
    pub fn is_simple(&self) -> bool {
        match self {
            Self::Classic(group) => group.protocol_type.is_none(),
            Self::Consumer(_) => false,
        }
    }

    /// True when a member may read the topic.
    #[must_use]
    pub fn subscribes(&self, topic: &str) -> bool {
        match self {
            Self::Classic(group) => group.subscribes(topic),
            Self::Consumer(group) => group.subscribes(topic),
        }
    }

    /// True when it is known what the members read: no rebalance of the classic protocol is under way.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Classic(group) => group.state == GroupState::Stable,
            Self::Consumer(_) => true,
        }
    }

    /// The earliest moment at which the members have to be looked at.
    #[must_use]
    pub fn next_deadline(&self) -> Option<i64> {
        match self {
            Self::Classic(group) => group.next_deadline(),
            Self::Consumer(group) => group.next_deadline(),
        }
    }
}
