//! Records and the start of a log.

use std::collections::BTreeMap;

use uuid::Uuid;
use weir_broker::ids::TopicPartition;
use weir_broker::log::access::{Isolation, OffsetSpec};
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use weir_broker::protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};

use super::Node;

fn produce(acks: i16, records: usize) -> Request {
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_anew_has_none_of_its_former_records() {
    let node = Node::with_topic("t", 1).await;
    node.transport.send(produce(-1, 10)).await.expect("answered");
    node.admin().delete_topics(&["t"]).await.expect("deleted");
    node.admin().create_topic("t", 1, &BTreeMap::new()).await.expect("created");
    let after = node.after_power_cut().await;
    assert_eq!(listed(&after, OffsetSpec::Latest).await, Some(0));
}
