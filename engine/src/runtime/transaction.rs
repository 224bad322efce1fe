//! The transactions of one query on one worker, one after the other, beside the worker's thread.
//!
//! Transactions of different queries run concurrently and so share the rounds of the disk. What a worker produces after it
//! asked for a commit belongs to the next transaction.

use std::collections::BTreeSet;
use std::sync::Arc;

use crossbeam_channel::Sender;
use tokio::sync::mpsc;
use weir_broker::client::error::ClientError;
use weir_broker::client::producer::careful::RefusedRecord;
use weir_broker::client::producer::pipeline::{PartitionBatches, ProducedBatch};
use weir_broker::client::producer::progress::ProducerProgress;
use weir_broker::client::producer::transactional::{GroupPosition, TransactionalProducer};

use crate::runtime::messages::{AttemptId, WorkerMessage};
use crate::runtime::supervise::{Waiting, supervised};

/// Commands that may wait. Policy when full: the worker stops processing the query.
const QUEUE_MAX: usize = 256;
/// Room that is kept for the commit command and the last batches before it.
const QUEUE_RESERVED: usize = 2;

/// Records that the broker refuses for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusals {
    /// The first ends the transaction.
    Fail,
    /// Those for these topics are left out. Batches are sent one at a time.
    LeaveOut(Arc<BTreeSet<Arc<str>>>),
}

/// A transaction that readers see.
#[derive(Debug, Default)]
pub(crate) struct CommittedTransaction {
    pub(crate) produced: Vec<ProducedBatch>,
    /// Records that were left out.
    pub(crate) refused: Vec<RefusedRecord>,
}

#[derive(Debug)]
enum Command {
    Produce(PartitionBatches),
    Commit(GroupPosition),
}

/// Hands batches and commits to a transaction loop. Dropping it aborts what is open.
#[derive(Debug)]
pub(crate) struct TransactionSender {
    commands: mpsc::Sender<Command>,
}

impl TransactionSender {
    /// True if batches can be handed over without eating into the room of the commit.
    pub(crate) fn has_room(&self) -> bool {
        self.commands.capacity() > QUEUE_RESERVED
    }

    /// False if the loop has ended; it has reported why.
    pub(crate) fn produce(&self, batches: PartitionBatches) -> bool {
        batches.is_empty() || self.commands.try_send(Command::Produce(batches)).is_ok()
    }

    /// Asks for the end of the transaction. The answer is [`WorkerMessage::Committed`]. False if the loop has ended.
    pub(crate) fn commit(&self, position: GroupPosition) -> bool {
        self.commands.try_send(Command::Commit(position)).is_ok()
    }
}

/// Starts the loop of a producer as soon as it is initialised; what is handed over before waits. Must be called within a tokio
/// runtime.
pub(crate) fn start(
    producer: impl Future<Output = Result<TransactionalProducer, ClientError>> + Send + 'static,
    refusals: Refusals,
    attempt: AttemptId,
    inbox: Sender<WorkerMessage>,
) -> TransactionSender {
    let (sender, commands) = mpsc::channel(QUEUE_MAX);
    let worker = inbox.clone();
    let work = async move {
        match producer.await {
            Ok(producer) => run(producer, refusals, commands, attempt, inbox).await,
            Err(error) => {
                let _ = inbox.send(WorkerMessage::Committed { attempt, outcome: Err(error) });
            }
        }
    };
    let work = supervised("transaction loop", Waiting::Attempt(attempt), worker, work);
    weir_broker::env::spawn::task("transaction", work);
    TransactionSender { commands: sender }
}

async fn run(
    mut producer: TransactionalProducer,
    refusals: Refusals,
    mut commands: mpsc::Receiver<Command>,
    attempt: AttemptId,
    inbox: Sender<WorkerMessage>,
) {
    let (mut failure, mut refused) = (None, Vec::new());
    while let Some(command) = commands.recv().await {
        let outcome = match command {
            Command::Produce(batches) => match &refusals {
                Refusals::Fail => producer.produce(batches).await,
                Refusals::LeaveOut(topics) => {
                    let left_out = producer.produce_carefully(batches, |topic| topics.contains(topic)).await;
                    left_out.map(|records| refused.extend(records))
                }
            },
            Command::Commit(position) => match producer.commit(Some(&position)).await {
                Ok(produced) => {
                    // Fails only if the worker is gone.
                    let refused = std::mem::take(&mut refused);
                    let outcome = Ok(CommittedTransaction { produced, refused });
                    let _ = inbox.send(WorkerMessage::Committed { attempt, outcome });
                    Ok(())
                }
                Err(error) => Err(error),
            },
        };
        if let Err(error) = outcome {
            failure = Some(error);
            break;
        }
    }
    commands.close();
    abort(&mut producer).await;
    if let Some(error) = failure {
        let _ = inbox.send(WorkerMessage::Committed { attempt, outcome: Err(error) });
    }
}

async fn abort(producer: &mut TransactionalProducer) {
    match producer.abort().await {
        Ok(()) => {}
        // A successor has taken over and has aborted it.
        Err(error) if error.is_fenced() => {}
        Err(error) => tracing::warn!(%error, "open transaction not aborted, it will time out"),
    }
}

/// As [`TransactionalProducer::init_observed`].
pub(crate) async fn init(
    transport: Arc<dyn weir_broker::client::transport::Transport>,
    transactional_id: &str,
    timeout_ms: i32,
    progress: Arc<ProducerProgress>,
) -> Result<TransactionalProducer, ClientError> {
    TransactionalProducer::init_observed(transport, transactional_id, timeout_ms, progress).await
}
