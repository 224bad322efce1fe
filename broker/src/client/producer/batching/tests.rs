//! The producer against a scripted broker.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::*;
use crate::client::producer::config::Acks;
use crate::client::tests::{PATIENCE, ScriptedTransport};
use crate::client::transport::TransportError;
use crate::ids::TopicPartition;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::api_versions::{ApiVersion, ApiVersionsResponse};
use crate::protocol::messages::end_txn::EndTxnResponse;
use crate::protocol::messages::init_producer_id::InitProducerIdResponse;
use crate::protocol::messages::produce::{
    PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse,
};
use crate::protocol::request::Request;
use crate::protocol::response::Response;
use crate::record::batch::BatchIter;

/// Stores batches, or refuses them all.
fn broker(refusal: ErrorCode) -> impl Fn(&Request) -> Result<Response, TransportError> + Send + Sync {
    let ends: Mutex<HashMap<(String, i32), i64>> = Mutex::default();
    move |request| {
        Ok(match request {
            Request::InitProducerId(_) => {
                InitProducerIdResponse { producer_id: 7, ..Default::default() }.into()
            }
            Request::ApiVersions(_) => {
                ApiVersionsResponse { api_keys: ApiVersion::served(), ..Default::default() }.into()
            }
            Request::EndTxn(request) => EndTxnResponse {
                producer_id: request.producer_id,
                producer_epoch: request.producer_epoch + 1,
                ..Default::default()
            }
            .into(),
            Request::Produce(request) if request.acks == 0 => ProduceResponse::default().into(),
            Request::Produce(request) => produced(request, refusal, &mut ends.lock()).into(),
            other => panic!("{other:?}"),
        })
    }
}

fn produced(
    request: &ProduceRequest,
    error_code: ErrorCode,
    ends: &mut HashMap<(String, i32), i64>,
) -> ProduceResponse {
    let mut responses = Vec::new();
    for topic in &request.topic_data {
        let mut partition_responses = Vec::new();
        for data in &topic.partition_data {
            let records = data.records.clone().expect("records");
            let batch = BatchIter::new(records).next().expect("one batch").expect("valid");
            let end = ends.entry((topic.name.clone(), data.index)).or_default();
            partition_responses.push(PartitionProduceResponse {
                index: data.index,
                error_code,
                base_offset: *end,
                ..Default::default()
            });
            *end += i64::from(batch.header().records_count);
        }
        responses.push(TopicProduceResponse {
            name: topic.name.clone(),
            partition_responses,
            ..Default::default()
        });
    }
    ProduceResponse { responses, ..Default::default() }
}

fn config() -> ProducerConfig {
    ProducerConfig { linger: Duration::from_secs(3_600), ..ProducerConfig::default() }
}

fn record(partition: i32) -> ProducerRecord<'static> {
    ProducerRecord { value: Some(b"v"), partition: Some(partition), ..ProducerRecord::default() }
}

async fn start(broker: &Arc<ScriptedTransport>, config: ProducerConfig) -> (BatchingProducer, TopicIndex) {
    let transport: Arc<dyn Transport> = broker.clone();
    let producer = BatchingProducer::start(transport, config).await.expect("a producer id");
    let topic = producer.add_topic(ProducerTopic::new("t", 3));
    (producer, topic)
}

fn produce_requests(broker: &ScriptedTransport) -> Vec<ProduceRequest> {
    let produce = |request| match request {
        Request::Produce(request) => Some(request),
        _ => None,
    };
    broker.requests().into_iter().filter_map(produce).collect()
}

#[tokio::test]
async fn deliveries_say_where_records_are() {
    let broker = ScriptedTransport::new(broker(ErrorCode::None));
    let (producer, topic) = start(&broker, config()).await;
    let mut deliveries = Vec::new();
    for partition in [0, 2, 2] {
        deliveries.push(producer.send_tracked(topic, &record(partition)).await.expect("taken"));
    }
    timeout(PATIENCE, producer.flush()).await.expect("in time").expect("stored");
    deliveries.push(producer.send_tracked(topic, &record(2)).await.expect("taken"));
    timeout(PATIENCE, producer.close()).await.expect("in time").expect("stored");
    let mut stored = Vec::new();
    for delivery in deliveries {
        let record = delivery.wait().await.expect("stored");
        stored.push((record.partition.partition, record.offset));
    }
    assert_eq!(stored, [(0, Some(0)), (2, Some(0)), (2, Some(1)), (2, Some(2))]);
    let requests = produce_requests(&broker);
    assert_eq!(requests.len(), 2, "batches of several partitions share a request");
    let batches = |request: &ProduceRequest| request.topic_data[0].partition_data.len();
    assert_eq!(requests.iter().map(batches).collect::<Vec<_>>(), [2, 1]);
}

#[tokio::test]
async fn a_batch_that_has_lingered_is_sent_without_a_flush() {
    let broker = ScriptedTransport::new(broker(ErrorCode::None));
    let linger = Duration::from_millis(1);
    let (producer, topic) = start(&broker, ProducerConfig { linger, ..config() }).await;
    let delivery = producer.send_tracked(topic, &record(1)).await.expect("taken");
    let stored = timeout(PATIENCE, delivery.wait()).await.expect("in time").expect("stored");
    assert_eq!(stored.partition, TopicPartition::new("t", 1));
}

#[tokio::test]
async fn sending_waits_while_memory_is_used_up() {
    let broker = ScriptedTransport::holding(broker(ErrorCode::None));
    let (producer, topic) = start(&broker, ProducerConfig { buffer_bytes_max: 200, ..config() }).await;
    producer.send(topic, &record(0)).await.expect("taken");
    let value = [0; 150];
    let large = ProducerRecord { value: Some(&value), ..record(0) };
    let mut waiting = Box::pin(producer.send(topic, &large));
    assert!(waiting.as_mut().now_or_never().is_none(), "no memory");
    broker.let_answers(1);
    timeout(PATIENCE, waiting).await.expect("in time").expect("taken");
    broker.let_answers(1);
    timeout(PATIENCE, producer.flush()).await.expect("in time").expect("stored");
    assert_eq!(produce_requests(&broker).len(), 2, "the first batch went for its memory");
}

#[tokio::test]
async fn after_a_refused_batch_no_record_is_taken() {
    let broker = ScriptedTransport::new(broker(ErrorCode::TopicAuthorizationFailed));
    let (producer, topic) = start(&broker, config()).await;
    let delivery = producer.send_tracked(topic, &record(0)).await.expect("taken");
    let code = |error: ProducerError| match error {
        ProducerError::Client(error) => error.code(),
        other => panic!("{other}"),
    };
    let refused = Some(ErrorCode::TopicAuthorizationFailed);
    let flushed = timeout(PATIENCE, producer.flush()).await.expect("in time");
    assert_eq!(code(flushed.expect_err("refused")), refused);
    assert_eq!(code(delivery.wait().await.expect_err("refused")), refused);
    assert_eq!(code(producer.send(topic, &record(0)).await.expect_err("failed")), refused);
    assert_eq!(code(producer.flush().await.expect_err("failed")), refused);
    let committed = producer.commit(None).await;
    assert!(matches!(committed, Err(ProducerError::NotTransactional)), "{committed:?}");
}

#[tokio::test]
async fn without_acknowledgements_there_is_no_producer_id_and_no_offset() {
    let broker = ScriptedTransport::new(broker(ErrorCode::None));
    let (producer, topic) = start(&broker, ProducerConfig { acks: Acks::None, ..config() }).await;
    let delivery = producer.send_tracked(topic, &record(0)).await.expect("taken");
    timeout(PATIENCE, producer.flush()).await.expect("in time").expect("sent");
    assert_eq!(delivery.wait().await.expect("sent").offset, None);
    let requests = produce_requests(&broker);
    assert_eq!((broker.requests().len(), requests.len(), requests[0].acks), (1, 1, 0));
    let records = requests[0].topic_data[0].partition_data[0].records.clone().expect("records");
    let batch = BatchIter::new(records).next().expect("one batch").expect("valid");
    assert_eq!((batch.producer_id().0, batch.header().base_sequence), (-1, -1));
}

#[tokio::test]
async fn an_aborted_transaction_gives_up_its_records_and_the_next_one_is_committed() {
    let broker = ScriptedTransport::new(broker(ErrorCode::None));
    let transport: Arc<dyn Transport> = broker.clone();
    let inner = TransactionalProducer::init(transport, "id", 60_000).await.expect("an id");
    let producer = BatchingProducer::transactional(inner, config());
    let topic = producer.add_topic(ProducerTopic::new("t", 1));
    let aborted = producer.send_tracked(topic, &record(0)).await.expect("taken");
    timeout(PATIENCE, producer.abort()).await.expect("in time").expect("aborted");
    assert!(matches!(aborted.wait().await, Err(ProducerError::Aborted)));
    assert_eq!(produce_requests(&broker).len(), 0);

    let committed = producer.send_tracked(topic, &record(0)).await.expect("taken");
    timeout(PATIENCE, producer.commit(None)).await.expect("in time").expect("committed");
    assert_eq!(committed.wait().await.expect("stored").offset, Some(0));
    let ends = broker.requests().into_iter().filter(|r| matches!(r, Request::EndTxn(e) if e.committed));
    assert_eq!(ends.count(), 1);
}

#[tokio::test]
async fn a_dropped_producer_sends_what_is_left() {
    let broker = ScriptedTransport::new(broker(ErrorCode::None));
    let (producer, topic) = start(&broker, config()).await;
    let delivery = producer.send_tracked(topic, &record(0)).await.expect("taken");
    drop(producer);
    assert!(timeout(PATIENCE, delivery.wait()).await.expect("in time").is_ok());
}
