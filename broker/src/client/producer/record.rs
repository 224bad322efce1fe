//! Records and topics, as a producer takes them.

use std::sync::Arc;

use crate::record::reader::Header;

/// Kafka's default of `max.message.bytes`.
const BATCH_BYTES_MAX: usize = 1_048_588;
/// Bytes of a record beside its key, value and headers, at most.
const RECORD_BYTES: usize = 36;
/// Bytes of a header beside its name and value, at most.
const HEADER_LENGTHS_BYTES: usize = 10;

/// A record to produce.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProducerRecord<'r> {
    /// Decides the partition if none is given.
    pub key: Option<&'r [u8]>,
    /// None is a tombstone.
    pub value: Option<&'r [u8]>,
    pub headers: &'r [Header<'r>],
    /// Units: ms since epoch.
    pub timestamp: i64,
    /// None: by the key, or the topic's sticky partition without one.
    pub partition: Option<i32>,
}

impl ProducerRecord<'_> {
    /// Bytes that the record adds to a batch, or a little more.
    pub(crate) fn bytes_max(&self) -> usize {
        let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let headers =
            self.headers.iter().map(|h| h.key.len() + length(h.value) + HEADER_LENGTHS_BYTES).sum::<usize>();
        RECORD_BYTES + length(self.key) + length(self.value) + headers
    }
}

/// A topic to produce to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerTopic {
    pub name: Arc<str>,
    /// Number of partitions.
    pub partitions: i32,
    /// Largest batch that the topic takes (`max.message.bytes`).
    pub batch_bytes_max: usize,
}

impl ProducerTopic {
    /// A topic whose largest batch is Kafka's default.
    #[must_use]
    pub fn new(name: &str, partitions: i32) -> Self {
        Self { name: name.into(), partitions, batch_bytes_max: BATCH_BYTES_MAX }
    }
}

/// A topic of a producer, as [`BatchingProducer::add_topic`](super::batching::BatchingProducer::add_topic) gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicIndex(pub(crate) usize);
