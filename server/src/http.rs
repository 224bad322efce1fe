//! ksqlDB's REST API on one port, HTTP/1.1 and HTTP/2, with or without TLS.

pub(crate) mod accept;
pub(crate) mod admission;
pub(crate) mod answer;
pub mod api;
pub(crate) mod body;
pub(crate) mod connections;
pub mod endpoint;
pub mod guard;
pub mod inserts_stream;
pub(crate) mod observed_body;
pub(crate) mod peer;
pub mod queries;
pub(crate) mod quota;
pub(crate) mod request_line;
pub mod router;
pub mod serve;
pub mod statements;
pub mod terminate;
pub mod ws;
