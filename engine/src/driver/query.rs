//! One query of the driver: its tasks, the records on their way between them, its changelogs.
//!
//! Tasks, their inputs, the collector and the steps of a commit are those of [`crate::runtime`]. What the driver has of its own is
//! what surrounds them there: it chooses which records a task gets next, and keeps in memory what would be in topics.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use weir_broker::ids::{Offset, TopicPartition};
use weir_broker::record::batch::RecordBatch;
use weir_broker::record::compression::{Compression, DecompressBuf};

use crate::batch::RowBatch;
use crate::cancellation::Cancellation;
use crate::driver::in_flight::InFlight;
use crate::driver::topic_log::{DriverRecord, TopicLog, decode_records, encode_records};
use crate::driver::{BatchRows, Delivery, DriverConfig, Restart, TaskLayout, split_mix};
use crate::error::query::{Result, RuntimeError};
use crate::state::backend::{StateReader, StoreSpec};
use crate::state::memory::MemoryBackend;
use crate::task::collector::RecordCollector;
use crate::task::commit::{OutputTargets, changelog_positions};
use crate::task::input::PartitionInput;
use crate::task::processor::SubTopologySpec;
use crate::task::stream_task::{StreamTask, TaskId};
use crate::task::topology_processor::TopologyFactory;
use crate::topology::records::RecordColumns;

/// Bytes after which a batch is closed.
const BATCH_BYTES: usize = 1 << 20;

/// The batches of one partition of a changelog.
#[derive(Debug, Default)]
struct Changelog {
    batches: Vec<RecordBatch>,
    end: Offset,
}

#[derive(Debug)]
pub struct DriverQuery {
    query_id: String,
    config: DriverConfig,
    factory: Arc<TopologyFactory>,
    collector: RecordCollector,
    /// None until the first run: topics may be declared after the query.
    targets: Option<OutputTargets>,
    tasks: BTreeMap<TaskId, StreamTask>,
    backends: HashMap<TaskId, MemoryBackend>,
    changelogs: HashMap<TopicPartition, Changelog>,
    in_flight: InFlight,
    results: Vec<RowBatch>,
    /// Records of the log that were looked at.
    position: usize,
    batches: u64,
    since_commit: usize,
}

impl DriverQuery {
    pub(crate) fn new(query_id: &str, factory: Arc<TopologyFactory>, config: DriverConfig) -> DriverQuery {
        DriverQuery {
            query_id: query_id.to_owned(),
            config,
            factory,
            collector: RecordCollector::new(Compression::None, BATCH_BYTES).with_local_offsets(),
            targets: None,
            tasks: BTreeMap::new(),
            backends: HashMap::new(),
            changelogs: HashMap::new(),
            in_flight: InFlight::new(config.delivery),
            results: Vec::new(),
            position: 0,
            batches: 0,
            since_commit: 0,
        }
    }

    pub(crate) fn query_id(&self) -> &str {
        &self.query_id
    }

    /// Continues with another plan. Tasks are made anew when they get records, from the changelogs.
    pub(crate) fn replace(&mut self, factory: Arc<TopologyFactory>) {
        self.factory = factory;
        self.targets = None;
        self.tasks.clear();
        self.backends.clear();
    }

    pub(crate) fn take_results(&mut self) -> Vec<RowBatch> {
        std::mem::take(&mut self.results)
    }

    /// The stores of each task that has some.
    pub(crate) fn readers(&self) -> impl Iterator<Item = (&[StoreSpec], Arc<dyn StateReader>)> {
        let stores = |id: &TaskId| self.spec(id.sub_topology).stores.as_slice();
        self.tasks.iter().filter_map(move |(id, task)| Some((stores(id), task.processor().reader()?)))
    }

    /// Reads what is new in the topics and commits.
    pub(crate) fn run(&mut self, topics: &mut TopicLog) -> Result<()> {
        let end = topics.len();
        let unread: Vec<usize> =
            (self.position..end).filter(|i| self.reads(&topics.records()[*i].topic)).collect();
        self.position = end;
        if unread.is_empty() {
            return Ok(());
        }
        let mut rest = unread.as_slice();
        while !rest.is_empty() {
            let length = self.next_batch(rest, topics);
            let (batch, after) = rest.split_at(length);
            rest = after;
            let records: Vec<&DriverRecord> = batch.iter().map(|i| &topics.records()[*i]).collect();
            let partition = TopicPartition::new(records[0].topic.as_str(), records[0].partition);
            let batch = encode_records(&records)?;
            self.feed(&partition, &batch, topics)?;
            self.since_commit += length;
            if self.config.commit_records.is_some_and(|limit| self.since_commit >= limit) {
                self.commit(topics)?;
            }
        }
        loop {
            self.deliver(usize::MAX, topics)?;
            self.commit(topics)?;
            if self.in_flight.is_empty() {
                return Ok(());
            }
        }
    }

    fn reads(&self, topic: &str) -> bool {
        let sources = self.factory.sub_topologies().iter().flat_map(|s| &s.sources);
        sources.into_iter().any(|source| !source.internal && *source.topic == *topic)
    }

    /// How many of the next records are one batch.
    fn next_batch(&mut self, rest: &[usize], topics: &TopicLog) -> usize {
        self.batches += 1;
        let limit = match self.config.batch_rows {
            _ if self.factory.record_at_a_time() && self.config.delivery == Delivery::AtOnce => 1,
            BatchRows::Whole => usize::MAX,
            BatchRows::Rows(rows) => rows.max(1),
            BatchRows::Random(seed) => 1 + (split_mix(seed.wrapping_add(self.batches)) % 16) as usize,
        };
        let limit = match self.config.commit_records {
            Some(commit) => limit.min(commit.saturating_sub(self.since_commit).max(1)),
            None => limit,
        };
        let records = topics.records();
        let first = &records[rest[0]];
        rest.iter()
            .take(limit)
            .take_while(|i| {
                let record = &records[**i];
                record.topic == first.topic && record.partition == first.partition
            })
            .count()
    }

    /// Gives a batch of an external topic to every task that reads it, and carries on what is due then.
    fn feed(&mut self, partition: &TopicPartition, batch: &RecordBatch, topics: &mut TopicLog) -> Result<()> {
        for id in self.readers_of(partition) {
            self.process(id, partition, batch, topics)?;
            let due = self.in_flight.due();
            self.deliver(due, topics)?;
        }
        Ok(())
    }

    fn readers_of(&self, partition: &TopicPartition) -> Vec<TaskId> {
        let task_partition = match self.config.layout {
            TaskLayout::Single => 0,
            TaskLayout::PerPartition => partition.partition,
        };
        let subs = self.factory.sub_topologies().iter().zip(0_u32..);
        subs.filter(|(sub, _)| sub.sources.iter().any(|s| s.topic == partition.topic))
            .map(|(_, sub_topology)| TaskId { sub_topology, partition: task_partition })
            .collect()
    }

    /// Gives a batch to the inputs of a task and processes all of it.
    fn process(
        &mut self,
        id: TaskId,
        partition: &TopicPartition,
        batch: &RecordBatch,
        topics: &mut TopicLog,
    ) -> Result<()> {
        if !self.tasks.contains_key(&id) {
            let task = self.new_task(id, topics)?;
            self.tasks.insert(id, task);
        }
        let (Some(task), Some(targets)) = (self.tasks.get_mut(&id), &self.targets) else { return Ok(()) };
        let mut inputs = task.inputs_mut().iter_mut().filter(|i| i.partition() == partition).peekable();
        if inputs.peek().is_none() {
            return Err(RuntimeError::OffsetUnknown { partition: partition.to_string() });
        }
        inputs.for_each(|input| input.push_local(batch.clone()));
        let mut out = targets.output(id, &mut self.collector, &mut self.results);
        while task.process(usize::MAX, usize::MAX, &Cancellation::default(), &mut out)? > 0 {}
        self.carry(topics)
    }

    /// Carries what was collected to topics of the user, to tasks and to changelogs.
    fn carry(&mut self, topics: &mut TopicLog) -> Result<()> {
        let batches = self.collector.take_all().map_err(RuntimeError::task("build record batches"))?;
        for (partition, encoded) in batches {
            let specs = self.factory.sub_topologies();
            if specs.iter().flat_map(|s| &s.changelogs).any(|c| c.topic == partition.topic) {
                let changelog = self.changelogs.entry(partition.clone()).or_default();
                for batch in decode_batches(&partition, encoded)? {
                    changelog.end = batch.header().next_offset();
                    changelog.batches.push(batch);
                }
                continue;
            }
            let is_internal =
                specs.iter().flat_map(|s| &s.targets).any(|t| t.internal && t.topic == partition.topic);
            for batch in decode_batches(&partition, encoded)? {
                for record in decode_records(&partition, &batch)? {
                    match self.config.layout {
                        _ if is_internal => self.in_flight.push(record),
                        TaskLayout::Single => topics.append(record, None),
                        TaskLayout::PerPartition => topics.append(record, Some(partition.partition)),
                    }
                }
            }
        }
        Ok(())
    }

    /// Delivers runs of internal records, those that they lead to included.
    fn deliver(&mut self, runs_max: usize, topics: &mut TopicLog) -> Result<()> {
        for _ in 0..runs_max {
            let Some(run) = self.in_flight.next_run() else { break };
            let partition = TopicPartition::new(run[0].topic.as_str(), run[0].partition);
            let batch = encode_records(&run.iter().collect::<Vec<_>>())?;
            for id in self.readers_of(&partition) {
                self.process(id, &partition, &batch, topics)?;
            }
        }
        Ok(())
    }

    fn spec(&self, sub_topology: u32) -> &SubTopologySpec {
        &self.factory.sub_topologies()[sub_topology as usize]
    }

    /// Partitions of a topic as the query uses it.
    fn width(&self, topic: &str, topics: &TopicLog) -> i32 {
        if self.config.layout == TaskLayout::Single {
            return 1;
        }
        let specs = self.factory.sub_topologies();
        let largest = |subs: &mut dyn Iterator<Item = &SubTopologySpec>| {
            subs.flat_map(|s| &s.sources).filter(|s| !s.internal).map(|s| topics.partitions(&s.topic)).max()
        };
        let reads = |s: &&SubTopologySpec| s.sources.iter().any(|source| *source.topic == *topic);
        let logs = |s: &&SubTopologySpec| s.changelogs.iter().any(|c| *c.topic == *topic);
        let is_internal = |s: &SubTopologySpec| s.targets.iter().any(|t| t.internal && *t.topic == *topic);
        // Topics of the query have as many partitions as those read beside them, else as the largest topic of the query.
        let partitions = if specs.iter().any(|s| logs(&s)) {
            largest(&mut specs.iter().filter(logs)).or_else(|| largest(&mut specs.iter()))
        } else if specs.iter().any(is_internal) {
            largest(&mut specs.iter().filter(reads)).or_else(|| largest(&mut specs.iter()))
        } else {
            Some(topics.partitions(topic))
        };
        partitions.unwrap_or(1)
    }

    fn add_targets(&mut self, topics: &TopicLog) {
        let mut targets = OutputTargets::default();
        let factory = self.factory.clone();
        for (spec, sub_topology) in factory.sub_topologies().iter().zip(0_u32..) {
            targets.add(sub_topology, spec, |topic| {
                let width = self.width(topic, topics);
                self.collector.target(topic, width)
            });
        }
        self.targets = Some(targets);
    }

    /// A task over the state that is there, caught up with its changelogs.
    fn new_task(&mut self, id: TaskId, topics: &TopicLog) -> Result<StreamTask> {
        if self.targets.is_none() {
            self.add_targets(topics);
        }
        let factory = self.factory.clone();
        let spec = &factory.sub_topologies()[id.sub_topology as usize];
        let backend = self.backends.entry(id).or_insert_with(|| MemoryBackend::new(spec.stores.len()));
        let mut processor = factory
            .create(id.sub_topology, id.partition, Box::new(backend.clone()))
            .map_err(RuntimeError::task("build a task"))?;
        for changelog in &spec.changelogs {
            let partition = TopicPartition::new(changelog.topic.clone(), id.partition);
            let Some(log) = self.changelogs.get(&partition) else { continue };
            let read = RuntimeError::task("read a store's position");
            let from = processor.position(changelog.store).map_err(read)?.unwrap_or(0);
            if from < log.end {
                let mut scratch: Vec<DecompressBuf> = Vec::new();
                let records = RecordColumns::collect(id.partition, &log.batches, &mut scratch, from, log.end)
                    .map_err(|source| RuntimeError::Records { partition: partition.to_string(), source })?;
                let restored = processor.restore(changelog.store, &records, log.end);
                restored.map_err(RuntimeError::task("restore a store"))?;
            }
        }
        processor.restored().map_err(RuntimeError::task("restore a task"))?;
        let inputs = spec.sources.iter().enumerate().flat_map(|(at, source)| {
            let partitions = match self.config.layout {
                TaskLayout::Single if source.internal => 0..1,
                TaskLayout::Single => 0..topics.partitions(&source.topic),
                TaskLayout::PerPartition => id.partition..id.partition + 1,
            };
            partitions.map(move |partition| {
                let partition = TopicPartition::new(source.topic.clone(), partition);
                PartitionInput::local(at, source.table, partition)
            })
        });
        Ok(StreamTask::new(id, processor, inputs.collect()).with_whole_runs())
    }

    /// Ends the commit interval of every task.
    fn commit(&mut self, topics: &mut TopicLog) -> Result<()> {
        self.since_commit = 0;
        if self.config.delivery == Delivery::AtOnce {
            self.flush(topics)?;
        }
        let mut waiting = Vec::new();
        let Some(targets) = &self.targets else { return Ok(()) };
        for task in self.tasks.values_mut().filter(|t| t.needs_commit()) {
            if targets.collect(task, &mut self.collector, &mut self.results)?.has_state {
                waiting.push(task.id);
            }
            task.take_offsets(&mut Vec::new());
        }
        self.carry(topics)?;
        let end = |partition: &TopicPartition| self.changelogs.get(partition).map(|log| log.end);
        for id in waiting {
            let positions =
                changelog_positions(&self.factory.sub_topologies()[id.sub_topology as usize], id, end);
            let Some(task) = self.tasks.get_mut(&id) else { continue };
            task.processor_mut().committed(positions).map_err(RuntimeError::task("write committed state"))?;
            task.confirm_commit();
        }
        match self.config.restart {
            Restart::Never => Ok(()),
            Restart::KeepState => self.restart(true, topics),
            Restart::DiscardState => self.restart(false, topics),
        }
    }

    /// Lets tasks emit what they hold back until nothing moves any more: what one task emits may reach another that was flushed
    /// already. Where deliveries are drawn it stays in flight instead, as it would in a topic.
    fn flush(&mut self, topics: &mut TopicLog) -> Result<()> {
        for _ in 0..=self.tasks.len() {
            let mut moved = false;
            for id in self.tasks.keys().copied().collect::<Vec<_>>() {
                let (Some(task), Some(targets)) = (self.tasks.get_mut(&id), &self.targets) else { continue };
                task.flush(&mut targets.output(id, &mut self.collector, &mut self.results))?;
                self.carry(topics)?;
                moved |= !self.in_flight.is_empty();
                self.deliver(usize::MAX, topics)?;
            }
            if !moved {
                break;
            }
        }
        Ok(())
    }

    /// Replaces every task by a new one, over the same stores or over empty ones; these are restored from the changelogs.
    pub(crate) fn restart(&mut self, keep_state: bool, topics: &TopicLog) -> Result<()> {
        if !keep_state {
            self.backends.clear();
        }
        for id in self.tasks.keys().copied().collect::<Vec<_>>() {
            let task = self.new_task(id, topics)?;
            self.tasks.insert(id, task);
        }
        Ok(())
    }
}

fn decode_batches(partition: &TopicPartition, encoded: Vec<bytes::Bytes>) -> Result<Vec<RecordBatch>> {
    let batches = encoded.into_iter().flat_map(weir_broker::record::batch::BatchIter::new);
    let invalid = |source| RuntimeError::Records { partition: partition.to_string(), source };
    batches.map(|batch| batch.map_err(invalid)).collect()
}
