//! DescribeQuorum: who keeps the metadata. One voter, this node, which always leads.

use uuid::Uuid;

use crate::api::cluster::FIRST_LEADER_EPOCH;
use crate::api::node::Node;
use crate::net::handler::RequestContext;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, QuorumListener, QuorumNode, QuorumPartition, QuorumTopic,
    ReplicaState, WantedTopic,
};

/// Kafka's name for the log of the metadata.
const METADATA_TOPIC: &str = "__cluster_metadata";

pub(crate) fn describe(
    node: &Node,
    context: &RequestContext,
    request: DescribeQuorumRequest,
) -> DescribeQuorumResponse {
    let describe = |topic: WantedTopic| {
        let is_known = topic.topic_name == METADATA_TOPIC;
        let partition = |partition_index| match (is_known, partition_index) {
            (true, 0) => metadata_partition(node),
            _ => QuorumPartition {
                partition_index,
                error_code: ErrorCode::UnknownTopicOrPartition,
                ..QuorumPartition::default()
            },
        };
        let partitions = topic.partitions.iter().map(|wanted| partition(wanted.partition_index));
        QuorumTopic { partitions: partitions.collect(), topic_name: topic.topic_name }
    };
    let (host, port) = node.advertised();
    let listener = match context.session.endpoint() {
        Some(endpoint) => {
            QuorumListener { name: endpoint.name.clone(), host: endpoint.host.clone(), port: endpoint.port }
        }
        None => QuorumListener { name: String::new(), host, port: u16::try_from(port).unwrap_or(0) },
    };
    DescribeQuorumResponse {
        topics: request.topics.into_iter().map(describe).collect(),
        nodes: vec![QuorumNode { node_id: node.id(), listeners: vec![listener] }],
        ..DescribeQuorumResponse::default()
    }
}

fn metadata_partition(node: &Node) -> QuorumPartition {
    let (log_end_offset, now) = (node.metadata().end_offset(), node.clock().now_ms());
    let voter = ReplicaState {
        replica_id: node.id(),
        replica_directory_id: Uuid::nil(),
        log_end_offset,
        last_fetch_timestamp: now,
        last_caught_up_timestamp: now,
    };
    QuorumPartition {
        partition_index: 0,
        leader_id: node.id(),
        leader_epoch: FIRST_LEADER_EPOCH,
        high_watermark: log_end_offset,
        current_voters: vec![voter],
        ..QuorumPartition::default()
    }
}
