//! A Kafka-protocol broker: record batches, the log on disk, the wire protocol and the coordinators.
//!
//! Layers, lowest first; a module uses only modules above it in this list:
//!
//! 1. [`ids`], [`error`], [`env`](mod@env): names, failures, and the seams for time, files, chance and threads.
//! 2. [`record`]: record batches (format v2), compression, control records. [`auth`]: authentication, ACLs and quotas.
//! 3. [`protocol`]: the wire format of requests and responses.
//! 4. [`log`]: segmented logs with indexes, producer state, group commit, retention and compaction.
//! 5. [`replication`]: a partition as clients see it: one log, its leader epoch and its waiters. [`metadata`]: topics and
//!    their settings.
//! 6. [`coordinator`], [`group`], [`txn`]: consumer groups and transactions, as state machines over records.
//!    [`telemetry`]: metrics that clients push.
//! 7. [`net`]: listeners, connections and their limits.
//! 8. [`client`]: producers, readers and administration over a transport, in this process or elsewhere.
//! 9. [`config`]: settings of a broker. [`api`]: an answer to every request.
//! 10. [`broker`]: a running broker, made of all of these.
//!
//! The table in ARCHITECTURE.md has the same layers, and a test checks it.

pub mod api;
pub mod auth;
pub mod broker;
pub mod client;
pub mod config;
pub mod coordinator;
pub mod env;
pub mod error;
pub mod group;
pub mod ids;
pub mod log;
pub mod metadata;
pub mod net;
pub mod protocol;
pub mod record;
pub mod replication;
pub mod telemetry;
pub mod txn;

#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod fuzz_tests;
