//! A thread that looks at the workers: steps that do not return are reported, queries of a thread that has ended are in ERROR.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use weir_broker::env::clock::Clock;
use weir_broker::env::spawn;

use crate::error::query::{Result, RuntimeError};
use crate::query::handle::QueryRegistry;
use crate::runtime::pool::{WorkerPool, thread_name};

const INTERVAL: Duration = Duration::from_millis(500);
const NAME: &str = "weir-watchdog";

/// The thread. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(super) fn start(
        workers: Weak<WorkerPool>,
        queries: Weak<QueryRegistry>,
        clock: Arc<dyn Clock>,
    ) -> Result<Watchdog> {
        let (stop, stopped) = crossbeam_channel::bounded(0);
        let watch = move || run(&workers, &queries, clock.as_ref(), &stopped);
        let thread = spawn::thread(NAME, watch)
            .map_err(|source| RuntimeError::Thread { name: NAME.to_owned(), source })?;
        Ok(Watchdog { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It catches its panics.
            let _ = thread.join();
        }
    }
}

fn run(workers: &Weak<WorkerPool>, queries: &Weak<QueryRegistry>, clock: &dyn Clock, stopped: &Receiver<()>) {
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(INTERVAL) {
        let (Some(workers), Some(queries)) = (workers.upgrade(), queries.upgrade()) else { return };
        // To report may panic; the next look finds the same.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            fail_queries_of_dead_workers(&workers, &queries, clock);
            report_overdue_steps(&workers);
        }));
    }
}

fn report_overdue_steps(workers: &WorkerPool) {
    for stuck in workers.newly_overdue() {
        let query_id = &stuck.step.query.query_id;
        tracing::error!(%query_id, worker = stuck.worker, "task does not return from a step");
    }
}

/// Nothing of a query runs on a thread that has ended.
pub(super) fn fail_queries_of_dead_workers(workers: &WorkerPool, queries: &QueryRegistry, clock: &dyn Clock) {
    for worker in workers.dead() {
        for query in queries.read().values().filter(|q| q.has_tasks(worker) && !q.is_failed()) {
            let (name, message) = (thread_name(worker), "the thread has ended".to_owned());
            query.fail(&RuntimeError::LoopPanicked { name, message }, clock.now_ms(), true);
        }
    }
}
