//! ElectLeaders, reassignments and AlterReplicaLogDirs, truthfully for one broker: every partition is where it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::error_map;
use crate::api::node::Node;
use crate::ids::TopicPartition;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use crate::protocol::messages::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};
use crate::protocol::messages::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult, TopicPartitions,
};
use crate::protocol::messages::list_partition_reassignments::ListPartitionReassignmentsResponse;

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

/// There is one replica: it leads, or the partition has no leader.
pub(crate) fn elect_leaders(node: &Node, request: ElectLeadersRequest) -> ElectLeadersResponse {
    if !matches!(request.election_type, PREFERRED | UNCLEAN) {
        return ElectLeadersResponse {
            error_code: ErrorCode::InvalidRequest,
            ..ElectLeadersResponse::default()
        };
    }
    let all = request.topic_partitions.is_none();
    let wanted = request.topic_partitions.unwrap_or_else(|| every_partition(node));
    let mut results = Vec::with_capacity(wanted.len());
    for topic in wanted {
        let name: Arc<str> = topic.topic.as_str().into();
        let outcomes = topic.partitions.into_iter().map(|partition_id| {
            let (error_code, message) = elect(node, &name, partition_id, request.election_type);
            PartitionResult { partition_id, error_code, error_message: Some(message.to_owned()) }
        });
        // Who asks for all hears only of those that need a leader.
        let tell = |result: &PartitionResult| !all || result.error_code != ErrorCode::ElectionNotNeeded;
        let partition_result: Vec<PartitionResult> = outcomes.filter(tell).collect();
        if !partition_result.is_empty() {
            results.push(ReplicaElectionResult { topic: topic.topic, partition_result });
        }
    }
    ElectLeadersResponse { replica_election_results: results, ..ElectLeadersResponse::default() }
}

fn every_partition(node: &Node) -> Vec<TopicPartitions> {
    let image = node.metadata().image();
    let topic = |topic: &Arc<crate::metadata::image::Topic>| TopicPartitions {
        topic: topic.name.to_string(),
        partitions: (0..topic.partitions).collect(),
    };
    image.topics().map(topic).collect()
}

fn elect(node: &Node, topic: &Arc<str>, partition: i32, election_type: i8) -> (ErrorCode, &'static str) {
    if !exists(node, topic, partition) {
        return (ErrorCode::UnknownTopicOrPartition, "the partition does not exist");
    }
    let name = TopicPartition::new(topic.clone(), partition);
    if node.replicas().find_offline(&name).is_none() {
        (ErrorCode::ElectionNotNeeded, "the only replica leads the partition")
    } else if election_type == UNCLEAN {
        (ErrorCode::EligibleLeadersNotAvailable, "the only replica is damaged")
    } else {
        (ErrorCode::PreferredLeaderNotAvailable, "the only replica is damaged")
    }
}

fn exists(node: &Node, topic: &str, partition: i32) -> bool {
    let image = node.metadata().image();
    image.topic(topic).is_some_and(|topic| (0..topic.partitions).contains(&partition))
}

pub(crate) fn alter_reassignments(
    node: &Node,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let mut responses = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let answer = |partition: &ReassignablePartition| {
            let (error_code, message) = reassign(node, &topic.name, partition);
            let error_message = message.map(str::to_owned);
            ReassignablePartitionResponse {
                partition_index: partition.partition_index,
                error_code,
                error_message,
            }
        };
        let partitions = topic.partitions.iter().map(answer).collect();
        responses.push(ReassignableTopicResponse { name: topic.name, partitions });
    }
    AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        responses,
        ..AlterPartitionReassignmentsResponse::default()
    }
}

fn reassign(
    node: &Node,
    topic: &str,
    partition: &ReassignablePartition,
) -> (ErrorCode, Option<&'static str>) {
    if !exists(node, topic, partition.partition_index) {
        return (ErrorCode::UnknownTopicOrPartition, Some("the partition does not exist"));
    }
    match partition.replicas.as_deref() {
        None => (ErrorCode::NoReassignmentInProgress, Some("no reassignment is under way")),
        Some(replicas) if replicas == [node.id()] => (ErrorCode::None, None),
        Some(_) => {
            let message = "partitions can only be assigned to this broker";
            (ErrorCode::InvalidReplicaAssignment, Some(message))
        }
    }
}

/// None is ever under way.
pub(crate) fn list_reassignments() -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default()
}

/// There is one directory; moving into it is done already, moving anywhere else is not possible.
pub(crate) fn alter_log_dirs(
    node: &Node,
    request: AlterReplicaLogDirsRequest,
) -> AlterReplicaLogDirsResponse {
    let own = node.config().data_dir.as_path();
    let mut results: BTreeMap<String, Vec<AlterReplicaLogDirPartitionResult>> = BTreeMap::new();
    for dir in request.dirs {
        let known = std::path::Path::new(&dir.path) == own;
        for topic in dir.topics {
            let name: Arc<str> = topic.name.as_str().into();
            let answer = |partition_index: i32| {
                let found = node.replicas().require(&TopicPartition::new(name.clone(), partition_index));
                let error_code = match found {
                    _ if !known => ErrorCode::LogDirNotFound,
                    Err(error) => error_map::code(&error),
                    Ok(_) => ErrorCode::None,
                };
                AlterReplicaLogDirPartitionResult { partition_index, error_code }
            };
            results.entry(topic.name).or_default().extend(topic.partitions.into_iter().map(answer));
        }
    }
    let topic = |(topic_name, partitions)| AlterReplicaLogDirTopicResult { topic_name, partitions };
    AlterReplicaLogDirsResponse { throttle_time_ms: 0, results: results.into_iter().map(topic).collect() }
}
