//! Segmented logs: one directory per partition, written at the end, read anywhere.
//!
//! * [`config`]: the settings of a log, under Kafka's names.

pub mod config;
