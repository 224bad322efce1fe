//! Limits that the connections of all listeners share: their number, in all and of one address, and memory for requests.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::net::config::ListenerConfig;
use crate::net::memory_budget::MemoryBudget;
use crate::net::metrics::NetMetrics;

/// Limits of all listeners together.
#[derive(Debug)]
pub struct ConnectionLimits {
    metrics: Arc<NetMetrics>,
    memory: Arc<MemoryBudget>,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// Reason for which a connection is closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("{0} connections are open")]
    TooMany(usize),
    #[error("{0} connections of the address are open")]
    TooManyOfAddress(usize),
}

impl ConnectionLimits {
    /// The limits that `config` sets for all connections together.
    pub fn new(metrics: Arc<NetMetrics>, config: &ListenerConfig) -> Self {
        let memory = MemoryBudget::new(config.in_flight_bytes_max_total, config.unsent_bytes_max_total);
        Self { metrics, memory, by_address: Mutex::default() }
    }

    pub(crate) fn memory(&self) -> &Arc<MemoryBudget> {
        &self.memory
    }

    /// Counts a connection, unless there are too many.
    pub(crate) fn enter(
        self: &Arc<Self>,
        config: &ListenerConfig,
        ip: IpAddr,
    ) -> Result<OpenConnection, Refused> {
        let mut by_address = self.by_address.lock();
        let of_address = by_address.get(&ip).copied().unwrap_or(0);
        if of_address >= config.connections_per_ip_max {
            return Err(Refused::TooManyOfAddress(of_address));
        }
        if !self.metrics.connections.enter(config.connections_max as u64) {
            return Err(Refused::TooMany(config.connections_max));
        }
        by_address.insert(ip, of_address + 1);
        Ok(OpenConnection { limits: self.clone(), ip })
    }
}

/// A connection that counts for as long as this lives.
#[derive(Debug)]
pub(crate) struct OpenConnection {
    limits: Arc<ConnectionLimits>,
    ip: IpAddr,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.limits.metrics.connections.leave();
        let mut by_address = self.limits.by_address.lock();
        if let Some(count) = by_address.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.ip);
            }
        }
    }
}
