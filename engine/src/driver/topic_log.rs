//! Topics in memory.

use std::collections::HashMap;
use std::sync::Arc;

use weir_broker::client::producer::partitioner::partition_for_key;
use weir_broker::ids::TopicPartition;
use weir_broker::record::batch::RecordBatch;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};
use weir_broker::record::compression::DecompressBuf;
use weir_broker::record::reader::Header;

use crate::batch::RecordHeaders;
use crate::error::query::{Result, RuntimeError};

/// A record of a topic.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DriverRecord {
    pub topic: String,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// Units: ms since epoch.
    pub timestamp: i64,
    pub headers: Option<Arc<RecordHeaders>>,
    /// Filled in when the record is appended.
    pub partition: i32,
    pub offset: i64,
    /// True if a query wrote it.
    pub is_output: bool,
}

/// All records of all topics, in the order they were appended.
#[derive(Debug, Default)]
pub struct TopicLog {
    partitions: HashMap<String, i32>,
    offsets: HashMap<(String, i32), i64>,
    records: Vec<DriverRecord>,
    keyless: i32,
}

impl TopicLog {
    pub fn add_topic(&mut self, name: &str, partitions: usize) {
        let partitions = i32::try_from(partitions).unwrap_or(i32::MAX).max(1);
        self.partitions.insert(name.to_owned(), partitions);
    }

    pub fn partitions(&self, topic: &str) -> i32 {
        self.partitions.get(topic).copied().unwrap_or(1)
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub fn records(&self) -> &[DriverRecord] {
        &self.records
    }

    /// Appends a record to the given partition, or to that of its key.
    pub fn append(&mut self, mut record: DriverRecord, partition: Option<i32>) {
        let count = self.partitions(&record.topic);
        record.partition = partition.unwrap_or_else(|| self.partition_of(record.key.as_deref(), count));
        let offset = self.offsets.entry((record.topic.clone(), record.partition)).or_default();
        record.offset = *offset;
        *offset += 1;
        self.records.push(record);
    }

    /// The partition of a key; records without one take turns.
    fn partition_of(&mut self, key: Option<&[u8]>, count: i32) -> i32 {
        match key {
            Some(key) => partition_for_key(key, count),
            None => {
                self.keyless = self.keyless.wrapping_add(1);
                self.keyless.wrapping_sub(1).rem_euclid(count)
            }
        }
    }
}

/// Consecutive records of one partition as a batch. Shape: at least one record.
///
/// Errors: more than a batch can hold.
pub(crate) fn encode_records(records: &[&DriverRecord]) -> Result<RecordBatch> {
    let base_offset = records[0].offset;
    let mut builder = RecordBatchBuilder::new(BatchOptions { base_offset, ..BatchOptions::default() });
    for record in records {
        let headers: Vec<Header<'_>> = record
            .headers
            .iter()
            .flat_map(|headers| headers.iter())
            .map(|(key, value)| Header { key, value: value.as_deref() })
            .collect();
        builder.append(record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
    }
    let partition = || TopicPartition::new(records[0].topic.as_str(), records[0].partition).to_string();
    let invalid = |source| RuntimeError::Records { partition: partition(), source };
    let bytes = builder.build().map_err(invalid)?;
    Ok(RecordBatch::parse(bytes).map_err(invalid)?.0)
}

/// The records of a batch that a query wrote.
///
/// Errors: a malformed batch.
pub(crate) fn decode_records(partition: &TopicPartition, batch: &RecordBatch) -> Result<Vec<DriverRecord>> {
    let invalid = |source| RuntimeError::Records { partition: partition.to_string(), source };
    let mut scratch = DecompressBuf::default();
    let mut records = Vec::new();
    for record in batch.records(&mut scratch).map_err(invalid)? {
        let record = record.map_err(invalid)?;
        let headers = || record.headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec)));
        records.push(DriverRecord {
            topic: partition.topic.to_string(),
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            timestamp: record.timestamp,
            headers: (!record.headers.is_empty()).then(|| Arc::new(headers().collect())),
            partition: partition.partition,
            offset: record.offset,
            is_output: true,
        });
    }
    Ok(records)
}
