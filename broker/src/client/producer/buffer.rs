//! The accumulator, shared by those who append records and the task that sends batches.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::accumulator::{Appended, ClosedBatch, RecordAccumulator, Tracking};
use super::config::ProducerConfig;
use super::delivery::Delivery;
use super::error::ProducerError;
use super::record::{ProducerRecord, ProducerTopic, TopicIndex};
use crate::env::clock::{Clock, SystemClock};
use crate::env::rng::{Rng, SystemRng};

#[derive(Debug)]
struct State {
    accumulator: RecordAccumulator,
    /// Why no more records are taken.
    failure: Option<ProducerError>,
}

/// A [`RecordAccumulator`] that waits: appending for memory, sending for batches.
#[derive(Debug)]
pub(crate) struct SharedBuffer {
    state: Mutex<State>,
    /// Woken when there may be a batch to send.
    work: Notify,
    /// Woken when memory was released, or when there is no more to wait for.
    space: Notify,
    clock: Arc<dyn Clock>,
}

impl SharedBuffer {
    pub(crate) fn new(config: ProducerConfig) -> Self {
        Self {
            state: Mutex::new(State { accumulator: RecordAccumulator::new(config), failure: None }),
            work: Notify::new(),
            space: Notify::new(),
            clock: Arc::new(SystemClock::new()),
        }
    }

    pub(crate) fn add_topic(&self, topic: ProducerTopic) -> TopicIndex {
        self.state.lock().accumulator.add_topic(topic, SystemRng.next_u64())
    }

    /// Adds a record, after waiting for memory if there is none.
    pub(crate) async fn append(
        &self,
        topic: TopicIndex,
        record: &ProducerRecord<'_>,
        tracking: Tracking,
    ) -> Result<Option<Delivery>, ProducerError> {
        match self.try_append(topic, record, tracking)? {
            Appended::Added { delivery, .. } => Ok(delivery.map(|boxed| *boxed)),
            Appended::NoRoom => self.append_later(topic, record, tracking).await,
        }
    }

    /// Adds a record that nothing is asked about later; false if there is no memory for it.
    pub(crate) fn try_add(
        &self,
        topic: TopicIndex,
        record: &ProducerRecord<'_>,
    ) -> Result<bool, ProducerError> {
        let appended = self.try_append(topic, record, Tracking::Untracked)?;
        Ok(!matches!(appended, Appended::NoRoom))
    }

    /// Adds a record once there is memory.
    pub(crate) async fn append_later(
        &self,
        topic: TopicIndex,
        record: &ProducerRecord<'_>,
        tracking: Tracking,
    ) -> Result<Option<Delivery>, ProducerError> {
        loop {
            let space = self.space.notified();
            tokio::pin!(space);
            // Memory that is released from here on is noticed.
            space.as_mut().enable();
            if let Appended::Added { delivery, .. } = self.try_append(topic, record, tracking)? {
                return Ok(delivery.map(|boxed| *boxed));
            }
            space.await;
        }
    }

    #[inline]
    fn try_append(
        &self,
        topic: TopicIndex,
        record: &ProducerRecord<'_>,
        tracking: Tracking,
    ) -> Result<Appended, ProducerError> {
        let mut state = self.state.lock();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let appended = state.accumulator.append(topic, record, tracking, || self.clock.monotonic())?;
        drop(state);
        if matches!(appended, Appended::NoRoom | Appended::Added { has_work: true, .. }) {
            self.work.notify_one();
        }
        Ok(appended)
    }

    /// Waits until there may be a batch to send.
    pub(crate) async fn work(&self) {
        self.work.notified().await;
    }

    /// As [`RecordAccumulator::take`].
    pub(crate) fn take(&self, bytes_max: usize) -> Vec<ClosedBatch> {
        let now = self.clock.monotonic();
        self.state.lock().accumulator.take(now, bytes_max)
    }

    /// Closes all open batches and gives the number of closed ones.
    pub(crate) fn close_all(&self) -> usize {
        let mut state = self.state.lock();
        state.accumulator.close_all();
        state.accumulator.closed_count()
    }

    /// Time until there is a batch to send; none while there is no record.
    pub(crate) fn next_batch_in(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        let state = self.state.lock();
        match state.accumulator.closed_count() {
            0 => state.accumulator.next_deadline().map(|deadline| deadline.saturating_sub(now)),
            _ => Some(Duration::ZERO),
        }
    }

    /// Memory of batches that were taken is free again.
    pub(crate) fn release(&self, charged_bytes: usize) {
        if charged_bytes > 0 {
            self.state.lock().accumulator.release(charged_bytes);
            self.space.notify_waiters();
        }
    }

    pub(crate) fn failure(&self) -> Option<ProducerError> {
        self.state.lock().failure.clone()
    }

    /// Takes no more records, and gives up those in it, also in batches that were taken.
    pub(crate) fn fail(&self, failure: ProducerError) {
        self.state.lock().failure = Some(failure.clone());
        self.discard(&failure);
    }

    /// Gives up all records, also in batches that were taken, for `cause`; and takes records again.
    pub(crate) fn restart(&self, cause: &ProducerError) {
        self.discard(cause);
        self.state.lock().failure = None;
    }

    fn discard(&self, cause: &ProducerError) {
        let batches = self.state.lock().accumulator.clear();
        for outcome in batches.into_iter().filter_map(|batch| batch.outcome) {
            outcome.settle(Err(cause.clone()));
        }
        self.space.notify_waiters();
    }
}
