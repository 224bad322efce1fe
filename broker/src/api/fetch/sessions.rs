//! All fetch sessions: a bounded number, and who makes room for whom (KIP-227).
//!
//! A new session takes a free slot, else that of the session unused for longest if that was long enough ago, else that of
//! the smallest session if it is smaller than the new one and had its slot for long enough. Otherwise its client goes on
//! naming all partitions each time, with session id 0.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::api::fetch::session::{FetchSession, Mismatch};
use crate::env::rng::Rng;
use crate::ids::TOPIC_NAME_BYTES_MAX;
use crate::net::metrics::Counter;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::fetch::{FetchTopic, ForgottenTopic};

/// For how long a session keeps its slot whatever others want. Source: `min.incremental.fetch.session.eviction.ms`.
const KEPT_MIN: Duration = Duration::from_secs(120);
/// Partitions of all sessions together.
pub(crate) const PARTITIONS_MAX: usize = 500_000;

/// An evicted session may still finish the response in flight.
pub(crate) type SharedSession = Arc<Mutex<FetchSession>>;

#[derive(Debug)]
struct Slot {
    session: SharedSession,
    used_at: Duration,
    created_at: Duration,
    /// Partitions, as they were counted last.
    size: usize,
}

/// Invariant: `by_use` and `by_size` have one entry for each slot; `partitions` is the sum of the slots' sizes.
#[derive(Debug, Default)]
struct Slots {
    slots: HashMap<i32, Slot>,
    by_use: BTreeSet<(Duration, i32)>,
    by_size: BTreeSet<(usize, i32)>,
    partitions: usize,
}

/// The fetch sessions of a broker.
#[derive(Debug)]
pub(crate) struct FetchSessions {
    slots: Mutex<Slots>,
    slots_max: usize,
    partitions_max: usize,
    /// Sessions that lost their slot to another one.
    pub(crate) evictions: Counter,
}

/// Error code of a request that does not fit its session.
pub(crate) fn refusal(mismatch: Mismatch) -> ErrorCode {
    match mismatch {
        Mismatch::Epoch => ErrorCode::InvalidFetchSessionEpoch,
        Mismatch::TopicIds => ErrorCode::FetchSessionTopicIdError,
    }
}

impl FetchSessions {
    pub(crate) fn new(slots_max: usize, partitions_max: usize) -> Self {
        Self { slots: Mutex::default(), slots_max, partitions_max, evictions: Counter::default() }
    }

    /// Sessions and their partitions.
    pub(crate) fn figures(&self) -> (usize, usize) {
        let slots = self.slots.lock();
        (slots.slots.len(), slots.partitions)
    }

    /// Gives a session to the client of a full request, if there is room for one.
    pub(crate) fn open(
        &self,
        principal: Arc<str>,
        by_id: bool,
        topics: &[FetchTopic],
        now: Duration,
        rng: &dyn Rng,
    ) -> Option<(i32, SharedSession)> {
        let size: usize = topics.iter().map(|topic| topic.partitions.len()).sum();
        // Names that no topic can have are not worth keeping.
        let is_worthy = topics.iter().all(|topic| topic.topic.len() <= TOPIC_NAME_BYTES_MAX);
        if size == 0 || !is_worthy {
            return None;
        }
        let mut slots = self.slots.lock();
        let is_full = slots.slots.len() >= self.slots_max;
        let victim = if is_full { Some(slots.victim(size, now)?) } else { None };
        let freed = victim.and_then(|victim| slots.slots.get(&victim)).map_or(0, |slot| slot.size);
        if slots.partitions - freed + size > self.partitions_max {
            return None;
        }
        if let Some(victim) = victim {
            slots.remove(victim);
            self.evictions.increment();
        }
        let id = slots.unused_id(rng);
        let session = FetchSession::new(principal, by_id, topics);
        let size = session.len();
        let session = Arc::new(Mutex::new(session));
        let slot = Slot { session: session.clone(), used_at: now, created_at: now, size };
        slots.insert(id, slot);
        Some((id, session))
    }

    /// The session takes its next request. `None` when nothing is left in it: then it ends.
    ///
    /// Errors: the code for the client, which begins again with a full request.
    pub(crate) fn advance(
        &self,
        id: i32,
        request: Incremental<'_>,
        now: Duration,
    ) -> Result<Option<SharedSession>, ErrorCode> {
        let mut slots = self.slots.lock();
        let slot = slots.slots.get(&id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        let shared = slot.session.clone();
        let mut session = shared.lock();
        if *session.principal != *request.principal {
            return Err(ErrorCode::FetchSessionIdNotFound);
        }
        session.check(request.epoch, request.by_id).map_err(refusal)?;
        let too_long = request.topics.iter().any(|topic| topic.topic.len() > TOPIC_NAME_BYTES_MAX);
        session.advance(request.topics, request.forgotten);
        let size = session.len();
        drop(session);
        let grown = slots.resize(id, size, now);
        if grown > self.partitions_max || too_long {
            slots.remove(id);
            return Err(ErrorCode::FetchSessionIdNotFound);
        }
        if size == 0 {
            slots.remove(id);
            return Ok(None);
        }
        Ok(Some(shared))
    }

    /// Ends a session, if it is this client's.
    pub(crate) fn close(&self, id: i32, principal: &str) {
        let mut slots = self.slots.lock();
        let is_own = |slot: &Slot| *slot.session.lock().principal == *principal;
        if slots.slots.get(&id).is_some_and(is_own) {
            slots.remove(id);
        }
    }
}

/// A request of a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Incremental<'a> {
    pub(crate) principal: &'a str,
    pub(crate) epoch: i32,
    pub(crate) by_id: bool,
    pub(crate) topics: &'a [FetchTopic],
    pub(crate) forgotten: &'a [ForgottenTopic],
}

impl Slots {
    fn insert(&mut self, id: i32, slot: Slot) {
        self.by_use.insert((slot.used_at, id));
        self.by_size.insert((slot.size, id));
        self.partitions += slot.size;
        self.slots.insert(id, slot);
    }

    fn remove(&mut self, id: i32) {
        if let Some(slot) = self.slots.remove(&id) {
            self.by_use.remove(&(slot.used_at, id));
            self.by_size.remove(&(slot.size, id));
            self.partitions -= slot.size;
        }
    }

    /// Notes a session's use and size; returns the partitions of all.
    fn resize(&mut self, id: i32, size: usize, now: Duration) -> usize {
        if let Some(slot) = self.slots.get_mut(&id) {
            self.by_use.remove(&(slot.used_at, id));
            self.by_size.remove(&(slot.size, id));
            self.partitions = self.partitions - slot.size + size;
            (slot.used_at, slot.size) = (now, size);
            self.by_use.insert((now, id));
            self.by_size.insert((size, id));
        }
        self.partitions
    }

    /// The session whose slot a new session of `size` partitions may take.
    fn victim(&self, size: usize, now: Duration) -> Option<i32> {
        let (used_at, unused) = self.by_use.first()?;
        if now.saturating_sub(*used_at) > KEPT_MIN {
            return Some(*unused);
        }
        let smaller = self.by_size.range(..(size, i32::MIN)).map(|(_, id)| *id);
        let is_old =
            |id: &i32| self.slots.get(id).is_some_and(|slot| now.saturating_sub(slot.created_at) > KEPT_MIN);
        smaller.into_iter().find(is_old)
    }

    /// Random, so that it cannot be guessed.
    fn unused_id(&self, rng: &dyn Rng) -> i32 {
        loop {
            let id = i32::try_from(1 + rng.below(i32::MAX as u64)).unwrap_or(i32::MAX);
            if !self.slots.contains_key(&id) {
                return id;
            }
        }
    }
}
