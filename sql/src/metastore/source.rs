//! Streams, tables and queries as the metastore knows them.

use crate::format::FormatInfo;
use crate::plan::command::CreateSourceCommand;
use crate::plan::physical::{QueryPlan, ResultKind, SourceStep, TimestampColumn};
use crate::schema::LogicalSchema;
use crate::window::WindowInfo;

/// A stream or table over a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub name: String,
    pub kind: ResultKind,
    pub topic: String,
    pub schema: LogicalSchema,
    pub key_format: FormatInfo,
    pub value_format: FormatInfo,
    /// Set if the key is windowed.
    pub window: Option<WindowInfo>,
    pub timestamp: Option<TimestampColumn>,
    /// SOURCE streams and tables: statements may only read them.
    pub read_only: bool,
    /// The sink of CREATE … AS SELECT.
    pub from_query: bool,
    /// The statement that made it, or last changed it.
    pub sql: String,
}

impl Source {
    pub fn is_stream(&self) -> bool {
        self.kind == ResultKind::Stream
    }

    pub fn is_table(&self) -> bool {
        self.kind == ResultKind::Table
    }
}

impl From<&Source> for SourceStep {
    fn from(source: &Source) -> SourceStep {
        SourceStep {
            source: source.name.clone(),
            kind: source.kind,
            topic: source.topic.clone(),
            key_format: source.key_format.clone(),
            value_format: source.value_format.clone(),
            schema: source.schema.clone(),
            window: source.window,
            timestamp: source.timestamp.clone(),
        }
    }
}

impl From<&CreateSourceCommand> for Source {
    fn from(command: &CreateSourceCommand) -> Source {
        Source {
            name: command.name.clone(),
            kind: command.kind,
            topic: command.topic.clone(),
            schema: command.schema.clone(),
            key_format: command.key_format.clone(),
            value_format: command.value_format.clone(),
            window: command.window,
            timestamp: command.timestamp.clone(),
            read_only: command.read_only,
            from_query: command.from_query,
            sql: command.sql.clone(),
        }
    }
}

/// Who started a persistent query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum QueryKind {
    CreateAsSelect,
    InsertSelect,
    /// Keeps a SOURCE TABLE queryable.
    SourceTable,
}

/// A persistent query between sources.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryEntry {
    pub kind: QueryKind,
    pub plan: QueryPlan,
    pub sql: String,
}

/// "stream" or "table".
pub fn kind_noun(kind: ResultKind) -> &'static str {
    match kind {
        ResultKind::Stream => "stream",
        ResultKind::Table => "table",
    }
}
