//! Conditions that a query is in beside its state: what keeps it from reading, writing or committing right now.

use std::fmt;

/// One of them. Units: ms since epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryCondition {
    /// Tasks of the query failed and is started again at `retry_at_ms`.
    BackOff {
        /// Failures in a row.
        failures: u32,
        /// Of the last failure.
        cause: String,
        /// Time of the first failure in the row.
        since_ms: i64,
        retry_at_ms: i64,
    },
    /// The broker does not accept output of the query: nothing can be committed.
    WritePending {
        since_ms: i64,
        /// Refusal of the last attempt. None: it was not answered.
        cause: Option<String>,
    },
    /// A commit has not been answered for a while: results are not visible yet.
    CommitPending {
        since_ms: i64,
        /// Refusal of the last attempt. None: it was not answered.
        cause: Option<String>,
    },
    /// Topics of the query that do not exist.
    TopicsMissing { topics: Vec<String> },
    /// A task has not returned from a step: nothing else on its thread goes on.
    StepOverdue { since_ms: i64 },
}

impl QueryCondition {
    /// Names of all conditions, in the order of [`QueryCondition`].
    pub const KINDS: [&'static str; 5] =
        ["BACK_OFF", "CANNOT_WRITE", "CANNOT_COMMIT", "TOPICS_MISSING", "STEP_OVERDUE"];

    /// Name of the condition, one of [`QueryCondition::KINDS`].
    pub fn kind(&self) -> &'static str {
        match self {
            QueryCondition::BackOff { .. } => "BACK_OFF",
            QueryCondition::WritePending { .. } => "CANNOT_WRITE",
            QueryCondition::CommitPending { .. } => "CANNOT_COMMIT",
            QueryCondition::TopicsMissing { .. } => "TOPICS_MISSING",
            QueryCondition::StepOverdue { .. } => "STEP_OVERDUE",
        }
    }

    /// Begin of the condition, if it is known. Units: ms since epoch.
    pub fn since_ms(&self) -> Option<i64> {
        match self {
            QueryCondition::BackOff { since_ms, .. }
            | QueryCondition::WritePending { since_ms, .. }
            | QueryCondition::CommitPending { since_ms, .. }
            | QueryCondition::StepOverdue { since_ms } => Some(*since_ms),
            QueryCondition::TopicsMissing { .. } => None,
        }
    }
}

impl fmt::Display for QueryCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueryCondition::BackOff { failures, cause, .. } => {
                write!(f, "in back-off after {failures} failures in a row: {cause}")
            }
            QueryCondition::WritePending { cause, .. } => {
                f.write_str("output is not accepted")?;
                explained(cause, f)
            }
            QueryCondition::CommitPending { cause, .. } => {
                f.write_str("commit is not answered")?;
                explained(cause, f)
            }
            QueryCondition::TopicsMissing { topics } => {
                write!(f, "missing topics: \"{}\"", topics.join("\", \""))
            }
            QueryCondition::StepOverdue { .. } => f.write_str("a task does not return from a step"),
        }
    }
}

fn explained(cause: &Option<String>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    cause.as_ref().map_or(Ok(()), |cause| write!(f, ": {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_has_a_listed_kind_and_names_its_cause() {
        let cause = "disk full".to_owned();
        let all = [
            QueryCondition::BackOff { failures: 2, cause: cause.clone(), since_ms: 1, retry_at_ms: 9 },
            QueryCondition::WritePending { since_ms: 1, cause: Some(cause.clone()) },
            QueryCondition::CommitPending { since_ms: 1, cause: Some(cause.clone()) },
            QueryCondition::TopicsMissing { topics: vec![cause] },
            QueryCondition::StepOverdue { since_ms: 1 },
        ];
        assert_eq!(all.each_ref().map(QueryCondition::kind), QueryCondition::KINDS);
        for condition in &all[..4] {
            assert!(condition.to_string().contains("disk full"), "{condition}");
        }
        let silent = QueryCondition::CommitPending { since_ms: 1, cause: None };
        assert_eq!(silent.to_string(), "commit is not answered");
    }
}
