//! Failures, new attempts, and the end.

use std::time::Duration;

use crate::config::EngineConfig;
use crate::error::query::{Result, Retry, RuntimeError};
use crate::metrics::QueryMetrics;
use crate::query::condition::QueryCondition;
use crate::query::handle::WorkerStatus;
use crate::query::status::QueryState;
use crate::runtime::context::WorkerContext;
use crate::runtime::messages::Mode;
use crate::runtime::query_tasks::QueryTasks;
use crate::runtime::query_tasks::phase::Phase;
use crate::runtime::transaction::Refusals;

impl QueryTasks {
    /// A failure: everything uncommitted is dropped, and tried again later if that can help.
    pub(crate) fn fail(&mut self, error: RuntimeError, context: &WorkerContext) {
        if context.is_abandoned() || matches!(self.phase, Phase::Ended) {
            return;
        }
        if error.is_interruption() {
            tracing::debug!(query_id = %self.query.query_id, "step given up, its query is being stopped");
            self.end(context);
            return;
        }
        let is_refused = error.is_refused_record();
        let is_left_out = self.refusals != Refusals::Fail || self.query.settings.fail_on_production_error;
        let retry = match (&self.mode, error.retry()) {
            (Mode::Persistent, _) if is_refused && is_left_out => Retry::Never,
            (Mode::Persistent, retry) => retry,
            (Mode::Transient(_), _) => Retry::Never,
        };
        self.reloading = false;
        if is_refused {
            self.leave_out_refused();
        }
        self.query.fail(&error, context.clock.now_ms(), retry == Retry::Never);
        match retry {
            Retry::Never => {
                tracing::error!(query_id = %self.query.query_id, cause = error.chain(), "query stopped");
                self.end(context);
            }
            Retry::Backoff => self.restart_later(&error, context),
        }
    }

    /// The next attempt follows after a while.
    fn restart_later(&mut self, error: &RuntimeError, context: &WorkerContext) {
        let (query_id, pause) = (&self.query.query_id, backoff(&context.config, self.failures));
        tracing::warn!(%query_id, cause = error.chain(), ?pause, "tasks of a query failed, restarting them");
        self.failures += 1;
        self.drop_tasks();
        QueryMetrics::add(&self.query.metrics.restarts, 1);
        if let Err(error) = self.transition(Phase::Waiting { until: context.clock.monotonic() + pause }) {
            return self.give_up(&error, context.clock.now_ms(), context);
        }
        let now_ms = context.clock.now_ms();
        let since_ms = self.back_off.as_ref().and_then(QueryCondition::since_ms).unwrap_or(now_ms);
        self.back_off = Some(QueryCondition::BackOff {
            failures: self.failures,
            cause: error.chain(),
            since_ms,
            retry_at_ms: now_ms.saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)),
        });
        self.publish(context);
    }

    /// As a fatal [`QueryTasks::fail`] that logs nothing.
    pub(crate) fn give_up(&mut self, error: &RuntimeError, at_ms: i64, context: &WorkerContext) {
        if !self.query.is_failed() {
            self.query.fail(error, at_ms, true);
        }
        self.set_ended();
        let status = WorkerStatus { state: QueryState::Error, tasks: Vec::new(), conditions: Vec::new() };
        self.query.set_status(context.worker, status);
        self.drop_tasks();
    }

    /// Nothing of the query runs here any more.
    pub(super) fn end(&mut self, context: &WorkerContext) {
        if context.is_abandoned() {
            return;
        }
        self.drop_tasks();
        self.set_ended();
        if let Mode::Transient(mode) = &mut self.mode {
            mode.sender = crate::push::subscription::channel(1).0;
        }
        self.publish(context);
    }

    fn set_ended(&mut self) {
        let ended = self.transition(Phase::Ended);
        debug_assert!(ended.is_ok(), "every phase may end");
    }

    fn drop_tasks(&mut self) {
        self.query.remove_readers(self.task_ids.iter().copied());
        self.discard();
    }

    /// Builds the tasks anew from their stores, which can be read meanwhile.
    pub(super) fn reload(&mut self, now: Duration) -> Result<()> {
        self.discard();
        self.reloading = true;
        self.transition(Phase::Waiting { until: now })
    }

    /// Uncommitted state goes with the tasks. What was produced is aborted when the phase ends.
    fn discard(&mut self) {
        self.tasks.clear();
        self.rows.clear();
        self.collector.discard();
    }

    /// Gives everything up, and tells those who wait for that.
    pub(super) fn release(&mut self) {
        self.drop_tasks();
        // The transaction is aborted before the end is reported.
        self.set_ended();
        self.stopping.clear();
    }
}

fn backoff(config: &EngineConfig, failures: u32) -> Duration {
    let factor = 1_u64 << failures.min(20);
    Duration::from_millis(config.restart_backoff_ms.saturating_mul(factor).min(config.restart_backoff_max_ms))
}
