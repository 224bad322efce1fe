//! The engine: starts, watches and stops queries.

mod stop;
pub mod trial;
mod watchdog;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::Sender;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use weir_broker::client::admin::Admin;
use weir_broker::client::transport::Transport;
use weir_broker::env::clock::Clock;
use weir_broker::ids::{Offset, TopicPartition};
use weir_broker::log::access::OffsetSpec;
use weir_sql::plan::physical::{QueryPlan, QueryRole};

use crate::config::EngineConfig;
use crate::engine::watchdog::Watchdog;
use crate::error::query::{Result, RuntimeError};
use crate::metrics::QueryMetrics;
use crate::push::subscription::{PushSubscription, channel};
use crate::query::condition::QueryCondition;
use crate::query::handle::{CompiledQuery, Predecessors, QueryHandle, QueryRegistry};
use crate::query::naming::{application_id, transactional_id, transient_application_id};
use crate::query::status::QueryStatus;
use crate::query::topics;
use crate::runtime::health::EngineHealth;
use crate::runtime::messages::{Assignment, Mode, TransientMode, WorkerMessage};
use crate::runtime::pool::{WorkerIo, WorkerPool};
use crate::runtime::storage::StateStorage;
use crate::runtime::topic_monitor::{TopicMonitor, WatchedPushes};
use crate::runtime::{prepare, transaction};
use crate::settings::{OffsetReset, QueryOptions, QuerySettings};
use crate::task::processor::CompileRequest;
use crate::task::stream_task::TaskId;
use crate::task::topology_processor::TopologyCompiler;

/// The world around an engine.
#[derive(Clone)]
pub struct EngineIo {
    pub transport: Arc<dyn Transport>,
    /// Carries fetches, which wait for news: over TCP a connection of their own, else the same as `transport`.
    pub fetch_transport: Arc<dyn Transport>,
    pub clock: Arc<dyn Clock>,
    /// Where requests to the broker are waited for.
    pub runtime: Handle,
    pub storage: Arc<dyn StateStorage>,
    pub compiler: Arc<TopologyCompiler>,
}

impl fmt::Debug for EngineIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineIo").field("storage", &self.storage).finish_non_exhaustive()
    }
}

/// What becomes of a query's state when it is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// A later start goes on where this one ended.
    Keep,
    /// Internal topics, committed offsets and local state are deleted.
    Delete,
}

/// Runs queries. Dropping it without [`Engine::shutdown`] is like a crash: uncommitted work is redone by the next engine.
#[derive(Debug)]
pub struct Engine {
    config: Arc<EngineConfig>,
    io: EngineIo,
    workers: Arc<WorkerPool>,
    queries: Arc<QueryRegistry>,
    pushes: Arc<WatchedPushes>,
    _watchdog: Watchdog,
    monitor: AbortHandle,
    /// The engine is being shut down.
    closing: AtomicBool,
    /// The most workers that ever ran on this state directory: their transactions are taken over.
    workers_ever: usize,
    next_transient: AtomicUsize,
}

impl Engine {
    /// Starts the workers. No query runs yet.
    pub fn start(config: EngineConfig, io: EngineIo) -> Result<Engine> {
        let count = config.worker_threads.max(1);
        let workers_ever = remember_workers(&config, count)?;
        let config = Arc::new(config);
        let worker_io = WorkerIo {
            transport: io.transport.clone(),
            fetch_transport: io.fetch_transport.clone(),
            clock: io.clock.clone(),
            runtime: io.runtime.clone(),
            storage: io.storage.clone(),
        };
        let workers = Arc::new(WorkerPool::start(config.clone(), worker_io, count)?);
        let queries: Arc<QueryRegistry> = Arc::default();
        let pushes: Arc<WatchedPushes> = Arc::default();
        let (weak_workers, weak_queries) = (Arc::downgrade(&workers), Arc::downgrade(&queries));
        let watchdog = Watchdog::start(weak_workers.clone(), weak_queries.clone(), io.clock.clone())?;
        let monitor = TopicMonitor {
            queries: weak_queries,
            pushes: pushes.clone(),
            workers: weak_workers,
            admin: Admin::new(io.transport.clone()),
            clock: io.clock.clone(),
            interval: Duration::from_millis(config.topic_check_interval_ms.max(1)),
        };
        let monitor = io.runtime.spawn(monitor.run()).abort_handle();
        Ok(Engine {
            config,
            io,
            workers,
            queries,
            pushes,
            _watchdog: watchdog,
            monitor,
            closing: AtomicBool::new(false),
            workers_ever,
            next_transient: AtomicUsize::new(0),
        })
    }

    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// Starts a persistent query, or goes on with it where it was stopped.
    ///
    /// Errors: a property has an invalid value, a topic is missing, inputs are not co-partitioned, the plan cannot be built,
    /// the broker cannot be reached. Topics that this start has made are gone again.
    pub async fn start_query(&self, plan: QueryPlan, options: QueryOptions) -> Result<Arc<QueryHandle>> {
        if self.queries.read().contains_key(&plan.query_id) {
            return Err(RuntimeError::QueryExists { query_id: plan.query_id });
        }
        let (query, made) = self.prepare_query(Arc::new(plan), options, Arc::default()).await?;
        let query = Arc::new(query);
        {
            let mut queries = self.queries.write();
            if queries.contains_key(&query.query_id) {
                return Err(RuntimeError::QueryExists { query_id: query.query_id.clone() });
            }
            queries.insert(query.query_id.clone(), query.clone());
        }
        if let Err(error) = self.run(&query) {
            self.withdraw(&query, &made).await;
            return Err(error);
        }
        tracing::info!(query_id = %query.query_id, "query started");
        Ok(query)
    }

    /// Builds a query and makes its topics; nothing of it runs yet. Gives the topics that were missing.
    ///
    /// Errors: these topics are gone again.
    async fn prepare_query(
        &self,
        plan: Arc<QueryPlan>,
        options: QueryOptions,
        metrics: Arc<QueryMetrics>,
    ) -> Result<(QueryHandle, Vec<Arc<str>>)> {
        let application_id = application_id(&self.config.service_id, &plan.query_id);
        let compiled = self.compile(&plan, &application_id, &options, metrics)?;
        let admin = Admin::new(self.io.transport.clone());
        let mut made = Vec::new();
        // Both are waited for, also when one fails: a topic that is still being made cannot be deleted.
        let (topics, predecessors) = futures::join!(
            topics::ensure(&admin, &plan.query_id, compiled.factory.sub_topologies(), &mut made),
            self.fence_predecessors(&application_id),
        );
        let looked_up = async {
            let (topics, predecessors) = (topics?, predecessors?);
            tracing::debug!(query_id = %plan.query_id, "topics made");
            let first_offsets = match predecessors {
                Predecessors::None => self.latest_offsets(&compiled, &topics.partitions).await?,
                Predecessors::Possible => BTreeMap::new(),
            };
            Ok::<_, RuntimeError>((topics, predecessors, first_offsets))
        };
        match looked_up.await {
            Ok((topics, predecessors, first_offsets)) => {
                let query = QueryHandle::new(plan, application_id, options, compiled, topics);
                Ok((query.with_start(predecessors, first_offsets), made))
            }
            Err(error) => {
                if let Err(left) = topics::delete(&admin, &made).await {
                    trial::log_traces(&plan.query_id, &left);
                }
                Err(error)
            }
        }
    }

    /// Gives the tasks of a query to the workers.
    fn run(&self, query: &Arc<QueryHandle>) -> Result<()> {
        let workers = self.workers.inboxes();
        for (worker, tasks) in assign(query, workers.len()) {
            let assignment = Assignment { query: query.clone(), tasks, mode: Mode::Persistent };
            send(&workers[worker], WorkerMessage::Start(assignment))?;
        }
        Ok(())
    }

    /// Where a new query begins that reads from the latest record on: the ends of its streams before its start is reported, so
    /// that it misses no record written after that. Empty if it reads from the beginning.
    async fn latest_offsets(
        &self,
        compiled: &CompiledQuery,
        partitions: &BTreeMap<Arc<str>, i32>,
    ) -> Result<BTreeMap<TopicPartition, Offset>> {
        if compiled.settings.auto_offset_reset != OffsetReset::Latest {
            return Ok(BTreeMap::new());
        }
        let mut wanted = BTreeMap::new();
        let sources = compiled.factory.sub_topologies().iter().flat_map(|s| &s.sources);
        for source in sources.filter(|s| !s.table && !s.internal) {
            for partition in 0..partitions.get(&source.topic).copied().unwrap_or(0) {
                wanted.insert(TopicPartition::new(source.topic.clone(), partition), OffsetSpec::Latest);
            }
        }
        let listed = prepare::list(&self.io.transport, wanted.into_iter().collect()).await?;
        Ok(listed.into_iter().collect())
    }

    /// Starts a transient query whose rows go to the caller, from `auto.offset.reset` on (tables: from the beginning).
    pub async fn push_query(
        &self,
        plan: QueryPlan,
        options: QueryOptions,
        limit: Option<u64>,
    ) -> Result<PushSubscription> {
        self.start_transient(plan, options, limit, Ending::Never).await
    }

    /// Runs a transient query over what its topics hold now, from the beginning, and then ends it.
    pub async fn scan_query(
        &self,
        plan: QueryPlan,
        options: QueryOptions,
        limit: Option<u64>,
    ) -> Result<PushSubscription> {
        self.start_transient(plan, options, limit, Ending::AtCurrentEnd).await
    }

    async fn start_transient(
        &self,
        mut plan: QueryPlan,
        options: QueryOptions,
        limit: Option<u64>,
        ending: Ending,
    ) -> Result<PushSubscription> {
        let number = self.next_transient.fetch_add(1, Ordering::Relaxed);
        plan.query_id = format!("{}_{number}", plan.query_id);
        let now_ms = self.io.clock.now_ms();
        let application_id = transient_application_id(&self.config.service_id, &plan.query_id, now_ms);
        let mut compiled = self.compile(&plan, &application_id, &options, Arc::default())?;
        if ending == Ending::AtCurrentEnd {
            compiled.settings.auto_offset_reset = OffsetReset::Earliest;
        }
        let latest = compiled.settings.auto_offset_reset == OffsetReset::Latest;
        let specs = compiled.factory.sub_topologies();
        // Nothing is made: repartitioned rows stay in the process.
        let admin = Admin::new(self.io.transport.clone());
        let topics = topics::describe(&admin, &plan.query_id, specs).await?;
        let (mut starts, mut sources) = (Vec::new(), Vec::new());
        for source in specs.iter().flat_map(|s| &s.sources).filter(|s| !s.internal) {
            let spec = if latest && !source.table { OffsetSpec::Latest } else { OffsetSpec::Earliest };
            for partition in 0..topics.partitions.get(&source.topic).copied().unwrap_or(0) {
                let partition = TopicPartition::new(source.topic.clone(), partition);
                starts.push((partition.clone(), spec));
                sources.push((partition, OffsetSpec::Latest));
            }
        }
        let from = prepare::list(&self.io.transport, starts).await?.into_iter().collect();
        let to = match ending {
            Ending::Never => None,
            Ending::AtCurrentEnd => {
                Some(prepare::list(&self.io.transport, sources).await?.into_iter().collect())
            }
        };
        let query = QueryHandle::new(Arc::new(plan), application_id, options, compiled, topics);
        let query = Arc::new(query.of_a_client());
        let (sender, receiver) = channel(self.config.push_queue_batches);
        let workers = self.workers.inboxes();
        let worker = workers.get(number % workers.len().max(1)).cloned().ok_or(RuntimeError::ShutDown)?;
        let tasks = all_tasks(&query);
        let mode = Mode::Transient(Box::new(TransientMode { sender, from, to }));
        send(&worker, WorkerMessage::Start(Assignment { query: query.clone(), tasks, mode }))?;
        if ending == Ending::Never {
            self.pushes.watch(&query, worker.clone());
        }
        Ok(PushSubscription::new(query, receiver, worker, limit))
    }

    fn compile(
        &self,
        plan: &QueryPlan,
        application_id: &str,
        options: &QueryOptions,
        metrics: Arc<QueryMetrics>,
    ) -> Result<CompiledQuery> {
        let settings = QuerySettings::from_properties(&options.properties)?;
        let request = CompileRequest { plan, application_id, settings, metrics: metrics.clone() };
        let factory = self.io.compiler.compile(&request).map_err(RuntimeError::task("build the topology"))?;
        Ok(CompiledQuery { factory, settings, metrics })
    }

    /// The topology that a plan would run as, in text.
    ///
    /// Errors: the plan cannot be built.
    pub fn describe(&self, plan: &QueryPlan) -> Result<String> {
        let application_id = application_id(&self.config.service_id, &plan.query_id);
        let compiled = self.compile(plan, &application_id, &QueryOptions::default(), Arc::default())?;
        compiled.factory.describe().map_err(RuntimeError::task("describe the topology"))
    }

    /// Ends what an earlier engine may still be committing, before any worker reads where to go on.
    ///
    /// A partition may have been with another worker then, under another transactional id than the one that its new worker
    /// takes over. Were only that one fenced, the commit of the other could follow the reading of the offsets, and rows would
    /// be processed twice. The ids of workers that no longer exist would also hold readers up until they time out.
    async fn fence_predecessors(&self, application_id: &str) -> Result<Predecessors> {
        let workers = self.workers_ever.max(self.config.worker_threads);
        let ids = (0..workers).map(|worker| transactional_id(application_id, worker)).collect();
        let known = Admin::new(self.io.transport.clone())
            .known_transactional_ids(ids)
            .await
            .map_err(RuntimeError::client("look up transactions"))?;
        let timeout_ms = self.config.transaction_timeout_ms;
        let fences = known
            .iter()
            .map(|id| transaction::init(self.io.transport.clone(), id, timeout_ms, Arc::default()));
        let fenced = futures::future::try_join_all(fences).await;
        fenced.map_err(RuntimeError::client("take over transactions"))?;
        Ok(if known.is_empty() { Predecessors::None } else { Predecessors::Possible })
    }

    /// Stops processing but keeps state, which can still be queried.
    pub fn pause(&self, query_id: &str) -> Result<()> {
        self.set_paused(query_id, true)
    }

    /// Goes on processing. A query that has failed for good is started again, with its topics as they are now.
    ///
    /// Errors: as [`Engine::start_query`]; the query then stays in ERROR.
    pub async fn resume(&self, query_id: &str) -> Result<()> {
        match self.query(query_id).filter(|query| query.is_failed()) {
            Some(failed) => self.restart(&failed).await,
            None => self.set_paused(query_id, false),
        }
    }

    async fn restart(&self, failed: &Arc<QueryHandle>) -> Result<()> {
        self.stop_tasks(failed).await;
        self.release(failed).await?;
        let options = QueryOptions { paused: false, ..failed.options.clone() };
        let prepared = self.prepare_query(failed.plan.clone(), options, failed.metrics.clone()).await;
        let query = match prepared {
            Ok((query, _)) => Arc::new(query.following(failed)),
            Err(error) => {
                failed.fail(&error, self.io.clock.now_ms(), true);
                return Err(error);
            }
        };
        self.queries.write().insert(query.query_id.clone(), query.clone());
        self.run(&query)?;
        tracing::info!(query_id = %query.query_id, "query started again");
        Ok(())
    }

    /// As [`Engine::pause`], or lets a query go on that has not failed.
    pub fn set_paused(&self, query_id: &str, paused: bool) -> Result<()> {
        let query = self.query(query_id);
        let query = query.ok_or_else(|| RuntimeError::UnknownQuery { query_id: query_id.to_owned() })?;
        query.set_paused(paused);
        self.workers.wake();
        Ok(())
    }

    /// A persistent query that was started and not stopped.
    pub fn query(&self, query_id: &str) -> Option<Arc<QueryHandle>> {
        self.queries.read().get(query_id).cloned()
    }

    pub(crate) fn transport(&self) -> &Arc<dyn Transport> {
        &self.io.transport
    }

    /// All persistent queries.
    pub(crate) fn handles(&self) -> Vec<Arc<QueryHandle>> {
        self.queries.read().values().cloned().collect()
    }

    /// The persistent query that writes a stream or table, if exactly one does.
    pub fn query_of_sink(&self, sink: &str) -> Option<Arc<QueryHandle>> {
        let queries = self.queries.read();
        let mut writers = queries.values().filter(|q| q.plan.sink.as_deref() == Some(sink));
        match (writers.next(), writers.next()) {
            (Some(query), None) => Some(query.clone()),
            _ => None,
        }
    }

    /// The query that keeps a SOURCE TABLE queryable.
    pub fn query_of_source_table(&self, table: &str) -> Option<Arc<QueryHandle>> {
        let keeps = |q: &&Arc<QueryHandle>| {
            q.plan.role == QueryRole::SourceTable && q.plan.sources.iter().any(|source| source == table)
        };
        self.queries.read().values().find(keeps).cloned()
    }

    /// All persistent queries in figures, by id.
    pub fn queries(&self) -> Vec<QueryStatus> {
        watchdog::fail_queries_of_dead_workers(&self.workers, &self.queries, self.io.clock.as_ref());
        let mut queries: Vec<QueryStatus> = self.queries.read().values().map(|q| q.status()).collect();
        self.add_overdue_steps(&mut queries);
        queries
    }

    /// A persistent query in figures.
    pub fn query_status(&self, query_id: &str) -> Option<QueryStatus> {
        watchdog::fail_queries_of_dead_workers(&self.workers, &self.queries, self.io.clock.as_ref());
        let mut status = self.query(query_id)?.status();
        self.add_overdue_steps(std::slice::from_mut(&mut status));
        Some(status)
    }

    fn add_overdue_steps(&self, queries: &mut [QueryStatus]) {
        let now_ms = self.io.clock.now_ms();
        for step in self.workers.health().overdue_steps {
            let age_ms = i64::try_from(step.running_for.as_millis()).unwrap_or(i64::MAX);
            let since_ms = now_ms.saturating_sub(age_ms);
            if let Some(query) = queries.iter_mut().find(|q| q.query_id == step.query_id) {
                query.conditions.push(QueryCondition::StepOverdue { since_ms });
            }
        }
    }

    /// Threads of the engine: panics, restarts, steps that do not return.
    pub fn health(&self) -> EngineHealth {
        self.workers.health()
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.monitor.abort();
    }
}

impl Drop for Engine {
    /// Workers end at once, without committing. They are waited for: none may hold a store while the process ends.
    fn drop(&mut self) {
        self.close();
        self.workers.end(Duration::from_millis(self.config.stop_timeout_ms));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Never,
    AtCurrentEnd,
}

fn send(inbox: &Sender<WorkerMessage>, message: WorkerMessage) -> Result<()> {
    inbox.send(message).map_err(|_| RuntimeError::ShutDown)
}

fn all_tasks(query: &QueryHandle) -> Vec<TaskId> {
    let specs = query.factory.sub_topologies();
    let mut tasks = Vec::new();
    for sub_topology in 0..specs.len() {
        let partitions = topics::task_partitions(specs, sub_topology, &query.topics.partitions);
        tasks
            .extend((0..partitions).map(|partition| TaskId { sub_topology: sub_topology as u32, partition }));
    }
    tasks
}

/// Tasks by worker. The same for every start with as many workers, so that local state is found again.
fn assign(query: &QueryHandle, workers: usize) -> BTreeMap<usize, Vec<TaskId>> {
    let first = query.query_id.bytes().fold(0_usize, |hash, b| hash.wrapping_mul(31).wrapping_add(b.into()));
    let mut assigned: BTreeMap<usize, Vec<TaskId>> = BTreeMap::new();
    for (at, task) in all_tasks(query).into_iter().enumerate() {
        assigned.entry(first.wrapping_add(at) % workers).or_default().push(task);
    }
    assigned
}

/// Keeps the highest number of workers ever used in `<state_dir>/workers`.
fn remember_workers(config: &EngineConfig, count: usize) -> Result<usize> {
    let unusable = |reason: std::io::Error| RuntimeError::StateDir {
        path: config.state_dir.display().to_string(),
        reason: reason.to_string(),
    };
    std::fs::create_dir_all(&config.state_dir).map_err(unusable)?;
    let path = config.state_dir.join("workers");
    let before = match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().unwrap_or(count).min(1_024),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(unusable(error)),
    };
    if count > before {
        std::fs::write(&path, count.to_string()).map_err(unusable)?;
    }
    Ok(count.max(before))
}
