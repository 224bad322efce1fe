//! Records read, and sent in batches.

use std::io::Write;

use tokio::sync::mpsc;
use weir_broker::client::producer::batching::BatchingProducer;
use weir_broker::client::producer::config::ProducerConfig;
use weir_broker::client::producer::error::ProducerError;
use weir_broker::client::producer::record::{ProducerRecord, ProducerTopic, TopicIndex};
use weir_broker::client::producer::transactional::TransactionalProducer;
use weir_broker::env::clock::{Clock, SystemClock};
use weir_broker::env::spawn;
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
const MAX_MESSAGE_BYTES: &str = "max.message.bytes";

/// Reads, cuts and sends as planned, until the input ends or Ctrl-C.
pub async fn write(connection: Connection, mut plan: WritePlan) -> Result<()> {
    let mut sender = Sender::new(&connection, &plan).await?;
    if let PartitionChoice::Only(partition) = plan.partition {
        sender.check_partition(partition)?;
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

/// Sends records to one topic.
struct Sender {
    producer: BatchingProducer,
    topic: TopicIndex,
    description: ProducerTopic,
    in_transaction: bool,
    sent: u64,
}

impl Sender {
    async fn new(connection: &Connection, plan: &WritePlan) -> Result<Sender> {
        let partitions = connection.topic(&plan.topic).await?.partitions;
        let mut description = ProducerTopic::new(&plan.topic, partitions);
        // Those who may write need not be allowed to read settings.
        let settings = connection.admin.describe_configs(&plan.topic).await.unwrap_or_default();
        if let Some(bytes_max) = settings.get(MAX_MESSAGE_BYTES).and_then(|value| value.parse().ok()) {
            description.batch_bytes_max = bytes_max;
        }
        let config = ProducerConfig { compression: plan.compression, ..ProducerConfig::default() };
        let transport = connection.transport.clone();
        let producer = match &plan.transaction {
            None => BatchingProducer::start(transport, config).await?,
            Some(Transaction { id, timeout_ms }) => {
                let producer = TransactionalProducer::init(transport, id, *timeout_ms).await?;
                BatchingProducer::transactional(producer, config)
            }
        };
        Ok(Sender {
            topic: producer.add_topic(description.clone()),
            producer,
            description,
            in_transaction: plan.transaction.is_some(),
            sent: 0,
        })
    }

    fn check_partition(&self, partition: i32) -> Result<()> {
        if (0..self.description.partitions).contains(&partition) {
            return Ok(());
        }
        Err(ToolError::NoPartition {
            topic: self.description.name.to_string(),
            partition,
            last: self.description.partitions - 1,
        })
    }

    async fn send(
        &mut self,
        record: InputRecord,
        choice: PartitionChoice,
        now_ms: i64,
        place: &str,
    ) -> Result<()> {
        let headers: Vec<Header<'_>> = record
            .headers
            .iter()
            .map(|(key, value)| Header { key: key.as_str(), value: value.as_deref() })
            .collect();
        let record = ProducerRecord {
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
            timestamp: record.timestamp.unwrap_or(now_ms),
            partition: record.partition.or(match choice {
                PartitionChoice::ByKey => None,
                PartitionChoice::Only(partition) => Some(partition),
                PartitionChoice::Random => Some(rand::random_range(0..self.description.partitions.max(1))),
            }),
        };
        let sent = self.producer.send(self.topic, &record).await;
        sent.map_err(|error| failure(error, place))?;
        self.sent += 1;
        Ok(())
    }

    /// Sends what is gathered and waits until all of it is durable.
    async fn flush(&self) -> Result<()> {
        self.producer.flush().await.map_err(|error| failure(error, &self.description.name))
    }

    /// Commits what was sent, or aborts it after a failure or Ctrl-C. Without a transaction what was read is sent, whatever
    /// came after it.
    async fn end(&self, outcome: Result<End>) -> Result<()> {
        let is_whole = matches!(outcome, Ok(End::Input));
        let flushed = match outcome {
            Err(ToolError::Client(_) | ToolError::Transport(_)) => Ok(()),
            _ => self.flush().await,
        };
        if self.in_transaction {
            if is_whole && flushed.is_ok() {
                let committed = self.producer.commit(None).await;
                committed.map_err(|error| failure(error, &self.description.name))?;
            } else {
                // The first failure is reported; the broker aborts the open transaction.
                let _ = self.producer.abort().await;
                outcome?;
                flushed?;
                return Err(ToolError::Aborted);
            }
        }
        outcome?;
        flushed
    }
}

/// The error of the record that was read at `place`, given the producer's failure.
fn failure(error: ProducerError, place: &str) -> ToolError {
    match error {
        ProducerError::RecordTooLarge { topic, bytes, bytes_max } => {
            ToolError::TooLarge { place: place.to_owned(), bytes, topic: topic.to_string(), bytes_max }
        }
        ProducerError::NoPartition { topic, partition, last } => {
            ToolError::NoPartition { topic: topic.to_string(), partition, last }
        }
        ProducerError::Client(error) => ToolError::Client(error),
        ProducerError::Aborted | ProducerError::NotTransactional | ProducerError::Closed => {
            ToolError::Input { place: place.to_owned(), message: error.to_string() }
        }
    }
}
