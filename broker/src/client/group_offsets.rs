//! Offsets that a group keeps by hand, without members.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::client::call::{Backoff, call, check};
use crate::client::error::{ClientError, Result};
use crate::client::transport::Transport;
use crate::ids::{Offset, TopicPartition};
use crate::protocol::api_key::ApiKey;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::delete_groups::DeleteGroupsRequest;
use crate::protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use crate::protocol::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup};

/// Committed in place of an offset: a note about a partition in which the group has no position. Clients read it as "none".
pub const NO_POSITION: Offset = -1;

/// The committed offset of a group for a partition, with its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// None: only a note was committed.
    pub offset: Option<Offset>,
    /// The client's own note; empty if there is none.
    pub metadata: String,
}

/// All offsets a group has committed. Waits for open transactions that are about to change them.
pub async fn fetch(
    transport: &Arc<dyn Transport>,
    group_id: &str,
) -> Result<BTreeMap<TopicPartition, Offset>> {
    let committed = fetch_committed(transport, group_id).await?;
    let position = |(partition, committed): (_, CommittedOffset)| Some((partition, committed.offset?));
    Ok(committed.into_iter().filter_map(position).collect())
}

/// As [`fetch`], with what the group has noted about them.
pub async fn fetch_committed(
    transport: &Arc<dyn Transport>,
    group_id: &str,
) -> Result<BTreeMap<TopicPartition, CommittedOffset>> {
    let mut backoff = Backoff::default();
    loop {
        match fetch_once(transport, group_id).await {
            Err(error) if error.is_retriable() && backoff.pause().await => {}
            outcome => return outcome,
        }
    }
}

async fn fetch_once(
    transport: &Arc<dyn Transport>,
    group_id: &str,
) -> Result<BTreeMap<TopicPartition, CommittedOffset>> {
    let group =
        OffsetFetchRequestGroup { group_id: group_id.to_owned(), ..OffsetFetchRequestGroup::default() };
    let request = OffsetFetchRequest {
        groups: vec![group],
        topics: None,
        require_stable: true,
        ..OffsetFetchRequest::default()
    };
    // All topics are asked for by name: a version that knows ids only would leave deleted ones out, which is right.
    let response = call!(transport.as_ref(), OffsetFetch, request)?;
    let missing = || ClientError::Incomplete { api: ApiKey::OffsetFetch, missing: named(group_id) };
    let group = response.groups.into_iter().next().ok_or_else(missing)?;
    check(ApiKey::OffsetFetch, &named(group_id), group.error_code, None)?;
    let mut offsets = BTreeMap::new();
    for topic in group.topics {
        let name: Arc<str> = topic.name.as_str().into();
        for partition in topic.partitions {
            check(ApiKey::OffsetFetch, &named(group_id), partition.error_code, None)?;
            let committed = CommittedOffset {
                offset: Some(partition.committed_offset).filter(|offset| *offset >= 0),
                metadata: partition.metadata.unwrap_or_default(),
            };
            if committed.offset.is_some() || !committed.metadata.is_empty() {
                offsets.insert(TopicPartition::new(name.clone(), partition.partition_index), committed);
            }
        }
    }
    Ok(offsets)
}

/// Commits offsets: for each partition the next offset to read.
pub async fn commit(
    transport: &Arc<dyn Transport>,
    group_id: &str,
    offsets: &[(TopicPartition, Offset)],
) -> Result<()> {
    let topic = |(partition, offset): &(TopicPartition, Offset)| OffsetCommitRequestTopic {
        name: partition.topic.to_string(),
        topic_id: Uuid::nil(),
        partitions: vec![OffsetCommitRequestPartition {
            partition_index: partition.partition,
            committed_offset: *offset,
            committed_leader_epoch: -1,
            committed_metadata: Some(String::new()),
        }],
    };
    let request = OffsetCommitRequest {
        group_id: group_id.to_owned(),
        topics: offsets.iter().map(topic).collect(),
        ..OffsetCommitRequest::default()
    };
    let response = call!(transport.as_ref(), OffsetCommit, request)?;
    for partition in response.topics.into_iter().flat_map(|topic| topic.partitions) {
        check(ApiKey::OffsetCommit, &named(group_id), partition.error_code, None)?;
    }
    Ok(())
}

/// Forgets a group and its offsets; a group that does not exist is no error.
pub async fn delete(transport: &Arc<dyn Transport>, group_id: &str) -> Result<()> {
    let request = DeleteGroupsRequest { groups_names: vec![group_id.to_owned()] };
    let response = call!(transport.as_ref(), DeleteGroups, request)?;
    for result in response.results {
        if result.error_code != ErrorCode::GroupIdNotFound {
            check(ApiKey::DeleteGroups, &named(group_id), result.error_code, None)?;
        }
    }
    Ok(())
}

fn named(group_id: &str) -> String {
    format!("group \"{group_id}\"")
}
