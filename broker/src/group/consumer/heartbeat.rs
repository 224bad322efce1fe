//! ConsumerGroupHeartbeat: the one request by which members join, live, reconcile and leave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::assignor::{Assignor, PartitionSet};
use super::pattern;
use super::record;
use super::state::{ConsumerGroup, ConsumerMember, JOIN_EPOCH, LEAVE_EPOCH, MemberState, STATIC_LEAVE_EPOCH};
use super::topic_visibility::Viewer;
use crate::coordinator::codec::CoordinatorRecord;
use crate::metadata::group_config;
use crate::metadata::image::MetadataImage;
use crate::protocol::error_code::ErrorCode;

/// Limits of consumer groups.
#[derive(Debug, Clone)]
pub struct ConsumerLimits {
    /// `group.consumer.session.timeout.ms`.
    pub session_timeout_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: i32,
    /// `group.consumer.max.size`.
    pub members_max: usize,
}

impl Default for ConsumerLimits {
    fn default() -> Self {
        Self { session_timeout_ms: 45_000, heartbeat_interval_ms: 5_000, members_max: 10_000 }
    }
}

impl ConsumerLimits {
    /// The limits of one group: what was set for it, else these.
    #[must_use]
    pub fn of_group(&self, settings: Option<&BTreeMap<String, String>>) -> Self {
        let set = |name: &str| settings.and_then(|settings| settings.get(name)?.parse().ok());
        Self {
            session_timeout_ms: set(group_config::SESSION_TIMEOUT).unwrap_or(self.session_timeout_ms),
            heartbeat_interval_ms: set(group_config::HEARTBEAT_INTERVAL)
                .unwrap_or(self.heartbeat_interval_ms),
            members_max: self.members_max,
        }
    }
}

/// ConsumerGroupHeartbeat, free of wire versions. Optional fields are absent when nothing changed.
#[derive(Debug, Clone, Default)]
pub struct HeartbeatRequest {
    pub member_id: String,
    pub member_epoch: i32,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    /// Units: ms; -1 when unchanged.
    pub rebalance_timeout_ms: i32,
    pub topics: Option<Vec<String>>,
    /// Empty: no pattern any more.
    pub regex: Option<String>,
    pub server_assignor: Option<String>,
    /// Partitions that the member holds.
    pub owned: Option<PartitionSet>,
    pub client_id: String,
    pub client_host: String,
    /// Whose rules say which topics a pattern names; `None`: all there are.
    pub viewer: Option<Viewer>,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, PartialEq)]
pub struct HeartbeatReply {
    pub member_id: String,
    pub member_epoch: i32,
    /// When the next heartbeat is wanted. Units: ms.
    pub heartbeat_interval_ms: i32,
    /// Partitions that the member may read; absent if they are unchanged.
    pub assignment: Option<PartitionSet>,
}

/// A refused request: the code and a sentence for people.
#[derive(Debug, Clone, PartialEq)]
pub struct HeartbeatRefusal {
    pub error: ErrorCode,
    pub message: String,
}

impl HeartbeatRefusal {
    pub(crate) fn new(error: ErrorCode, message: impl Into<String>) -> Self {
        Self { error, message: message.into() }
    }
}

fn invalid(message: impl Into<String>) -> HeartbeatRefusal {
    HeartbeatRefusal::new(ErrorCode::InvalidRequest, message)
}

impl HeartbeatRequest {
    /// Checks what can be said without knowing the group.
    ///
    /// Errors: `InvalidRequest`, `UnsupportedAssignor`, `InvalidRegularExpression`.
    pub fn check(&self) -> Result<(), HeartbeatRefusal> {
        if self.member_id.is_empty() {
            return Err(invalid("the member id is empty"));
        }
        for (name, value) in [("instance id", &self.instance_id), ("rack id", &self.rack_id)] {
            if value.as_ref().is_some_and(String::is_empty) {
                return Err(invalid(format!("the {name} is empty")));
            }
        }
        if self.member_epoch < STATIC_LEAVE_EPOCH {
            return Err(invalid(format!("member epoch {} is not one", self.member_epoch)));
        }
        if self.member_epoch == STATIC_LEAVE_EPOCH && self.instance_id.is_none() {
            return Err(invalid("only a member with an instance id can leave for a while"));
        }
        if self.member_epoch == JOIN_EPOCH {
            self.check_join()?;
        }
        if let Some(name) = &self.server_assignor
            && Assignor::from_name(name).is_none()
        {
            let known = Assignor::ALL.map(Assignor::name).join(", ");
            let message = format!("assignor \"{name}\" is not one of {known}");
            return Err(HeartbeatRefusal::new(ErrorCode::UnsupportedAssignor, message));
        }
        if let Some(regex) = self.regex.as_ref().filter(|regex| !regex.is_empty()) {
            pattern::compile(regex)
                .map_err(|reason| HeartbeatRefusal::new(ErrorCode::InvalidRegularExpression, reason))?;
        }
        Ok(())
    }

    fn check_join(&self) -> Result<(), HeartbeatRefusal> {
        if self.rebalance_timeout_ms < 0 {
            return Err(invalid("a joining member must state its rebalance timeout"));
        }
        if self.owned.as_ref().is_none_or(|owned| !owned.is_empty()) {
            return Err(invalid("a joining member must state that it holds no partitions"));
        }
        if self.topics.is_none() && self.regex.as_ref().is_none_or(String::is_empty) {
            return Err(invalid("a joining member must subscribe to topics or a pattern"));
        }
        Ok(())
    }

    /// The answer states everything: the member's knowledge is out of date.
    pub(super) fn is_full(&self) -> bool {
        self.rebalance_timeout_ms >= 0
            && (self.topics.is_some() || self.regex.is_some())
            && self.owned.is_some()
    }
}

impl ConsumerGroup {
    /// Handles a checked heartbeat. On a refusal nothing has changed.
    pub fn heartbeat(
        &mut self,
        request: &HeartbeatRequest,
        image: &Arc<MetadataImage>,
        limits: &ConsumerLimits,
        now: i64,
        out: &mut Vec<CoordinatorRecord>,
    ) -> Result<HeartbeatReply, HeartbeatRefusal> {
        match request.member_epoch {
            LEAVE_EPOCH | STATIC_LEAVE_EPOCH => self.leave(request, limits, now, out),
            _ => self.live(request, image, limits, now, out),
        }
    }

    fn live(
        &mut self,
        request: &HeartbeatRequest,
        image: &Arc<MetadataImage>,
        limits: &ConsumerLimits,
        now: i64,
        out: &mut Vec<CoordinatorRecord>,
    ) -> Result<HeartbeatReply, HeartbeatRefusal> {
        let member_id = request.member_id.as_str();
        if request.member_epoch == JOIN_EPOCH {
            self.admit(request, limits, now, out)?;
        } else {
            self.check_known(request)?;
        }
        // Both: what is subscribed to and who sees it.
        let resubscribed = self.apply_subscription(request, out);
        let resubscribed =
            self.note_visibility(&request.member_id, request.viewer.clone(), image) || resubscribed;
        self.follow_topics(resubscribed, image, out);
        if self.group_epoch > self.assignment_epoch {
            self.update_targets(image, out);
        }
        let assigned_before = self.members[member_id].assigned.clone();
        let claim = self.claim(request);
        if self.reconcile(member_id, &claim, now) {
            out.push(record::current_assignment(&self.group_id, &self.members[member_id]));
        }
        let member = self.members.get_mut(member_id).expect("admitted above");
        member.session_deadline = now.saturating_add(i64::from(limits.session_timeout_ms));
        let tell = request.member_epoch == JOIN_EPOCH
            || request.is_full()
            || request.member_epoch != member.epoch
            || member.assigned != assigned_before;
        Ok(HeartbeatReply {
            member_id: member.member_id.clone(),
            member_epoch: member.epoch,
            heartbeat_interval_ms: limits.heartbeat_interval_ms,
            assignment: tell.then(|| member.assigned.clone()),
        })
    }

    /// Takes over what the request changes about the member; true if the group has to assign anew.
    fn apply_subscription(&mut self, request: &HeartbeatRequest, out: &mut Vec<CoordinatorRecord>) -> bool {
        let Some(member) = self.members.get_mut(&request.member_id) else { return false };
        let mut next = member.clone();
        if request.member_epoch == JOIN_EPOCH {
            // Who joins states everything; what a former self subscribed to is of no meaning.
            next.topics.clear();
            next.regex = None;
        }
        if let Some(topics) = &request.topics {
            next.topics = topics.iter().cloned().collect::<BTreeSet<_>>();
        }
        if let Some(regex) = &request.regex {
            next.regex = Some(regex.clone()).filter(|regex| !regex.is_empty());
        }
        if request.server_assignor.is_some() {
            next.server_assignor.clone_from(&request.server_assignor);
        }
        if request.rack_id.is_some() {
            next.rack_id.clone_from(&request.rack_id);
        }
        if request.rebalance_timeout_ms >= 0 {
            next.rebalance_timeout_ms = request.rebalance_timeout_ms;
        }
        next.client_id.clone_from(&request.client_id);
        next.client_host.clone_from(&request.client_host);
        let resubscribed = next.topics != member.topics
            || next.regex != member.regex
            || next.server_assignor != member.server_assignor;
        // A member seen for the first time has no target yet.
        let new = !self.targets.contains_key(&request.member_id);
        if new || next != *member {
            out.push(record::member(&self.group_id, &next));
            *member = next;
        }
        resubscribed || new
    }

    /// Raises the group epoch when subscriptions or their topics have changed.
    fn follow_topics(
        &mut self,
        resubscribed: bool,
        image: &Arc<MetadataImage>,
        out: &mut Vec<CoordinatorRecord>,
    ) {
        let behind = self.group_epoch > self.assignment_epoch;
        let look = resubscribed || behind || self.is_image_new(image);
        let changed = look && self.refresh_topics(image);
        if resubscribed || (changed && !behind) {
            self.group_epoch += 1;
        }
        if resubscribed || changed {
            out.push(record::group(self));
        }
    }

    fn update_targets(&mut self, image: &Arc<MetadataImage>, out: &mut Vec<CoordinatorRecord>) {
        self.assignor = self.preferred_assignor();
        let targets = self.compute_targets(image);
        for (member_id, target) in &targets {
            if self.targets.get(member_id) != Some(target) {
                out.push(record::target(&self.group_id, member_id, Some(target)));
            }
        }
        self.targets = targets;
        self.assignment_epoch = self.group_epoch;
        out.push(record::target_epoch(self));
    }

    /// A heartbeat of a member that has joined.
    fn check_known(&self, request: &HeartbeatRequest) -> Result<(), HeartbeatRefusal> {
        let member_id = &request.member_id;
        self.check_instance(request)?;
        let unknown = || {
            HeartbeatRefusal::new(
                ErrorCode::UnknownMemberId,
                format!("member \"{member_id}\" is not in the group"),
            )
        };
        let member = self.members.get(member_id).ok_or_else(unknown)?;
        let epoch = request.member_epoch;
        let fenced = |why: &str| {
            let message = format!("{why} member epoch {epoch}; give up all partitions and join again");
            Err(HeartbeatRefusal::new(ErrorCode::FencedMemberEpoch, message))
        };
        if epoch > member.epoch {
            return fenced("the coordinator has not given out");
        }
        if epoch < member.epoch {
            // The answer that raised the epoch may have been lost.
            let within = request.owned.as_ref().is_some_and(|owned| owned.is_subset(&member.assigned));
            if epoch != member.previous_epoch || !within {
                return fenced("the coordinator has left behind");
            }
        }
        Ok(())
    }

    /// Errors: `UnknownMemberId`, `FencedInstanceId`.
    pub(super) fn check_instance(&self, request: &HeartbeatRequest) -> Result<(), HeartbeatRefusal> {
        let Some(instance) = &request.instance_id else { return Ok(()) };
        match self.static_members.get(instance) {
            None => {
                let message = format!("instance id \"{instance}\" is not in the group");
                Err(HeartbeatRefusal::new(ErrorCode::UnknownMemberId, message))
            }
            Some(holder) if *holder != request.member_id => {
                let message = format!("instance id \"{instance}\" belongs to another member");
                Err(HeartbeatRefusal::new(ErrorCode::FencedInstanceId, message))
            }
            Some(_) => Ok(()),
        }
    }
}

impl ConsumerMember {
    /// True while a static member is away.
    pub(crate) fn is_away(&self) -> bool {
        self.epoch == STATIC_LEAVE_EPOCH
    }

    /// The member starts over with what it had, none of which it holds at the moment.
    pub(crate) fn restart(&mut self) {
        self.epoch = JOIN_EPOCH;
        self.previous_epoch = -1;
        self.state = MemberState::Stable;
        self.revocation_deadline = None;
        self.claimed = None;
        self.told_again = false;
    }
}
