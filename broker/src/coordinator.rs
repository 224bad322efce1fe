//! Shared parts of the group and transaction coordinators.
//!
//! A coordinator is a state machine over records: `handle(request, now)` changes the state and gives records;
//! the runtime appends them to an internal topic and answers once they are durable; `replay(record)` rebuilds
//! the same state at start.

pub mod codec;
pub mod log;
pub mod retry_log;
pub mod runtime;
pub mod shard;
