//! Group commit: one round of fsyncs makes the appends of many partitions durable.
//!
//! A round takes every log that has unsynced bytes and syncs their files in parallel. While it runs, appends gather
//! for the next. If appends come one at a time, a round starts at once; if the last round served several, the next
//! waits until as many are there again, for at most [`FlusherConfig::window`] or [`FlusherConfig::bytes_max`].

use std::fmt::Debug;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use parking_lot::{Condvar, Mutex};

use crate::env::clock::Clock;
use crate::env::spawn;
use crate::error::{Error, Result};

/// Settings of the rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlusherConfig {
    /// Longest time an append waits for company.
    pub window: Duration,
    /// A round starts at once when this many bytes wait.
    pub bytes_max: u64,
    /// Files synced at a time.
    pub threads: usize,
    /// Whether requests wait for the rounds.
    pub pace: FlushPace,
}

/// When a round starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushPace {
    /// As soon as waiting longer would bring little: requests wait for the round.
    Eager,
    /// After the window: no request waits, the round only bounds the loss at a power cut.
    Lazy,
}

impl FlusherConfig {
    /// Fsync before the acknowledgement.
    pub const FSYNC: FlusherConfig = FlusherConfig {
        window: Duration::from_millis(2),
        bytes_max: 1 << 20,
        threads: 8,
        pace: FlushPace::Eager,
    };
    /// Fsync within a second.
    pub const RELAXED: FlusherConfig = FlusherConfig {
        window: Duration::from_secs(1),
        bytes_max: u64::MAX,
        threads: 2,
        pace: FlushPace::Lazy,
    };
}

/// A log, as the flusher sees it.
pub(crate) trait Flush: Debug + Send + Sync {
    /// Makes everything appended so far durable and answers the waiters, also in case of failure.
    fn flush(&self);
}

/// Runs the rounds. Threads: any may queue; one thread leads, a few help.
#[derive(Debug)]
pub(crate) struct Flusher {
    shared: Arc<Shared>,
    leader: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    config: FlusherConfig,
    clock: Arc<dyn Clock>,
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    logs: Vec<Arc<dyn Flush>>,
    bytes: u64,
    appends: usize,
    /// When the oldest append of the round came, on the monotonic clock.
    since: Option<Duration>,
    /// Appends of the last round: as many are expected for the next.
    appends_expected: usize,
    stopping: bool,
}

impl Flusher {
    /// A flusher without a thread: rounds run when [`Flusher::run_round`] is called.
    pub(crate) fn manual(config: FlusherConfig, clock: Arc<dyn Clock>) -> Self {
        let shared = Shared { config, clock, queue: Mutex::default(), wake: Condvar::new() };
        Flusher { shared: Arc::new(shared), leader: Mutex::new(None) }
    }

    /// A flusher with a thread of its own.
    ///
    /// # Errors
    /// [`Error::Io`] if no thread can be started.
    pub(crate) fn start(config: FlusherConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        let flusher = Flusher::manual(config, clock);
        let shared = Arc::clone(&flusher.shared);
        let leader = spawn::thread("log-flush", move || lead(&shared));
        let leader = leader.map_err(|error| Error::io("start the thread", "log-flush".as_ref(), error))?;
        *flusher.leader.lock() = Some(leader);
        Ok(flusher)
    }

    /// Registers an append of `bytes` bytes. `log` is given with the first append after a flush.
    pub(crate) fn queue(&self, log: Option<Arc<dyn Flush>>, bytes: u64) {
        let mut queue = self.shared.queue.lock();
        let first = queue.since.is_none();
        if first {
            queue.since = Some(self.shared.clock.monotonic());
        }
        queue.logs.extend(log);
        queue.bytes += bytes;
        queue.appends += 1;
        let ready = queue.is_ready(&self.shared.config);
        drop(queue);
        if first || ready {
            self.shared.wake.notify_one();
        }
    }

    /// Flushes everything queued, on the calling thread.
    pub(crate) fn run_round(&self) {
        let logs = self.shared.queue.lock().take();
        logs.iter().for_each(|log| log.flush());
    }

    /// Ends the thread after a last round.
    pub(crate) fn stop(&self) {
        self.shared.queue.lock().stopping = true;
        self.shared.wake.notify_one();
        if let Some(leader) = self.leader.lock().take() {
            let _ = leader.join();
        }
        self.run_round();
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        // This may run on one of the flusher's own threads, which drops the last log: joining it would deadlock.
        self.shared.queue.lock().stopping = true;
        self.shared.wake.notify_one();
    }
}

impl Queue {
    /// Whether a round should start before the window has passed.
    fn is_ready(&self, config: &FlusherConfig) -> bool {
        let company = match config.pace {
            FlushPace::Eager => self.appends >= self.appends_expected,
            FlushPace::Lazy => false,
        };
        company || self.bytes >= config.bytes_max || self.stopping
    }

    fn take(&mut self) -> Vec<Arc<dyn Flush>> {
        self.bytes = 0;
        self.since = None;
        self.appends_expected = std::mem::take(&mut self.appends);
        std::mem::take(&mut self.logs)
    }
}

/// The loop of the leading thread.
fn lead(shared: &Arc<Shared>) {
    let mut helpers = Helpers::new(shared.config.threads);
    while let Some(logs) = next_round(shared) {
        helpers.flush_all(logs);
    }
}

/// Waits for the next round; `None` at the end.
fn next_round(shared: &Shared) -> Option<Vec<Arc<dyn Flush>>> {
    let window = shared.config.window;
    let mut queue = shared.queue.lock();
    loop {
        let Some(since) = queue.since else {
            if queue.stopping {
                return None;
            }
            shared.wake.wait(&mut queue);
            continue;
        };
        let waited = shared.clock.monotonic().saturating_sub(since);
        if waited >= window || queue.is_ready(&shared.config) {
            return Some(queue.take());
        }
        shared.wake.wait_for(&mut queue, window - waited);
    }
}

/// Threads which sync files next to the leader; they start when there is something to do.
struct Helpers {
    threads_max: usize,
    threads: Vec<JoinHandle<()>>,
    jobs: Sender<Arc<dyn Flush>>,
    jobs_taken: Receiver<Arc<dyn Flush>>,
    done: Receiver<()>,
    report: Sender<()>,
}

impl Helpers {
    fn new(threads: usize) -> Self {
        let (jobs, jobs_taken) = crossbeam_channel::unbounded();
        let (report, done) = crossbeam_channel::unbounded();
        Helpers {
            threads_max: threads.saturating_sub(1),
            threads: Vec::new(),
            jobs,
            jobs_taken,
            done,
            report,
        }
    }

    fn flush_all(&mut self, mut logs: Vec<Arc<dyn Flush>>) {
        let Some(own) = logs.pop() else { return };
        self.hire(logs.len());
        if self.threads.is_empty() {
            logs.iter().for_each(|log| log.flush());
            own.flush();
            return;
        }
        let mut left = logs.len();
        for log in logs {
            self.jobs.send(log).expect("the receiver is ours");
        }
        own.flush();
        // The leader helps; what it takes is not reported.
        while let Ok(log) = self.jobs_taken.try_recv() {
            log.flush();
            left -= 1;
        }
        for _ in 0..left {
            self.done.recv().expect("the sender is ours");
        }
    }

    fn hire(&mut self, wanted: usize) {
        while self.threads.len() < wanted.min(self.threads_max) {
            let (jobs, report) = (self.jobs_taken.clone(), self.report.clone());
            let work = move || {
                for log in jobs {
                    log.flush();
                    if report.send(()).is_err() {
                        return;
                    }
                }
            };
            match spawn::thread(format!("log-flush-{}", self.threads.len()), work) {
                Ok(thread) => self.threads.push(thread),
                Err(error) => {
                    tracing::warn!(%error, "flushing with fewer threads");
                    self.threads_max = self.threads.len();
                }
            }
        }
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        // Dropping the only sender ends the helpers' loops.
        drop(std::mem::replace(&mut self.jobs, crossbeam_channel::bounded(0).0));
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
