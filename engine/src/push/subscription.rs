//! The rows of one transient query on their way to its client.
//!
//! The queue between worker and client is bounded in batches and in bytes. Policy when full: the query waits for its client; others do not.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam_channel::Sender;
use tokio::sync::mpsc;
use weir_sql::plan::physical::ResultKind;
use weir_sql::schema::LogicalSchema;

use crate::batch::RowBatch;
use crate::query::handle::QueryHandle;
use crate::query::status::QueryStatus;
use crate::runtime::messages::WorkerMessage;

/// Rows that a client is given at a time. Shape: as [`PushSubscription::schema`]; rows of a table that are gone are
/// [absent](RowBatch::is_absent).
pub type PushRows = RowBatch;

/// Bytes that wait for a client, unless one batch alone has more.
const QUEUE_BYTES_MAX: usize = 32 << 20;

/// Rows, and the bytes that they count for.
type Queued = (PushRows, usize);

/// The worker's end.
#[derive(Debug)]
pub(crate) struct PushSender {
    rows: mpsc::Sender<Queued>,
    queued_bytes: Arc<AtomicUsize>,
    /// The worker found the queue full and wants to be woken.
    waiting: Arc<AtomicBool>,
}

/// What became of rows that were offered. Rows move through it, they are not kept.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub(crate) enum Offered {
    Taken,
    /// No room; the worker will be woken when there is.
    Full(PushRows),
    /// The client is gone.
    Closed,
}

impl PushSender {
    pub(crate) fn offer(&self, rows: PushRows) -> Offered {
        let bytes = rows.bytes();
        match self.try_offer((rows, bytes)) {
            Offered::Full(rows) => {
                self.waiting.store(true, Ordering::SeqCst);
                // The client may have made room just before it could see that the worker waits.
                self.try_offer((rows, bytes))
            }
            offered => offered,
        }
    }

    fn try_offer(&self, (rows, bytes): Queued) -> Offered {
        let queued = self.queued_bytes.load(Ordering::SeqCst);
        if queued > 0 && queued.saturating_add(bytes) > QUEUE_BYTES_MAX {
            return if self.is_closed() { Offered::Closed } else { Offered::Full(rows) };
        }
        self.queued_bytes.fetch_add(bytes, Ordering::SeqCst);
        let refused = match self.rows.try_send((rows, bytes)) {
            Ok(()) => return Offered::Taken,
            Err(mpsc::error::TrySendError::Closed(_)) => Offered::Closed,
            Err(mpsc::error::TrySendError::Full((rows, _))) => Offered::Full(rows),
        };
        self.queued_bytes.fetch_sub(bytes, Ordering::SeqCst);
        refused
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.rows.is_closed()
    }
}

/// A running push query. Dropping it ends the query.
pub struct PushSubscription {
    query: Arc<QueryHandle>,
    rows: mpsc::Receiver<Queued>,
    queued_bytes: Arc<AtomicUsize>,
    waiting: Arc<AtomicBool>,
    worker: Sender<WorkerMessage>,
    schema: LogicalSchema,
    kind: ResultKind,
    /// Rows still to be given.
    left: u64,
}

impl fmt::Debug for PushSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushSubscription").field("query", &self.query).finish_non_exhaustive()
    }
}

/// Both ends of a queue of `batches`.
pub(crate) fn channel(batches: usize) -> (PushSender, PushReceiver) {
    let (sender, rows) = mpsc::channel(batches.max(1));
    let (queued_bytes, waiting) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let sender = PushSender { rows: sender, queued_bytes: queued_bytes.clone(), waiting: waiting.clone() };
    (sender, PushReceiver { rows, queued_bytes, waiting })
}

/// The client's end, before the query is started.
#[derive(Debug)]
pub(crate) struct PushReceiver {
    rows: mpsc::Receiver<Queued>,
    queued_bytes: Arc<AtomicUsize>,
    waiting: Arc<AtomicBool>,
}

impl PushSubscription {
    pub(crate) fn new(
        query: Arc<QueryHandle>,
        receiver: PushReceiver,
        worker: Sender<WorkerMessage>,
        limit: Option<u64>,
    ) -> PushSubscription {
        PushSubscription {
            schema: query.plan.root.schema().clone(),
            kind: query.plan.root.kind(),
            query,
            rows: receiver.rows,
            queued_bytes: receiver.queued_bytes,
            waiting: receiver.waiting,
            worker,
            left: limit.unwrap_or(u64::MAX),
        }
    }

    pub fn query_id(&self) -> &str {
        &self.query.query_id
    }

    /// Columns of the rows: key columns, then value columns.
    pub fn schema(&self) -> &LogicalSchema {
        &self.schema
    }

    /// True if every row has a window.
    pub fn is_windowed(&self) -> bool {
        self.query.plan.root.window().is_some()
    }

    pub fn kind(&self) -> ResultKind {
        self.kind
    }

    pub fn status(&self) -> QueryStatus {
        self.query.status()
    }

    /// The next rows. None: the query has ended, by its limit, at the end of what it was to read, or with the error that
    /// [`PushSubscription::failure`] then gives.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<PushRows> {
        if self.left == 0 {
            self.rows.close();
            return None;
        }
        let (rows, bytes) = self.rows.recv().await?;
        self.queued_bytes.fetch_sub(bytes, Ordering::SeqCst);
        if self.waiting.swap(false, Ordering::SeqCst) {
            let _ = self.worker.send(WorkerMessage::Wake);
        }
        let taken = rows.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= taken as u64;
        Some(if taken == rows.len() { rows } else { rows.slice(0, taken) })
    }

    /// Why the query ended, if it failed.
    pub fn failure(&self) -> Option<String> {
        if !self.query.is_failed() {
            return None;
        }
        self.query.status().errors.pop().map(|e| e.message)
    }
}

impl Drop for PushSubscription {
    fn drop(&mut self) {
        self.rows.close();
        self.query.interrupt();
        let (done, _) = mpsc::channel(1);
        let _ = self.worker.send(WorkerMessage::Stop { query_id: self.query.query_id.clone(), done });
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, StringArray};

    use super::*;

    fn rows(bytes: usize) -> PushRows {
        let text: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(bytes)]));
        RowBatch::new(Vec::new(), vec![text], vec![0].into())
    }

    #[test]
    fn rows_that_wait_for_a_client_are_bounded_in_bytes() {
        let (sender, mut receiver) = channel(64);
        for _ in 0..3 {
            assert!(matches!(sender.offer(rows(10 << 20)), Offered::Taken));
        }
        assert!(matches!(sender.offer(rows(10 << 20)), Offered::Full(_)));
        assert!(receiver.waiting.load(Ordering::SeqCst), "the client wakes the worker");
        for _ in 0..3 {
            let (_, bytes) = receiver.rows.try_recv().expect("rows wait");
            receiver.queued_bytes.fetch_sub(bytes, Ordering::SeqCst);
        }
        assert!(matches!(sender.offer(rows(50 << 20)), Offered::Taken), "alone it is taken");
        assert!(matches!(sender.offer(rows(1)), Offered::Full(_)));
        receiver.rows.close();
        assert!(matches!(sender.offer(rows(1)), Offered::Closed));
    }
}
