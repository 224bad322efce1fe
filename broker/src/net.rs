//! Sockets: accepting connections, and answering the requests that arrive on them.

pub mod config;
pub mod connection;
pub(crate) mod frame_io;
pub mod handler;
pub mod limits;
pub mod listener;
pub(crate) mod memory_budget;
pub mod metrics;
pub mod session;
pub mod tls;

#[cfg(test)]
pub(crate) mod tests;
