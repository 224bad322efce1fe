//! The command topic in a file, and back: `weir command-topic`.
//!
//! A file of JSON lines: a [`Header`], then a record a line, by offset. Texts stand as they are, other bytes in Base64.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_broker::client::admin::Admin;
use weir_broker::client::error::ClientError;
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::transport::Transport;
use weir_broker::ids::TopicPartition;
use weir_broker::log::access::{Isolation, OffsetSpec};
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};

use crate::command::error::CommandLogError;
use crate::command::log::topic_configs;
use crate::command::scan::{Scan, StoredRecord, Unreadable, decode, scan};

const FORMAT: &str = "weir-command-topic";
const FORMAT_VERSION: u32 = 1;
/// Records and their bytes in one batch, well below any `max.message.bytes`.
const BATCH_RECORDS_MAX: usize = 500;
const BATCH_BYTES_MAX: usize = 256 << 10;
/// Key of the record that stands before restored commands until all are written. A node that finds it is degraded.
const UNFINISHED_KEY: &str = "0/restore/unfinished";
const UNFINISHED_VALUE: &str = "a restore of this topic did not end: run it again";
/// Key of tombstones that only take up offsets.
const FILLER_KEY: &str = "offset";

/// Why a backup or restore ended.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Log(#[from] CommandLogError),
    #[error("topic \"{topic}\" cannot be restored")]
    Broker {
        topic: String,
        #[source]
        source: ClientError,
    },
    #[error("the backup cannot be written or read")]
    Io(#[from] std::io::Error),
    #[error("line {line} of the backup is wrong: {reason}")]
    Line { line: usize, reason: String },
    #[error("the backup has {actual} record(s), its first line says {expected}")]
    Cut { expected: usize, actual: usize },
    #[error("a record cannot be encoded")]
    Encode(#[source] weir_broker::error::Error),
}

type Result<T> = std::result::Result<T, BackupError>;

/// The first line of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub format: String,
    pub version: u32,
    pub topic: String,
    /// Offsets below are taken: commands written later must not get them, since query ids carry them.
    pub end_offset: i64,
    pub records: usize,
}

/// A record as a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    offset: i64,
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

/// A backup that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    pub header: Header,
    /// By offset.
    pub records: Vec<StoredRecord>,
}

/// How many records were restored, and which were left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    pub records: usize,
    pub skipped: Vec<Unreadable>,
}

impl Backup {
    pub fn new(topic: &str, scan: Scan) -> Backup {
        let header = Header {
            format: FORMAT.to_owned(),
            version: FORMAT_VERSION,
            topic: topic.to_owned(),
            end_offset: scan.end_offset,
            records: scan.records.len(),
        };
        Backup { header, records: scan.records }
    }

    /// The records that are no commands.
    pub fn unreadable(&self) -> Vec<Unreadable> {
        self.records.iter().filter_map(|record| decode(record).err()).collect()
    }

    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        serde_json::to_writer(&mut *out, &self.header).map_err(std::io::Error::from)?;
        out.write_all(b"\n")?;
        for record in &self.records {
            serde_json::to_writer(&mut *out, &Line::from(record)).map_err(std::io::Error::from)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Errors: the text is no backup, or only a part of one.
    pub fn read(input: &mut dyn BufRead) -> Result<Backup> {
        let mut lines = input.lines().enumerate();
        let wrong = |line: usize, reason: String| BackupError::Line { line: line + 1, reason };
        let Some((_, first)) = lines.next() else {
            return Err(wrong(0, "the file is empty".to_owned()));
        };
        let header: Header = serde_json::from_str(&first?).map_err(|e| wrong(0, e.to_string()))?;
        if header.format != FORMAT || header.version > FORMAT_VERSION {
            let reason = format!("{} version {} is not known", header.format, header.version);
            return Err(wrong(0, reason));
        }
        let mut records: Vec<StoredRecord> = Vec::new();
        for (number, line) in lines {
            let line: Line = serde_json::from_str(&line?).map_err(|e| wrong(number, e.to_string()))?;
            let record = line.record().map_err(|reason| wrong(number, reason))?;
            if records.last().is_some_and(|last| last.offset >= record.offset) {
                return Err(wrong(number, format!("offset {} is not in order", record.offset)));
            }
            records.push(record);
        }
        if records.len() != header.records {
            return Err(BackupError::Cut { expected: header.records, actual: records.len() });
        }
        Ok(Backup { header, records })
    }
}

impl From<&StoredRecord> for Line {
    fn from(record: &StoredRecord) -> Line {
        let mut line = Line { offset: record.offset, timestamp: record.timestamp, ..Line::default() };
        if let Some(key) = &record.key {
            match std::str::from_utf8(key) {
                Ok(text) => line.key = Some(text.to_owned()),
                Err(_) => line.key_base64 = Some(STANDARD.encode(key)),
            }
        }
        match std::str::from_utf8(&record.value) {
            Ok(text) => line.value = Some(text.to_owned()),
            Err(_) => line.value_base64 = Some(STANDARD.encode(&record.value)),
        }
        line
    }
}

impl Line {
    fn record(self) -> std::result::Result<StoredRecord, String> {
        let bytes = |text: Option<String>, encoded: Option<String>| match (text, encoded) {
            (Some(text), _) => Ok(Some(text.into_bytes())),
            (None, Some(encoded)) => STANDARD.decode(encoded).map(Some).map_err(|e| e.to_string()),
            (None, None) => Ok(None),
        };
        let value = bytes(self.value, self.value_base64)?.ok_or("the value is missing")?;
        let key = bytes(self.key, self.key_base64)?;
        Ok(StoredRecord { offset: self.offset, timestamp: self.timestamp, key, value })
    }
}

/// Reads the topic for a backup.
pub async fn back_up(transport: &Arc<dyn Transport>, topic: &str) -> Result<(Backup, Vec<Unreadable>)> {
    let scanned = scan(transport, topic).await?;
    let mut unreadable = scanned.damaged.clone();
    let backup = Backup::new(topic, scanned);
    unreadable.extend(backup.unreadable());
    unreadable.sort_by_key(|u| u.offset);
    Ok((backup, unreadable))
}

/// Replaces the records of the topic by those of the backup that are commands.
///
/// The commands are written behind the present records, which are cut off at the end in one step. A node that starts on a
/// restore cut short finds an unreadable record before the restored commands, and is degraded. A topic that cannot be read
/// at all is made anew.
pub async fn restore(transport: &Arc<dyn Transport>, backup: &Backup, now_ms: i64) -> Result<Restored> {
    let topic = backup.header.topic.as_str();
    let broker_error = |source| BackupError::Broker { topic: topic.to_owned(), source };
    let admin = Admin::new(Arc::clone(transport));
    if admin.describe_topic(topic).await.map_err(broker_error)?.is_some()
        && let Err(error) = scan(transport, topic).await
    {
        match error.broker_code() {
            Some(
                ErrorCode::KafkaStorageError | ErrorCode::LeaderNotAvailable | ErrorCode::CorruptMessage,
            ) => {
                admin.delete_topics(&[topic]).await.map_err(broker_error)?;
            }
            Some(_) | None => return Err(error.into()),
        }
    }
    match admin.create_topic(topic, 1, &topic_configs()).await {
        Err(error) if error.code() != Some(ErrorCode::TopicAlreadyExists) => return Err(broker_error(error)),
        Ok(()) | Err(_) => {}
    }
    let mut writer = Writer::open(transport, topic).await?;
    while writer.end_offset < backup.header.end_offset {
        writer.add(now_ms, Some(FILLER_KEY.as_bytes()), None).await?;
    }
    writer.add(now_ms, Some(UNFINISHED_KEY.as_bytes()), Some(UNFINISHED_VALUE.as_bytes())).await?;
    writer.flush().await?;
    let first = writer.end_offset;
    let mut restored = Restored::default();
    for record in &backup.records {
        match decode(record) {
            Ok(_) => {
                writer.add(record.timestamp, record.key.as_deref(), Some(&record.value)).await?;
                restored.records += 1;
            }
            Err(unreadable) => restored.skipped.push(unreadable),
        }
    }
    writer.flush().await?;
    cut_off(&admin, topic, first).await.map_err(broker_error)?;
    Ok(restored)
}

/// Deletes the records below an offset, which brokers refuse for topics that are compacted only.
async fn cut_off(admin: &Admin, topic: &str, offset: i64) -> std::result::Result<(), ClientError> {
    let policy = |value: &str| BTreeMap::from([("cleanup.policy".to_owned(), Some(value.to_owned()))]);
    admin.alter_configs(topic, &policy("compact,delete")).await?;
    let deleted = admin.delete_records(&TopicPartition::new(topic, 0), offset).await;
    admin.alter_configs(topic, &policy("compact")).await?;
    deleted.map(drop)
}

/// Collects records into batches.
struct Writer<'t> {
    topic: &'t str,
    producer: IdempotentProducer,
    batch: RecordBatchBuilder,
    records: usize,
    bytes: usize,
    /// After the records added so far.
    end_offset: i64,
}

impl<'t> Writer<'t> {
    async fn open(transport: &Arc<dyn Transport>, topic: &'t str) -> Result<Writer<'t>> {
        let error = |source| BackupError::Broker { topic: topic.to_owned(), source };
        let wanted = [(TopicPartition::new(topic, 0), OffsetSpec::Latest)];
        let admin = Admin::new(Arc::clone(transport));
        let listed = admin.list_offsets(&wanted, Isolation::ReadUncommitted).await.map_err(error)?;
        Ok(Writer {
            topic,
            producer: IdempotentProducer::init(Arc::clone(transport)).await.map_err(error)?,
            batch: RecordBatchBuilder::new(BatchOptions::default()),
            records: 0,
            bytes: 0,
            end_offset: listed.first().and_then(|l| l.offset).unwrap_or(0),
        })
    }

    async fn add(&mut self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<()> {
        let bytes = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        let full = self.records == BATCH_RECORDS_MAX || self.bytes + bytes > BATCH_BYTES_MAX;
        if full && self.records > 0 {
            self.flush().await?;
        }
        self.batch.append(timestamp, key, value, &[]);
        self.records += 1;
        self.bytes += bytes;
        self.end_offset += 1;
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        if self.records == 0 {
            return Ok(());
        }
        let batch = std::mem::replace(&mut self.batch, RecordBatchBuilder::new(BatchOptions::default()));
        (self.records, self.bytes) = (0, 0);
        let batch: Bytes = batch.build().map_err(BackupError::Encode)?;
        let error = |source| BackupError::Broker { topic: self.topic.to_owned(), source };
        let partition = TopicPartition::new(self.topic, 0);
        self.producer.send(vec![(partition, vec![batch])]).await.map_err(error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup() -> Backup {
        let record = |offset, key: Option<&[u8]>, value: &[u8]| StoredRecord {
            offset,
            timestamp: 5,
            key: key.map(<[u8]>::to_vec),
            value: value.to_vec(),
        };
        let records = vec![
            record(0, Some(b"0/c"), br#"{"version":1,"id":"c","statement":"","actions":[]}"#),
            record(2, Some(b"z\xff"), b"junk\xfe"),
            record(3, None, b"more"),
        ];
        Backup::new("t", Scan { records, damaged: Vec::new(), end_offset: 9 })
    }

    #[test]
    fn backups_are_read_as_they_were_written() {
        let mut text = Vec::new();
        backup().write(&mut text).expect("in memory");
        assert_eq!(Backup::read(&mut text.as_slice()).expect("valid"), backup());
        assert_eq!(backup().unreadable().iter().map(|u| u.offset).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn parts_of_backups_are_refused() {
        let mut text = Vec::new();
        backup().write(&mut text).expect("in memory");
        let text = String::from_utf8(text).expect("JSON");
        let lines: Vec<&str> = text.lines().collect();
        for (wrong, expected) in [
            (String::new(), "line 1 of the backup is wrong: the file is empty"),
            (lines[..2].join("\n"), "the backup has 1 record(s), its first line says 3"),
            (text[..text.len() - 9].to_owned(), "line 4 of the backup is wrong"),
            (text.replace("weir-command-topic", "other"), "other version 1 is not known"),
            ([lines[0], lines[2], lines[1], lines[3]].join("\n"), "offset 0 is not in order"),
        ] {
            let error = Backup::read(&mut wrong.as_bytes()).expect_err("not whole").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
