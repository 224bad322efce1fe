//! Transactions through a loss of power: what a client was told is still so.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_broker::broker::{Broker, Effects};
use weir_broker::client::admin::Admin;
use weir_broker::client::transport::Transport;
use weir_broker::config::BrokerConfig;
use weir_broker::env::storage::memory::{Crash, MemoryStorage};
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::add_offsets_to_txn::AddOffsetsToTxnRequest;
use weir_broker::protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic,
};
use weir_broker::protocol::messages::describe_transactions::DescribeTransactionsRequest;
use weir_broker::protocol::messages::init_producer_id::InitProducerIdRequest;
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;

const ID: &str = "id";

async fn start(storage: &MemoryStorage) -> Broker {
    let effects = Effects { storage: Arc::new(storage.clone()), ..Effects::default() };
    let mut config = BrokerConfig::new("/data");
    config.listeners.clear();
    Broker::start_with(config, effects).await.expect("the broker starts")
}

async fn send(transport: &Arc<dyn Transport>, request: Request) -> Response {
    transport.send(request).await.expect("answered")
}

/// State and partitions of the transaction.
async fn describe(transport: &Arc<dyn Transport>) -> (String, Vec<(String, usize)>) {
    let request = DescribeTransactionsRequest { transactional_ids: vec![ID.to_owned()] };
    let Response::DescribeTransactions(mut response) =
        send(transport, Request::DescribeTransactions(request)).await
    else {
        panic!("another response")
    };
    let state = response.transaction_states.remove(0);
    let topics = state.topics.into_iter().map(|topic| (topic.topic, topic.partitions.len())).collect();
    (state.transaction_state, topics)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_and_offsets_added_by_request_survive_a_loss_of_power() {
    let storage = MemoryStorage::new();
    let broker = start(&storage).await;
    let transport = broker.transport();
    Admin::new(transport.clone()).create_topic("t", 2, &BTreeMap::new()).await.expect("created");
    let request = InitProducerIdRequest {
        transactional_id: Some(ID.to_owned()),
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdRequest::default()
    };
    let Response::InitProducerId(producer) = send(&transport, Request::InitProducerId(request)).await else {
        panic!("another response")
    };

    let request = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: ID.to_owned(),
        v3_and_below_producer_id: producer.producer_id,
        v3_and_below_producer_epoch: producer.producer_epoch,
        v3_and_below_topics: vec![AddPartitionsToTxnTopic { name: "t".to_owned(), partitions: vec![0, 1] }],
        ..AddPartitionsToTxnRequest::default()
    };
    send(&transport, Request::AddPartitionsToTxn(request)).await;
    let after_partitions = storage.after_crash(Crash::Power);

    let request = AddOffsetsToTxnRequest {
        transactional_id: ID.to_owned(),
        producer_id: producer.producer_id,
        producer_epoch: producer.producer_epoch,
        group_id: "g".to_owned(),
    };
    let Response::AddOffsetsToTxn(added) = send(&transport, Request::AddOffsetsToTxn(request)).await else {
        panic!("another response")
    };
    assert_eq!(added.error_code, ErrorCode::None);
    let after_offsets = storage.after_crash(Crash::Power);
    let open = ("Ongoing".to_owned(), vec![("t".to_owned(), 2)]);
    assert_eq!(describe(&start(&after_partitions).await.transport()).await, open);
    let open = ("Ongoing".to_owned(), vec![("__consumer_offsets".to_owned(), 1), ("t".to_owned(), 2)]);
    assert_eq!(describe(&start(&after_offsets).await.transport()).await, open);
}
