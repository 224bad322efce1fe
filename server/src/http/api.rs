//! What the HTTP layer asks of a node.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::BoxFuture;
use indexmap::IndexMap;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use crate::auth::access_watch::AccessWatch;
use crate::auth::caller::Caller;
use crate::auth::credentials::Credentials;
use crate::error::ApiError;
use crate::wire::request::StatementRequest;
use crate::wire::rows::{RowEvent, RowsHeader};

/// A query to run and stream: a SELECT (push or pull) or a PRINT.
#[derive(Clone, Debug, Default)]
pub struct QueryRequest {
    pub endpoint: QueryEndpoint,
    pub sql: String,
    pub properties: IndexMap<String, String>,
    pub variables: IndexMap<String, String>,
    /// Wait until this command is applied.
    pub command_sequence_number: Option<i64>,
}

/// Where a query was sent: refusals differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueryEndpoint {
    /// `/query` and `/ws/query`.
    #[default]
    Query,
    QueryStream,
}

/// A query that runs. Dropping it stops the query.
pub struct RunningQuery {
    pub kind: QueryKind,
    pub header: RowsHeader,
    pub events: QueryEvents,
    /// Stops the query when dropped.
    pub guard: Box<dyn Send>,
}

/// What a running query tells its client, in batches, until it ends or the client may not read it any more.
#[derive(Debug)]
pub struct QueryEvents {
    /// Bounded; a full channel holds the query back.
    rows: mpsc::Receiver<Vec<RowEvent>>,
    /// Set when the query is ended because its client does not read; `rows` closes then.
    dropped: Arc<OnceLock<ApiError>>,
    access: AccessWatch,
    has_ended: bool,
}

impl QueryEvents {
    pub fn new(
        rows: mpsc::Receiver<Vec<RowEvent>>,
        dropped: Arc<OnceLock<ApiError>>,
        access: AccessWatch,
    ) -> QueryEvents {
        QueryEvents { rows, dropped, access, has_ended: false }
    }

    /// The next events; None after the last. Once the client has lost its rights, rows that wait are not sent any more.
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Vec<RowEvent>> {
        if self.has_ended {
            return None;
        }
        let failed = |error| vec![RowEvent::Failed(error)];
        let events = tokio::select! {
            biased;
            error = self.access.lost() => Some(failed(error)),
            rows = self.rows.recv() => rows.or_else(|| self.dropped.get().cloned().map(failed)),
        };
        let is_last = |event: &RowEvent| matches!(event, RowEvent::Final(_) | RowEvent::Failed(_));
        self.has_ended = events.as_ref().is_none_or(|events| events.iter().any(is_last));
        events
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

/// The last message of queries that a stop of the node ends.
pub const SHUTTING_DOWN: &str = "The server is shutting down";

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

/// A part of what quotas limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Used {
    /// Nothing: asks for the pause that is due.
    Nothing,
    /// Bytes of a request's body.
    BytesIn(usize),
    /// Bytes of an answer's body.
    BytesOut(usize),
    /// Time of a thread.
    Time(Duration),
}

/// Formats of `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsFormat {
    /// `application/openmetrics-text; version=1.0.0`
    OpenMetrics,
    /// `text/plain; version=0.0.4`
    Text,
}

/// A node as its HTTP front sees it. Implemented by the node and by the tests' double.
pub trait NodeApi: Send + Sync + 'static {
    /// Finds out which client a request comes from.
    ///
    /// Errors: the credentials are wrong, or missing where they are required.
    fn authenticate(&self, credentials: Credentials) -> BoxFuture<'_, Result<Caller, ApiError>>;

    /// Notes what a client uses of its quotas. Returns how long it is to pause; None: there are no quotas.
    fn charge(&self, caller: &Caller, used: Used) -> Option<Duration>;

    /// Time that a request's body has to arrive.
    fn request_timeout(&self) -> Duration;

    /// True if the endpoint of a path needs no authentication.
    fn is_open_to_all(&self, path: &str) -> bool;

    /// `/ksql`: runs the statements in order; gives one entity for each that answers.
    fn execute(
        &self,
        caller: &Caller,
        request: StatementRequest,
    ) -> BoxFuture<'_, Result<Vec<Value>, ApiError>>;

    /// `/query`, `/query-stream`: starts a query.
    fn query(&self, caller: &Caller, request: QueryRequest) -> BoxFuture<'_, Result<RunningQuery, ApiError>>;

    /// `/ksql/terminate`: ends everything; deletes the topics that are named by name or pattern.
    fn terminate(&self, caller: &Caller, topics: Vec<String>) -> BoxFuture<'_, Result<Value, ApiError>>;

    /// Ends a push query. False if the client has none of that id.
    fn close_query(&self, caller: &Caller, query_id: &str) -> bool;

    /// Checks the target of `/inserts-stream`, and that the client may write to it: its name as the metastore knows it.
    fn insert_target(&self, caller: &Caller, name: &str) -> Result<String, ApiError>;

    /// Inserts rows, each an object by column name; gives one result per row, in order. A row that fails costs itself;
    /// all fail once the client may not write to the target any more.
    fn insert_rows(
        &self,
        caller: &Caller,
        target: &str,
        rows: Vec<Map<String, Value>>,
    ) -> BoxFuture<'_, Vec<Result<(), ApiError>>>;

    fn info(&self) -> Value;
    fn health(&self) -> BoxFuture<'_, Answer>;
    fn command_statuses(&self) -> Value;
    /// None: no such command. Errors: the client may not describe the command's topic.
    fn command_status(&self, caller: &Caller, command_id: &str) -> Result<Option<Value>, ApiError>;
    /// Ok if a request may set this property.
    fn check_property(&self, name: &str) -> Result<(), ApiError>;
    fn cluster_metadata(&self) -> Value;
    fn metrics(&self, format: MetricsFormat) -> String;
    /// Counts an answered request. `path`: the pattern of its route.
    fn count_request(&self, path: &str, status: u16, elapsed: Duration);
    /// True once every query's state is restored.
    fn is_ready(&self) -> bool;
}
