//! Memory for requests and responses, shared by all connections, and what is asked of peers while it is short.
//!
//! A request takes its length before it is read on, so a frame that has room can always arrive completely. A response
//! is counted until its peer has taken it. As long as there is room for all, a peer may be as slow as it likes, within
//! the timeouts. While others wait, a peer that moves less than [`RATE_BYTES_MIN`] in [`RATE_WINDOW`] is let go: a few
//! that announce large requests and send them byte by byte, or ask and never read, do not keep the others waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

/// How long a peer is watched before it is judged.
pub(crate) const RATE_WINDOW: Duration = Duration::from_secs(1);
/// Bytes a peer has to move in a window while others wait for room.
pub(crate) const RATE_BYTES_MIN: usize = 64 << 10;
/// However little room is left, a fetch may bring this much, or one batch.
pub(crate) const FETCH_BYTES_MIN: usize = 256 << 10;

/// Memory for requests and responses of all connections.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    /// One permit per byte of requests being read or answered.
    requests: Arc<Semaphore>,
    requests_max: usize,
    /// Readers that wait for permits.
    waiting: AtomicUsize,
    /// Bytes of responses that peers have not taken.
    unsent: AtomicUsize,
    unsent_max: usize,
}

impl MemoryBudget {
    pub(crate) fn new(requests_max: usize, unsent_max: usize) -> Arc<Self> {
        Arc::new(MemoryBudget {
            requests: Arc::new(Semaphore::new(requests_max)),
            requests_max,
            waiting: AtomicUsize::new(0),
            unsent: AtomicUsize::new(0),
            unsent_max,
        })
    }

    pub(crate) fn requests(&self) -> Arc<Semaphore> {
        self.requests.clone()
    }

    pub(crate) fn requests_max(&self) -> usize {
        self.requests_max
    }

    /// Does a request wait because others hold the room?
    pub(crate) fn is_contended(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Are more bytes of responses waiting for their peers than should?
    pub(crate) fn is_clogged(&self) -> bool {
        self.unsent.load(Ordering::Relaxed) > self.unsent_max
    }

    /// How many bytes a fetch may bring now.
    pub(crate) fn fetch_bytes_max(&self) -> usize {
        self.unsent_max.saturating_sub(self.unsent.load(Ordering::Relaxed)).max(FETCH_BYTES_MIN)
    }

    /// Notes that a reader waits for permits, for as long as the value lives.
    pub(crate) fn wait(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self.clone())
    }

    /// Counts bytes of a response, for as long as the value lives.
    pub(crate) fn hold(self: &Arc<Self>, bytes: usize) -> Unsent {
        self.unsent.fetch_add(bytes, Ordering::Relaxed);
        Unsent { memory: self.clone(), bytes }
    }
}

/// A reader that waits for room.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<MemoryBudget>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes of responses that their peer has not taken.
#[derive(Debug)]
pub(crate) struct Unsent {
    memory: Arc<MemoryBudget>,
    bytes: usize,
}

impl Unsent {
    /// Takes over what another counts.
    pub(crate) fn merge(&mut self, mut other: Unsent) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// The peer has taken some.
    pub(crate) fn release(&mut self, bytes: usize) {
        let released = bytes.min(self.bytes);
        self.bytes -= released;
        self.memory.unsent.fetch_sub(released, Ordering::Relaxed);
    }

    /// The bytes counted.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.release(self.bytes);
    }
}

/// How many bytes a peer has moved since it was last judged.
#[derive(Debug)]
pub(crate) struct TransferRate {
    since: Instant,
    bytes: usize,
}

impl TransferRate {
    pub(crate) fn begin() -> Self {
        TransferRate { since: Instant::now(), bytes: 0 }
    }

    pub(crate) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// When the peer is to be judged.
    pub(crate) fn due(&self) -> Instant {
        self.since + RATE_WINDOW
    }

    /// Was the peer fast enough since it was last judged?
    pub(crate) fn judge(&mut self) -> bool {
        let fast = self.bytes >= RATE_BYTES_MIN;
        *self = TransferRate::begin();
        fast
    }
}

#[cfg(test)]
mod tests {
    use super::{FETCH_BYTES_MIN, MemoryBudget};

    #[test]
    fn unsent_bytes_are_counted_until_they_are_taken_or_dropped() {
        let memory = MemoryBudget::new(10, 1_000_000);
        let mut held = memory.hold(900_000);
        held.merge(memory.hold(300_000));
        assert!(memory.is_clogged());
        assert_eq!(memory.fetch_bytes_max(), FETCH_BYTES_MIN);
        held.release(700_000);
        assert!(!memory.is_clogged());
        assert_eq!((held.bytes(), memory.fetch_bytes_max()), (500_000, 500_000));
        held.release(usize::MAX);
        drop(held);
        assert_eq!(memory.fetch_bytes_max(), 1_000_000);
        assert!(!memory.is_contended());
        let waiting = memory.wait();
        assert!(memory.is_contended());
        drop(waiting);
        assert!(!memory.is_contended());
    }
}
