//! A producer that gathers records into batches, sends them in the background and bounds the memory of both.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::accumulator::Tracking;
use super::buffer::SharedBuffer;
use super::config::ProducerConfig;
use super::delivery::Delivery;
use super::error::ProducerError;
use super::record::{ProducerRecord, ProducerTopic, TopicIndex};
use super::sender::{BatchSender, Command};
use super::sink::Sink;
use super::transactional::{GroupPosition, TransactionalProducer};
use crate::client::error::Result;
use crate::client::transport::Transport;
use crate::env::spawn;

/// Commands that wait for the sending task.
const COMMANDS_MAX: usize = 16;

/// Partitions records as Kafka's producers do and sends them in batches.
///
/// A batch is sent when it is full, when it has lingered long enough, when memory is used up, or with a flush. Records
/// of a partition are stored in the order in which they were sent. After a failed batch this order cannot be kept:
/// all records that are not stored fail with its error, and none is taken any more. Only the abort of a transaction
/// begins anew.
///
/// Dropping the producer sends what is buffered, without a report; a transaction is aborted.
pub struct BatchingProducer {
    buffer: Arc<SharedBuffer>,
    commands: mpsc::Sender<Command>,
}

impl fmt::Debug for BatchingProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchingProducer").finish_non_exhaustive()
    }
}

impl BatchingProducer {
    /// A producer without transactions: idempotent with `Acks::All`.
    ///
    /// Threads: within a tokio runtime, on which batches are sent.
    pub async fn start(transport: Arc<dyn Transport>, config: ProducerConfig) -> Result<Self> {
        let sink = Sink::open(transport, config.acks).await?;
        Ok(Self::with_sink(sink, config))
    }

    /// A producer whose records appear with [`BatchingProducer::commit`], over a producer that was initialized.
    ///
    /// Threads: as with [`BatchingProducer::start`].
    #[must_use]
    pub fn transactional(producer: TransactionalProducer, config: ProducerConfig) -> Self {
        Self::with_sink(Sink::Transactional(Box::new(producer)), config)
    }

    fn with_sink(sink: Sink, config: ProducerConfig) -> Self {
        let buffer = Arc::new(SharedBuffer::new(config));
        let (commands, incoming) = mpsc::channel(COMMANDS_MAX);
        spawn::task("producer sender", BatchSender::new(Arc::clone(&buffer), sink, incoming).run());
        Self { buffer, commands }
    }

    /// A topic to send to, of which the producer keeps the batches. A number of partitions below 1 counts as 1.
    pub fn add_topic(&self, topic: ProducerTopic) -> TopicIndex {
        self.buffer.add_topic(topic)
    }

    /// Adds a record to a batch; waits only while memory is used up. `topic` must be of this producer.
    ///
    /// Errors: of this record; or the failure of an earlier batch.
    pub async fn send(&self, topic: TopicIndex, record: &ProducerRecord<'_>) -> Result<(), ProducerError> {
        if self.buffer.try_add(topic, record)? {
            return Ok(());
        }
        self.buffer.append_later(topic, record, Tracking::Untracked).await.map(|_| ())
    }

    /// As [`BatchingProducer::send`]; the outcome shows where the record is stored.
    pub async fn send_tracked(
        &self,
        topic: TopicIndex,
        record: &ProducerRecord<'_>,
    ) -> Result<Delivery, ProducerError> {
        let delivery = self.buffer.append(topic, record, Tracking::Tracked).await?;
        delivery.ok_or(ProducerError::Closed)
    }

    /// Sends all records of earlier calls and waits until they are acknowledged.
    pub async fn flush(&self) -> Result<(), ProducerError> {
        self.ask(Command::Flush).await
    }

    /// Sends all records and commits the transaction, with the offsets of a group if there are some.
    pub async fn commit(&self, position: Option<GroupPosition>) -> Result<(), ProducerError> {
        self.ask(|reply| Command::Commit(position, reply)).await
    }

    /// Takes back the transaction: its records are never seen. Records can be sent again, also after a failure.
    pub async fn abort(&self) -> Result<(), ProducerError> {
        self.ask(Command::Abort).await
    }

    /// Sends all records and waits until they are acknowledged. A transaction that was not committed is aborted.
    pub async fn close(self) -> Result<(), ProducerError> {
        self.ask(Command::Close).await
    }

    async fn ask(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<(), ProducerError>>) -> Command,
    ) -> Result<(), ProducerError> {
        let (reply, outcome) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| ProducerError::Closed)?;
        outcome.await.unwrap_or(Err(ProducerError::Closed))
    }
}

#[cfg(test)]
mod tests;
