//! Rebalances: start, completion and time limits.

use super::join::GroupLimits;
use super::message::{Effects, JoinReply, SyncReply};
use super::state::{Group, GroupState, Ticket};
use crate::protocol::error_code::ErrorCode;

impl Group {
    /// Starts a rebalance unless one is already gathering members.
    pub(crate) fn prepare_rebalance(&mut self, limits: &GroupLimits, now: i64, out: &mut Effects) {
        match self.state {
            GroupState::PreparingRebalance | GroupState::Dead => return,
            GroupState::CompletingRebalance => self.interrupt_sync(now, out),
            GroupState::Empty if limits.initial_rebalance_delay_ms > 0 => {
                self.initial_deadline = Some(now + limits.initial_rebalance_delay_ms);
            }
            GroupState::Empty | GroupState::Stable => {}
        }
        self.pending_sync.clear();
        self.sync_deadline = None;
        self.join_deadline = Some(now + self.rebalance_timeout_max());
        self.enter(GroupState::PreparingRebalance, now);
    }

    /// Members waiting for an assignment that will not come are sent back to join.
    fn interrupt_sync(&mut self, now: i64, out: &mut Effects) {
        for member in self.members.values_mut() {
            member.assignment = bytes::Bytes::new();
            if let Some(ticket) = member.awaiting_sync.take() {
                member.session_deadline = now + i64::from(member.session_timeout_ms);
                out.sync(ticket, SyncReply::refused(ErrorCode::RebalanceInProgress));
            }
        }
    }

    /// Ends the joining phase if all members have joined.
    pub(crate) fn try_complete_join(&mut self, now: i64, out: &mut Effects) {
        let waiting_for_more = self.initial_deadline.is_some();
        let all_here =
            self.pending_members.is_empty() && self.members.values().all(|m| m.awaiting_join.is_some());
        if self.state == GroupState::PreparingRebalance && !waiting_for_more && all_here {
            self.complete_join(now, out);
        }
    }

    /// Starts the next generation with the members that joined; static members may be late.
    fn complete_join(&mut self, now: i64, out: &mut Effects) {
        self.initial_deadline = None;
        let late: Vec<String> = self
            .members
            .values()
            .filter(|m| m.awaiting_join.is_none() && m.instance_id.is_none())
            .map(|m| m.member_id.clone())
            .collect();
        for member_id in &late {
            self.remove_member(member_id, out);
        }
        if !self.members.is_empty() && !self.elect_joined_leader() {
            // Only absent static members: wait for them until their sessions end.
            self.join_deadline = Some(now + self.rebalance_timeout_max());
            return;
        }
        self.join_deadline = None;
        self.generation += 1;
        out.persist |= self.members.is_empty();
        if self.members.is_empty() {
            self.protocol = None;
            self.leader = None;
            self.enter(GroupState::Empty, now);
            return;
        }
        self.protocol = self.select_protocol();
        self.enter(GroupState::CompletingRebalance, now);
        self.answer_joins(now, out);
    }

    fn answer_joins(&mut self, now: i64, out: &mut Effects) {
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for member_id in &ids {
            let reply = self.current_generation(member_id);
            let member = &mut self.members[member_id.as_str()];
            member.session_deadline = now + i64::from(member.session_timeout_ms);
            if let Some(ticket) = member.awaiting_join.take() {
                out.join(ticket, reply);
            }
        }
        self.pending_sync = ids;
        self.sync_deadline = Some(now + self.rebalance_timeout_max());
    }

    fn elect_joined_leader(&mut self) -> bool {
        let joined = |id: &String| self.members.get(id).is_some_and(|m| m.awaiting_join.is_some());
        if self.leader.as_ref().is_some_and(joined) {
            return true;
        }
        let next = self.members.values().find(|m| m.awaiting_join.is_some()).map(|m| m.member_id.clone());
        if next.is_some() {
            self.leader = next;
            return true;
        }
        false
    }

    /// Removes a member without starting a rebalance, and answers its waiting request.
    pub(crate) fn remove_member(&mut self, member_id: &str, out: &mut Effects) {
        let Some(member) = self.members.shift_remove(member_id) else { return };
        if let Some(ticket) = member.awaiting_join {
            out.join(ticket, JoinReply::refused(ErrorCode::UnknownMemberId, member_id));
        }
        if let Some(ticket) = member.awaiting_sync {
            out.sync(ticket, SyncReply::refused(ErrorCode::UnknownMemberId));
        }
        if let Some(instance) = &member.instance_id
            && self.static_members.get(instance).is_some_and(|holder| holder == member_id)
        {
            self.static_members.remove(instance);
        }
        self.pending_sync.retain(|id| id != member_id);
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Removes a member that left or went silent; the others rebalance.
    pub(crate) fn remove_and_rebalance(
        &mut self,
        member_id: &str,
        limits: &GroupLimits,
        now: i64,
        out: &mut Effects,
    ) {
        self.remove_member(member_id, out);
        if matches!(self.state, GroupState::CompletingRebalance | GroupState::Stable) {
            self.prepare_rebalance(limits, now, out);
        }
        self.try_complete_join(now, out);
    }

    /// Lets time pass: sessions end, joining and syncing phases time out.
    pub fn expire(&mut self, limits: &GroupLimits, now: i64, out: &mut Effects) {
        let before = self.pending_members.len();
        self.pending_members.retain(|_, deadline| *deadline > now);
        if self.initial_deadline.is_some_and(|deadline| deadline <= now) {
            self.initial_deadline = None;
        }
        let silent: Vec<String> = self
            .members
            .values()
            .filter(|m| !m.is_waiting() && m.session_deadline <= now)
            .map(|m| m.member_id.clone())
            .collect();
        for member_id in &silent {
            self.remove_and_rebalance(member_id, limits, now, out);
        }
        if self.sync_deadline.is_some_and(|deadline| deadline <= now) {
            self.sync_deadline = None;
            for member_id in std::mem::take(&mut self.pending_sync) {
                self.remove_and_rebalance(&member_id, limits, now, out);
            }
        }
        if self.state == GroupState::PreparingRebalance && self.join_deadline.is_some_and(|d| d <= now) {
            self.complete_join(now, out);
        } else if before != self.pending_members.len() || self.initial_deadline.is_none() {
            self.try_complete_join(now, out);
        }
    }

    /// The client behind a waiting request has gone; its session decides what happens to the member.
    pub fn abandon(&mut self, ticket: Ticket, now: i64) {
        for member in self.members.values_mut() {
            if member.awaiting_join == Some(ticket) || member.awaiting_sync == Some(ticket) {
                member.awaiting_join = None;
                member.awaiting_sync = None;
                member.session_deadline = now + i64::from(member.session_timeout_ms);
            }
        }
    }
}
