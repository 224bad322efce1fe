//! A group with its state, members, offsets and lag.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_broker::client::group_offsets;
use weir_broker::ids::{Offset, TopicPartition};
use weir_broker::log::access::Isolation;
use weir_broker::protocol::consumer_protocol::{ConsumerAssignment, ConsumerSubscription};
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::consumer_group_describe::{self, ConsumerGroupDescribeRequest};
use weir_broker::protocol::messages::describe_groups::{DescribeGroupsRequest, DescribedGroupMember};
use weir_broker::protocol::messages::list_groups::{ListGroupsRequest, ListedGroup};

use crate::kafka_tools::connection::fetch_metadata;
use crate::kafka_tools::connection::{Connection, ask};
use crate::kafka_tools::error::{Result, ToolError, check};
use crate::kafka_tools::offsets::{Bounds, bounds};

const NEW_PROTOCOL: &str = "consumer";
/// States of groups without members.
const INACTIVE: [&str; 2] = ["Empty", "Dead"];

/// A group as its coordinator describes it.
#[derive(Clone, Debug)]
pub struct GroupView {
    pub id: String,
    pub state: String,
    /// `classic` or `consumer`.
    pub kind: String,
    /// How partitions are assigned; empty while nothing is agreed on.
    pub assignor: String,
    pub members: Vec<MemberView>,
}

#[derive(Clone, Debug, Default)]
pub struct MemberView {
    pub id: String,
    /// The id of a static member.
    pub instance: Option<String>,
    pub client: String,
    pub host: String,
    pub subscribed: Vec<String>,
    pub assigned: Vec<TopicPartition>,
}

/// Where a group is in a partition.
#[derive(Clone, Debug)]
pub struct PartitionLag {
    pub partition: TopicPartition,
    /// None: nothing was committed.
    pub committed: Option<Offset>,
    /// None: the topic is gone, or the partition is offline.
    pub end: Option<Offset>,
    pub lag: Option<i64>,
    /// The member that reads it.
    pub owner: Option<MemberView>,
}

impl GroupView {
    /// Members may be reading.
    pub fn is_active(&self) -> bool {
        !self.members.is_empty() || !INACTIVE.contains(&self.state.as_str())
    }

    /// Members without partitions.
    pub fn idle(&self) -> impl Iterator<Item = &MemberView> {
        self.members.iter().filter(|member| member.assigned.is_empty())
    }
}

/// All groups, by name.
pub async fn groups(connection: &Connection) -> Result<Vec<ListedGroup>> {
    let answer = ask!(connection, ListGroups, ListGroupsRequest::default())?;
    check(|| "listing groups".to_owned(), answer.error_code, None)?;
    let mut groups = answer.groups;
    groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
    Ok(groups)
}

/// A group; None if it does not exist.
pub async fn find(connection: &Connection, name: &str) -> Result<Option<GroupView>> {
    match groups(connection).await?.into_iter().find(|group| group.group_id == name) {
        Some(listed) => describe(connection, listed).await.map(Some),
        None => Ok(None),
    }
}

/// A group that must exist.
pub async fn existing(connection: &Connection, name: &str) -> Result<GroupView> {
    find(connection, name).await?.ok_or_else(|| ToolError::NoGroup { group: name.to_owned() })
}

/// The details of a group that was listed.
pub async fn describe(connection: &Connection, listed: ListedGroup) -> Result<GroupView> {
    let mut view = GroupView {
        id: listed.group_id,
        state: listed.group_state,
        kind: listed.group_type.to_ascii_lowercase(),
        assignor: String::new(),
        members: Vec::new(),
    };
    let what = |name: &str| format!("describing group \"{name}\"");
    if view.kind == NEW_PROTOCOL {
        let request = ConsumerGroupDescribeRequest {
            group_ids: vec![view.id.clone()],
            ..ConsumerGroupDescribeRequest::default()
        };
        for described in ask!(connection, ConsumerGroupDescribe, request)?.groups {
            check(|| what(&view.id), described.error_code, described.error_message)?;
            view.state = described.group_state;
            view.assignor = described.assignor_name;
            view.members = described.members.into_iter().map(assigned_member).collect();
        }
    } else {
        let request =
            DescribeGroupsRequest { groups: vec![view.id.clone()], ..DescribeGroupsRequest::default() };
        for described in ask!(connection, DescribeGroups, request)?.groups {
            check(|| what(&view.id), described.error_code, described.error_message)?;
            view.state = described.group_state;
            view.assignor = described.protocol_data;
            view.members = described.members.into_iter().map(agreed_member).collect();
        }
    }
    view.members.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(view)
}

fn assigned_member(member: consumer_group_describe::Member) -> MemberView {
    let partitions = |topic: &consumer_group_describe::TopicPartitions| {
        let of = |partition: &i32| TopicPartition::new(topic.topic_name.as_str(), *partition);
        topic.partitions.iter().map(of).collect::<Vec<_>>()
    };
    let mut subscribed = member.subscribed_topic_names;
    subscribed.extend(member.subscribed_topic_regex.filter(|regex| !regex.is_empty()));
    MemberView {
        id: member.member_id,
        instance: member.instance_id,
        client: member.client_id,
        host: member.client_host,
        subscribed,
        assigned: member.assignment.topic_partitions.iter().flat_map(partitions).collect(),
    }
}

/// Connect's workers and others have subscriptions and assignments of their own kind, which are left out.
fn agreed_member(member: DescribedGroupMember) -> MemberView {
    let assignment = ConsumerAssignment::decode(member.member_assignment)
        .map(|assignment| assignment.assigned_partitions)
        .unwrap_or_default();
    let assigned = assignment.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| TopicPartition::new(topic.topic.as_str(), *partition))
    });
    MemberView {
        id: member.member_id,
        instance: member.group_instance_id,
        client: member.client_id,
        host: member.client_host,
        subscribed: ConsumerSubscription::decode(member.member_metadata)
            .map(|subscription| subscription.topics)
            .unwrap_or_default(),
        assigned: assigned.collect(),
    }
}

/// Where a group is in every partition that it has committed or reads.
pub async fn lags(connection: &Connection, group: &GroupView) -> Result<Vec<PartitionLag>> {
    let committed = group_offsets::fetch(&connection.transport, &group.id).await?;
    let mut owners: BTreeMap<&TopicPartition, &MemberView> = BTreeMap::new();
    for member in &group.members {
        owners.extend(member.assigned.iter().map(|partition| (partition, member)));
    }
    let mut all: Vec<&TopicPartition> = committed.keys().chain(owners.keys().copied()).collect();
    all.sort();
    all.dedup();
    let bounds = known_bounds(connection, all.iter().copied()).await?;
    let lag = |partition: &TopicPartition| {
        let committed = committed.get(partition).copied();
        let bounds = bounds.get(partition);
        PartitionLag {
            partition: partition.clone(),
            committed,
            end: bounds.map(|bounds| bounds.end),
            lag: bounds.map(|bounds| waiting(committed, bounds)),
            owner: owners.get(partition).map(|owner| (*owner).clone()),
        }
    };
    Ok(all.into_iter().map(lag).collect())
}

/// Records that wait. What was deleted before it was read does not wait any more.
fn waiting(committed: Option<Offset>, bounds: &Bounds) -> i64 {
    (bounds.end - committed.unwrap_or(bounds.start).max(bounds.start)).max(0)
}

/// The lag of all partitions together.
pub fn total(lags: &[PartitionLag]) -> i64 {
    lags.iter().filter_map(|partition| partition.lag).sum()
}

/// Bounds of partitions, without those of topics that are gone and those that are offline.
pub async fn known_bounds(
    connection: &Connection,
    wanted: impl Iterator<Item = &TopicPartition>,
) -> Result<BTreeMap<TopicPartition, Bounds>> {
    let mut online: BTreeSet<TopicPartition> = BTreeSet::new();
    for topic in fetch_metadata(connection, None).await?.topics {
        let name: Arc<str> = topic.name.unwrap_or_default().into();
        let well = topic.partitions.into_iter().filter(|partition| partition.error_code == ErrorCode::None);
        online.extend(well.map(|partition| TopicPartition::new(name.clone(), partition.partition_index)));
    }
    let known: Vec<TopicPartition> =
        wanted.filter(|partition| online.contains(*partition)).cloned().collect();
    let bounds = bounds(connection, &known, Isolation::ReadUncommitted).await?;
    Ok(known.into_iter().zip(bounds).collect())
}

/// Partitions as people write them: `clicks:0,1,2; orders:4` is `clicks:0-2 orders:4`.
pub fn short(partitions: &[TopicPartition]) -> String {
    let mut sorted: Vec<&TopicPartition> = partitions.iter().collect();
    sorted.sort();
    let mut by_topic: Vec<(&str, Vec<(i32, i32)>)> = Vec::new();
    for partition in sorted {
        match by_topic.last_mut() {
            Some((topic, runs)) if *topic == &*partition.topic => match runs.last_mut() {
                Some((_, last)) if *last + 1 == partition.partition => *last = partition.partition,
                _ => runs.push((partition.partition, partition.partition)),
            },
            _ => by_topic.push((&partition.topic, vec![(partition.partition, partition.partition)])),
        }
    }
    let run = |(first, last): &(i32, i32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    let topics = by_topic
        .iter()
        .map(|(topic, runs)| format!("{topic}:{}", runs.iter().map(run).collect::<Vec<_>>().join(",")));
    topics.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_written_shortly() {
        let of =
            |list: &[(&str, i32)]| list.iter().map(|(t, p)| TopicPartition::new(*t, *p)).collect::<Vec<_>>();
        assert_eq!(short(&of(&[("b", 4), ("a", 2), ("a", 0), ("a", 1), ("a", 7)])), "a:0-2,7 b:4");
        assert_eq!(short(&[]), "");
    }

    #[test]
    fn what_was_deleted_does_not_wait() {
        let bounds = Bounds { start: 10, end: 15 };
        let lag = |committed| waiting(committed, &bounds);
        assert_eq!((lag(None), lag(Some(3)), lag(Some(12)), lag(Some(20))), (5, 5, 3, 0));
    }
}
