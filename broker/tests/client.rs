//! The client's batching producer, group member and cluster transport against a whole broker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use weir_broker::broker::Broker;
use weir_broker::client::admin::Admin;
use weir_broker::client::cluster::ClusterTransport;
use weir_broker::client::consumer::classic_assignor::ClassicAssignor;
use weir_broker::client::consumer::member::GroupMember;
use weir_broker::client::consumer::membership::MemberEvent;
use weir_broker::client::consumer::positions::Positions;
use weir_broker::client::consumer::reader::{FetchOptions, Reader};
use weir_broker::client::group_offsets;
use weir_broker::client::metadata_cache::MetadataCacheConfig;
use weir_broker::client::producer::batching::BatchingProducer;
use weir_broker::client::producer::config::{Acks, ProducerConfig};
use weir_broker::client::producer::record::{ProducerRecord, ProducerTopic};
use weir_broker::client::producer::transactional::{GroupPosition, TransactionalProducer};
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::client::transport::Transport;
use weir_broker::config::BrokerConfig;
use weir_broker::ids::{Offset, TopicPartition};
use weir_broker::net::config::ListenerConfig;
use weir_broker::record::compression::{Compression, DecompressBuf};

const PATIENCE: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 4;

struct Setup {
    broker: Broker,
    address: String,
    transport: Arc<dyn Transport>,
    _dir: tempfile::TempDir,
}

/// A broker with topic "t", reached through a cluster transport.
async fn start() -> Setup {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = BrokerConfig::new(dir.path());
    config.listeners =
        vec![ListenerConfig { address: "127.0.0.1:0".to_owned(), ..ListenerConfig::default() }];
    config.set("group.consumer.heartbeat.interval.ms", "50").expect("known");
    let broker = Broker::start(config).await.expect("the broker starts");
    let address = broker.local_addr().expect("a listener is configured").to_string();
    let transport = connect(&address);
    Admin::new(transport.clone()).create_topic("t", PARTITIONS, &BTreeMap::new()).await.expect("created");
    Setup { broker, address, transport, _dir: dir }
}

fn connect(address: &str) -> Arc<dyn Transport> {
    let link = |address: &str| -> Arc<dyn Transport> {
        Arc::new(TcpTransport::new(address, TcpTransportConfig::default()))
    };
    Arc::new(ClusterTransport::new(vec![address.to_owned()], MetadataCacheConfig::default(), link))
}

/// Values of each partition, in the order in which they are stored.
async fn stored(transport: &Arc<dyn Transport>) -> BTreeMap<i32, Vec<u64>> {
    let reader = Reader::new(transport.clone());
    let options = FetchOptions { wait_max: Duration::ZERO, ..FetchOptions::default() };
    let mut scratch = DecompressBuf::default();
    let mut values: BTreeMap<i32, Vec<u64>> = BTreeMap::new();
    let mut positions: Vec<(TopicPartition, Offset)> =
        (0..PARTITIONS).map(|partition| (TopicPartition::new("t", partition), 0)).collect();
    loop {
        let before = positions.clone();
        for (partition, fetched) in reader.fetch(&before, &options).await.expect("fetched") {
            let fetched = fetched.expect("readable");
            for batch in &fetched.batches {
                for record in batch.records(&mut scratch).expect("decompresses") {
                    let value = record.expect("well formed").value.expect("a value");
                    let number = std::str::from_utf8(value).expect("text").parse().expect("a number");
                    values.entry(partition.partition).or_default().push(number);
                }
            }
            let position = positions.iter_mut().find(|(of, _)| *of == partition).expect("asked for");
            position.1 = fetched.next_offset;
        }
        if positions == before {
            return values;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_stored_once_and_in_order_through_a_small_buffer() {
    const RECORDS: u64 = 20_000;
    for (acks, compression) in
        [(Acks::All, Compression::None), (Acks::All, Compression::Lz4), (Acks::Leader, Compression::None)]
    {
        let setup = start().await;
        let config = ProducerConfig {
            linger: Duration::from_millis(2),
            batch_bytes: 4 << 10,
            buffer_bytes_max: 64 << 10,
            acks,
            compression,
        };
        let producer = BatchingProducer::start(setup.transport.clone(), config).await.expect("started");
        let topic = producer.add_topic(ProducerTopic::new("t", PARTITIONS));
        let mut last = None;
        for number in 0..RECORDS {
            let (key, value) = ((number % 100).to_string(), number.to_string());
            let key = (number % 2 == 0).then_some(key.as_bytes());
            let record = ProducerRecord { key, value: Some(value.as_bytes()), ..ProducerRecord::default() };
            if number + 1 == RECORDS {
                last = Some(producer.send_tracked(topic, &record).await.expect("taken"));
            } else {
                producer.send(topic, &record).await.expect("taken");
            }
        }
        producer.close().await.expect("stored");
        let last = last.expect("tracked").wait().await.expect("stored");
        let stored = stored(&setup.transport).await;
        assert_eq!(stored.len(), usize::try_from(PARTITIONS).expect("few"), "all partitions have some");
        assert!(stored.values().all(|values| values.is_sorted()), "{acks:?}");
        let all: BTreeSet<u64> = stored.values().flatten().copied().collect();
        assert_eq!(
            (all.len() as u64, stored.values().map(Vec::len).sum::<usize>() as u64),
            (RECORDS, RECORDS)
        );
        let partition = &stored[&last.partition.partition];
        assert_eq!(partition[usize::try_from(last.offset.expect("known")).expect("small")], RECORDS - 1);
        setup.broker.shutdown().await.expect("a clean end");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_committed_transactions_are_seen_with_their_offsets() {
    let setup = start().await;
    let inner = TransactionalProducer::init(setup.transport.clone(), "id", 60_000).await.expect("an id");
    let producer = BatchingProducer::transactional(inner, ProducerConfig::default());
    let topic = producer.add_topic(ProducerTopic::new("t", PARTITIONS));
    for (number, is_committed) in [(1, true), (2, false), (3, true)] {
        let value = number.to_string();
        let record =
            ProducerRecord { value: Some(value.as_bytes()), partition: Some(0), ..ProducerRecord::default() };
        producer.send(topic, &record).await.expect("taken");
        producer.flush().await.expect("stored");
        if is_committed {
            let position = GroupPosition {
                group_id: "g".to_owned(),
                offsets: vec![(TopicPartition::new("t", 1), number)],
                ..GroupPosition::default()
            };
            producer.commit(Some(position)).await.expect("committed");
        } else {
            producer.abort().await.expect("aborted");
        }
    }
    producer.close().await.expect("nothing is open");
    assert_eq!(stored(&setup.transport).await, BTreeMap::from([(0, vec![1, 3])]));
    let committed = group_offsets::fetch(&setup.transport, "g").await.expect("fetched");
    assert_eq!(committed, BTreeMap::from([(TopicPartition::new("t", 1), 3)]));
    setup.broker.shutdown().await.expect("a clean end");
}

/// A member with its positions.
struct Consumer {
    transport: Arc<dyn Transport>,
    member: GroupMember,
    positions: Positions,
}

impl Consumer {
    /// With the protocol of KIP-848, or with the classic one and this assignor.
    async fn new(setup: &Setup, classic: Option<ClassicAssignor>) -> Self {
        let transport = connect(&setup.address);
        let topic = Admin::new(transport.clone()).describe_topic("t").await.expect("answered");
        let id = topic.expect("exists").id;
        let topics = [(id, Arc::from("t"))];
        let member = match classic {
            None => GroupMember::new(transport.clone(), "g", topics),
            Some(assignor) => GroupMember::classic(transport.clone(), "g", topics, assignor),
        };
        Self { transport, member, positions: Positions::default() }
    }

    /// A heartbeat, if it is due. Each owner of a partition moves its offset on by one.
    async fn step(&mut self) {
        match self.member.heartbeat().await.expect("answered") {
            MemberEvent::Unchanged => {}
            MemberEvent::Fenced { .. } => panic!("no member is late"),
            MemberEvent::Assigned { revoked, .. } => {
                for partition in revoked {
                    let next = self.positions.next(&partition).expect("was read") + 1;
                    self.positions.seek(partition, next);
                }
                let offsets = self.positions.uncommitted();
                self.member.commit(&offsets).await.expect("committed");
                self.positions.note_committed(&offsets);
                self.member.confirm();
                self.positions.retain(self.member.assigned());
                let committed = group_offsets::fetch(&self.transport, "g").await.expect("fetched");
                for partition in self.positions.missing(self.member.assigned()) {
                    let offset = committed.get(&partition).copied().unwrap_or(0);
                    self.positions.resume(partition, offset);
                }
            }
        }
    }

    fn count(&self) -> usize {
        self.member.assigned().len()
    }
}

/// Steps a member until all members have as many partitions as they should. Shape: `counts[member]`.
async fn settle(
    mut consumer: Consumer,
    counts: Arc<Vec<AtomicUsize>>,
    (member, count): (usize, usize),
) -> Consumer {
    let started = Instant::now();
    let all_have = || counts.iter().all(|have| have.load(Ordering::SeqCst) == count);
    while !all_have() {
        assert!(started.elapsed() < PATIENCE, "member {member} has {} partitions", consumer.count());
        consumer.step().await;
        counts[member].store(consumer.count(), Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    consumer
}

fn counts(members: usize) -> Arc<Vec<AtomicUsize>> {
    Arc::new((0..members).map(|_| AtomicUsize::new(0)).collect())
}

/// Members are tasks: with the classic protocol they wait for each other.
async fn check_members(classic: Option<ClassicAssignor>) {
    let setup = start().await;
    let first = settle(Consumer::new(&setup, classic).await, counts(1), (0, 4)).await;
    let second = Consumer::new(&setup, classic).await;
    let halves = counts(2);
    let first = tokio::spawn(settle(first, halves.clone(), (0, 2)));
    let second = tokio::spawn(settle(second, halves, (1, 2)));
    let (first, second) = (first.await.expect("halved"), second.await.expect("halved"));
    let (mine, yours) = (first.member.assigned(), second.member.assigned());
    assert!(mine.is_disjoint(yours), "{classic:?}: a partition has two owners: {mine:?}, {yours:?}");
    assert!(
        second.positions.iter().all(|(_, offset)| offset >= 1),
        "{classic:?}: where the first one stopped"
    );
    first.member.leave().await.expect("left");
    let second = settle(second, counts(1), (0, 4)).await;
    second.member.leave().await.expect("left");
    setup.broker.shutdown().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_share_partitions_and_hand_them_over_with_their_offsets() {
    check_members(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_the_classic_protocol_do_so_with_both_assignors() {
    check_members(Some(ClassicAssignor::Range)).await;
    check_members(Some(ClassicAssignor::CooperativeSticky)).await;
}
