//! The tasks of a query on one worker.
//!
//! ```text
//!  Preparing --prepared--> Restoring --caught up--> Running
//!      ^                       |                       |
//!      +------- Waiting <------+------ failure --------+
//!                  |
//!                  +--> Ended      fatal failure, or finished
//! ```
//!
//! | from | to |
//! |---|---|
//! | Waiting | Preparing; Running, for the tasks of a transient query, which need no preparation |
//! | Preparing | Restoring |
//! | Restoring | Running |
//! | any but Ended | Waiting, after a failure |
//! | any | Ended |

mod commit;
mod commit_pacing;
mod failure;
mod offset_renewal;
mod offset_reset;
mod phase;
mod preparing;
mod refused_records;
mod restoring;
mod running;
mod status;
mod transient;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use weir_broker::client::producer::progress::ProducerProgress;
use weir_broker::ids::TopicPartition;

use crate::batch::RowBatch;
use crate::error::query::{Result, RuntimeError};
use crate::query::condition::QueryCondition;
use crate::query::handle::{Predecessors, QueryHandle};
use crate::runtime::context::WorkerContext;
use crate::runtime::messages::{Assignment, AttemptId, Mode, Stopped};
use crate::runtime::query_tasks::phase::Phase;
use crate::runtime::query_tasks::status::{PUBLISH_INTERVAL, REFUSED_FOR};
use crate::runtime::transaction::Refusals;
use crate::task::collector::RecordCollector;
use crate::task::commit::OutputTargets;
use crate::task::stream_task::{StreamTask, TaskId};

pub(crate) struct QueryTasks {
    pub(crate) query: Arc<QueryHandle>,
    pub(crate) attempt: AttemptId,
    phase: Phase,
    mode: Mode,
    task_ids: Vec<TaskId>,
    tasks: Vec<StreamTask>,
    targets: OutputTargets,
    collector: RecordCollector,
    /// Rows for the client that were not taken yet.
    rows: Vec<RowBatch>,
    /// Before the first attempt; later ones follow it.
    predecessors: Predecessors,
    last_purge: Duration,
    last_publish: Duration,
    /// Failures since the last success.
    failures: u32,
    /// The last failure, while it is waited out.
    back_off: Option<QueryCondition>,
    /// The stage that the transactions of this attempt wait in.
    progress: Arc<ProducerProgress>,
    /// Begin of this attempt.
    attempt_since: Duration,
    /// The published status has conditions.
    shows_conditions: bool,
    /// Told when the tasks have ended.
    stopping: Vec<Stopped>,
    /// When the first of them came.
    stopping_since: Duration,
    refusals: Refusals,
    /// Tasks begin anew from their stores: to others they have been running all the time.
    reloading: bool,
    /// By topic: notes that go with its offsets.
    notes: Arc<BTreeMap<Arc<str>, String>>,
    /// Partitions that are noted and not read.
    written_only: Vec<TopicPartition>,
}

impl fmt::Debug for QueryTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tasks = f.debug_struct("QueryTasks");
        tasks.field("query", &self.query).field("phase", &self.phase).finish_non_exhaustive()
    }
}

/// The next turn that the tasks of a query ask of their worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// There is more to do.
    Again,
    /// Nothing before this time, or before something arrives.
    Wait(Option<Duration>),
    /// The tasks can be forgotten.
    Done,
}

impl QueryTasks {
    pub(crate) fn new(assignment: Assignment, context: &WorkerContext) -> QueryTasks {
        let config = &context.config;
        let collector = RecordCollector::new(config.compression, config.output_batch_bytes);
        let collector = match &assignment.mode {
            Mode::Persistent => collector,
            Mode::Transient(_) => collector.with_local_offsets(),
        };
        let predecessors = assignment.query.predecessors;
        let (topics, specs) = (&assignment.query.topics, assignment.query.factory.sub_topologies());
        let (notes, written_only) = (topics.notes(specs), topics.written_only(specs));
        QueryTasks {
            query: assignment.query,
            predecessors,
            attempt: AttemptId(0),
            phase: Phase::Waiting { until: Duration::ZERO },
            mode: assignment.mode,
            task_ids: assignment.tasks,
            tasks: Vec::new(),
            targets: OutputTargets::default(),
            collector,
            rows: Vec::new(),
            last_purge: context.clock.monotonic(),
            last_publish: Duration::ZERO,
            failures: 0,
            back_off: None,
            progress: Arc::default(),
            attempt_since: Duration::ZERO,
            shows_conditions: false,
            stopping: Vec::new(),
            stopping_since: Duration::ZERO,
            refusals: Refusals::Fail,
            reloading: false,
            notes: Arc::new(notes),
            written_only,
        }
    }

    /// Goes over to another phase. What belongs to the one before is dropped.
    ///
    /// Errors: the table of phases does not have that.
    fn transition(&mut self, to: Phase) -> Result<()> {
        let (from, kind) = (self.phase.kind(), to.kind());
        debug_assert!(from.leads_to(kind), "{from:?} does not lead to {kind:?}");
        if !from.leads_to(kind) {
            let query_id = self.query.query_id.clone();
            return Err(RuntimeError::Transition { query_id, from: from.name(), to: kind.name() });
        }
        self.phase = to;
        Ok(())
    }

    /// Does some of what there is to do.
    pub(crate) fn advance(&mut self, now: Duration, context: &WorkerContext) -> Next {
        if self.query.is_failed() && !matches!(self.phase, Phase::Ended) {
            self.end(context);
        }
        let next = match &self.phase {
            Phase::Running(_) => self.advance_running(now, context),
            Phase::Preparing | Phase::Restoring { .. } | Phase::Waiting { .. } | Phase::Ended
                if !self.stopping.is_empty() =>
            {
                Ok(Next::Done)
            }
            // Looks from time to time whether the start is refused.
            Phase::Preparing => Ok(Next::Wait(Some(now + REFUSED_FOR))),
            Phase::Restoring { .. } => self.advance_restore(context),
            Phase::Waiting { until } => Ok(Next::Wait(Some(*until))),
            Phase::Ended => Ok(Next::Wait(None)),
        };
        match next {
            Ok(Next::Done) if !context.is_abandoned() => {
                self.release();
                Next::Done
            }
            Ok(next) => {
                let changes = matches!(self.phase, Phase::Running(_) | Phase::Preparing);
                if now >= self.last_publish + PUBLISH_INTERVAL && changes {
                    self.publish(context);
                }
                next
            }
            Err(error) => {
                self.fail(error, context);
                Next::Again
            }
        }
    }

    /// True if a new attempt is due.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        matches!(self.phase, Phase::Waiting { until } if now >= until) && self.stopping.is_empty()
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.query.is_paused()
    }

    /// `done` reports the end of the tasks.
    pub(crate) fn stop(&mut self, done: Stopped, now: Duration) {
        if self.stopping.is_empty() {
            self.stopping_since = now;
        }
        self.stopping.push(done);
    }
}
