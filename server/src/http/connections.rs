//! The open connections: how many there may be, and which one gives way to a new one.
//!
//! | state of a connection | left by | gives way |
//! |---|---|---|
//! | idle: no request, or its head is arriving | a request's head → receiving; the deadline → closed | yes |
//! | receiving: bodies of all its requests are arriving | the end of a body → answering | yes |
//! | answering: at least one whole request has not been answered to its end | the answer's end → idle | no |
//!
//! When all connections are taken, the one that has been idle or receiving longest is closed for a new one. When all
//! are answering, a reserve takes new connections, for probes alone.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Connections beyond the limit that are opened for probes.
const RESERVE: usize = 64;

/// The requests of one connection.
#[derive(Debug)]
pub(crate) struct Activity {
    opened: Instant,
    /// Whole requests that are being answered.
    answering: AtomicUsize,
    /// Requests whose bodies are arriving.
    receiving: AtomicUsize,
    /// The last change of state. Units: ns since `opened`.
    changed_ns: AtomicU64,
    /// Cancelled when the connection gives way to another.
    evicted: CancellationToken,
}

impl Activity {
    pub(crate) fn new() -> Activity {
        Activity {
            opened: Instant::now(),
            answering: AtomicUsize::new(0),
            receiving: AtomicUsize::new(0),
            changed_ns: AtomicU64::new(0),
            evicted: CancellationToken::new(),
        }
    }

    /// Notes that the client makes progress.
    pub(crate) fn touch(&self) {
        let elapsed = u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.changed_ns.store(elapsed, Ordering::Relaxed);
    }

    fn changed(&self) -> Instant {
        self.opened + Duration::from_nanos(self.changed_ns.load(Ordering::Relaxed))
    }

    fn gives_way(&self) -> bool {
        self.answering.load(Ordering::Acquire) == 0
    }

    /// Time since the connection became idle; None while it has a request.
    pub(crate) fn idle_for(&self) -> Option<Duration> {
        let busy = !self.gives_way() || self.receiving.load(Ordering::Acquire) > 0;
        (!busy).then(|| self.changed().elapsed())
    }

    /// Resolves when the connection must give way.
    pub(crate) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    pub(crate) fn receiving(self: &Arc<Activity>) -> Stage {
        Stage::enter(self, |activity| &activity.receiving)
    }

    pub(crate) fn answering(self: &Arc<Activity>) -> Stage {
        Stage::enter(self, |activity| &activity.answering)
    }
}

/// A request in one of its stages, until dropped.
#[derive(Debug)]
pub(crate) struct Stage {
    activity: Arc<Activity>,
    counter: fn(&Activity) -> &AtomicUsize,
}

impl Stage {
    fn enter(activity: &Arc<Activity>, counter: fn(&Activity) -> &AtomicUsize) -> Stage {
        counter(activity).fetch_add(1, Ordering::AcqRel);
        activity.touch();
        Stage { activity: Arc::clone(activity), counter }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        (self.counter)(&self.activity).fetch_sub(1, Ordering::AcqRel);
        self.activity.touch();
    }
}

/// The table of connections.
#[derive(Debug)]
pub(crate) struct Connections {
    max: usize,
    per_address_max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    by_id: HashMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    address: IpAddr,
    is_reserve: bool,
    activity: Arc<Activity>,
}

/// A place in the table, until dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    id: u64,
    /// True if only probes are answered.
    pub(crate) is_reserve: bool,
    pub(crate) activity: Arc<Activity>,
    connections: Arc<Connections>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.open.lock().by_id.remove(&self.id);
    }
}

impl Connections {
    pub(crate) fn new(max: usize, per_address_max: usize) -> Arc<Connections> {
        Arc::new(Connections {
            max: max.max(1),
            per_address_max: per_address_max.max(1),
            open: Mutex::default(),
        })
    }

    /// A place for a new connection; another may be closed for it. None: the connection cannot be served.
    pub(crate) fn admit(self: &Arc<Connections>, address: IpAddr) -> Option<Slot> {
        let mut open = self.open.lock();
        let of_address = open.by_id.values().filter(|entry| entry.address == address).count();
        if of_address >= self.per_address_max && !open.evict(|entry| entry.address == address) {
            return None;
        }
        let reserved = open.by_id.values().filter(|entry| entry.is_reserve).count();
        let regular = open.by_id.len() - reserved;
        let has_place = regular < self.max || open.evict(|entry| !entry.is_reserve);
        let is_reserve = !has_place;
        if is_reserve && reserved >= RESERVE && !open.evict(|entry| entry.is_reserve) {
            return None;
        }
        let activity = Arc::new(Activity::new());
        let id = open.next;
        open.next += 1;
        open.by_id.insert(id, Entry { address, is_reserve, activity: Arc::clone(&activity) });
        Some(Slot { id, is_reserve, activity, connections: Arc::clone(self) })
    }
}

impl Open {
    /// Closes the connection among `candidates` that has been waiting for its client longest. False if there is none.
    fn evict(&mut self, candidates: impl Fn(&Entry) -> bool) -> bool {
        let waiting = self.by_id.iter().filter(|(_, entry)| candidates(entry) && entry.activity.gives_way());
        let oldest = waiting.min_by_key(|(_, entry)| entry.activity.changed()).map(|(id, _)| *id);
        let evicted = oldest.and_then(|id| self.by_id.remove(&id));
        if let Some(entry) = &evicted {
            entry.activity.evicted.cancel();
        }
        evicted.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn the_longest_waiting_connection_gives_way() {
        let connections = Connections::new(2, usize::MAX);
        let first = connections.admit(ONE).expect("a place is free");
        let second = connections.admit(ONE).expect("a place is free");
        let receiving = first.activity.receiving();
        let third = connections.admit(ONE).expect("another gives way");
        assert!(second.activity.evicted.is_cancelled() && !first.activity.evicted.is_cancelled());
        let _fourth = connections.admit(ONE).expect("another gives way");
        assert!(first.activity.evicted.is_cancelled(), "a body that is arriving gives way, too");
        assert!(!third.is_reserve && !third.activity.evicted.is_cancelled());
        drop(receiving);
    }

    #[test]
    fn requests_being_answered_keep_their_connection_and_probes_have_a_reserve() {
        let connections = Connections::new(1, usize::MAX);
        let busy = connections.admit(ONE).expect("a place is free");
        let answering = busy.activity.answering();
        let reserve: Vec<Slot> = (0..RESERVE).filter_map(|_| connections.admit(OTHER)).collect();
        assert!(reserve.iter().all(|slot| slot.is_reserve));
        assert_eq!(reserve.len(), RESERVE);
        let probes: Vec<Stage> = reserve.iter().map(|slot| slot.activity.answering()).collect();
        assert!(connections.admit(OTHER).is_none());
        assert!(!busy.activity.evicted.is_cancelled());
        drop((probes, answering));
        assert!(connections.admit(OTHER).is_some_and(|slot| !slot.is_reserve));
    }

    #[test]
    fn an_address_takes_no_more_than_its_share() {
        let connections = Connections::new(10, 1);
        let first = connections.admit(ONE).expect("a place is free");
        let answering = first.activity.answering();
        assert!(connections.admit(ONE).is_none());
        assert!(connections.admit(OTHER).is_some());
        drop(answering);
        assert!(connections.admit(ONE).is_some());
        assert!(first.activity.evicted.is_cancelled());
        assert!(first.activity.idle_for().is_some());
    }
}
