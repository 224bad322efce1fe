//! Producing whole record batches: idempotent or in transactions.

pub mod careful;
pub mod idempotent;
pub mod partitioner;
pub mod pipeline;
pub mod progress;
pub(crate) mod stamp;
pub mod transactional;
