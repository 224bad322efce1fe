//! Consumer groups: the classic membership protocol, the newer one, and committed offsets.

pub mod any_group;
pub mod consumer;
pub mod coordinator;
pub mod join;
pub mod message;
pub mod offsets;
pub mod rebalance;
pub mod record;
pub mod service;
pub mod state;
pub mod sync;

#[cfg(test)]
mod tests;
