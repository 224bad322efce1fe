//! `weir bench`: workloads with a fixed seed, measured through the real broker and commit path.

pub mod command;
pub mod end_to_end;
pub mod latency;
pub mod pipe;
pub mod rows;
pub mod start;
pub mod usage;
pub mod workload;
