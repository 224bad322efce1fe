//! ksqlDB's processing log: failing rows as records of a topic, over which a stream is declared.
//!
//! Workers hand their reports to a bounded queue and go on; a loop on the async threads writes them in batches. Policy when
//! the queue is full, or when more come in a second than are wanted: the report is dropped and counted.

pub mod entry;
pub mod stream;
pub mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use weir_broker::env::clock::Clock;
use weir_engine::processing_log::{ProcessingError, ProcessingLog};

use crate::config::ProcessingLogConfig;

/// Reports that wait for the writer.
const QUEUE_REPORTS_MAX: usize = 8_192;

/// A failing row on its way to the topic.
#[derive(Debug)]
pub struct Report {
    pub logger: String,
    /// Units: ms since epoch.
    pub at_ms: i64,
    pub error: ProcessingError,
}

/// How many reports there were. Only ever rise.
#[derive(Debug, Default)]
pub struct ReportCounters {
    pub reported: AtomicU64,
    pub written: AtomicU64,
    /// Came too fast, found the queue full, or could not be written.
    pub dropped: AtomicU64,
}

/// Takes reports from workers.
#[derive(Debug)]
pub struct QueuedLog {
    /// None: reports are counted and traced only.
    queue: Option<mpsc::Sender<Report>>,
    clock: Arc<dyn Clock>,
    per_second_max: u32,
    /// The second that is running, and the reports taken in it, in the lower 32 bits.
    window: AtomicU64,
    counters: Arc<ReportCounters>,
}

/// What the writer takes from the queue.
#[derive(Debug)]
pub struct ReportQueue {
    pub reports: mpsc::Receiver<Report>,
    pub counters: Arc<ReportCounters>,
}

impl QueuedLog {
    /// The log, and the queue that it fills if a topic is wanted.
    pub fn new(config: &ProcessingLogConfig, clock: Arc<dyn Clock>) -> (QueuedLog, Option<ReportQueue>) {
        let counters = Arc::new(ReportCounters::default());
        let (sender, queue) = if config.topic_auto_create {
            let (sender, reports) = mpsc::channel(QUEUE_REPORTS_MAX);
            (Some(sender), Some(ReportQueue { reports, counters: Arc::clone(&counters) }))
        } else {
            (None, None)
        };
        let per_second_max = config.entries_per_second_max;
        let log = QueuedLog { queue: sender, clock, per_second_max, window: AtomicU64::new(0), counters };
        (log, queue)
    }

    pub fn counters(&self) -> &ReportCounters {
        &self.counters
    }

    /// True if the second that `now_ms` is in has room for one more. Two threads may both find a new second, which then has
    /// room for one report more.
    fn admit(&self, now_ms: i64) -> bool {
        let second = (now_ms / 1_000).unsigned_abs() << 32;
        let taken = self.window.fetch_add(1, Ordering::Relaxed);
        if taken & (u64::from(u32::MAX) << 32) == second {
            return (taken & u64::from(u32::MAX)) < u64::from(self.per_second_max);
        }
        self.window.store(second | 1, Ordering::Relaxed);
        self.per_second_max > 0
    }
}

impl ProcessingLog for QueuedLog {
    fn report(&self, logger: &str, error: ProcessingError) {
        self.counters.reported.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(logger, error = entry::error_message(&error), "row failed");
        let Some(queue) = &self.queue else { return };
        let at_ms = self.clock.now_ms();
        let taken = self.admit(at_ms)
            && queue.try_send(Report { logger: format!("processing.{logger}"), at_ms, error }).is_ok();
        if !taken {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_broker::env::clock::SystemClock;

    use super::*;

    fn log(entries_per_second_max: u32) -> (QueuedLog, ReportQueue) {
        let config = ProcessingLogConfig { entries_per_second_max, ..ProcessingLogConfig::new("default_") };
        let (log, queue) = QueuedLog::new(&config, Arc::new(SystemClock::new()));
        (log, queue.expect("the topic is on by default"))
    }

    fn failure() -> ProcessingError {
        ProcessingError::RecordProcessing { message: "division by zero".to_owned(), origin: None }
    }

    #[test]
    fn a_second_takes_so_many_reports_and_the_next_as_many() {
        let (log, _queue) = log(2);
        let taken: Vec<bool> = [5_000, 5_100, 5_999, 6_000, 6_001, 6_002].map(|at| log.admit(at)).into();
        assert_eq!(taken, [true, true, false, true, true, false]);
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let (log, mut queue) = log(u32::MAX);
        for _ in 0..QUEUE_REPORTS_MAX + 3 {
            log.report("Q.step", failure());
        }
        assert_eq!(log.counters().dropped.load(Ordering::Relaxed), 3);
        assert_eq!(log.counters().reported.load(Ordering::Relaxed), QUEUE_REPORTS_MAX as u64 + 3);
        let first = queue.reports.try_recv().expect("a report");
        assert_eq!(first.logger, "processing.Q.step");
    }
}
