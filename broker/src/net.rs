//! Sockets: accepting connections, and answering the requests that arrive on them.

pub mod handler;
