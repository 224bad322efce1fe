//! The engine: runs physical plans over topics.
//!
//! Rows travel as [`batch::RowBatch`]es through [`operator`]s, which are synchronous and belong to one task. Operators
//! keep their state in [`state`] stores, whose every update is a changelog record. [`topology`] turns a plan into
//! sub-topologies; [`driver`] runs them without a broker. [`serde`] turns record bytes into columns and back.

pub mod batch;
pub mod cancellation;
pub mod config;
pub mod driver;
pub mod engine;
pub mod error;
pub mod metrics;
pub mod operator;
pub mod processing_log;
pub mod pull;
pub mod push;
pub mod query;
pub mod runtime;
pub mod serde;
pub mod settings;
pub mod state;
pub mod task;
pub mod topology;
