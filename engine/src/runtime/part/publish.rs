//! The state, the positions and the conditions of a part, as others see them.

use std::time::Duration;

use weir_broker::client::producer::progress::ProducerStage;

use crate::query::condition::QueryCondition;
use crate::query::handle::PartStatus;
use crate::query::status::{InputStatus, QueryState, TaskStatus};
use crate::runtime::part::{Part, PartContext, Phase};
use crate::task::input::PartitionInput;
use crate::task::stream_task::StreamTask;

/// How often status is published while rows flow.
pub(super) const PUBLISH_INTERVAL: Duration = Duration::from_millis(200);
/// A start or commit that the broker has refused for as long is shown.
pub(super) const REFUSED_FOR: Duration = Duration::from_secs(1);
/// A commit that has not been answered for as long is shown.
const SLOW_COMMIT: Duration = Duration::from_secs(5);

impl Part {
    fn conditions(&self, context: &PartContext) -> Vec<QueryCondition> {
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
    fn pending(&self, context: &PartContext) -> Option<QueryCondition> {
        let (since, patience) = match (&self.phase, &self.commit) {
            (Phase::Preparing, _) => (self.attempt_since, None),
            (_, Some(commit)) => (commit.since, Some(SLOW_COMMIT)),
            (_, None) => return None,
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
    pub(super) fn clear_conditions(&mut self, context: &PartContext) {
        if self.shows_conditions {
            self.publish(context);
        }
    }

    /// Makes state and positions visible to others.
    pub(crate) fn publish(&mut self, context: &PartContext) {
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
            Phase::Running if self.query.is_paused() => QueryState::Paused,
            Phase::Running => QueryState::Running,
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
        self.query.set_part(context.worker, PartStatus { state, tasks, conditions });
    }
}
