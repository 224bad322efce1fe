//! What a commit takes from the tasks that share a collector: their last output and the changes of their state.

use std::collections::HashMap;
use std::sync::Arc;

use weir_broker::ids::{Offset, TopicPartition};

use crate::batch::RowBatch;
use crate::error::Result as EngineResult;
use crate::error::query::{Result, RuntimeError};
use crate::state::backend::StoreId;
use crate::state::changelog::{ChangelogRecord, ChangelogSink, Logged};
use crate::task::collector::{Appended, RecordCollector, TakenBytes, TargetId, TaskOutput};
use crate::task::processor::SubTopologySpec;
use crate::task::stream_task::{StreamTask, TaskId};
use crate::topology::emit::OutputRecord;

/// The topics that the tasks of a query write, by their numbers in the collector.
#[derive(Debug, Default)]
pub struct OutputTargets {
    /// By sub-topology: one per target.
    outputs: HashMap<u32, Vec<TargetId>>,
    /// By sub-topology and store.
    changelogs: HashMap<(u32, u32), TargetId>,
}

impl OutputTargets {
    /// Adds the topics of a sub-topology; `target` adds a topic to the collector.
    pub fn add(
        &mut self,
        sub_topology: u32,
        spec: &SubTopologySpec,
        mut target: impl FnMut(&Arc<str>) -> TargetId,
    ) {
        let outputs = spec.targets.iter().map(|t| target(&t.topic)).collect();
        self.outputs.insert(sub_topology, outputs);
        for changelog in &spec.changelogs {
            self.changelogs.insert((sub_topology, changelog.store.0), target(&changelog.topic));
        }
    }

    /// The output of a task.
    pub fn output<'a>(
        &'a self,
        task: TaskId,
        collector: &'a mut RecordCollector,
        rows: &'a mut Vec<RowBatch>,
    ) -> TaskOutput<'a> {
        let targets = self.outputs.get(&task.sub_topology).map_or(&[][..], Vec::as_slice);
        TaskOutput { collector, targets, partition: task.partition, rows, taken: TakenBytes::default() }
    }

    /// Flushes a task and logs the changes of its state. The caller then takes the task's offsets and sends what the collector
    /// holds, in one transaction; the changes become durable with [`crate::task::processor::Processor::committed`].
    pub fn collect(
        &self,
        task: &mut StreamTask,
        collector: &mut RecordCollector,
        rows: &mut Vec<RowBatch>,
    ) -> Result<Collected> {
        task.flush(&mut self.output(task.id, collector, rows))?;
        let mut collected = Collected { has_state: !task.processor().is_stateless(), refused: false };
        if collected.has_state {
            let mut changelog = TaskChangelog {
                collector,
                changelogs: &self.changelogs,
                task: task.id,
                timestamp: task.stream_time(),
                refused: &mut collected.refused,
            };
            task.processor_mut()
                .log_changes(&mut changelog)
                .map_err(RuntimeError::task("log changes of state"))?;
        }
        Ok(collected)
    }
}

/// The outcome of [`OutputTargets::collect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collected {
    /// The task has state, which waits for the commit.
    pub has_state: bool,
    /// A change was too large for its changelog and is left out: the task holds a value that its store will not have.
    pub refused: bool,
}

/// The positions of a task's stores after a commit. `end` gives the offset after the last record that the commit wrote to a
/// partition, None if it wrote none.
pub fn changelog_positions(
    spec: &SubTopologySpec,
    task: TaskId,
    end: impl Fn(&TopicPartition) -> Option<Offset>,
) -> Vec<(StoreId, Offset)> {
    let position = |store: StoreId, topic: &Arc<str>| {
        Some((store, end(&TopicPartition::new(topic.clone(), task.partition))?))
    };
    spec.changelogs.iter().filter_map(|c| position(c.store, &c.topic)).collect()
}

/// Changelog records of one task, on their way to the collector.
#[derive(Debug)]
struct TaskChangelog<'a> {
    collector: &'a mut RecordCollector,
    changelogs: &'a HashMap<(u32, u32), TargetId>,
    task: TaskId,
    timestamp: i64,
    /// Set if an update was refused.
    refused: &'a mut bool,
}

impl ChangelogSink for TaskChangelog<'_> {
    fn append(&mut self, record: ChangelogRecord<'_>) -> EngineResult<Logged> {
        let Some(target) = self.changelogs.get(&(self.task.sub_topology, record.store.0)) else {
            return Ok(Logged::Yes);
        };
        let output = OutputRecord {
            window_bytes: 0,
            partition: None,
            timestamp: self.timestamp,
            key: Some(record.key),
            value: record.value,
            headers: &[],
        };
        Ok(match self.collector.append_to(*target, self.task.partition, &output) {
            Appended::Taken => Logged::Yes,
            Appended::Oversized => {
                *self.refused = true;
                Logged::Refused
            }
        })
    }
}
