//! What the HTTP layer asks of a node.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::BoxFuture;
use indexmap::IndexMap;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use crate::error::ApiError;
use crate::wire::request::StatementRequest;
use crate::wire::rows::{RowEvent, RowsHeader};

/// A query to run and stream: a SELECT (push or pull) or a PRINT.
#[derive(Clone, Debug, Default)]
pub struct QueryRequest {
    pub sql: String,
    pub properties: IndexMap<String, String>,
    pub variables: IndexMap<String, String>,
    /// Wait until this command is applied.
    pub command_sequence_number: Option<i64>,
}

/// A query that runs: batches of events until the channel closes. Dropping it stops the query.
pub struct RunningQuery {
    pub kind: QueryKind,
    pub header: RowsHeader,
    /// Bounded; a full channel holds the query back.
    pub events: mpsc::Receiver<Vec<RowEvent>>,
    /// Set when the query is ended because its client does not read; `events` closes then.
    pub dropped: Arc<OnceLock<ApiError>>,
    /// Stops the query when dropped.
    pub guard: Box<dyn Send>,
}

impl RunningQuery {
    /// Why the query was ended although its client still listens.
    pub fn dropped(&self) -> Option<ApiError> {
        self.dropped.get().cloned()
    }
}

impl fmt::Debug for RunningQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningQuery")
            .field("kind", &self.kind)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryKind {
    Pull,
    Push,
    /// Lines of text: `columns` of a row holds one line.
    Print,
}

/// An answer with a status of its own.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

/// A node as its HTTP front sees it. Implemented by the node and by the tests' double.
pub trait NodeApi: Send + Sync + 'static {
    /// `/ksql`: runs the statements in order; gives one entity for each that answers.
    fn execute(&self, request: StatementRequest) -> BoxFuture<'_, Result<Vec<Value>, ApiError>>;

    /// `/query`, `/query-stream`: starts a query.
    fn query(&self, request: QueryRequest) -> BoxFuture<'_, Result<RunningQuery, ApiError>>;

    /// `/ksql/terminate`: ends everything; deletes the topics that are named by name or pattern.
    fn terminate(&self, topics: Vec<String>) -> BoxFuture<'_, Result<Value, ApiError>>;

    /// Ends a push query. False if there is none of that id.
    fn close_query(&self, query_id: &str) -> bool;

    /// Checks the target of `/inserts-stream`: its name as the metastore knows it.
    fn insert_target(&self, name: &str) -> Result<String, ApiError>;

    /// Inserts rows, each an object by column name; gives one result per row, in order. A row that fails costs itself.
    fn insert_rows(
        &self,
        target: &str,
        rows: Vec<Map<String, Value>>,
    ) -> BoxFuture<'_, Vec<Result<(), ApiError>>>;

    fn info(&self) -> Value;
    fn health(&self) -> BoxFuture<'_, Answer>;
    fn command_statuses(&self) -> Value;
    /// None: no such command.
    fn command_status(&self, command_id: &str) -> Option<Value>;
    /// Ok if a request may set this property.
    fn check_property(&self, name: &str) -> Result<(), ApiError>;
    fn cluster_metadata(&self) -> Value;
    /// OpenMetrics text.
    fn metrics(&self) -> String;
    /// Counts an answered request. `path`: the pattern of its route.
    fn count_request(&self, path: &str, status: u16, elapsed: Duration);
    /// True once every query's state is restored.
    fn is_ready(&self) -> bool;
}
