//! What a statement becomes once it is analysed: something to store, to run, or to answer.

use crate::ast::statement::Statement;
use crate::error::{Result, SqlError};
use crate::expr::compile::{CompileContext, evaluate_constant};
use crate::expr::ir::Expr;
use crate::metastore::source::QueryKind;
use crate::plan::command::DdlCommand;
use crate::plan::physical::QueryPlan;
use crate::plan::pull::PullPlan;
use crate::span::Span;
use crate::suggest::nearest;
use crate::types::SqlType;
use crate::value::SqlValue;

#[derive(Clone, Debug, PartialEq)]
pub enum PreparedStatement {
    /// Goes to the command topic.
    Command(Box<PreparedCommand>),
    /// Nothing to do: IF NOT EXISTS of what exists, IF EXISTS of what does not. The text says so.
    Skipped {
        message: String,
    },
    InsertValues(Box<InsertRow>),
    Pull(Box<PullPlan>),
    Push(Box<PushQuery>),
    /// TERMINATE, PAUSE and RESUME of queries that exist.
    Queries {
        action: QueryAction,
        ids: Vec<String>,
    },
    /// TERMINATE of an id that no persistent query has. Push queries are unknown to the metastore: the server ends
    /// the one of that id, or refuses with [`unknown_query`].
    TerminateTransient {
        id: String,
        place: Span,
    },
    /// Statements that need no analysis: SHOW, DESCRIBE, SET, PRINT, ASSERT, connectors, ….
    PassThrough(Box<Statement>),
}

/// The refusal of a statement that names a query of no known id. `known` are the ids of queries that run.
pub fn unknown_query<'a>(id: &str, place: Span, known: impl Iterator<Item = &'a str>) -> SqlError {
    let error = SqlError::analysis(format!("Unknown queryId: {id}"), place);
    match nearest(id, known) {
        Some(similar) => error.with_hint(format!("Did you mean {similar}?")),
        None => error.with_hint("SHOW QUERIES lists the ids."),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueryAction {
    Terminate,
    Pause,
    Resume,
}

/// A change of the metastore, a persistent query, or both. In this order: make the topic, apply `ddl`, stop the
/// queries of `terminates`, start `query`.
#[derive(Clone, Debug, PartialEq)]
pub struct PreparedCommand {
    pub ddl: Option<DdlCommand>,
    pub query: Option<PersistentQuery>,
    /// The topic that must be there; made if it is not.
    pub topic: Option<TopicSpec>,
    /// DROP … DELETE TOPIC: the topic to delete, with its registered schemas.
    pub delete_topic: Option<String>,
    /// Queries that end, because their stream or table is dropped.
    pub terminates: Vec<String>,
}

impl PreparedCommand {
    /// A change of the metastore alone.
    pub fn ddl(ddl: DdlCommand) -> PreparedCommand {
        PreparedCommand {
            ddl: Some(ddl),
            query: None,
            topic: None,
            delete_topic: None,
            terminates: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct PersistentQuery {
    pub kind: QueryKind,
    pub plan: QueryPlan,
    /// True if a query of the same id runs and goes on with the new plan (CREATE OR REPLACE).
    pub replaces: bool,
}

/// cleanup.policy of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CleanupPolicy {
    Delete,
    Compact,
    CompactDelete,
}

impl CleanupPolicy {
    /// As Kafka writes it.
    pub fn as_str(&self) -> &'static str {
        match self {
            CleanupPolicy::Delete => "delete",
            CleanupPolicy::Compact => "compact",
            CleanupPolicy::CompactDelete => "compact,delete",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct TopicSpec {
    pub name: String,
    pub partitions: u32,
    /// None: the broker's default.
    pub replicas: Option<u16>,
    pub cleanup: CleanupPolicy,
    /// ms; None: the broker's default.
    pub retention_ms: Option<i64>,
}

/// A push query for one client.
#[derive(Clone, Debug, PartialEq)]
pub struct PushQuery {
    /// Has no sink.
    pub plan: QueryPlan,
    /// What the client sees, in order.
    pub columns: Vec<OutputColumn>,
    /// End after this many rows.
    pub limit: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct OutputColumn {
    /// As the client sees it; may repeat.
    pub name: String,
    pub sql_type: SqlType,
    /// The column of the root step's schema that holds it.
    pub column: String,
    pub is_key: bool,
}

/// One INSERT … VALUES: a constant expression per column, cast to the column's type.
#[derive(Clone, Debug, PartialEq)]
pub struct InsertRow {
    pub source: String,
    /// Shape: one per key column, in schema order.
    pub key: Vec<Expr>,
    /// Shape: one per value column, in schema order.
    pub value: Vec<Expr>,
    /// ms; None: the time of the insert.
    pub timestamp: Option<Expr>,
}

/// The values of an INSERT, ready to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct InsertedRow {
    pub key: Vec<SqlValue>,
    pub value: Vec<SqlValue>,
    /// ms; None: the time of the insert.
    pub timestamp: Option<i64>,
}

impl InsertRow {
    /// Computes the constants.
    ///
    /// Errors: a constant that has no value, such as a number too large for its column.
    pub fn evaluate(&self, context: &CompileContext) -> Result<InsertedRow> {
        let compute = |expr: &Expr| {
            evaluate_constant(expr, context).map_err(|e| {
                SqlError::analysis(
                    format!("Failed to insert values into '{}'. {e}", self.source),
                    Span::default(),
                )
            })
        };
        let timestamp = match self.timestamp.as_ref().map(&compute).transpose()? {
            Some(SqlValue::Bigint(millis) | SqlValue::Timestamp(millis)) => Some(millis),
            Some(SqlValue::Integer(millis)) => Some(i64::from(millis)),
            _ => None,
        };
        Ok(InsertedRow {
            key: self.key.iter().map(&compute).collect::<Result<_>>()?,
            value: self.value.iter().map(&compute).collect::<Result<_>>()?,
            timestamp,
        })
    }
}
