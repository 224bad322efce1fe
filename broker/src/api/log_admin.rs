//! DeleteRecords, OffsetForLeaderEpoch, DescribeProducers and DescribeLogDirs.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::error_map;
use crate::api::fetch::check_epoch;
use crate::api::node::Node;
use crate::error::Error;
use crate::ids::TopicPartition;
use crate::log::offline::OfflineLog;
use crate::metadata::image::is_internal;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use crate::protocol::messages::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeLogDirsResult,
    DescribeLogDirsTopic,
};
use crate::protocol::messages::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};
use crate::protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
};
use crate::replication::partition::Partition;

fn find(node: &Node, topic: &Arc<str>, index: i32) -> Result<Arc<Partition>, ErrorCode> {
    let found = node.replicas().require(&TopicPartition::new(topic.clone(), index));
    found.map_err(|error| error_map::code(&error))
}

pub(crate) async fn delete_records(node: &Node, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let name: Arc<str> = topic.name.as_str().into();
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in topic.partitions {
            let partition_index = wanted.partition_index;
            let outcome = if is_internal(&name) {
                Err(ErrorCode::InvalidTopicException)
            } else {
                match find(node, &name, partition_index) {
                    Ok(partition) => delete_before(partition, wanted.offset).await,
                    Err(code) => Err(code),
                }
            };
            partitions.push(match outcome {
                Ok(low_watermark) => DeleteRecordsPartitionResult {
                    partition_index,
                    low_watermark,
                    error_code: ErrorCode::None,
                },
                Err(error_code) => {
                    DeleteRecordsPartitionResult { partition_index, low_watermark: -1, error_code }
                }
            });
        }
        topics.push(DeleteRecordsTopicResult { name: topic.name, partitions });
    }
    if let Err(code) = note_log_starts(node).await {
        for result in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            result.error_code = code;
        }
    }
    DeleteRecordsResponse { throttle_time_ms: 0, topics }
}

/// Makes log start offsets durable, so that deleted records stay deleted over a crash.
async fn note_log_starts(node: &Node) -> Result<(), ErrorCode> {
    let manager = Arc::clone(node.replicas().log_manager());
    let work = tokio::task::spawn_blocking(move || manager.checkpoint_log_starts());
    let outcome = work.await.unwrap_or(Err(Error::Interrupted { action: "note log starts" }));
    outcome.map_err(|error| error_map::code(&error))
}

async fn delete_before(partition: Arc<Partition>, offset: i64) -> Result<i64, ErrorCode> {
    const TO_THE_HIGH_WATERMARK: i64 = -1;
    let before = match offset {
        TO_THE_HIGH_WATERMARK => partition.offsets().high_watermark,
        negative if negative < 0 => return Err(ErrorCode::OffsetOutOfRange),
        offset => offset,
    };
    // What is kept for its key is not deleted by its offset.
    if !partition.config().cleanup_policy.delete {
        return Err(ErrorCode::PolicyViolation);
    }
    let work = tokio::task::spawn_blocking(move || partition.delete_records_before(before));
    let outcome = work.await.unwrap_or(Err(Error::Interrupted { action: "delete records" }));
    outcome.map_err(|error| error_map::code(&error))
}

pub(crate) fn offset_for_leader_epoch(
    node: &Node,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let name: Arc<str> = topic.topic.as_str().into();
        let partitions = topic.partitions.iter().map(|wanted| epoch_end(node, &name, wanted)).collect();
        topics.push(OffsetForLeaderTopicResult { topic: topic.topic, partitions });
    }
    OffsetForLeaderEpochResponse { throttle_time_ms: 0, topics }
}

/// An epoch that is not known has no end (-1).
fn epoch_end(node: &Node, topic: &Arc<str>, wanted: &OffsetForLeaderPartition) -> EpochEndOffset {
    let outcome = find(node, topic, wanted.partition).and_then(|partition| {
        check_epoch(&partition, wanted.current_leader_epoch)?;
        Ok(partition.end_offset_of_epoch(wanted.leader_epoch))
    });
    let none = EpochEndOffset { partition: wanted.partition, ..EpochEndOffset::default() };
    match outcome {
        Err(error_code) => EpochEndOffset { error_code, ..none },
        Ok(None) => none,
        Ok(Some((leader_epoch, end_offset))) => EpochEndOffset { leader_epoch, end_offset, ..none },
    }
}

pub(crate) fn describe_producers(
    node: &Node,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let name: Arc<str> = topic.name.as_str().into();
        let describe = |partition_index: i32| match find(node, &name, partition_index) {
            Err(error_code) => {
                PartitionResponse { partition_index, error_code, ..PartitionResponse::default() }
            }
            Ok(partition) => PartitionResponse {
                partition_index,
                active_producers: partition.producers().into_iter().map(producer_state).collect(),
                ..PartitionResponse::default()
            },
        };
        let partitions = topic.partition_indexes.into_iter().map(describe).collect();
        topics.push(TopicResponse { name: topic.name, partitions });
    }
    DescribeProducersResponse { throttle_time_ms: 0, topics }
}

fn producer_state(producer: crate::log::access::ActiveProducer) -> ProducerState {
    ProducerState {
        producer_id: producer.producer_id.0,
        producer_epoch: i32::from(producer.producer_epoch),
        last_sequence: producer.last_sequence,
        last_timestamp: producer.last_timestamp,
        coordinator_epoch: producer.coordinator_epoch,
        current_txn_start_offset: producer.current_txn_start_offset.unwrap_or(-1),
    }
}

pub(crate) fn describe_log_dirs(node: &Node, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let wanted = |name: &TopicPartition| match &request.topics {
        None => true,
        Some(topics) => topics
            .iter()
            .any(|topic| *topic.topic == *name.topic && topic.partitions.contains(&name.partition)),
    };
    let mut topics: BTreeMap<Arc<str>, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for partition in node.replicas().partitions() {
        let name = partition.topic_partition();
        if wanted(name) {
            topics.entry(name.topic.clone()).or_default().push(DescribeLogDirsPartition {
                partition_index: name.partition,
                partition_size: i64::try_from(partition.size_bytes()).unwrap_or(i64::MAX),
                offset_lag: 0,
                is_future_key: false,
            });
        }
    }
    let topic = |(name, mut partitions): (Arc<str>, Vec<DescribeLogDirsPartition>)| {
        partitions.sort_by_key(|partition| partition.partition_index);
        DescribeLogDirsTopic { name: name.to_string(), partitions }
    };
    let result = DescribeLogDirsResult {
        error_code: ErrorCode::None,
        log_dir: node.config().data_dir.display().to_string(),
        topics: topics.into_iter().map(topic).collect(),
        ..DescribeLogDirsResult::default()
    };
    let offline = node.replicas().offline();
    let damaged = offline.iter().filter(|log| wanted(&log.partition)).map(offline_dir);
    let results = std::iter::once(result).chain(damaged).collect();
    DescribeLogDirsResponse { results, ..DescribeLogDirsResponse::default() }
}

/// A damaged log is a directory of its own that has failed.
fn offline_dir(log: &OfflineLog) -> DescribeLogDirsResult {
    let partition = DescribeLogDirsPartition {
        partition_index: log.partition.partition,
        partition_size: -1,
        offset_lag: -1,
        is_future_key: false,
    };
    let topic = DescribeLogDirsTopic { name: log.partition.topic.to_string(), partitions: vec![partition] };
    DescribeLogDirsResult {
        error_code: ErrorCode::KafkaStorageError,
        log_dir: log.dir.display().to_string(),
        topics: vec![topic],
        ..DescribeLogDirsResult::default()
    }
}
