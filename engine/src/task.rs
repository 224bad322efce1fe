//! Tasks: one sub-topology for one partition, with its inputs, outputs and stores.

pub mod collector;
pub mod commit;
pub mod input;
pub mod processor;
pub(crate) mod run_size;
pub mod stream_task;
pub mod topology_processor;
