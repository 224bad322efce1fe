//! Fetch sessions through a socket: after every answer a client knows what a full fetch would tell it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;
use weir_broker::broker::Broker;
use weir_broker::client::admin::Admin;
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::client::transport::Transport;
use weir_broker::config::BrokerConfig;
use weir_broker::ids::TopicPartition;
use weir_broker::net::config::ListenerConfig;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic,
};
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};

const PARTITIONS: i32 = 4;
const ROUNDS: i32 = 150;

async fn start(dir: &Path) -> Broker {
    let mut config = BrokerConfig::new(dir);
    config.listeners =
        vec![ListenerConfig { address: "127.0.0.1:0".to_owned(), ..ListenerConfig::default() }];
    Broker::start(config).await.expect("the broker starts")
}

/// A topic by its name, and by its id if requests are to name it so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Topic {
    name: String,
    id: Uuid,
}

/// What a client knows of a partition.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    error_code: ErrorCode,
    high_watermark: i64,
    last_stable_offset: i64,
    records: Bytes,
}

type View = BTreeMap<(Topic, i32), Known>;

struct Client {
    transport: Arc<dyn Transport>,
    /// Where the client is, in each partition it reads.
    offsets: BTreeMap<(Topic, i32), i64>,
}

impl Client {
    fn wanted<'a>(&self, partitions: impl Iterator<Item = &'a (Topic, i32)>) -> Vec<FetchTopic> {
        let topic = |(topic, partition): &'a (Topic, i32)| FetchTopic {
            topic: topic.name.clone(),
            topic_id: topic.id,
            partitions: vec![FetchPartition {
                partition: *partition,
                fetch_offset: self.offsets[&(topic.clone(), *partition)],
                partition_max_bytes: 1 << 20,
                ..FetchPartition::default()
            }],
        };
        partitions.map(topic).collect()
    }

    async fn fetch(&self, request: FetchRequest) -> FetchResponse {
        let request = FetchRequest { isolation_level: 1, ..request };
        match self.transport.send(Request::Fetch(request)).await.expect("answered") {
            Response::Fetch(response) => response,
            other => panic!("{other:?}"),
        }
    }

    async fn full(&self) -> View {
        let topics = self.wanted(self.offsets.keys());
        view(&self.fetch(FetchRequest { topics, ..FetchRequest::default() }).await, &self.offsets)
    }
}

/// An answer by partition; it names topics as its request did.
fn view(response: &FetchResponse, offsets: &BTreeMap<(Topic, i32), i64>) -> View {
    assert_eq!(response.error_code, ErrorCode::None);
    let mut view = View::new();
    for topic in &response.responses {
        for data in &topic.partitions {
            let is_it = |(known, partition): &&(Topic, i32)| {
                *partition == data.partition_index
                    && (known.id == topic.topic_id && (!known.id.is_nil() || known.name == topic.topic))
            };
            let key = offsets.keys().find(is_it).expect("only what is in the session is told").clone();
            let known = Known {
                error_code: data.error_code,
                high_watermark: data.high_watermark,
                last_stable_offset: data.last_stable_offset,
                records: data.records.clone().unwrap_or_default(),
            };
            assert!(view.insert(key, known).is_none(), "each partition once");
        }
    }
    view
}

fn batch(random: &mut StdRng) -> Bytes {
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    for _ in 0..random.random_range(1..4) {
        builder.append(1_700_000_000_000, Some(b"key"), Some(b"value"), &[]);
    }
    builder.build().expect("the batch builds")
}

/// Reads in one session while records come and partitions are taken up and given up.
async fn read_in_a_session(broker: &Broker, topics: &[Topic], random: &mut StdRng) {
    let address = broker.local_addr().expect("a listener").to_string();
    let transport: Arc<dyn Transport> = Arc::new(TcpTransport::new(address, TcpTransportConfig::default()));
    let mut producer = IdempotentProducer::init(transport.clone()).await.expect("a producer id");
    let mut client = Client { transport, offsets: BTreeMap::new() };
    let all: Vec<(Topic, i32)> =
        topics.iter().flat_map(|topic| (0..PARTITIONS).map(|at| (topic.clone(), at))).collect();
    client.offsets.extend(all.iter().step_by(2).map(|partition| (partition.clone(), 0)));
    let first = FetchRequest {
        session_epoch: 0,
        topics: client.wanted(client.offsets.keys()),
        ..FetchRequest::default()
    };
    let answer = client.fetch(first).await;
    let session_id = answer.session_id;
    assert_ne!(session_id, 0, "there is room for a session");
    let mut known = view(&answer, &client.offsets);
    let mut told = 0;
    for session_epoch in 1..=ROUNDS {
        for (topic, partition) in &all {
            if !random.random_bool(0.1) {
                continue;
            }
            let to = TopicPartition::new(topic.name.as_str(), *partition);
            producer.send(vec![(to, vec![batch(random)])]).await.expect("produced");
        }
        // Go on behind what was read; take up and give up partitions.
        let (mut changed, mut forgotten) = (Vec::new(), Vec::new());
        for partition in &all {
            match client.offsets.get(partition).copied() {
                Some(offset) if random.random_bool(0.5) && known[partition].high_watermark > offset => {
                    client.offsets.insert(partition.clone(), known[partition].high_watermark);
                    changed.push(partition.clone());
                }
                Some(_) if random.random_bool(0.05) && client.offsets.len() > 1 => {
                    client.offsets.remove(partition);
                    known.remove(partition);
                    let (topic, partitions) = (partition.0.name.clone(), vec![partition.1]);
                    forgotten.push(ForgottenTopic { topic, topic_id: partition.0.id, partitions });
                }
                None if random.random_bool(0.1) => {
                    client.offsets.insert(partition.clone(), 0);
                    changed.push(partition.clone());
                }
                Some(_) | None => {}
            }
        }
        // The transport goes by them when it chooses a version.
        if changed.is_empty() {
            changed.extend(client.offsets.keys().next().cloned());
        }
        let request = FetchRequest {
            session_id,
            session_epoch,
            topics: client.wanted(changed.iter()),
            forgotten_topics_data: forgotten,
            ..FetchRequest::default()
        };
        let answer = client.fetch(request).await;
        assert_eq!(answer.session_id, session_id);
        let news = view(&answer, &client.offsets);
        told += news.len();
        // What is not mentioned is as it was, without further records.
        known.values_mut().for_each(|known| known.records = Bytes::new());
        known.extend(news);
        assert_eq!(known, client.full().await, "epoch {session_epoch}");
    }
    let everything = client.offsets.len() * usize::try_from(ROUNDS).expect("positive");
    assert!(told > 0 && told < everything, "{told} of {everything} partitions were told");
    let late = FetchRequest { session_id, session_epoch: 1, ..FetchRequest::default() };
    assert_eq!(client.fetch(late).await.error_code, ErrorCode::InvalidFetchSessionEpoch);
    let end = FetchRequest { session_id, session_epoch: -1, ..FetchRequest::default() };
    assert_eq!(client.fetch(end).await.error_code, ErrorCode::None);
    let next = FetchRequest { session_id, session_epoch: ROUNDS + 1, ..FetchRequest::default() };
    assert_eq!(client.fetch(next).await.error_code, ErrorCode::FetchSessionIdNotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incremental_session_tells_what_full_fetches_tell() {
    let seed = weir_broker::env::rng::test_seed();
    println!("WEIR_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    let admin = Admin::new(broker.transport());
    let (mut by_name, mut by_id) = (Vec::new(), Vec::new());
    for name in ["a", "b"] {
        admin.create_topic(name, PARTITIONS, &BTreeMap::new()).await.expect("created");
        let id = admin.describe_topic(name).await.expect("described").expect("exists").id.0;
        by_name.push(Topic { name: name.to_owned(), id: Uuid::nil() });
        by_id.push(Topic { name: name.to_owned(), id });
    }
    read_in_a_session(&broker, &by_name, &mut random).await;
    read_in_a_session(&broker, &by_id, &mut random).await;
    assert_eq!(broker.node().fetch_session_figures().sessions, 0);
    broker.shutdown().await.expect("a clean end");
}
