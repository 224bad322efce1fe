//! Why a query does not run.

use std::fmt;

use weir_broker::client::error::ClientError;
use weir_broker::protocol::error_code::ErrorCode;

use crate::error::EngineError;
use crate::settings::PropertyError;

/// Whose fault a failure is. Source: ksqlDB's query error types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    User,
    External,
    Internal,
}

/// Whether doing it again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    Never,
    Backoff,
}

/// A change of a topic that a query cannot go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicChange {
    Deleted,
    /// There is another topic of the same name.
    Recreated,
    /// One of the two above.
    Gone,
    PartitionsAdded {
        before: i32,
        now: i32,
    },
    /// The changelog is empty though the query has state.
    Emptied,
}

impl fmt::Display for TopicChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopicChange::Deleted => f.write_str("was deleted"),
            TopicChange::Recreated => f.write_str("was deleted and created again"),
            TopicChange::Gone => f.write_str("was deleted, or deleted and created again"),
            TopicChange::PartitionsAdded { before, now } => {
                write!(f, "has {now} partitions now, {before} when the query was started")
            }
            TopicChange::Emptied => f.write_str("is empty though the query has state"),
        }
    }
}

/// The way out of a [`TopicChange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicRemedy {
    /// The query keeps no state: it may go on with the topic as it is.
    Resume,
    /// State and topics no longer belong together.
    CreateAgain,
    /// The query is a client's.
    RunAgain,
}

impl fmt::Display for TopicRemedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TopicRemedy::Resume => "Use RESUME to go on with the topic as it is now",
            TopicRemedy::CreateAgain => "Drop the query and create it again to build its result anew",
            TopicRemedy::RunAgain => "Run the query again to read the topic as it is now",
        })
    }
}

/// A failure of a query, or of a request to the engine.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error(transparent)]
    Property(#[from] PropertyError),
    #[error("topic \"{topic}\" of query {query_id} does not exist")]
    TopicMissing { query_id: String, topic: String },
    #[error("topic \"{topic}\" of query {query_id} {change}. {remedy}")]
    TopicChanged { query_id: String, topic: String, change: TopicChange, remedy: TopicRemedy },
    #[error("a record for topic \"{topic}\" cannot be produced: {reason}")]
    Production { topic: String, reason: String },
    #[error(
        "topics of query {query_id} are not co-partitioned: \"{left}\" has {left_partitions} partitions, \"{right}\" has {right_partitions}"
    )]
    NotCoPartitioned {
        query_id: String,
        left: String,
        left_partitions: i32,
        right: String,
        right_partitions: i32,
    },
    #[error("topic \"{topic}\" has {actual} partitions, {expected} required")]
    PartitionCount { topic: String, actual: i32, expected: i32 },
    #[error("{action} failed")]
    Client { action: &'static str, source: ClientError },
    #[error("{action} failed")]
    Task { action: &'static str, source: EngineError },
    #[error("records of partition \"{partition}\" cannot be read")]
    Records { partition: String, source: weir_broker::error::Error },
    #[error("no offset is known to begin at in partition \"{partition}\"")]
    OffsetUnknown { partition: String },
    #[error("state directory \"{path}\" cannot be used: {reason}")]
    StateDir { path: String, reason: String },
    #[error("query {query_id} does not exist")]
    UnknownQuery { query_id: String },
    #[error("query {query_id} is running already")]
    QueryExists { query_id: String },
    #[error("tasks of query {query_id} cannot go from {from} to {to}")]
    Transition { query_id: String, from: &'static str, to: &'static str },
    #[error("query {query_id} panicked: {message}")]
    Panicked { query_id: String, message: String },
    #[error("{name} panicked: {message}")]
    LoopPanicked { name: String, message: String },
    #[error("operating system has no thread left for {name}")]
    Thread { name: String, source: std::io::Error },
    #[error("engine is shut down")]
    ShutDown,
}

pub type Result<T> = std::result::Result<T, RuntimeError>;

impl RuntimeError {
    pub(crate) fn client(action: &'static str) -> impl FnOnce(ClientError) -> RuntimeError {
        move |source| RuntimeError::Client { action, source }
    }

    pub(crate) fn task(action: &'static str) -> impl FnOnce(EngineError) -> RuntimeError {
        move |source| RuntimeError::Task { action, source }
    }

    pub fn fault(&self) -> Fault {
        match self {
            RuntimeError::Property(_)
            | RuntimeError::TopicMissing { .. }
            | RuntimeError::TopicChanged { .. }
            | RuntimeError::Production { .. }
            | RuntimeError::NotCoPartitioned { .. }
            | RuntimeError::PartitionCount { .. }
            | RuntimeError::UnknownQuery { .. }
            | RuntimeError::QueryExists { .. } => Fault::User,
            RuntimeError::Client { .. }
            | RuntimeError::Records { .. }
            | RuntimeError::OffsetUnknown { .. }
            | RuntimeError::StateDir { .. }
            | RuntimeError::Thread { .. }
            | RuntimeError::ShutDown => Fault::External,
            RuntimeError::Task { source, .. } if source.is_about_records() => Fault::User,
            RuntimeError::Task { .. }
            | RuntimeError::Transition { .. }
            | RuntimeError::Panicked { .. }
            | RuntimeError::LoopPanicked { .. } => Fault::Internal,
        }
    }

    /// Whether the query may be started again by itself.
    pub fn retry(&self) -> Retry {
        match self {
            RuntimeError::Client { source, .. } => match source {
                ClientError::Transport(_) | ClientError::MustAbort { .. } => Retry::Backoff,
                error if error.is_retriable() || error.is_fenced() => Retry::Backoff,
                error => match error.code() {
                    Some(
                        ErrorCode::OutOfOrderSequenceNumber
                        | ErrorCode::UnknownProducerId
                        | ErrorCode::InvalidProducerIdMapping
                        | ErrorCode::InvalidTxnState
                        | ErrorCode::OffsetOutOfRange
                        | ErrorCode::MessageTooLarge
                        | ErrorCode::RecordListTooLarge
                        | ErrorCode::InvalidTimestamp
                        | ErrorCode::InvalidRecord,
                    ) => Retry::Backoff,
                    _ => Retry::Never,
                },
            },
            RuntimeError::TopicMissing { .. }
            | RuntimeError::StateDir { .. }
            | RuntimeError::OffsetUnknown { .. }
            | RuntimeError::LoopPanicked { .. }
            | RuntimeError::Task {
                source: EngineError::Store { .. } | EngineError::RunTooLarge { .. },
                ..
            } => Retry::Backoff,
            RuntimeError::Property(_)
            | RuntimeError::TopicChanged { .. }
            | RuntimeError::Production { .. }
            | RuntimeError::NotCoPartitioned { .. }
            | RuntimeError::PartitionCount { .. }
            | RuntimeError::Task { .. }
            | RuntimeError::Records { .. }
            | RuntimeError::UnknownQuery { .. }
            | RuntimeError::QueryExists { .. }
            | RuntimeError::Transition { .. }
            | RuntimeError::Panicked { .. }
            | RuntimeError::Thread { .. }
            | RuntimeError::ShutDown => Retry::Never,
        }
    }

    /// True if a step was given up because the query is being stopped.
    pub(crate) fn is_interruption(&self) -> bool {
        matches!(self, RuntimeError::Task { source: EngineError::Interrupted, .. })
    }

    /// True if the broker refused some record of a batch for good. The next attempt finds it and leaves it out.
    pub(crate) fn is_refused_record(&self) -> bool {
        let RuntimeError::Client { source, .. } = self else { return false };
        source.code().is_some_and(weir_broker::client::producer::careful::is_about_records)
    }

    /// The message with its causes, as users see it.
    pub fn chain(&self) -> String {
        weir_broker::error::chain(self)
    }
}
