//! Conditions that a query is in beside its state: what keeps it from reading, writing or committing right now.

use std::fmt;

/// One of them. Units: ms since epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryCondition {
    /// A part of the query failed and is started again at `retry_at_ms`.
    BackOff {
        /// Failures in a row.
        failures: u32,
        cause: String,
        since_ms: i64,
        retry_at_ms: i64,
    },
    /// A commit has not been answered for a while: results are not visible yet.
    CommitPending { since_ms: i64 },
    /// A task has not returned from a step: nothing else on its thread goes on.
    StepOverdue { since_ms: i64 },
}

impl fmt::Display for QueryCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueryCondition::BackOff { failures, cause, .. } => {
                write!(f, "in back-off after {failures} failures in a row: {cause}")
            }
            QueryCondition::CommitPending { .. } => f.write_str("a commit is not answered"),
            QueryCondition::StepOverdue { .. } => f.write_str("a task does not return from a step"),
        }
    }
}
