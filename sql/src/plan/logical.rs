//! What a continuous query means, before it is cut into steps: names resolved, expressions typed, keys found.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::expr::ir::Expr;
use crate::metastore::source::Source;
use crate::plan::physical::{AggregateCall, JoinKind, ResultKind, TableFunctionCall};
use crate::types::SqlType;
use crate::window::WindowSpec;

/// A push or persistent query.
///
/// Expressions read the joined input: a source's column `C` is called `C`, or `ALIAS_C` if there are joins.
#[derive(Clone, Debug, PartialEq)]
pub struct LogicalQuery {
    pub sources: Vec<LogicalSource>,
    /// `joins[i]` joins what stands before with `sources[i + 1]`.
    pub joins: Vec<LogicalJoin>,
    pub filter: Option<Expr>,
    pub table_functions: Vec<TableFunctionCall>,
    pub body: Body,
    pub kind: ResultKind,
    /// The columns of the result in written order.
    pub output: Vec<Output>,
}

/// One item of the projection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// As the statement names it; clients may ask for one name twice.
    pub label: String,
    /// The column of the result's schema that holds it.
    pub column: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LogicalSource {
    pub alias: String,
    pub source: Arc<Source>,
    /// System columns that a join must carry along as ordinary columns.
    pub carried: BTreeSet<String>,
}

/// Which rules a join follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinPair {
    /// Units: ms.
    StreamStream {
        before_ms: i64,
        after_ms: i64,
        grace_ms: Option<i64>,
    },
    StreamTable,
    TableTable,
    ForeignKey,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LogicalJoin {
    pub kind: JoinKind,
    pub pair: JoinPair,
    pub left: JoinSide,
    pub right: JoinSide,
    /// The name of the result's key column.
    pub key_name: String,
}

/// One side of ON.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinSide {
    pub on: Expr,
    /// True if rows have this key already.
    pub is_key: bool,
}

/// What becomes of the joined, filtered and expanded rows.
// One per statement: its size does not matter, a box would only be in the way.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Shape: `key_names[i]` renames key column `i` of the input.
    Project {
        key_names: Vec<String>,
        values: Vec<(String, Expr)>,
    },
    /// A new key; none if `keys` is empty.
    PartitionBy {
        keys: Vec<(String, Expr)>,
        values: Vec<(String, Expr)>,
    },
    Aggregate(AggregateBody),
}

#[derive(Clone, Debug, PartialEq)]
pub struct AggregateBody {
    /// Grouping expressions over the input, under the names that `having` and `values` know them by.
    pub keys: Vec<(String, Expr)>,
    /// False if the rows are keyed by the grouping expressions already.
    pub regroup: bool,
    pub calls: Vec<AggregateCall>,
    /// Types that the state of the calls has.
    pub state_types: Vec<SqlType>,
    pub window: Option<WindowSpec>,
    pub having: Option<Expr>,
    pub key_names: Vec<String>,
    pub values: Vec<(String, Expr)>,
}
