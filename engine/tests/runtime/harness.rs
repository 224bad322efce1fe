//! A broker and an engine in this process, driven by SQL.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::SendableRecordBatchStream;
use indexmap::IndexMap;
use weir_broker::broker::Broker;
use weir_broker::client::admin::Admin;
use weir_broker::client::consumer::reader::{FetchOptions, Reader};
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::producer::partitioner::partition_for_key;
use weir_broker::client::transport::Transport;
use weir_broker::config::BrokerConfig;
use weir_broker::env::clock::{Clock, SystemClock};
use weir_broker::ids::TopicPartition;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};
use weir_broker::record::compression::DecompressBuf;
use weir_engine::config::EngineConfig;
use weir_engine::engine::{Engine, EngineIo};
use weir_engine::error::query::RuntimeError;
use weir_engine::processing_log::{DiscardLog, ProcessingLog};
use weir_engine::query::status::QueryState;
use weir_engine::runtime::storage::{DiskStorage, StateStorage};
use weir_engine::settings::QueryOptions;
use weir_engine::task::topology_processor::TopologyCompiler;
use weir_engine::topology::TopologyConfig;
use weir_sql::catalog::{MemoryTopics, NoSchemas};
use weir_sql::context::Context;
use weir_sql::functions::registry::FunctionRegistry;
use weir_sql::metastore::Metastore;
use weir_sql::plan::action::Action;
use weir_sql::plan::dry_run::dry_run;
use weir_sql::plan::statement::{PreparedStatement, PushQuery};
use weir_sql::planner::statement::prepare;
use weir_sql::session::Session;

use super::faults::{Faults, FaultyTransport};

const DEADLINE: Duration = Duration::from_secs(120);

pub(crate) struct Node {
    _broker: Broker,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) engine: Engine,
    metastore: Metastore,
    topics: MemoryTopics,
    commands: u64,
    dir: PathBuf,
    world: World,
}

/// A record as tests see it: key, value.
pub(crate) type Seen = (Option<String>, Option<String>);

/// What an engine is given beside its broker.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) log: Arc<dyn ProcessingLog>,
    /// What functions see as the time.
    pub(crate) now_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// Comes between the engine and the broker.
    pub(crate) faults: Arc<Faults>,
    pub(crate) tune: fn(&mut EngineConfig),
}

impl Default for World {
    fn default() -> World {
        World {
            clock: Arc::new(SystemClock::new()),
            log: Arc::new(DiscardLog),
            now_ms: Arc::new(|| 0),
            faults: Arc::default(),
            tune: |_| {},
        }
    }
}

fn storage(dir: &Path) -> Arc<dyn StateStorage> {
    // A clean end writes everything.
    Arc::new(DiskStorage::new(dir.join("state"), 8 << 20, 8 << 20).with_unflushed_bytes_max(0))
}

fn engine(dir: &Path, transport: &Arc<dyn Transport>, workers: usize, world: &World) -> Engine {
    let compiler = TopologyCompiler {
        resident: Arc::default(),
        config: TopologyConfig::default(),
        log: world.log.clone(),
        now_ms: world.now_ms.clone(),
        random: Arc::new(|| 4),
    };
    let transport: Arc<dyn Transport> =
        Arc::new(FaultyTransport { inner: transport.clone(), faults: world.faults.clone() });
    let io = EngineIo {
        transport: transport.clone(),
        fetch_transport: transport,
        clock: world.clock.clone(),
        runtime: tokio::runtime::Handle::current(),
        storage: storage(dir),
        compiler: Arc::new(compiler),
    };
    let mut config = EngineConfig::new(dir.join("state"), "default_");
    config.worker_threads = workers;
    (world.tune)(&mut config);
    Engine::start(config, io).expect("the engine starts")
}

impl Node {
    pub(crate) async fn start(dir: &Path, workers: usize) -> Node {
        Node::start_in(dir, workers, World::default()).await
    }

    pub(crate) async fn start_in(dir: &Path, workers: usize, world: World) -> Node {
        let mut config = BrokerConfig::new(dir.join("broker"));
        config.listeners.clear();
        let broker = Broker::start(config).await.expect("the broker starts");
        let transport = broker.transport();
        let engine = engine(dir, &transport, workers, &world);
        Node {
            _broker: broker,
            transport,
            engine,
            metastore: Metastore::new(),
            topics: MemoryTopics::default(),
            commands: 0,
            dir: dir.to_path_buf(),
            world,
        }
    }

    /// The engine is shut down, a new one goes on.
    pub(crate) async fn restart(&mut self, workers: usize) {
        self.engine.shutdown().await.expect("a clean end");
        self.crash(workers).await;
    }

    /// The engine dies, a new one starts the same queries.
    pub(crate) async fn crash(&mut self, workers: usize) {
        self.start_again(workers)
            .await
            .into_iter()
            .for_each(|started| started.expect("the query starts again"));
    }

    /// A new engine starts the same queries, which may fail.
    pub(crate) async fn start_again(&mut self, workers: usize) -> Vec<Result<(), RuntimeError>> {
        let plans: Vec<_> = self.metastore.queries().map(|q| q.plan.clone()).collect();
        self.engine = engine(&self.dir, &self.transport, workers, &self.world);
        let mut started = Vec::new();
        for plan in plans {
            started.push(self.engine.start_query(plan, earliest()).await.map(drop));
        }
        started
    }

    fn prepare(&self, sql: &str) -> Vec<PreparedStatement> {
        let statements = weir_sql::parser::parse_statements(sql).expect("the statement parses");
        let session =
            Session { default_value_format: Some(weir_sql::format::Format::Json), ..Session::default() };
        let context = Context {
            metastore: &self.metastore,
            session: &session,
            topics: &self.topics,
            schemas: &NoSchemas,
            functions: FunctionRegistry::standard(),
        };
        statements
            .iter()
            .map(|s| prepare(&context, &s.statement, &s.text, self.commands).expect("the statement is valid"))
            .collect()
    }

    /// Runs one DDL statement; gives the id of the query it started.
    pub(crate) async fn execute(&mut self, sql: &str) -> Option<String> {
        self.execute_with(sql, earliest()).await
    }

    /// The same, with options for the query.
    pub(crate) async fn execute_with(&mut self, sql: &str, options: QueryOptions) -> Option<String> {
        self.try_execute(sql, options).await.expect("the query starts")
    }

    /// The same. Errors: the query does not start; the metastore has it all the same.
    pub(crate) async fn try_execute(
        &mut self,
        sql: &str,
        options: QueryOptions,
    ) -> Result<Option<String>, RuntimeError> {
        self.commands += 1;
        let actions = self.prepare(sql).remove(0).actions(sql, &IndexMap::new());
        dry_run(&mut (&mut self.metastore, &mut self.topics), &actions).expect("the metastore takes it");
        let mut started = None;
        for action in actions {
            match action {
                Action::CreateTopic { name, partitions, .. } => {
                    let admin = Admin::new(self.transport.clone());
                    match admin.create_topic(&name, partitions, &BTreeMap::new()).await {
                        Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => {}
                        outcome => outcome.expect("the topic is created"),
                    }
                }
                Action::StartQuery { plan, .. } => {
                    started = Some(plan.query_id.clone());
                    self.engine.start_query(*plan, options.clone()).await?;
                }
                _ => {}
            }
        }
        Ok(started)
    }

    pub(crate) fn push(&self, sql: &str) -> PushQuery {
        match self.prepare(sql).remove(0) {
            PreparedStatement::Push(push) => *push,
            other => panic!("not a push query: {other:?}"),
        }
    }

    /// Writes records by key, as any Kafka client would. Timestamps count up from `time`.
    pub(crate) async fn produce(
        &self,
        topic: &str,
        partitions: i32,
        time: i64,
        records: &[(String, Option<String>)],
    ) {
        let mut builders: BTreeMap<i32, RecordBatchBuilder> = BTreeMap::new();
        for (at, (key, value)) in records.iter().enumerate() {
            let partition = partition_for_key(key.as_bytes(), partitions);
            builders
                .entry(partition)
                .or_insert_with(|| RecordBatchBuilder::new(BatchOptions::default()))
                .append(time + at as i64, Some(key.as_bytes()), value.as_ref().map(String::as_bytes), &[]);
        }
        let batches = builders.into_iter().map(|(partition, builder)| {
            (TopicPartition::new(topic, partition), vec![builder.build().expect("builds")])
        });
        let mut producer = IdempotentProducer::init(self.transport.clone()).await.expect("a producer id");
        producer.send(batches.collect()).await.expect("produced");
    }

    /// Reads committed records of a topic until there are `count`; a little longer, to see whether there are more.
    pub(crate) async fn read(&self, topic: &str, partitions: i32, count: usize) -> Vec<Seen> {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        let mut seen = Vec::new();
        let mut offsets: Vec<(TopicPartition, i64)> =
            (0..partitions).map(|p| (TopicPartition::new(topic, p), 0)).collect();
        let reader = Reader::new(self.transport.clone());
        let mut quiet = 0;
        while quiet < 2 {
            assert!(
                tokio::time::Instant::now() < deadline,
                "only {} of {count} records: {seen:?}",
                seen.len()
            );
            let options = FetchOptions { wait_max: Duration::from_millis(100), ..FetchOptions::default() };
            let fetched = reader.fetch(&offsets, &options).await.expect("fetched");
            let before = seen.len();
            let mut scratch = DecompressBuf::default();
            for (at, (_, records)) in fetched.into_iter().enumerate() {
                let records = records.expect("readable");
                for batch in &records.batches {
                    for record in batch.records(&mut scratch).expect("decompresses") {
                        let record = record.expect("well formed");
                        if record.offset >= offsets[at].1 {
                            let text = |b: Option<&[u8]>| b.map(|b| String::from_utf8_lossy(b).into_owned());
                            seen.push((text(record.key), text(record.value)));
                        }
                    }
                }
                offsets[at].1 = records.next_offset;
            }
            quiet = if seen.len() >= count && seen.len() == before { quiet + 1 } else { 0 };
        }
        seen
    }

    /// Waits until a condition holds.
    pub(crate) async fn await_that(&self, what: &str, mut holds: impl FnMut(&Engine) -> bool) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while !holds(&self.engine) {
            let queries = self.engine.queries();
            assert!(
                tokio::time::Instant::now() < deadline,
                "{what}: {:?}, {queries:?}",
                self.engine.health()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The last failure of a query.
    pub(crate) fn failure(&self, query_id: &str) -> String {
        let mut status = self.engine.query(query_id).expect("the query exists").status();
        status.errors.pop().map(|e| e.message).unwrap_or_default()
    }

    pub(crate) fn admin(&self) -> Admin {
        Admin::new(self.transport.clone())
    }

    /// Waits until a query is in a state.
    pub(crate) async fn await_state(&self, query_id: &str, state: QueryState) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let query = self.engine.query(query_id).expect("the query exists");
            if query.state() == state {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{:?}", query.status());
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) fn earliest() -> QueryOptions {
    let properties = [("auto.offset.reset".to_owned(), "earliest".to_owned())].into();
    QueryOptions { properties, ..QueryOptions::default() }
}

impl Node {
    /// Waits until a pull query finds so many rows.
    pub(crate) async fn await_rows(&self, sql: &str, count: usize) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        // State cannot be read while a query starts again.
        while !self.try_pull(sql).await.is_ok_and(|rows| rows.len() == count) {
            assert!(tokio::time::Instant::now() < deadline, "{sql} does not find {count} rows");
            tokio::task::yield_now().await;
        }
    }

    /// Runs a pull query; gives its rows as text, column by column.
    pub(crate) async fn pull(&self, sql: &str) -> Vec<Vec<String>> {
        self.try_pull(sql).await.expect("rows")
    }

    /// Starts a pull query.
    pub(crate) async fn open_pull(&self, sql: &str) -> SendableRecordBatchStream {
        let PreparedStatement::Pull(plan) = self.prepare(sql).remove(0) else { panic!("not a pull query") };
        let executor =
            weir_engine::pull::executor::PullExecutor::new(weir_sql::expr::compile::CompileContext {
                reporter: Arc::new(weir_sql::expr::compile::IgnoreErrors),
                now_ms: Arc::new(|| 0),
                random: Arc::new(|| 4),
            });
        executor.run(&plan, &self.engine, &self.metastore).await.expect("the query runs")
    }

    async fn try_pull(&self, sql: &str) -> Result<Vec<Vec<String>>, String> {
        use futures::StreamExt;

        let begun = std::time::Instant::now();
        let mut stream = self.open_pull(sql).await;
        let mut rows = Vec::new();
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(|error| format!("{error:?}"))?;
            for row in 0..batch.num_rows() {
                let cell = |c: &arrow::array::ArrayRef| {
                    arrow::util::display::array_value_to_string(c, row).expect("a value")
                };
                rows.push(batch.columns().iter().map(cell).collect());
            }
        }
        println!("{:?} for {sql}", begun.elapsed());
        Ok(rows)
    }
}
