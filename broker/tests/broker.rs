//! A whole broker, through its TCP listener and through the in-process transport.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;
use weir_broker::broker::Broker;
use weir_broker::client::admin::Admin;
use weir_broker::client::consumer::reader::{FetchOptions, Reader};
use weir_broker::client::group_offsets;
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::producer::transactional::{GroupPosition, TransactionalProducer};
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::client::transport::Transport;
use weir_broker::config::BrokerConfig;
use weir_broker::ids::{ProducerEpoch, ProducerId, TopicPartition};
use weir_broker::log::access::{Isolation, OffsetSpec};
use weir_broker::net::config::ListenerConfig;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use weir_broker::protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};
use weir_broker::record::compression::{Compression, DecompressBuf};

const TIMEOUT_MS: i32 = 60_000;

async fn start(dir: &Path) -> Broker {
    let mut config = BrokerConfig::new(dir);
    config.listeners =
        vec![ListenerConfig { address: "127.0.0.1:0".to_owned(), ..ListenerConfig::default() }];
    Broker::start(config).await.expect("the broker starts")
}

fn tcp(broker: &Broker) -> Arc<dyn Transport> {
    let address = broker.local_addr().expect("a listener is configured").to_string();
    Arc::new(TcpTransport::new(address, TcpTransportConfig::default()))
}

fn batch(values: &[&str], compression: Compression) -> Bytes {
    let mut builder = RecordBatchBuilder::new(BatchOptions { compression, ..BatchOptions::default() });
    for value in values {
        builder.append(1_700_000_000_000, Some(b"key"), Some(value.as_bytes()), &[]);
    }
    builder.build().expect("the batch builds")
}

fn partition(topic: &str, index: i32) -> TopicPartition {
    TopicPartition::new(topic, index)
}

/// Everything readable in a partition from the start.
async fn read(transport: &Arc<dyn Transport>, from: &TopicPartition, isolation: Isolation) -> Vec<String> {
    let reader = Reader::new(transport.clone());
    let options = FetchOptions { isolation, wait_max: Duration::ZERO, ..FetchOptions::default() };
    let mut values = Vec::new();
    let mut scratch = DecompressBuf::default();
    let mut offset = 0;
    loop {
        let mut fetched = reader.fetch(&[(from.clone(), offset)], &options).await.expect("fetched");
        let records = fetched.pop().expect("one partition").1.expect("readable");
        for batch in &records.batches {
            for record in batch.records(&mut scratch).expect("decompresses") {
                let record = record.expect("well formed");
                if record.offset >= offset {
                    values.push(String::from_utf8_lossy(record.value.expect("a value")).into_owned());
                }
            }
        }
        if records.next_offset == offset {
            return values;
        }
        offset = records.next_offset;
    }
}

async fn create(transport: &Arc<dyn Transport>, topic: &str, partitions: i32) {
    Admin::new(transport.clone()).create_topic(topic, partitions, &BTreeMap::new()).await.expect("created");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_produced_with_any_codec_is_read_and_survives_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    let transport = tcp(&broker);
    create(&transport, "t", 2).await;
    let t0 = partition("t", 0);
    let mut producer = IdempotentProducer::init(transport.clone()).await.expect("a producer id");
    let mut expected = Vec::new();
    for compression in Compression::ALL {
        let value = compression.name();
        let produced = producer
            .send(vec![(t0.clone(), vec![batch(&[value, value], compression), batch(&[value], compression)])])
            .await
            .expect("produced");
        assert_eq!(produced.len(), 2);
        expected.extend([value, value, value].map(str::to_owned));
    }
    assert_eq!(read(&transport, &t0, Isolation::ReadUncommitted).await, expected);
    // A note without a position is no offset and lags behind nothing.
    let noted = (partition("t", 1), group_offsets::NO_POSITION);
    group_offsets::commit(&transport, "g", &[(t0.clone(), 7), noted]).await.expect("committed");
    let local = broker.transport();
    assert_eq!(read(&local, &t0, Isolation::ReadCommitted).await, expected);
    drop(transport);
    broker.shutdown().await.expect("a clean end");

    let broker = start(dir.path()).await;
    let transport = tcp(&broker);
    assert_eq!(read(&transport, &t0, Isolation::ReadUncommitted).await, expected);
    let offsets = group_offsets::fetch(&transport, "g").await.expect("fetched");
    assert_eq!(offsets, BTreeMap::from([(t0, 7)]));
    let topics = Admin::new(transport).list_topics().await.expect("listed");
    let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    assert_eq!(names, ["__consumer_offsets", "__transaction_state", "t"]);
    let lags: Vec<_> = broker.group_lags().iter().map(|lag| (lag.committed, lag.lag)).collect();
    assert_eq!(lags, [(7, 8)]);
    broker.shutdown().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_batch_is_stored_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    let transport = tcp(&broker);
    create(&transport, "t", 1).await;
    let send = async |sequence: i32| {
        let mut builder = RecordBatchBuilder::new(BatchOptions {
            producer_id: ProducerId(123_456),
            producer_epoch: ProducerEpoch(0),
            base_sequence: sequence,
            ..BatchOptions::default()
        });
        builder.append(1, None, Some(b"v"), &[]);
        let data = PartitionProduceData { index: 0, records: Some(builder.build().expect("builds")) };
        let topic = TopicProduceData {
            name: "t".to_owned(),
            partition_data: vec![data],
            ..TopicProduceData::default()
        };
        let request =
            ProduceRequest { transactional_id: None, acks: -1, timeout_ms: 30_000, topic_data: vec![topic] };
        match transport.send(Request::Produce(request)).await.expect("answered") {
            Response::Produce(mut response) => {
                let answer = response.responses.remove(0).partition_responses.remove(0);
                (answer.error_code, answer.base_offset)
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(send(0).await, (ErrorCode::None, 0));
    assert_eq!(send(1).await, (ErrorCode::None, 1));
    assert_eq!(send(1).await, (ErrorCode::None, 1), "a duplicate is told where the original is");
    assert_eq!(send(3).await.0, ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(read(&transport, &partition("t", 0), Isolation::ReadUncommitted).await.len(), 2);
    broker.shutdown().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_is_visible_as_a_whole_or_not_at_all() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    for (topic, transport) in [("tcp", tcp(&broker)), ("local", broker.transport())] {
        create(&transport, topic, 2).await;
        let (p0, p1) = (partition(topic, 0), partition(topic, 1));
        let mut producer = TransactionalProducer::init(transport.clone(), &format!("{topic}-id"), TIMEOUT_MS)
            .await
            .expect("init");
        let none = Compression::None;
        let both = |a: &str, b: &str| {
            vec![(p0.clone(), vec![batch(&[a], none)]), (p1.clone(), vec![batch(&[b], none)])]
        };

        producer.produce(both("a0", "a1")).await.expect("handed over");
        let position = |offset| GroupPosition {
            group_id: format!("{topic}-g"),
            offsets: vec![(p0.clone(), offset)],
            ..GroupPosition::default()
        };
        let produced = producer.commit(Some(&position(10))).await.expect("committed");
        assert_eq!(produced.len(), 2);

        producer.produce(both("x0", "x1")).await.expect("handed over");
        producer.abort().await.expect("aborted");

        producer.produce(both("b0", "b1")).await.expect("handed over");
        producer
            .produce(vec![(p0.clone(), vec![batch(&["b2"], none), batch(&["b3"], none)])])
            .await
            .expect("handed over");
        producer.commit(Some(&position(20))).await.expect("committed");

        producer.produce(both("open", "open")).await.expect("handed over");
        let committed = read(&transport, &p0, Isolation::ReadCommitted).await;
        assert_eq!(committed, ["a0", "b0", "b2", "b3"]);
        assert_eq!(read(&transport, &p1, Isolation::ReadCommitted).await, ["a1", "b1"]);
        producer.abort().await.expect("aborted");
        let uncommitted = read(&transport, &p0, Isolation::ReadUncommitted).await;
        assert_eq!(uncommitted, ["a0", "x0", "b0", "b2", "b3", "open"]);
        let offsets = group_offsets::fetch(&transport, &format!("{topic}-g")).await.expect("fetched");
        assert_eq!(offsets, BTreeMap::from([(p0.clone(), 20)]));
    }
    broker.shutdown().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_producer_fences_the_old_one_and_aborts_its_transaction() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    let transport = broker.transport();
    create(&transport, "t", 1).await;
    let t0 = partition("t", 0);
    let one = |value: &str| vec![(t0.clone(), vec![batch(&[value], Compression::None)])];
    let mut old = TransactionalProducer::init(transport.clone(), "id", TIMEOUT_MS).await.expect("init");
    old.produce(one("zombie")).await.expect("handed over");
    let mut new = TransactionalProducer::init(transport.clone(), "id", TIMEOUT_MS).await.expect("init");
    new.produce(one("new")).await.expect("handed over");
    new.commit(None).await.expect("committed");
    let error = old.commit(None).await.expect_err("fenced");
    assert!(error.is_fenced(), "{error}");
    assert_eq!(read(&transport, &t0, Isolation::ReadCommitted).await, ["new"]);
    broker.shutdown().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_transaction_goes_on_after_a_restart_and_a_finished_one_stays_finished() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    let transport = broker.transport();
    create(&transport, "t", 2).await;
    let t0 = partition("t", 0);
    let one = |value: &str| vec![(t0.clone(), vec![batch(&[value], Compression::None)])];
    let mut producer = TransactionalProducer::init(transport.clone(), "id", TIMEOUT_MS).await.expect("init");
    producer.produce(one("committed")).await.expect("handed over");
    producer.commit(None).await.expect("committed");
    let mut orphan =
        TransactionalProducer::init(transport.clone(), "orphan", TIMEOUT_MS).await.expect("init");
    orphan
        .produce(vec![(partition("t", 1), vec![batch(&["orphan"], Compression::None)])])
        .await
        .expect("handed over");
    broker.shutdown().await.expect("a clean end");

    let broker = start(dir.path()).await;
    let transport = broker.transport();
    assert_eq!(read(&transport, &t0, Isolation::ReadCommitted).await, ["committed"]);
    let offsets = broker.partition_figures();
    let figures = offsets.iter().find(|one| one.partition == partition("t", 1)).expect("exists");
    assert_eq!(figures.offsets.last_stable, 0, "the transaction is still open");
    // The next incarnation ends it.
    TransactionalProducer::init(transport.clone(), "orphan", TIMEOUT_MS).await.expect("init");
    let offsets = broker.partition_figures();
    let figures = offsets.iter().find(|one| one.partition == partition("t", 1)).expect("exists");
    assert_eq!(figures.offsets.last_stable, figures.offsets.log_end);
    assert!(read(&transport, &partition("t", 1), Isolation::ReadCommitted).await.is_empty());
    broker.shutdown().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_administered() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    let transport = tcp(&broker);
    let admin = Admin::new(transport.clone());
    let configs = BTreeMap::from([("retention.ms".to_owned(), "1000".to_owned())]);
    admin.create_topic("t", 3, &configs).await.expect("created");
    let refused = admin.create_topic("t", 3, &configs).await.expect_err("exists");
    assert_eq!(refused.code(), Some(ErrorCode::TopicAlreadyExists));
    let unknown = BTreeMap::from([("retention".to_owned(), "1".to_owned())]);
    let refused = admin.create_topic("u", 1, &unknown).await.expect_err("unknown setting");
    assert_eq!(refused.code(), Some(ErrorCode::InvalidConfig));
    let refused = admin.create_topic("u v", 1, &BTreeMap::new()).await.expect_err("bad name");
    assert_eq!(refused.code(), Some(ErrorCode::InvalidTopicException));
    assert_eq!(admin.describe_configs("t").await.expect("described")["retention.ms"], "1000");
    let changes = BTreeMap::from([
        ("retention.ms".to_owned(), None),
        ("cleanup.policy".to_owned(), Some("compact,delete".to_owned())),
    ]);
    admin.alter_configs("t", &changes).await.expect("altered");
    let configs = admin.describe_configs("t").await.expect("described");
    assert_eq!(
        (configs["retention.ms"].as_str(), configs["cleanup.policy"].as_str()),
        ("604800000", "compact,delete")
    );
    admin.create_partitions("t", 5).await.expect("grown");
    assert_eq!(admin.describe_topic("t").await.expect("described").expect("exists").partitions, 5);
    let mut producer = IdempotentProducer::init(transport.clone()).await.expect("a producer id");
    let t4 = partition("t", 4);
    let values = ["a", "b", "c"];
    producer.send(vec![(t4.clone(), vec![batch(&values, Compression::Zstd)])]).await.expect("produced");
    let wanted = [
        (t4.clone(), OffsetSpec::Latest),
        (t4.clone(), OffsetSpec::Earliest),
        (t4.clone(), OffsetSpec::Timestamp(0)),
    ];
    let listed = admin.list_offsets(&wanted, Isolation::ReadUncommitted).await.expect("listed");
    assert_eq!(listed.iter().map(|one| one.offset).collect::<Vec<_>>(), [Some(3), Some(0), Some(0)]);
    assert_eq!(admin.delete_records(&t4, 2).await.expect("deleted"), 2);
    let reader = Reader::new(transport.clone());
    let mut fetched = reader.fetch(&[(t4, 0)], &FetchOptions::default()).await.expect("answered");
    let error = fetched.pop().expect("one").1.expect_err("out of range");
    assert_eq!(error.code(), Some(ErrorCode::OffsetOutOfRange));
    admin.delete_topics(&["t"]).await.expect("deleted");
    assert_eq!(admin.describe_topic("t").await.expect("described"), None);
    admin.create_topic("t", 1, &BTreeMap::new()).await.expect("the name is free again");
    assert!(read(&transport, &partition("t", 0), Isolation::ReadUncommitted).await.is_empty());
    broker.shutdown().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_fetch_is_answered_when_records_come() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    let transport = tcp(&broker);
    create(&transport, "t", 1).await;
    let t0 = partition("t", 0);
    let reader = Reader::new(tcp(&broker));
    let options = FetchOptions { wait_max: Duration::from_secs(60), ..FetchOptions::default() };
    let wanted = [(t0.clone(), 0)];
    let waiting = reader.fetch(&wanted, &options);
    let producing = async {
        let mut producer = IdempotentProducer::init(transport.clone()).await.expect("a producer id");
        producer.send(vec![(t0.clone(), vec![batch(&["v"], Compression::None)])]).await.expect("produced");
    };
    let deadline = Duration::from_secs(120);
    let (fetched, ()) =
        tokio::time::timeout(deadline, async { tokio::join!(waiting, producing) }).await.expect("in time");
    let records = fetched.expect("fetched").pop().expect("one").1.expect("readable");
    assert_eq!(records.batches.len(), 1);
    broker.shutdown().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_found_by_id_whatever_name_comes_with_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    let transport = tcp(&broker);
    create(&transport, "t", 1).await;
    let ask = async |name: Option<&str>, topic_id: Uuid| {
        let topic = MetadataRequestTopic { topic_id, name: name.map(str::to_owned) };
        let request = MetadataRequest { topics: Some(vec![topic]), ..MetadataRequest::default() };
        match transport.send(Request::Metadata(request)).await.expect("answered") {
            Response::Metadata(mut response) => response.topics.remove(0),
            other => panic!("{other:?}"),
        }
    };
    let by_name = ask(Some("t"), Uuid::nil()).await;
    assert_eq!(by_name.error_code, ErrorCode::None);
    for name in [None, Some("")] {
        let by_id = ask(name, by_name.topic_id).await;
        assert_eq!((by_id.error_code, by_id.name.as_deref()), (ErrorCode::None, Some("t")));
        assert_eq!(ask(name, Uuid::from_u128(7)).await.error_code, ErrorCode::UnknownTopicId);
    }
    broker.shutdown().await.expect("a clean end");
}

/// The runtime lets a task use so many ready resources before it makes it wait for the next, ready or not.
const TASK_BUDGET: usize = 128;

#[tokio::test(flavor = "multi_thread")]
async fn batches_keep_their_order_in_a_task_whose_time_is_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    let transport = tcp(&broker);
    Admin::new(transport.clone()).create_topic("t", 1, &BTreeMap::new()).await.expect("created");
    let producing = {
        let transport = transport.clone();
        async move {
            let mut producer = IdempotentProducer::init(transport).await.expect("a producer id");
            let (sender, mut receiver) = tokio::sync::mpsc::channel(TASK_BUDGET);
            for number in 0..20 {
                tokio::task::yield_now().await;
                if number % 2 == 0 {
                    for _ in 0..TASK_BUDGET {
                        sender.try_send(()).expect("room");
                        receiver.recv().await.expect("just sent");
                    }
                }
                let one = batch(&[&number.to_string()], Compression::None);
                producer.produce(vec![(partition("t", 0), vec![one])]).await.expect("handed over");
            }
            producer.flush().await.expect("in order");
        }
    };
    tokio::spawn(producing).await.expect("no panic");
    let expected: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    assert_eq!(read(&transport, &partition("t", 0), Isolation::ReadUncommitted).await, expected);
    broker.shutdown().await.expect("a clean stop");
}
