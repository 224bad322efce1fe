//! Metrics that clients push to the broker (KIP-714): who is asked for what, and the latest values of each client.

pub mod client;
pub mod instance;
pub mod instances;
pub mod otlp;
pub mod series;
pub mod service;
pub(crate) mod wire;

#[cfg(test)]
pub(crate) mod tests;
