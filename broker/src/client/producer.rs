//! Producing records in batches, or whole batches: idempotent or in transactions.

pub(crate) mod accumulator;
pub mod batching;
pub(crate) mod buffer;
pub mod careful;
pub mod config;
pub mod delivery;
pub mod error;
pub mod idempotent;
pub mod partitioner;
pub mod pipeline;
pub mod progress;
pub mod record;
pub(crate) mod sender;
pub(crate) mod sink;
pub(crate) mod stamp;
pub mod transactional;
