//! The physical plan of a persistent or transient query: a tree of steps from sources to at most one sink.
//!
//! Plans are stored in the command topic and must be readable by later versions: only add optional fields, or a new
//! step, and raise [`PLAN_VERSION`] when old readers would misread.

use serde::{Deserialize, Serialize};

use crate::expr::ir::Expr;
use crate::format::FormatInfo;
use crate::schema::{Column, LogicalSchema};
use crate::value::Literal;
use crate::window::{WindowInfo, WindowSpec};

pub const PLAN_VERSION: u32 = 1;

/// A query as the engine runs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueryPlan {
    pub version: u32,
    /// `CSAS_X_7`, `CTAS_…`, `INSERTQUERY_…`, `transient_…`.
    pub query_id: String,
    /// Names of the streams and tables read.
    pub sources: Vec<String>,
    /// Name of the stream or table written; None unless a statement made one.
    pub sink: Option<String>,
    #[serde(default)]
    pub role: QueryRole,
    pub root: Step,
}

/// What a query is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum QueryRole {
    /// Writes the topic of a stream or table.
    #[default]
    Persistent,
    /// Keeps a SOURCE TABLE queryable.
    SourceTable,
    /// Answers one client.
    Transient,
}

/// A stream of facts or a changelog of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ResultKind {
    Stream,
    Table,
}

/// One node of the plan. `schema` is the schema of what it emits; the columns of an emitted batch are
/// `schema.columns()` in order. Expressions of a step read the columns of its input by name, plus the system columns:
/// ROWTIME always, WINDOWSTART and WINDOWEND below and after windowed sources and aggregations, ROWPARTITION and
/// ROWOFFSET as long as rows are still those of a source (filter, project, flat map).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Step {
    Source(SourceStep),
    Filter(FilterStep),
    Project(ProjectStep),
    FlatMap(FlatMapStep),
    PartitionBy(PartitionByStep),
    Repartition(RepartitionStep),
    Aggregate(AggregateStep),
    StreamStreamJoin(StreamStreamJoinStep),
    StreamTableJoin(StreamTableJoinStep),
    TableTableJoin(TableTableJoinStep),
    ForeignKeyJoin(ForeignKeyJoinStep),
    Sink(SinkStep),
}

/// Where the timestamp of a row comes from, or goes to, when it is not the record's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TimestampColumn {
    pub column: String,
    /// Pattern of java.time's DateTimeFormatter, for STRING columns.
    pub format: Option<String>,
}

/// Reads a topic. A table source is materialised when a step above looks it up or needs old values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceStep {
    pub source: String,
    pub kind: ResultKind,
    pub topic: String,
    pub key_format: FormatInfo,
    pub value_format: FormatInfo,
    /// Declared columns, headers included.
    pub schema: LogicalSchema,
    pub window: Option<WindowInfo>,
    pub timestamp: Option<TimestampColumn>,
}

/// Keeps rows for which the predicate is TRUE. On a table, a row that leaves the predicate becomes a tombstone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilterStep {
    pub input: Box<Step>,
    pub predicate: Expr,
    pub schema: LogicalSchema,
}

/// Renames the key columns in place (values and bytes of the key do not change) and computes the value columns.
/// Shape: `key_names[i]` renames key column `i`; `values` are the emitted value columns in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProjectStep {
    pub input: Box<Step>,
    pub key_names: Vec<String>,
    pub values: Vec<(String, Expr)>,
    pub schema: LogicalSchema,
}

/// Table functions, zipped: per input row as many rows as the longest result, shorter ones padded with NULL; none if all
/// are empty. Adds one value column per function after the input's value columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlatMapStep {
    pub input: Box<Step>,
    pub functions: Vec<TableFunctionCall>,
    pub schema: LogicalSchema,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableFunctionCall {
    pub function: String,
    pub arguments: Vec<Expr>,
    /// The column it fills.
    pub output: Column,
}

/// Gives stream rows a new key; `keys` empty drops the key. The value columns are computed afresh from the input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartitionByStep {
    pub input: Box<Step>,
    pub keys: Vec<(String, Expr)>,
    pub values: Vec<(String, Expr)>,
    pub schema: LogicalSchema,
}

/// Sends rows through an internal topic so that equal keys meet in one task. On a table, changes travel with their old value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RepartitionStep {
    pub input: Box<Step>,
    /// The topic is `<application id>-<name>-repartition`: `Aggregate-GroupBy`, `Join-left`, ….
    pub name: String,
    pub key_format: FormatInfo,
    pub value_format: FormatInfo,
    pub schema: LogicalSchema,
}

/// Groups and aggregates; the result is a table keyed by the grouping expressions (and the window).
/// Rows in which a grouping expression is NULL or fails are dropped and reported.
/// The schema is: key = `keys`, value = one column per call, in order.
/// If `regroup` the key differs from the input's key and rows travel through `<application id>-Aggregate-GroupBy-repartition`
/// between grouping and aggregating; the engine does that, no Repartition step stands in the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AggregateStep {
    pub input: Box<Step>,
    pub input_kind: ResultKind,
    pub keys: Vec<(String, Expr)>,
    pub regroup: bool,
    pub calls: Vec<AggregateCall>,
    pub window: Option<WindowSpec>,
    /// Formats of the internal topics, and of state as far as type checks go.
    pub key_format: FormatInfo,
    pub value_format: FormatInfo,
    pub schema: LogicalSchema,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AggregateCall {
    /// Upper-case name in the registry.
    pub function: String,
    /// Typed arguments over the input's columns, already cast. `COUNT(*)` is `COUNT(ROWTIME)`.
    pub arguments: Vec<Expr>,
    /// Trailing constants (`k` of TOPK).
    pub constants: Vec<Literal>,
    pub output: Column,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum JoinKind {
    Inner,
    Left,
    Right,
    Outer,
}

/// Join steps: both inputs are keyed by the join key (the planner put PartitionBy and Repartition below where needed) and have
/// disjoint column names. The result's key is `key_name`; its value columns are all columns of the left input (key columns
/// first, then values) and then all of the right. Where a side is missing its columns are NULL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamStreamJoinStep {
    pub left: Box<Step>,
    pub right: Box<Step>,
    pub kind: JoinKind,
    pub key_name: String,
    /// A pair joins if −before ≤ right.ts − left.ts ≤ after. Units: ms.
    pub before_ms: i64,
    pub after_ms: i64,
    /// None: the older eager behaviour (24 h grace, unmatched rows emitted at once).
    pub grace_ms: Option<i64>,
    pub schema: LogicalSchema,
}

/// Looks every stream row up in the table. `kind` is Inner or Left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamTableJoinStep {
    pub left: Box<Step>,
    pub right: Box<Step>,
    pub kind: JoinKind,
    pub key_name: String,
    pub schema: LogicalSchema,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableTableJoinStep {
    pub left: Box<Step>,
    pub right: Box<Step>,
    pub kind: JoinKind,
    pub key_name: String,
    pub schema: LogicalSchema,
}

/// Table-table join on an expression of the left row that is the right side's key. `kind` is Inner or Left. The result keeps the left
/// key (same columns); its value columns are the left value columns, then all columns of the right (key first).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForeignKeyJoinStep {
    pub left: Box<Step>,
    pub right: Box<Step>,
    pub kind: JoinKind,
    /// Over the left input's columns.
    pub foreign_key: Expr,
    pub schema: LogicalSchema,
}

/// Writes the result to a topic. For transient queries there is no sink step: the root's rows go to the client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SinkStep {
    pub input: Box<Step>,
    pub kind: ResultKind,
    pub topic: String,
    pub key_format: FormatInfo,
    pub value_format: FormatInfo,
    /// Set if the keys are windowed.
    pub window: Option<WindowInfo>,
    pub timestamp: Option<TimestampColumn>,
    pub schema: LogicalSchema,
}

impl Step {
    pub fn schema(&self) -> &LogicalSchema {
        match self {
            Step::Source(s) => &s.schema,
            Step::Filter(s) => &s.schema,
            Step::Project(s) => &s.schema,
            Step::FlatMap(s) => &s.schema,
            Step::PartitionBy(s) => &s.schema,
            Step::Repartition(s) => &s.schema,
            Step::Aggregate(s) => &s.schema,
            Step::StreamStreamJoin(s) => &s.schema,
            Step::StreamTableJoin(s) => &s.schema,
            Step::TableTableJoin(s) => &s.schema,
            Step::ForeignKeyJoin(s) => &s.schema,
            Step::Sink(s) => &s.schema,
        }
    }

    /// The steps this one reads, left first.
    pub fn inputs(&self) -> Vec<&Step> {
        match self {
            Step::Source(_) => vec![],
            Step::Filter(s) => vec![&s.input],
            Step::Project(s) => vec![&s.input],
            Step::FlatMap(s) => vec![&s.input],
            Step::PartitionBy(s) => vec![&s.input],
            Step::Repartition(s) => vec![&s.input],
            Step::Aggregate(s) => vec![&s.input],
            Step::StreamStreamJoin(s) => vec![&s.left, &s.right],
            Step::StreamTableJoin(s) => vec![&s.left, &s.right],
            Step::TableTableJoin(s) => vec![&s.left, &s.right],
            Step::ForeignKeyJoin(s) => vec![&s.left, &s.right],
            Step::Sink(s) => vec![&s.input],
        }
    }

    /// Stream or table, as the rows leave this step.
    pub fn kind(&self) -> ResultKind {
        match self {
            Step::Source(s) => s.kind,
            Step::Filter(s) => s.input.kind(),
            Step::Project(s) => s.input.kind(),
            Step::FlatMap(_) | Step::PartitionBy(_) => ResultKind::Stream,
            Step::Repartition(s) => s.input.kind(),
            Step::Aggregate(_) | Step::TableTableJoin(_) | Step::ForeignKeyJoin(_) => ResultKind::Table,
            Step::StreamStreamJoin(_) | Step::StreamTableJoin(_) => ResultKind::Stream,
            Step::Sink(s) => s.kind,
        }
    }

    /// How keys leaving this step are windowed.
    pub fn window(&self) -> Option<WindowInfo> {
        match self {
            Step::Source(s) => s.window,
            Step::Filter(s) => s.input.window(),
            Step::Project(s) => s.input.window(),
            Step::FlatMap(s) => s.input.window(),
            Step::PartitionBy(_) | Step::Repartition(_) => None,
            Step::Aggregate(s) => s.window.map(|w| w.info()),
            Step::StreamStreamJoin(s) => s.left.window(),
            Step::StreamTableJoin(s) => s.left.window(),
            Step::TableTableJoin(s) => s.left.window(),
            Step::ForeignKeyJoin(s) => s.left.window(),
            Step::Sink(s) => s.window,
        }
    }
}
