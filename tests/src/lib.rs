//! Harnesses for tests of the real binary.

pub mod clients;
pub mod exposition;
pub mod http;
pub mod identity_provider;
pub mod load;
pub mod log_reader;
pub mod proxy;
pub mod raw_http;
pub mod secure_server;
pub mod seed;
pub mod server;
pub mod terminal;
pub mod time;
pub mod tools;
pub mod websocket;
