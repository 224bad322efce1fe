//! Records and the start of a log.

use std::collections::BTreeMap;

use uuid::Uuid;
use weir_broker::ids::{ProducerEpoch, ProducerId, TopicPartition};
use weir_broker::log::access::{Isolation, OffsetSpec};
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use weir_broker::protocol::messages::init_producer_id::InitProducerIdRequest;
use weir_broker::protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};

use super::{Node, call};

fn produce(acks: i16, records: usize) -> Request {
    produce_as(BatchOptions::default(), acks, records)
}

fn produce_as(options: BatchOptions, acks: i16, records: usize) -> Request {
    let mut builder = RecordBatchBuilder::new(options);
    for _ in 0..records {
        builder.append(1, Some(b"k"), Some(b"v"), &[]);
    }
    let data = PartitionProduceData { index: 0, records: Some(builder.build().expect("a batch")) };
    let topic = TopicProduceData { name: "t".to_owned(), topic_id: Uuid::nil(), partition_data: vec![data] };
    Request::Produce(ProduceRequest {
        transactional_id: None,
        acks,
        timeout_ms: 60_000,
        topic_data: vec![topic],
    })
}

async fn listed(node: &Node, spec: OffsetSpec) -> Option<i64> {
    let wanted = [(TopicPartition::new("t", 0), spec)];
    let listed = node.admin().list_offsets(&wanted, Isolation::ReadUncommitted).await.expect("listed");
    listed[0].offset
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_records_survive_and_deleted_ones_stay_deleted() {
    let node = Node::with_topic("t", 1).await;
    for (acks, end) in [(-1, 10), (1, 20)] {
        let (answer, after) = node.acknowledged(produce(acks, 10)).await;
        let Response::Produce(answer) = answer else { panic!("{answer:?}") };
        assert_eq!(answer.responses[0].partition_responses[0].error_code, ErrorCode::None);
        assert_eq!(listed(&after, OffsetSpec::Latest).await, Some(end));
    }
    let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset: 7 }];
    let topics = vec![DeleteRecordsTopic { name: "t".to_owned(), partitions }];
    let request = DeleteRecordsRequest { topics, timeout_ms: 30_000 };
    let (answer, after) = node.acknowledged(Request::DeleteRecords(request)).await;
    let Response::DeleteRecords(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(
        (answer.topics[0].partitions[0].error_code, answer.topics[0].partitions[0].low_watermark),
        (ErrorCode::None, 7)
    );
    assert_eq!(listed(&after, OffsetSpec::Earliest).await, Some(7));
    assert_eq!(listed(&after, OffsetSpec::Latest).await, Some(20));
}

fn base_offset(answer: &Response) -> i64 {
    let Response::Produce(answer) = answer else { panic!("{answer:?}") };
    let partition = &answer.responses[0].partition_responses[0];
    assert_eq!(partition.error_code, ErrorCode::None);
    partition.base_offset
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_sent_again_is_stored_once() {
    let node = Node::with_topic("t", 1).await;
    let init = call!(
        node.transport,
        InitProducerId,
        InitProducerIdRequest {
            transactional_id: None,
            producer_id: -1,
            producer_epoch: -1,
            ..InitProducerIdRequest::default()
        }
    );
    let batch = |sequence| {
        let options = BatchOptions {
            producer_id: ProducerId(init.producer_id),
            producer_epoch: ProducerEpoch(init.producer_epoch),
            base_sequence: sequence,
            ..BatchOptions::default()
        };
        produce_as(options, -1, 10)
    };
    let (answer, after) = node.acknowledged(batch(0)).await;
    assert_eq!(base_offset(&answer), 0);
    // The client did not get the answer.
    assert_eq!(base_offset(&after.transport.send(batch(0)).await.expect("answered")), 0);
    assert_eq!(base_offset(&after.transport.send(batch(10)).await.expect("answered")), 10);
    assert_eq!(listed(&after, OffsetSpec::Latest).await, Some(20));
    let (answer, after) = node.acknowledged_again(batch(10)).await;
    assert_eq!(base_offset(&answer), 10);
    assert_eq!(listed(&after, OffsetSpec::Latest).await, Some(20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_not_shown_before_they_would_survive() {
    let node = Node::with_topic("t", 1).await;
    let held = node.storage.hold_syncs(|_| true);
    // These are not waited for.
    node.transport.send(produce(0, 10)).await.expect("sent");
    let answer = node.unanswered(produce(-1, 10), "").await;
    let figures = node.broker.partition_figures();
    let appended = figures.iter().find(|one| &*one.partition.topic == "t").expect("there").offsets.log_end;
    assert_eq!((appended, listed(&node, OffsetSpec::Latest).await), (20, Some(0)), "appended and not shown");
    drop(held);
    assert_eq!(base_offset(&super::answered(answer).await), 10);
    assert_eq!(listed(&node, OffsetSpec::Latest).await, Some(20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_anew_has_none_of_its_former_records() {
    let node = Node::with_topic("t", 1).await;
    node.transport.send(produce(-1, 10)).await.expect("answered");
    node.admin().delete_topics(&["t"]).await.expect("deleted");
    node.admin().create_topic("t", 1, &BTreeMap::new()).await.expect("created");
    let after = node.after_power_cut().await;
    assert_eq!(listed(&after, OffsetSpec::Latest).await, Some(0));
}
