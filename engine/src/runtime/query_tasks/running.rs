//! Rows are processed and committed.

use std::time::Duration;

use crate::error::query::{Result, RuntimeError};
use crate::metrics::QueryMetrics;
use crate::runtime::context::WorkerContext;
use crate::runtime::messages::Mode;
use crate::runtime::query_tasks::commit_pacing::CommitPacing;
use crate::runtime::query_tasks::offset_renewal::OffsetRenewal;
use crate::runtime::query_tasks::phase::{Phase, Running};
use crate::runtime::query_tasks::refused_records::report_oversized;
use crate::runtime::query_tasks::status::REFUSED_FOR;
use crate::runtime::query_tasks::{Next, QueryTasks};
use crate::runtime::transaction::TransactionSender;
use crate::task::stream_task::StreamTask;

impl QueryTasks {
    pub(super) fn running(&self) -> Option<&Running> {
        let Phase::Running(running) = &self.phase else { return None };
        Some(running)
    }

    pub(super) fn running_mut(&mut self) -> Option<&mut Running> {
        let Phase::Running(running) = &mut self.phase else { return None };
        Some(running)
    }

    pub(super) fn advance_running(&mut self, now: Duration, context: &WorkerContext) -> Result<Next> {
        if let Mode::Transient(_) = &self.mode {
            return self.advance_transient(now, context);
        }
        let Some(running) = self.running() else { return Ok(Next::Again) };
        running.readers.iter().try_for_each(|r| r.check()).map_err(RuntimeError::task("read state"))?;
        let mut rows = 0;
        if self.may_process(context) {
            rows = self.process(context)?;
            if context.is_abandoned() {
                // A successor does this work again.
                return Ok(Next::Done);
            }
            self.send_ahead()?;
        }
        self.renew_offsets(now, context);
        if self.may_stop(now, context) {
            return Ok(Next::Done);
        }
        if self.commit_if_due(rows, now, context)? {
            return Ok(Next::Again);
        }
        self.purge(now, context);
        if rows > 0 {
            return Ok(Next::Again);
        }
        Ok(Next::Wait(self.next_time(now, context)))
    }

    fn renew_offsets(&mut self, now: Duration, context: &WorkerContext) {
        let Phase::Running(running) = &mut self.phase else { return };
        if running.renewal.is_due(now) && running.commit.is_none() {
            running.renewal = OffsetRenewal::after(now, context.offset_renewal_interval());
            self.tasks.iter_mut().for_each(StreamTask::renew_offsets);
        }
    }

    pub(super) fn is_committing(&self) -> bool {
        self.running().is_some_and(|running| running.commit.is_some())
    }

    fn needs_commit(&self) -> bool {
        self.tasks.iter().any(StreamTask::needs_commit)
    }

    /// True if a stop is asked for and everything is committed, or that takes too long.
    fn may_stop(&self, now: Duration, context: &WorkerContext) -> bool {
        if self.stopping.is_empty() {
            return false;
        }
        let out_of_patience = now >= self.stopping_since + context.stop_timeout();
        if out_of_patience {
            tracing::warn!(query_id = %self.query.query_id, "query stopped without its last commit");
        }
        out_of_patience || (!self.needs_commit() && !self.is_committing())
    }

    /// Begins a commit if it is time for one. False: it is not. `rows`: how many were just processed.
    fn commit_if_due(&mut self, rows: usize, now: Duration, context: &WorkerContext) -> Result<bool> {
        let Some(due_at) = self.commit_due_at(context) else { return Ok(false) };
        let drained = rows == 0 && self.tasks.iter().all(StreamTask::is_drained);
        let ending = !self.stopping.is_empty() || self.query.is_paused();
        let is_due = now >= due_at || self.is_full(context) || ending || !self.may_produce() || drained;
        if !is_due {
            return Ok(false);
        }
        let longest = self.commit_interval(context);
        if let Some(running) = self.running_mut() {
            running.pacing.committed(longest);
            if drained {
                running.pacing = CommitPacing::new();
            }
        }
        self.begin_commit(now)?;
        Ok(true)
    }

    /// When the next commit is due. None: there is nothing to commit, or no commit can be begun.
    fn commit_due_at(&self, context: &WorkerContext) -> Option<Duration> {
        let running = self.running()?;
        let is_possible = running.commit.is_none() && self.tasks.iter().all(StreamTask::is_aligned);
        if !is_possible || !self.needs_commit() {
            return None;
        }
        let longest = self.commit_interval(context);
        let interval = if self.has_output() { running.pacing.interval(longest) } else { longest };
        Some(running.last_commit + interval)
    }

    /// When there is something to do, if nothing arrives before.
    fn next_time(&self, now: Duration, context: &WorkerContext) -> Option<Duration> {
        let is_committing = self.is_committing();
        let look_at = is_committing.then(|| now + REFUSED_FOR);
        let give_up_at = (!self.stopping.is_empty()).then(|| self.stopping_since + context.stop_timeout());
        let renew_at = self.running().filter(|_| !is_committing).map(|running| running.renewal.due_at());
        [self.commit_due_at(context), look_at, give_up_at, renew_at].into_iter().flatten().min()
    }

    /// The longest time between two commits.
    pub(super) fn commit_interval(&self, context: &WorkerContext) -> Duration {
        let configured = self.query.settings.commit_interval_ms;
        Duration::from_millis(configured.unwrap_or(context.config.commit_interval_ms))
    }

    /// True if enough is uncommitted: it takes memory.
    pub(super) fn is_full(&self, context: &WorkerContext) -> bool {
        let Some(running) = self.running() else { return false };
        let state_bytes: usize = self.tasks.iter().map(StreamTask::uncommitted_bytes).sum();
        running.output_bytes + self.collector.bytes() >= context.config.output_bytes_max
            || state_bytes >= context.config.uncommitted_bytes_max
            || running.uncommitted_rows >= context.config.uncommitted_rows_max
    }

    /// True if a commit would show readers something new.
    fn has_output(&self) -> bool {
        let is_new = |running: &Running| self.collector.records() > running.committed_records;
        self.running().is_some_and(is_new) || self.tasks.iter().any(StreamTask::is_fed)
    }

    /// While a commit is under way what is processed belongs to the next. Only the first has the processor for itself: a
    /// client waits for it.
    fn may_process(&self, context: &WorkerContext) -> bool {
        let Some(running) = self.running() else { return false };
        let has_room = running.commit.is_none() || (running.has_committed && !self.is_full(context));
        let is_ending = self.query.is_paused() || !self.stopping.is_empty();
        has_room && self.may_produce() && (!is_ending || !self.tasks.iter().all(StreamTask::is_aligned))
    }

    fn may_produce(&self) -> bool {
        let transaction = self.running().and_then(|running| running.transaction.as_ref());
        transaction.is_none_or(TransactionSender::has_room)
    }

    /// Lets every task that may process some rows.
    pub(super) fn process(&mut self, context: &WorkerContext) -> Result<usize> {
        let Phase::Running(running) = &mut self.phase else { return Ok(0) };
        let (before, begun) = (self.collector.records(), context.clock.monotonic());
        let mut rows = 0;
        let most = context.config.batch_rows_max;
        let (rows_max, bytes_max) = (running.pacing.rows(most), context.config.output_bytes_max);
        for task in &mut self.tasks {
            let mut out = self.targets.output(task.id, &mut self.collector, &mut self.rows);
            rows += task.process(rows_max, bytes_max, self.query.cancellation(), &mut out)?;
        }
        report_oversized(&self.query, &mut self.collector)?;
        if rows > 0 {
            if running.uncommitted_rows == 0 && !running.has_committed {
                tracing::debug!(query_id = %self.query.query_id, worker = context.worker, rows, "first rows processed");
            }
            running.pacing.processed(most, context.clock.monotonic().saturating_sub(begun));
            running.uncommitted_rows += rows;
        }
        QueryMetrics::add(&self.query.metrics.rows_in, rows as u64);
        QueryMetrics::add(&self.query.metrics.records_out, self.collector.records() - before);
        Ok(rows)
    }

    /// Hands full batches to the broker before the commit, so that it has less to wait for.
    fn send_ahead(&mut self) -> Result<()> {
        let Phase::Running(running) = &mut self.phase else { return Ok(()) };
        if !self.collector.has_full() {
            return Ok(());
        }
        let before = self.collector.bytes();
        let batches = self.collector.take_full().map_err(RuntimeError::task("build record batches"))?;
        running.output_bytes += before - self.collector.bytes();
        if let Some(transaction) = &running.transaction {
            // If the loop has ended its reason is on the way.
            let _ = transaction.produce(batches);
        }
        Ok(())
    }

    /// The inputs that want records, while rows are processed at all.
    pub(crate) fn inputs_mut(&mut self) -> &mut [StreamTask] {
        if self.running().is_some() && self.stopping.is_empty() { &mut self.tasks } else { &mut [] }
    }

    /// True if rows are processed, none of their results was seen yet, and there may be some.
    pub(crate) fn awaits_first_output(&self) -> bool {
        let Some(running) = self.running() else { return false };
        let is_fresh = |task: &StreamTask| task.inputs().iter().all(|i| i.lag().is_none());
        let is_fed = |task: &StreamTask| task.inputs().iter().any(|i| i.has_rows() || i.buffered_bytes() > 0);
        match self.mode {
            Mode::Persistent => !running.has_committed && self.tasks.iter().any(|t| is_fresh(t) || is_fed(t)),
            Mode::Transient(_) => self.tasks.iter().any(is_fresh),
        }
    }
}
