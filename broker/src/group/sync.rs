//! SyncGroup, Heartbeat, LeaveGroup, and who may commit offsets.

use bytes::Bytes;

use super::join::GroupLimits;
use super::message::{Effects, SyncReply, SyncRequest};
use super::state::{Group, GroupState, Ticket};
use crate::protocol::error_code::ErrorCode;

/// Sender of an offset commit.
#[derive(Debug, Clone, Copy)]
pub struct Committer<'a> {
    /// -1 when the offsets are kept by hand.
    pub generation: i32,
    pub member_id: &'a str,
    pub instance_id: Option<&'a str>,
    pub kind: CommitKind,
    /// Version 9 of OffsetCommit and later: `generation` may be a member epoch.
    pub knows_member_epochs: bool,
}

/// The two requests that store offsets have different rules for clients outside the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitKind {
    Plain,
    Transactional,
}

impl Group {
    /// Handles SyncGroup. The leader's brings the assignments and completes the rebalance.
    pub fn sync(&mut self, ticket: Ticket, request: SyncRequest, now: i64, out: &mut Effects) {
        if let Err(error) = self.check_sync(&request) {
            out.sync(ticket, SyncReply::refused(error));
            return;
        }
        match self.state {
            GroupState::Empty | GroupState::Dead => {
                out.sync(ticket, SyncReply::refused(ErrorCode::UnknownMemberId))
            }
            GroupState::PreparingRebalance => {
                out.sync(ticket, SyncReply::refused(ErrorCode::RebalanceInProgress))
            }
            GroupState::CompletingRebalance => self.sync_completing(ticket, request, now, out),
            GroupState::Stable => {
                self.synced(&request.member_id);
                let member = &mut self.members[request.member_id.as_str()];
                member.session_deadline = now + i64::from(member.session_timeout_ms);
                let reply = self.assignment_of(&request.member_id);
                out.sync(ticket, reply);
            }
        }
    }

    fn check_sync(&self, request: &SyncRequest) -> Result<(), ErrorCode> {
        if self.state == GroupState::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        self.check_member(&request.member_id, request.instance_id.as_deref())?;
        if request.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs = |asked: &Option<String>, have: &Option<String>| asked.is_some() && asked != have;
        if differs(&request.protocol_type, &self.protocol_type) || differs(&request.protocol, &self.protocol)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn sync_completing(&mut self, ticket: Ticket, request: SyncRequest, now: i64, out: &mut Effects) {
        self.synced(&request.member_id);
        let member = &mut self.members[request.member_id.as_str()];
        if let Some(earlier) = member.awaiting_sync.replace(ticket) {
            out.sync(earlier, SyncReply::refused(ErrorCode::UnknownMemberId));
        }
        if !self.is_leader(&request.member_id) {
            return;
        }
        for member in self.members.values_mut() {
            let given = request.assignments.iter().find(|(id, _)| *id == member.member_id);
            member.assignment = given.map_or_else(Bytes::new, |(_, assignment)| assignment.clone());
        }
        self.enter(GroupState::Stable, now);
        out.persist = true;
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for member_id in ids {
            let reply = self.assignment_of(&member_id);
            let member = &mut self.members[member_id.as_str()];
            if let Some(waiting) = member.awaiting_sync.take() {
                member.session_deadline = now + i64::from(member.session_timeout_ms);
                out.sync(waiting, reply);
            }
        }
    }

    fn synced(&mut self, member_id: &str) {
        self.pending_sync.retain(|id| id != member_id);
        if self.pending_sync.is_empty() {
            self.sync_deadline = None;
        }
    }

    fn assignment_of(&self, member_id: &str) -> SyncReply {
        SyncReply {
            error: ErrorCode::None,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self.members[member_id].assignment.clone(),
        }
    }

    /// Handles Heartbeat.
    pub fn heartbeat(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: i64,
    ) -> ErrorCode {
        if self.state == GroupState::Dead {
            return ErrorCode::CoordinatorNotAvailable;
        }
        if instance_id.is_none() && self.pending_members.contains_key(member_id) {
            return ErrorCode::None;
        }
        if let Err(error) = self.check_member(member_id, instance_id) {
            return error;
        }
        if generation != self.generation {
            return ErrorCode::IllegalGeneration;
        }
        self.touch(member_id, now);
        match self.state {
            GroupState::Empty | GroupState::Dead => ErrorCode::UnknownMemberId,
            GroupState::PreparingRebalance => ErrorCode::RebalanceInProgress,
            GroupState::CompletingRebalance | GroupState::Stable => ErrorCode::None,
        }
    }

    fn touch(&mut self, member_id: &str, now: i64) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.session_deadline = now + i64::from(member.session_timeout_ms);
        }
    }

    /// Handles LeaveGroup for one member.
    pub fn leave(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        limits: &GroupLimits,
        now: i64,
        out: &mut Effects,
    ) -> ErrorCode {
        if self.state == GroupState::Dead {
            return ErrorCode::CoordinatorNotAvailable;
        }
        // A tool may remove a static member by its instance id alone.
        let resolved = match (member_id, instance_id) {
            ("", Some(instance)) => match self.static_members.get(instance) {
                Some(holder) => holder.clone(),
                None => return ErrorCode::UnknownMemberId,
            },
            _ => member_id.to_owned(),
        };
        if instance_id.is_none() && self.pending_members.remove(&resolved).is_some() {
            self.try_complete_join(now, out);
            return ErrorCode::None;
        }
        if let Err(error) = self.check_member(&resolved, instance_id) {
            return error;
        }
        self.remove_and_rebalance(&resolved, limits, now, out);
        ErrorCode::None
    }

    /// May this client store offsets for the group?
    pub fn check_commit(&mut self, by: Committer<'_>, now: i64) -> Result<(), ErrorCode> {
        if self.state == GroupState::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let outside = by.generation < 0 && by.member_id.is_empty() && by.instance_id.is_none();
        if outside && (by.kind == CommitKind::Transactional || self.members.is_empty()) {
            return Ok(());
        }
        if by.generation < 0 && self.state == GroupState::Empty {
            return Ok(());
        }
        self.check_member(by.member_id, by.instance_id)?;
        if by.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        match self.state {
            // A producer takes the code for its end, and the generation is the current one.
            GroupState::CompletingRebalance if by.kind == CommitKind::Plain => {
                Err(ErrorCode::RebalanceInProgress)
            }
            GroupState::CompletingRebalance | GroupState::Stable | GroupState::PreparingRebalance => {
                self.touch(by.member_id, now);
                Ok(())
            }
            GroupState::Empty | GroupState::Dead => Err(ErrorCode::UnknownMemberId),
        }
    }
}
