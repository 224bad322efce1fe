//! A Kafka-protocol broker: record batches, the log on disk, the wire protocol and the coordinators.
//!
//! Layers, lowest first; a module uses only modules above it in this list:
//!
//! 1. [`ids`], [`error`], [`env`](mod@env): names, failures, and the seams for time, files, chance and threads.
//! 2. [`record`]: record batches (format v2), compression, control records.
//! 3. [`log`]: segmented logs with indexes, producer state, group commit, retention and compaction.
//! 4. [`replication`]: a partition as clients see it: one log, its leader epoch and its waiters.
//! 5. [`protocol`]: the wire format, one file per API; bounded on the way in. Uses none of the above.
//! 6. [`net`]: listeners, connections, and the seam to whoever answers requests.
//! 7. [`client`]: the other end: transports, and the clients on top of them.

pub mod client;
pub mod env;
pub mod error;
pub mod ids;
pub mod log;
pub mod net;
pub mod protocol;
pub mod record;
pub mod replication;
