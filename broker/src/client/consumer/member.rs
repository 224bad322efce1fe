//! A member of a consumer group, over a transport.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use super::classic::{ClassicMembership, Joined};
use super::classic_assignor::ClassicAssignor;
use super::membership::{MemberEvent, Membership};
use crate::client::admin::Admin;
use crate::client::call::{Backoff, call, check};
use crate::client::error::{ClientError, Result};
use crate::client::transport::Transport;
use crate::env::clock::{Clock, SystemClock};
use crate::env::rng::{Rng, SystemRng};
use crate::ids::{Offset, TopicId, TopicPartition};
use crate::protocol::api_key::ApiKey;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};

/// The answer to a request that is sent again while the coordinator cannot take it.
macro_rules! retried {
    ($transport:expr, $api:ident, $request:expr) => {{
        let mut backoff = Backoff::default();
        loop {
            let answer = call!($transport, $api, $request)?;
            if !answer.error_code.is_retriable() || !backoff.pause().await {
                break answer;
            }
        }
    }};
}

/// Whether a commit was refused because the member's partitions are, or may be, others': its next heartbeat shows it.
#[must_use]
pub fn is_fenced(error: &ClientError) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::FencedMemberEpoch
                | ErrorCode::StaleMemberEpoch
                | ErrorCode::UnknownMemberId
                | ErrorCode::IllegalGeneration
                | ErrorCode::RebalanceInProgress
        )
    )
}

/// How a member and its coordinator agree (`group.protocol`).
#[derive(Debug, Clone)]
enum Protocol {
    /// The coordinator assigns (KIP-848).
    Consumer(Membership),
    /// One of the members assigns.
    Classic(ClassicMembership),
}

/// One member and the partitions that it was assigned.
pub struct GroupMember {
    transport: Arc<dyn Transport>,
    /// Topics the member has subscribed to.
    topics: BTreeMap<Uuid, Arc<str>>,
    protocol: Protocol,
    clock: SystemClock,
}

impl fmt::Debug for GroupMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupMember").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

impl GroupMember {
    /// A member of the group `group_id` that subscribes to `topics` and joins with its first heartbeat.
    #[must_use]
    pub fn new(
        transport: Arc<dyn Transport>,
        group_id: &str,
        topics: impl IntoIterator<Item = (TopicId, Arc<str>)>,
    ) -> Self {
        let topics: BTreeMap<Uuid, Arc<str>> = topics.into_iter().map(|(id, name)| (id.0, name)).collect();
        let membership = Membership::new(group_id, SystemRng.uuid(), topics.clone());
        Self { transport, topics, protocol: Protocol::Consumer(membership), clock: SystemClock::new() }
    }

    /// As [`GroupMember::new`], with the protocol of brokers before Kafka 4: heartbeats that rebalance take until all
    /// members have joined. Until then `transport` answers nothing else, so members cannot share one.
    #[must_use]
    pub fn classic(
        transport: Arc<dyn Transport>,
        group_id: &str,
        topics: impl IntoIterator<Item = (TopicId, Arc<str>)>,
        assignor: ClassicAssignor,
    ) -> Self {
        let topics: BTreeMap<Uuid, Arc<str>> = topics.into_iter().map(|(id, name)| (id.0, name)).collect();
        let names = topics.values().cloned().collect();
        let membership = ClassicMembership::new(group_id, names, assignor);
        Self { transport, topics, protocol: Protocol::Classic(membership), clock: SystemClock::new() }
    }

    /// The partitions that are this member's.
    #[must_use]
    pub fn assigned(&self) -> &BTreeSet<TopicPartition> {
        match &self.protocol {
            Protocol::Consumer(membership) => membership.owned(),
            Protocol::Classic(membership) => membership.owned(),
        }
    }

    /// Shows the coordinator that the member lives, if that is due.
    ///
    /// Errors: the group cannot be joined, or its coordinator not be reached.
    pub async fn heartbeat(&mut self) -> Result<MemberEvent> {
        let (transport, clock) = (self.transport.as_ref(), &self.clock);
        match &mut self.protocol {
            Protocol::Consumer(membership) if membership.is_due(clock.monotonic()) => {
                let answer = retried!(transport, ConsumerGroupHeartbeat, membership.heartbeat());
                membership.handle(answer, clock.monotonic())
            }
            Protocol::Classic(membership) if membership.is_joining() => {
                join(&self.transport, membership, clock).await
            }
            Protocol::Classic(membership) if membership.is_due(clock.monotonic()) => {
                let answer = retried!(transport, Heartbeat, membership.heartbeat());
                membership.handle_heartbeat(&answer, clock.monotonic())
            }
            Protocol::Consumer(_) | Protocol::Classic(_) => Ok(MemberEvent::Unchanged),
        }
    }

    /// Confirms an assignment: revoked partitions are not read any more, and their offsets are committed. The next
    /// heartbeat is due.
    pub fn confirm(&mut self) {
        match &mut self.protocol {
            Protocol::Consumer(membership) => membership.confirm(),
            Protocol::Classic(membership) => membership.confirm(),
        }
    }

    /// Commits the next offset of each partition.
    ///
    /// Errors: see [`is_fenced`].
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
        let (group_id, member_id, epoch) = match &self.protocol {
            Protocol::Consumer(member) => (member.group_id(), member.member_id(), member.epoch()),
            Protocol::Classic(member) => (member.group_id(), member.member_id(), member.generation()),
        };
        let request = OffsetCommitRequest {
            group_id: group_id.to_owned(),
            generation_id_or_member_epoch: epoch,
            member_id: member_id.to_owned(),
            topics: topics.collect(),
            ..OffsetCommitRequest::default()
        };
        let answer = call!(self.transport.as_ref(), OffsetCommit, request)?;
        let group = format!("group \"{group_id}\"");
        for partition in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
            check(ApiKey::OffsetCommit, &group, partition.error_code, None)?;
        }
        Ok(())
    }

    /// Leaves, so that others get the partitions at once.
    pub async fn leave(mut self) -> Result<()> {
        let transport = self.transport.as_ref();
        match &mut self.protocol {
            Protocol::Consumer(membership) => {
                let Some(request) = membership.leave() else { return Ok(()) };
                call!(transport, ConsumerGroupHeartbeat, request).map(|_| ())
            }
            Protocol::Classic(membership) => {
                let Some(request) = membership.leave() else { return Ok(()) };
                call!(transport, LeaveGroup, request).map(|_| ())
            }
        }
    }
}

/// One step of joining a group of the classic protocol.
async fn join(
    transport: &Arc<dyn Transport>,
    membership: &mut ClassicMembership,
    clock: &SystemClock,
) -> Result<MemberEvent> {
    let request = membership.join()?;
    let answer = retried!(transport.as_ref(), JoinGroup, request.clone());
    let topics = match membership.handle_join(answer)? {
        Joined::Again => return Ok(MemberEvent::Unchanged),
        Joined::Follows => BTreeSet::new(),
        Joined::Leads(topics) => topics,
    };
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let described = Admin::new(Arc::clone(transport)).describe_topics(&names).await?;
    let partitions = described.into_iter().map(|topic| (topic.name, topic.partitions)).collect();
    let request = membership.sync(&partitions)?;
    let answer = retried!(transport.as_ref(), SyncGroup, request.clone());
    membership.handle_sync(answer, clock.monotonic())
}

fn committed(partition_index: i32, committed_offset: Offset) -> OffsetCommitRequestPartition {
    OffsetCommitRequestPartition {
        partition_index,
        committed_offset,
        committed_leader_epoch: -1,
        committed_metadata: Some(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI32, Ordering};

    use super::*;
    use crate::client::tests::ScriptedTransport;
    use crate::protocol::messages::consumer_group_heartbeat::{
        Assignment, ConsumerGroupHeartbeatResponse, TopicPartitions,
    };
    use crate::protocol::messages::offset_commit::{
        OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
    };
    use crate::protocol::request::Request;

    const ID: Uuid = Uuid::from_u128(7);

    /// A coordinator that loads at first, then assigns partition 3; commits are answered with `committed`.
    fn coordinator(committed: ErrorCode) -> Arc<ScriptedTransport> {
        let heartbeats = AtomicI32::new(0);
        ScriptedTransport::new(move |request| {
            Ok(match request {
                Request::ConsumerGroupHeartbeat(_) if heartbeats.fetch_add(1, Ordering::SeqCst) == 0 => {
                    let error_code = ErrorCode::CoordinatorLoadInProgress;
                    ConsumerGroupHeartbeatResponse { error_code, ..Default::default() }.into()
                }
                Request::ConsumerGroupHeartbeat(request) => {
                    let mine = TopicPartitions { topic_id: ID, partitions: vec![3] };
                    ConsumerGroupHeartbeatResponse {
                        member_epoch: 4,
                        heartbeat_interval_ms: 60_000,
                        assignment: (request.member_epoch == 0)
                            .then(|| Assignment { topic_partitions: vec![mine] }),
                        ..Default::default()
                    }
                    .into()
                }
                Request::OffsetCommit(_) => {
                    let partition =
                        OffsetCommitResponsePartition { partition_index: 3, error_code: committed };
                    let topic =
                        OffsetCommitResponseTopic { partitions: vec![partition], ..Default::default() };
                    OffsetCommitResponse { topics: vec![topic], ..Default::default() }.into()
                }
                other => panic!("{other:?}"),
            })
        })
    }

    #[tokio::test]
    async fn a_member_joins_confirms_commits_and_leaves() {
        let coordinator = coordinator(ErrorCode::None);
        let transport: Arc<dyn Transport> = coordinator.clone();
        let mut member = GroupMember::new(transport, "g", [(TopicId(ID), Arc::from("t"))]);
        let mine = TopicPartition::new("t", 3);
        let event = member.heartbeat().await.expect("joins");
        assert_eq!(event, MemberEvent::Assigned { revoked: Vec::new(), added: vec![mine.clone()] });
        member.confirm();
        assert_eq!(member.assigned(), &BTreeSet::from([mine.clone()]));
        assert_eq!(member.heartbeat().await.expect("confirms"), MemberEvent::Unchanged);
        assert_eq!(member.heartbeat().await.expect("is not due"), MemberEvent::Unchanged);
        member.commit(&BTreeMap::from([(mine, 9)])).await.expect("commits");
        member.leave().await.expect("leaves");

        let mut epochs = Vec::new();
        for request in coordinator.requests() {
            match request {
                Request::ConsumerGroupHeartbeat(request) => epochs.push(request.member_epoch),
                Request::OffsetCommit(request) => {
                    assert_eq!(request.generation_id_or_member_epoch, 4);
                    let partition = &request.topics[0].partitions[0];
                    assert_eq!((partition.partition_index, partition.committed_offset), (3, 9));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(epochs, [0, 0, 4, -1], "loading, joined, confirmed, left");
    }

    #[tokio::test]
    async fn a_commit_of_a_member_that_was_given_up_is_recognized() {
        let transport: Arc<dyn Transport> = coordinator(ErrorCode::StaleMemberEpoch);
        let mut member = GroupMember::new(transport, "g", [(TopicId(ID), Arc::from("t"))]);
        member.heartbeat().await.expect("joins");
        let offsets = BTreeMap::from([(TopicPartition::new("t", 3), 9)]);
        assert!(is_fenced(&member.commit(&offsets).await.expect_err("refused")));
    }
}
