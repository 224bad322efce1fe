//! Counters of a query, for status and `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters, shared by the workers of a query. Only ever rise, except the restore gauges.
#[derive(Debug, Default)]
pub struct QueryMetrics {
    pub rows_in: AtomicU64,
    pub bytes_in: AtomicU64,
    /// Records written to the sink, repartition topics and changelogs; rows, for a query without sink.
    pub records_out: AtomicU64,
    pub bytes_out: AtomicU64,
    pub commits: AtomicU64,
    /// Units: µs, summed over all commits; from flush to acknowledged.
    pub commit_micros: AtomicU64,
    /// The longest of them. Units: µs.
    pub commit_micros_max: AtomicU64,
    pub restarts: AtomicU64,
    pub restored_records: AtomicU64,
    /// Changelog offsets still to be restored.
    pub restore_remaining: AtomicU64,
    /// Rows that were reported to the processing log, late ones included.
    pub row_errors: AtomicU64,
    /// Rows dropped because every window they belong to was closed.
    pub late_rows: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsSnapshot {
    pub rows_in: u64,
    pub bytes_in: u64,
    pub records_out: u64,
    pub bytes_out: u64,
    pub commits: u64,
    pub commit_micros: u64,
    pub commit_micros_max: u64,
    pub restarts: u64,
    pub restored_records: u64,
    pub restore_remaining: u64,
    pub row_errors: u64,
    pub late_rows: u64,
}

impl QueryMetrics {
    pub(crate) fn add(counter: &AtomicU64, value: u64) {
        counter.fetch_add(value, Ordering::Relaxed);
    }

    pub(crate) fn committed(&self, micros: u64) {
        QueryMetrics::add(&self.commits, 1);
        QueryMetrics::add(&self.commit_micros, micros);
        self.commit_micros_max.fetch_max(micros, Ordering::Relaxed);
    }

    pub fn snapshot(&self) -> MetricsSnapshot {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MetricsSnapshot {
            rows_in: get(&self.rows_in),
            bytes_in: get(&self.bytes_in),
            records_out: get(&self.records_out),
            bytes_out: get(&self.bytes_out),
            commits: get(&self.commits),
            commit_micros: get(&self.commit_micros),
            commit_micros_max: get(&self.commit_micros_max),
            restarts: get(&self.restarts),
            restored_records: get(&self.restored_records),
            restore_remaining: get(&self.restore_remaining),
            row_errors: get(&self.row_errors),
            late_rows: get(&self.late_rows),
        }
    }
}
