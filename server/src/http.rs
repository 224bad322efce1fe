//! ksqlDB's REST API on one port, HTTP/1.1 and HTTP/2 without TLS (h2c).

pub mod api;
pub(crate) mod body;
pub mod inserts_stream;
pub mod queries;
pub mod router;
pub mod serve;
pub mod statements;
pub mod terminate;
pub mod ws;
