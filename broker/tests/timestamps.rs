//! How far the timestamps of records may be from the broker's clock (`message.timestamp.before.max.ms` and
//! `message.timestamp.after.max.ms`, KIP-937; the defaults are those of Kafka 4, KIP-1030).

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;
use weir_broker::broker::{Broker, Effects};
use weir_broker::client::admin::Admin;
use weir_broker::client::transport::Transport;
use weir_broker::config::BrokerConfig;
use weir_broker::env::clock::{Clock, SystemClock};
use weir_broker::env::storage::memory::MemoryStorage;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData,
};
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};

const HOUR_MS: i64 = 3_600_000;

pub(crate) fn now_ms() -> i64 {
    SystemClock::new().now_ms()
}

async fn produce(
    transport: &Arc<dyn Transport>,
    topic: &str,
    timestamps: &[i64],
) -> PartitionProduceResponse {
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    for timestamp in timestamps {
        builder.append(*timestamp, Some(b"k"), Some(b"v"), &[]);
    }
    let data = PartitionProduceData { index: 0, records: Some(builder.build().expect("a batch")) };
    let topic =
        TopicProduceData { name: topic.to_owned(), topic_id: Uuid::nil(), partition_data: vec![data] };
    let request =
        ProduceRequest { transactional_id: None, acks: -1, timeout_ms: 30_000, topic_data: vec![topic] };
    let Ok(Response::Produce(mut answer)) = transport.send(Request::Produce(request)).await else {
        panic!("an answer is due")
    };
    answer.responses.remove(0).partition_responses.remove(0)
}

/// The code, and the indexes of the records that are to blame.
async fn outcome(transport: &Arc<dyn Transport>, topic: &str, timestamps: &[i64]) -> (ErrorCode, Vec<i32>) {
    let answer = produce(transport, topic, timestamps).await;
    let records = answer.record_errors.iter().map(|record| record.batch_index).collect();
    assert_eq!(answer.error_code == ErrorCode::None, answer.error_message.is_none());
    (answer.error_code, records)
}

fn configs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn start(defaults: &[(&str, &str)]) -> Broker {
    let effects = Effects { storage: Arc::new(MemoryStorage::new()), ..Effects::default() };
    let mut config = BrokerConfig::new("/data");
    config.listeners.clear();
    config.topic_defaults = configs(defaults);
    Broker::start_with(config, effects).await.expect("the broker starts")
}

const ACCEPTED: (ErrorCode, Vec<i32>) = (ErrorCode::None, Vec::new());

fn rejected(records: &[i32]) -> (ErrorCode, Vec<i32>) {
    (ErrorCode::InvalidTimestamp, records.to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_from_the_far_future_is_rejected_by_its_index() {
    let broker = start(&[]).await;
    let (transport, admin) = (broker.transport(), Admin::new(broker.transport()));
    admin.create_topic("t", 1, &BTreeMap::new()).await.expect("created");
    let now = now_ms();
    assert_eq!(outcome(&transport, "t", &[-1, 0, now, now + HOUR_MS / 2]).await, ACCEPTED);
    assert_eq!(outcome(&transport, "t", &[now + 2 * HOUR_MS]).await, rejected(&[0]));
    let mixed = [now, i64::MAX, 0, now + 2 * HOUR_MS];
    assert_eq!(outcome(&transport, "t", &mixed).await, rejected(&[1, 3]));

    admin
        .create_topic("append", 1, &configs(&[("message.timestamp.type", "LogAppendTime")]))
        .await
        .expect("made");
    assert_eq!(outcome(&transport, "append", &[i64::MAX - 1, 0]).await, ACCEPTED);
    let any = ("message.timestamp.after.max.ms", "9223372036854775807");
    admin.create_topic("any", 1, &configs(&[any])).await.expect("created");
    assert_eq!(outcome(&transport, "any", &[i64::MAX - 1]).await, ACCEPTED);
    broker.shutdown().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limits_are_settings_of_topics_and_of_the_broker() {
    let broker = start(&[("log.message.timestamp.after.max.ms", "1000")]).await;
    let (transport, admin) = (broker.transport(), Admin::new(broker.transport()));
    admin.create_topic("t", 1, &BTreeMap::new()).await.expect("created");
    let now = now_ms();
    assert_eq!(outcome(&transport, "t", &[now + HOUR_MS / 2]).await, rejected(&[0]));
    let set = |name: &str, value: Option<&str>| BTreeMap::from([(name.to_owned(), value.map(str::to_owned))]);
    let after = "message.timestamp.after.max.ms";
    admin.alter_configs("t", &set(after, Some("7200000"))).await.expect("altered");
    assert_eq!(outcome(&transport, "t", &[now + HOUR_MS / 2]).await, ACCEPTED);
    admin.alter_configs("t", &set(after, None)).await.expect("altered");
    assert_eq!(outcome(&transport, "t", &[now + HOUR_MS / 2]).await, rejected(&[0]));

    assert_eq!(outcome(&transport, "t", &[now - 2 * HOUR_MS]).await, ACCEPTED);
    admin
        .alter_configs("t", &set("message.timestamp.before.max.ms", Some("3600000")))
        .await
        .expect("altered");
    assert_eq!(outcome(&transport, "t", &[now, now - 2 * HOUR_MS, -1]).await, rejected(&[1]));
    assert!(admin.alter_configs("t", &set(after, Some("-1"))).await.is_err());
    let shown = admin.describe_configs("t").await.expect("described");
    assert_eq!((&*shown[after], &*shown["message.timestamp.before.max.ms"]), ("1000", "3600000"));
    broker.shutdown().await.expect("stops");
}
