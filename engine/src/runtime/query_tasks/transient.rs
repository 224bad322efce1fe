//! Transient queries: all tasks on one worker, rows to one client, no transactions.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use weir_broker::ids::TopicPartition;
use weir_broker::record::batch::BatchIter;

use crate::error::query::{Result, RuntimeError};
use crate::metrics::QueryMetrics;
use crate::push::subscription::Offered;
use crate::query::handle::QueryHandle;
use crate::runtime::context::WorkerContext;
use crate::runtime::messages::{Mode, TransientMode};
use crate::runtime::query_tasks::phase::{Phase, Running};
use crate::runtime::query_tasks::{Next, QueryTasks};
use crate::task::input::PartitionInput;
use crate::task::stream_task::{StreamTask, TaskId};

/// Gives a task its inputs.
fn begin(task: &mut StreamTask, query: &QueryHandle, mode: &TransientMode) -> Result<()> {
    let id = task.id;
    let sources = &query.factory.sub_topologies()[id.sub_topology as usize].sources;
    let inputs = sources.iter().enumerate().map(|(at, source)| {
        let partition = TopicPartition::new(source.topic.clone(), id.partition);
        if source.internal {
            return Ok(PartitionInput::local(at, source.table, partition));
        }
        let unknown = || RuntimeError::OffsetUnknown { partition: partition.to_string() };
        let offset = mode.from.get(&partition).copied().ok_or_else(unknown)?;
        let end = mode.to.as_ref().map(|to| to.get(&partition).copied().ok_or_else(unknown)).transpose()?;
        let input = PartitionInput::new(at, source.table, partition, offset);
        let input = input.of_topic(query.topics.id(&source.topic));
        Ok(match end {
            Some(end) => input.stopping_at(end),
            None => input,
        })
    });
    task.set_inputs(inputs.collect::<Result<_>>()?);
    task.processor_mut().restored().map_err(RuntimeError::task("start a task"))
}

impl QueryTasks {
    pub(super) fn start_transient(&mut self, context: &WorkerContext) -> Result<()> {
        self.create_tasks(&BTreeMap::new(), context)?;
        let Mode::Transient(mode) = &self.mode else { return Ok(()) };
        self.tasks.iter_mut().try_for_each(|task| begin(task, &self.query, mode))?;
        // Nothing holds up the first flush.
        let running = Running::new(Duration::ZERO, self.collector.records());
        self.transition(Phase::Running(Box::new(running)))
    }

    /// Reads partitions that a topic was given, from their beginning.
    pub(crate) fn read_partitions(
        &mut self,
        topic: &Arc<str>,
        partitions: Range<i32>,
        context: &WorkerContext,
    ) {
        let Mode::Transient(mode) = &mut self.mode else { return };
        mode.from.extend(partitions.clone().map(|p| (TopicPartition::new(topic.clone(), p), 0)));
        let query = self.query.clone();
        let specs = query.factory.sub_topologies().iter().enumerate();
        let readers = specs.filter(|(_, spec)| spec.sources.iter().any(|source| source.topic == *topic));
        let ids = readers.flat_map(|(sub_topology, _)| {
            partitions.clone().map(move |partition| TaskId { sub_topology: sub_topology as u32, partition })
        });
        let ids: Vec<TaskId> = ids.collect();
        self.task_ids.extend(&ids);
        // Tasks that have not begun yet begin with them.
        if matches!(self.phase, Phase::Running(_))
            && let Err(error) = ids.into_iter().try_for_each(|id| self.add_task(id, context))
        {
            self.fail(error, context);
        }
    }

    fn add_task(&mut self, id: TaskId, context: &WorkerContext) -> Result<()> {
        self.create_task(id, &BTreeMap::new(), context)?;
        let (Mode::Transient(mode), Some(task)) = (&self.mode, self.tasks.last_mut()) else { return Ok(()) };
        begin(task, &self.query, mode)
    }

    pub(super) fn advance_transient(&mut self, now: Duration, context: &WorkerContext) -> Result<Next> {
        if !self.stopping.is_empty() {
            return Ok(Next::Done);
        }
        if !self.offer_rows() {
            return Ok(Next::Wait(None));
        }
        let rows = self.process(context)?;
        let interval = self.commit_interval(context);
        let last_commit = self.running().map_or(Duration::ZERO, |running| running.last_commit);
        let dirty = self.tasks.iter().any(StreamTask::needs_commit);
        if dirty && (rows == 0 || now >= last_commit + interval || self.is_full(context)) {
            self.flush_transient(now)?;
        }
        let exchanged = self.exchange()?;
        let taken = self.offer_rows();
        if rows > 0 || exchanged || (dirty && rows == 0) {
            return Ok(if taken { Next::Again } else { Next::Wait(None) });
        }
        if self.rows.is_empty() && self.tasks.iter().all(StreamTask::is_finished) {
            self.end(context);
            return Ok(Next::Again);
        }
        Ok(Next::Wait(None))
    }

    /// What a commit would emit and write, without the transaction.
    fn flush_transient(&mut self, now: Duration) -> Result<()> {
        if let Some(running) = self.running_mut() {
            running.last_commit = now;
            running.uncommitted_rows = 0;
        }
        let mut offsets = Vec::new();
        for task in self.tasks.iter_mut().filter(|t| t.needs_commit()) {
            task.flush(&mut self.targets.output(task.id, &mut self.collector, &mut self.rows))?;
            task.processor_mut().committed(Vec::new()).map_err(RuntimeError::task("keep state"))?;
            task.take_offsets(&mut offsets);
        }
        Ok(())
    }

    /// Carries repartitioned records from tasks to tasks. False if there were none.
    fn exchange(&mut self) -> Result<bool> {
        let batches = self.collector.take_all().map_err(RuntimeError::task("build record batches"))?;
        let any = !batches.is_empty();
        for (partition, encoded) in batches {
            for batch in encoded.into_iter().flat_map(BatchIter::new) {
                let batch = batch
                    .map_err(|source| RuntimeError::Records { partition: partition.to_string(), source })?;
                let inputs = self.tasks.iter_mut().flat_map(|t| t.inputs_mut());
                for input in inputs.filter(|i| *i.partition() == partition) {
                    input.push_local(batch.clone());
                }
            }
        }
        Ok(any)
    }

    /// Gives rows to the client. False if it has no room for more.
    fn offer_rows(&mut self) -> bool {
        let Mode::Transient(mode) = &self.mode else { return true };
        let mut waiting = Vec::new();
        let mut full = false;
        for rows in self.rows.drain(..) {
            if full {
                waiting.push(rows);
                continue;
            }
            let count = rows.len() as u64;
            match mode.sender.offer(rows) {
                Offered::Taken => QueryMetrics::add(&self.query.metrics.records_out, count),
                // The stop message is on its way.
                Offered::Closed => {}
                Offered::Full(rows) => {
                    full = true;
                    waiting.push(rows);
                }
            }
        }
        self.rows = waiting;
        !full && !mode.sender.is_closed()
    }
}
