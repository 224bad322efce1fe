//! The Kafka wire protocol: a bounded codec and one file per API.
//!
//! Bytes go through three steps: [`frame`] cuts off the length prefix, [`header`] and [`request`] (or [`response`])
//! turn the rest into typed values, and [`api_key`] is the one table of APIs and versions.
//!
//! Invariant: decoding never allocates more than a small multiple of the bytes present, whatever counts and lengths
//! those bytes announce. See [`primitive`].

pub mod api_key;
pub mod consumer_protocol;
pub mod error_code;
pub mod frame;
pub mod header;
pub(crate) mod message;
pub mod messages;
pub mod primitive;
pub mod request;
pub mod response;

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
