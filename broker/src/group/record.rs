//! The records of `__consumer_offsets`, in Kafka's own format so that existing tools can read them.
//!
//! | key version | key fields               | value                                                       |
//! |-------------|--------------------------|-------------------------------------------------------------|
//! | 0, 1        | group, topic, partition  | v3: offset, leader epoch, metadata, commit time             |
//! | 3, 5–8      | see [`consumer::record`] |                                                             |
//! | 2           | group                    | v3: protocol type, generation, protocol, leader, since, members |

use bytes::Bytes;

use super::consumer;
use super::consumer::record::ConsumerChange;
use super::offsets::{CommittedOffset, OffsetKey};
use super::state::{Group, GroupState, Member};
use crate::coordinator::codec::{CoordinatorRecord, FieldReader, FieldWriter, RecordError};

const OFFSET_KEY_VERSION: i16 = 1;
const OFFSET_VALUE_VERSION: i16 = 3;
const GROUP_KEY_VERSION: i16 = 2;
const GROUP_VALUE_VERSION: i16 = 3;

/// A decoded record; `None` deletes.
#[derive(Debug, Clone)]
pub enum GroupRecord {
    Offset {
        key: OffsetKey,
        value: Option<CommittedOffset>,
    },
    Group {
        group_id: String,
        value: Option<Box<Group>>,
    },
    Consumer {
        group_id: String,
        change: ConsumerChange,
    },
    /// A key version of a newer or foreign writer; kept in the log, of no meaning here.
    Unknown {
        key_version: i16,
    },
}

/// The record that stores (or, without a value, deletes) an offset.
#[must_use]
pub fn offset_record(key: &OffsetKey, value: Option<&CommittedOffset>) -> CoordinatorRecord {
    let bytes = FieldWriter::new()
        .i16(OFFSET_KEY_VERSION)
        .string(&key.group_id)
        .string(&key.topic)
        .i32(key.partition)
        .finish();
    let value = value.map(|offset| {
        FieldWriter::new()
            .i16(OFFSET_VALUE_VERSION)
            .i64(offset.offset)
            .i32(offset.leader_epoch)
            .string(&offset.metadata)
            .i64(offset.commit_timestamp)
            .finish()
    });
    CoordinatorRecord { key: bytes, value }
}

fn group_key(group_id: &str) -> Bytes {
    FieldWriter::new().i16(GROUP_KEY_VERSION).string(group_id).finish()
}

/// The record that deletes a group.
#[must_use]
pub fn group_tombstone(group_id: &str) -> CoordinatorRecord {
    CoordinatorRecord { key: group_key(group_id), value: None }
}

/// The record that stores a group as it is: members, subscriptions and assignments of the chosen assignor.
#[must_use]
pub fn group_record(group: &Group) -> CoordinatorRecord {
    let protocol = group.protocol.as_deref().unwrap_or_default();
    let mut writer = FieldWriter::new()
        .i16(GROUP_VALUE_VERSION)
        .string(group.protocol_type.as_deref().unwrap_or_default())
        .i32(group.generation)
        .nullable_string(group.protocol.as_deref())
        .nullable_string(group.leader.as_deref())
        .i64(group.state_since)
        .count(group.members.len());
    for member in group.members.values() {
        writer = writer
            .string(&member.member_id)
            .nullable_string(member.instance_id.as_deref())
            .string(&member.client_id)
            .string(&member.client_host)
            .i32(member.rebalance_timeout_ms)
            .i32(member.session_timeout_ms)
            .bytes(&member.subscription(protocol))
            .bytes(&member.assignment);
    }
    CoordinatorRecord { key: group_key(&group.group_id), value: Some(writer.finish()) }
}

/// Decodes a record of `__consumer_offsets`.
pub fn decode(key: Bytes, value: Option<Bytes>) -> Result<GroupRecord, RecordError> {
    let mut reader = FieldReader::new(key);
    let key_version = reader.i16("key version")?;
    match key_version {
        0 | OFFSET_KEY_VERSION => {
            let group_id = reader.string("group")?;
            let topic = reader.string("topic")?;
            let partition = reader.i32("partition")?;
            let value = value.map(decode_offset).transpose()?;
            Ok(GroupRecord::Offset { key: OffsetKey { group_id, topic, partition }, value })
        }
        GROUP_KEY_VERSION => {
            let group_id = reader.string("group")?;
            let value = value.map(|bytes| decode_group(&group_id, bytes)).transpose()?.map(Box::new);
            Ok(GroupRecord::Group { group_id, value })
        }
        _ => Ok(match consumer::record::decode(key_version, &mut reader, value)? {
            Some((group_id, change)) => GroupRecord::Consumer { group_id, change },
            None => GroupRecord::Unknown { key_version },
        }),
    }
}

fn decode_offset(value: Bytes) -> Result<CommittedOffset, RecordError> {
    let mut reader = FieldReader::new(value);
    let version = reader.i16("offset value version")?;
    if !(0..=OFFSET_VALUE_VERSION).contains(&version) {
        return Err(RecordError::UnknownValue { field: "offset value version", value: i64::from(version) });
    }
    let offset = reader.i64("offset")?;
    let leader_epoch = if version >= 3 { reader.i32("leader epoch")? } else { -1 };
    let metadata = reader.string("metadata")?;
    let commit_timestamp = reader.i64("commit timestamp")?;
    Ok(CommittedOffset { offset, leader_epoch, metadata, commit_timestamp })
}

fn decode_group(group_id: &str, value: Bytes) -> Result<Group, RecordError> {
    let mut reader = FieldReader::new(value);
    let version = reader.i16("group value version")?;
    if !(0..=GROUP_VALUE_VERSION).contains(&version) {
        return Err(RecordError::UnknownValue { field: "group value version", value: i64::from(version) });
    }
    let mut group = Group::new(group_id, -1);
    let protocol_type = reader.string("protocol type")?;
    group.protocol_type = (!protocol_type.is_empty()).then_some(protocol_type);
    group.generation = reader.i32("generation")?;
    group.protocol = reader.nullable_string("protocol")?;
    group.leader = reader.nullable_string("leader")?;
    group.state_since = if version >= 2 { reader.i64("state since")? } else { -1 };
    for _ in 0..reader.count("members")? {
        let member = decode_member(&mut reader, version, group.protocol.as_deref().unwrap_or_default())?;
        if let Some(instance) = &member.instance_id {
            group.static_members.insert(instance.clone(), member.member_id.clone());
        }
        group.members.insert(member.member_id.clone(), member);
    }
    group.state = if group.members.is_empty() { GroupState::Empty } else { GroupState::Stable };
    Ok(group)
}

fn decode_member(reader: &mut FieldReader, version: i16, protocol: &str) -> Result<Member, RecordError> {
    let member_id = reader.string("member id")?;
    let instance_id = if version >= 3 { reader.nullable_string("instance id")? } else { None };
    let client_id = reader.string("client id")?;
    let client_host = reader.string("client host")?;
    let rebalance_timeout = if version >= 1 { Some(reader.i32("rebalance timeout")?) } else { None };
    let session_timeout_ms = reader.i32("session timeout")?;
    let subscription = reader.bytes("subscription")?;
    let assignment = reader.bytes("assignment")?;
    Ok(Member {
        member_id,
        instance_id,
        client_id,
        client_host,
        session_timeout_ms,
        rebalance_timeout_ms: rebalance_timeout.unwrap_or(session_timeout_ms),
        protocols: vec![(protocol.to_owned(), subscription)],
        assignment,
        awaiting_join: None,
        awaiting_sync: None,
        session_deadline: 0,
    })
}
