//! Partitions as clients see them.
//!
//! * [`manager::ReplicaManager`]: every partition of this broker: opened, made, deleted, shut down.
//! * [`partition::Partition`]: one of them: append as leader, read, look up offsets, wait for more.

pub mod manager;
pub mod partition;
