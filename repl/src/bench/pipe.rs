//! Records into and out of a broker, in batches.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use weir_broker::client::admin::Admin;
use weir_broker::client::consumer::reader::{FetchOptions, Reader};
use weir_broker::client::producer::batching::BatchingProducer;
use weir_broker::client::producer::config::ProducerConfig;
use weir_broker::client::producer::record::{ProducerTopic, TopicIndex};
use weir_broker::client::transport::Transport;
use weir_broker::env::spawn;
use weir_broker::ids::TopicPartition;
use weir_broker::log::access::{Isolation, OffsetSpec};

/// Batches are sent full: keys spread over the partitions fill them slowly.
const LINGER: Duration = Duration::from_millis(50);
/// Unacknowledged records stay in the processor's caches.
const BUFFER_BYTES: usize = 6 << 20;

/// A producer of one topic.
pub async fn producer(
    transport: Arc<dyn Transport>,
    topic: &str,
    partitions: i32,
) -> Result<(BatchingProducer, TopicIndex)> {
    let config =
        ProducerConfig { linger: LINGER, buffer_bytes_max: BUFFER_BYTES, ..ProducerConfig::default() };
    let producer = BatchingProducer::start(transport, config).await.context("no producer id")?;
    let topic = producer.add_topic(ProducerTopic::new(topic, partitions));
    Ok((producer, topic))
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
