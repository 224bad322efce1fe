//! Health of the engine's threads: panics, restarts, and steps that do not return.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::query::handle::QueryHandle;

/// A panic of a worker thread or of a loop beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadPanic {
    /// Name of the thread or loop.
    pub thread: String,
    pub message: String,
    /// Units: ms since epoch.
    pub at_ms: i64,
}

/// A step of a task that has run for longer than `task_step_max_ms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverdueStep {
    pub worker: usize,
    pub query_id: String,
    pub running_for: Duration,
}

/// The engine's threads at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineHealth {
    pub workers: usize,
    /// Worker threads that have ended although the engine runs. Their queries are in ERROR.
    pub dead_threads: Vec<String>,
    /// Worker loops started again after a panic.
    pub thread_restarts: u64,
    /// Panics caught in workers, in tasks of queries and in the loops beside them.
    pub panics: u64,
    pub last_panic: Option<ThreadPanic>,
    pub overdue_steps: Vec<OverdueStep>,
    /// Steps that have ever been overdue.
    pub overdue_steps_total: u64,
    /// Threads that did not return from a step and were replaced.
    pub abandoned_threads: u64,
}

impl EngineHealth {
    /// Errors: what keeps queries from running now. Past panics are no reason.
    pub fn check(&self) -> Result<(), String> {
        let dead = self.dead_threads.iter().map(|thread| format!("thread {thread} has ended"));
        let overdue = self.overdue_steps.iter().map(|step| {
            let seconds = step.running_for.as_secs();
            format!("a task of query {} has not returned for {seconds} s", step.query_id)
        });
        let mut causes: Vec<String> = dead.chain(overdue).collect();
        if let (false, Some(panic)) = (self.dead_threads.is_empty(), &self.last_panic) {
            causes.push(format!("last panic in {}: {}", panic.thread, panic.message));
        }
        if causes.is_empty() { Ok(()) } else { Err(causes.join("; ")) }
    }
}

/// Counts what happens to threads. Threads: any.
#[derive(Debug, Default)]
pub(crate) struct HealthRecorder {
    panics: AtomicU64,
    thread_restarts: AtomicU64,
    overdue_steps: AtomicU64,
    abandoned_threads: AtomicU64,
    last_panic: Mutex<Option<ThreadPanic>>,
}

impl HealthRecorder {
    pub(crate) fn panicked(&self, thread: &str, message: &str, at_ms: i64) {
        self.panics.fetch_add(1, Ordering::Relaxed);
        let panic = ThreadPanic { thread: thread.to_owned(), message: message.to_owned(), at_ms };
        *self.last_panic.lock() = Some(panic);
    }

    pub(crate) fn restarted(&self) {
        self.thread_restarts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn step_overdue(&self) {
        self.overdue_steps.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn abandoned(&self) {
        self.abandoned_threads.fetch_add(1, Ordering::Relaxed);
    }

    /// The counters; threads and steps are the caller's to fill in.
    pub(crate) fn snapshot(&self) -> EngineHealth {
        EngineHealth {
            thread_restarts: self.thread_restarts.load(Ordering::Relaxed),
            panics: self.panics.load(Ordering::Relaxed),
            last_panic: self.last_panic.lock().clone(),
            overdue_steps_total: self.overdue_steps.load(Ordering::Relaxed),
            abandoned_threads: self.abandoned_threads.load(Ordering::Relaxed),
            ..EngineHealth::default()
        }
    }
}

/// The step that a worker is in. Threads: written by the worker, read by the watchdog and by stops.
#[derive(Debug, Default)]
pub(crate) struct StepClock {
    step: Mutex<Option<RunningStep>>,
}

/// One turn of the tasks of a query.
#[derive(Clone, Debug)]
pub(crate) struct RunningStep {
    pub(crate) query: Arc<QueryHandle>,
    /// Monotonic time.
    pub(crate) since: Duration,
    /// It was reported already.
    pub(crate) reported: bool,
}

impl StepClock {
    pub(crate) fn begin(&self, query: &Arc<QueryHandle>, since: Duration) {
        *self.step.lock() = Some(RunningStep { query: query.clone(), since, reported: false });
    }

    pub(crate) fn end(&self) {
        *self.step.lock() = None;
    }

    /// The running step, if it began at least `age` ago.
    pub(crate) fn older_than(&self, age: Duration, now: Duration) -> Option<RunningStep> {
        self.step.lock().clone().filter(|step| now.saturating_sub(step.since) >= age)
    }

    /// As [`StepClock::older_than`], once per step.
    pub(crate) fn report_older_than(&self, age: Duration, now: Duration) -> Option<RunningStep> {
        let mut step = self.step.lock();
        let overdue = step.as_mut().filter(|s| !s.reported && now.saturating_sub(s.since) >= age)?;
        overdue.reported = true;
        Some(overdue.clone())
    }
}

/// The text of a caught panic.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_threads_make_the_engine_unhealthy_and_past_panics_do_not() {
        let recorder = HealthRecorder::default();
        recorder.panicked("weir-worker-0", "boom", 7);
        recorder.restarted();
        let mut health = recorder.snapshot();
        assert_eq!((health.thread_restarts, health.panics), (1, 1));
        assert_eq!(health.check(), Ok(()));
        health.dead_threads.push("weir-worker-0".to_owned());
        let cause = health.check().expect_err("a thread is gone");
        assert!(cause.contains("weir-worker-0 has ended") && cause.contains("boom"), "{cause}");
    }
}
