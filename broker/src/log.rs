//! Segmented logs: one directory per partition, written at the end, read anywhere.
//!
//! * [`config`]: the settings of a log, under Kafka's names.
//! * [`access`]: what goes into and comes out of a log.
//! * [`partition_log`]: the log of one partition: append, read, look up, flush, truncate, close.
//! * [`flusher`]: group commit over all logs of a directory; [`flush_ticket`]: waiting for it.
//! * [`manager`]: all logs of a data directory; [`cleaner`]: compaction; `retention`: deletion.
//! * [`loader`]: opening a log after a clean shutdown or a crash; `context`: what it gives, and what logs share.
//! * `segment`, `offset_index`, `time_index`, `txn_index`, `scan`, `files`: the files.
//! * `producer_state`: idempotence and transactions.
//! * `log_deletion`: directories of deleted logs, on their way out.
//! * `checkpoint`, `failure`: offsets kept over restarts; a directory which can no longer be trusted.
//! * [`offline`]: damaged logs, which do not keep the others from being served.

pub mod access;
pub mod cleaner;
pub mod config;
pub mod flush_ticket;
pub mod flusher;
pub mod loader;
pub mod manager;
pub mod offline;
pub mod partition_log;

pub(crate) mod checkpoint;
pub(crate) mod context;
pub(crate) mod failure;
pub(crate) mod files;
pub(crate) mod index_file;
pub(crate) mod log_deletion;
pub(crate) mod offset_index;
pub(crate) mod producer_state;
pub(crate) mod retention;
pub(crate) mod scan;
pub(crate) mod segment;
pub(crate) mod segment_index;
pub(crate) mod segment_manifest;
pub(crate) mod time_index;
pub(crate) mod txn_index;
pub(crate) mod validate;

#[cfg(test)]
mod tests;
