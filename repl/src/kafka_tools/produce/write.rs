//! Records gathered into batches by partition, and sent.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use tokio::sync::mpsc;
use weir_broker::client::error::ClientError;
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::producer::partitioner::partition_for_key;
use weir_broker::client::producer::transactional::TransactionalProducer;
use weir_broker::client::transport::Transport;
use weir_broker::env::clock::{Clock, SystemClock};
use weir_broker::env::spawn;
use weir_broker::ids::TopicPartition;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};
use weir_broker::record::compression::Compression;
use weir_broker::record::reader::Header;

use crate::input::interrupts::Interrupts;
use crate::kafka_tools::connection::Connection;
use crate::kafka_tools::error::{Result, ToolError};
use crate::kafka_tools::produce::input::{Piece, read_pieces};
use crate::kafka_tools::produce::line_format::InputRecord;
use crate::kafka_tools::produce::plan::{PartitionChoice, Transaction, WritePlan};
use crate::kafka_tools::progress::Progress;
use crate::render::line;

/// Pieces read ahead of those being sent.
const PIECES_AHEAD_MAX: usize = 4_096;
/// Bytes of records at which a batch is sent.
const BATCH_BYTES: usize = 256 << 10;
/// Largest batch of a topic whose setting cannot be read.
const MESSAGE_BYTES_MAX: usize = 1_048_588;
const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
/// A batch's header, and a record's.
const BATCH_HEADER_BYTES: usize = 61;
const RECORD_HEADER_BYTES: usize = 32;

/// Reads, cuts and sends as planned, until the input ends or Ctrl-C.
pub async fn write(connection: Connection, mut plan: WritePlan) -> Result<()> {
    let mut sender = Sender::new(&connection, &plan).await?;
    if let PartitionChoice::Only(partition) = plan.partition {
        sender.check_partition(Some(partition))?;
    }
    let (sending, mut incoming) = mpsc::channel::<Piece>(PIECES_AHEAD_MAX);
    let (files, pieces) = (std::mem::take(&mut plan.files), plan.pieces.clone());
    // Reading blocks; the thread ends with its input, or with the process.
    let reading = spawn::thread("input", move || read_pieces(&files, &pieces, &sending));
    reading.map_err(|source| ToolError::Io { action: "read", path: "input".to_owned(), source })?;
    let progress = if plan.quiet { Progress::hidden() } else { Progress::of_input() };
    let outcome = send_all(&mut sender, &plan, &mut incoming, &progress).await;
    progress.end();
    sender.end(outcome).await?;
    if !plan.quiet {
        line::err(format_args!("{} record(s) written to {}", sender.sent, plan.topic));
    }
    Ok(())
}

/// Why no more is sent.
enum End {
    Input,
    Interrupted,
}

async fn send_all(
    sender: &mut Sender,
    plan: &WritePlan,
    incoming: &mut mpsc::Receiver<Piece>,
    progress: &Progress,
) -> Result<End> {
    let mut interrupts = Interrupts::watch_with_terminate();
    let clock = SystemClock::new();
    while plan.count.is_none_or(|count| sender.sent < count) {
        let next = match incoming.try_recv() {
            Ok(piece) => Some(piece),
            Err(_) => {
                // Nothing more for now: what is there goes out before waiting.
                sender.flush().await?;
                progress.set(sender.sent);
                tokio::select! {
                    next = incoming.recv() => next,
                    () = interrupts.next() => return Ok(End::Interrupted),
                }
            }
        };
        let Some(piece) = next else { break };
        let (place, bytes) = piece?;
        if plan.skip_empty && bytes.is_empty() {
            continue;
        }
        let record = plan.format.record(&bytes);
        let record = record.map_err(|message| ToolError::Input { place: place.clone(), message })?;
        if plan.tee {
            tee(&bytes);
        }
        sender.send(record, plan.partition, clock.now_ms(), &place).await?;
    }
    Ok(End::Input)
}

fn tee(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    // A closed pipe is no reason to stop producing.
    let _ = out.write_all(bytes).and_then(|()| out.write_all(b"\n"));
}

/// One producer or the other.
enum Producer {
    Idempotent(IdempotentProducer),
    Transactional(TransactionalProducer),
}

/// Gathers records into batches by partition.
struct Sender {
    producer: Producer,
    topic: Arc<str>,
    partitions: i32,
    compression: Compression,
    /// Bytes of a batch that the topic takes.
    batch_bytes_max: usize,
    batches: BTreeMap<i32, RecordBatchBuilder>,
    /// The partition of records without a key, until its batch is full.
    turn: i32,
    sent: u64,
}

impl Sender {
    async fn new(connection: &Connection, plan: &WritePlan) -> Result<Sender> {
        let partitions = connection.topic(&plan.topic).await?.partitions;
        // Those who may write need not be allowed to read settings.
        let settings = connection.admin.describe_configs(&plan.topic).await.unwrap_or_default();
        let bytes_max = settings.get(MAX_MESSAGE_BYTES).and_then(|value| value.parse().ok());
        let transport = connection.transport.clone();
        Ok(Sender {
            producer: Producer::init(transport, plan.transaction.as_ref()).await?,
            topic: plan.topic.as_str().into(),
            partitions,
            compression: plan.compression,
            batch_bytes_max: bytes_max.unwrap_or(MESSAGE_BYTES_MAX),
            batches: BTreeMap::new(),
            turn: rand::random_range(0..partitions.max(1)),
            sent: 0,
        })
    }

    fn check_partition(&self, partition: Option<i32>) -> Result<()> {
        match partition {
            Some(partition) if !(0..self.partitions).contains(&partition) => Err(ToolError::NoPartition {
                topic: self.topic.to_string(),
                partition,
                last: self.partitions - 1,
            }),
            _ => Ok(()),
        }
    }

    fn partition_of(&self, record: &InputRecord, choice: PartitionChoice) -> Result<i32> {
        self.check_partition(record.partition)?;
        Ok(match (record.partition, choice, &record.key) {
            (Some(partition), _, _) | (None, PartitionChoice::Only(partition), _) => partition,
            (None, PartitionChoice::ByKey, Some(key)) => partition_for_key(key, self.partitions),
            (None, PartitionChoice::ByKey, None) => self.turn,
            (None, PartitionChoice::Random, _) => rand::random_range(0..self.partitions.max(1)),
        })
    }

    async fn send(
        &mut self,
        record: InputRecord,
        choice: PartitionChoice,
        now_ms: i64,
        place: &str,
    ) -> Result<()> {
        let partition = self.partition_of(&record, choice)?;
        let record_bytes = size_of(&record);
        // A record that does not fit beside others goes alone.
        if self.batches.get(&partition).is_some_and(|b| b.size_bytes() + record_bytes > self.batch_bytes_max)
        {
            self.send_batch(partition).await?;
        }
        let options = BatchOptions { compression: self.compression, ..BatchOptions::default() };
        let builder = self.batches.entry(partition).or_insert_with(|| RecordBatchBuilder::new(options));
        let headers: Vec<Header<'_>> = record
            .headers
            .iter()
            .map(|(key, value)| Header { key: key.as_str(), value: value.as_deref() })
            .collect();
        let timestamp = record.timestamp.unwrap_or(now_ms);
        builder.append(timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
        let bytes = builder.size_bytes();
        if bytes > self.batch_bytes_max {
            self.send_large(partition, place).await?;
        } else if bytes >= BATCH_BYTES {
            self.send_batch(partition).await?;
        }
        self.sent += 1;
        Ok(())
    }

    /// Sends a batch that its topic takes only if compression makes it small enough.
    async fn send_large(&mut self, partition: i32, place: &str) -> Result<()> {
        let Some(builder) = self.batches.remove(&partition) else { return Ok(()) };
        let batch = builder.build().map_err(ClientError::Batch)?;
        if batch.len() > self.batch_bytes_max {
            return Err(ToolError::TooLarge {
                place: place.to_owned(),
                bytes: batch.len(),
                topic: self.topic.to_string(),
                bytes_max: self.batch_bytes_max,
            });
        }
        self.produce(partition, batch).await
    }

    async fn send_batch(&mut self, partition: i32) -> Result<()> {
        if partition == self.turn {
            self.turn = (self.turn + 1) % self.partitions.max(1);
        }
        let Some(builder) = self.batches.remove(&partition) else { return Ok(()) };
        let batch = builder.build().map_err(ClientError::Batch)?;
        self.produce(partition, batch).await
    }

    async fn produce(&mut self, partition: i32, batch: bytes::Bytes) -> Result<()> {
        let batches = vec![(TopicPartition::new(self.topic.clone(), partition), vec![batch])];
        Ok(match &mut self.producer {
            Producer::Idempotent(producer) => producer.produce(batches).await,
            Producer::Transactional(producer) => producer.produce(batches).await,
        }?)
    }

    /// Sends what is gathered and, outside transactions, waits until all of it is durable.
    async fn flush(&mut self) -> Result<()> {
        let partitions: Vec<i32> = self.batches.keys().copied().collect();
        for partition in partitions {
            self.send_batch(partition).await?;
        }
        if let Producer::Idempotent(producer) = &mut self.producer {
            producer.flush().await?;
        }
        Ok(())
    }

    /// Commits what was sent, or aborts it after a failure or Ctrl-C. Without a transaction what was read is sent, whatever
    /// came after it.
    async fn end(&mut self, outcome: Result<End>) -> Result<()> {
        let is_whole = matches!(outcome, Ok(End::Input));
        let flushed = match outcome {
            Err(ToolError::Client(_) | ToolError::Transport(_)) => Ok(()),
            _ => self.flush().await,
        };
        if let Producer::Transactional(producer) = &mut self.producer {
            if is_whole && flushed.is_ok() {
                producer.commit(None).await?;
            } else {
                // The first failure is reported; the broker aborts the open transaction.
                let _ = producer.abort().await;
                outcome?;
                flushed?;
                return Err(ToolError::Aborted);
            }
        }
        outcome?;
        flushed
    }
}

/// Bytes of a record in a batch, or a little more.
fn size_of(record: &InputRecord) -> usize {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let headers: usize =
        record.headers.iter().map(|(name, value)| name.len() + length(value) + RECORD_HEADER_BYTES).sum();
    RECORD_HEADER_BYTES + BATCH_HEADER_BYTES + length(&record.key) + length(&record.value) + headers
}

impl Producer {
    async fn init(transport: Arc<dyn Transport>, transaction: Option<&Transaction>) -> Result<Producer> {
        Ok(match transaction {
            None => Producer::Idempotent(IdempotentProducer::init(transport).await?),
            Some(Transaction { id, timeout_ms }) => {
                let producer = TransactionalProducer::init(transport, id, *timeout_ms).await?;
                Producer::Transactional(producer)
            }
        })
    }
}
