//! The command topic, read from its beginning: commands to carry out, and records that are none.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use weir_broker::client::admin::Admin;
use weir_broker::client::consumer::reader::{FetchOptions, Reader};
use weir_broker::client::transport::Transport;
use weir_broker::ids::TopicPartition;
use weir_broker::log::access::{Isolation, OffsetSpec};
use weir_broker::record::batch::RecordBatch;
use weir_broker::record::compression::DecompressBuf;
use weir_sql::metastore::source::QueryKind;
use weir_sql::plan::action::Action;
use weir_sql::plan::physical::QueryRole;

use crate::command::error::{CommandLogError, Result};
use crate::command::record::{Command, Place, RECORD_VERSION};

/// Bytes of a batch after decompression.
const BATCH_BYTES_MAX: usize = 64 << 20;
const FETCH_BYTES: usize = 8 << 20;

/// A command with its place in the topic.
#[derive(Clone, Debug)]
pub struct StoredCommand {
    pub place: Place,
    pub command: Command,
}

/// A record as it is stored. Records that a later one of their key replaces or deletes are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    pub offset: i64,
    /// Units: ms since epoch.
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
}

/// A record, or a batch of records, that no command can be read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Of the record; of the first record for a batch.
    pub offset: i64,
    pub reason: String,
    pub origin: Origin,
}

/// Where an unreadable record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The key is one of a node's: later commands may depend on this one.
    Command,
    /// The key is none that a node writes: no command depends on the record.
    Foreign,
}

/// The topic's records.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// By offset.
    pub records: Vec<StoredRecord>,
    /// Batches that cannot be decoded, by offset.
    pub damaged: Vec<Unreadable>,
    pub end_offset: i64,
}

/// The topic's commands.
#[derive(Clone, Debug, Default)]
pub struct Commands {
    /// In order, up to the first command that cannot be read.
    pub replayed: Vec<StoredCommand>,
    /// Commands after it: they may depend on what it did.
    pub held_back: Vec<StoredCommand>,
    /// By offset.
    pub unreadable: Vec<Unreadable>,
}

/// Why a node takes no further commands: its command topic holds what it cannot read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degradation {
    pub topic: String,
    /// The first record that cannot be read; None if the log itself is damaged.
    pub offset: Option<i64>,
    pub reason: String,
    /// Commands that are not in force because they come after an unreadable one.
    pub held_back: usize,
}

impl fmt::Display for Degradation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Degradation { topic, offset, reason, held_back } = self;
        match offset {
            Some(offset) => {
                write!(f, "the record at offset {offset} of topic \"{topic}\" is no command: {reason}")?
            }
            None => write!(f, "the command topic \"{topic}\" cannot be read: {reason}")?,
        }
        match held_back {
            0 => Ok(()),
            count => write!(f, "; {count} later command(s) are not in force"),
        }
    }
}

impl Commands {
    /// Decodes the records of a topic.
    pub fn decode(scan: Scan) -> Commands {
        let mut commands = Commands { unreadable: scan.damaged, ..Commands::default() };
        let mut decoded = Vec::with_capacity(scan.records.len());
        for record in scan.records {
            match decode(&record) {
                Ok(command) => {
                    let key = String::from_utf8_lossy(&record.key.unwrap_or_default()).into_owned();
                    decoded.push(StoredCommand { place: Place { offset: record.offset, key }, command });
                }
                Err(unreadable) => commands.unreadable.push(unreadable),
            }
        }
        commands.unreadable.sort_by_key(|u| u.offset);
        let stop = commands.unreadable.iter().find(|u| u.origin == Origin::Command);
        let stop = stop.map_or(i64::MAX, |unreadable| unreadable.offset);
        let replayed = decoded.partition_point(|command| command.place.offset < stop);
        commands.held_back = decoded.split_off(replayed);
        commands.replayed = decoded;
        commands
    }

    /// None if every record is a command.
    pub fn degradation(&self, topic: &str) -> Option<Degradation> {
        // A lost command says more than a foreign record before it.
        let lost = self.unreadable.iter().find(|u| u.origin == Origin::Command);
        let first = lost.or_else(|| self.unreadable.first())?;
        Some(Degradation {
            topic: topic.to_owned(),
            offset: Some(first.offset),
            reason: first.reason.clone(),
            held_back: self.held_back.len(),
        })
    }
}

/// Reads a command out of a record.
///
/// Errors: it is none, or one of a later version.
pub fn decode(record: &StoredRecord) -> std::result::Result<Command, Unreadable> {
    let unreadable = |reason: String| {
        let origin = if is_command_key(record.key.as_deref()) { Origin::Command } else { Origin::Foreign };
        Unreadable { offset: record.offset, reason, origin }
    };
    let version: VersionOnly =
        serde_json::from_slice(&record.value).map_err(|e| unreadable(e.to_string()))?;
    if version.version > RECORD_VERSION {
        let reason = format!("it has version {}, this Weir reads up to {RECORD_VERSION}", version.version);
        return Err(Unreadable { offset: record.offset, reason, origin: Origin::Command });
    }
    let mut command: Command =
        serde_json::from_slice(&record.value).map_err(|e| unreadable(e.to_string()))?;
    for action in &mut command.actions {
        // In older records the role of the query stands beside the plan only.
        if let Action::StartQuery { plan, kind: QueryKind::SourceTable, .. } = action {
            plan.role = QueryRole::SourceTable;
        }
    }
    Ok(command)
}

#[derive(serde::Deserialize)]
struct VersionOnly {
    version: u32,
}

/// `<offset>/<command id>`, the form of [`crate::command::log`]'s keys.
fn is_command_key(key: Option<&[u8]>) -> bool {
    let text = key.and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default();
    text.split_once('/').is_some_and(|(offset, id)| offset.parse::<i64>().is_ok() && !id.is_empty())
}

/// Reads all records of the topic that are in force.
///
/// Errors: the broker does not serve the topic. Damaged batches are no error.
pub async fn scan(transport: &Arc<dyn Transport>, topic: &str) -> Result<Scan> {
    let reader = Reader::new(Arc::clone(transport));
    let partition = TopicPartition::new(topic, 0);
    let options = FetchOptions {
        isolation: Isolation::ReadUncommitted,
        wait_max: Duration::ZERO,
        partition_bytes_max: FETCH_BYTES,
        ..FetchOptions::default()
    };
    let mut latest = Latest::default();
    let mut damaged = Vec::new();
    let error = |source| CommandLogError::Broker { topic: topic.to_owned(), source };
    let earliest = [(partition.clone(), OffsetSpec::Earliest)];
    let admin = Admin::new(Arc::clone(transport));
    let listed = admin.list_offsets(&earliest, options.isolation).await.map_err(error)?;
    let mut offset = listed.first().and_then(|listed| listed.offset).unwrap_or(0);
    loop {
        let mut fetched = reader.fetch(&[(partition.clone(), offset)], &options).await.map_err(error)?;
        let Some((_, outcome)) = fetched.pop() else { break };
        let records = match outcome {
            Ok(records) => records,
            Err(e) => return Err(error(e)),
        };
        for batch in &records.batches {
            if let Err(reason) = latest.take_batch(batch, offset) {
                let offset = batch.base_offset();
                damaged.push(Unreadable { offset, reason, origin: Origin::Command });
            }
        }
        let stuck = records.next_offset <= offset;
        offset = records.next_offset.max(offset);
        if offset >= records.high_watermark {
            break;
        }
        if stuck {
            let reason = "the broker serves no record from here on".to_owned();
            damaged.push(Unreadable { offset, reason, origin: Origin::Command });
            break;
        }
    }
    Ok(Scan { records: latest.into_records(), damaged, end_offset: offset })
}

/// The last record of each key.
#[derive(Debug, Default)]
struct Latest {
    keyed: HashMap<Vec<u8>, StoredRecord>,
    keyless: Vec<StoredRecord>,
}

impl Latest {
    /// Errors: the batch or one of its records cannot be decoded; the records before are taken.
    fn take_batch(&mut self, batch: &RecordBatch, from: i64) -> std::result::Result<(), String> {
        let mut buffer = DecompressBuf::with_limit(BATCH_BYTES_MAX);
        for record in batch.records(&mut buffer).map_err(|e| e.to_string())? {
            let record = record.map_err(|e| e.to_string())?;
            if record.offset < from {
                continue;
            }
            let stored = |value: &[u8]| StoredRecord {
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key.map(<[u8]>::to_vec),
                value: value.to_vec(),
            };
            match (record.key, record.value) {
                (Some(key), Some(value)) => _ = self.keyed.insert(key.to_vec(), stored(value)),
                (Some(key), None) => _ = self.keyed.remove(key),
                (None, Some(value)) => self.keyless.push(stored(value)),
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn into_records(self) -> Vec<StoredRecord> {
        let mut records: Vec<StoredRecord> = self.keyed.into_values().chain(self.keyless).collect();
        records.sort_by_key(|record| record.offset);
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: i64, key: &str, value: &str) -> StoredRecord {
        StoredRecord {
            offset,
            timestamp: 0,
            key: Some(key.as_bytes().to_vec()),
            value: value.as_bytes().to_vec(),
        }
    }

    fn command(offset: i64) -> StoredRecord {
        let value = r#"{"version":1,"id":"stream/`S`/create","statement":"","actions":[]}"#;
        record(offset, &format!("{offset}/stream/`S`/create"), value)
    }

    fn offsets(commands: &[StoredCommand]) -> Vec<i64> {
        commands.iter().map(|c| c.place.offset).collect()
    }

    #[test]
    fn foreign_records_are_passed_over_and_reported() {
        let records = vec![command(0), record(1, "z", "junk"), command(2)];
        let commands = Commands::decode(Scan { records, end_offset: 3, ..Scan::default() });
        assert_eq!((offsets(&commands.replayed), commands.held_back.len()), (vec![0, 2], 0));
        let degradation = commands.degradation("t").expect("degraded");
        assert_eq!((degradation.offset, degradation.held_back), (Some(1), 0));
    }

    #[test]
    fn commands_after_a_lost_one_are_held_back() {
        for lost in [
            record(2, "2/table/`T`/create", "{"),
            record(2, "2/table/`T`/create", r#"{"version":1}"#),
            record(2, "x", r#"{"version":99}"#),
        ] {
            let records = vec![command(0), record(1, "z", "junk"), lost, command(3)];
            let commands = Commands::decode(Scan { records, end_offset: 4, ..Scan::default() });
            assert_eq!((offsets(&commands.replayed), offsets(&commands.held_back)), (vec![0], vec![3]));
            let degradation = commands.degradation("t").expect("degraded");
            assert_eq!((degradation.offset, degradation.held_back), (Some(2), 1));
        }
    }

    #[test]
    fn readable_topics_are_not_degraded() {
        let commands = Commands::decode(Scan { records: vec![command(0)], end_offset: 1, ..Scan::default() });
        assert_eq!(commands.degradation("t"), None);
    }
}
