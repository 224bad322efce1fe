//! Well-behaved clients: whatever others do, each of their requests is answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinHandle;
use weir_broker::client::admin::Admin;
use weir_broker::client::consumer::reader::{FetchOptions, Reader};
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::transport::Transport;
use weir_broker::ids::TopicPartition;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};

use crate::scale::child::{Child, PATIENCE};

const CLIENTS: usize = 4;
const TOPIC: &str = "traffic";

pub(crate) fn batch() -> Bytes {
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    builder.append(1_700_000_000_000, Some(b"key"), Some(b"value"), &[]);
    builder.build().expect("the batch builds")
}

/// Clients that produce and fetch what they produced, until they are told to stop.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    longest_us: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Traffic {
    pub(crate) async fn start(child: &Child) -> Self {
        let admin = Admin::new(child.transport());
        admin.create_topic(TOPIC, CLIENTS as i32, &BTreeMap::new()).await.expect("created");
        let mut traffic = Traffic {
            stop: Arc::default(),
            rounds: Arc::default(),
            longest_us: Arc::default(),
            clients: Vec::new(),
        };
        for index in 0..CLIENTS {
            let (stop, rounds) = (traffic.stop.clone(), traffic.rounds.clone());
            let (transport, longest_us) = (child.transport(), traffic.longest_us.clone());
            traffic.clients.push(tokio::spawn(async move {
                let partition = TopicPartition::new(TOPIC, index as i32);
                let mut producer = IdempotentProducer::init(transport.clone()).await.expect("a producer id");
                let reader = Reader::new(transport);
                let mut offset = 0;
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    round(&mut producer, &reader, &partition, &mut offset).await;
                    let us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                    longest_us.fetch_max(us, Ordering::Relaxed);
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        traffic
    }

    /// Rounds that were answered.
    pub(crate) fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// Waits until so many more rounds were answered.
    pub(crate) async fn more(&self, rounds: u64) {
        let (wanted, deadline) = (self.rounds() + rounds, Instant::now() + PATIENCE);
        while self.rounds() < wanted {
            assert!(Instant::now() < deadline, "clients wait: {} of {wanted} rounds", self.rounds());
            assert!(self.clients.iter().all(|client| !client.is_finished()), "a client failed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The longest round since the last call.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_micros(self.longest_us.swap(0, Ordering::Relaxed))
    }

    /// Ends the clients, none of which may have failed.
    pub(crate) async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("every request was answered");
        }
    }
}

async fn round(
    producer: &mut IdempotentProducer,
    reader: &Reader,
    partition: &TopicPartition,
    offset: &mut i64,
) {
    let produced = producer.send(vec![(partition.clone(), vec![batch()])]).await.expect("produced");
    assert_eq!(produced.len(), 1);
    let options = FetchOptions { wait_max: Duration::from_secs(20), ..FetchOptions::default() };
    let mut fetched = reader.fetch(&[(partition.clone(), *offset)], &options).await.expect("fetched");
    let records = fetched.pop().expect("one partition").1.expect("readable");
    assert_eq!(records.next_offset, *offset + 1, "what was produced is there, once");
    *offset += 1;
}

/// Produces a record to each of `partitions`.
pub(crate) async fn produce_to_all(transport: Arc<dyn Transport>, partitions: &[TopicPartition]) {
    let mut producer = IdempotentProducer::init(transport).await.expect("a producer id");
    for some in partitions.chunks(500) {
        let batches = some.iter().map(|partition| (partition.clone(), vec![batch()])).collect();
        assert_eq!(producer.send(batches).await.expect("produced").len(), some.len());
    }
}
