//! Queries: their names, their topics, what they report, how they start and end.

pub mod condition;
pub mod handle;
pub mod naming;
pub(crate) mod progress;
pub mod status;
pub(crate) mod topic_notes;
pub(crate) mod topics;
