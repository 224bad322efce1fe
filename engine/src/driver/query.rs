//! One query of the driver: its tasks, its internal topics, its changelogs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use weir_sql::plan::physical::QueryPlan;

use crate::batch::{RecordHeaders, RowBatch};
use crate::driver::delivery::{InFlight, InternalRecord, Run};
use crate::driver::topic_log::{DriverRecord, TopicLog, partition_for_key};
use crate::driver::{BatchRows, Delivery, DriverConfig, TaskLayout, split_mix};
use crate::error::Result;
use crate::operator::BuildContext;
use crate::state::backend::StoreId;
use crate::state::changelog::{ChangelogRecord, ChangelogSink, Logged};
use crate::state::memory::MemoryBackend;
use crate::state::task_state::TaskState;
use crate::topology::Topology;
use crate::topology::builder::build;
use crate::topology::sink::SinkRecords;
use crate::topology::source::RecordSlice;
use crate::topology::sub_topology::TopicName;
use crate::topology::task_topology::{InternalRecords, TaskOutput, TaskTopology};

/// Sub-topology and partition.
type TaskId = (usize, i32);

/// Updates of one store, in order.
type Changelog = Vec<(Vec<u8>, Option<Vec<u8>>)>;

#[derive(Debug)]
pub struct DriverQuery {
    plan: QueryPlan,
    config: DriverConfig,
    context: BuildContext,
    tasks: BTreeMap<TaskId, TaskTopology>,
    changelogs: HashMap<(TaskId, StoreId), Changelog>,
    /// Sources of external topics: topic, sub-topology, source.
    external: Vec<(String, usize, usize)>,
    /// Readers of internal topics: sub-topology, source.
    internal: HashMap<TopicName, (usize, usize)>,
    record_at_a_time: bool,
    /// Records of the log that were looked at.
    position: usize,
    batches: u64,
    since_commit: usize,
    keyless: usize,
    in_flight: InFlight,
    results: Vec<RowBatch>,
}

/// What a task emitted.
#[derive(Debug, Default)]
struct Emitted {
    sink: Vec<DriverRecord>,
    internal: Vec<InternalRecord>,
    results: Vec<RowBatch>,
}

impl TaskOutput for Emitted {
    fn sink(&mut self, topic: &str, records: SinkRecords) -> Result<()> {
        for row in 0..records.batch.len() {
            self.sink.push(DriverRecord {
                topic: topic.to_owned(),
                key: records.keys.get(row).map(<[u8]>::to_vec),
                value: records.values.get(row).map(<[u8]>::to_vec),
                timestamp: records.batch.rowtime[row],
                headers: records.batch.row_headers(row).cloned(),
                is_output: true,
                ..DriverRecord::default()
            });
        }
        Ok(())
    }

    fn internal(&mut self, topic: &TopicName, records: InternalRecords) -> Result<()> {
        let InternalRecords { keys, values, partitions, batch } = records;
        for row in 0..batch.len() {
            self.internal.push(InternalRecord {
                topic: topic.clone(),
                partition: partitions.as_ref().map(|p| p.value(row)),
                key: keys.get(row).map(<[u8]>::to_vec),
                value: values.get(row).map(<[u8]>::to_vec),
                timestamp: batch.rowtime[row],
                headers: batch.row_headers(row).cloned(),
            });
        }
        Ok(())
    }

    fn result(&mut self, batch: RowBatch) -> Result<()> {
        self.results.push(batch);
        Ok(())
    }
}

/// Collects changelog records of a commit.
#[derive(Debug)]
struct Collector<'a> {
    task: TaskId,
    changelogs: &'a mut HashMap<(TaskId, StoreId), Changelog>,
}

impl ChangelogSink for Collector<'_> {
    fn append(&mut self, record: ChangelogRecord<'_>) -> Result<Logged> {
        let entry = (record.key.to_vec(), record.value.map(<[u8]>::to_vec));
        self.changelogs.entry((self.task, record.store)).or_default().push(entry);
        Ok(Logged::Yes)
    }
}

impl DriverQuery {
    pub(crate) fn new(plan: QueryPlan, config: DriverConfig, context: BuildContext) -> Result<DriverQuery> {
        let topology = build(&plan, config.topology, &context)?;
        let mut external = Vec::new();
        let mut internal = HashMap::new();
        for (s, sub) in topology.sub_topologies.iter().enumerate() {
            for (i, source) in sub.sources.iter().enumerate() {
                match &source.topic {
                    TopicName::External(topic) => external.push((topic.clone(), s, i)),
                    TopicName::Internal(_) => {
                        internal.insert(source.topic.clone(), (s, i));
                    }
                }
            }
        }
        Ok(DriverQuery {
            plan,
            config,
            context,
            tasks: BTreeMap::new(),
            changelogs: HashMap::new(),
            external,
            internal,
            record_at_a_time: topology.record_at_a_time,
            position: 0,
            batches: 0,
            since_commit: 0,
            keyless: 0,
            in_flight: InFlight::new(config.delivery),
            results: Vec::new(),
        })
    }

    pub(crate) fn query_id(&self) -> &str {
        &self.plan.query_id
    }

    pub(crate) fn build(&self) -> Result<Topology> {
        build(&self.plan, self.config.topology, &self.context)
    }

    pub(crate) fn take_results(&mut self) -> Vec<RowBatch> {
        std::mem::take(&mut self.results)
    }

    pub(crate) fn states(&self) -> impl Iterator<Item = (usize, i32, &TaskState)> {
        self.tasks.iter().map(|((sub, partition), task)| (*sub, *partition, task.state()))
    }

    /// Reads what is new in the topics and commits.
    pub(crate) fn run(&mut self, topics: &mut TopicLog) -> Result<()> {
        let end = topics.len();
        let unread: Vec<usize> = (self.position..end)
            .filter(|i| self.external.iter().any(|(t, _, _)| *t == topics.records()[*i].topic))
            .collect();
        self.position = end;
        if unread.is_empty() {
            return Ok(());
        }
        let mut rest = unread.as_slice();
        while !rest.is_empty() {
            let length = self.next_batch(rest, topics);
            let (batch, after) = rest.split_at(length);
            rest = after;
            self.process(batch, topics)?;
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

    /// How many of the next records are one batch.
    fn next_batch(&mut self, rest: &[usize], topics: &TopicLog) -> usize {
        self.batches += 1;
        let limit = match self.config.batch_rows {
            _ if self.record_at_a_time && self.config.delivery == Delivery::AtOnce => 1,
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

    fn process(&mut self, batch: &[usize], topics: &mut TopicLog) -> Result<()> {
        let first = topics.records()[batch[0]].clone();
        let readers: Vec<(usize, usize)> =
            self.external.iter().filter(|(t, _, _)| *t == first.topic).map(|(_, s, i)| (*s, *i)).collect();
        for (sub, source) in readers {
            let records: Vec<&DriverRecord> = batch.iter().map(|i| &topics.records()[*i]).collect();
            let slice = RecordSlice {
                partition: first.partition,
                keys: records.iter().map(|r| r.key.as_deref()).collect(),
                values: records.iter().map(|r| r.value.as_deref()).collect(),
                timestamps: records.iter().map(|r| r.timestamp).collect(),
                offsets: records.iter().map(|r| r.offset).collect(),
                headers: some_headers(records.iter().map(|r| r.headers.clone())),
            };
            let mut emitted = Emitted::default();
            let task = self.task((sub, self.task_partition(first.partition)))?;
            task.process(source, &slice, &mut emitted)?;
            self.settle(emitted, topics)?;
        }
        Ok(())
    }

    fn task_partition(&self, partition: i32) -> i32 {
        match self.config.layout {
            TaskLayout::Single => 0,
            TaskLayout::PerPartition => partition,
        }
    }

    /// Carries what was emitted to topics, and through internal topics what is due.
    fn settle(&mut self, emitted: Emitted, topics: &mut TopicLog) -> Result<()> {
        self.collect(emitted, topics);
        let due = self.in_flight.due();
        self.deliver(due, topics)
    }

    /// Delivers runs of internal records, those that they lead to included.
    fn deliver(&mut self, runs_max: usize, topics: &mut TopicLog) -> Result<()> {
        for _ in 0..runs_max {
            let Some(run) = self.in_flight.next_run() else { break };
            let emitted = self.process_run(&run)?;
            self.collect(emitted, topics);
        }
        Ok(())
    }

    fn process_run(&mut self, run: &Run) -> Result<Emitted> {
        let mut emitted = Emitted::default();
        let Some((sub, source)) = self.internal.get(&run.topic).copied() else { return Ok(emitted) };
        let records = &run.records;
        let slice = RecordSlice {
            partition: run.partition,
            keys: records.iter().map(|r| r.key.as_deref()).collect(),
            values: records.iter().map(|r| r.value.as_deref()).collect(),
            timestamps: records.iter().map(|r| r.timestamp).collect(),
            offsets: vec![0; records.len()],
            headers: some_headers(records.iter().map(|r| r.headers.clone())),
        };
        self.task((sub, run.partition))?.process(source, &slice, &mut emitted)?;
        Ok(emitted)
    }

    fn collect(&mut self, emitted: Emitted, topics: &mut TopicLog) {
        for record in emitted.sink {
            topics.append(record, None);
        }
        self.results.extend(emitted.results);
        for record in emitted.internal {
            let partition = self.internal_partition(&record, topics);
            self.in_flight.push(partition, record);
        }
    }

    fn internal_partition(&mut self, record: &InternalRecord, topics: &TopicLog) -> i32 {
        if self.config.layout == TaskLayout::Single {
            return 0;
        }
        if let Some(partition) = record.partition {
            return partition;
        }
        let partitions = self.internal_partitions(&record.topic, topics);
        match &record.key {
            Some(key) => partition_for_key(key, partitions),
            None => {
                self.keyless += 1;
                ((self.keyless - 1) % partitions) as i32
            }
        }
    }

    /// As many partitions as the topics read beside it, else as the largest topic of the query.
    fn internal_partitions(&self, topic: &TopicName, topics: &TopicLog) -> usize {
        let largest = |sub: Option<usize>| {
            self.external
                .iter()
                .filter(|(_, s, _)| sub.is_none_or(|sub| sub == *s))
                .map(|(t, _, _)| topics.partitions(t))
                .max()
        };
        let reader = self.internal.get(topic).map(|(sub, _)| *sub);
        largest(reader).or_else(|| largest(None)).unwrap_or(1)
    }

    fn task(&mut self, id: TaskId) -> Result<&mut TaskTopology> {
        if !self.tasks.contains_key(&id) {
            let task = self.new_task(id)?;
            self.tasks.insert(id, task);
        }
        Ok(self.tasks.get_mut(&id).expect("just inserted"))
    }

    fn new_task(&self, id: TaskId) -> Result<TaskTopology> {
        let mut topology = self.build()?;
        let sub = topology.sub_topologies.swap_remove(id.0);
        let backend = MemoryBackend::new(sub.stores.len());
        Ok(TaskTopology::new(sub, id.1, Box::new(backend)))
    }

    /// Ends the commit interval of every task.
    fn commit(&mut self, topics: &mut TopicLog) -> Result<()> {
        self.since_commit = 0;
        let ids: Vec<TaskId> = self.tasks.keys().copied().collect();
        // What a flush emits may reach tasks that were flushed already: repeat until nothing moves any more. If deliveries are
        // drawn it stays in flight instead: a task that got rows after its flush would commit without them.
        for _ in 0..=ids.len() {
            let mut moved = false;
            for id in self.tasks.keys().copied().collect::<Vec<_>>() {
                let mut emitted = Emitted::default();
                self.task(id)?.flush(&mut emitted)?;
                moved |= !emitted.internal.is_empty();
                self.collect(emitted, topics);
                if self.config.delivery == Delivery::AtOnce {
                    self.deliver(usize::MAX, topics)?;
                }
            }
            if !moved || self.config.delivery != Delivery::AtOnce {
                break;
            }
        }
        for (id, task) in &mut self.tasks {
            let mut collector = Collector { task: *id, changelogs: &mut self.changelogs };
            task.state_mut().log_changes(&mut collector)?;
            let positions = (0..task.topology().stores.len() as u32)
                .map(StoreId)
                .map(|s| (s, self.changelogs.get(&(*id, s)).map_or(0, |c| c.len() as i64)))
                .collect();
            task.state_mut().commit(positions)?;
        }
        if self.config.restart_on_commit { self.restart() } else { Ok(()) }
    }

    /// Replaces every task by a new one with empty stores, and restores these from the changelogs.
    pub(crate) fn restart(&mut self) -> Result<()> {
        for id in self.tasks.keys().copied().collect::<Vec<_>>() {
            let mut task = self.new_task(id)?;
            for store in (0..task.topology().stores.len() as u32).map(StoreId) {
                let Some(changelog) = self.changelogs.get(&(id, store)) else { continue };
                task.state_mut().restore(store, changelog.iter().cloned(), changelog.len() as i64)?;
            }
            self.tasks.insert(id, task);
        }
        Ok(())
    }
}

/// Empty if no record has headers.
fn some_headers(
    headers: impl Iterator<Item = Option<Arc<RecordHeaders>>>,
) -> Vec<Option<Arc<RecordHeaders>>> {
    let headers: Vec<_> = headers.collect();
    if headers.iter().all(Option::is_none) { Vec::new() } else { headers }
}
