//! What a query is doing.
//!
//! ```text
//!  Starting --> Restoring --> Running <--> Paused
//!     ^            |             |
//!     |            v             v
//!     +------- Restarting <------+        a failure that may pass
//!                  |             |
//!                  +--> Error <--+        one that will not, or the query is stopped
//! ```

use crate::error::query::Fault;
use crate::query::condition::QueryCondition;
use crate::task::stream_task::TaskId;

/// The state of a query, which is that of its worst tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QueryState {
    Running,
    Paused,
    Restoring,
    Starting,
    /// A failure is being waited out.
    Restarting,
    /// Nothing runs any more.
    Error,
}

impl QueryState {
    /// ksqlDB's name: RUNNING, PAUSED, ERROR; RESTORING while not ready yet.
    pub fn name(self) -> &'static str {
        match self {
            QueryState::Running => "RUNNING",
            QueryState::Paused => "PAUSED",
            QueryState::Restoring | QueryState::Starting => "RESTORING",
            QueryState::Restarting | QueryState::Error => "ERROR",
        }
    }
}

/// A failure that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// Units: ms since epoch.
    pub at_ms: i64,
    pub fault: Fault,
    pub message: String,
}

/// A partition a task reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputStatus {
    pub topic: String,
    pub partition: i32,
    /// The next offset to process.
    pub position: i64,
    /// Records after it that can be read. None: not known yet.
    pub lag: Option<i64>,
    /// The next offset to process after a restart.
    pub committed: i64,
    /// Records after that.
    pub committed_lag: Option<i64>,
}

/// A task in figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    pub id: TaskId,
    pub worker: usize,
    pub inputs: Vec<InputStatus>,
}

/// A query in figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryStatus {
    pub query_id: String,
    pub application_id: String,
    pub sink: Option<String>,
    pub state: QueryState,
    /// The last failures, newest last.
    pub errors: Vec<QueryError>,
    /// What keeps the query from its work now, whatever its state.
    pub conditions: Vec<QueryCondition>,
    pub tasks: Vec<TaskStatus>,
    pub metrics: crate::metrics::MetricsSnapshot,
}
