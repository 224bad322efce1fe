//! The group coordinator of one `__consumer_offsets` partition: all its groups and their offsets.
//!
//! Free of IO: requests and time go in; records to append and answers to send come out.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::any_group::AnyGroup;
use super::consumer;
use super::consumer::heartbeat::{ConsumerLimits, HeartbeatRefusal, HeartbeatReply, HeartbeatRequest};
use super::consumer::record::ConsumerChange;
use super::consumer::state::JOIN_EPOCH;
use super::join::GroupLimits;
use super::message::{Effects, JoinReply, JoinRequest, Reply, SyncReply, SyncRequest};
use super::offsets::{CommittedOffset, OffsetKey, OffsetStore};
use super::record::{self, GroupRecord};
use super::state::{Group, Ticket};
use super::sync::{CommitKind, Committer};
use crate::coordinator::codec::{CoordinatorRecord, RecordError};
use crate::coordinator::log::ReplayItem;
use crate::coordinator::shard::CoordinatorShard;
use crate::ids::ProducerIdentity;
use crate::metadata::image::MetadataImage;
use crate::protocol::error_code::ErrorCode;
use crate::record::control::MarkerKind;

/// Limits of the coordinator.
#[derive(Debug, Clone)]
pub struct CoordinatorLimits {
    pub group: GroupLimits,
    pub consumer: ConsumerLimits,
    /// `group.min.session.timeout.ms`.
    pub session_timeout_min_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_max_ms: i32,
    /// `offset.metadata.max.bytes`.
    pub metadata_bytes_max: usize,
    /// `offsets.retention.minutes`, in ms: how long offsets outlive their group's last member.
    pub offset_retention_ms: i64,
}

impl Default for CoordinatorLimits {
    fn default() -> Self {
        Self {
            group: GroupLimits { members_max: 10_000, initial_rebalance_delay_ms: 0 },
            consumer: ConsumerLimits::default(),
            session_timeout_min_ms: 6_000,
            session_timeout_max_ms: 1_800_000,
            metadata_bytes_max: 4_096,
            offset_retention_ms: 7 * 24 * 3_600 * 1_000,
        }
    }
}

/// Effects of a step: append `records`, and once they are durable send `replies`.
#[derive(Debug, Default)]
pub struct Step {
    pub records: Vec<CoordinatorRecord>,
    pub replies: Vec<(Ticket, Reply)>,
}

/// One offset of a commit request.
#[derive(Debug, Clone)]
pub struct OffsetToCommit {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: String,
}

/// Outcome of a commit: a code for each offset, in order, and the records to append.
#[derive(Debug)]
pub struct CommitStep {
    pub errors: Vec<ErrorCode>,
    pub records: Vec<CoordinatorRecord>,
}

/// All groups of one shard.
#[derive(Debug)]
pub struct GroupCoordinator {
    limits: CoordinatorLimits,
    groups: HashMap<String, AnyGroup>,
    offsets: OffsetStore,
    /// Difference between stored times and the times in here.
    wall_ahead_ms: i64,
}

impl GroupCoordinator {
    #[must_use]
    pub fn new(limits: CoordinatorLimits) -> Self {
        Self { limits, groups: HashMap::new(), offsets: OffsetStore::default(), wall_ahead_ms: 0 }
    }

    /// JoinGroup.
    pub fn join(&mut self, group_id: &str, ticket: Ticket, request: JoinRequest, now: i64) -> Step {
        let refuse = |error| Step {
            records: Vec::new(),
            replies: vec![(ticket, Reply::Join(JoinReply::refused(error, &request.member_id)))],
        };
        if group_id.is_empty() {
            return refuse(ErrorCode::InvalidGroupId);
        }
        let allowed = self.limits.session_timeout_min_ms..=self.limits.session_timeout_max_ms;
        if !allowed.contains(&request.session_timeout_ms) {
            return refuse(ErrorCode::InvalidSessionTimeout);
        }
        let mut records = Vec::new();
        match self.groups.get(group_id) {
            Some(AnyGroup::Classic(_)) => {}
            Some(AnyGroup::Consumer(group)) if group.members().next().is_some() => {
                return refuse(ErrorCode::InconsistentGroupProtocol);
            }
            _ if !request.member_id.is_empty() => return refuse(ErrorCode::UnknownMemberId),
            former => {
                if former.is_some() {
                    records.extend(consumer::record::group_tombstones(group_id));
                }
                self.groups.insert(group_id.to_owned(), AnyGroup::classic(group_id, now));
            }
        }
        let mut step =
            self.with_group(group_id, |group, limits, out| group.join(ticket, request, limits, now, out));
        step.records.splice(0..0, records);
        step
    }

    /// SyncGroup.
    pub fn sync(&mut self, group_id: &str, ticket: Ticket, request: SyncRequest, now: i64) -> Step {
        if let Err(error) = self.known(group_id) {
            return Step {
                records: Vec::new(),
                replies: vec![(ticket, Reply::Sync(SyncReply::refused(error)))],
            };
        }
        self.with_group(group_id, |group, _, out| group.sync(ticket, request, now, out))
    }

    /// Heartbeat.
    pub fn heartbeat(
        &mut self,
        group_id: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: i64,
    ) -> ErrorCode {
        match self.known(group_id) {
            Err(error) => error,
            Ok(group) => group.heartbeat(member_id, instance_id, generation, now),
        }
    }

    /// LeaveGroup for several members; a code for each, in order.
    pub fn leave(
        &mut self,
        group_id: &str,
        members: &[(String, Option<String>)],
        now: i64,
    ) -> Result<(Vec<ErrorCode>, Step), ErrorCode> {
        let mut errors = Vec::with_capacity(members.len());
        if let Some(AnyGroup::Consumer(group)) = self.groups.get_mut(group_id) {
            let mut step = Step::default();
            for (member_id, instance_id) in members {
                errors.push(group.expel(member_id, instance_id.as_deref(), now, &mut step.records));
            }
            return Ok((errors, step));
        }
        self.known(group_id)?;
        let step = self.with_group(group_id, |group, limits, out| {
            for (member_id, instance_id) in members {
                errors.push(group.leave(member_id, instance_id.as_deref(), limits, now, out));
            }
        });
        Ok((errors, step))
    }

    /// ConsumerGroupHeartbeat. The records must be durable before the answer is sent.
    pub fn consumer_heartbeat(
        &mut self,
        group_id: &str,
        request: &HeartbeatRequest,
        image: &Arc<MetadataImage>,
        now: i64,
    ) -> Result<(HeartbeatReply, Vec<CoordinatorRecord>), HeartbeatRefusal> {
        if group_id.is_empty() {
            return Err(HeartbeatRefusal::new(ErrorCode::InvalidRequest, "the group id is empty"));
        }
        request.check()?;
        let limits = self.limits.consumer.of_group(image.group_settings().get(group_id));
        let mut records = Vec::new();
        if let Some(AnyGroup::Consumer(group)) = self.groups.get_mut(group_id) {
            let reply = group.heartbeat(request, image, &limits, now, &mut records)?;
            return Ok((reply, records));
        }
        let former = self.groups.get(group_id);
        let taken = former.is_some_and(|group| !group.is_empty());
        if taken || request.member_epoch != JOIN_EPOCH {
            let message = format!("group \"{group_id}\" is not a consumer group");
            return Err(HeartbeatRefusal::new(ErrorCode::GroupIdNotFound, message));
        }
        // An empty group of the classic protocol goes on as a consumer group; its offsets stay.
        records.extend(former.map(|_| record::group_tombstone(group_id)));
        let mut group = consumer::state::ConsumerGroup::new(group_id, now);
        let reply = group.heartbeat(request, image, &limits, now, &mut records)?;
        self.groups.insert(group_id.to_owned(), AnyGroup::Consumer(Box::new(group)));
        Ok((reply, records))
    }

    /// May this member, if one is named, read the group's offsets?
    pub fn check_fetch(
        &self,
        group_id: &str,
        member_id: Option<&str>,
        member_epoch: i32,
    ) -> Result<(), ErrorCode> {
        match self.groups.get(group_id) {
            Some(AnyGroup::Consumer(group)) => group.check_fetch(member_id, member_epoch),
            Some(AnyGroup::Classic(_)) | None => Ok(()),
        }
    }

    /// The client that waited with this ticket has disconnected.
    pub fn abandon(&mut self, group_id: &str, ticket: Ticket, now: i64) {
        if let Some(AnyGroup::Classic(group)) = self.groups.get_mut(group_id) {
            group.abandon(ticket, now);
        }
    }

    /// Lets time pass for the members of all groups.
    pub fn expire(&mut self, now: i64) -> Step {
        let due: Vec<String> = self
            .groups
            .values()
            .filter(|group| group.next_deadline().is_some_and(|deadline| deadline <= now))
            .map(|group| group.group_id().to_owned())
            .collect();
        let mut all = Step::default();
        for group_id in due {
            if let Some(AnyGroup::Consumer(group)) = self.groups.get_mut(&group_id) {
                group.expire(now, &mut all.records);
                continue;
            }
            let step = self.with_group(&group_id, |group, limits, out| group.expire(limits, now, out));
            all.records.extend(step.records);
            all.replies.extend(step.replies);
        }
        all
    }

    /// A group of the classic protocol.
    fn known(&mut self, group_id: &str) -> Result<&mut Group, ErrorCode> {
        if group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        match self.groups.get_mut(group_id) {
            Some(AnyGroup::Classic(group)) => Ok(group),
            Some(AnyGroup::Consumer(_)) | None => Err(ErrorCode::UnknownMemberId),
        }
    }

    fn with_group(
        &mut self,
        group_id: &str,
        act: impl FnOnce(&mut Group, &GroupLimits, &mut Effects),
    ) -> Step {
        let Some(AnyGroup::Classic(group)) = self.groups.get_mut(group_id) else {
            return Step::default();
        };
        let mut effects = Effects::default();
        act(group, &self.limits.group, &mut effects);
        let records =
            if effects.persist { vec![stored_group(group, self.wall_ahead_ms)] } else { Vec::new() };
        Step { records, replies: effects.replies }
    }

    /// OffsetCommit (`producer` is `None`) and TxnOffsetCommit.
    ///
    /// Errors: of the request as a whole, when the sender may not commit.
    pub fn commit_offsets(
        &mut self,
        group_id: &str,
        by: Committer<'_>,
        producer: Option<ProducerIdentity>,
        offsets: Vec<OffsetToCommit>,
        now: i64,
    ) -> Result<CommitStep, ErrorCode> {
        self.may_commit(group_id, by, now)?;
        let mut step = CommitStep { errors: Vec::with_capacity(offsets.len()), records: Vec::new() };
        for offset in offsets {
            if offset.metadata.len() > self.limits.metadata_bytes_max {
                step.errors.push(ErrorCode::OffsetMetadataTooLarge);
                continue;
            }
            let key =
                OffsetKey { group_id: group_id.to_owned(), topic: offset.topic, partition: offset.partition };
            let mut value = CommittedOffset {
                offset: offset.offset,
                leader_epoch: offset.leader_epoch,
                metadata: offset.metadata,
                commit_timestamp: now.saturating_add(self.wall_ahead_ms),
            };
            step.records.push(record::offset_record(&key, Some(&value)));
            value.commit_timestamp = now;
            step.errors.push(ErrorCode::None);
            match producer {
                Some(producer) => self.offsets.set_pending(producer.producer_id, key, value),
                None => self.offsets.set(key, Some(value)),
            }
        }
        Ok(step)
    }

    fn may_commit(&mut self, group_id: &str, by: Committer<'_>, now: i64) -> Result<(), ErrorCode> {
        if group_id.is_empty() && by.kind == CommitKind::Transactional {
            return Err(ErrorCode::InvalidGroupId);
        }
        match self.groups.get_mut(group_id) {
            Some(AnyGroup::Classic(group)) => return group.check_commit(by, now),
            Some(AnyGroup::Consumer(group)) => return group.check_commit(by),
            None => {}
        }
        if by.generation >= 0 {
            return Err(ErrorCode::IllegalGeneration);
        }
        // Offsets kept by hand make a group that never has members.
        self.groups.insert(group_id.to_owned(), AnyGroup::classic(group_id, now));
        Ok(())
    }

    /// The transaction of `producer_id` ended in this shard.
    pub fn end_transaction(&mut self, producer_id: i64, end: MarkerKind) {
        match end {
            MarkerKind::Commit => self.offsets.commit_pending(producer_id),
            MarkerKind::Abort => self.offsets.abort_pending(producer_id),
        }
    }

    /// The committed offsets, for OffsetFetch.
    #[must_use]
    pub fn offsets(&self) -> &OffsetStore {
        &self.offsets
    }

    #[must_use]
    pub fn group(&self, group_id: &str) -> Option<&AnyGroup> {
        self.groups.get(group_id)
    }

    pub fn groups(&self) -> impl Iterator<Item = &AnyGroup> {
        self.groups.values()
    }

    /// DeleteGroups: only without members.
    pub fn delete_group(&mut self, group_id: &str) -> Result<Vec<CoordinatorRecord>, ErrorCode> {
        if group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let group = self.groups.get(group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        if !group.is_empty() || self.offsets.has_pending(group_id) {
            return Err(ErrorCode::NonEmptyGroup);
        }
        let tombstones = group_tombstones(group);
        let keys = self.offset_keys(group_id, |_| true);
        let mut records = self.delete_offsets(keys);
        records.extend(tombstones);
        self.groups.remove(group_id);
        Ok(records)
    }

    /// OffsetDelete of one partition.
    ///
    /// Errors: `GroupSubscribedToTopic` while a member reads the topic, `NonEmptyGroup` while there are members of
    /// which that cannot be known.
    pub fn delete_offset(
        &mut self,
        group_id: &str,
        topic: &str,
        partition: i32,
    ) -> Result<Vec<CoordinatorRecord>, ErrorCode> {
        let group = self.groups.get(group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        if let AnyGroup::Classic(group) = group
            && !group.members.is_empty()
            && !group.is_consumers()
        {
            return Err(ErrorCode::NonEmptyGroup);
        }
        if group.subscribes(topic) {
            return Err(ErrorCode::GroupSubscribedToTopic);
        }
        let keys = self.offset_keys(group_id, |(name, number)| name == topic && *number == partition);
        Ok(self.delete_offsets(keys))
    }

    /// Forgets the positions in topics that have been deleted.
    pub fn forget_topics(&mut self, topics: &HashSet<&str>) -> Vec<CoordinatorRecord> {
        let keys = self.offsets.keys_of_topics(topics);
        self.delete_offsets(keys)
    }

    /// Forgets old offsets of groups long without members and of topics nobody in the group reads any more, and groups
    /// without members and offsets.
    pub fn expire_offsets(&mut self, now: i64) -> Vec<CoordinatorRecord> {
        let retention = self.limits.offset_retention_ms;
        let mut expired = Vec::new();
        for group in self.groups.values() {
            let Some(offsets) = self.offsets.group(group.group_id()) else { continue };
            let used = !group.is_empty();
            if used && !group.is_settled() {
                continue;
            }
            // A group that had members keeps its offsets from when the last one left.
            let since = if used || group.is_simple() { i64::MIN } else { group.empty_since() };
            let old = offsets.iter().filter(|((topic, partition), offset)| {
                let read = used && group.subscribes(topic);
                now - offset.commit_timestamp.max(since) >= retention
                    && !read
                    && !self.offsets.is_unstable(group.group_id(), topic, *partition)
            });
            expired.extend(old.map(|((topic, partition), _)| OffsetKey {
                group_id: group.group_id().to_owned(),
                topic: topic.clone(),
                partition: *partition,
            }));
        }
        let mut records = self.delete_offsets(expired);
        let gone: Vec<String> = self
            .groups
            .values()
            .filter(|group| group.is_empty() && now - group.empty_since() >= retention)
            .filter(|group| self.offsets.group(group.group_id()).is_none())
            .filter(|group| !self.offsets.has_pending(group.group_id()))
            .map(|group| group.group_id().to_owned())
            .collect();
        for group_id in gone {
            if let Some(group) = self.groups.remove(&group_id) {
                records.extend(group_tombstones(&group));
            }
        }
        records
    }

    fn offset_keys(&self, group_id: &str, select: impl Fn(&(String, i32)) -> bool) -> Vec<OffsetKey> {
        let offsets = self.offsets.group(group_id).into_iter().flatten();
        let selected = offsets.filter(|(key, _)| select(key));
        let key = |((topic, partition), _): (&(String, i32), _)| OffsetKey {
            group_id: group_id.to_owned(),
            topic: topic.clone(),
            partition: *partition,
        };
        selected.map(key).collect()
    }

    fn delete_offsets(&mut self, keys: Vec<OffsetKey>) -> Vec<CoordinatorRecord> {
        let mut records = Vec::with_capacity(keys.len());
        for key in keys {
            records.push(record::offset_record(&key, None));
            self.offsets.set(key, None);
        }
        records
    }

    fn replay_consumer(&mut self, group_id: &str, change: ConsumerChange, now: i64) {
        let group = match self.groups.get_mut(group_id) {
            Some(AnyGroup::Consumer(group)) => group,
            _ if change.is_tombstone() => return,
            _ => {
                self.groups.insert(group_id.to_owned(), AnyGroup::consumer(group_id, now));
                match self.groups.get_mut(group_id) {
                    Some(AnyGroup::Consumer(group)) => group,
                    _ => return,
                }
            }
        };
        if matches!(change, ConsumerChange::Group(None)) {
            self.groups.remove(group_id);
        } else {
            group.replay(change);
        }
    }

    /// Applies a record of the log at start; `producer_id` is that of the batch if it is transactional.
    fn replay_record(
        &mut self,
        producer_id: Option<i64>,
        key: Bytes,
        value: Option<Bytes>,
        now: i64,
    ) -> Result<(), RecordError> {
        match record::decode(key, value)? {
            GroupRecord::Offset { key, value } => {
                if value.is_some() && !self.groups.contains_key(&key.group_id) {
                    let since = value.as_ref().map_or(now, |offset| offset.commit_timestamp);
                    let group = AnyGroup::classic(&key.group_id, since);
                    self.groups.insert(key.group_id.clone(), group);
                }
                match (producer_id, value) {
                    (Some(producer_id), Some(value)) => self.offsets.set_pending(producer_id, key, value),
                    (_, value) => self.offsets.set(key, value),
                }
            }
            GroupRecord::Group { group_id, value: Some(mut group) } => {
                // Members get a whole session to find the coordinator again.
                for member in group.members.values_mut() {
                    member.session_deadline = now + i64::from(member.session_timeout_ms);
                }
                self.groups.insert(group_id, AnyGroup::Classic(group));
            }
            GroupRecord::Group { group_id, value: None } => {
                if matches!(self.groups.get(&group_id), Some(AnyGroup::Classic(_))) {
                    self.groups.remove(&group_id);
                }
            }
            GroupRecord::Consumer { group_id, change } => self.replay_consumer(&group_id, change, now),
            GroupRecord::Unknown { key_version } => {
                tracing::warn!(key_version, "record of unknown kind in __consumer_offsets skipped");
            }
        }
        Ok(())
    }
}

impl CoordinatorShard for GroupCoordinator {
    type Gates = ();

    fn replay(&mut self, item: ReplayItem, now: i64) -> Result<(), RecordError> {
        match item {
            ReplayItem::Record { producer_id, key, value } => {
                self.replay_record(producer_id, key, value, now)
            }
            ReplayItem::Marker { producer_id, kind } => {
                self.end_transaction(producer_id, kind);
                Ok(())
            }
        }
    }

    fn loaded(&mut self, now: i64) {
        for group in self.groups.values_mut() {
            if let AnyGroup::Consumer(group) = group {
                group.loaded(&self.limits.consumer, now);
            }
        }
    }

    fn set_wall_ahead(&mut self, wall_ahead_ms: i64) {
        self.wall_ahead_ms = wall_ahead_ms;
    }

    /// The earliest moment at which [`GroupCoordinator::expire`] has something to do for the members.
    fn next_deadline(&self) -> Option<i64> {
        self.groups.values().filter_map(AnyGroup::next_deadline).min()
    }
}

/// The record of a group, by the wall clock.
fn stored_group(group: &Group, wall_ahead_ms: i64) -> CoordinatorRecord {
    if wall_ahead_ms == 0 {
        return record::group_record(group);
    }
    let state_since = group.state_since.saturating_add(wall_ahead_ms);
    record::group_record(&Group { state_since, ..group.clone() })
}

/// The records that remove a group without members.
fn group_tombstones(group: &AnyGroup) -> Vec<CoordinatorRecord> {
    match group {
        AnyGroup::Classic(group) => vec![record::group_tombstone(&group.group_id)],
        AnyGroup::Consumer(group) => consumer::record::group_tombstones(&group.group_id).into(),
    }
}
