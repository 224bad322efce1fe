//! What the connections of all listeners share: the number of them, in all and of one address, and room for requests.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::net::config::ListenerConfig;
use crate::net::metrics::NetMetrics;

/// Limits of all listeners together.
#[derive(Debug)]
pub struct ConnectionLimits {
    metrics: Arc<NetMetrics>,
    /// One permit per byte of requests being read or answered.
    budget: Arc<Semaphore>,
    budget_max: usize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// Why a connection is closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("{0} connections are open")]
    TooMany(usize),
    #[error("{0} connections of the address are open")]
    TooManyOfAddress(usize),
}

impl ConnectionLimits {
    /// Limits with `in_flight_bytes_max_total` bytes of requests being read or answered at a time.
    pub fn new(metrics: Arc<NetMetrics>, in_flight_bytes_max_total: usize) -> Self {
        let budget = Arc::new(Semaphore::new(in_flight_bytes_max_total));
        let by_address = Mutex::default();
        Self { metrics, budget, budget_max: in_flight_bytes_max_total, by_address }
    }

    pub(crate) fn budget(&self) -> Arc<Semaphore> {
        self.budget.clone()
    }

    pub(crate) fn budget_max(&self) -> usize {
        self.budget_max
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
