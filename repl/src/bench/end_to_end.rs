//! How long a record takes from a producer to a consumer, through real sockets, at a steady rate.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use weir_broker::client::admin::Admin;
use weir_broker::client::consumer::reader::{FetchOptions, Reader};
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::client::transport::Transport;
use weir_broker::env::spawn;
use weir_broker::ids::TopicPartition;
use weir_broker::log::config::Durability;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};
use weir_broker::record::compression::DecompressBuf;

use crate::bench::usage;
use crate::bench::workload::{Bench, round};

const RATES_PER_SECOND: [u64; 2] = [1_000, 20_000];
const RECORD_BYTES: usize = 100;
/// Records are sent when they are due, but not in shorter steps than this: those due meanwhile go together.
const LINGER: Duration = Duration::from_micros(500);
const WARM_UP: Duration = Duration::from_secs(1);

/// Runs both rates, `seconds` each, and gives a figure for each.
pub async fn run(dir: &Path, seconds: u64, durability: Durability) -> Result<Vec<Value>> {
    let mut figures = Vec::new();
    let bench = Bench::start(dir, 0, |config| config.durability = durability).await?;
    for rate in RATES_PER_SECOND {
        let measured = measure(&bench, rate, Duration::from_secs(seconds)).await;
        figures.push(measured?.figure(rate, durability));
    }
    bench.stop().await;
    Ok(figures)
}

/// Latencies of all records after the warm-up, sorted. Units: microseconds.
struct Latencies(Vec<u64>);

impl Latencies {
    fn percentile_ms(&self, percent: f64) -> f64 {
        let at = (self.0.len() as f64 * percent / 100.0) as usize;
        self.0.get(at.min(self.0.len().saturating_sub(1))).map_or(0.0, |us| *us as f64 / 1000.0)
    }

    fn figure(&self, rate: u64, durability: Durability) -> Value {
        json!({
            "engine": format!("weir {}", env!("CARGO_PKG_VERSION")),
            "workload": "e2e",
            "durability": format!("{durability:?}").to_lowercase(),
            "records_per_second": rate,
            "record_bytes": RECORD_BYTES,
            "records": self.0.len(),
            "p50_ms": round(self.percentile_ms(50.0), 2),
            "p99_ms": round(self.percentile_ms(99.0), 2),
            "p999_ms": round(self.percentile_ms(99.9), 2),
            "max_ms": round(self.percentile_ms(100.0), 2),
            "peak_rss_mib": round(usage::peak_rss_mib(), 1),
        })
    }
}

async fn measure(bench: &Bench, rate: u64, duration: Duration) -> Result<Latencies> {
    let address = bench.kafka_address().context("the node has no Kafka port")?.to_string();
    let connect = || -> Arc<dyn Transport> {
        Arc::new(TcpTransport::new(address.clone(), TcpTransportConfig::default()))
    };
    let topic = format!("e2e-{rate}");
    Admin::new(bench.transport()).create_topic(&topic, 1, &Default::default()).await?;
    let partition = TopicPartition::new(topic.as_str(), 0);
    let count = rate * (duration + WARM_UP).as_secs();
    let epoch = Instant::now();
    let consumer = tokio::spawn(consume(connect(), partition.clone(), count, epoch));
    produce(connect(), partition, rate, count, epoch).await?;
    let mut latencies = consumer.await??;
    // What was due during the warm-up came first.
    latencies.drain(..(rate * WARM_UP.as_secs()) as usize);
    latencies.sort_unstable();
    Ok(Latencies(latencies))
}

/// Sends records at their due times, which they carry: a late producer counts as latency.
///
/// A thread keeps the time, because the timers of the runtime are too coarse for it.
async fn produce(
    transport: Arc<dyn Transport>,
    partition: TopicPartition,
    rate: u64,
    count: u64,
    epoch: Instant,
) -> Result<()> {
    let mut producer = IdempotentProducer::init(transport).await?;
    let runtime = tokio::runtime::Handle::current();
    let (done, finished) = tokio::sync::oneshot::channel();
    let began = epoch.elapsed();
    let due = move |number: u64| began + Duration::from_nanos(number * 1_000_000_000 / rate);
    let mut send_all = move || -> Result<()> {
        let (mut sent, mut value) = (0, vec![b'x'; RECORD_BYTES]);
        let mut not_before = began;
        while sent < count {
            wait_until(due(sent).max(not_before), epoch);
            not_before = epoch.elapsed() + LINGER;
            let mut builder = RecordBatchBuilder::new(BatchOptions::default());
            while sent < count && due(sent) <= epoch.elapsed() {
                value[..8].copy_from_slice(&(due(sent).as_micros() as u64).to_be_bytes());
                builder.append(1_700_000_000_000, None, Some(&value), &[]);
                sent += 1;
            }
            let batch = builder.build()?;
            runtime.block_on(producer.produce(vec![(partition.clone(), vec![batch])]))?;
        }
        runtime.block_on(producer.flush())?;
        Ok(())
    };
    spawn::thread("bench-producer", move || done.send(send_all()))?;
    finished.await.context("the producer's thread ended early")?
}

fn wait_until(time: Duration, epoch: Instant) {
    while let Some(left) = time.checked_sub(epoch.elapsed()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

async fn consume(
    transport: Arc<dyn Transport>,
    partition: TopicPartition,
    count: u64,
    epoch: Instant,
) -> Result<Vec<u64>> {
    let reader = Reader::new(transport);
    let options = FetchOptions::default();
    let mut scratch = DecompressBuf::default();
    let mut latencies = Vec::with_capacity(count as usize);
    let mut position = 0;
    while (latencies.len() as u64) < count {
        let mut fetched = reader.fetch(&[(partition.clone(), position)], &options).await?;
        let records = fetched.pop().context("no answer for the partition")?.1?;
        let now = epoch.elapsed().as_micros() as u64;
        for batch in &records.batches {
            for record in batch.records(&mut scratch)? {
                let record = record?;
                if record.offset >= position {
                    let due = record.value.and_then(|value| value.first_chunk::<8>());
                    latencies.push(now.saturating_sub(u64::from_be_bytes(*due.context("a due time")?)));
                }
            }
        }
        position = records.next_offset;
    }
    Ok(latencies)
}
