//! Pull queries: a tree over scans of materialised state. The engine turns it into a DataFusion plan.

use serde::{Deserialize, Serialize};

use crate::expr::ir::Expr;
use crate::plan::physical::{AggregateCall, JoinKind, ResultKind};
use crate::types::SqlType;
use crate::window::WindowInfo;

/// A query over the state as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PullPlan {
    pub root: PullNode,
    /// Names of the streams and tables read.
    pub sources: Vec<String>,
    /// What the client sees, in order; as many as the root has columns. Names may repeat.
    pub columns: Vec<PullColumn>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PullColumn {
    pub name: String,
    pub sql_type: SqlType,
    /// True for a key column (or window bound) projected as it is.
    pub is_key: bool,
}

/// One node. Expressions read the columns of the node below by name; names are unique within a node's columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PullNode {
    Scan(PullScan),
    /// Keeps rows for which the predicate is TRUE.
    Filter {
        input: Box<PullNode>,
        predicate: Expr,
    },
    Join(PullJoin),
    /// Columns: the keys, then one per call. Without keys there is one group.
    Aggregate {
        input: Box<PullNode>,
        keys: Vec<(String, Expr)>,
        calls: Vec<AggregateCall>,
    },
    Project {
        input: Box<PullNode>,
        columns: Vec<(String, Expr)>,
    },
    Distinct {
        input: Box<PullNode>,
    },
    Sort {
        input: Box<PullNode>,
        keys: Vec<SortKey>,
    },
    Limit {
        input: Box<PullNode>,
        offset: u64,
        limit: Option<u64>,
    },
}

/// Reads a table's state, or a stream's topic from its beginning to its present end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PullScan {
    pub source: String,
    pub kind: ResultKind,
    pub window: Option<WindowInfo>,
    pub columns: Vec<ScanColumn>,
    /// Over `columns`. Key equalities, key ranges and window bounds in it become look-ups.
    pub filter: Option<Expr>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScanColumn {
    /// Its name in the source: a declared or a system column.
    pub column: String,
    /// Its name in the query.
    pub name: String,
    pub sql_type: SqlType,
    pub is_key: bool,
}

/// The columns are those of the left, then those of the right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PullJoin {
    pub left: Box<PullNode>,
    pub right: Box<PullNode>,
    pub kind: JoinKind,
    /// Equalities, left side over the left input.
    pub on: Vec<(Expr, Expr)>,
    /// The rest of ON, over both.
    pub filter: Option<Expr>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SortKey {
    pub expr: Expr,
    pub descending: bool,
    pub nulls_first: bool,
}
