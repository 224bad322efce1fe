//! InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn, DescribeTransactions and ListTransactions.

use std::collections::BTreeMap;

use crate::api::node::Node;
use crate::group::consumer::pattern;
use crate::ids::ProducerIdentity;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use crate::protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult, AddPartitionsToTxnTopic, AddPartitionsToTxnTopicResult,
};
use crate::protocol::messages::describe_transactions::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, TopicData,
    TransactionState as DescribedTransaction,
};
use crate::protocol::messages::end_txn::{EndTxnRequest, EndTxnResponse};
use crate::protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use crate::protocol::messages::list_transactions::{
    ListTransactionsRequest, ListTransactionsResponse, TransactionState as ListedTransaction,
};
use crate::record::control::MarkerKind;
use crate::txn::coordinator::TxnVersion;
use crate::txn::state::{Transaction, TxnState};

/// Clients older than `first` do not know the code for fenced producers.
fn fenced_for(version: i16, first: i16, error: ErrorCode) -> ErrorCode {
    if version < first && error == ErrorCode::ProducerFenced {
        ErrorCode::InvalidProducerEpoch
    } else {
        error
    }
}

pub(crate) async fn init_producer_id(
    node: &Node,
    version: i16,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let expected = match (request.producer_id, request.producer_epoch) {
        (-1, -1) => Ok(None),
        (producer_id, producer_epoch) if producer_id >= 0 && producer_epoch >= 0 => {
            Ok(Some(ProducerIdentity { producer_id, producer_epoch }))
        }
        _ => Err(ErrorCode::InvalidRequest),
    };
    let outcome = match (expected, request.transactional_id) {
        (Err(error), _) => Err(error),
        // An idempotent producer gets a new id whatever it had.
        (Ok(_), None) => node.txns().init_idempotent().await,
        (Ok(expected), Some(id)) => node.txns().init(&id, request.transaction_timeout_ms, expected).await,
    };
    match outcome {
        Ok(identity) => InitProducerIdResponse {
            producer_id: identity.producer_id,
            producer_epoch: identity.producer_epoch,
            ..InitProducerIdResponse::default()
        },
        Err(error) => InitProducerIdResponse {
            error_code: fenced_for(version, 4, error),
            producer_id: -1,
            producer_epoch: -1,
            ..InitProducerIdResponse::default()
        },
    }
}

pub(crate) async fn add_partitions(
    node: &Node,
    version: i16,
    request: AddPartitionsToTxnRequest,
) -> AddPartitionsToTxnResponse {
    if version < 4 {
        let by = ProducerIdentity {
            producer_id: request.v3_and_below_producer_id,
            producer_epoch: request.v3_and_below_producer_epoch,
        };
        let id = request.v3_and_below_transactional_id;
        let results = add_to_one(node, &id, by, request.v3_and_below_topics, false).await;
        let fence = |mut topic: AddPartitionsToTxnTopicResult| {
            for partition in &mut topic.results_by_partition {
                partition.partition_error_code = fenced_for(version, 2, partition.partition_error_code);
            }
            topic
        };
        return AddPartitionsToTxnResponse {
            results_by_topic_v3_and_below: results.into_iter().map(fence).collect(),
            ..AddPartitionsToTxnResponse::default()
        };
    }
    let mut response = AddPartitionsToTxnResponse::default();
    for transaction in request.transactions {
        let by = ProducerIdentity {
            producer_id: transaction.producer_id,
            producer_epoch: transaction.producer_epoch,
        };
        let id = transaction.transactional_id;
        let topic_results = add_to_one(node, &id, by, transaction.topics, transaction.verify_only).await;
        response
            .results_by_transaction
            .push(AddPartitionsToTxnResult { transactional_id: id, topic_results });
    }
    response
}

/// All partitions join, or none does: if one does not exist, the others are answered with OPERATION_NOT_ATTEMPTED.
async fn add_to_one(
    node: &Node,
    transactional_id: &str,
    by: ProducerIdentity,
    topics: Vec<AddPartitionsToTxnTopic>,
    verify_only: bool,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let image = node.metadata().image();
    let exists = |name: &str, partition: i32| {
        image.topic(name).is_some_and(|topic| (0..topic.partitions).contains(&partition))
    };
    let pairs =
        || topics.iter().flat_map(|topic| topic.partitions.iter().map(|index| (topic.name.as_str(), *index)));
    let all_exist = pairs().all(|(name, partition)| exists(name, partition));
    let outcome = if !all_exist {
        Err(ErrorCode::OperationNotAttempted)
    } else if verify_only {
        Ok(())
    } else {
        let partitions = pairs().map(|(name, partition)| (name.to_owned(), partition)).collect();
        node.txns().add_partitions(transactional_id, by, partitions).await
    };
    let code = |name: &str, partition: i32| {
        if !exists(name, partition) {
            return ErrorCode::UnknownTopicOrPartition;
        }
        if verify_only && all_exist {
            return node
                .txns()
                .verify(transactional_id, by, name, partition)
                .err()
                .unwrap_or(ErrorCode::None);
        }
        outcome.err().unwrap_or(ErrorCode::None)
    };
    let result = |topic: &AddPartitionsToTxnTopic| AddPartitionsToTxnTopicResult {
        name: topic.name.clone(),
        results_by_partition: topic
            .partitions
            .iter()
            .map(|partition| AddPartitionsToTxnPartitionResult {
                partition_index: *partition,
                partition_error_code: code(&topic.name, *partition),
            })
            .collect(),
    };
    topics.iter().map(result).collect()
}

pub(crate) async fn add_offsets(
    node: &Node,
    version: i16,
    request: AddOffsetsToTxnRequest,
) -> AddOffsetsToTxnResponse {
    let by = ProducerIdentity { producer_id: request.producer_id, producer_epoch: request.producer_epoch };
    let outcome = if request.group_id.is_empty() {
        Err(ErrorCode::InvalidGroupId)
    } else {
        node.txns().add_offsets(&request.transactional_id, by, &request.group_id).await
    };
    let error_code = outcome.err().map_or(ErrorCode::None, |error| fenced_for(version, 2, error));
    AddOffsetsToTxnResponse { throttle_time_ms: 0, error_code }
}

pub(crate) async fn end(node: &Node, version: i16, request: EndTxnRequest) -> EndTxnResponse {
    let by = ProducerIdentity { producer_id: request.producer_id, producer_epoch: request.producer_epoch };
    let end = if request.committed { MarkerKind::Commit } else { MarkerKind::Abort };
    let txn_version = if version >= 5 { TxnVersion::V2 } else { TxnVersion::V1 };
    match node.txns().end(&request.transactional_id, by, end, txn_version).await {
        Ok(identity) => EndTxnResponse {
            producer_id: identity.producer_id,
            producer_epoch: identity.producer_epoch,
            ..EndTxnResponse::default()
        },
        Err(error) => EndTxnResponse {
            error_code: fenced_for(version, 2, error),
            producer_epoch: -1,
            ..EndTxnResponse::default()
        },
    }
}

pub(crate) fn describe(node: &Node, request: DescribeTransactionsRequest) -> DescribeTransactionsResponse {
    let describe = |id: String| {
        let described =
            node.txns().with_transaction(&id, describe_one).map(|described| DescribedTransaction {
                transaction_start_time_ms: node.txns().in_wall_time(described.transaction_start_time_ms),
                ..described
            });
        described.unwrap_or_else(|| DescribedTransaction {
            error_code: ErrorCode::TransactionalIdNotFound,
            transactional_id: id,
            ..DescribedTransaction::default()
        })
    };
    let transaction_states = request.transactional_ids.into_iter().map(describe).collect();
    DescribeTransactionsResponse { throttle_time_ms: 0, transaction_states }
}

fn describe_one(transaction: &Transaction) -> DescribedTransaction {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in &transaction.partitions {
        topics.entry(topic).or_default().push(*partition);
    }
    let topic = |(topic, partitions): (&str, Vec<i32>)| TopicData { topic: topic.to_owned(), partitions };
    DescribedTransaction {
        error_code: ErrorCode::None,
        transactional_id: transaction.transactional_id.clone(),
        transaction_state: transaction.state.name().to_owned(),
        transaction_timeout_ms: transaction.timeout_ms,
        transaction_start_time_ms: transaction.start_ms,
        producer_id: transaction.producer_id,
        producer_epoch: transaction.producer_epoch,
        topics: topics.into_iter().map(topic).collect(),
    }
}

pub(crate) fn list(node: &Node, request: &ListTransactionsRequest) -> ListTransactionsResponse {
    let pattern = match request.transactional_id_pattern.as_deref().filter(|pattern| !pattern.is_empty()) {
        None => None,
        Some(pattern) => match pattern::compile(pattern) {
            Ok(regex) => Some(regex),
            Err(_) => {
                let error_code = ErrorCode::InvalidRegularExpression;
                return ListTransactionsResponse { error_code, ..ListTransactionsResponse::default() };
            }
        },
    };
    let known = |name: &String| (0..=7).filter_map(TxnState::from_code).any(|state| state.name() == name);
    let view = |transaction: &Transaction, now: i64| {
        let matches = (request.state_filters.is_empty()
            || request.state_filters.iter().any(|name| name == transaction.state.name()))
            && (request.producer_id_filters.is_empty()
                || request.producer_id_filters.contains(&transaction.producer_id))
            && pattern.as_ref().is_none_or(|regex| regex.is_match(&transaction.transactional_id))
            && (request.duration_filter < 0
                || (transaction.start_ms >= 0 && now - transaction.start_ms > request.duration_filter));
        matches.then(|| ListedTransaction {
            transactional_id: transaction.transactional_id.clone(),
            producer_id: transaction.producer_id,
            transaction_state: transaction.state.name().to_owned(),
        })
    };
    let mut transaction_states: Vec<_> = node.txns().list(view).into_iter().flatten().collect();
    transaction_states.sort_by(|a, b| a.transactional_id.cmp(&b.transactional_id));
    ListTransactionsResponse {
        throttle_time_ms: 0,
        error_code: ErrorCode::None,
        unknown_state_filters: request.state_filters.iter().filter(|name| !known(name)).cloned().collect(),
        transaction_states,
    }
}
