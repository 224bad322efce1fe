//! OffsetCommit, TxnOffsetCommit, OffsetFetch and OffsetDelete.

use uuid::Uuid;

use crate::api::node::Node;
use crate::group::coordinator::OffsetToCommit;
use crate::group::offsets::CommittedOffset;
use crate::group::service::OffsetQuery;
use crate::group::sync::{CommitKind, Committer};
use crate::ids::ProducerIdentity;
use crate::ids::TopicId;
use crate::metadata::image::MetadataImage;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use crate::protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use crate::protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use crate::protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
};
use crate::txn::coordinator::TxnVersion;

/// A partition of a commit request, and what is wrong with it, if that is known beforehand.
struct Entry {
    offset: OffsetToCommit,
    error: ErrorCode,
}

/// Offsets of partitions that exist go to the coordinator; the answers are put back in order.
fn known_offsets(entries: &[Entry]) -> Vec<OffsetToCommit> {
    entries.iter().filter(|entry| entry.error == ErrorCode::None).map(|entry| entry.offset.clone()).collect()
}

fn merge(entries: &[Entry], outcome: Result<Vec<ErrorCode>, ErrorCode>) -> Vec<ErrorCode> {
    match outcome {
        Err(error) => vec![error; entries.len()],
        Ok(errors) => {
            let mut errors = errors.into_iter();
            let code = |entry: &Entry| match entry.error {
                ErrorCode::None => errors.next().unwrap_or(ErrorCode::UnknownServerError),
                error => error,
            };
            entries.iter().map(code).collect()
        }
    }
}

fn existence(image: &MetadataImage, topic: &str, partition: i32) -> ErrorCode {
    match image.topic(topic) {
        Some(topic) if (0..topic.partitions).contains(&partition) => ErrorCode::None,
        _ => ErrorCode::UnknownTopicOrPartition,
    }
}

/// The name of a topic given by name or, in newer versions, by id.
fn resolve(image: &MetadataImage, by_id: bool, name: &str, id: Uuid) -> Option<String> {
    if by_id {
        image.topic_by_id(TopicId(id)).map(|topic| topic.name.to_string())
    } else {
        Some(name.to_owned())
    }
}

pub(crate) async fn commit(node: &Node, version: i16, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let image = node.metadata().image();
    let mut entries = Vec::new();
    for topic in &request.topics {
        let name = resolve(&image, version >= 10, &topic.name, topic.topic_id);
        for partition in &topic.partitions {
            let error = match &name {
                Some(name) => existence(&image, name, partition.partition_index),
                None => ErrorCode::UnknownTopicId,
            };
            let offset = OffsetToCommit {
                topic: name.clone().unwrap_or_default(),
                partition: partition.partition_index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: partition.committed_metadata.clone().unwrap_or_default(),
            };
            entries.push(Entry { offset, error });
        }
    }
    let by = Committer {
        generation: request.generation_id_or_member_epoch,
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        kind: CommitKind::Plain,
        knows_member_epochs: version >= 9,
    };
    let outcome = node.groups().commit(&request.group_id, by, known_offsets(&entries)).await;
    let mut errors = merge(&entries, outcome).into_iter();
    let topics = request.topics.into_iter().map(|topic| OffsetCommitResponseTopic {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: errors.next().expect("an answer for every partition"),
            })
            .collect(),
    });
    OffsetCommitResponse { throttle_time_ms: 0, topics: topics.collect() }
}

pub(crate) async fn txn_commit(
    node: &Node,
    version: i16,
    request: TxnOffsetCommitRequest,
) -> TxnOffsetCommitResponse {
    let image = node.metadata().image();
    let mut entries = Vec::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let offset = OffsetToCommit {
                topic: topic.name.clone(),
                partition: partition.partition_index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: partition.committed_metadata.clone().unwrap_or_default(),
            };
            entries.push(Entry { error: existence(&image, &topic.name, partition.partition_index), offset });
        }
    }
    let by = Committer {
        generation: request.generation_id,
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        kind: CommitKind::Transactional,
        knows_member_epochs: true,
    };
    let producer =
        ProducerIdentity { producer_id: request.producer_id, producer_epoch: request.producer_epoch };
    let txn_version = if version >= 5 { TxnVersion::V2 } else { TxnVersion::V1 };
    let outcome = node
        .txns()
        .commit_offsets(
            &request.transactional_id,
            producer,
            txn_version,
            &request.group_id,
            by,
            known_offsets(&entries),
        )
        .await
        .map_err(|code| txn_commit_code(version, code));
    let mut errors = merge(&entries, outcome).into_iter();
    let topics = request.topics.into_iter().map(|topic| TxnOffsetCommitResponseTopic {
        name: topic.name,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| TxnOffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: errors.next().expect("an answer for every partition"),
            })
            .collect(),
    });
    TxnOffsetCommitResponse { throttle_time_ms: 0, topics: topics.collect() }
}

/// As for Produce: a fenced producer is known by its epoch, and version 4 knows a transaction that can only be aborted.
fn txn_commit_code(version: i16, code: ErrorCode) -> ErrorCode {
    const FIRST_TO_ABORT: i16 = 4;
    match code {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::InvalidTxnState if version >= FIRST_TO_ABORT => ErrorCode::TransactionAbortable,
        code => code,
    }
}

pub(crate) async fn fetch(node: &Node, version: i16, request: OffsetFetchRequest) -> OffsetFetchResponse {
    if version >= 8 {
        let mut groups = Vec::with_capacity(request.groups.len());
        for group in request.groups {
            groups.push(fetch_group(node, version, group, request.require_stable).await);
        }
        return OffsetFetchResponse { groups, ..OffsetFetchResponse::default() };
    }
    let topics = request.topics.map(|topics| {
        let convert = |topic: crate::protocol::messages::offset_fetch::OffsetFetchRequestTopic| {
            OffsetFetchRequestTopics {
                name: topic.name,
                topic_id: Uuid::nil(),
                partition_indexes: topic.partition_indexes,
            }
        };
        topics.into_iter().map(convert).collect()
    });
    let group =
        OffsetFetchRequestGroup { group_id: request.group_id, topics, ..OffsetFetchRequestGroup::default() };
    let answer = fetch_group(node, version, group, request.require_stable).await;
    let topics = answer.topics.into_iter().map(|topic| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic
            .partitions
            .into_iter()
            .map(|partition| OffsetFetchResponsePartition {
                partition_index: partition.partition_index,
                committed_offset: partition.committed_offset,
                committed_leader_epoch: partition.committed_leader_epoch,
                metadata: partition.metadata,
                error_code: partition.error_code,
            })
            .collect(),
    });
    OffsetFetchResponse {
        topics: topics.collect(),
        error_code: answer.error_code,
        ..OffsetFetchResponse::default()
    }
}

async fn fetch_group(
    node: &Node,
    version: i16,
    request: OffsetFetchRequestGroup,
    require_stable: bool,
) -> OffsetFetchResponseGroup {
    let image = node.metadata().image();
    let by_id = version >= 10;
    let mut response =
        OffsetFetchResponseGroup { group_id: request.group_id, ..OffsetFetchResponseGroup::default() };
    let checked =
        node.groups().check_fetch(&response.group_id, request.member_id.as_deref(), request.member_epoch);
    if let Err(error) = checked {
        response.error_code = error;
        return response;
    }
    let Some(topics) = request.topics else {
        let all = node.groups().all_offsets(&response.group_id, require_stable).await;
        match all {
            Err(error) => response.error_code = error,
            Ok(offsets) => {
                for ((topic, partition), result) in offsets {
                    let topic_id = image.topic(&topic).map_or(Uuid::nil(), |found| found.id.0);
                    if by_id && topic_id.is_nil() {
                        continue;
                    }
                    if response.topics.last().is_none_or(|last| last.name != topic) {
                        let name = topic.clone();
                        response.topics.push(OffsetFetchResponseTopics {
                            name,
                            topic_id,
                            partitions: Vec::new(),
                        });
                    }
                    let last = response.topics.last_mut().expect("pushed above");
                    last.partitions.push(answer(partition, result.map(Some)));
                }
            }
        }
        return response;
    };
    for topic in topics {
        let Some(name) = resolve(&image, by_id, &topic.name, topic.topic_id) else {
            let unknown = |index: &i32| answer(*index, Err(ErrorCode::UnknownTopicId));
            let partitions = topic.partition_indexes.iter().map(unknown).collect();
            response.topics.push(OffsetFetchResponseTopics {
                name: topic.name,
                topic_id: topic.topic_id,
                partitions,
            });
            continue;
        };
        let query = OffsetQuery { topic: name, partitions: topic.partition_indexes, require_stable };
        let partitions = match node.groups().offsets(&response.group_id, &query).await {
            Ok(offsets) => {
                query.partitions.iter().zip(offsets).map(|(index, found)| answer(*index, found)).collect()
            }
            Err(error) => {
                response.error_code = error;
                Vec::new()
            }
        };
        response.topics.push(OffsetFetchResponseTopics {
            name: query.topic,
            topic_id: topic.topic_id,
            partitions,
        });
    }
    response
}

fn answer(
    partition_index: i32,
    found: Result<Option<CommittedOffset>, ErrorCode>,
) -> OffsetFetchResponsePartitions {
    let none = |error_code| OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(String::new()),
        error_code,
    };
    match found {
        Err(error) => none(error),
        Ok(None) => none(ErrorCode::None),
        Ok(Some(offset)) => OffsetFetchResponsePartitions {
            partition_index,
            committed_offset: offset.offset,
            committed_leader_epoch: offset.leader_epoch,
            metadata: Some(offset.metadata),
            error_code: ErrorCode::None,
        },
    }
}

pub(crate) async fn delete(node: &Node, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let mut response = OffsetDeleteResponse::default();
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let index = partition.partition_index;
            let error_code = node.groups().delete_offset(&request.group_id, &topic.name, index).await;
            if matches!(
                error_code,
                ErrorCode::GroupIdNotFound | ErrorCode::InvalidGroupId | ErrorCode::NonEmptyGroup
            ) {
                return OffsetDeleteResponse { error_code, ..OffsetDeleteResponse::default() };
            }
            partitions.push(OffsetDeleteResponsePartition { partition_index: index, error_code });
        }
        response.topics.push(OffsetDeleteResponseTopic { name: topic.name, partitions });
    }
    response
}
