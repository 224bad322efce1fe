//! The phases of a query's tasks, and what exists only while they process rows.

use std::sync::Arc;
use std::time::Duration;

use weir_broker::ids::{Offset, TopicPartition};

use crate::runtime::messages::Prepared;
use crate::runtime::query_tasks::commit_pacing::CommitPacing;
use crate::runtime::query_tasks::offset_renewal::OffsetRenewal;
use crate::runtime::restore::Restore;
use crate::runtime::transaction::TransactionSender;
use crate::state::backend::StateReader;

#[derive(Debug)]
pub(super) enum Phase {
    Preparing,
    Restoring { restore: Restore, prepared: Box<Prepared>, fetching: bool },
    Running(Box<Running>),
    Waiting { until: Duration },
    Ended,
}

/// A [`Phase`] by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PhaseKind {
    Preparing,
    Restoring,
    Running,
    Waiting,
    Ended,
}

impl Phase {
    pub(super) fn kind(&self) -> PhaseKind {
        match self {
            Phase::Preparing => PhaseKind::Preparing,
            Phase::Restoring { .. } => PhaseKind::Restoring,
            Phase::Running(_) => PhaseKind::Running,
            Phase::Waiting { .. } => PhaseKind::Waiting,
            Phase::Ended => PhaseKind::Ended,
        }
    }
}

impl PhaseKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            PhaseKind::Preparing => "preparing",
            PhaseKind::Restoring => "restoring",
            PhaseKind::Running => "running",
            PhaseKind::Waiting => "waiting",
            PhaseKind::Ended => "ended",
        }
    }

    /// The table of [`QueryTasks`](crate::runtime::query_tasks::QueryTasks).
    pub(super) fn leads_to(self, to: PhaseKind) -> bool {
        match to {
            PhaseKind::Preparing => self == PhaseKind::Waiting,
            PhaseKind::Restoring => self == PhaseKind::Preparing,
            PhaseKind::Running => matches!(self, PhaseKind::Restoring | PhaseKind::Waiting),
            PhaseKind::Waiting => self != PhaseKind::Ended,
            PhaseKind::Ended => true,
        }
    }
}

/// State that the tasks of a query have only while they process rows.
#[derive(Debug)]
pub(super) struct Running {
    /// None for transient queries. Dropping it aborts what was produced and not committed.
    pub(super) transaction: Option<TransactionSender>,
    /// The commit under way.
    pub(super) commit: Option<PendingCommit>,
    /// Readers of pull queries, which may find damage that the tasks have not met.
    pub(super) readers: Vec<Arc<dyn StateReader>>,
    pub(super) pacing: CommitPacing,
    pub(super) renewal: OffsetRenewal,
    /// A commit has succeeded.
    pub(super) has_committed: bool,
    /// Tasks hold updates that their stores do not take.
    pub(super) diverged: bool,
    /// When the last commit was asked for.
    pub(super) last_commit: Duration,
    /// Bytes handed to the transaction since then.
    pub(super) output_bytes: usize,
    /// Rows processed since then.
    pub(super) uncommitted_rows: usize,
    /// Records collected until then.
    pub(super) committed_records: u64,
}

impl Running {
    /// `records`: how many were collected before.
    pub(super) fn new(last_commit: Duration, records: u64) -> Running {
        Running {
            transaction: None,
            commit: None,
            readers: Vec::new(),
            pacing: CommitPacing::new(),
            renewal: OffsetRenewal::default(),
            has_committed: false,
            diverged: false,
            last_commit,
            output_bytes: 0,
            uncommitted_rows: 0,
            committed_records: records,
        }
    }
}

/// A commit under way.
#[derive(Debug)]
pub(super) struct PendingCommit {
    pub(super) since: Duration,
    /// Tasks whose state waits for the commit, by index.
    pub(super) tasks: Vec<usize>,
    /// By sub-topology: where the inputs of its tasks were read to.
    pub(super) read: Vec<(u32, Vec<(TopicPartition, Offset)>)>,
}

#[cfg(test)]
mod tests {
    use super::PhaseKind::{Ended, Preparing, Restoring, Running, Waiting};

    #[test]
    fn phases_follow_each_other_as_the_table_says() {
        let table = [
            (Preparing, &[Restoring, Waiting, Ended][..]),
            (Restoring, &[Running, Waiting, Ended]),
            (Running, &[Waiting, Ended]),
            (Waiting, &[Preparing, Running, Waiting, Ended]),
            (Ended, &[Ended]),
        ];
        for (from, next) in table {
            for to in [Preparing, Restoring, Running, Waiting, Ended] {
                assert_eq!(from.leads_to(to), next.contains(&to), "{from:?} to {to:?}");
            }
        }
    }
}
