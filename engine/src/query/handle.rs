//! What the workers of a query and the engine share about it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use weir_broker::ids::{Offset, TopicPartition};
use weir_sql::plan::physical::QueryPlan;

use crate::cancellation::Cancellation;
use crate::error::query::{RuntimeError, TopicChange, TopicRemedy};
use crate::metrics::QueryMetrics;
use crate::query::condition::QueryCondition;
use crate::query::progress::Progress;
use crate::query::status::{QueryError, QueryState, QueryStatus, TaskStatus};
use crate::query::topic_notes::QueryTopics;
use crate::query::topics;
use crate::settings::{QueryOptions, QuerySettings};
use crate::state::backend::StateReader;
use crate::task::stream_task::TaskId;
use crate::task::topology_processor::TopologyFactory;

/// Failures that are remembered. Source: `ksql.query.error.max.queue.size`.
const ERRORS_MAX: usize = 10;

/// Persistent queries by id.
pub(crate) type QueryRegistry = RwLock<BTreeMap<String, Arc<QueryHandle>>>;

/// The tasks of a query on one worker.
#[derive(Clone, Debug)]
pub(crate) struct WorkerStatus {
    pub(crate) state: QueryState,
    pub(crate) tasks: Vec<TaskStatus>,
    pub(crate) conditions: Vec<QueryCondition>,
}

/// A query that was started. Threads: any.
pub struct QueryHandle {
    pub query_id: String,
    pub application_id: String,
    pub plan: Arc<QueryPlan>,
    pub options: QueryOptions,
    pub(crate) factory: Arc<TopologyFactory>,
    pub(crate) metrics: Arc<QueryMetrics>,
    pub(crate) settings: QuerySettings,
    /// Found out when the query was started.
    pub(crate) predecessors: Predecessors,
    /// Where a new query begins, of inputs that it does not read from their beginning.
    pub(crate) first_offsets: BTreeMap<TopicPartition, Offset>,
    pub(crate) progress: Progress,
    /// Every topic the query touches.
    pub(crate) topics: QueryTopics,
    /// The rows go to a client, and the query ends with it.
    transient: bool,
    /// The query was resumed and keeps no state: it goes on with topics that are not those of its last commit.
    accepts_changes: bool,
    /// By topic: its partitions from this number on are newer than what the query has committed. Where they have no
    /// offset, they are read from their beginning.
    newer: Mutex<BTreeMap<Arc<str>, i32>>,
    /// By worker.
    workers: Mutex<BTreeMap<usize, WorkerStatus>>,
    errors: Mutex<VecDeque<QueryError>>,
    /// A worker found that the query cannot go on; the others stop as well.
    failed: AtomicBool,
    paused: AtomicBool,
    /// The query is being stopped.
    cancellation: Cancellation,
    readers: RwLock<BTreeMap<TaskId, Arc<dyn StateReader>>>,
}

impl fmt::Debug for QueryHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryHandle").field("query_id", &self.query_id).finish_non_exhaustive()
    }
}

/// Whether an earlier start may have left a transaction open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Predecessors {
    /// Its end decides where to go on.
    Possible,
    /// The transactional ids of the query have never been used: nothing needs to be waited for.
    None,
}

/// What a plan was compiled to.
#[derive(Debug)]
pub(crate) struct CompiledQuery {
    pub(crate) factory: Arc<TopologyFactory>,
    pub(crate) settings: QuerySettings,
    /// Counts the rows that fail in what the factory makes.
    pub(crate) metrics: Arc<QueryMetrics>,
}

impl QueryHandle {
    pub(crate) fn new(
        plan: Arc<QueryPlan>,
        application_id: String,
        options: QueryOptions,
        compiled: CompiledQuery,
        topics: QueryTopics,
    ) -> QueryHandle {
        QueryHandle {
            query_id: plan.query_id.clone(),
            application_id,
            plan,
            paused: AtomicBool::new(options.paused),
            options,
            factory: compiled.factory,
            metrics: compiled.metrics,
            settings: compiled.settings,
            predecessors: Predecessors::Possible,
            first_offsets: BTreeMap::new(),
            progress: Progress::default(),
            topics,
            transient: false,
            accepts_changes: false,
            newer: Mutex::default(),
            workers: Mutex::default(),
            errors: Mutex::default(),
            failed: AtomicBool::new(false),
            cancellation: Cancellation::default(),
            readers: RwLock::default(),
        }
    }

    pub(crate) fn with_start(
        self,
        predecessors: Predecessors,
        first_offsets: BTreeMap<TopicPartition, Offset>,
    ) -> QueryHandle {
        QueryHandle { predecessors, first_offsets, ..self }
    }

    /// For push queries.
    pub(crate) fn of_a_client(self) -> QueryHandle {
        QueryHandle { transient: true, ..self }
    }

    /// For RESUME: goes on counting failures where an earlier start of the query has ended, and begins where that would have,
    /// in topics that are still the same.
    pub(crate) fn following(mut self, predecessor: &QueryHandle) -> QueryHandle {
        let topics = &self.topics;
        let is_same = |partition: &TopicPartition| {
            predecessor.topics.id(&partition.topic) == topics.id(&partition.topic)
        };
        let first = predecessor.first_offsets.iter().filter(|(partition, _)| is_same(partition));
        self.first_offsets.extend(first.map(|(partition, offset)| (partition.clone(), *offset)));
        *self.errors.lock() = predecessor.errors.lock().clone();
        self.accepts_changes = !self.is_stateful();
        for (topic, first_new) in predecessor.newer.lock().iter() {
            self.note_newer(topic.clone(), *first_new);
        }
        for (topic, id) in &predecessor.topics.ids {
            let (now, before) =
                (self.partition_count(topic), predecessor.partition_count(topic).unwrap_or(0));
            if self.topics.id(topic) != *id {
                self.note_newer(topic.clone(), 0);
            } else if now.is_some_and(|now| now > before) {
                self.note_newer(topic.clone(), before);
            }
        }
        self
    }

    pub(crate) fn accepts_changes(&self) -> bool {
        self.accepts_changes
    }

    pub(crate) fn note_newer(&self, topic: Arc<str>, first_new: i32) {
        self.newer
            .lock()
            .entry(topic)
            .and_modify(|first| *first = first_new.min(*first))
            .or_insert(first_new);
    }

    /// True if the query has committed nothing since the partition was made.
    pub(crate) fn is_newer(&self, partition: &TopicPartition) -> bool {
        self.newer.lock().get(&partition.topic).is_some_and(|first| partition.partition >= *first)
    }

    /// Steps of tasks end early from now on, where they can be committed.
    pub(crate) fn cancel(&self) {
        self.cancellation.cancel();
    }

    /// Steps of tasks, and pull queries that read state, end at once: nothing of them is committed.
    pub(crate) fn interrupt(&self) {
        self.cancellation.interrupt();
    }

    pub(crate) fn cancellation(&self) -> &Cancellation {
        &self.cancellation
    }

    /// True if some sub-topology keeps state.
    pub(crate) fn is_stateful(&self) -> bool {
        self.factory.sub_topologies().iter().any(|spec| !spec.stores.is_empty())
    }

    /// True if partitions that a topic is given can be read by tasks of their own: no state depends on which partition a key is
    /// in.
    pub(crate) fn takes_new_partitions(&self, topic: &str) -> bool {
        let specs = self.factory.sub_topologies().iter();
        let mut readers = specs.filter(|spec| spec.sources.iter().any(|source| *source.topic == *topic));
        readers.all(|spec| spec.stores.is_empty() && spec.sources.len() == 1)
    }

    /// What can be done about a topic that has changed.
    pub(crate) fn topic_changed(&self, topic: &str, change: TopicChange) -> RuntimeError {
        let remedy = match (self.transient, self.is_stateful()) {
            (true, _) => TopicRemedy::RunAgain,
            (false, true) => TopicRemedy::CreateAgain,
            (false, false) => TopicRemedy::Resume,
        };
        let (query_id, topic) = (self.query_id.clone(), topic.to_owned());
        RuntimeError::TopicChanged { query_id, topic, change, remedy }
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }

    /// Remembers a failure. `fatal`: the query does not go on.
    pub(crate) fn fail(&self, error: &RuntimeError, at_ms: i64, fatal: bool) {
        let mut errors = self.errors.lock();
        if errors.len() == ERRORS_MAX {
            errors.pop_front();
        }
        errors.push_back(QueryError { at_ms, fault: error.fault(), message: error.chain() });
        drop(errors);
        if fatal {
            self.failed.store(true, Ordering::Release);
        }
    }

    /// True if tasks of the query were on this worker.
    pub(crate) fn has_tasks(&self, worker: usize) -> bool {
        self.workers.lock().contains_key(&worker)
    }

    pub(crate) fn set_status(&self, worker: usize, status: WorkerStatus) {
        self.workers.lock().insert(worker, status);
    }

    pub(crate) fn set_readers(&self, readers: impl IntoIterator<Item = (TaskId, Arc<dyn StateReader>)>) {
        self.readers.write().extend(readers);
    }

    pub(crate) fn remove_readers(&self, tasks: impl IntoIterator<Item = TaskId>) {
        let mut readers = self.readers.write();
        for task in tasks {
            readers.remove(&task);
        }
    }

    /// Committed state by task. A task that is not restored yet, or has no store, is missing.
    pub fn readers(&self) -> BTreeMap<TaskId, Arc<dyn StateReader>> {
        self.readers.read().clone()
    }

    /// Names of all topics that the query reads or writes.
    pub fn topic_names(&self) -> impl Iterator<Item = &str> {
        self.topics.ids.keys().map(|topic| &**topic)
    }

    /// The partitions of a topic that the query reads or writes.
    pub fn partition_count(&self, topic: &str) -> Option<i32> {
        self.topics.partitions.get(topic).copied()
    }

    /// How many tasks a sub-topology has, on all workers.
    pub fn task_count(&self, sub_topology: u32) -> usize {
        let specs = self.factory.sub_topologies();
        let partitions = topics::task_partitions(specs, sub_topology as usize, &self.topics.partitions);
        usize::try_from(partitions).unwrap_or(0)
    }

    pub fn state(&self) -> QueryState {
        if self.is_failed() {
            return QueryState::Error;
        }
        self.workers.lock().values().map(|status| status.state).max().unwrap_or(QueryState::Starting)
    }

    pub fn status(&self) -> QueryStatus {
        let workers = self.workers.lock();
        let tasks = workers.values().flat_map(|status| status.tasks.clone()).collect();
        let conditions = workers.values().flat_map(|status| status.conditions.clone()).collect();
        drop(workers);
        QueryStatus {
            query_id: self.query_id.clone(),
            application_id: self.application_id.clone(),
            sink: self.plan.sink.clone(),
            state: self.state(),
            errors: self.errors.lock().iter().cloned().collect(),
            conditions,
            tasks,
            metrics: self.metrics.snapshot(),
        }
    }
}
