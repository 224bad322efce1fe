//! The begin of an attempt: its producer, offsets and stores.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::query::{Result, RuntimeError};
use crate::metrics::QueryMetrics;
use crate::query::handle::Predecessors;
use crate::runtime::context::WorkerContext;
use crate::runtime::messages::{AttemptId, Mode, Prepared};
use crate::runtime::prepare::{self, Preparation};
use crate::runtime::query_tasks::QueryTasks;
use crate::runtime::query_tasks::phase::Phase;
use crate::runtime::restore::Restore;
use crate::runtime::supervise::{Waiting, supervised};
use crate::runtime::topic_limits::TopicLimits;
use crate::state::memory::MemoryBackend;
use crate::task::stream_task::{StreamTask, TaskId};

impl QueryTasks {
    /// Begins an attempt to run.
    pub(crate) fn start(&mut self, attempt: AttemptId, context: &WorkerContext) {
        self.attempt = attempt;
        self.attempt_since = context.clock.monotonic();
        self.progress = Arc::default();
        let started = match &self.mode {
            Mode::Persistent => self.prepare(context),
            Mode::Transient(_) => self.start_transient(context),
        };
        if let Err(error) = started {
            self.fail(error, context);
        }
        self.publish(context);
    }

    fn prepare(&mut self, context: &WorkerContext) -> Result<()> {
        self.transition(Phase::Preparing)?;
        let attempt = self.attempt;
        let preparation = Preparation {
            attempt,
            query: self.query.clone(),
            tasks: self.task_ids.clone(),
            worker: context.worker,
            transaction_timeout_ms: context.config.transaction_timeout_ms,
            predecessors: std::mem::replace(&mut self.predecessors, Predecessors::Possible),
            refusals: self.refusals.clone(),
            progress: self.progress.clone(),
            storage: context.storage.clone(),
        };
        let work = prepare::run(preparation, context.transport.clone(), context.inbox.clone());
        let waiting = Waiting::Attempt(attempt);
        context.runtime.spawn(supervised("start of a query", waiting, context.inbox.clone(), work));
        Ok(())
    }

    /// Everything about the beginning is known: opens the stores and begins to restore them.
    pub(crate) fn prepared(&mut self, outcome: Result<Box<Prepared>>, context: &WorkerContext) {
        if !matches!(self.phase, Phase::Preparing) {
            // The attempt, or the query, has failed meanwhile.
            return;
        }
        let begun = outcome.and_then(|prepared| {
            self.create_tasks(&prepared.limits, context)?;
            let now_ms = context.clock.now_ms();
            let restore = Restore::plan(&mut self.tasks, &self.query, &prepared, now_ms)?;
            QueryMetrics::add(&self.query.metrics.restore_remaining, restore.remaining());
            self.transition(Phase::Restoring { restore, prepared, fetching: false })
        });
        if let Err(error) = begun {
            self.fail(error, context);
        }
        self.publish(context);
    }

    pub(super) fn create_tasks(
        &mut self,
        limits: &BTreeMap<Arc<str>, TopicLimits>,
        context: &WorkerContext,
    ) -> Result<()> {
        self.tasks.clear();
        self.task_ids.clone().into_iter().try_for_each(|id| self.create_task(id, limits, context))
    }

    pub(super) fn create_task(
        &mut self,
        id: TaskId,
        limits: &BTreeMap<Arc<str>, TopicLimits>,
        context: &WorkerContext,
    ) -> Result<()> {
        let query = self.query.clone();
        let spec = &query.factory.sub_topologies()[id.sub_topology as usize];
        let backend = match &self.mode {
            Mode::Persistent => context.storage.open(&query.application_id, id, &spec.stores)?,
            Mode::Transient(_) => Box::new(MemoryBackend::new(spec.stores.len())),
        };
        let processor = query
            .factory
            .create(id.sub_topology, id.partition, backend)
            .map_err(RuntimeError::task("build a task"))?;
        let mut task = StreamTask::new(id, processor, Vec::new());
        task.processor_mut().interrupt_by(query.cancellation().clone());
        self.tasks.push(task);
        let width = |topic: &Arc<str>| query.partition_count(topic).unwrap_or(1);
        self.targets.add(id.sub_topology, spec, |topic| {
            let target = self.collector.target(topic, width(topic));
            let bytes_max = limits.get(topic).map_or(usize::MAX, |limits| limits.batch_bytes_max);
            self.collector.set_batch_bytes_max(target, bytes_max);
            target
        });
        Ok(())
    }
}
