//! A Weir node: broker, engine, command log and the HTTP API around them.

pub mod error;
pub mod http;
pub mod wire;
