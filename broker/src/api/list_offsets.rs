//! ListOffsets.

use std::sync::Arc;

use crate::api::error_map;
use crate::api::fetch::check_epoch;
use crate::api::node::Node;
use crate::error::Error;
use crate::ids::TopicPartition;
use crate::log::access::{Isolation, OffsetSpec, TimestampedOffset};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};
use crate::replication::partition::Partition;

const READ_COMMITTED: i8 = 1;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_TO_TIER: i64 = -6;

pub(crate) async fn handle(node: &Node, version: i16, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let committed = request.isolation_level == READ_COMMITTED;
    let isolation = if committed { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let name: Arc<str> = topic.name.as_str().into();
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in topic.partitions {
            let partition_index = wanted.partition_index;
            let found = find(node, &name, &wanted, isolation).await;
            partitions.push(answer(version, partition_index, found));
        }
        topics.push(ListOffsetsTopicResponse { name: topic.name, partitions });
    }
    ListOffsetsResponse { throttle_time_ms: 0, topics }
}

async fn find(
    node: &Node,
    topic: &Arc<str>,
    wanted: &ListOffsetsPartition,
    isolation: Isolation,
) -> Result<Option<TimestampedOffset>, ErrorCode> {
    let name = TopicPartition::new(topic.clone(), wanted.partition_index);
    let partition = node.replicas().require(&name).map_err(|error| error_map::code(&error))?;
    check_epoch(&partition, wanted.current_leader_epoch)?;
    let spec = match wanted.timestamp {
        LATEST => OffsetSpec::Latest,
        EARLIEST | EARLIEST_LOCAL => OffsetSpec::Earliest,
        MAX_TIMESTAMP => OffsetSpec::MaxTimestamp,
        // Nothing is tiered.
        LATEST_TIERED | EARLIEST_TO_TIER => return Ok(None),
        timestamp if timestamp >= 0 => OffsetSpec::Timestamp(timestamp),
        _ => return Err(ErrorCode::UnsupportedVersion),
    };
    look_up(partition, spec, isolation).await.map_err(|error| error_map::code(&error))
}

/// Looks up by time read segments, which may wait for the disk; the ends of the log are in memory.
async fn look_up(
    partition: Arc<Partition>,
    spec: OffsetSpec,
    isolation: Isolation,
) -> Result<Option<TimestampedOffset>, Error> {
    match spec {
        OffsetSpec::Earliest | OffsetSpec::Latest => partition.lookup(spec, isolation),
        OffsetSpec::MaxTimestamp | OffsetSpec::Timestamp(_) => {
            let work = tokio::task::spawn_blocking(move || partition.lookup(spec, isolation));
            work.await.unwrap_or(Err(Error::Interrupted { action: "look up an offset" }))
        }
    }
}

fn answer(
    version: i16,
    partition_index: i32,
    found: Result<Option<TimestampedOffset>, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    match found {
        Ok(Some(found)) => ListOffsetsPartitionResponse {
            partition_index,
            error_code: ErrorCode::None,
            timestamp: found.timestamp,
            offset: found.offset,
            // Older versions have no place for it.
            leader_epoch: if version >= 4 { found.leader_epoch } else { -1 },
        },
        Ok(None) => {
            ListOffsetsPartitionResponse { partition_index, ..ListOffsetsPartitionResponse::default() }
        }
        Err(error_code) => ListOffsetsPartitionResponse {
            partition_index,
            error_code,
            ..ListOffsetsPartitionResponse::default()
        },
    }
}
