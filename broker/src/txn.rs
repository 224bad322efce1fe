//! Transactions: producer ids, and the two-phase end of transactions over partitions (KIP-98, KIP-360, KIP-890).

pub mod coordinator;
pub mod gates;
pub mod producer_ids;
pub mod record;
pub mod service;
pub mod state;

#[cfg(test)]
mod tests;
