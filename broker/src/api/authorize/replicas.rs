//! Refusals of requests about replicas and resources of the cluster.

use super::message;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::alter_partition_reassignments::AlterPartitionReassignmentsResponse;
use crate::protocol::messages::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopic, AlterReplicaLogDirTopicResult,
    AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse,
};
use crate::protocol::messages::describe_quorum::DescribeQuorumResponse;
use crate::protocol::messages::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult, TopicPartitions,
};
use crate::protocol::messages::list_config_resources::ListConfigResourcesResponse;
use crate::protocol::messages::list_partition_reassignments::ListPartitionReassignmentsResponse;

/// Each partition is refused, because version 0 has no place for a code of the whole.
pub(super) fn no_elections(request: &ElectLeadersRequest, error_code: ErrorCode) -> ElectLeadersResponse {
    let partition = |partition_id: &i32| PartitionResult {
        partition_id: *partition_id,
        error_code,
        error_message: message(error_code),
    };
    let topic = |topic: &TopicPartitions| ReplicaElectionResult {
        topic: topic.topic.clone(),
        partition_result: topic.partitions.iter().map(partition).collect(),
    };
    let replica_election_results = request.topic_partitions.iter().flatten().map(topic).collect();
    ElectLeadersResponse { throttle_time_ms: 0, error_code, replica_election_results }
}

pub(super) fn no_moves(
    request: &AlterReplicaLogDirsRequest,
    error_code: ErrorCode,
) -> AlterReplicaLogDirsResponse {
    let partition = |index: &i32| AlterReplicaLogDirPartitionResult { partition_index: *index, error_code };
    let topic = |topic: &AlterReplicaLogDirTopic| AlterReplicaLogDirTopicResult {
        topic_name: topic.name.clone(),
        partitions: topic.partitions.iter().map(partition).collect(),
    };
    let results = request.dirs.iter().flat_map(|dir| &dir.topics).map(topic).collect();
    AlterReplicaLogDirsResponse { throttle_time_ms: 0, results }
}

pub(super) fn no_reassignments(error_code: ErrorCode) -> AlterPartitionReassignmentsResponse {
    AlterPartitionReassignmentsResponse {
        error_code,
        error_message: message(error_code),
        ..AlterPartitionReassignmentsResponse::default()
    }
}

pub(super) fn no_list(error_code: ErrorCode) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse {
        error_code,
        error_message: message(error_code),
        ..ListPartitionReassignmentsResponse::default()
    }
}

pub(super) fn no_resources(error_code: ErrorCode) -> ListConfigResourcesResponse {
    ListConfigResourcesResponse { error_code, ..ListConfigResourcesResponse::default() }
}

pub(super) fn no_quorum(error_code: ErrorCode) -> DescribeQuorumResponse {
    DescribeQuorumResponse { error_code, ..DescribeQuorumResponse::default() }
}
