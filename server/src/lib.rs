//! A Weir node: broker, engine, command log and the HTTP API around them.

pub mod command;
pub mod config;
pub mod error;
pub mod http;
pub mod metrics;
pub mod node;
pub mod statement;
pub mod wire;
