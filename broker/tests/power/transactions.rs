//! Producer ids and transactions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use uuid::Uuid;
use weir_broker::client::consumer::reader::{FetchOptions, Reader};
use weir_broker::client::group_offsets;
use weir_broker::env::storage::memory::{Crash, Operation};
use weir_broker::ids::{ProducerEpoch, ProducerId, TopicPartition};
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::add_offsets_to_txn::AddOffsetsToTxnRequest;
use weir_broker::protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic,
};
use weir_broker::protocol::messages::describe_transactions::{DescribeTransactionsRequest, TopicData};
use weir_broker::protocol::messages::end_txn::EndTxnRequest;
use weir_broker::protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use weir_broker::protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use weir_broker::protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;
use weir_broker::record::batch::RecordBatch;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};

use super::{Node, call};

const ID: &str = "id";

fn init(transactional_id: Option<&str>) -> InitProducerIdRequest {
    InitProducerIdRequest {
        transactional_id: transactional_id.map(str::to_owned),
        transaction_timeout_ms: 600_000,
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdRequest::default()
    }
}

/// A producer of transactions on a node.
struct Producer {
    id: i64,
    epoch: i16,
}

impl From<&InitProducerIdResponse> for Producer {
    fn from(answer: &InitProducerIdResponse) -> Self {
        assert_eq!(answer.error_code, ErrorCode::None);
        Self { id: answer.producer_id, epoch: answer.producer_epoch }
    }
}

impl Producer {
    /// Two records into each partition, as part of the transaction.
    fn produce(&self, sequence: i32) -> Request {
        let options = BatchOptions {
            producer_id: ProducerId(self.id),
            producer_epoch: ProducerEpoch(self.epoch),
            base_sequence: sequence,
            transactional: true,
            ..BatchOptions::default()
        };
        let data = |index| {
            let mut builder = RecordBatchBuilder::new(options.clone());
            for _ in 0..2 {
                builder.append(1, Some(b"k"), Some(b"v"), &[]);
            }
            PartitionProduceData { index, records: Some(builder.build().expect("a batch")) }
        };
        let topic = TopicProduceData {
            name: "t".to_owned(),
            topic_id: Uuid::nil(),
            partition_data: (0..2).map(data).collect(),
        };
        Request::Produce(ProduceRequest {
            transactional_id: Some(ID.to_owned()),
            acks: -1,
            timeout_ms: 60_000,
            topic_data: vec![topic],
        })
    }

    fn commit_offsets(&self, offset: i64) -> Request {
        let partition = TxnOffsetCommitRequestPartition {
            partition_index: 0,
            committed_offset: offset,
            committed_leader_epoch: -1,
            committed_metadata: Some(String::new()),
        };
        Request::TxnOffsetCommit(TxnOffsetCommitRequest {
            transactional_id: ID.to_owned(),
            group_id: "g".to_owned(),
            producer_id: self.id,
            producer_epoch: self.epoch,
            topics: vec![TxnOffsetCommitRequestTopic { name: "t".to_owned(), partitions: vec![partition] }],
            ..TxnOffsetCommitRequest::default()
        })
    }

    fn end(&self, committed: bool) -> Request {
        Request::EndTxn(EndTxnRequest {
            transactional_id: ID.to_owned(),
            producer_id: self.id,
            producer_epoch: self.epoch,
            committed,
        })
    }

    /// Opens a transaction over both partitions of `t` and the offsets of `g`.
    async fn open(node: &Node) -> Self {
        let producer = Self::from(&call!(node.transport, InitProducerId, init(Some(ID))));
        for request in [producer.produce(0), producer.commit_offsets(5)] {
            match node.transport.send(request).await.expect("answered") {
                Response::Produce(answer) => {
                    let partitions = &answer.responses[0].partition_responses;
                    assert!(partitions.iter().all(|one| one.error_code == ErrorCode::None), "{answer:?}");
                }
                Response::TxnOffsetCommit(answer) => {
                    assert_eq!(answer.topics[0].partitions[0].error_code, ErrorCode::None);
                }
                other => panic!("{other:?}"),
            }
        }
        producer
    }
}

/// What readers of committed records get: records of both partitions, and the group's offsets.
type Visible = (Vec<usize>, BTreeMap<TopicPartition, i64>);

/// Records of a partition that readers of committed ones get.
async fn committed_records(node: &Node, partition: i32) -> usize {
    let (reader, name) = (Reader::new(node.transport.clone()), TopicPartition::new("t", partition));
    let options = FetchOptions { wait_max: std::time::Duration::ZERO, ..FetchOptions::default() };
    let (mut count, mut offset) = (0, 0);
    loop {
        let fetched = reader.fetch(&[(name.clone(), offset)], &options).await.expect("fetched");
        let (_, records) = fetched.into_iter().next().expect("the partition");
        let records = records.expect("readable");
        let of = |batch: &RecordBatch| usize::try_from(batch.last_offset() - batch.base_offset() + 1);
        count += records.batches.iter().map(|batch| of(batch).expect("a count")).sum::<usize>();
        offset = records.next_offset;
        if offset >= records.last_stable_offset {
            return count;
        }
    }
}

/// Reads both partitions and the offsets of `g`.
async fn visible(node: &Node) -> Visible {
    let counts = vec![committed_records(node, 0).await, committed_records(node, 1).await];
    let request = weir_broker::protocol::messages::offset_fetch::OffsetFetchRequest {
        groups: vec![weir_broker::protocol::messages::offset_fetch::OffsetFetchRequestGroup {
            group_id: "g".to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let mut offsets = BTreeMap::new();
    for topic in call!(node.transport, OffsetFetch, request).groups.remove(0).topics {
        for partition in topic.partitions.iter().filter(|one| one.committed_offset >= 0) {
            offsets.insert(
                TopicPartition::new(topic.name.as_str(), partition.partition_index),
                partition.committed_offset,
            );
        }
    }
    (counts, offsets)
}

fn committed() -> Visible {
    (vec![2; 2], BTreeMap::from([(TopicPartition::new("t", 0), 5)]))
}

fn nothing() -> Visible {
    (vec![0; 2], BTreeMap::new())
}

/// Is no transaction open in either partition?
fn is_over(node: &Node) -> bool {
    let figures = node.broker.partition_figures();
    let mut own = figures.iter().filter(|one| &*one.partition.topic == "t");
    own.all(|one| one.offsets.last_stable == one.offsets.log_end)
}

fn is_of(topic: &'static str) -> impl Fn(&Path) -> bool + Send + Sync + 'static {
    move |path| path.to_string_lossy().contains(topic)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_id_is_given_to_one_producer_only() {
    let node = Node::new().await;
    let (answer, after) = node.acknowledged(Request::InitProducerId(init(None))).await;
    let Response::InitProducerId(answer) = answer else { panic!("{answer:?}") };
    let again = call!(after.transport, InitProducerId, init(None));
    assert_eq!((answer.error_code, again.error_code), (ErrorCode::None, ErrorCode::None));
    assert_ne!(answer.producer_id, again.producer_id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_that_fences_stays_raised() {
    let node = Node::new().await;
    for epoch in 0..3 {
        let (answer, after) = node.acknowledged(Request::InitProducerId(init(Some(ID)))).await;
        let Response::InitProducerId(answer) = answer else { panic!("{answer:?}") };
        assert_eq!((answer.error_code, answer.producer_epoch), (ErrorCode::None, epoch));
        let next = call!(after.transport, InitProducerId, init(Some(ID)));
        assert_eq!((next.producer_id, next.producer_epoch), (answer.producer_id, epoch + 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_and_groups_that_joined_are_ended_with_the_transaction() {
    let node = Node::with_topic("t", 2).await;
    let producer = Producer::from(&call!(node.transport, InitProducerId, init(Some(ID))));
    let topics = vec![AddPartitionsToTxnTopic { name: "t".to_owned(), partitions: vec![0, 1] }];
    let request = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: ID.to_owned(),
        v3_and_below_producer_id: producer.id,
        v3_and_below_producer_epoch: producer.epoch,
        v3_and_below_topics: topics,
        ..AddPartitionsToTxnRequest::default()
    };
    let (answer, after) = node.acknowledged_again(Request::AddPartitionsToTxn(request)).await;
    let Response::AddPartitionsToTxn(answer) = answer else { panic!("{answer:?}") };
    let results = &answer.results_by_topic_v3_and_below[0].results_by_partition;
    assert!(results.iter().all(|one| one.partition_error_code == ErrorCode::None), "{answer:?}");
    assert_eq!(members(&after).await, [("t".to_owned(), 0), ("t".to_owned(), 1)]);
    let ended = call!(after.transport, EndTxn, end_of(&producer));
    assert_eq!(ended.error_code, ErrorCode::None, "the transaction is known");
    let request = AddOffsetsToTxnRequest {
        transactional_id: ID.to_owned(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        group_id: "g".to_owned(),
    };
    let (answer, after) = node.acknowledged_again(Request::AddOffsetsToTxn(request)).await;
    assert!(matches!(answer, Response::AddOffsetsToTxn(answer) if answer.error_code == ErrorCode::None));
    let members = members(&after).await;
    assert_eq!(
        members.iter().map(|(topic, _)| &**topic).collect::<Vec<_>>(),
        ["__consumer_offsets", "t", "t"]
    );
}

/// The partitions of the transaction.
async fn members(node: &Node) -> Vec<(String, i32)> {
    let request = DescribeTransactionsRequest { transactional_ids: vec![ID.to_owned()] };
    let state = call!(node.transport, DescribeTransactions, request).transaction_states.remove(0);
    assert_eq!((state.error_code, &*state.transaction_state), (ErrorCode::None, "Ongoing"));
    let of_topic = |topic: &TopicData| {
        let name = topic.topic.clone();
        topic.partitions.iter().map(move |partition| (name.clone(), *partition)).collect::<Vec<_>>()
    };
    let mut members: Vec<_> = state.topics.iter().flat_map(of_topic).collect();
    members.sort();
    members
}

/// A producer that starts again ends what its former self has left open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_a_successor_has_aborted_stays_so() {
    let node = Node::with_topic("t", 2).await;
    let former = Producer::open(&node).await;
    let (answer, after) = node.acknowledged(Request::InitProducerId(init(Some(ID)))).await;
    let Response::InitProducerId(answer) = answer else { panic!("{answer:?}") };
    let successor = Producer::from(&answer);
    assert_eq!(successor.id, former.id);
    assert!(successor.epoch > former.epoch, "{} after {}", successor.epoch, former.epoch);
    assert!(is_over(&after), "the transaction is over in both partitions");
    assert_eq!(visible(&after).await, nothing());
    let late = call!(after.transport, EndTxn, end_of(&former));
    assert_eq!(late.error_code, ErrorCode::ProducerFenced);
    let opened = after.transport.send(successor.produce(0)).await.expect("answered");
    assert_eq!(codes(&opened), [ErrorCode::None; 2]);
    let ended = call!(after.transport, EndTxn, end_of(&successor));
    assert_eq!(ended.error_code, ErrorCode::None);
    assert_eq!(visible(&after).await.0, [2, 2]);
}

/// The end of a transaction raises the epoch, so that nothing late gets into the next one (KIP-890).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_come_after_the_end_stay_refused() {
    let node = Node::with_topic("t", 2).await;
    let producer = Producer::open(&node).await;
    let (answer, after) = node.acknowledged_again(producer.end(true)).await;
    let Response::EndTxn(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(answer.error_code, ErrorCode::None);
    let next = Producer { id: answer.producer_id, epoch: answer.producer_epoch };
    assert!(next.epoch > producer.epoch, "{} after {}", next.epoch, producer.epoch);
    let late = after.transport.send(producer.produce(2)).await.expect("answered");
    assert_eq!(codes(&late), [ErrorCode::InvalidProducerEpoch; 2]);
    let opened = after.transport.send(next.produce(0)).await.expect("answered");
    assert_eq!(codes(&opened), [ErrorCode::None; 2]);
    assert_eq!(visible(&after).await, committed());
}

fn codes(answer: &Response) -> Vec<ErrorCode> {
    let Response::Produce(answer) = answer else { panic!("{answer:?}") };
    answer.responses[0].partition_responses.iter().map(|one| one.error_code).collect()
}

fn end_of(producer: &Producer) -> EndTxnRequest {
    let Request::EndTxn(request) = producer.end(true) else { unreachable!("it is EndTxn") };
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_and_offsets_of_an_open_transaction_are_committed_after_the_loss() {
    let node = Node::with_topic("t", 2).await;
    let producer = Producer::from(&call!(node.transport, InitProducerId, init(Some(ID))));
    let (_, after) = node.acknowledged(producer.produce(0)).await;
    drop(after);
    let (_, after) = node.acknowledged(producer.commit_offsets(5)).await;
    assert_eq!(visible(&after).await, nothing());
    let ended = call!(after.transport, EndTxn, end_of(&producer));
    assert_eq!(ended.error_code, ErrorCode::None);
    assert_eq!(visible(&after).await, committed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_was_acknowledged_is_the_end() {
    for commit in [true, false] {
        let node = Node::with_topic("t", 2).await;
        let producer = Producer::open(&node).await;
        let (answer, after) = node.acknowledged(producer.end(commit)).await;
        let Response::EndTxn(answer) = answer else { panic!("{answer:?}") };
        assert_eq!(answer.error_code, ErrorCode::None);
        assert!(is_over(&after), "the transaction is over in both partitions");
        assert_eq!(visible(&after).await, if commit { committed() } else { nothing() });
    }
}

/// A marker that is on the disk before the decision is would end the transaction there and leave it open elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_marker_is_written_before_the_decision_is_durable() {
    let node = Node::with_topic("t", 2).await;
    let producer = Producer::open(&node).await;
    let ends = |node: &Node| -> Vec<i64> {
        let figures = node.broker.partition_figures();
        let is_member = |topic: &str| topic == "t" || topic == "__consumer_offsets";
        figures.iter().filter(|one| is_member(&one.partition.topic)).map(|one| one.offsets.log_end).collect()
    };
    let before = ends(&node);
    let held = node.storage.hold_syncs(is_of("__transaction_state"));
    let transport = node.transport.clone();
    let request = producer.end(true);
    let mut answer = tokio::spawn(async move { transport.send(request).await });
    let early = tokio::time::timeout(super::HELD, &mut answer).await;
    assert_eq!(ends(&node), before, "no marker before the decision");
    assert!(early.is_err(), "no answer before the decision: {early:?}");
    let after = node.after_power_cut().await;
    assert_eq!(visible(&after).await, nothing(), "not decided");
    drop(held);
    let answer = answer.await.expect("no panic").expect("answered");
    assert!(matches!(answer, Response::EndTxn(answer) if answer.error_code == ErrorCode::None));
    assert!(ends(&node).iter().zip(&before).filter(|(now, before)| now > before).count() == 3);
    assert_eq!(group_offsets::fetch(&node.transport, "g").await.expect("fetched"), committed().1);
}

/// Power is lost before and after each sync of the end of a transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_ends_everywhere_or_nowhere() {
    let node = Node::with_topic("t", 2).await;
    let producer = Producer::open(&node).await;
    let disks = Arc::new(Mutex::new(Vec::new()));
    let (storage, kept) = (node.storage.clone(), disks.clone());
    let held = node.storage.hold_syncs(move |_| {
        kept.lock().push(storage.after_crash(Crash::Power));
        false
    });
    let ended = call!(node.transport, EndTxn, end_of(&producer));
    assert_eq!(ended.error_code, ErrorCode::None);
    drop(held);
    let mut disks = std::mem::take(&mut *disks.lock());
    disks.push(node.storage.after_crash(Crash::Power));
    let (mut none, mut all) = (0, 0);
    for disk in disks {
        let after = Node::on(disk).await;
        match visible(&after).await {
            found if found == nothing() => none += 1,
            found if found == committed() && is_over(&after) => all += 1,
            found => panic!("halfway: {found:?}"),
        }
    }
    assert!(none > 0 && all > 0, "{none} before the decision, {all} after it");
}

/// The end of a transaction comes between the check that it is open and the appends.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_transaction_does_not_end_while_its_records_are_being_appended() {
    let node = Node::with_topic("t", 2).await;
    let producer = Producer::from(&call!(node.transport, InitProducerId, init(Some(ID))));
    let opened = node.transport.send(producer.produce(0)).await.expect("answered");
    assert!(matches!(opened, Response::Produce(_)));
    let writing = Arc::new(AtomicBool::new(false));
    let seen = writing.clone();
    let held = node.storage.hold(move |operation, path| {
        let is_append = matches!(operation, Operation::Write { .. })
            && path.to_string_lossy().contains("/t-0/")
            && path.extension().is_some_and(|extension| extension == "log");
        seen.fetch_or(is_append, Ordering::SeqCst);
        is_append
    });
    let (transport, request) = (node.transport.clone(), producer.produce(2));
    let produced = tokio::spawn(async move { transport.send(request).await });
    let appending = async {
        while !writing.load(Ordering::SeqCst) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(super::PATIENCE, appending).await.expect("the first partition is appended to");
    let (transport, request) = (node.transport.clone(), producer.end(true));
    let mut ended = tokio::spawn(async move { transport.send(request).await });
    assert!(tokio::time::timeout(super::HELD, &mut ended).await.is_err(), "ended meanwhile");
    drop(held);
    let answer = produced.await.expect("no panic").expect("answered");
    assert_eq!(codes(&answer), [ErrorCode::None; 2], "appended in both partitions");
    let answer = ended.await.expect("no panic").expect("answered");
    assert!(matches!(answer, Response::EndTxn(answer) if answer.error_code == ErrorCode::None));
    assert_eq!(visible(&node).await.0, [4, 4]);
    assert!(is_over(&node), "the markers are behind the records");
}
