//! What fetches, listings and creations mean in the corners: limits over several partitions, waits, deletions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;
use weir_broker::broker::Broker;
use weir_broker::client::admin::Admin;
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::transport::Transport;
use weir_broker::config::BrokerConfig;
use weir_broker::ids::TopicPartition;
use weir_broker::net::config::ListenerConfig;
use weir_broker::protocol::api_key::ApiKey;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::frame::{decode_response, encode_request};
use weir_broker::protocol::header::RequestHeader;
use weir_broker::protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use weir_broker::protocol::messages::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use weir_broker::protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use weir_broker::protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use weir_broker::protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData,
};
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};

/// Sends a request in the process and takes the answer of the same API.
macro_rules! call {
    ($transport:expr, $api:ident, $request:expr) => {
        match $transport.send(Request::$api($request)).await.expect("answered") {
            Response::$api(response) => response,
            other => panic!("{other:?}"),
        }
    };
}

const DEADLINE: Duration = Duration::from_secs(120);

async fn start(dir: &Path, change: impl FnOnce(&mut BrokerConfig)) -> Broker {
    let mut config = BrokerConfig::new(dir);
    config.listeners.clear();
    change(&mut config);
    Broker::start(config).await.expect("the broker starts")
}

async fn create(transport: &Arc<dyn Transport>, topic: &str, partitions: i32) -> Uuid {
    let admin = Admin::new(transport.clone());
    admin.create_topic(topic, partitions, &BTreeMap::new()).await.expect("created");
    admin.describe_topic(topic).await.expect("described").expect("exists").id.0
}

/// One batch of one record with a timestamp and so many bytes of value.
fn batch(timestamp: i64, value_bytes: usize) -> Bytes {
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    builder.append(timestamp, Some(b"k"), Some(&vec![b'v'; value_bytes]), &[]);
    builder.build().expect("the batch builds")
}

async fn produce(transport: &Arc<dyn Transport>, topic: &str, partition: i32, batches: Vec<Bytes>) {
    let mut producer = IdempotentProducer::init(transport.clone()).await.expect("a producer id");
    producer.send(vec![(TopicPartition::new(topic, partition), batches)]).await.expect("produced");
}

struct Wait {
    max_ms: i32,
    min_bytes: i32,
    max_bytes: i32,
}

async fn fetch(transport: &Arc<dyn Transport>, topic_id: Uuid, partitions: i32, wait: Wait) -> FetchResponse {
    let partition =
        |partition| FetchPartition { partition, partition_max_bytes: 1 << 20, ..FetchPartition::default() };
    let topic = FetchTopic {
        topic_id,
        partitions: (0..partitions).map(partition).collect(),
        ..FetchTopic::default()
    };
    let request = FetchRequest {
        max_wait_ms: wait.max_ms,
        min_bytes: wait.min_bytes,
        max_bytes: wait.max_bytes,
        topics: vec![topic],
        ..FetchRequest::default()
    };
    let answer = async { call!(transport, Fetch, request) };
    tokio::time::timeout(DEADLINE, answer).await.expect("in time")
}

fn sizes(response: &FetchResponse) -> Vec<usize> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.records.as_ref().map_or(0, Bytes::len)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_hold_over_all_partitions_of_a_fetch() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path(), |_| {}).await;
    let transport = broker.transport();
    let id = create(&transport, "t", 3).await;
    for partition in 0..2 {
        produce(&transport, "t", partition, vec![batch(1, 1_000), batch(2, 1_000)]).await;
    }
    let one = batch(1, 1_000).len();
    // However small the limit, the first partition with records gives a batch, and no other one does.
    let small = fetch(&transport, id, 3, Wait { max_ms: 0, min_bytes: 1, max_bytes: 1 }).await;
    assert_eq!(sizes(&small), [one, 0, 0]);
    let three = i32::try_from(3 * one).expect("small");
    let more = fetch(&transport, id, 3, Wait { max_ms: 0, min_bytes: 1, max_bytes: three }).await;
    assert_eq!(sizes(&more), [2 * one, one, 0]);
    // What one partition lacks the others may give.
    let four = i32::try_from(4 * one).expect("small");
    let all =
        fetch(&transport, id, 3, Wait { max_ms: 3_600_000, min_bytes: four, max_bytes: i32::MAX }).await;
    assert_eq!(sizes(&all), [2 * one, 2 * one, 0]);
    // Records that come while the fetch waits count with those that were there.
    let waiting =
        fetch(&transport, id, 3, Wait { max_ms: 3_600_000, min_bytes: four + 1, max_bytes: i32::MAX });
    let producing = produce(&transport, "t", 2, vec![batch(3, 10)]);
    let (waited, ()) = tokio::join!(waiting, producing);
    assert!(sizes(&waited)[2] > 0);
    broker.shutdown().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_waits_is_told_when_its_topic_is_deleted() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path(), |_| {}).await;
    let transport = broker.transport();
    let id = create(&transport, "t", 1).await;
    let waiting = fetch(&transport, id, 1, Wait { max_ms: 3_600_000, min_bytes: 1, max_bytes: i32::MAX });
    let deleting = async {
        Admin::new(transport.clone()).delete_topics(&["t"]).await.expect("deleted");
    };
    let (waited, ()) = tokio::join!(waiting, deleting);
    let code = waited.responses[0].partitions[0].error_code;
    let told =
        [ErrorCode::NotLeaderOrFollower, ErrorCode::UnknownTopicOrPartition, ErrorCode::UnknownTopicId];
    assert!(told.contains(&code), "{code}");
    let again = fetch(&transport, id, 1, Wait { max_ms: 0, min_bytes: 1, max_bytes: i32::MAX }).await;
    assert_eq!(again.responses[0].partitions[0].error_code, ErrorCode::UnknownTopicId);
    broker.shutdown().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn special_timestamps_stand_for_ends_of_the_log() {
    const LATEST: i64 = -1;
    const EARLIEST: i64 = -2;
    const MAX_TIMESTAMP: i64 = -3;
    const EARLIEST_LOCAL: i64 = -4;
    const LATEST_TIERED: i64 = -5;
    const EARLIEST_TO_TIER: i64 = -6;
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path(), |_| {}).await;
    let transport = broker.transport();
    create(&transport, "t", 1).await;
    produce(&transport, "t", 0, [10, 30, 20].map(|timestamp| batch(timestamp, 1)).into()).await;
    let list = async |timestamp| {
        let partition =
            ListOffsetsPartition { partition_index: 0, timestamp, ..ListOffsetsPartition::default() };
        let topic = ListOffsetsTopic { name: "t".to_owned(), partitions: vec![partition] };
        let request = ListOffsetsRequest { topics: vec![topic], ..ListOffsetsRequest::default() };
        let answer = call!(transport, ListOffsets, request).topics.remove(0).partitions.remove(0);
        (answer.error_code, answer.offset, answer.timestamp)
    };
    assert_eq!(list(LATEST).await, (ErrorCode::None, 3, -1));
    assert_eq!(list(EARLIEST).await, (ErrorCode::None, 0, -1));
    assert_eq!(list(MAX_TIMESTAMP).await, (ErrorCode::None, 1, 30));
    assert_eq!(list(EARLIEST_LOCAL).await, (ErrorCode::None, 0, -1));
    assert_eq!(list(LATEST_TIERED).await, (ErrorCode::None, -1, -1));
    assert_eq!(list(EARLIEST_TO_TIER).await, (ErrorCode::None, -1, -1));
    assert_eq!(list(11).await, (ErrorCode::None, 1, 30));
    assert_eq!(list(31).await, (ErrorCode::None, -1, -1));
    assert_eq!(list(-9).await.0, ErrorCode::UnsupportedVersion);
    let before = TopicPartition::new("t", 0);
    Admin::new(transport.clone()).delete_records(&before, 2).await.expect("deleted");
    assert_eq!(list(EARLIEST).await, (ErrorCode::None, 2, -1));
    assert_eq!(list(0).await, (ErrorCode::None, 2, 20));
    broker.shutdown().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_made_on_demand_only_where_that_is_switched_on_and_wanted() {
    for (on, allowed, made) in [(false, true, false), (true, false, false), (true, true, true)] {
        let dir = tempfile::tempdir().expect("a directory");
        let broker = start(dir.path(), |config| {
            config.auto_create_topics = on;
            config.num_partitions = 3;
        })
        .await;
        let transport = broker.transport();
        let topic = MetadataRequestTopic { topic_id: Uuid::nil(), name: Some("new".to_owned()) };
        let request = MetadataRequest {
            topics: Some(vec![topic]),
            allow_auto_topic_creation: allowed,
            ..MetadataRequest::default()
        };
        let answer = call!(transport, Metadata, request).topics.remove(0);
        let expected = if made { ErrorCode::None } else { ErrorCode::UnknownTopicOrPartition };
        assert_eq!(answer.error_code, expected, "on={on} allowed={allowed}");
        assert_eq!(answer.partitions.len(), if made { 3 } else { 0 });
        broker.shutdown().await.expect("a clean end");
    }
}

/// Produces once, by topic id. Returns the answer for partition 0.
async fn try_produce(
    transport: &Arc<dyn Transport>,
    topic_id: Uuid,
    records: Option<Bytes>,
) -> PartitionProduceResponse {
    let data = PartitionProduceData { index: 0, records };
    let topic = TopicProduceData { topic_id, partition_data: vec![data], ..TopicProduceData::default() };
    let request =
        ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic], ..ProduceRequest::default() };
    call!(transport, Produce, request).responses.remove(0).partition_responses.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_learns_which_records_are_to_blame() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path(), |_| {}).await;
    let transport = broker.transport();
    let admin = Admin::new(transport.clone());
    let compact = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
    admin.create_topic("compacted", 1, &compact).await.expect("created");
    let id = admin.describe_topic("compacted").await.expect("described").expect("exists").id.0;
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    for key in [Some(b"k"), None, None] {
        builder.append(1, key.map(|key| &key[..]), Some(b"v"), &[]);
    }
    let refused = try_produce(&transport, id, Some(builder.build().expect("builds"))).await;
    assert_eq!((refused.error_code, refused.base_offset), (ErrorCode::InvalidRecord, -1));
    let blamed: Vec<i32> = refused.record_errors.iter().map(|error| error.batch_index).collect();
    assert_eq!(blamed, [1, 2]);
    assert!(refused.error_message.expect("a sentence").contains("no key"));
    // A code that clients do not repeat the request for.
    for nothing in [None, Some(Bytes::new())] {
        assert_eq!(try_produce(&transport, id, nothing).await.error_code, ErrorCode::InvalidRecord);
    }
    // What is kept by key is not deleted by offset.
    let before = TopicPartition::new("compacted", 0);
    let error = admin.delete_records(&before, 0).await.expect_err("refused");
    assert!(format!("{error:?}").contains("PolicyViolation"), "{error:?}");
    broker.shutdown().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_metrics_cannot_tell_apart_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path(), |_| {}).await;
    let transport = broker.transport();
    let topic = |name: &str| CreatableTopic {
        name: name.to_owned(),
        num_partitions: 1,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let create = async |names: &[&str]| -> Vec<ErrorCode> {
        let topics = names.iter().map(|name| topic(name)).collect();
        let request = CreateTopicsRequest { topics, timeout_ms: 30_000, ..CreateTopicsRequest::default() };
        let answer = call!(transport, CreateTopics, request);
        answer.topics.iter().map(|topic| topic.error_code).collect()
    };
    let (good, collides) = (ErrorCode::None, ErrorCode::InvalidTopicException);
    assert_eq!(create(&["a.b", "a_b"]).await, [good, collides]);
    assert_eq!(
        create(&["a_b", "a.b", "a-b", "ab", "a.b."]).await,
        [collides, ErrorCode::TopicAlreadyExists, good, good, good]
    );
    Admin::new(transport.clone()).delete_topics(&["a.b"]).await.expect("deleted");
    assert_eq!(create(&["a_b"]).await, [good]);
    broker.shutdown().await.expect("a clean end");
}

/// A frame as clients send it.
fn frame(correlation_id: i32, api_version: i16, request: &Request) -> Bytes {
    let header = RequestHeader { api_key: request.api_key(), api_version, correlation_id, client_id: None };
    encode_request(&header, request).expect("encodable").to_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_that_wants_no_answer_learns_of_a_failure_by_the_end_of_its_connection() {
    const VERSION: i16 = 9;
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path(), |config| {
        let address = "127.0.0.1:0".to_owned();
        config.listeners = vec![ListenerConfig { address, ..ListenerConfig::default() }];
    })
    .await;
    create(&broker.transport(), "t", 1).await;
    let request = |name: &str, acks| {
        let data = PartitionProduceData { index: 0, records: Some(batch(1, 1)) };
        let topic = TopicProduceData {
            name: name.to_owned(),
            partition_data: vec![data],
            ..TopicProduceData::default()
        };
        Request::from(ProduceRequest {
            acks,
            timeout_ms: 30_000,
            topic_data: vec![topic],
            ..ProduceRequest::default()
        })
    };
    let address = broker.local_addr().expect("a listener");
    let mut stream = TcpStream::connect(address).await.expect("accepted");
    // What is taken is not answered, and the connection goes on.
    for (id, acks) in [(1, 0), (2, 0), (3, 1)] {
        stream.write_all(&frame(id, VERSION, &request("t", acks))).await.expect("written");
    }
    let length =
        tokio::time::timeout(DEADLINE, stream.read_i32()).await.expect("in time").expect("an answer");
    let mut answer = vec![0; usize::try_from(length).expect("a length")];
    stream.read_exact(&mut answer).await.expect("whole");
    let (id, answer) = decode_response(ApiKey::Produce, VERSION, answer.into()).expect("well-formed");
    let Response::Produce(answer) = answer else { panic!("{answer:?}") };
    assert_eq!((id, answer.responses[0].partition_responses[0].base_offset), (3, 2));
    stream.write_all(&frame(4, VERSION, &request("gone", 0))).await.expect("written");
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("in time");
    assert_eq!(ended.expect("a clean end"), 0);
    broker.shutdown().await.expect("a clean end");
}
