//! The command topic: the one place where the state of a node's SQL lives. Commands are written to it,
//! carried out, and replayed when a node starts.

pub(crate) mod apply;
pub mod backup;
pub mod error;
pub mod garbage_collect;
pub mod log;
pub mod record;
pub(crate) mod replay;
pub mod runner;
pub mod scan;
pub(crate) mod status;
