//! The records of `__transaction_state`, in Kafka's own format.
//!
//! | part  | fields                                                                                              |
//! |-------|-----------------------------------------------------------------------------------------------------|
//! | key   | version 0, transactional id                                                                         |
//! | value | version 0, producer id, epoch, timeout, state, partitions by topic (nullable), last update, start,  |
//! |       | and behind what Kafka reads, if there is one: the previous producer id and epoch                    |

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::state::{Transaction, TxnState};
use crate::coordinator::codec::{CoordinatorRecord, FieldReader, FieldWriter, RecordError};

const KEY_VERSION: i16 = 0;
const VALUE_VERSION: i16 = 0;

fn key(transactional_id: &str) -> Bytes {
    FieldWriter::new().i16(KEY_VERSION).string(transactional_id).finish()
}

/// The record that stores a transaction; the times of stored ones are `wall_ahead_ms` later than those here.
#[must_use]
pub fn transaction_record(transaction: &Transaction, wall_ahead_ms: i64) -> CoordinatorRecord {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in &transaction.partitions {
        topics.entry(topic).or_default().push(*partition);
    }
    let mut writer = FieldWriter::new()
        .i16(VALUE_VERSION)
        .i64(transaction.producer_id)
        .i16(transaction.producer_epoch)
        .i32(transaction.timeout_ms)
        .i8(transaction.state as i8);
    // Kafka writes null for a transaction that never had partitions.
    writer = if transaction.state == TxnState::Empty { writer.i32(-1) } else { writer.count(topics.len()) };
    if transaction.state != TxnState::Empty {
        for (topic, partitions) in topics {
            writer = writer.string(topic).count(partitions.len());
            for partition in partitions {
                writer = writer.i32(partition);
            }
        }
    }
    let [update_ms, start_ms] =
        [transaction.update_ms, transaction.start_ms].map(|ms| in_wall_time(ms, wall_ahead_ms));
    writer = writer.i64(update_ms).i64(start_ms);
    if let Some((producer_id, producer_epoch)) = transaction.previous {
        writer = writer.i64(producer_id).i16(producer_epoch);
    }
    let value = writer.finish();
    CoordinatorRecord { key: key(&transaction.transactional_id), value: Some(value) }
}

/// -1 stands for no time at all.
pub(super) fn in_wall_time(ms: i64, wall_ahead_ms: i64) -> i64 {
    if ms < 0 { ms } else { ms.saturating_add(wall_ahead_ms) }
}

/// The record that forgets a transactional id.
#[must_use]
pub fn transaction_tombstone(transactional_id: &str) -> CoordinatorRecord {
    CoordinatorRecord { key: key(transactional_id), value: None }
}

/// Decodes a record: the transactional id and, unless it was forgotten, the transaction.
/// `None` for a key version of a newer or foreign writer.
pub fn decode(
    key: Bytes,
    value: Option<Bytes>,
) -> Result<Option<(String, Option<Transaction>)>, RecordError> {
    let mut reader = FieldReader::new(key);
    if reader.i16("key version")? != KEY_VERSION {
        return Ok(None);
    }
    let transactional_id = reader.string("transactional id")?;
    let Some(value) = value else { return Ok(Some((transactional_id, None))) };
    let mut reader = FieldReader::new(value);
    let version = reader.i16("transaction value version")?;
    if version != VALUE_VERSION {
        return Err(RecordError::UnknownValue {
            field: "transaction value version",
            value: i64::from(version),
        });
    }
    let producer_id = reader.i64("producer id")?;
    let producer_epoch = reader.i16("producer epoch")?;
    let timeout_ms = reader.i32("timeout")?;
    let code = reader.i8("state")?;
    let state = TxnState::from_code(code)
        .ok_or(RecordError::UnknownValue { field: "state", value: i64::from(code) })?;
    let partitions = decode_partitions(&mut reader)?;
    let update_ms = reader.i64("last update")?;
    let start_ms = reader.i64("start")?;
    let previous = if reader.is_empty() {
        None
    } else {
        Some((reader.i64("previous producer id")?, reader.i16("previous producer epoch")?))
    };
    let transaction = Transaction {
        transactional_id: transactional_id.clone(),
        producer_id,
        producer_epoch,
        previous,
        timeout_ms,
        state,
        partitions,
        start_ms,
        update_ms,
    };
    Ok(Some((transactional_id, Some(transaction))))
}

fn decode_partitions(reader: &mut FieldReader) -> Result<BTreeSet<(String, i32)>, RecordError> {
    let mut partitions = BTreeSet::new();
    for _ in 0..reader.count("topics")? {
        let topic = reader.string("topic")?;
        for _ in 0..reader.count("partitions")? {
            partitions.insert((topic.clone(), reader.i32("partition")?));
        }
    }
    Ok(partitions)
}
