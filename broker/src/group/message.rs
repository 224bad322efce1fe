//! Requests and answers of a group, independent of wire versions.

use bytes::Bytes;

use super::state::Ticket;
use crate::protocol::error_code::ErrorCode;

/// JoinGroup.
#[derive(Debug, Clone)]
pub struct JoinRequest {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// Units: ms.
    pub session_timeout_ms: i32,
    /// Units: ms.
    pub rebalance_timeout_ms: i32,
    pub protocol_type: String,
    pub protocols: Vec<(String, Bytes)>,
    /// The id to use if the member is new; random, chosen by the caller so that the group stays deterministic.
    pub new_member_id: String,
    /// Version 4 and later: a new dynamic member first receives its id.
    pub require_known_member_id: bool,
    /// Version 9 and later: a returning static leader may skip the assignment.
    pub skip_assignment_supported: bool,
}

/// The answer to JoinGroup.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinReply {
    pub error: ErrorCode,
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub leader: String,
    pub member_id: String,
    pub skip_assignment: bool,
    /// Filled for the leader only.
    pub members: Vec<JoinedMember>,
}

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinedMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub subscription: Bytes,
}

impl JoinReply {
    /// A refusal; `member_id` is echoed.
    #[must_use]
    pub fn refused(error: ErrorCode, member_id: &str) -> Self {
        Self {
            error,
            generation: -1,
            protocol_type: None,
            protocol: None,
            leader: String::new(),
            member_id: member_id.to_owned(),
            skip_assignment: false,
            members: Vec::new(),
        }
    }
}

/// SyncGroup.
#[derive(Debug, Clone)]
pub struct SyncRequest {
    pub generation: i32,
    pub member_id: String,
    pub instance_id: Option<String>,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub assignments: Vec<(String, Bytes)>,
}

/// The answer to SyncGroup.
#[derive(Debug, Clone, PartialEq)]
pub struct SyncReply {
    pub error: ErrorCode,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub assignment: Bytes,
}

impl SyncReply {
    #[must_use]
    pub fn refused(error: ErrorCode) -> Self {
        Self { error, protocol_type: None, protocol: None, assignment: Bytes::new() }
    }
}

/// An answer to a request that may have waited.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Join(JoinReply),
    Sync(SyncReply),
}

/// Effects of a step of a group.
#[derive(Debug, Default)]
pub struct Effects {
    /// Answers to this and to earlier requests.
    pub replies: Vec<(Ticket, Reply)>,
    /// The group as it is now must be on disk before the answers are sent.
    pub persist: bool,
}

impl Effects {
    pub(crate) fn join(&mut self, ticket: Ticket, reply: JoinReply) {
        self.replies.push((ticket, Reply::Join(reply)));
    }

    pub(crate) fn sync(&mut self, ticket: Ticket, reply: SyncReply) {
        self.replies.push((ticket, Reply::Sync(reply)));
    }
}
