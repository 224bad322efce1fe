//! Requests about records: topics are read, written or described.

use crate::api::authorize::{Check, Verdict, completed, message, take_out};
use crate::auth::acl::Operation;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsTopicResult,
};
use crate::protocol::messages::describe_producers::{
    DescribeProducersRequest, PartitionResponse, TopicResponse,
};
use crate::protocol::messages::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsTopicResponse,
};
use crate::protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderTopicResult,
};
use crate::protocol::messages::produce::{
    PartitionProduceResponse, ProduceRequest, TopicProduceData, TopicProduceResponse,
};

const REFUSED: ErrorCode = ErrorCode::TopicAuthorizationFailed;

pub(super) fn produce(check: Check<'_>, request: &mut ProduceRequest) -> Verdict {
    if check.access.is_unrestricted() {
        return Verdict::Allowed;
    }
    let transactional = request.transactional_id.as_deref();
    let all_refused = transactional.is_some_and(|id| !check.access.transactional_id(Operation::Write, id));
    let refused = take_out(&mut request.topic_data, |topic| {
        all_refused || !check.topic(Operation::Write, check.version >= 13, &topic.name, topic.topic_id)
    });
    if refused.is_empty() {
        return Verdict::Allowed;
    }
    let error_code = if all_refused { ErrorCode::TransactionalIdAuthorizationFailed } else { REFUSED };
    let refuse = move |topic: TopicProduceData| {
        let partitions = topic.partition_data.iter().map(|data| PartitionProduceResponse {
            index: data.index,
            error_code,
            base_offset: -1,
            ..PartitionProduceResponse::default()
        });
        let (name, topic_id) = (topic.name, topic.topic_id);
        TopicProduceResponse { name, topic_id, partition_responses: partitions.collect() }
    };
    completed!(Produce, |answer| { answer.responses.extend(refused.into_iter().map(refuse)) })
}

pub(super) fn list_offsets(check: Check<'_>, request: &mut ListOffsetsRequest) -> Verdict {
    let refused =
        take_out(&mut request.topics, |topic| !check.access.topic(Operation::Describe, &topic.name));
    completed!(ListOffsets, |answer| {
        answer.topics.extend(refused.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|wanted| ListOffsetsPartitionResponse {
                partition_index: wanted.partition_index,
                error_code: REFUSED,
                ..ListOffsetsPartitionResponse::default()
            });
            ListOffsetsTopicResponse { name: topic.name, partitions: partitions.collect() }
        }));
    })
}

pub(super) fn offset_for_leader_epoch(
    check: Check<'_>,
    request: &mut OffsetForLeaderEpochRequest,
) -> Verdict {
    if check.access.unaudited().cluster(Operation::ClusterAction) {
        return Verdict::Allowed;
    }
    let refused =
        take_out(&mut request.topics, |topic| !check.access.topic(Operation::Describe, &topic.topic));
    completed!(OffsetForLeaderEpoch, |answer| {
        answer.topics.extend(refused.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|wanted| EpochEndOffset {
                error_code: REFUSED,
                partition: wanted.partition,
                ..EpochEndOffset::default()
            });
            OffsetForLeaderTopicResult { topic: topic.topic, partitions: partitions.collect() }
        }));
    })
}

pub(super) fn delete_records(check: Check<'_>, request: &mut DeleteRecordsRequest) -> Verdict {
    let refused = take_out(&mut request.topics, |topic| !check.access.topic(Operation::Delete, &topic.name));
    completed!(DeleteRecords, |answer| {
        answer.topics.extend(refused.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|wanted| DeleteRecordsPartitionResult {
                partition_index: wanted.partition_index,
                low_watermark: -1,
                error_code: REFUSED,
            });
            DeleteRecordsTopicResult { name: topic.name, partitions: partitions.collect() }
        }));
    })
}

pub(super) fn describe_producers(check: Check<'_>, request: &mut DescribeProducersRequest) -> Verdict {
    let refused = take_out(&mut request.topics, |topic| !check.access.topic(Operation::Read, &topic.name));
    completed!(DescribeProducers, |answer| {
        answer.topics.extend(refused.into_iter().map(|topic| {
            let partitions = topic.partition_indexes.iter().map(|index| PartitionResponse {
                partition_index: *index,
                error_code: REFUSED,
                error_message: message(REFUSED),
                active_producers: Vec::new(),
            });
            TopicResponse { name: topic.name, partitions: partitions.collect() }
        }));
    })
}
