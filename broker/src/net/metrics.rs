//! Counters of the network layer, as plain atomics that a metrics page can render.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::protocol::api_key::ApiKey;

/// Upper bounds of the latency buckets, in microseconds; one more bucket holds everything above.
pub const LATENCY_BOUNDS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds one for as long as the guard lives, unless `limit` is reached.
    pub(crate) fn enter(&self, limit: u64) -> bool {
        let entered =
            self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < limit).then_some(n + 1));
        entered.is_ok()
    }

    /// Takes back one [`Self::enter`].
    pub(crate) fn leave(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Histogram of durations.
///
/// Shape: `buckets()[i]` counts durations of at most `LATENCY_BOUNDS_US[i]` and above the bound before; the last
/// bucket counts those above all bounds.
#[derive(Debug, Default)]
pub struct LatencyHistogram {
    buckets: [AtomicU64; LATENCY_BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl LatencyHistogram {
    /// Counts one duration.
    pub fn record(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Counts per bucket, not cumulated.
    pub fn buckets(&self) -> [u64; LATENCY_BOUNDS_US.len() + 1] {
        std::array::from_fn(|i| self.buckets[i].load(Ordering::Relaxed))
    }

    /// Sum of all durations, in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us.load(Ordering::Relaxed)
    }
}

/// Counters of the requests of one API.
#[derive(Debug, Default)]
pub struct ApiMetrics {
    /// Requests read.
    pub requests: Counter,
    /// From the last byte of the request to the response being ready; waiting of the handler included.
    pub latency: LatencyHistogram,
    /// Bytes of requests.
    pub bytes_received: Counter,
    /// Bytes of responses.
    pub bytes_sent: Counter,
}

/// Counters of the connections of a node.
#[derive(Debug)]
pub struct NetMetrics {
    /// Connections open now.
    pub connections: Gauge,
    /// Connections accepted.
    pub connections_accepted: Counter,
    /// Connections closed at once because too many are open.
    pub connections_refused: Counter,
    /// Times that no connection could be accepted, for want of open files mostly.
    pub accepts_failed: Counter,
    /// Connections closed because the peer was silent or too slow.
    pub connections_timed_out: Counter,
    /// Connections closed because the peer sent what is no request.
    pub connections_malformed: Counter,
    /// Connections closed because a request was longer than allowed.
    pub connections_oversize: Counter,
    /// Connections closed because they did not authenticate before anything else, or not again in time.
    pub connections_unauthenticated: Counter,
    /// Connections that ended before TLS was agreed on.
    pub tls_handshakes_failed: Counter,
    /// Bytes read.
    pub bytes_received: Counter,
    /// Bytes written.
    pub bytes_sent: Counter,
    apis: Vec<ApiMetrics>,
}

impl NetMetrics {
    /// The counters of one API.
    pub fn api(&self, api_key: ApiKey) -> &ApiMetrics {
        &self.apis[api_key.index()]
    }
}

impl Default for NetMetrics {
    fn default() -> Self {
        Self {
            connections: Gauge::default(),
            connections_accepted: Counter::default(),
            connections_refused: Counter::default(),
            accepts_failed: Counter::default(),
            connections_timed_out: Counter::default(),
            connections_malformed: Counter::default(),
            connections_oversize: Counter::default(),
            connections_unauthenticated: Counter::default(),
            tls_handshakes_failed: Counter::default(),
            bytes_received: Counter::default(),
            bytes_sent: Counter::default(),
            apis: ApiKey::ALL.iter().map(|_| ApiMetrics::default()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Gauge, LATENCY_BOUNDS_US, LatencyHistogram};

    #[test]
    fn durations_fall_into_the_bucket_of_their_bound() {
        let histogram = LatencyHistogram::default();
        for us in [0, 100, 101, 10_000_000, 10_000_001] {
            histogram.record(Duration::from_micros(us));
        }
        let buckets = histogram.buckets();
        assert_eq!((buckets[0], buckets[1]), (2, 1));
        assert_eq!(buckets[LATENCY_BOUNDS_US.len() - 1..], [1, 1]);
        assert_eq!(histogram.sum_us(), 20_000_202);
    }

    #[test]
    fn a_gauge_stops_at_its_limit() {
        let gauge = Gauge::default();
        assert!(gauge.enter(1));
        assert!(!gauge.enter(1));
        gauge.leave();
        assert!(gauge.enter(1));
        assert_eq!(gauge.get(), 1);
    }
}
