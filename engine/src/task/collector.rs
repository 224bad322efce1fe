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
use crate::task::processor::{Output, OutputRecord};

/// A topic that is written, by its place in the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetId(pub usize);

#[derive(Debug)]
struct Target {
    topic: Arc<str>,
    partitions: Vec<Open>,
}

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
        self.targets.push(Target { topic: topic.clone(), partitions });
        TargetId(self.targets.len() - 1)
    }

    /// Appends a record to the partition it names, else to that of its key; records without either go to `fallback`.
    pub fn append(&mut self, target: TargetId, fallback: i32, record: &OutputRecord<'_>) {
        let count = self.targets[target.0].partitions.len() as i32;
        if let Some(partition) = record.partition {
            if (0..count).contains(&partition) {
                return self.append_to(target, partition, record);
            }
            let topic = &self.targets[target.0].topic;
            self.failed = Some(format!("partition {partition} of {topic} does not exist"));
            return;
        }
        let partition = match record.key {
            Some(key) => partition_for_key(&key[..key.len().saturating_sub(record.window_bytes)], count),
            None => fallback.rem_euclid(count),
        };
        self.append_to(target, partition, record);
    }

    /// Appends a record to a given partition.
    pub fn append_to(&mut self, target: TargetId, partition: i32, record: &OutputRecord<'_>) {
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
        if after >= self.batch_bytes
            && let Some(builder) = open.builder.take()
        {
            match builder.build() {
                Ok(bytes) => {
                    self.full_batches += 1;
                    open.full.push(bytes);
                }
                Err(error) => self.failed = Some(error.to_string()),
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
        self.failed = None;
    }

    fn check(&mut self) -> Result<()> {
        match self.failed.take() {
            None => Ok(()),
            Some(reason) => Err(output_error("record batch", reason)),
        }
    }
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
}

impl Output for TaskOutput<'_> {
    fn record(&mut self, target: usize, record: OutputRecord<'_>) {
        self.collector.append(self.targets[target], self.partition, &record);
    }

    fn rows(&mut self, batch: RowBatch) {
        self.rows.push(batch);
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
