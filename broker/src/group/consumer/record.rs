//! The records of a consumer group in `__consumer_offsets`, in Kafka's own format.
//!
//! | key version | key fields    | value                                                                  |
//! |-------------|---------------|------------------------------------------------------------------------|
//! | 3           | group         | group epoch, digest of the topics                                      |
//! | 5           | group, member | who the member is and what it subscribes to                            |
//! | 6           | group         | assignment epoch                                                       |
//! | 7           | group, member | target                                                                 |
//! | 8           | group, member | epochs, state, partitions held and to be given up                      |
//!
//! Compaction may remove an older record of a key while a later one follows far behind, so each is applied on its own.

use bytes::{Bytes, BytesMut};

use super::assignor::PartitionSet;
use super::state::{ConsumerGroup, ConsumerMember, MemberState};
use super::value::{
    self, CurrentAssignmentValue, GroupValue, MemberValue, TargetEpochValue, TargetValue, TopicPartitions,
};
use crate::coordinator::codec::{CoordinatorRecord, FieldReader, FieldWriter, RecordError};
use crate::protocol::message::{Wire, WireContext};
use crate::protocol::primitive::{Decoder, Encoder};

const GROUP_KEY: i16 = 3;
const MEMBER_KEY: i16 = 5;
const TARGET_EPOCH_KEY: i16 = 6;
const TARGET_KEY: i16 = 7;
const CURRENT_KEY: i16 = 8;
const VALUE_VERSION: i16 = 0;

/// One change of a consumer group; `None` deletes.
#[derive(Debug, Clone)]
pub enum ConsumerChange {
    Group(Option<GroupState>),
    Member { member_id: String, value: Option<Box<ConsumerMember>> },
    TargetEpoch(Option<i32>),
    Target { member_id: String, value: Option<PartitionSet> },
    Current { member_id: String, value: Option<Current> },
}

impl ConsumerChange {
    /// True when the change deletes.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        match self {
            Self::Group(value) => value.is_none(),
            Self::Member { value, .. } => value.is_none(),
            Self::TargetEpoch(value) => value.is_none(),
            Self::Target { value, .. } => value.is_none(),
            Self::Current { value, .. } => value.is_none(),
        }
    }
}

/// The stored part of a group itself.
#[derive(Debug, Clone, Copy)]
pub struct GroupState {
    pub epoch: i32,
    pub topics_digest: i64,
}

/// Stored progress of a member.
#[derive(Debug, Clone)]
pub struct Current {
    pub epoch: i32,
    pub previous_epoch: i32,
    pub state: MemberState,
    pub assigned: PartitionSet,
    pub revoking: PartitionSet,
}

fn group_key(version: i16, group_id: &str) -> Bytes {
    FieldWriter::new().i16(version).string(group_id).finish()
}

fn member_key(version: i16, group_id: &str, member_id: &str) -> Bytes {
    FieldWriter::new().i16(version).string(group_id).string(member_id).finish()
}

fn encode(value: &impl Wire) -> Bytes {
    let mut out = Encoder::with_capacity(64);
    out.put_i16(VALUE_VERSION);
    let cx = WireContext::new(VALUE_VERSION, value::FLEXIBLE_FIRST);
    value.encode(&mut out, cx).expect("everything stored came over the wire, whose limits are the same");
    let mut bytes = BytesMut::with_capacity(out.len());
    for chunk in out.into_chunks() {
        bytes.extend_from_slice(&chunk);
    }
    bytes.freeze()
}

fn by_topic(partitions: &PartitionSet) -> Vec<TopicPartitions> {
    let mut topics: Vec<TopicPartitions> = Vec::new();
    for (topic_id, partition) in partitions {
        match topics.last_mut() {
            Some(last) if last.topic_id == *topic_id => last.partitions.push(*partition),
            _ => topics.push(TopicPartitions { topic_id: *topic_id, partitions: vec![*partition] }),
        }
    }
    topics
}

fn flatten(topics: Vec<TopicPartitions>) -> PartitionSet {
    topics
        .into_iter()
        .flat_map(|topic| topic.partitions.into_iter().map(move |p| (topic.topic_id, p)))
        .collect()
}

/// The record of the group epoch.
#[must_use]
pub fn group(group: &ConsumerGroup) -> CoordinatorRecord {
    let value = GroupValue { epoch: group.group_epoch, topics_digest: group.topics_digest };
    CoordinatorRecord { key: group_key(GROUP_KEY, &group.group_id), value: Some(encode(&value)) }
}

/// The record of a member's subscription.
#[must_use]
pub fn member(group_id: &str, member: &ConsumerMember) -> CoordinatorRecord {
    let value = MemberValue {
        instance_id: member.instance_id.clone(),
        rack_id: member.rack_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        subscribed_topic_names: member.topics.iter().cloned().collect(),
        subscribed_topic_regex: member.regex.clone(),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        server_assignor: member.server_assignor.clone(),
    };
    let key = member_key(MEMBER_KEY, group_id, &member.member_id);
    CoordinatorRecord { key, value: Some(encode(&value)) }
}

/// The record of the assignment epoch.
#[must_use]
pub fn target_epoch(group: &ConsumerGroup) -> CoordinatorRecord {
    let value = TargetEpochValue { assignment_epoch: group.assignment_epoch };
    CoordinatorRecord { key: group_key(TARGET_EPOCH_KEY, &group.group_id), value: Some(encode(&value)) }
}

/// The record of a member's target.
#[must_use]
pub fn target(group_id: &str, member_id: &str, target: Option<&PartitionSet>) -> CoordinatorRecord {
    let value = target.map(|target| encode(&TargetValue { topic_partitions: by_topic(target) }));
    CoordinatorRecord { key: member_key(TARGET_KEY, group_id, member_id), value }
}

/// The record of where a member stands.
#[must_use]
pub fn current_assignment(group_id: &str, member: &ConsumerMember) -> CoordinatorRecord {
    let value = CurrentAssignmentValue {
        member_epoch: member.epoch,
        previous_member_epoch: member.previous_epoch,
        state: member.state.code(),
        assigned_partitions: by_topic(&member.assigned),
        partitions_pending_revocation: by_topic(&member.revoking),
    };
    let key = member_key(CURRENT_KEY, group_id, &member.member_id);
    CoordinatorRecord { key, value: Some(encode(&value)) }
}

/// The records that remove a member.
#[must_use]
pub fn member_tombstones(group_id: &str, member_id: &str) -> [CoordinatorRecord; 3] {
    [CURRENT_KEY, TARGET_KEY, MEMBER_KEY]
        .map(|version| CoordinatorRecord { key: member_key(version, group_id, member_id), value: None })
}

/// The records that remove a group without members.
#[must_use]
pub fn group_tombstones(group_id: &str) -> [CoordinatorRecord; 2] {
    [TARGET_EPOCH_KEY, GROUP_KEY]
        .map(|version| CoordinatorRecord { key: group_key(version, group_id), value: None })
}

/// Decodes the rest of a record whose key began with `key_version`; `None` for versions that are not consumer groups'.
pub fn decode(
    key_version: i16,
    key: &mut FieldReader,
    value: Option<Bytes>,
) -> Result<Option<(String, ConsumerChange)>, RecordError> {
    if ![GROUP_KEY, MEMBER_KEY, TARGET_EPOCH_KEY, TARGET_KEY, CURRENT_KEY].contains(&key_version) {
        return Ok(None);
    }
    let group_id = key.string("group")?;
    let change = match key_version {
        GROUP_KEY => {
            let state =
                |value: GroupValue| GroupState { epoch: value.epoch, topics_digest: value.topics_digest };
            ConsumerChange::Group(decode_value(value, "group")?.map(state))
        }
        TARGET_EPOCH_KEY => {
            let value: Option<TargetEpochValue> = decode_value(value, "assignment epoch")?;
            ConsumerChange::TargetEpoch(value.map(|value| value.assignment_epoch))
        }
        MEMBER_KEY => {
            let member_id = key.string("member")?;
            let value: Option<MemberValue> = decode_value(value, "member")?;
            let value = value.map(|value| Box::new(stored_member(&member_id, value)));
            ConsumerChange::Member { member_id, value }
        }
        TARGET_KEY => {
            let member_id = key.string("member")?;
            let value: Option<TargetValue> = decode_value(value, "target")?;
            ConsumerChange::Target { member_id, value: value.map(|value| flatten(value.topic_partitions)) }
        }
        _ => {
            let member_id = key.string("member")?;
            let value: Option<CurrentAssignmentValue> = decode_value(value, "assignment")?;
            ConsumerChange::Current { member_id, value: value.map(stored_current).transpose()? }
        }
    };
    Ok(Some((group_id, change)))
}

fn decode_value<T: Wire>(value: Option<Bytes>, kind: &'static str) -> Result<Option<T>, RecordError> {
    let Some(bytes) = value else { return Ok(None) };
    let malformed = |error: &dyn std::fmt::Display| RecordError::Value { kind, reason: error.to_string() };
    let mut input = Decoder::new(bytes);
    let version = input.get_i16().map_err(|error| malformed(&error))?;
    if version != VALUE_VERSION {
        return Err(RecordError::UnknownValue { field: kind, value: i64::from(version) });
    }
    let cx = WireContext::new(version, value::FLEXIBLE_FIRST);
    T::decode(&mut input, cx).map(Some).map_err(|error| malformed(&error))
}

fn stored_member(member_id: &str, value: MemberValue) -> ConsumerMember {
    let mut member = ConsumerMember::new(member_id);
    member.instance_id = value.instance_id;
    member.rack_id = value.rack_id;
    member.client_id = value.client_id;
    member.client_host = value.client_host;
    member.topics = value.subscribed_topic_names.into_iter().collect();
    member.regex = value.subscribed_topic_regex.filter(|regex| !regex.is_empty());
    member.rebalance_timeout_ms = value.rebalance_timeout_ms;
    member.server_assignor = value.server_assignor;
    member
}

fn stored_current(value: CurrentAssignmentValue) -> Result<Current, RecordError> {
    let unknown = RecordError::UnknownValue { field: "member state", value: i64::from(value.state) };
    Ok(Current {
        epoch: value.member_epoch,
        previous_epoch: value.previous_member_epoch,
        state: MemberState::from_code(value.state).ok_or(unknown)?,
        assigned: flatten(value.assigned_partitions),
        revoking: flatten(value.partitions_pending_revocation),
    })
}

impl ConsumerGroup {
    /// Applies a stored change.
    pub fn replay(&mut self, change: ConsumerChange) {
        match change {
            ConsumerChange::Group(state) => {
                let state = state.unwrap_or(GroupState { epoch: 0, topics_digest: 0 });
                self.group_epoch = state.epoch;
                self.topics_digest = state.topics_digest;
            }
            ConsumerChange::TargetEpoch(epoch) => self.assignment_epoch = epoch.unwrap_or(0),
            ConsumerChange::Member { member_id, value: Some(stored) } => {
                let member = self.stored_member(&member_id);
                let standing = member.clone();
                *member = ConsumerMember {
                    epoch: standing.epoch,
                    previous_epoch: standing.previous_epoch,
                    state: standing.state,
                    assigned: standing.assigned,
                    revoking: standing.revoking,
                    ..*stored
                };
                if let Some(instance) = member.instance_id.clone() {
                    self.static_members.insert(instance, member_id);
                }
            }
            ConsumerChange::Member { member_id, value: None } => self.forget_member(&member_id),
            ConsumerChange::Target { member_id, value: Some(target) } => {
                self.targets.insert(member_id, target);
            }
            ConsumerChange::Target { member_id, value: None } => {
                self.targets.remove(&member_id);
            }
            ConsumerChange::Current { member_id, value: Some(current) } => {
                let member = self.stored_member(&member_id);
                member.epoch = current.epoch;
                member.previous_epoch = current.previous_epoch;
                member.state = current.state;
                self.set_partitions(&member_id, current.assigned, current.revoking);
            }
            ConsumerChange::Current { member_id, value: None } => {
                self.set_partitions(&member_id, PartitionSet::new(), PartitionSet::new());
            }
        }
    }

    fn stored_member(&mut self, member_id: &str) -> &mut ConsumerMember {
        self.members.entry(member_id.to_owned()).or_insert_with(|| ConsumerMember::new(member_id))
    }

    fn forget_member(&mut self, member_id: &str) {
        self.set_partitions(member_id, PartitionSet::new(), PartitionSet::new());
        let Some(member) = self.members.remove(member_id) else { return };
        if let Some(instance) = &member.instance_id
            && self.static_members.get(instance) == Some(&member.member_id)
        {
            self.static_members.remove(instance);
        }
    }
}
