//! Talking to a broker, in this process or elsewhere.

pub mod admin;
pub(crate) mod call;
pub mod cluster;
pub mod consumer;
pub mod error;
pub mod group_offsets;
pub mod metadata_cache;
pub mod producer;
pub mod security;
pub mod tcp;
pub mod transport;

#[cfg(test)]
mod tests;
