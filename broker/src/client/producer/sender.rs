//! The task of a batching producer: sends closed batches and settles their answers.
//!
//! ```text
//!  running --refusal, broker lost for good--> failed --abort of its transaction--> running
//!     |                                         |
//!     +------------ closed or dropped ----------+--> ended
//! ```

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use tokio::sync::{mpsc, oneshot};

use super::accumulator::ClosedBatch;
use super::buffer::SharedBuffer;
use super::delivery::BatchOutcome;
use super::error::ProducerError;
use super::sink::Sink;
use super::transactional::GroupPosition;
use crate::client::transport::TransportError;
use crate::ids::TopicPartition;
use crate::protocol::response::Response;

/// Bytes of batches that go into a request, or a little more (`max.request.size`).
const REQUEST_BYTES: usize = 1 << 20;
/// Batches that are sent before commands and answers get their turn.
const BATCHES_AT_ONCE: usize = 64;

type Reply = oneshot::Sender<Result<(), ProducerError>>;

/// A request of the producer's owner.
#[derive(Debug)]
pub(crate) enum Command {
    Flush(Reply),
    Commit(Option<GroupPosition>, Reply),
    Abort(Reply),
    Close(Reply),
}

enum Event {
    /// None: the producer was dropped.
    Command(Option<Command>),
    Answer(Result<Response, TransportError>),
    Batches,
}

/// A batch that was handed over and is not acknowledged.
#[derive(Debug)]
struct Undelivered {
    charged_bytes: usize,
    outcome: Option<BatchOutcome>,
}

/// Sends the batches of one producer.
#[derive(Debug)]
pub(crate) struct BatchSender {
    buffer: Arc<SharedBuffer>,
    sink: Sink,
    commands: mpsc::Receiver<Command>,
    /// In the order in which they were handed over.
    undelivered: HashMap<TopicPartition, VecDeque<Undelivered>>,
    /// Nothing is sent any more.
    has_failed: bool,
}

/// However the task ends, records wait for nothing.
impl Drop for BatchSender {
    fn drop(&mut self) {
        self.give_up(&ProducerError::Closed);
        self.buffer.fail(ProducerError::Closed);
    }
}

impl BatchSender {
    pub(crate) fn new(buffer: Arc<SharedBuffer>, sink: Sink, commands: mpsc::Receiver<Command>) -> Self {
        Self { buffer, sink, commands, undelivered: HashMap::new(), has_failed: false }
    }

    /// Runs until the producer is closed or dropped.
    pub(crate) async fn run(mut self) {
        loop {
            let sent = self.send_closed(BATCHES_AT_ONCE).await;
            self.note(&sent);
            match self.next_event().await {
                Event::Batches => {}
                Event::Answer(answer) => {
                    let settled = self.settle(answer).await;
                    self.note(&settled);
                }
                Event::Command(Some(Command::Flush(reply))) => {
                    let flushed = self.flush().await;
                    self.note(&flushed);
                    respond(reply, flushed);
                }
                Event::Command(Some(Command::Commit(position, reply))) => {
                    let committed = self.commit(position.as_ref()).await;
                    self.note(&committed);
                    respond(reply, committed);
                }
                Event::Command(Some(Command::Abort(reply))) => {
                    let aborted = self.abort().await;
                    respond(reply, aborted);
                }
                Event::Command(Some(Command::Close(reply))) => {
                    let ended = self.end().await;
                    respond(reply, ended);
                    return;
                }
                Event::Command(None) => {
                    // The outcome has no reader.
                    let _ = self.end().await;
                    return;
                }
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        let next_batch_in = self.buffer.next_batch_in();
        // A timer would take a millisecond for it.
        let has_batch = next_batch_in.is_some_and(|wait| wait.is_zero());
        tokio::select! {
            command = self.commands.recv() => Event::Command(command),
            answer = self.sink.pipeline().next_answer(), if !self.has_failed => Event::Answer(answer),
            () = std::future::ready(()), if has_batch => Event::Batches,
            () = self.buffer.work() => Event::Batches,
            () = tokio::time::sleep(next_batch_in.unwrap_or_default()), if next_batch_in.is_some() => {
                Event::Batches
            }
        }
    }

    /// Sends closed batches, `count` at most or a few more, while there are some.
    async fn send_closed(&mut self, count: usize) -> Result<(), ProducerError> {
        let mut left = count;
        while left > 0 {
            let batches = self.buffer.take(REQUEST_BYTES);
            if batches.is_empty() {
                break;
            }
            left = left.saturating_sub(batches.len());
            self.send(batches).await?;
            while let Some(answer) = self.sink.pipeline().next_answer().now_or_never() {
                self.sink.settle_with(answer).await?;
            }
            self.deliver();
        }
        Ok(())
    }

    async fn send(&mut self, closed: Vec<ClosedBatch>) -> Result<(), ProducerError> {
        let mut batches: BTreeMap<TopicPartition, Vec<Bytes>> = BTreeMap::new();
        for batch in closed {
            let (partition, charged_bytes) = (batch.partition.clone(), batch.charged_bytes);
            let (bytes, outcome) = batch.encode()?;
            let undelivered = self.undelivered.entry(partition.clone()).or_default();
            undelivered.push_back(Undelivered { charged_bytes, outcome });
            batches.entry(partition).or_default().push(bytes);
        }
        Ok(self.sink.produce(batches.into_iter().collect()).await?)
    }

    async fn settle(&mut self, answer: Result<Response, TransportError>) -> Result<(), ProducerError> {
        self.sink.settle_with(answer).await?;
        self.deliver();
        Ok(())
    }

    /// Reports what was settled, and releases its memory.
    fn deliver(&mut self) {
        let mut released = 0;
        for batch in self.sink.pipeline().take_settled() {
            let Some(delivered) = self.undelivered.get_mut(&batch.partition).and_then(VecDeque::pop_front)
            else {
                continue;
            };
            released += delivered.charged_bytes;
            if let Some(outcome) = delivered.outcome {
                outcome.settle(Ok(Some(batch.base_offset).filter(|offset| *offset >= 0)));
            }
        }
        self.buffer.release(released);
    }

    /// Sends everything that was appended before, and waits until it is acknowledged.
    async fn flush(&mut self) -> Result<(), ProducerError> {
        if let Some(failure) = self.buffer.failure() {
            return Err(failure);
        }
        let closed = self.buffer.close_all();
        self.send_closed(closed).await?;
        while self.sink.pipeline().has_in_flight() {
            let answer = self.sink.pipeline().next_answer().await;
            self.settle(answer).await?;
        }
        Ok(())
    }

    async fn commit(&mut self, position: Option<&GroupPosition>) -> Result<(), ProducerError> {
        if !self.sink.is_transactional() {
            return Err(ProducerError::NotTransactional);
        }
        self.flush().await?;
        self.sink.commit(position).await.map(|_| ())
    }

    /// Takes back the transaction. After a failure records are taken again.
    async fn abort(&mut self) -> Result<(), ProducerError> {
        if !self.sink.is_transactional() {
            return Err(ProducerError::NotTransactional);
        }
        // What is appended from here on belongs to the next transaction; the memory bound counts anew.
        self.give_up(&ProducerError::Aborted);
        self.buffer.fail(ProducerError::Aborted);
        let aborted = self.sink.abort().await;
        self.note(&aborted);
        if aborted.is_ok() {
            self.buffer.restart(&ProducerError::Aborted);
            self.has_failed = false;
        }
        aborted
    }

    /// Ends a transaction as aborted; without one, sends what is left.
    async fn end(&mut self) -> Result<(), ProducerError> {
        if self.sink.is_transactional() { self.abort().await } else { self.flush().await }
    }

    /// After a failure nothing is sent any more: the order could not be kept.
    fn note(&mut self, outcome: &Result<(), ProducerError>) {
        if let Err(error) = outcome
            && !matches!(error, ProducerError::NotTransactional)
            && !self.has_failed
        {
            self.deliver();
            self.has_failed = true;
            self.give_up(error);
            self.buffer.fail(error.clone());
        }
    }

    fn give_up(&mut self, cause: &ProducerError) {
        let batches = self.undelivered.drain().flat_map(|(_, batches)| batches);
        for outcome in batches.filter_map(|batch| batch.outcome) {
            outcome.settle(Err(cause.clone()));
        }
    }
}

fn respond(reply: Reply, outcome: Result<(), ProducerError>) {
    // The caller may have stopped waiting.
    let _ = reply.send(outcome);
}
