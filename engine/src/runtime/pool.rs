//! The worker threads of an engine: started, watched, and replaced when one does not return from a step.
//!
//! A thread that computes cannot be ended from outside. A replaced thread is abandoned: it drops what it owns as soon as its step
//! returns, and its transactions are fenced by those of its successor.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::Sender;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use weir_broker::client::transport::Transport;
use weir_broker::env::clock::Clock;
use weir_broker::env::spawn;

use crate::config::EngineConfig;
use crate::error::query::{Result, RuntimeError};
use crate::runtime::context::WorkerContext;
use crate::runtime::health::{EngineHealth, HealthRecorder, OverdueStep, RunningStep, StepClock};
use crate::runtime::messages::WorkerMessage;
use crate::runtime::storage::StateStorage;
use crate::runtime::worker::Worker;

/// How often threads are looked at while one is being waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The world around the workers.
#[derive(Clone)]
pub(crate) struct WorkerIo {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) fetch_transport: Arc<dyn Transport>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) runtime: Handle,
    pub(crate) storage: Arc<dyn StateStorage>,
}

#[derive(Debug)]
struct WorkerThread {
    inbox: Sender<WorkerMessage>,
    thread: JoinHandle<()>,
    step: Arc<StepClock>,
    abandoned: Arc<AtomicBool>,
}

/// A step that does not return.
#[derive(Debug)]
pub(crate) struct StuckWorker {
    pub(crate) worker: usize,
    pub(crate) step: RunningStep,
}

pub(crate) struct WorkerPool {
    config: Arc<EngineConfig>,
    io: WorkerIo,
    health: Arc<HealthRecorder>,
    workers: Mutex<Vec<WorkerThread>>,
}

impl fmt::Debug for WorkerPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerPool").field("workers", &self.workers).finish_non_exhaustive()
    }
}

impl WorkerPool {
    pub(crate) fn start(config: Arc<EngineConfig>, io: WorkerIo, count: usize) -> Result<WorkerPool> {
        let pool = WorkerPool { config, io, health: Arc::default(), workers: Mutex::default() };
        let started = (0..count).map(|worker| pool.spawn(worker)).collect::<Result<_>>()?;
        *pool.workers.lock() = started;
        Ok(pool)
    }

    fn spawn(&self, worker: usize) -> Result<WorkerThread> {
        let (inbox, messages) = crossbeam_channel::unbounded();
        let (step, abandoned) = (Arc::<StepClock>::default(), Arc::<AtomicBool>::default());
        let context = WorkerContext {
            config: self.config.clone(),
            worker,
            transport: self.io.transport.clone(),
            runtime: self.io.runtime.clone(),
            inbox: inbox.clone(),
            clock: self.io.clock.clone(),
            storage: self.io.storage.clone(),
            health: self.health.clone(),
            step: step.clone(),
            abandoned: abandoned.clone(),
        };
        let runner = Worker::new(context, messages, self.io.fetch_transport.clone());
        let name = thread_name(worker);
        let thread = spawn::thread(name.clone(), move || runner.run())
            .map_err(|source| RuntimeError::Thread { name, source })?;
        Ok(WorkerThread { inbox, thread, step, abandoned })
    }

    pub(crate) fn inboxes(&self) -> Vec<Sender<WorkerMessage>> {
        self.workers.lock().iter().map(|w| w.inbox.clone()).collect()
    }

    /// Wakes every worker; a thread that has ended is left out.
    pub(crate) fn wake(&self) {
        for inbox in self.inboxes() {
            let _ = inbox.send(WorkerMessage::Wake);
        }
    }

    /// True if a worker is another than the one with this inbox.
    pub(crate) fn is_replaced(&self, worker: usize, inbox: &Sender<WorkerMessage>) -> bool {
        self.workers.lock().get(worker).is_none_or(|w| !w.inbox.same_channel(inbox))
    }

    /// The step of a worker, if it has run for at least `age`.
    pub(crate) fn stuck(&self, worker: usize, age: Duration) -> Option<StuckWorker> {
        let now = self.io.clock.monotonic();
        let workers = self.workers.lock();
        let step = workers.get(worker)?.step.older_than(age, now)?;
        Some(StuckWorker { worker, step })
    }

    /// Steps that have run for longer than allowed and were not reported yet.
    pub(crate) fn newly_overdue(&self) -> Vec<StuckWorker> {
        let (now, age) = (self.io.clock.monotonic(), Duration::from_millis(self.config.task_step_max_ms));
        let workers = self.workers.lock();
        let overdue = workers.iter().enumerate().filter_map(|(worker, thread)| {
            let step = thread.step.report_older_than(age, now)?;
            self.health.step_overdue();
            Some(StuckWorker { worker, step })
        });
        overdue.collect()
    }

    /// Puts a new thread in the place of one that does not return. The new one has no queries yet. False if the step has
    /// ended meanwhile, so that the thread goes on.
    pub(crate) fn replace(&self, stuck: &StuckWorker) -> Result<bool> {
        let mut workers = self.workers.lock();
        let Some(old) = workers.get_mut(stuck.worker) else { return Ok(false) };
        let same = |step: RunningStep| step.since == stuck.step.since;
        if !old.step.older_than(Duration::ZERO, self.io.clock.monotonic()).is_some_and(same) {
            return Ok(false);
        }
        let new = self.spawn(stuck.worker)?;
        old.abandoned.store(true, Ordering::Release);
        self.health.abandoned();
        *old = new;
        Ok(true)
    }

    /// Workers whose threads have ended although nothing ended them.
    pub(crate) fn dead(&self) -> Vec<usize> {
        let workers = self.workers.lock();
        workers.iter().enumerate().filter(|(_, w)| w.thread.is_finished()).map(|(at, _)| at).collect()
    }

    pub(crate) fn health(&self) -> EngineHealth {
        let (now, age) = (self.io.clock.monotonic(), Duration::from_millis(self.config.task_step_max_ms));
        let workers = self.workers.lock();
        let mut health = self.health.snapshot();
        health.workers = workers.len();
        for (worker, thread) in workers.iter().enumerate() {
            if thread.thread.is_finished() {
                health.dead_threads.push(thread_name(worker));
            }
            if let Some(step) = thread.step.older_than(age, now) {
                let query_id = step.query.query_id.clone();
                let running_for = now.saturating_sub(step.since);
                health.overdue_steps.push(OverdueStep { worker, query_id, running_for });
            }
        }
        health
    }

    /// Ends all workers and waits for them. Threads that are still in a step after `patience` are left behind: the end of the
    /// process ends them.
    pub(crate) fn end(&self, patience: Duration) {
        let workers = std::mem::take(&mut *self.workers.lock());
        for worker in &workers {
            let _ = worker.inbox.send(WorkerMessage::ShutDown);
        }
        let deadline = self.io.clock.monotonic() + patience;
        let tick = crossbeam_channel::tick(POLL_INTERVAL);
        for (at, worker) in workers.into_iter().enumerate() {
            while !worker.thread.is_finished() && self.io.clock.monotonic() < deadline {
                let _ = tick.recv();
            }
            if !worker.thread.is_finished() {
                worker.abandoned.store(true, Ordering::Release);
                tracing::error!(worker = at, "worker does not return from a step, leaving it behind");
            } else if worker.thread.join().is_err() {
                tracing::error!(worker = at, "worker panicked");
            }
        }
    }
}

pub(crate) fn thread_name(worker: usize) -> String {
    format!("weir-worker-{worker}")
}
