//! One input partition of a task: fetched batches that wait, and the rows decoded from the first of them.

use std::collections::VecDeque;

use weir_broker::client::consumer::reader::PartitionRecords;
use weir_broker::ids::{Offset, TopicId, TopicPartition};
use weir_broker::record::batch::RecordBatch;
use weir_broker::record::compression::DecompressBuf;

use crate::batch::RowBatch;
use crate::error::query::{Result, RuntimeError};
use crate::task::processor::{Processor, SourceRows};
use crate::topology::records::{RecordColumns, record_count};

/// Rows decoded and not processed yet.
#[derive(Debug)]
struct Head {
    rows: SourceRows,
    /// Rows before it are processed.
    at: usize,
    /// Offset after everything the rows were decoded from.
    next: Offset,
}

/// A partition that a task reads.
///
/// Invariant: `position ≤ fetch_offset`; what is between them waits here.
#[derive(Debug)]
pub struct PartitionInput {
    pub source: usize,
    pub table: bool,
    local: bool,
    partition: TopicPartition,
    topic_id: TopicId,
    queue: VecDeque<RecordBatch>,
    queued_bytes: usize,
    fetch_offset: Offset,
    position: Offset,
    /// The position of the last commit that was asked for.
    committed: Offset,
    /// The position of the last commit that succeeded.
    durable: Offset,
    head: Option<Head>,
    /// What can be read ends here, as the last fetch said.
    stable_end: Option<Offset>,
    /// Nothing at or after this offset is read.
    stop_at: Offset,
    /// The broker does not have the offset to fetch; another one is being looked up.
    lost: bool,
    scratch: Vec<DecompressBuf>,
}

impl PartitionInput {
    pub fn new(source: usize, table: bool, partition: TopicPartition, from: Offset) -> PartitionInput {
        PartitionInput {
            source,
            table,
            local: false,
            partition,
            topic_id: TopicId::NONE,
            queue: VecDeque::new(),
            queued_bytes: 0,
            fetch_offset: from,
            position: from,
            committed: from,
            durable: from,
            head: None,
            stable_end: None,
            stop_at: Offset::MAX,
            lost: false,
            scratch: Vec::new(),
        }
    }

    /// An input that is filled within the process.
    pub fn local(source: usize, table: bool, partition: TopicPartition) -> PartitionInput {
        PartitionInput {
            stable_end: Some(0),
            local: true,
            ..PartitionInput::new(source, table, partition, 0)
        }
    }

    /// The same input, of the topic with this id.
    pub fn of_topic(mut self, id: TopicId) -> PartitionInput {
        self.topic_id = id;
        self
    }

    /// The same input, ending before `end`.
    pub fn stopping_at(mut self, end: Offset) -> PartitionInput {
        self.stop_at = end;
        self
    }

    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    pub fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    /// Everything before it is processed and committed.
    pub fn durable(&self) -> Offset {
        self.durable
    }

    /// Records that could be read and are not committed, as far as known.
    pub fn committed_lag(&self) -> Option<i64> {
        self.stable_end.map(|end| (end - self.durable).max(0))
    }

    /// The commit that was asked for has succeeded.
    pub fn confirm_commit(&mut self) {
        self.durable = self.committed;
    }

    /// Where to fetch from.
    pub fn fetch_offset(&self) -> Offset {
        self.fetch_offset
    }

    /// Everything before it is processed.
    pub fn position(&self) -> Offset {
        self.position
    }

    /// Records that could be read and are not processed, as far as known.
    pub fn lag(&self) -> Option<i64> {
        self.stable_end.map(|end| (end - self.position).max(0))
    }

    pub fn buffered_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// True if there is nothing left to read, now or (with a stop) ever.
    pub fn is_caught_up(&self) -> bool {
        self.fetch_offset >= self.stop_at || self.stable_end.is_some_and(|end| self.fetch_offset >= end)
    }

    /// True if everything up to the stop is processed.
    pub fn is_finished(&self) -> bool {
        (self.local || self.fetch_offset >= self.stop_at) && !self.has_rows() && self.queue.is_empty()
    }

    pub fn wants_fetch(&self, bytes_max: usize) -> bool {
        !self.local && !self.lost && self.queued_bytes < bytes_max && self.fetch_offset < self.stop_at
    }

    pub fn has_rows(&self) -> bool {
        self.head.is_some()
    }

    /// The position if it moved since the last commit that was asked for.
    pub fn take_uncommitted(&mut self) -> Option<Offset> {
        (self.position > self.committed).then(|| {
            self.committed = self.position;
            self.position
        })
    }

    /// The position is committed once more, though it did not move.
    pub fn renew_offset(&mut self) {
        self.committed = self.committed.min(self.position - 1);
    }

    pub fn has_uncommitted(&self) -> bool {
        self.position > self.committed
    }

    /// Takes what a fetch at [`PartitionInput::fetch_offset`] gave.
    pub fn push(&mut self, records: PartitionRecords) {
        self.stable_end = Some(records.last_stable_offset);
        self.fetch_offset = self.fetch_offset.max(records.next_offset);
        for batch in records.batches {
            self.push_batch(batch);
        }
        self.skip_gap();
    }

    /// The records at [`PartitionInput::fetch_offset`] are gone: nothing is fetched until [`PartitionInput::go_on_at`].
    pub fn lose(&mut self) {
        self.lost = true;
    }

    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Goes on where there are records. What was fetched before is still processed.
    pub fn go_on_at(&mut self, offset: Offset) {
        self.lost = false;
        self.fetch_offset = offset;
        if self.queue.is_empty() && self.head.is_none() {
            self.position = offset;
            // Also when the log has become shorter: the offset is committed anew.
            self.renew_offset();
        }
    }

    /// Takes a batch of an exchange within the process.
    pub fn push_local(&mut self, batch: RecordBatch) {
        self.fetch_offset = batch.header().next_offset();
        self.stable_end = Some(self.fetch_offset);
        self.push_batch(batch);
    }

    fn push_batch(&mut self, batch: RecordBatch) {
        if batch.base_offset() < self.stop_at {
            self.queued_bytes += batch.bytes().len();
            self.queue.push_back(batch);
        }
    }

    /// Offsets without records (markers, aborted, compacted away) need no processing.
    fn skip_gap(&mut self) {
        if self.queue.is_empty() && self.head.is_none() {
            self.position = self.position.max(self.fetch_offset);
        }
    }

    /// Decodes the next batches if no rows are waiting.
    pub fn decode(&mut self, processor: &mut dyn Processor, rows_max: usize) -> Result<()> {
        while self.head.is_none() && !self.queue.is_empty() {
            let batches = self.next_batches(rows_max);
            let next = batches.last().map_or(self.position, |b| b.header().next_offset());
            let records = RecordColumns::collect(
                self.partition.partition,
                &batches,
                &mut self.scratch,
                self.position,
                self.stop_at,
            )
            .map_err(|source| RuntimeError::Records { partition: self.partition.to_string(), source })?;
            let rows =
                processor.decode(self.source, records).map_err(RuntimeError::task("decode records"))?;
            if rows.rows.is_empty() {
                self.position = next;
                self.skip_gap();
                continue;
            }
            self.head = Some(Head { rows, at: 0, next });
        }
        Ok(())
    }

    fn next_batches(&mut self, rows_max: usize) -> Vec<RecordBatch> {
        let mut batches = Vec::new();
        let mut rows = 0;
        while let Some(batch) = self.queue.front() {
            rows += record_count(batch);
            if !batches.is_empty() && rows > rows_max {
                break;
            }
            self.queued_bytes -= batch.bytes().len();
            batches.extend(self.queue.pop_front());
        }
        batches
    }

    /// Timestamp of the next row.
    pub fn head_time(&self) -> Option<i64> {
        self.head.as_ref().map(|h| h.rows.rows.rowtime[h.at])
    }

    /// Takes the next rows, as long as their timestamps are at most `limit`; at least one.
    pub fn take_run(&mut self, limit: i64, rows_max: usize) -> Option<RowBatch> {
        let head = self.head.as_mut()?;
        let left = &head.rows.rows.rowtime[head.at..];
        let run = match limit {
            i64::MAX => left.len(),
            limit => left.iter().position(|t| *t > limit).unwrap_or(left.len()).max(1),
        };
        let run = run.min(rows_max.max(1));
        let rows = if head.at == 0 && run == head.rows.rows.len() {
            head.rows.rows.clone()
        } else {
            head.rows.rows.slice(head.at, run)
        };
        head.at += run;
        if head.at == head.rows.rows.len() {
            self.position = head.next;
            self.head = None;
            self.skip_gap();
        } else {
            self.position = head.rows.offsets[head.at];
        }
        Some(rows)
    }
}
