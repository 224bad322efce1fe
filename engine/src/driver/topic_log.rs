//! Topics in memory.

use std::collections::HashMap;
use std::sync::Arc;

use crate::batch::RecordHeaders;

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
    partitions: HashMap<String, usize>,
    offsets: HashMap<(String, i32), i64>,
    records: Vec<DriverRecord>,
    keyless: usize,
}

impl TopicLog {
    pub fn add_topic(&mut self, name: &str, partitions: usize) {
        self.partitions.insert(name.to_owned(), partitions.max(1));
    }

    pub fn partitions(&self, topic: &str) -> usize {
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

    /// The partition of a key; keyless records take turns.
    pub fn partition_of(&mut self, key: Option<&[u8]>, count: usize) -> i32 {
        match key {
            Some(key) => partition_for_key(key, count),
            None => {
                self.keyless += 1;
                ((self.keyless - 1) % count) as i32
            }
        }
    }
}

/// Kafka's default partitioner.
pub fn partition_for_key(key: &[u8], partitions: usize) -> i32 {
    ((murmur2(key) & 0x7fff_ffff) as usize % partitions) as i32
}

/// Source: org.apache.kafka.common.utils.Utils.murmur2, whose results are part of the protocol in all but name.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ data.len() as u32;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    if !tail.is_empty() {
        for (i, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hash_as_in_kafka() {
        // Values of Kafka's own UtilsTest.
        let expected: [(&[u8], i32); 5] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ];
        for (key, hash) in expected {
            assert_eq!(murmur2(key) as i32, hash, "{}", String::from_utf8_lossy(key));
        }
    }
}
