//! Damaged files under a whole broker: one partition goes offline, the node serves the rest, and says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use weir_broker::broker::{Broker, StartError};
use weir_broker::client::admin::Admin;
use weir_broker::client::consumer::reader::{FetchOptions, Reader};
use weir_broker::client::transport::Transport;
use weir_broker::config::BrokerConfig;
use weir_broker::error::Error;
use weir_broker::ids::TopicPartition;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::describe_log_dirs::DescribeLogDirsRequest;
use weir_broker::protocol::messages::metadata::MetadataRequest;
use weir_broker::protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};

async fn start(dir: &Path) -> Result<Broker, StartError> {
    let mut config = BrokerConfig::new(dir);
    config.listeners.clear();
    Broker::start(config).await
}

fn batch(value: &str) -> Bytes {
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    builder.append(1_700_000_000_000, Some(b"key"), Some(value.as_bytes()), &[]);
    builder.build().expect("the batch builds")
}

/// One record, once: the answer is not asked for again.
async fn produce(transport: &Arc<dyn Transport>, to: &TopicPartition) -> Result<(), ErrorCode> {
    let data = PartitionProduceData { index: to.partition, records: Some(batch("v")) };
    let topic = TopicProduceData {
        name: to.topic.to_string(),
        partition_data: vec![data],
        ..TopicProduceData::default()
    };
    let request =
        ProduceRequest { acks: -1, timeout_ms: 60_000, topic_data: vec![topic], ..ProduceRequest::default() };
    let Ok(Response::Produce(answer)) = transport.send(Request::Produce(request)).await else {
        panic!("no answer")
    };
    match answer.responses[0].partition_responses[0].error_code {
        ErrorCode::None => Ok(()),
        code => Err(code),
    }
}

/// The high watermark, or why the partition cannot be read.
async fn fetch(transport: &Arc<dyn Transport>, from: &TopicPartition) -> Result<i64, ErrorCode> {
    let options = FetchOptions { wait_max: Duration::ZERO, ..FetchOptions::default() };
    let reader = Reader::new(transport.clone());
    let mut fetched = reader.fetch(&[(from.clone(), 0)], &options).await.expect("answered");
    let outcome = fetched.pop().expect("one partition").1;
    outcome.map(|records| records.high_watermark).map_err(|error| error.code().expect("the broker answers"))
}

fn partition(topic: &str, index: i32) -> TopicPartition {
    TopicPartition::new(topic, index)
}

/// A data directory in which topic `t` has two partitions with two records each, as a crash leaves it.
async fn two_partitions() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await.expect("starts");
    let transport = broker.transport();
    Admin::new(transport.clone()).create_topic("t", 2, &BTreeMap::new()).await.expect("created");
    for index in [0, 1, 0, 1] {
        produce(&transport, &partition("t", index)).await.expect("produced");
    }
    broker.shutdown().await.expect("a clean end");
    dir
}

fn log_of(dir: &Path, partition: &str) -> PathBuf {
    dir.join("log").join(partition).join("00000000000000000000.log")
}

/// Flips a bit in the middle of the first batch, and takes the word of a clean shutdown away.
fn damage(dir: &Path, partition: &str) {
    let path = log_of(dir, partition);
    let mut bytes = std::fs::read(&path).expect("readable");
    bytes[65] ^= 4;
    std::fs::write(&path, bytes).expect("writable");
    std::fs::remove_file(dir.join("log/clean-shutdown")).expect("the shutdown was clean");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_partition_is_offline_and_the_others_are_served() {
    let dir = two_partitions().await;
    damage(dir.path(), "t-0");
    let broker = start(dir.path()).await.expect("one damaged log does not keep a node from starting");
    let transport = broker.transport();
    let (damaged, whole) = (partition("t", 0), partition("t", 1));
    assert_eq!(produce(&transport, &damaged).await, Err(ErrorCode::KafkaStorageError));
    assert_eq!(fetch(&transport, &damaged).await, Err(ErrorCode::KafkaStorageError));
    assert_eq!(fetch(&transport, &whole).await, Ok(2));
    assert_eq!(produce(&transport, &whole).await, Ok(()));

    let Ok(Response::Metadata(metadata)) =
        transport.send(Request::Metadata(MetadataRequest::default())).await
    else {
        panic!("no metadata")
    };
    let topic = metadata.topics.iter().find(|topic| topic.name.as_deref() == Some("t")).expect("listed");
    let leaders: Vec<i32> = topic.partitions.iter().map(|partition| partition.leader_id).collect();
    assert_eq!(leaders, [-1, 1]);
    assert_eq!(topic.partitions[0].offline_replicas, [1]);

    let Ok(Response::DescribeLogDirs(dirs)) =
        transport.send(Request::DescribeLogDirs(DescribeLogDirsRequest::default())).await
    else {
        panic!("no log directories")
    };
    assert_eq!(dirs.results.len(), 2);
    assert_eq!(dirs.results[1].error_code, ErrorCode::KafkaStorageError);
    assert!(dirs.results[1].log_dir.ends_with("t-0"));

    let offline = broker.offline_partitions();
    let Error::CorruptLog { path, offset: 0, .. } = &offline[0].error else { panic!("{}", offline[0].error) };
    assert_eq!(*path, log_of(dir.path(), "t-0"));
    Admin::new(transport.clone()).delete_topics(&["t"]).await.expect("a damaged topic can be deleted");
    assert!(broker.offline_partitions().is_empty());
    broker.shutdown().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_coordinator_log_is_refused_by_name() {
    let dir = two_partitions().await;
    let path = log_of(dir.path(), "__consumer_offsets-0");
    let transport = {
        let broker = start(dir.path()).await.expect("starts");
        for group in 0..16 {
            let transport = broker.transport();
            let at = [(partition("t", 0), 1)];
            weir_broker::client::group_offsets::commit(&transport, &format!("g{group}"), &at)
                .await
                .expect("committed");
        }
        broker
    };
    transport.shutdown().await.expect("a clean end");
    assert!(std::fs::metadata(&path).expect("there").len() > 0, "some group is in partition 0");
    damage(dir.path(), "__consumer_offsets-0");
    let Err(StartError::Storage(Error::CorruptLog { path: named, .. })) = start(dir.path()).await else {
        panic!("groups without their offsets would start over")
    };
    assert_eq!(named, path);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_topic_id_is_written_again_and_a_foreign_one_refused() {
    let dir = two_partitions().await;
    let metadata = |index: i32| dir.path().join(format!("log/t-{index}/partition.metadata"));
    let before = std::fs::read_to_string(metadata(0)).expect("readable");
    std::fs::write(metadata(0), "version: 0\ntopic_").expect("writable");
    std::fs::write(metadata(1), "version: 0\ntopic_id: 00000000-0000-0000-0000-00000000002a\n")
        .expect("writable");
    let broker = start(dir.path()).await.expect("starts");
    let offline = broker.offline_partitions();
    assert_eq!(offline.len(), 1);
    assert!(matches!(&offline[0].error, Error::CorruptFile { path, .. } if *path == metadata(1)));
    assert_eq!(fetch(&broker.transport(), &partition("t", 1)).await, Err(ErrorCode::KafkaStorageError));
    assert_eq!(fetch(&broker.transport(), &partition("t", 0)).await, Ok(2));
    assert_eq!(std::fs::read_to_string(metadata(0)).expect("readable"), before);
    broker.shutdown().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_metadata_is_refused_rather_than_begun_anew() {
    let dir = two_partitions().await;
    let path = dir.path().join("meta/metadata.log");
    let whole = std::fs::read(&path).expect("readable");
    for damaged in [Vec::new(), whole[..7].to_vec(), vec![0; whole.len()]] {
        std::fs::write(&path, &damaged).expect("writable");
        let Err(StartError::Storage(Error::CorruptFile { path: named, .. })) = start(dir.path()).await else {
            panic!("a new cluster would forget every topic")
        };
        assert_eq!(named, path);
        assert_eq!(std::fs::read(&path).expect("readable"), damaged, "evidence is kept");
    }
    std::fs::write(&path, &whole).expect("writable");
    start(dir.path()).await.expect("starts").shutdown().await.expect("a clean end");
}
