//! Where failing rows are reported.

pub mod origin;

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use weir_sql::expr::compile::ErrorReporter;

use crate::batch::RowBatch;
use crate::metrics::QueryMetrics;
use crate::processing_log::origin::RecordOrigin;

/// What happened to a row. Source: the `TYPE` field of the processing log, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessingError {
    /// A record could not be read; it is skipped.
    Deserialization { origin: RecordOrigin, is_key: bool, message: String, record: Option<Vec<u8>> },
    /// An expression, an aggregate or a rule about keys failed for the row.
    RecordProcessing { message: String, origin: Option<RecordOrigin> },
    /// A record could not be produced; it is left out.
    Production {
        topic: String,
        partition: i32,
        /// Units: ms since epoch.
        timestamp: i64,
        /// The first bytes of the record's key.
        key: Option<Vec<u8>>,
        message: String,
    },
    /// A row could not be written in the sink's format; it is skipped.
    Serialization { topic: String, is_key: bool, message: String },
    /// Rows came when every window they belong to was closed; they are dropped. Source: Kafka Streams counts them as
    /// `dropped-records`; in the processing log their type is that of a record that could not be processed.
    LateRows { rows: u64, message: String, origin: Option<RecordOrigin> },
}

impl ProcessingError {
    /// Rows that are affected.
    pub fn rows(&self) -> u64 {
        match self {
            ProcessingError::LateRows { rows, .. } => *rows,
            ProcessingError::Deserialization { .. }
            | ProcessingError::RecordProcessing { .. }
            | ProcessingError::Production { .. }
            | ProcessingError::Serialization { .. } => 1,
        }
    }
}

/// Takes reports of failing rows. Threads: called by tasks while they process; must not block.
pub trait ProcessingLog: Send + Sync + fmt::Debug {
    /// `logger` names where it happened: `<query id>.<step>`.
    fn report(&self, logger: &str, error: ProcessingError);
}

/// Drops every report.
#[derive(Clone, Copy, Debug)]
pub struct DiscardLog;

impl ProcessingLog for DiscardLog {
    fn report(&self, _logger: &str, _error: ProcessingError) {}
}

/// Counts what a query reports, and passes it on.
#[derive(Debug)]
pub(crate) struct CountingLog {
    pub(crate) metrics: Arc<QueryMetrics>,
    pub(crate) log: Arc<dyn ProcessingLog>,
}

impl ProcessingLog for CountingLog {
    fn report(&self, logger: &str, error: ProcessingError) {
        QueryMetrics::add(&self.metrics.row_errors, error.rows());
        if let ProcessingError::LateRows { rows, .. } = &error {
            QueryMetrics::add(&self.metrics.late_rows, *rows);
        }
        self.log.report(logger, error);
    }
}

/// Keeps every report, for tests and the topology driver.
#[derive(Debug, Default)]
pub struct MemoryLog {
    entries: Mutex<Vec<(String, ProcessingError)>>,
}

impl MemoryLog {
    pub fn take(&self) -> Vec<(String, ProcessingError)> {
        std::mem::take(&mut self.entries.lock())
    }
}

impl ProcessingLog for MemoryLog {
    fn report(&self, logger: &str, error: ProcessingError) {
        self.entries.lock().push((logger.to_owned(), error));
    }
}

/// Reports failures of the expressions of one step.
#[derive(Clone, Debug)]
pub struct StepReporter {
    pub logger: Arc<str>,
    pub log: Arc<dyn ProcessingLog>,
}

impl StepReporter {
    pub fn record_error(&self, message: impl Into<String>) {
        let error = ProcessingError::RecordProcessing { message: message.into(), origin: origin::current() };
        self.log.report(&self.logger, error);
    }

    /// A failure of one row of a batch.
    pub fn row_error(&self, message: impl Into<String>, batch: &RowBatch, row: usize) {
        let origin = origin::of_row(batch, row);
        self.log.report(&self.logger, ProcessingError::RecordProcessing { message: message.into(), origin });
    }

    /// A row whose windows would end after the last timestamp there is; it is left out.
    pub fn unwindowed_row(&self, time: i64) {
        self.record_error(format!("the timestamp {time} is too large for a window: the row is left out"));
    }

    /// Rows that closed windows did not take. `stream_time`: when they were closed, in ms since epoch.
    pub fn late_rows(&self, rows: u64, stream_time: i64) {
        if rows > 0 {
            let message = format!(
                "skipping record for expired window: {rows} rows came after their windows had closed, stream time is {stream_time}"
            );
            self.log
                .report(&self.logger, ProcessingError::LateRows { rows, message, origin: origin::current() });
        }
    }
}

impl ErrorReporter for StepReporter {
    fn report(&self, _row: usize, message: &str) {
        self.record_error(message);
    }
}
