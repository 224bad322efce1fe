//! A Kafka-protocol broker: record batches, the log on disk, the wire protocol and the coordinators.
//!
//! Layers, lowest first; a module uses only modules above it in this list:
//!
//! 1. [`ids`], [`error`], [`env`](mod@env): names, failures, and the seams for time, files, chance and threads.
//! 2. [`record`]: record batches (format v2), compression, control records.
//! 3. [`log`]: segmented logs with indexes, producer state, group commit, retention and compaction.
//! 4. [`replication`]: a partition as clients see it: one log, its leader epoch and its waiters.

pub mod client;
pub mod env;
pub mod error;
pub mod ids;
pub mod log;
pub mod net;
pub mod protocol;
pub mod record;
pub mod replication;
