//! Loops beside a worker, whose panics are reported to it: a query whose loop is gone must not wait for its answer.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use crossbeam_channel::Sender;
use futures::FutureExt;

use crate::runtime::health::panic_message;
use crate::runtime::messages::{AttemptId, WorkerMessage};

/// The part of a worker that waits for a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// The tasks of a query, in this attempt.
    Attempt(AttemptId),
    /// The fetcher, for this request.
    Fetch(u64),
}

/// Runs `work`; if it panics, the worker gets [`WorkerMessage::LoopPanicked`].
pub(crate) async fn supervised(
    name: &'static str,
    waiting: Waiting,
    inbox: Sender<WorkerMessage>,
    work: impl Future<Output = ()>,
) {
    if let Err(panic) = AssertUnwindSafe(work).catch_unwind().await {
        let message = panic_message(panic.as_ref());
        // Fails only if the worker is gone.
        let _ = inbox.send(WorkerMessage::LoopPanicked { name, waiting, message });
    }
}
