//! Reading and writing the command topic.
//!
//! Invariant: a command is durable before anything of it is applied, and commands are applied in the order of their
//! offsets. The topic is compacted; every command has a key of its own, and commands without effect any more are
//! deleted by tombstones (see [`crate::command::compact`]).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use weir_broker::client::admin::Admin;
use weir_broker::client::error::ClientError;
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::reader::{FetchOptions, Reader};
use weir_broker::client::transport::Transport;
use weir_broker::ids::TopicPartition;
use weir_broker::log::access::Isolation;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};
use weir_broker::record::compression::DecompressBuf;

use crate::command::record::{Command, RECORD_VERSION};

/// Why the command topic cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CommandLogError {
    #[error("command topic \"{topic}\" cannot be used")]
    Broker {
        topic: String,
        #[source]
        source: ClientError,
    },
    #[error("the command at offset {offset} of topic \"{topic}\" is not readable: {reason}")]
    Corrupt { topic: String, offset: i64, reason: String },
    #[error(
        "the command at offset {offset} of topic \"{topic}\" has version {version}, this Weir reads up to {RECORD_VERSION}"
    )]
    Version { topic: String, offset: i64, version: u32 },
}

type Result<T> = std::result::Result<T, CommandLogError>;

/// The topic and its only writer.
pub struct CommandLog {
    topic: String,
    transport: Arc<dyn Transport>,
    producer: IdempotentProducer,
    next_offset: i64,
}

impl fmt::Debug for CommandLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandLog")
            .field("topic", &self.topic)
            .field("next_offset", &self.next_offset)
            .finish()
    }
}

/// A command with its place in the topic.
#[derive(Clone, Debug)]
pub struct StoredCommand {
    pub offset: i64,
    pub command: Command,
}

/// `_confluent-ksql-<service id>_command_topic`
pub fn topic_name(service_id: &str) -> String {
    format!("_confluent-ksql-{service_id}_command_topic")
}

impl CommandLog {
    /// Makes the topic if it is missing, and reads every command in order.
    ///
    /// Errors: `Corrupt` and `Version` refuse to start rather than apply part of what was meant.
    pub async fn open(
        transport: Arc<dyn Transport>,
        service_id: &str,
    ) -> Result<(CommandLog, Vec<StoredCommand>)> {
        let topic = topic_name(service_id);
        let broker_error = |source| CommandLogError::Broker { topic: topic.clone(), source };
        let configs: BTreeMap<String, String> = [("cleanup.policy", "compact"), ("retention.ms", "-1")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
        match Admin::new(Arc::clone(&transport)).create_topic(&topic, 1, &configs).await {
            Ok(()) => {}
            Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => {}
            Err(error) => return Err(broker_error(error)),
        }
        let (commands, next_offset) = read_all(&transport, &topic).await?;
        let producer = IdempotentProducer::init(Arc::clone(&transport)).await.map_err(broker_error)?;
        Ok((CommandLog { topic: topic.clone(), transport, producer, next_offset }, commands))
    }

    /// The offset the next command gets; query ids carry it.
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Writes a command; it is durable when this returns its offset.
    pub async fn append(&mut self, command: &Command, now_ms: i64) -> Result<i64> {
        let value = serde_json::to_vec(command).expect("commands have string keys only");
        self.write(&key_of(self.next_offset, &command.id), Some(&value), now_ms).await
    }

    /// Deletes commands that have no effect any more.
    pub async fn forget(&mut self, commands: &[&StoredCommand], now_ms: i64) -> Result<()> {
        for stored in commands {
            self.write(&key_of(stored.offset, &stored.command.id), None, now_ms).await?;
        }
        Ok(())
    }

    async fn write(&mut self, key: &str, value: Option<&[u8]>, now_ms: i64) -> Result<i64> {
        let mut builder = RecordBatchBuilder::new(BatchOptions::default());
        let error = |source| CommandLogError::Broker { topic: self.topic.clone(), source };
        builder.append(now_ms, Some(key.as_bytes()), value, &[]);
        let batch: Bytes = builder.build().map_err(|e| CommandLogError::Corrupt {
            topic: self.topic.clone(),
            offset: self.next_offset,
            reason: e.to_string(),
        })?;
        let partition = TopicPartition::new(self.topic.as_str(), 0);
        let sent = match self.producer.send(vec![(partition, vec![batch])]).await {
            Ok(sent) => sent,
            Err(source) => {
                // Its sequence is unknown now: the next command needs a new producer id.
                if let Ok(producer) = IdempotentProducer::init(Arc::clone(&self.transport)).await {
                    self.producer = producer;
                }
                return Err(error(source));
            }
        };
        let offset = sent.first().map_or(self.next_offset, |b| b.base_offset);
        self.next_offset = offset + 1;
        Ok(offset)
    }
}

/// Keys are unique per command, so that compaction keeps all that were not forgotten.
fn key_of(offset: i64, id: &str) -> String {
    format!("{offset}/{id}")
}

async fn read_all(transport: &Arc<dyn Transport>, topic: &str) -> Result<(Vec<StoredCommand>, i64)> {
    let reader = Reader::new(Arc::clone(transport));
    let partition = TopicPartition::new(topic, 0);
    let options = FetchOptions {
        isolation: Isolation::ReadUncommitted,
        wait_max: std::time::Duration::ZERO,
        partition_bytes_max: 8 << 20,
        ..FetchOptions::default()
    };
    let mut commands: BTreeMap<String, StoredCommand> = BTreeMap::new();
    let mut offset = 0;
    loop {
        let error = |source| CommandLogError::Broker { topic: topic.to_owned(), source };
        let mut fetched = reader.fetch(&[(partition.clone(), offset)], &options).await.map_err(error)?;
        let Some((_, outcome)) = fetched.pop() else { break };
        let records = match outcome {
            Ok(records) => records,
            Err(e) if e.code() == Some(ErrorCode::OffsetOutOfRange) && offset == 0 => break,
            Err(e) => return Err(error(e)),
        };
        for batch in &records.batches {
            read_batch(topic, batch, offset, &mut commands)?;
        }
        offset = records.next_offset.max(offset);
        if offset >= records.high_watermark {
            break;
        }
    }
    let mut commands: Vec<StoredCommand> = commands.into_values().collect();
    commands.sort_by_key(|c| c.offset);
    Ok((commands, offset))
}

fn read_batch(
    topic: &str,
    batch: &weir_broker::record::batch::RecordBatch,
    from: i64,
    commands: &mut BTreeMap<String, StoredCommand>,
) -> Result<()> {
    let corrupt =
        |offset, reason: String| CommandLogError::Corrupt { topic: topic.to_owned(), offset, reason };
    let mut buffer = DecompressBuf::with_limit(64 << 20);
    let records = batch.records(&mut buffer).map_err(|e| corrupt(batch.base_offset(), e.to_string()))?;
    for record in records {
        let record = record.map_err(|e| corrupt(batch.base_offset(), e.to_string()))?;
        if record.offset < from {
            continue;
        }
        let key = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
        let Some(value) = record.value else {
            commands.remove(&key);
            continue;
        };
        let version: VersionOnly =
            serde_json::from_slice(value).map_err(|e| corrupt(record.offset, e.to_string()))?;
        if version.version > RECORD_VERSION {
            return Err(CommandLogError::Version {
                topic: topic.to_owned(),
                offset: record.offset,
                version: version.version,
            });
        }
        let command: Command =
            serde_json::from_slice(value).map_err(|e| corrupt(record.offset, e.to_string()))?;
        commands.insert(key, StoredCommand { offset: record.offset, command });
    }
    Ok(())
}

#[derive(serde::Deserialize)]
struct VersionOnly {
    version: u32,
}
