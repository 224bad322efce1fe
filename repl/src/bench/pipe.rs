//! Records into and out of a broker, in batches.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use weir_broker::client::admin::Admin;
use weir_broker::client::consumer::reader::{FetchOptions, Reader};
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::producer::partitioner::partition_for_key;
use weir_broker::client::transport::Transport;
use weir_broker::env::spawn;
use weir_broker::ids::TopicPartition;
use weir_broker::log::access::{Isolation, OffsetSpec};
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};

/// Bytes of records at which a batch is sent.
const BATCH_BYTES: usize = 256 << 10;

/// A record to produce.
#[derive(Debug)]
pub struct OutRecord<'r> {
    pub key: Option<&'r [u8]>,
    pub value: &'r [u8],
    /// ms since epoch
    pub timestamp: i64,
}

/// Partitions records by key as Kafka's producers do, and sends them in batches.
#[derive(Debug)]
pub struct BatchingProducer {
    topic: String,
    producer: IdempotentProducer,
    batches: Vec<(RecordBatchBuilder, usize)>,
    turn: usize,
}

impl BatchingProducer {
    pub async fn new(
        transport: Arc<dyn Transport>,
        topic: &str,
        partitions: i32,
    ) -> Result<BatchingProducer> {
        let batches = (0..partitions).map(|_| (fresh_batch(), 0)).collect();
        let producer = IdempotentProducer::init(transport).await.context("no producer id")?;
        Ok(BatchingProducer { topic: topic.to_owned(), producer, batches, turn: 0 })
    }

    pub async fn send(&mut self, record: &OutRecord<'_>) -> Result<()> {
        let partition = match record.key {
            Some(key) => partition_for_key(key, self.batches.len() as i32) as usize,
            None => {
                self.turn += 1;
                (self.turn / 1_000) % self.batches.len()
            }
        };
        let (builder, bytes) = &mut self.batches[partition];
        builder.append(record.timestamp, record.key, Some(record.value), &[]);
        *bytes += record.value.len() + record.key.map_or(0, <[u8]>::len);
        if *bytes >= BATCH_BYTES { self.send_partition(partition).await } else { Ok(()) }
    }

    async fn send_partition(&mut self, partition: usize) -> Result<()> {
        let (builder, bytes) = std::mem::replace(&mut self.batches[partition], (fresh_batch(), 0));
        if bytes == 0 {
            return Ok(());
        }
        let batch = builder.build()?;
        let target = TopicPartition::new(self.topic.as_str(), partition as i32);
        self.producer.produce(vec![(target, vec![batch])]).await.context("produce")
    }

    /// Sends what is left and waits until everything is acknowledged.
    pub async fn flush(&mut self) -> Result<()> {
        for partition in 0..self.batches.len() {
            self.send_partition(partition).await?;
        }
        self.producer.flush().await.context("produce")?;
        Ok(())
    }
}

/// With room for what records have beside their keys and values.
fn fresh_batch() -> RecordBatchBuilder {
    RecordBatchBuilder::with_capacity(BatchOptions::default(), BATCH_BYTES + BATCH_BYTES / 4)
}

/// The sum of the end offsets of a topic: its records, if nothing was compacted, plus transaction markers.
pub async fn end_offsets(transport: &Arc<dyn Transport>, topic: &str) -> Result<Vec<(TopicPartition, i64)>> {
    let admin = Admin::new(Arc::clone(transport));
    let Some(description) = admin.describe_topic(topic).await? else { bail!("topic {topic} does not exist") };
    let wanted: Vec<_> =
        (0..description.partitions).map(|p| (TopicPartition::new(topic, p), OffsetSpec::Latest)).collect();
    let listed = admin.list_offsets(&wanted, Isolation::ReadCommitted).await?;
    Ok(wanted.into_iter().zip(listed).map(|((p, _), o)| (p, o.offset.unwrap_or(0))).collect())
}

/// Reads a topic from its beginning until `records` were seen; gives bytes of values read. As consumers do, fetches the next
/// records while those before are looked at.
pub async fn consume(transport: &Arc<dyn Transport>, topic: &str, records: u64) -> Result<u64> {
    let reader = Reader::new(Arc::clone(transport));
    let fetch = |positions: Vec<(TopicPartition, i64)>| {
        let reader = reader.clone();
        spawn::task("bench-fetch", async move {
            let options = FetchOptions {
                partition_bytes_max: 1 << 20,
                wait_max: Duration::from_millis(500),
                ..FetchOptions::default()
            };
            reader.fetch(&positions, &options).await
        })
    };
    let mut positions: Vec<(TopicPartition, i64)> =
        end_offsets(transport, topic).await?.into_iter().map(|(p, _)| (p, 0)).collect();
    let mut scratch = weir_broker::record::compression::DecompressBuf::with_limit(64 << 20);
    let (mut seen, mut bytes) = (0, 0);
    let mut next = fetch(positions.clone());
    while seen < records {
        let mut fetched = Vec::new();
        for (partition, outcome) in next.await?? {
            let outcome = outcome?;
            if let Some((_, position)) = positions.iter_mut().find(|(p, _)| *p == partition) {
                *position = outcome.next_offset;
            }
            fetched.push(outcome);
        }
        next = fetch(positions.clone());
        for batch in fetched.iter().flat_map(|fetched| &fetched.batches) {
            for record in batch.records(&mut scratch)? {
                let record = record?;
                seen += 1;
                bytes += record.value.map_or(0, <[u8]>::len) as u64;
            }
        }
    }
    next.abort();
    Ok(bytes)
}
