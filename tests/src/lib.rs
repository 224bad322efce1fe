//! Harnesses for tests of the real binary.

pub mod clients;
pub mod http;
pub mod server;
pub mod terminal;
