//! Sockets: accepting connections, and answering the requests that arrive on them.

pub mod config;
pub mod connection;
pub(crate) mod frame_io;
pub mod handler;
pub mod limits;
pub mod listener;
pub mod metrics;
pub(crate) mod room;
pub mod session;
pub mod tls;

#[cfg(test)]
pub(crate) mod tests;
