//! Requests about transactions: WRITE on a transactional id permits all of them.

use crate::api::authorize::{Check, Verdict, completed, take_out};
use crate::auth::acl::Operation;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use crate::protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopicResult,
};
use crate::protocol::messages::describe_transactions::{DescribeTransactionsRequest, TransactionState};
use crate::protocol::messages::end_txn::{EndTxnRequest, EndTxnResponse};
use crate::protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use crate::protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestTopic, TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
};
use crate::protocol::messages::write_txn_markers::WriteTxnMarkersResponse;

const REFUSED: ErrorCode = ErrorCode::TransactionalIdAuthorizationFailed;
const TOPIC_REFUSED: ErrorCode = ErrorCode::TopicAuthorizationFailed;

pub(super) fn init_producer_id(check: Check<'_>, request: &InitProducerIdRequest) -> Verdict {
    let (allowed, error_code) = match &request.transactional_id {
        Some(id) => (check.access.transactional_id(Operation::Write, id), REFUSED),
        None => (check.access.idempotent_write(), ErrorCode::ClusterAuthorizationFailed),
    };
    Verdict::unless(allowed, || InitProducerIdResponse {
        error_code,
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdResponse::default()
    })
}

pub(super) fn add_partitions(check: Check<'_>, request: &AddPartitionsToTxnRequest) -> Verdict {
    if check.version >= 4 {
        // Brokers talk among themselves like this.
        return Verdict::unless(check.cluster(Operation::ClusterAction), || AddPartitionsToTxnResponse {
            error_code: ErrorCode::ClusterAuthorizationFailed,
            ..AddPartitionsToTxnResponse::default()
        });
    }
    let topics = &request.v3_and_below_topics;
    let may_write = check.access.transactional_id(Operation::Write, &request.v3_and_below_transactional_id);
    if may_write && topics.iter().all(|topic| check.access.topic(Operation::Write, &topic.name)) {
        return Verdict::Allowed;
    }
    let access = check.access.unaudited();
    let allowed = |name: &str| access.topic(Operation::Write, name);
    // All partitions join, or none does.
    let code = |name: &str| match may_write {
        false => REFUSED,
        true if allowed(name) => ErrorCode::OperationNotAttempted,
        true => TOPIC_REFUSED,
    };
    let result = |topic: &crate::protocol::messages::add_partitions_to_txn::AddPartitionsToTxnTopic| {
        let partitions = topic.partitions.iter().map(|index| AddPartitionsToTxnPartitionResult {
            partition_index: *index,
            partition_error_code: code(&topic.name),
        });
        AddPartitionsToTxnTopicResult { name: topic.name.clone(), results_by_partition: partitions.collect() }
    };
    let answer = AddPartitionsToTxnResponse {
        results_by_topic_v3_and_below: topics.iter().map(result).collect(),
        ..AddPartitionsToTxnResponse::default()
    };
    Verdict::Refused(answer.into())
}

pub(super) fn add_offsets(check: Check<'_>, request: &AddOffsetsToTxnRequest) -> Verdict {
    let refusal = |error_code| AddOffsetsToTxnResponse { throttle_time_ms: 0, error_code };
    if !check.access.transactional_id(Operation::Write, &request.transactional_id) {
        return Verdict::Refused(refusal(REFUSED).into());
    }
    Verdict::unless(check.access.group(Operation::Read, &request.group_id), || {
        refusal(ErrorCode::GroupAuthorizationFailed)
    })
}

pub(super) fn offset_commit(check: Check<'_>, request: &mut TxnOffsetCommitRequest) -> Verdict {
    if check.access.is_unrestricted() {
        return Verdict::Allowed;
    }
    let error_code = if !check.access.transactional_id(Operation::Write, &request.transactional_id) {
        REFUSED
    } else if !check.access.group(Operation::Read, &request.group_id) {
        ErrorCode::GroupAuthorizationFailed
    } else {
        TOPIC_REFUSED
    };
    let refused = take_out(&mut request.topics, |topic| {
        error_code != TOPIC_REFUSED || !check.access.topic(Operation::Read, &topic.name)
    });
    if refused.is_empty() {
        return Verdict::Allowed;
    }
    let refuse = move |topic: TxnOffsetCommitRequestTopic| {
        let partitions = topic.partitions.iter().map(|partition| TxnOffsetCommitResponsePartition {
            partition_index: partition.partition_index,
            error_code,
        });
        TxnOffsetCommitResponseTopic { name: topic.name, partitions: partitions.collect() }
    };
    if error_code != TOPIC_REFUSED {
        // The transaction is not touched at all.
        let topics = refused.into_iter().map(refuse).collect();
        let answer = crate::protocol::messages::txn_offset_commit::TxnOffsetCommitResponse {
            throttle_time_ms: 0,
            topics,
        };
        return Verdict::Refused(answer.into());
    }
    completed!(TxnOffsetCommit, |answer| { answer.topics.extend(refused.into_iter().map(refuse)) })
}

pub(super) fn end(check: Check<'_>, request: &EndTxnRequest) -> Verdict {
    let allowed = check.access.transactional_id(Operation::Write, &request.transactional_id);
    Verdict::unless(allowed, || EndTxnResponse {
        error_code: REFUSED,
        producer_epoch: -1,
        ..EndTxnResponse::default()
    })
}

pub(super) fn no_markers() -> WriteTxnMarkersResponse {
    WriteTxnMarkersResponse::default()
}

pub(super) fn describe(check: Check<'_>, request: &mut DescribeTransactionsRequest) -> Verdict {
    let refused = take_out(&mut request.transactional_ids, |id| {
        !check.access.transactional_id(Operation::Describe, id)
    });
    let access = check.access.unaudited();
    completed!(DescribeTransactions, |answer| {
        for transaction in &mut answer.transaction_states {
            transaction.topics.retain(|topic| access.topic(Operation::Describe, &topic.topic));
        }
        let refuse = |transactional_id| TransactionState {
            error_code: REFUSED,
            transactional_id,
            ..TransactionState::default()
        };
        answer.transaction_states.extend(refused.into_iter().map(refuse));
    })
}

pub(super) fn list(check: Check<'_>) -> Verdict {
    let access = check.access.unaudited();
    completed!(ListTransactions, |answer| {
        let may_see = |id: &str| access.transactional_id(Operation::Describe, id);
        answer.transaction_states.retain(|transaction| may_see(&transaction.transactional_id));
    })
}
