//! Waiting until an append is durable.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::ids::Offset;

/// Durable offset of a log, and the requests that wait for it to rise.
#[derive(Debug)]
pub(crate) struct DurableWatermark {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Everything before it is durable.
    durable: Offset,
    failure: Option<Error>,
    next_waiter: u64,
    /// By the offset that must be durable, then by age.
    waiters: BTreeMap<(Offset, u64), oneshot::Sender<Result<()>>>,
}

impl DurableWatermark {
    pub(crate) fn new(durable: Offset) -> Arc<Self> {
        let state = State { durable, failure: None, next_waiter: 0, waiters: BTreeMap::new() };
        Arc::new(DurableWatermark { state: Mutex::new(state) })
    }

    /// Everything before `durable` is on disk: wakes the waiters for it, the lowest offset first.
    pub(crate) fn advance(&self, durable: Offset) {
        let mut state = self.state.lock();
        if state.failure.is_some() {
            return;
        }
        state.durable = state.durable.max(durable);
        let first_waiting = (state.durable + 1, 0);
        let waiting = state.waiters.split_off(&first_waiting);
        let done = std::mem::replace(&mut state.waiters, waiting);
        drop(state);
        for waiter in done.into_values() {
            // A waiter that gave up needs no answer.
            let _ = waiter.send(Ok(()));
        }
    }

    /// Nothing more will become durable: fails all present and later waiters.
    pub(crate) fn fail(&self, error: &Error) {
        let mut state = self.state.lock();
        state.failure.get_or_insert_with(|| error.clone());
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        for waiter in waiters.into_values() {
            let _ = waiter.send(Err(error.clone()));
        }
    }

    /// Starts again at a lower offset, after a truncation.
    pub(crate) fn reset(&self, durable: Offset) {
        self.state.lock().durable = durable;
    }

    /// An answer now, or a channel which will bring it.
    fn wait(&self, offset: Offset) -> Result<Option<oneshot::Receiver<Result<()>>>> {
        let mut state = self.state.lock();
        if state.durable >= offset {
            return Ok(None);
        }
        if let Some(error) = &state.failure {
            return Err(error.clone());
        }
        let (sender, receiver) = oneshot::channel();
        let waiter = state.next_waiter;
        state.next_waiter += 1;
        state.waiters.insert((offset, waiter), sender);
        Ok(Some(receiver))
    }
}

const ALWAYS_ANSWERED: &str = "the ticket holds the watermark, which answers every waiter it lets go";

/// A claim on the durability of an append. Cheap; waiting is optional.
#[derive(Clone)]
pub struct FlushTicket {
    /// `None` if the log does not wait for the disk.
    watermark: Option<Arc<DurableWatermark>>,
    /// The offset after the append.
    offset: Offset,
}

impl FlushTicket {
    pub(crate) fn new(watermark: Option<Arc<DurableWatermark>>, offset: Offset) -> Self {
        FlushTicket { watermark, offset }
    }

    /// The offset after the append.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// Whether the append is durable already.
    pub fn is_done(&self) -> bool {
        self.watermark.as_ref().is_none_or(|watermark| watermark.state.lock().durable >= self.offset)
    }

    /// Waits until the append is durable, or at once if the log is relaxed about it.
    ///
    /// # Errors
    /// The write or fsync error; the append must not be acknowledged then.
    pub async fn wait(&self) -> Result<()> {
        match self.receiver()? {
            None => Ok(()),
            Some(receiver) => receiver.await.expect(ALWAYS_ANSWERED),
        }
    }

    /// As [`FlushTicket::wait`], blocking the thread.
    ///
    /// # Panics
    /// On a tokio worker thread.
    ///
    /// # Errors
    /// As [`FlushTicket::wait`].
    pub fn wait_blocking(&self) -> Result<()> {
        match self.receiver()? {
            None => Ok(()),
            Some(receiver) => receiver.blocking_recv().expect(ALWAYS_ANSWERED),
        }
    }

    fn receiver(&self) -> Result<Option<oneshot::Receiver<Result<()>>>> {
        self.watermark.as_ref().map_or(Ok(None), |watermark| watermark.wait(self.offset))
    }
}

impl fmt::Debug for FlushTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlushTicket").field("offset", &self.offset).field("done", &self.is_done()).finish()
    }
}
