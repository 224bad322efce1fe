//! The state, the positions and the conditions of a query's tasks, as others see them.

use std::time::Duration;

use weir_broker::client::producer::progress::ProducerStage;

use crate::query::condition::QueryCondition;
use crate::query::handle::WorkerStatus;
use crate::query::status::{InputStatus, QueryState, TaskStatus};
use crate::runtime::context::WorkerContext;
use crate::runtime::query_tasks::QueryTasks;
use crate::runtime::query_tasks::phase::Phase;
use crate::task::input::PartitionInput;
use crate::task::stream_task::StreamTask;

/// How often status is published while rows flow.
pub(super) const PUBLISH_INTERVAL: Duration = Duration::from_millis(200);
/// A start or commit that the broker has refused for as long is shown.
pub(super) const REFUSED_FOR: Duration = Duration::from_secs(1);
/// A commit that has not been answered for as long is shown.
const SLOW_COMMIT: Duration = Duration::from_secs(5);

impl QueryTasks {
    fn conditions(&self, context: &WorkerContext) -> Vec<QueryCondition> {
        let mut conditions = Vec::new();
        if let (Phase::Waiting { .. } | Phase::Preparing | Phase::Restoring { .. }, Some(back_off)) =
            (&self.phase, &self.back_off)
        {
            conditions.push(back_off.clone());
        }
        conditions.extend(self.pending(context));
        conditions
    }

    /// A start or commit that the broker refuses, or has not answered for long.
    fn pending(&self, context: &WorkerContext) -> Option<QueryCondition> {
        let (since, patience) = match &self.phase {
            Phase::Preparing => (self.attempt_since, None),
            Phase::Running(running) => (running.commit.as_ref()?.since, Some(SLOW_COMMIT)),
            Phase::Restoring { .. } | Phase::Waiting { .. } | Phase::Ended => return None,
        };
        let pending = self.last_publish.saturating_sub(since);
        let cause = self.progress.refusal().filter(|_| pending >= REFUSED_FOR);
        if cause.is_none() && patience.is_none_or(|patience| pending < patience) {
            return None;
        }
        let pending_ms = i64::try_from(pending.as_millis()).unwrap_or(i64::MAX);
        let since_ms = context.clock.now_ms().saturating_sub(pending_ms);
        Some(match self.progress.stage() {
            ProducerStage::Committing => QueryCondition::CommitPending { since_ms, cause },
            ProducerStage::Initializing | ProducerStage::Writing | ProducerStage::Idle => {
                QueryCondition::WritePending { since_ms, cause }
            }
        })
    }

    /// Conditions that were published are over.
    pub(super) fn clear_conditions(&mut self, context: &WorkerContext) {
        if self.shows_conditions {
            self.publish(context);
        }
    }

    /// Makes state and positions visible to others.
    pub(crate) fn publish(&mut self, context: &WorkerContext) {
        if context.is_abandoned() {
            return;
        }
        self.last_publish = context.clock.monotonic();
        let state = match &self.phase {
            Phase::Preparing | Phase::Restoring { .. } | Phase::Waiting { .. } if self.reloading => {
                QueryState::Running
            }
            Phase::Preparing => QueryState::Starting,
            Phase::Restoring { .. } => QueryState::Restoring,
            Phase::Running(_) if self.query.is_paused() => QueryState::Paused,
            Phase::Running(_) => QueryState::Running,
            Phase::Waiting { .. } if self.failures == 0 => QueryState::Starting,
            Phase::Waiting { .. } => QueryState::Restarting,
            Phase::Ended if self.query.is_failed() => QueryState::Error,
            Phase::Ended => QueryState::Paused,
        };
        let inputs = |task: &StreamTask| {
            let input = |i: &PartitionInput| InputStatus {
                topic: i.partition().topic.to_string(),
                partition: i.partition().partition,
                position: i.position(),
                lag: i.lag(),
                committed: i.durable(),
                committed_lag: i.committed_lag(),
            };
            task.inputs().iter().map(input).collect()
        };
        let tasks = self
            .tasks
            .iter()
            .map(|t| TaskStatus { id: t.id, worker: context.worker, inputs: inputs(t) })
            .collect();
        let conditions = self.conditions(context);
        self.shows_conditions = !conditions.is_empty();
        self.query.set_status(context.worker, WorkerStatus { state, tasks, conditions });
    }
}
