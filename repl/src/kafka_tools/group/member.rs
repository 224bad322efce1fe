//! A member of a consumer group (KIP-848): the broker assigns, the member confirms.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;
use weir_broker::ids::{Offset, TopicPartition};
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use weir_broker::protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};

use crate::kafka_tools::connection::{Connection, ask};
use crate::kafka_tools::error::{Result, check};

const REBALANCE_TIMEOUT_MS: i32 = 60_000;
const LEAVE: i32 = -1;

/// One member and what it was assigned.
#[derive(Debug)]
pub struct GroupMember {
    connection: Connection,
    group_id: String,
    member_id: String,
    epoch: i32,
    /// Topics it has subscribed to.
    topics: BTreeMap<Uuid, Arc<str>>,
    assigned: Vec<TopicPartition>,
    next_heartbeat: Instant,
}

impl GroupMember {
    /// Joins; partitions are assigned with the first heartbeats.
    pub async fn join(connection: &Connection, group_id: &str, topics: &[String]) -> Result<GroupMember> {
        let mut by_id = BTreeMap::new();
        for topic in topics {
            by_id.insert(connection.topic(topic).await?.id.0, Arc::from(topic.as_str()));
        }
        let mut member = GroupMember {
            connection: connection.clone(),
            group_id: group_id.to_owned(),
            member_id: Uuid::new_v4().to_string(),
            epoch: 0,
            topics: by_id,
            assigned: Vec::new(),
            next_heartbeat: Instant::now(),
        };
        member.beat(Some(Vec::new())).await?;
        Ok(member)
    }

    /// The partitions that are this member's.
    pub fn assigned(&self) -> &[TopicPartition] {
        &self.assigned
    }

    /// Says that the member lives, if that is due. True if the assignment has changed: partitions that are gone must be
    /// committed before, see [`GroupMember::due`].
    pub async fn heartbeat(&mut self) -> Result<bool> {
        if !self.due() {
            return Ok(false);
        }
        let before = self.assigned.clone();
        self.beat(None).await?;
        if self.assigned == before {
            return Ok(false);
        }
        // Confirmed at once: revoked partitions are not read any more when this is called.
        self.beat(Some(self.by_topic(self.assigned.iter()))).await?;
        Ok(true)
    }

    /// A heartbeat is due.
    pub fn due(&self) -> bool {
        Instant::now() >= self.next_heartbeat
    }

    /// Partitions by the ids of their topics.
    fn by_topic<'p>(
        &self,
        partitions: impl Iterator<Item = &'p TopicPartition> + Clone,
    ) -> Vec<TopicPartitions> {
        let of_topic = |(topic_id, name): (&Uuid, &Arc<str>)| TopicPartitions {
            topic_id: *topic_id,
            partitions: partitions.clone().filter(|p| p.topic == *name).map(|p| p.partition).collect(),
        };
        self.topics.iter().map(of_topic).filter(|topic| !topic.partitions.is_empty()).collect()
    }

    async fn beat(&mut self, owned: Option<Vec<TopicPartitions>>) -> Result<()> {
        let joins = self.epoch == 0;
        let request = ConsumerGroupHeartbeatRequest {
            group_id: self.group_id.clone(),
            member_id: self.member_id.clone(),
            member_epoch: self.epoch,
            rebalance_timeout_ms: if joins { REBALANCE_TIMEOUT_MS } else { -1 },
            subscribed_topic_names: joins
                .then(|| self.topics.values().map(|name| name.to_string()).collect()),
            topic_partitions: owned,
            ..ConsumerGroupHeartbeatRequest::default()
        };
        let answer = self.ask(request).await?;
        if matches!(answer.error_code, ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId) && !joins {
            // Thought dead: everything starts anew.
            self.assigned.clear();
            self.epoch = 0;
            self.next_heartbeat = Instant::now();
            return Ok(());
        }
        check(|| format!("joining group \"{}\"", self.group_id), answer.error_code, answer.error_message)?;
        self.epoch = answer.member_epoch;
        if let Some(id) = answer.member_id {
            self.member_id = id;
        }
        if let Some(assignment) = answer.assignment {
            let mine = assignment.topic_partitions.iter().filter_map(|topic| {
                let name = self.topics.get(&topic.topic_id)?;
                Some(topic.partitions.iter().map(|partition| TopicPartition::new(name.clone(), *partition)))
            });
            self.assigned = mine.flatten().collect();
            self.assigned.sort_unstable();
        }
        let interval = u64::try_from(answer.heartbeat_interval_ms).unwrap_or(0).clamp(10, 60_000);
        // Without partitions there may be some with the next answer.
        let interval = if self.assigned.is_empty() { interval.min(200) } else { interval };
        self.next_heartbeat = Instant::now() + Duration::from_millis(interval);
        Ok(())
    }

    async fn ask(&self, request: ConsumerGroupHeartbeatRequest) -> Result<ConsumerGroupHeartbeatResponse> {
        loop {
            let answer = ask!(self.connection, ConsumerGroupHeartbeat, request.clone())?;
            if !answer.error_code.is_retriable() {
                return Ok(answer);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Commits the next offset of each partition. Partitions that were taken away meanwhile are their new owner's.
    pub async fn commit(&self, offsets: &BTreeMap<TopicPartition, Offset>) -> Result<()> {
        if offsets.is_empty() {
            return Ok(());
        }
        let of_topic = |(topic_id, name): (&Uuid, &Arc<str>)| {
            let own = offsets.iter().filter(|(partition, _)| partition.topic == *name);
            OffsetCommitRequestTopic {
                name: name.to_string(),
                topic_id: *topic_id,
                partitions: own.map(|(partition, offset)| committed(partition.partition, *offset)).collect(),
            }
        };
        let topics = self.topics.iter().map(of_topic).filter(|topic| !topic.partitions.is_empty());
        let request = OffsetCommitRequest {
            group_id: self.group_id.clone(),
            generation_id_or_member_epoch: self.epoch,
            member_id: self.member_id.clone(),
            topics: topics.collect(),
            ..OffsetCommitRequest::default()
        };
        let answer = ask!(self.connection, OffsetCommit, request)?;
        for partition in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
            let what = || {
                format!("committing partition {} of group \"{}\"", partition.partition_index, self.group_id)
            };
            check(what, partition.error_code, None)?;
        }
        Ok(())
    }

    /// Leaves, so that others get the partitions at once.
    pub async fn leave(mut self) -> Result<()> {
        self.epoch = LEAVE;
        let request = ConsumerGroupHeartbeatRequest {
            group_id: self.group_id.clone(),
            member_id: self.member_id.clone(),
            member_epoch: self.epoch,
            ..ConsumerGroupHeartbeatRequest::default()
        };
        ask!(self.connection, ConsumerGroupHeartbeat, request).map(|_| ())
    }
}

fn committed(partition_index: i32, committed_offset: Offset) -> OffsetCommitRequestPartition {
    OffsetCommitRequestPartition {
        partition_index,
        committed_offset,
        committed_leader_epoch: -1,
        committed_metadata: Some(String::new()),
    }
}
