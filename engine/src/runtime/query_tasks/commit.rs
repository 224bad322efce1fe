//! Exactly once: output, changelog and source offsets in one transaction, local state after it.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_broker::client::admin::Admin;
use weir_broker::client::error::ClientError;
use weir_broker::client::group_offsets::NO_POSITION;
use weir_broker::client::producer::pipeline::ProducedBatch;
use weir_broker::client::producer::transactional::GroupPosition;
use weir_broker::ids::{Offset, TopicPartition};

use crate::error::query::{Result, RuntimeError};
use crate::metrics::QueryMetrics;
use crate::runtime::context::WorkerContext;
use crate::runtime::query_tasks::QueryTasks;
use crate::runtime::query_tasks::phase::{PendingCommit, Phase};
use crate::runtime::query_tasks::refused_records::report_oversized;
use crate::runtime::transaction::CommittedTransaction;
use crate::task::commit::changelog_positions;
use crate::task::stream_task::StreamTask;

/// Places where a test may end the process; they have no failure to report.
macro_rules! crash_point {
    ($name:literal) => {
        drop(weir_broker::failpoint!($name))
    };
}

impl QueryTasks {
    /// Flushes every task that did something and asks for the commit of all of it.
    pub(super) fn begin_commit(&mut self, now: Duration) -> Result<()> {
        let Phase::Running(running) = &mut self.phase else { return Ok(()) };
        let before = self.collector.records();
        let mut offsets = Vec::new();
        let mut waiting = Vec::new();
        let mut read = Vec::new();
        running.last_commit = now;
        running.uncommitted_rows = 0;
        for (at, task) in self.tasks.iter_mut().enumerate().filter(|(_, t)| t.needs_commit()) {
            let collected = self.targets.collect(task, &mut self.collector, &mut self.rows)?;
            running.diverged |= collected.refused;
            if collected.has_state {
                waiting.push(at);
            }
            read.push((task.id.sub_topology, task.source_positions()));
            task.take_offsets(&mut offsets);
        }
        if running.renewal.take_notes() {
            offsets.extend(self.written_only.iter().map(|partition| (partition.clone(), NO_POSITION)));
        }
        report_oversized(&self.query, &mut self.collector)?;
        let metrics = &self.query.metrics;
        QueryMetrics::add(&metrics.records_out, self.collector.records() - before);
        QueryMetrics::add(&metrics.bytes_out, (running.output_bytes + self.collector.bytes()) as u64);
        let batches = self.collector.take_all().map_err(RuntimeError::task("build record batches"))?;
        running.output_bytes = 0;
        running.committed_records = self.collector.records();
        crash_point!("engine.commit.before_transaction");
        let (group_id, metadata) = (self.query.application_id.clone(), self.notes.clone());
        let position = GroupPosition { group_id, offsets, metadata };
        if let Some(transaction) = &running.transaction {
            // If the loop has ended its reason is on the way.
            let _ = transaction.produce(batches) && transaction.commit(position);
        }
        running.commit = Some(PendingCommit { since: now, tasks: waiting, read });
        Ok(())
    }

    /// The transaction has ended, one way or the other.
    pub(crate) fn committed(
        &mut self,
        outcome: std::result::Result<CommittedTransaction, ClientError>,
        context: &WorkerContext,
    ) {
        let applied = match outcome {
            Ok(transaction) => self.apply_transaction(transaction, context),
            Err(error) => Err(self.commit_failed(error)),
        };
        match applied {
            Ok(()) => self.clear_conditions(context),
            Err(error) => self.fail(error, context),
        }
    }

    fn apply_transaction(
        &mut self,
        transaction: CommittedTransaction,
        context: &WorkerContext,
    ) -> Result<()> {
        let CommittedTransaction { produced, refused } = transaction;
        let Some(commit) = self.running_mut().and_then(|running| running.commit.take()) else {
            return Ok(());
        };
        crash_point!("engine.commit.after_transaction");
        self.apply_commit(&commit, &produced)?;
        let progress = &self.query.progress;
        progress.note_written(&produced);
        for (sub_topology, positions) in &commit.read {
            progress.note_read(*sub_topology, positions);
        }
        progress.announce();
        crash_point!("engine.commit.after_state");
        self.tasks.iter_mut().for_each(StreamTask::confirm_commit);
        self.report_refused(&refused);
        let now = context.clock.monotonic();
        self.failures = 0;
        self.back_off = None;
        let took = now.saturating_sub(commit.since);
        tracing::debug!(query_id = %self.query.query_id, worker = context.worker, ?took, "committed");
        self.query.metrics.committed(took.as_micros() as u64);
        let Some(running) = self.running_mut() else { return Ok(()) };
        running.has_committed = true;
        if !running.diverged {
            return Ok(());
        }
        // Tasks hold the values that the stores do not have: they are built anew from the stores.
        tracing::debug!(query_id = %self.query.query_id, "tasks begin anew from their stores");
        self.reload(now)
    }

    fn apply_commit(&mut self, commit: &PendingCommit, produced: &[ProducedBatch]) -> Result<()> {
        let mut ends: BTreeMap<&TopicPartition, Offset> = BTreeMap::new();
        for batch in produced {
            let end = ends.entry(&batch.partition).or_insert(batch.next_offset);
            *end = (*end).max(batch.next_offset);
        }
        let specs = self.query.factory.sub_topologies();
        for task in &commit.tasks {
            let task = &mut self.tasks[*task];
            let spec = &specs[task.id.sub_topology as usize];
            let positions = changelog_positions(spec, task.id, |partition| ends.get(partition).copied());
            task.processor_mut().committed(positions).map_err(RuntimeError::task("write committed state"))?;
        }
        Ok(())
    }

    /// Deletes records of repartition topics that are processed and committed.
    pub(super) fn purge(&mut self, now: Duration, context: &WorkerContext) {
        let interval = Duration::from_millis(context.config.repartition_purge_interval_ms);
        if self.is_committing() || now < self.last_purge + interval {
            return;
        }
        self.last_purge = now;
        let specs = self.query.factory.sub_topologies();
        let mut done = Vec::new();
        for task in self.tasks.iter().filter(|t| !t.needs_commit()) {
            let sources = &specs[task.id.sub_topology as usize].sources;
            let internal = task.inputs().iter().filter(|i| sources[i.source].internal && i.position() > 0);
            done.extend(internal.map(|i| (i.partition().clone(), i.position())));
        }
        if done.is_empty() {
            return;
        }
        let admin = Admin::new(context.transport.clone());
        context.runtime.spawn(async move {
            for (partition, offset) in done {
                if let Err(error) = admin.delete_records(&partition, offset).await {
                    tracing::debug!(%partition, %error, "repartitioned records not deleted");
                }
            }
        });
    }
}
