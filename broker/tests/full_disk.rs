//! Coordinators on a full disk: what they were asked for is refused with a retriable code or waited for, and goes on
//! when there is room, without a restart.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use weir_broker::broker::{Broker, Effects};
use weir_broker::client::admin::Admin;
use weir_broker::client::consumer::reader::{FetchOptions, Reader};
use weir_broker::client::producer::transactional::{GroupPosition, TransactionalProducer};
use weir_broker::client::transport::Transport;
use weir_broker::config::BrokerConfig;
use weir_broker::env::storage::memory::{Crash, MemoryStorage, Operation, Verdict};
use weir_broker::ids::TopicPartition;
use weir_broker::log::access::Isolation;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::delete_groups::DeleteGroupsRequest;
use weir_broker::protocol::messages::describe_transactions::DescribeTransactionsRequest;
use weir_broker::protocol::messages::end_txn::{EndTxnRequest, EndTxnResponse};
use weir_broker::protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use weir_broker::protocol::messages::list_groups::ListGroupsRequest;
use weir_broker::protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use weir_broker::protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};

use crate::timestamps::now_ms;

const DEADLINE: Duration = Duration::from_secs(120);
const ID: &str = "id";
const PARTITIONS: i32 = 3;

macro_rules! call {
    ($transport:expr, $api:ident, $request:expr) => {
        match $transport.send(Request::$api($request)).await.expect("answered") {
            Response::$api(response) => response,
            other => panic!("{other:?}"),
        }
    };
}

/// A disk on which some files cannot grow.
struct Disk {
    storage: MemoryStorage,
    /// Writes refused so far.
    refused: Arc<AtomicUsize>,
}

impl Disk {
    fn new() -> Self {
        Disk { storage: MemoryStorage::new(), refused: Arc::default() }
    }

    /// From now on writes to files whose path contains `part` find no room, after `allowed` that do. Half of their
    /// bytes are written.
    fn fill(&self, part: &'static str, mut allowed: usize) {
        let refused = self.refused.clone();
        refused.store(0, Ordering::SeqCst);
        self.storage.inject(move |operation, path| match operation {
            Operation::Write { len } if path.to_string_lossy().contains(part) => {
                if allowed > 0 {
                    allowed -= 1;
                    return Verdict::Proceed;
                }
                refused.fetch_add(1, Ordering::SeqCst);
                Verdict::Tear { kept: len / 2, kind: io::ErrorKind::StorageFull }
            }
            _ => Verdict::Proceed,
        });
    }

    async fn refused(&self, count: usize) {
        wait_for("refused writes", async || self.refused.load(Ordering::SeqCst) >= count).await;
    }
}

async fn wait_for(what: &str, holds: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn start(storage: &MemoryStorage) -> (Broker, Arc<dyn Transport>) {
    let effects = Effects { storage: Arc::new(storage.clone()), ..Effects::default() };
    let mut config = BrokerConfig::new("/data");
    config.listeners.clear();
    config.transactions_partitions = 1;
    config.offsets_partitions = 1;
    let broker = Broker::start_with(config, effects).await.expect("the broker starts");
    let transport = broker.transport();
    (broker, transport)
}

async fn create(transport: &Arc<dyn Transport>) {
    let admin = Admin::new(transport.clone());
    admin.create_topic("t", PARTITIONS, &BTreeMap::new()).await.expect("created");
}

fn batch(value: &str) -> Bytes {
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    builder.append(now_ms(), None, Some(value.as_bytes()), &[]);
    builder.build().expect("small batch")
}

fn everywhere(value: &str) -> Vec<(TopicPartition, Vec<Bytes>)> {
    (0..PARTITIONS).map(|index| (TopicPartition::new("t", index), vec![batch(value)])).collect()
}

async fn init(transport: &Arc<dyn Transport>, timeout_ms: i32) -> InitProducerIdResponse {
    let request = InitProducerIdRequest {
        transactional_id: Some(ID.to_owned()),
        transaction_timeout_ms: timeout_ms,
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdRequest::default()
    };
    call!(transport, InitProducerId, request)
}

/// One transactional record in each partition.
async fn produce(transport: &Arc<dyn Transport>, by: &InitProducerIdResponse, value: &str) {
    let data = |index| {
        let mut builder = RecordBatchBuilder::new(BatchOptions {
            producer_id: weir_broker::ids::ProducerId(by.producer_id),
            producer_epoch: weir_broker::ids::ProducerEpoch(by.producer_epoch),
            base_sequence: 0,
            transactional: true,
            ..BatchOptions::default()
        });
        builder.append(now_ms(), None, Some(value.as_bytes()), &[]);
        PartitionProduceData { index, records: Some(builder.build().expect("small batch")) }
    };
    let topic = TopicProduceData {
        name: "t".to_owned(),
        partition_data: (0..PARTITIONS).map(data).collect(),
        ..TopicProduceData::default()
    };
    let request = ProduceRequest {
        transactional_id: Some(ID.to_owned()),
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![topic],
    };
    let response = call!(transport, Produce, request);
    for partition in &response.responses[0].partition_responses {
        assert_eq!(partition.error_code, ErrorCode::None);
    }
}

async fn end(transport: &Arc<dyn Transport>, by: &InitProducerIdResponse, committed: bool) -> EndTxnResponse {
    let request = EndTxnRequest {
        transactional_id: ID.to_owned(),
        producer_id: by.producer_id,
        producer_epoch: by.producer_epoch,
        committed,
    };
    call!(transport, EndTxn, request)
}

async fn state(transport: &Arc<dyn Transport>) -> String {
    let request = DescribeTransactionsRequest { transactional_ids: vec![ID.to_owned()] };
    call!(transport, DescribeTransactions, request).transaction_states.remove(0).transaction_state
}

/// What a reader of committed records sees of each partition, and whether anything is still undecided.
async fn seen(transport: &Arc<dyn Transport>) -> (Vec<Vec<String>>, bool) {
    let reader = Reader::new(transport.clone());
    let wanted: Vec<_> = (0..PARTITIONS).map(|index| (TopicPartition::new("t", index), 0)).collect();
    let options = FetchOptions {
        isolation: Isolation::ReadCommitted,
        wait_max: Duration::ZERO,
        ..FetchOptions::default()
    };
    let (mut values, mut open) = (Vec::new(), false);
    let mut scratch = weir_broker::record::compression::DecompressBuf::default();
    for (_, fetched) in reader.fetch(&wanted, &options).await.expect("fetched") {
        let fetched = fetched.expect("readable");
        open |= fetched.last_stable_offset < fetched.high_watermark;
        let mut found = Vec::new();
        for batch in &fetched.batches {
            for record in batch.records(&mut scratch).expect("records") {
                let value = record.expect("a record").value.unwrap_or_default();
                found.push(String::from_utf8(value.to_vec()).expect("text"));
            }
        }
        values.push(found);
    }
    (values, open)
}

fn in_each(values: &[&str]) -> Vec<Vec<String>> {
    vec![values.iter().map(|value| (*value).to_owned()).collect(); PARTITIONS as usize]
}

/// The transaction is over everywhere, with these values to see.
async fn settled(transport: &Arc<dyn Transport>, values: &[&str]) {
    let expected = (in_each(values), false);
    wait_for("the end of the transaction", async || seen(transport).await == expected).await;
}

/// A broker with topics, and a producer that has written "a" to each partition in an open transaction.
async fn in_transaction(
    disk: &Disk,
    timeout_ms: i32,
) -> (Broker, Arc<dyn Transport>, InitProducerIdResponse) {
    let (broker, transport) = start(&disk.storage).await;
    create(&transport).await;
    let by = init(&transport, timeout_ms).await;
    produce(&transport, &by, "a").await;
    (broker, transport, by)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markers_that_found_no_room_are_written_when_there_is_some() {
    for committed in [true, false] {
        let disk = Disk::new();
        let (_broker, transport, by) = in_transaction(&disk, 60_000).await;
        disk.fill("/t-1/", 0);
        let ending = tokio::spawn({
            let (transport, by) = (transport.clone(), by.clone());
            async move { end(&transport, &by, committed).await }
        });
        disk.refused(2).await;
        let prepared = if committed { "PrepareCommit" } else { "PrepareAbort" };
        assert_eq!(state(&transport).await, prepared);
        // The other way is closed: the decision is taken.
        assert_eq!(end(&transport, &by, !committed).await.error_code, ErrorCode::InvalidTxnState);
        disk.storage.heal();
        let ended = ending.await.expect("no panic");
        assert_eq!((ended.error_code, ended.producer_epoch), (ErrorCode::None, by.producer_epoch + 1));
        let values: &[&str] = if committed { &["a"] } else { &[] };
        settled(&transport, values).await;
        // The next transaction works, and a restart changes nothing.
        let by = InitProducerIdResponse { producer_epoch: ended.producer_epoch, ..by };
        produce(&transport, &by, "b").await;
        assert_eq!(end(&transport, &by, true).await.error_code, ErrorCode::None);
        let (_broker, transport) = start(&disk.storage.after_crash(Crash::Power)).await;
        settled(&transport, &[values, &["b"]].concat()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_told_to_ask_again_while_markers_wait_for_room() {
    let disk = Disk::new();
    let (_broker, transport, by) = in_transaction(&disk, 60_000).await;
    disk.fill("/t-2/", 0);
    let (first, second) = futures::join!(end(&transport, &by, true), end(&transport, &by, true));
    for answer in [first, second] {
        assert_eq!(answer.error_code, ErrorCode::CoordinatorNotAvailable);
    }
    // Another instance of the producer waits as well.
    assert_eq!(init(&transport, 60_000).await.error_code, ErrorCode::ConcurrentTransactions);
    disk.storage.heal();
    assert_eq!(end(&transport, &by, true).await.error_code, ErrorCode::None);
    settled(&transport, &["a"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_that_found_no_room_is_not_taken() {
    let disk = Disk::new();
    let (_broker, transport) = start(&disk.storage).await;
    create(&transport).await;
    disk.fill("__transaction_state", 0);
    assert_eq!(init(&transport, 60_000).await.error_code, ErrorCode::CoordinatorNotAvailable);
    disk.storage.heal();
    let by = init(&transport, 60_000).await;
    assert_eq!((by.error_code, by.producer_epoch), (ErrorCode::None, 0));
    produce(&transport, &by, "a").await;
    disk.fill("__transaction_state", 0);
    for _ in 0..3 {
        assert_eq!(end(&transport, &by, true).await.error_code, ErrorCode::CoordinatorNotAvailable);
        assert_eq!(state(&transport).await, "Ongoing");
    }
    // After a crash now the transaction is open, and the old decision may be taken back.
    let crashed = disk.storage.after_crash(Crash::Power);
    disk.storage.heal();
    assert_eq!(end(&transport, &by, true).await.error_code, ErrorCode::None);
    settled(&transport, &["a"]).await;
    let (_broker, transport) = start(&crashed).await;
    assert_eq!(end(&transport, &by, false).await.error_code, ErrorCode::None);
    settled(&transport, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn completion_comes_before_the_next_transaction() {
    let disk = Disk::new();
    let (_broker, transport, by) = in_transaction(&disk, 60_000).await;
    // The decision finds room, the completion does not.
    disk.fill("__transaction_state", 1);
    let ending = tokio::spawn({
        let (transport, by) = (transport.clone(), by.clone());
        async move { end(&transport, &by, true).await }
    });
    disk.refused(2).await;
    assert_eq!(state(&transport).await, "PrepareCommit");
    disk.storage.heal();
    let ended = ending.await.expect("no panic");
    assert_eq!(ended.error_code, ErrorCode::None);
    let by = InitProducerIdResponse { producer_epoch: ended.producer_epoch, ..by };
    produce(&transport, &by, "b").await;
    // A restart must not take the end of the first for the end of the second.
    let (_broker, transport) = start(&disk.storage.after_crash(Crash::Process)).await;
    assert_eq!(seen(&transport).await, (in_each(&["a"]), true));
    assert_eq!(end(&transport, &by, false).await.error_code, ErrorCode::None);
    settled(&transport, &["a"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overdue_transactions_are_aborted_when_there_is_room() {
    let disk = Disk::new();
    let (_broker, transport, by) = in_transaction(&disk, 300).await;
    disk.fill("__transaction_state", 0);
    disk.refused(2).await;
    assert_eq!(seen(&transport).await, (in_each(&[]), true));
    disk.storage.heal();
    settled(&transport, &[]).await;
    assert!(end(&transport, &by, true).await.error_code != ErrorCode::None, "the producer is fenced");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_starts_on_a_full_disk_and_finishes_later() {
    let disk = Disk::new();
    let (_broker, transport, by) = in_transaction(&disk, 60_000).await;
    disk.fill("/t-1/", 0);
    let ending = tokio::spawn({
        let (transport, by) = (transport.clone(), by.clone());
        async move { end(&transport, &by, true).await }
    });
    disk.refused(1).await;
    let restarted = Disk { storage: disk.storage.after_crash(Crash::Process), refused: Arc::default() };
    ending.abort();
    restarted.fill("/t-1/", 0);
    let (_broker, transport) = start(&restarted.storage).await;
    assert!(seen(&transport).await.1, "undecided where the disk is full");
    restarted.storage.heal();
    settled(&transport, &["a"]).await;
    wait_for("completion", async || state(&transport).await == "CompleteCommit").await;
}

async fn commit_offset(transport: &Arc<dyn Transport>, group: &str, offset: i64) -> ErrorCode {
    let partition = OffsetCommitRequestPartition {
        committed_offset: offset,
        committed_metadata: Some(String::new()),
        ..OffsetCommitRequestPartition::default()
    };
    let topic =
        OffsetCommitRequestTopic { name: "t".to_owned(), partitions: vec![partition], ..Default::default() };
    let request = OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: -1,
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    };
    call!(transport, OffsetCommit, request).topics[0].partitions[0].error_code
}

async fn delete_group(transport: &Arc<dyn Transport>, group: &str) -> ErrorCode {
    let request = DeleteGroupsRequest { groups_names: vec![group.to_owned()] };
    call!(transport, DeleteGroups, request).results[0].error_code
}

async fn groups(transport: &Arc<dyn Transport>) -> Vec<String> {
    let response = call!(transport, ListGroups, ListGroupsRequest::default());
    response.groups.into_iter().map(|group| group.group_id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_reach_the_log_when_there_is_room() {
    let disk = Disk::new();
    let (_broker, transport) = start(&disk.storage).await;
    create(&transport).await;
    for group in ["kept", "deleted"] {
        assert_eq!(commit_offset(&transport, group, 1).await, ErrorCode::None);
    }
    disk.fill("__consumer_offsets", 0);
    assert_eq!(commit_offset(&transport, "kept", 2).await, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(commit_offset(&transport, "kept", 3).await, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(delete_group(&transport, "deleted").await, ErrorCode::CoordinatorNotAvailable);
    // Nobody asks again. The log gets what the state has.
    disk.refused(5).await;
    disk.storage.heal();
    let restarted = async || {
        let (broker, transport) = start(&disk.storage.after_crash(Crash::Process)).await;
        (groups(&transport).await, broker.group_lags())
    };
    wait_for("the log to catch up", async || restarted().await.0 == ["kept"]).await;
    let lags = restarted().await.1;
    assert_eq!(lags.iter().map(|lag| lag.committed).collect::<Vec<_>>(), [3]);
    // Before a new commit, what is owed.
    disk.fill("__consumer_offsets", 0);
    assert_eq!(commit_offset(&transport, "kept", 4).await, ErrorCode::CoordinatorNotAvailable);
    disk.storage.heal();
    assert_eq!(commit_offset(&transport, "kept", 5).await, ErrorCode::None);
    assert_eq!(restarted().await.1[0].committed, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_producer_of_the_engine_gets_through_a_full_disk() {
    for full in ["/t-0/", "__transaction_state", "__consumer_offsets", "/log/"] {
        let disk = Disk::new();
        let (_broker, transport) = start(&disk.storage).await;
        create(&transport).await;
        let mut producer = TransactionalProducer::init(transport.clone(), ID, 60_000).await.expect("ready");
        let offset = |offset| GroupPosition {
            group_id: "g".to_owned(),
            offsets: vec![(TopicPartition::new("t", 0), offset)],
            ..GroupPosition::default()
        };
        producer.produce(everywhere("a")).await.expect("produced");
        producer.commit(Some(&offset(1))).await.expect("committed");
        producer.produce(everywhere("b")).await.expect("produced");
        disk.fill(full, 0);
        let healing = async {
            disk.refused(3).await;
            disk.storage.heal();
        };
        let second = offset(2);
        let (committed, ()) = futures::join!(producer.commit(Some(&second)), healing);
        committed.unwrap_or_else(|error| panic!("{full}: {error}"));
        settled(&transport, &["a", "b"]).await;
        let (broker, transport) = start(&disk.storage.after_crash(Crash::Power)).await;
        settled(&transport, &["a", "b"]).await;
        assert_eq!(broker.group_lags()[0].committed, 2, "{full}");
    }
}
