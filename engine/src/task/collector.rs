//! What tasks emit, as record batches by partition.

use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use weir_broker::client::producer::partitioner::partition_for_key;
use weir_broker::client::producer::pipeline::PartitionBatches;
use weir_broker::ids::TopicPartition;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};
use weir_broker::record::compression::Compression;

use crate::batch::RowBatch;
use crate::error::{EngineError, Result};
use crate::topology::emit::{Emit, OutputRecord};

/// A topic that is written, by its place in the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetId(pub usize);

#[derive(Debug)]
struct Target {
    topic: Arc<str>,
    /// `max.message.bytes` of the topic.
    batch_bytes_max: usize,
    partitions: Vec<Open>,
}

/// A record that the topic cannot take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OversizedRecord {
    pub partition: TopicPartition,
    /// The first bytes of its key.
    pub key: Option<Vec<u8>>,
    /// Units: ms since epoch.
    pub timestamp: i64,
    pub bytes: usize,
    pub bytes_max: usize,
}

/// The outcome of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    Taken,
    /// The record is larger than its topic takes. It is in [`RecordCollector::take_oversized`].
    Oversized,
}

/// Bytes of a key that are kept for a report.
const KEY_BYTES_MAX: usize = 256;
/// Bytes of a batch without records.
const BATCH_BYTES_MIN: usize = 61;
/// The most that a record takes beside its key, its value and its headers: lengths, offset, timestamp, attributes.
const RECORD_BYTES_MIN: usize = 40;
/// The most that a header takes beside its key and value.
const HEADER_BYTES_MIN: usize = 10;

/// The batch of one partition that is being filled, and full ones before it.
#[derive(Debug, Default)]
struct Open {
    builder: Option<RecordBatchBuilder>,
    full: Vec<Bytes>,
    /// Records ever appended; with local offsets, where the next batch begins.
    appended: i64,
}

/// Collects the records of all tasks that share a transaction.
#[derive(Debug)]
pub struct RecordCollector {
    targets: Vec<Target>,
    compression: Compression,
    batch_bytes: usize,
    local_offsets: bool,
    /// Bytes in open and full batches.
    bytes: usize,
    full_batches: usize,
    records: u64,
    oversized: Vec<OversizedRecord>,
    failed: Option<String>,
}

impl RecordCollector {
    pub fn new(compression: Compression, batch_bytes: usize) -> RecordCollector {
        RecordCollector {
            targets: Vec::new(),
            compression,
            batch_bytes,
            local_offsets: false,
            bytes: 0,
            full_batches: 0,
            records: 0,
            oversized: Vec::new(),
            failed: None,
        }
    }

    /// The same, giving offsets to the records itself: for an exchange within the process.
    pub fn with_local_offsets(self) -> RecordCollector {
        RecordCollector { local_offsets: true, ..self }
    }

    /// Adds a topic, or finds it.
    pub fn target(&mut self, topic: &Arc<str>, partitions: i32) -> TargetId {
        if let Some(at) = self.targets.iter().position(|t| t.topic == *topic) {
            return TargetId(at);
        }
        let partitions = (0..partitions).map(|_| Open::default()).collect();
        self.targets.push(Target { topic: topic.clone(), batch_bytes_max: usize::MAX, partitions });
        TargetId(self.targets.len() - 1)
    }

    /// Bounds the batches of a topic, and with them its records.
    pub fn set_batch_bytes_max(&mut self, target: TargetId, bytes: usize) {
        self.targets[target.0].batch_bytes_max = bytes;
    }

    /// Records that were too large since the last call.
    pub fn take_oversized(&mut self) -> Vec<OversizedRecord> {
        mem::take(&mut self.oversized)
    }

    /// Appends a record to the partition it names, else to that of its key; records without either go to `fallback`.
    pub fn append(&mut self, target: TargetId, fallback: i32, record: &OutputRecord<'_>) -> Appended {
        let count = self.targets[target.0].partitions.len() as i32;
        if let Some(partition) = record.partition {
            if (0..count).contains(&partition) {
                return self.append_to(target, partition, record);
            }
            let topic = &self.targets[target.0].topic;
            self.failed = Some(format!("partition {partition} of {topic} does not exist"));
            return Appended::Taken;
        }
        let partition = match record.key {
            Some(key) => partition_for_key(&key[..key.len().saturating_sub(record.window_bytes)], count),
            None => fallback.rem_euclid(count),
        };
        self.append_to(target, partition, record)
    }

    /// Appends a record to a given partition.
    pub fn append_to(&mut self, target: TargetId, partition: i32, record: &OutputRecord<'_>) -> Appended {
        let batch_bytes_max = self.targets[target.0].batch_bytes_max;
        let record_bytes = record_bytes_max(record);
        if BATCH_BYTES_MIN + record_bytes > batch_bytes_max {
            return self.append_alone(target, partition, record);
        }
        let open = &self.targets[target.0].partitions[partition as usize];
        if open.builder.as_ref().is_some_and(|b| b.size_bytes() + record_bytes > batch_bytes_max) {
            self.close(target, partition);
        }
        let open = &mut self.targets[target.0].partitions[partition as usize];
        let compression = self.compression;
        let base_offset = if self.local_offsets { open.appended } else { 0 };
        open.appended += 1;
        let builder = open.builder.get_or_insert_with(|| {
            RecordBatchBuilder::new(BatchOptions { compression, base_offset, ..BatchOptions::default() })
        });
        let before = builder.size_bytes();
        builder.append(record.timestamp, record.key, record.value, record.headers);
        let after = builder.size_bytes();
        self.bytes += after - before;
        self.records += 1;
        if after >= self.batch_bytes {
            self.close(target, partition);
        }
        Appended::Taken
    }

    /// Ends the batch of a partition that is being filled.
    fn close(&mut self, target: TargetId, partition: i32) {
        let open = &mut self.targets[target.0].partitions[partition as usize];
        let Some(builder) = open.builder.take() else { return };
        match builder.build() {
            Ok(bytes) => {
                self.full_batches += 1;
                open.full.push(bytes);
            }
            Err(error) => self.failed = Some(error.to_string()),
        }
    }

    /// A record that may be too large for its topic: its batch is built at once, for its size as it is sent.
    fn append_alone(&mut self, target: TargetId, partition: i32, record: &OutputRecord<'_>) -> Appended {
        self.close(target, partition);
        let Target { topic, batch_bytes_max, partitions } = &mut self.targets[target.0];
        let options = BatchOptions { compression: self.compression, ..BatchOptions::default() };
        let mut builder = RecordBatchBuilder::new(options);
        builder.append(record.timestamp, record.key, record.value, record.headers);
        match builder.build() {
            Ok(bytes) if bytes.len() <= *batch_bytes_max => {
                let open = &mut partitions[partition as usize];
                open.appended += 1;
                self.bytes += bytes.len();
                self.records += 1;
                self.full_batches += 1;
                open.full.push(bytes);
                Appended::Taken
            }
            Ok(bytes) => {
                self.oversized.push(OversizedRecord {
                    partition: TopicPartition::new(topic.clone(), partition),
                    key: record.key.map(|key| key[..key.len().min(KEY_BYTES_MAX)].to_vec()),
                    timestamp: record.timestamp,
                    bytes: bytes.len(),
                    bytes_max: *batch_bytes_max,
                });
                Appended::Oversized
            }
            Err(error) => {
                self.failed = Some(error.to_string());
                Appended::Taken
            }
        }
    }

    /// Bytes collected and not taken.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// True if some batch is full and could be sent ahead.
    pub fn has_full(&self) -> bool {
        self.full_batches > 0
    }

    /// Records ever collected.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Takes the full batches and leaves open ones open.
    pub fn take_full(&mut self) -> Result<PartitionBatches> {
        self.check()?;
        let mut batches = PartitionBatches::new();
        for target in &mut self.targets {
            for (partition, open) in
                target.partitions.iter_mut().enumerate().filter(|(_, o)| !o.full.is_empty())
            {
                let full = mem::take(&mut open.full);
                self.bytes = self.bytes.saturating_sub(full.iter().map(Bytes::len).sum());
                batches.push((TopicPartition::new(target.topic.clone(), partition as i32), full));
            }
        }
        self.full_batches = 0;
        Ok(batches)
    }

    /// Closes and takes all batches.
    ///
    /// Errors: records that cannot be compressed.
    pub fn take_all(&mut self) -> Result<PartitionBatches> {
        for target in &mut self.targets {
            for open in &mut target.partitions {
                if let Some(builder) = open.builder.take() {
                    let bytes = builder.build().map_err(|e| output_error(&target.topic, e.to_string()))?;
                    open.full.push(bytes);
                }
            }
        }
        let batches = self.take_full();
        self.bytes = 0;
        batches
    }

    /// Drops everything collected.
    pub fn discard(&mut self) {
        for open in self.targets.iter_mut().flat_map(|t| &mut t.partitions) {
            *open = Open::default();
        }
        self.bytes = 0;
        self.full_batches = 0;
        self.oversized.clear();
        self.failed = None;
    }

    fn check(&mut self) -> Result<()> {
        match self.failed.take() {
            None => Ok(()),
            Some(reason) => Err(output_error("record batch", reason)),
        }
    }
}

/// No record is encoded in more bytes.
fn record_bytes_max(record: &OutputRecord<'_>) -> usize {
    let of = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers = record.headers.iter().map(|h| h.key.len() + of(h.value) + HEADER_BYTES_MIN);
    RECORD_BYTES_MIN + of(record.key) + of(record.value) + headers.sum::<usize>()
}

fn output_error(target: &str, reason: String) -> EngineError {
    EngineError::Output { target: target.to_owned(), reason }
}

/// The output of one task: its targets by the collector's numbers.
#[derive(Debug)]
pub struct TaskOutput<'a> {
    pub collector: &'a mut RecordCollector,
    /// Shape: one per target of the sub-topology.
    pub targets: &'a [TargetId],
    /// The task's partition, to which records without a key go.
    pub partition: i32,
    /// Rows for the client, of queries without a sink.
    pub rows: &'a mut Vec<RowBatch>,
    /// What was taken.
    pub taken: TakenBytes,
}

/// The bytes that a task has emitted, and how many the current run of rows may.
#[derive(Debug)]
pub struct TakenBytes {
    bytes: usize,
    run_end: usize,
    overrun: bool,
}

impl Default for TakenBytes {
    fn default() -> TakenBytes {
        TakenBytes { bytes: 0, run_end: usize::MAX, overrun: false }
    }
}

impl TakenBytes {
    /// False if the run has become too much.
    fn take(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.overrun |= self.bytes > self.run_end;
        !self.overrun
    }
}

impl Emit for TaskOutput<'_> {
    fn record(&mut self, target: usize, record: OutputRecord<'_>) {
        let of = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        if !self.taken.take(of(record.key) + of(record.value)) {
            return;
        }
        // What is too large is reported after the run.
        let _ = self.collector.append(self.targets[target], self.partition, &record);
    }

    fn rows(&mut self, batch: RowBatch) {
        if self.taken.take(batch.bytes()) {
            self.rows.push(batch);
        }
    }

    fn bytes(&self) -> usize {
        self.taken.bytes
    }

    fn begin_run(&mut self, rows: usize, bytes_max: usize) {
        // One row cannot be cut.
        self.taken.run_end = if rows > 1 { self.taken.bytes.saturating_add(bytes_max) } else { usize::MAX };
    }

    fn is_overrun(&self) -> bool {
        self.taken.overrun
    }
}

#[cfg(test)]
mod tests {
    use weir_broker::record::batch::BatchIter;

    use super::*;

    fn record<'a>(key: Option<&'a [u8]>, value: &'a [u8]) -> OutputRecord<'a> {
        OutputRecord { timestamp: 5, key, window_bytes: 0, partition: None, value: Some(value), headers: &[] }
    }

    #[test]
    fn all_windows_of_a_key_go_to_one_partition() {
        let mut collector = RecordCollector::new(Compression::None, 1 << 20);
        let target = collector.target(&"t".into(), 16);
        for start in 0..20_u64 {
            let key = [b"21".as_slice(), &start.to_be_bytes()].concat();
            collector.append(target, 0, &OutputRecord { window_bytes: 8, ..record(Some(&key), b"v") });
        }
        let batches = collector.take_all().expect("batches");
        let partitions: Vec<i32> = batches.iter().map(|(partition, _)| partition.partition).collect();
        assert_eq!(partitions, [partition_for_key(b"21", 16)]);
    }

    #[test]
    fn records_go_to_the_partition_of_their_key_in_order() {
        let mut collector = RecordCollector::new(Compression::None, 100);
        let topic: Arc<str> = "t".into();
        let target = collector.target(&topic, 4);
        assert_eq!(collector.target(&topic, 4), target);
        for value in [&b"1"[..], b"2", b"3"] {
            collector.append(target, 9, &record(Some(b"21"), value));
        }
        collector.append(target, 9, &record(None, b"n"));
        let batches = collector.take_all().expect("uncompressed");
        let expected = partition_for_key(b"21", 4);
        let mut values = Vec::new();
        for (partition, batch) in &batches {
            for batch in batch.iter().flat_map(|b| BatchIter::new(b.clone())) {
                let count = batch.expect("valid").header().records_count;
                values.push((partition.partition, count));
            }
        }
        values.sort_unstable();
        let mut wanted = vec![(expected, 3), (1, 1)];
        wanted.sort_unstable();
        assert_eq!(values, wanted);
        assert_eq!(collector.bytes(), 0);
    }

    #[test]
    fn records_go_to_the_partition_they_name() {
        let mut collector = RecordCollector::new(Compression::None, 1 << 20);
        let target = collector.target(&"t".into(), 3);
        for partition in 0..3 {
            collector.append(
                target,
                0,
                &OutputRecord { partition: Some(partition), ..record(Some(b"21"), b"v") },
            );
        }
        let batches = collector.take_all().expect("batches");
        let partitions: Vec<i32> = batches.iter().map(|(partition, _)| partition.partition).collect();
        assert_eq!(partitions, [0, 1, 2]);
        collector.append(target, 0, &OutputRecord { partition: Some(3), ..record(Some(b"21"), b"v") });
        assert!(collector.take_all().is_err(), "a partition that does not exist");
    }

    #[test]
    fn a_record_that_its_topic_cannot_take_is_left_out_alone() {
        for compression in [Compression::None, Compression::Lz4] {
            let mut collector = RecordCollector::new(compression, 1 << 20);
            let target = collector.target(&"t".into(), 1);
            collector.set_batch_bytes_max(target, 1_000);
            let mut seed = 1_u32;
            let next = || {
                seed ^= seed << 13;
                seed ^= seed >> 17;
                seed ^= seed << 5;
                seed as u8
            };
            let random: Vec<u8> = std::iter::repeat_with(next).take(1_500).collect();
            let mut taken = Vec::new();
            for size in [1, 400, 500, 899, 1_500, 2] {
                taken.push(collector.append(target, 0, &record(Some(b"k"), &random[..size])));
            }
            let mut expected = [Appended::Taken; 6];
            expected[4] = Appended::Oversized;
            assert_eq!(taken, expected);
            let oversized = collector.take_oversized();
            assert_eq!(oversized.len(), 1);
            assert_eq!((oversized[0].key.as_deref(), oversized[0].bytes_max), (Some(&b"k"[..]), 1_000));
            assert_eq!(collector.records(), 5);
            let mut sizes = Vec::new();
            for batch in collector.take_all().expect("built").into_iter().flat_map(|(_, batches)| batches) {
                assert!(batch.len() <= 1_000, "{}", batch.len());
                let mut scratch = weir_broker::record::compression::DecompressBuf::default();
                let parsed = BatchIter::new(batch).next().expect("a batch").expect("valid");
                let records = parsed.records(&mut scratch).expect("readable");
                sizes.extend(records.map(|r| r.expect("valid").value.expect("a value").len()));
            }
            assert_eq!(sizes, [1, 400, 500, 899, 2]);
            // Zeros are compressed to little.
            let appended = collector.append(target, 0, &record(None, &[0; 5_000]));
            assert_eq!(appended == Appended::Taken, compression == Compression::Lz4);
        }
    }

    #[test]
    fn of_several_rows_no_more_than_a_run_may_make_is_taken() {
        let topic: Arc<str> = "t".into();
        let taken = |rows: usize| {
            let mut collector = RecordCollector::new(Compression::None, 1 << 20);
            let targets = [collector.target(&topic, 1)];
            let mut out = TaskOutput {
                collector: &mut collector,
                targets: &targets,
                partition: 0,
                rows: &mut Vec::new(),
                taken: TakenBytes::default(),
            };
            out.record(0, record(None, &[0; 500]));
            out.begin_run(rows, 100);
            (0..5).for_each(|_| out.record(0, record(Some(b"k"), &[0; 39])));
            (out.bytes(), out.is_overrun(), collector.records())
        };
        assert_eq!(taken(2), (500 + 5 * 40, true, 3));
        assert_eq!(taken(1), (500 + 5 * 40, false, 6), "one row cannot be cut");
    }

    #[test]
    fn full_batches_can_be_sent_ahead_and_discarded_ones_are_gone() {
        let mut collector = RecordCollector::new(Compression::None, 200);
        let target = collector.target(&"t".into(), 1);
        for _ in 0..30 {
            collector.append(target, 0, &record(Some(b"k"), b"0123456789"));
        }
        assert!(collector.has_full());
        let ahead: usize = collector.take_full().expect("built").iter().map(|(_, b)| b.len()).sum();
        assert!(ahead >= 2, "{ahead}");
        assert!(!collector.has_full());
        collector.discard();
        assert!(collector.take_all().expect("empty").is_empty());
    }
}
