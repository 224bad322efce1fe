//! Writing the command topic.
//!
//! Invariant: a command is durable before anything of it is applied, and commands are applied in the order of their
//! offsets. The topic is compacted; every command has a key of its own, and commands without effect any more are
//! deleted by tombstones (see [`crate::command::garbage_collect`]).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use weir_broker::client::admin::Admin;
use weir_broker::client::error::ClientError;
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::transport::Transport;
use weir_broker::ids::TopicPartition;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};

use crate::command::error::{CommandLogError, Result};
use crate::command::garbage_collect::CommandIndex;
use crate::command::record::{Command, Place};
use crate::command::scan::{Commands, scan};

/// Segments of the topic. Only closed segments are compacted, and a start reads them all.
const SEGMENT_BYTES: &str = "16777216";
/// Bytes of keys in one batch of tombstones, well below any `max.message.bytes`.
const TOMBSTONE_BYTES_MAX: usize = 512 << 10;

/// The topic and its only writer.
pub struct CommandLog {
    topic: String,
    transport: Arc<dyn Transport>,
    producer: Option<IdempotentProducer>,
    next_offset: i64,
    index: CommandIndex,
    /// Keys of commands whose write failed: they may be in the topic all the same, and must not take effect.
    doubtful: Vec<String>,
}

impl fmt::Debug for CommandLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandLog")
            .field("topic", &self.topic)
            .field("next_offset", &self.next_offset)
            .finish_non_exhaustive()
    }
}

/// `_confluent-ksql-<service id>_command_topic`
pub fn topic_name(service_id: &str) -> String {
    format!("_confluent-ksql-{service_id}_command_topic")
}

/// Settings of the topic.
pub(crate) fn topic_configs() -> BTreeMap<String, String> {
    [("cleanup.policy", "compact"), ("retention.ms", "-1"), ("segment.bytes", SEGMENT_BYTES)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// Topics of earlier versions, and those altered by hand, get the settings that commands need.
async fn settle_configs(admin: &Admin, topic: &str) -> std::result::Result<(), ClientError> {
    let present = admin.describe_configs(topic).await?;
    let wanted = topic_configs().into_iter().filter(|(name, value)| present.get(name) != Some(value));
    let changes: BTreeMap<String, Option<String>> = wanted.map(|(name, value)| (name, Some(value))).collect();
    if changes.is_empty() { Ok(()) } else { admin.alter_configs(topic, &changes).await }
}

impl CommandLog {
    /// Makes the topic if it is missing, and reads every command in order.
    pub async fn open(transport: Arc<dyn Transport>, service_id: &str) -> Result<(CommandLog, Commands)> {
        let topic = topic_name(service_id);
        let broker_error = |source| CommandLogError::Broker { topic: topic.clone(), source };
        let admin = Admin::new(Arc::clone(&transport));
        match admin.create_topic(&topic, 1, &topic_configs()).await {
            Ok(()) => {}
            Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => {
                settle_configs(&admin, &topic).await.map_err(broker_error)?;
            }
            Err(error) => return Err(broker_error(error)),
        }
        let scanned = scan(&transport, &topic).await?;
        let next_offset = scanned.end_offset;
        let commands = Commands::decode(scanned);
        let producer = IdempotentProducer::init(Arc::clone(&transport)).await.map_err(broker_error)?;
        let mut log = CommandLog::closed(transport, service_id);
        (log.producer, log.next_offset) = (Some(producer), next_offset);
        Ok((log, commands))
    }

    /// The log of a topic that the broker does not serve: nothing can be written.
    pub fn closed(transport: Arc<dyn Transport>, service_id: &str) -> CommandLog {
        CommandLog {
            topic: topic_name(service_id),
            transport,
            producer: None,
            next_offset: 0,
            index: CommandIndex::default(),
            doubtful: Vec::new(),
        }
    }

    /// The offset the next command gets; query ids carry it.
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Commands without effect that are still in the topic.
    pub fn garbage_count(&self) -> usize {
        self.index.garbage_count()
    }

    /// Writes a command; it is durable when this returns its place.
    ///
    /// Errors: the command is not in force, neither now nor after a restart.
    pub async fn append(&mut self, command: &Command, now_ms: i64) -> Result<Place> {
        self.settle(now_ms).await?;
        weir_broker::failpoint!("command.append.before").map_err(|e| self.storage_error(e))?;
        let value = serde_json::to_vec(command).expect("commands have string keys only");
        let key = key_of(self.next_offset, &command.id);
        let mut written = self.write(&[(&key, Some(&value))], now_ms).await;
        if let Err(error) = weir_broker::failpoint!("command.append.after") {
            written = Err(self.storage_error(error));
        }
        if written.is_err() {
            self.doubtful.push(key.clone());
            // Tried again before the next command.
            let _ = self.settle(now_ms).await;
        }
        written.map(|offset| Place { offset, key })
    }

    /// Notes a command that is in force, so that the topic can be compacted.
    pub fn note(&mut self, place: Place, command: &Command) {
        self.index.push(place, command);
    }

    /// Takes a command back that was written and could not be carried out.
    pub async fn revoke(&mut self, place: Place, now_ms: i64) -> Result<()> {
        self.doubtful.push(place.key);
        self.settle(now_ms).await
    }

    /// Deletes what must not take effect.
    async fn settle(&mut self, now_ms: i64) -> Result<()> {
        while let Some(key) = self.doubtful.last().cloned() {
            self.write(&[(&key, None)], now_ms).await?;
            self.doubtful.pop();
        }
        Ok(())
    }

    /// Deletes the commands that have no effect any more. Commands that end others go with them or later, never before.
    pub async fn compact(&mut self, now_ms: i64) -> Result<()> {
        weir_broker::failpoint!("command.forget.before").map_err(|e| self.storage_error(e))?;
        loop {
            let dead = self.index.oldest_garbage(TOMBSTONE_BYTES_MAX);
            if dead.is_empty() {
                break;
            }
            let tombstones: Vec<(&str, Option<&[u8]>)> =
                dead.iter().map(|key| (key.as_str(), None)).collect();
            self.write(&tombstones, now_ms).await?;
            self.index.forget_garbage(dead.len());
        }
        weir_broker::failpoint!("command.forget.after").map_err(|e| self.storage_error(e))
    }

    fn storage_error(&self, source: weir_broker::error::Error) -> CommandLogError {
        CommandLogError::Storage { topic: self.topic.clone(), source }
    }

    /// Writes records as one batch; gives the offset of the first.
    async fn write(&mut self, records: &[(&str, Option<&[u8]>)], now_ms: i64) -> Result<i64> {
        let mut builder = RecordBatchBuilder::new(BatchOptions::default());
        for (key, value) in records {
            builder.append(now_ms, Some(key.as_bytes()), *value, &[]);
        }
        let encode_error = |source| CommandLogError::Encode { topic: self.topic.clone(), source };
        let batch: Bytes = builder.build().map_err(encode_error)?;
        let partition = TopicPartition::new(self.topic.as_str(), 0);
        let producer = self.producer.as_mut().ok_or(CommandLogError::Damaged)?;
        let sent = match producer.send(vec![(partition, vec![batch])]).await {
            Ok(sent) => sent,
            Err(source) => {
                // Its sequence is unknown now: the next command needs a new producer id.
                if let Ok(renewed) = IdempotentProducer::init(Arc::clone(&self.transport)).await {
                    *producer = renewed;
                }
                return Err(CommandLogError::Broker { topic: self.topic.clone(), source });
            }
        };
        let offset = sent.first().map_or(self.next_offset, |b| b.base_offset);
        if offset != self.next_offset {
            tracing::warn!(
                topic = self.topic,
                expected = self.next_offset,
                offset,
                "another client writes the command topic: the next start may be degraded"
            );
        }
        self.next_offset = offset + records.len() as i64;
        Ok(offset)
    }
}

/// Keys are unique per command, so that compaction keeps all that were not forgotten.
fn key_of(offset: i64, id: &str) -> String {
    format!("{offset}/{id}")
}
