//! A Weir node: broker, engine, command log and the HTTP API around them.

pub mod auth;
pub mod command;
pub mod config;
pub mod error;
pub mod http;
pub mod https;
pub mod metrics;
pub mod node;
pub mod statement;
pub mod wire;
