//! The command topic: the one place where the state of a node's SQL lives.

pub mod backup;
pub mod compact;
pub mod log;
pub mod record;
pub mod scan;
