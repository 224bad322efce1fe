//! What a worker is told, and what comes back from the broker.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use tokio::sync::mpsc;
use weir_broker::client::consumer::reader::FetchedPartitions;
use weir_broker::client::error::ClientError;
use weir_broker::ids::{Offset, TopicPartition};

use crate::error::query::RuntimeError;
use crate::push::subscription::PushSender;
use crate::query::handle::QueryHandle;
use crate::runtime::supervise::Waiting;
use crate::runtime::topic_limits::TopicLimits;
use crate::runtime::transaction::CommittedTransaction;
use crate::task::stream_task::TaskId;

/// One start of the tasks of a query on one worker. Answers to earlier starts carry other ids and are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct AttemptId(pub(crate) u64);

/// Dropped when the tasks of a query have ended, which tells the receiver.
pub(crate) type Stopped = mpsc::Sender<()>;

/// The tasks of a query that a worker runs.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) query: Arc<QueryHandle>,
    pub(crate) tasks: Vec<TaskId>,
    pub(crate) mode: Mode,
}

/// How a query's output leaves.
#[derive(Debug)]
pub(crate) enum Mode {
    /// In transactions with the source offsets; state is logged and kept on disk.
    Persistent,
    /// To one client; state is in memory, repartitioned rows stay in the process.
    Transient(Box<TransientMode>),
}

/// Where a transient query begins, ends and sends its rows.
#[derive(Debug)]
pub(crate) struct TransientMode {
    pub(crate) sender: PushSender,
    pub(crate) from: BTreeMap<TopicPartition, Offset>,
    /// Set if the query ends where its topics ended when it started.
    pub(crate) to: Option<BTreeMap<TopicPartition, Offset>>,
}

/// Where the tasks of a query begin, as found out beside the worker.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// First offsets to read, of every input partition.
    pub(crate) from: Vec<(TopicPartition, Offset)>,
    /// First and end offset of every changelog partition.
    pub(crate) changelogs: Vec<(TopicPartition, Offset, Offset)>,
    /// Of the topics that the query writes.
    pub(crate) limits: BTreeMap<Arc<str>, TopicLimits>,
    pub(crate) transaction: Option<crate::runtime::transaction::TransactionSender>,
}

/// Everything a worker reacts to. The inbox holds at most one answer per request under way, so it is bounded by
/// what the worker itself started, plus commands.
#[derive(Debug)]
pub(crate) enum WorkerMessage {
    Start(Assignment),
    /// A topic that a transient query reads was given partitions.
    ReadPartitions {
        query_id: String,
        topic: Arc<str>,
        partitions: Range<i32>,
    },
    /// Commits what is done, then ends the query's tasks; `done` is dropped to report it.
    Stop {
        query_id: String,
        done: Stopped,
    },
    Prepared {
        attempt: AttemptId,
        outcome: Result<Box<Prepared>, RuntimeError>,
    },
    Fetched {
        fetch: u64,
        outcome: Result<FetchedPartitions, ClientError>,
    },
    ChangelogFetched {
        attempt: AttemptId,
        outcome: Result<FetchedPartitions, ClientError>,
    },
    Committed {
        attempt: AttemptId,
        outcome: Result<CommittedTransaction, ClientError>,
    },
    /// Where to go on in a partition whose records at the wanted offset are gone.
    Found {
        attempt: AttemptId,
        partition: TopicPartition,
        outcome: Result<Offset, RuntimeError>,
    },
    /// A loop beside the worker is gone.
    LoopPanicked {
        name: &'static str,
        waiting: Waiting,
        message: String,
    },
    /// Something changed that the worker should look at: a query was paused or failed, a client made room.
    Wake,
    ShutDown,
}
