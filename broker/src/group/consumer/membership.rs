//! Joining, leaving and expiry of members.

use super::assignor::PartitionSet;
use super::heartbeat::{ConsumerLimits, HeartbeatRefusal, HeartbeatReply, HeartbeatRequest};
use super::record;
use super::state::{ConsumerGroup, ConsumerMember, MemberState, STATIC_LEAVE_EPOCH};
use crate::coordinator::codec::CoordinatorRecord;
use crate::group::sync::{CommitKind, Committer};
use crate::protocol::error_code::ErrorCode;

impl ConsumerGroup {
    /// A member joins: new, again, or as a static one in place of its former self.
    ///
    /// Errors: `GroupMaxSizeReached`, `UnreleasedInstanceId`.
    pub(super) fn admit(
        &mut self,
        request: &HeartbeatRequest,
        limits: &ConsumerLimits,
        now: i64,
        out: &mut Vec<CoordinatorRecord>,
    ) -> Result<(), HeartbeatRefusal> {
        let member_id = &request.member_id;
        let holder = request.instance_id.as_ref().and_then(|id| self.static_members.get(id)).cloned();
        match holder {
            Some(holder) if holder != *member_id => {
                if !self.members.get(&holder).is_none_or(ConsumerMember::is_away) {
                    let message = "the instance id is in use by a member that has not left";
                    return Err(HeartbeatRefusal::new(ErrorCode::UnreleasedInstanceId, message));
                }
                self.replace_static(&holder, member_id, out);
            }
            _ if self.members.contains_key(member_id) => self.rejoin(member_id),
            _ if self.members.len() >= limits.members_max => {
                let message = format!("the group has {} members already", self.members.len());
                return Err(HeartbeatRefusal::new(ErrorCode::GroupMaxSizeReached, message));
            }
            _ => {
                let mut member = ConsumerMember::new(member_id);
                member.session_deadline = now.saturating_add(i64::from(limits.session_timeout_ms));
                self.members.insert(member_id.clone(), member);
            }
        }
        if let Some(instance) = &request.instance_id {
            let member = self.members.get_mut(member_id).expect("inserted or found above");
            member.instance_id = Some(instance.clone());
            self.static_members.insert(instance.clone(), member_id.clone());
        }
        Ok(())
    }

    /// A known member starts over. It holds nothing, so what it had to give up is free, and what it had is its own
    /// again as far as its target goes.
    fn rejoin(&mut self, member_id: &str) {
        let assigned = self.members[member_id].assigned.clone();
        self.set_partitions(member_id, assigned, PartitionSet::new());
        self.members.get_mut(member_id).expect("the caller looked it up").restart();
    }

    /// A static member is back under a new member id and takes over target and partitions.
    fn replace_static(&mut self, old_id: &str, new_id: &str, out: &mut Vec<CoordinatorRecord>) {
        let Some(old) = self.members.get(old_id) else { return };
        let mut member = old.clone();
        let assigned = member.assigned.clone();
        self.set_partitions(old_id, PartitionSet::new(), PartitionSet::new());
        self.members.remove(old_id);
        self.visibility.remove(old_id);
        out.extend(record::member_tombstones(&self.group_id, old_id));
        new_id.clone_into(&mut member.member_id);
        member.assigned = PartitionSet::new();
        member.revoking = PartitionSet::new();
        member.restart();
        out.push(record::member(&self.group_id, &member));
        self.members.insert(new_id.to_owned(), member);
        self.set_partitions(new_id, assigned, PartitionSet::new());
        if let Some(target) = self.targets.remove(old_id) {
            out.push(record::target(&self.group_id, new_id, Some(&target)));
            self.targets.insert(new_id.to_owned(), target);
        }
        out.push(record::current_assignment(&self.group_id, &self.members[new_id]));
    }

    /// A member says goodbye, for good or for a while.
    ///
    /// Errors: `UnknownMemberId`, `FencedInstanceId`.
    pub(super) fn leave(
        &mut self,
        request: &HeartbeatRequest,
        limits: &ConsumerLimits,
        now: i64,
        out: &mut Vec<CoordinatorRecord>,
    ) -> Result<HeartbeatReply, HeartbeatRefusal> {
        let member_id = &request.member_id;
        self.check_instance(request)?;
        if !self.members.contains_key(member_id) {
            let message = format!("member \"{member_id}\" is not in the group");
            return Err(HeartbeatRefusal::new(ErrorCode::UnknownMemberId, message));
        }
        if request.member_epoch == STATIC_LEAVE_EPOCH {
            let assigned = self.members[member_id].assigned.clone();
            self.set_partitions(member_id, assigned, PartitionSet::new());
            let member = self.members.get_mut(member_id).expect("looked up above");
            member.restart();
            member.epoch = STATIC_LEAVE_EPOCH;
            out.push(record::current_assignment(&self.group_id, member));
        } else {
            self.remove(member_id, now, out);
            out.push(record::group(self));
        }
        Ok(HeartbeatReply {
            member_id: member_id.clone(),
            member_epoch: request.member_epoch,
            heartbeat_interval_ms: limits.heartbeat_interval_ms,
            assignment: None,
        })
    }

    /// LeaveGroup, by which tools remove members: static ones by their instance id alone.
    pub(crate) fn expel(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        now: i64,
        out: &mut Vec<CoordinatorRecord>,
    ) -> ErrorCode {
        let holder = instance_id.map(|instance| self.static_members.get(instance).cloned());
        let resolved = match holder {
            Some(None) => return ErrorCode::UnknownMemberId,
            Some(Some(holder)) if !member_id.is_empty() && holder != member_id => {
                return ErrorCode::FencedInstanceId;
            }
            Some(Some(holder)) => holder,
            None => member_id.to_owned(),
        };
        if !self.members.contains_key(&resolved) {
            return ErrorCode::UnknownMemberId;
        }
        self.remove(&resolved, now, out);
        out.push(record::group(self));
        ErrorCode::None
    }

    /// Takes a member out. The others get its partitions with their next heartbeats.
    fn remove(&mut self, member_id: &str, now: i64, out: &mut Vec<CoordinatorRecord>) {
        self.set_partitions(member_id, PartitionSet::new(), PartitionSet::new());
        let Some(member) = self.members.remove(member_id) else { return };
        self.targets.remove(member_id);
        self.visibility.remove(member_id);
        if let Some(instance) = &member.instance_id
            && self.static_members.get(instance) == Some(&member.member_id)
        {
            self.static_members.remove(instance);
        }
        out.extend(record::member_tombstones(&self.group_id, member_id));
        self.group_epoch += 1;
        if self.members.is_empty() {
            self.topics_digest = 0;
            self.empty_since = now;
        }
    }

    /// Lets time pass: members that are silent or do not give partitions up are removed.
    pub fn expire(&mut self, now: i64, out: &mut Vec<CoordinatorRecord>) {
        let overdue = |member: &&ConsumerMember| member.next_deadline() <= now;
        let gone: Vec<String> =
            self.members.values().filter(overdue).map(|member| member.member_id.clone()).collect();
        for member_id in &gone {
            tracing::info!(group_id = self.group_id, member_id, "consumer group member removed");
            self.remove(member_id, now, out);
        }
        if !gone.is_empty() {
            out.push(record::group(self));
        }
    }

    /// All records have been replayed. Every member gets whole timeouts to find the coordinator again.
    pub(crate) fn loaded(&mut self, limits: &ConsumerLimits, now: i64) {
        for member in self.members.values_mut() {
            member.session_deadline = now.saturating_add(i64::from(limits.session_timeout_ms));
            let timeout = i64::from(member.rebalance_timeout_ms.max(0));
            member.revocation_deadline =
                (member.state == MemberState::UnrevokedPartitions).then_some(now.saturating_add(timeout));
        }
        self.assignor = self.preferred_assignor();
        self.loaded_epoch = self.group_epoch;
        self.empty_since = now;
    }

    /// May this client store offsets for the group?
    ///
    /// Errors: `UnknownMemberId`, `StaleMemberEpoch` or, in transactions, `IllegalGeneration`, `UnsupportedVersion` for
    /// members by older requests.
    pub fn check_commit(&self, by: Committer<'_>) -> Result<(), ErrorCode> {
        let outside = by.generation < 0 && by.member_id.is_empty() && by.instance_id.is_none();
        if outside && (by.kind == CommitKind::Transactional || self.members.is_empty()) {
            return Ok(());
        }
        if by.generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        let member = self.members.get(by.member_id).ok_or(ErrorCode::UnknownMemberId)?;
        if !by.knows_member_epochs {
            return Err(ErrorCode::UnsupportedVersion);
        }
        if member.epoch == by.generation {
            return Ok(());
        }
        match by.kind {
            CommitKind::Plain => Err(ErrorCode::StaleMemberEpoch),
            // Producers know the code of the classic protocol only.
            CommitKind::Transactional => Err(ErrorCode::IllegalGeneration),
        }
    }

    /// May this member read the group's offsets?
    ///
    /// Errors: `UnknownMemberId`, `StaleMemberEpoch`.
    pub fn check_fetch(&self, member_id: Option<&str>, member_epoch: i32) -> Result<(), ErrorCode> {
        let Some(member_id) = member_id else { return Ok(()) };
        if member_id.is_empty() && member_epoch < 0 {
            return Ok(());
        }
        let member = self.members.get(member_id).ok_or(ErrorCode::UnknownMemberId)?;
        if member.epoch == member_epoch { Ok(()) } else { Err(ErrorCode::StaleMemberEpoch) }
    }
}
