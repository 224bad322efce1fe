//! `weir cluster`: brokers, topics and features of a cluster, and its health.

pub mod args;
pub mod health;
pub mod info;
pub mod metadata;
