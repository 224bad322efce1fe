//! The records and rows that leave a sub-topology.

use std::fmt;

use arrow::array::Int32Array;
use weir_broker::record::reader::Header;

use crate::batch::RowBatch;
use crate::serde::encoded::EncodedRows;

/// One record on its way to a topic.
#[derive(Clone, Copy, Debug)]
pub struct OutputRecord<'a> {
    /// Units: ms since epoch.
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    /// Bytes at the end of the key that are a window's bounds: all windows of a key go to one partition.
    pub window_bytes: usize,
    /// None: the key decides.
    pub partition: Option<i32>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [Header<'a>],
}

/// Takes what a sub-topology emits, in order.
pub trait Emit: fmt::Debug {
    /// A record for a topic, by the topic's place among those that the sub-topology writes.
    fn record(&mut self, target: usize, record: OutputRecord<'_>);

    /// Rows for the client of a query without a sink.
    fn rows(&mut self, batch: RowBatch);

    /// Bytes of everything taken so far, roughly.
    fn bytes(&self) -> usize;

    /// The following output was made of so many rows. Of several rows no more than so many bytes are taken.
    fn begin_run(&mut self, rows: usize, bytes_max: usize);

    /// True if the rows of a run became more than is taken. The rest is lost, and the run has to be repeated.
    fn is_overrun(&self) -> bool;
}

/// Rows encoded for a topic. Shape: entry `i` of everything belongs to row `i` of `batch`.
#[derive(Debug)]
pub struct EncodedRecords {
    pub keys: EncodedRows,
    pub values: EncodedRows,
    /// Bytes at the end of each key that are its window's bounds.
    pub window_bytes: usize,
    /// None: the keys decide.
    pub partitions: Option<Int32Array>,
    /// The rows, with the timestamps of their records.
    pub batch: RowBatch,
}

impl EncodedRecords {
    /// Emits the records for a target.
    pub fn emit(&self, target: usize, out: &mut dyn Emit) {
        let mut headers: Vec<Header<'_>> = Vec::new();
        for row in 0..self.batch.len() {
            headers.clear();
            if let Some(row_headers) = self.batch.row_headers(row) {
                headers
                    .extend(row_headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }));
            }
            let record = OutputRecord {
                timestamp: self.batch.rowtime[row],
                key: self.keys.get(row),
                window_bytes: self.window_bytes,
                partition: self.partitions.as_ref().map(|p| p.value(row)),
                value: self.values.get(row),
                headers: &headers,
            };
            out.record(target, record);
        }
    }
}
