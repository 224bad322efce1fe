//! JoinGroup: who may enter, and when that starts a rebalance.

use super::message::{Effects, JoinReply, JoinRequest, JoinedMember, SyncReply};
use super::state::{Group, GroupState, Member, Ticket};
use crate::protocol::error_code::ErrorCode;

/// Limits of one group.
#[derive(Debug, Clone)]
pub struct GroupLimits {
    /// `group.max.size`.
    pub members_max: usize,
    /// `group.initial.rebalance.delay.ms`: how long the first rebalance of an empty group waits for more members.
    pub initial_rebalance_delay_ms: i64,
}

impl Group {
    /// Handles JoinGroup. The answer comes at once or when the rebalance it joins completes.
    pub fn join(
        &mut self,
        ticket: Ticket,
        request: JoinRequest,
        limits: &GroupLimits,
        now: i64,
        out: &mut Effects,
    ) {
        if let Err(error) = self.admit(&request, limits) {
            out.join(ticket, JoinReply::refused(error, &request.member_id));
            return;
        }
        if request.member_id.is_empty() {
            self.join_new(ticket, request, limits, now, out);
        } else {
            self.join_known(ticket, request, limits, now, out);
        }
    }

    fn admit(&self, request: &JoinRequest, limits: &GroupLimits) -> Result<(), ErrorCode> {
        if self.state == GroupState::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let known = self.members.contains_key(&request.member_id)
            || request.instance_id.as_ref().is_some_and(|id| self.static_members.contains_key(id));
        let others = self.members.len() + self.pending_members.len();
        let pending = self.pending_members.contains_key(&request.member_id);
        if !known && !pending && others >= limits.members_max {
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        if !self.supports(&request.protocol_type, &request.protocols) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn join_new(
        &mut self,
        ticket: Ticket,
        request: JoinRequest,
        limits: &GroupLimits,
        now: i64,
        out: &mut Effects,
    ) {
        let member_id = request.new_member_id.clone();
        match &request.instance_id {
            Some(instance) => match self.static_members.get(instance).cloned() {
                Some(old) => self.replace_static(ticket, &old, request, limits, now, out),
                None => self.add_member(ticket, member_id, request, limits, now, out),
            },
            None if request.require_known_member_id => {
                let deadline = now + i64::from(request.session_timeout_ms);
                self.pending_members.insert(member_id.clone(), deadline);
                out.join(ticket, JoinReply::refused(ErrorCode::MemberIdRequired, &member_id));
            }
            None => self.add_member(ticket, member_id, request, limits, now, out),
        }
    }

    fn join_known(
        &mut self,
        ticket: Ticket,
        request: JoinRequest,
        limits: &GroupLimits,
        now: i64,
        out: &mut Effects,
    ) {
        let member_id = request.member_id.clone();
        if self.pending_members.contains_key(&member_id) && request.instance_id.is_none() {
            self.add_member(ticket, member_id, request, limits, now, out);
            return;
        }
        if let Err(error) = self.check_member(&member_id, request.instance_id.as_deref()) {
            out.join(ticket, JoinReply::refused(error, &member_id));
            return;
        }
        let unchanged = self.members[&member_id].matches(&request.protocols);
        match self.state {
            GroupState::PreparingRebalance => self.rejoin(ticket, &member_id, request, limits, now, out),
            // The answer to an earlier JoinGroup was lost: give it again.
            GroupState::CompletingRebalance if unchanged => {
                let reply = self.current_generation(&member_id);
                out.join(ticket, reply);
            }
            // A leader may ask for a new assignment without a change of its own; a follower may not.
            GroupState::Stable if unchanged && !self.is_leader(&member_id) => {
                let reply = self.current_generation(&member_id);
                out.join(ticket, reply);
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.rejoin(ticket, &member_id, request, limits, now, out);
            }
            GroupState::Empty | GroupState::Dead => {
                out.join(ticket, JoinReply::refused(ErrorCode::UnknownMemberId, &member_id));
            }
        }
    }

    /// Is this member of the group, and not fenced by another holder of its instance id?
    ///
    /// Errors: `UnknownMemberId`, `FencedInstanceId`.
    pub(crate) fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance_id {
            match self.static_members.get(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(holder) if holder != member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    fn add_member(
        &mut self,
        ticket: Ticket,
        member_id: String,
        request: JoinRequest,
        limits: &GroupLimits,
        now: i64,
        out: &mut Effects,
    ) {
        self.pending_members.remove(&member_id);
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type);
        }
        if self.leader.is_none() {
            self.leader = Some(member_id.clone());
        }
        if let Some(instance) = &request.instance_id {
            self.static_members.insert(instance.clone(), member_id.clone());
        }
        let member = Member {
            member_id: member_id.clone(),
            instance_id: request.instance_id,
            client_id: request.client_id,
            client_host: request.client_host,
            session_timeout_ms: request.session_timeout_ms,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            protocols: request.protocols,
            assignment: bytes::Bytes::new(),
            awaiting_join: Some(ticket),
            awaiting_sync: None,
            session_deadline: now + i64::from(request.session_timeout_ms),
        };
        self.members.insert(member_id, member);
        if let Some(deadline) = self.initial_deadline {
            // Each newcomer extends the wait of a first rebalance, up to the rebalance timeout.
            let latest = self.join_deadline.unwrap_or(deadline);
            self.initial_deadline = Some((now + limits.initial_rebalance_delay_ms).min(latest));
        }
        self.prepare_rebalance(limits, now, out);
        self.try_complete_join(now, out);
    }

    fn rejoin(
        &mut self,
        ticket: Ticket,
        member_id: &str,
        request: JoinRequest,
        limits: &GroupLimits,
        now: i64,
        out: &mut Effects,
    ) {
        let member = self.members.get_mut(member_id).expect("the caller checked that the member exists");
        if let Some(earlier) = member.awaiting_join.replace(ticket) {
            out.join(earlier, JoinReply::refused(ErrorCode::UnknownMemberId, member_id));
        }
        member.protocols = request.protocols;
        member.session_timeout_ms = request.session_timeout_ms;
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
        member.client_id = request.client_id;
        member.client_host = request.client_host;
        member.session_deadline = now + i64::from(member.session_timeout_ms);
        self.prepare_rebalance(limits, now, out);
        self.try_complete_join(now, out);
    }

    /// A static member came back without its member id: it takes over from its former self.
    fn replace_static(
        &mut self,
        ticket: Ticket,
        old_id: &str,
        request: JoinRequest,
        limits: &GroupLimits,
        now: i64,
        out: &mut Effects,
    ) {
        let new_id = request.new_member_id.clone();
        let skip_supported = request.skip_assignment_supported;
        let (index, _, mut member) =
            self.members.shift_remove_full(old_id).expect("static_members names existing members");
        if let Some(earlier) = member.awaiting_join.take() {
            out.join(earlier, JoinReply::refused(ErrorCode::FencedInstanceId, old_id));
        }
        if let Some(earlier) = member.awaiting_sync.take() {
            out.sync(earlier, SyncReply::refused(ErrorCode::FencedInstanceId));
        }
        let instance = member.instance_id.clone().expect("only static members are replaced");
        self.static_members.insert(instance, new_id.clone());
        let was_leader = self.is_leader(old_id);
        let old_leader = self.leader.clone().unwrap_or_default();
        if was_leader {
            self.leader = Some(new_id.clone());
        }
        member.member_id = new_id.clone();
        member.protocols = request.protocols;
        member.session_timeout_ms = request.session_timeout_ms;
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
        member.client_id = request.client_id;
        member.client_host = request.client_host;
        member.session_deadline = now + i64::from(member.session_timeout_ms);
        let at = index.min(self.members.len());
        self.members.shift_insert(at, new_id.clone(), member);
        for pending in &mut self.pending_sync {
            if pending == old_id {
                pending.clone_from(&new_id);
            }
        }
        if self.state == GroupState::Stable && self.select_protocol() == self.protocol {
            out.persist = true;
            let mut reply = self.current_generation(&new_id);
            if skip_supported {
                reply.skip_assignment = was_leader;
            } else {
                // Older clients take the leader's role from this field and would assign anew.
                reply.leader = old_leader;
                reply.members.clear();
            }
            out.join(ticket, reply);
            return;
        }
        let member = self.members.get_mut(&new_id).expect("inserted above");
        member.awaiting_join = Some(ticket);
        self.prepare_rebalance(limits, now, out);
        self.try_complete_join(now, out);
    }

    /// The generation as it stands, as an answer for one member.
    pub(crate) fn current_generation(&self, member_id: &str) -> JoinReply {
        let protocol = self.protocol.clone().unwrap_or_default();
        let members = if self.is_leader(member_id) {
            let view = |m: &Member| JoinedMember {
                member_id: m.member_id.clone(),
                instance_id: m.instance_id.clone(),
                subscription: m.subscription(&protocol),
            };
            self.members.values().map(view).collect()
        } else {
            Vec::new()
        };
        JoinReply {
            error: ErrorCode::None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            member_id: member_id.to_owned(),
            skip_assignment: false,
            members,
        }
    }
}
