//! The command topic: the one place where the state of a node's SQL lives.

pub mod compact;
pub mod log;
pub mod record;
