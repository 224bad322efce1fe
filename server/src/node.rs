//! A running node: start order, what its parts share, and shutdown.
//!
//! Start: broker (recovers the logs), engine, command topic (replayed into the metastore), HTTP;
//! queries start meanwhile. A node that answers HTTP has all statements of its command topic
//! applied.

pub mod api;
pub mod apply;
pub(crate) mod audit;
pub mod command_guard;
pub mod commands;
pub(crate) mod conditions;
pub mod health;
pub(crate) mod inserts;
pub mod processing_log;
pub mod push;
pub(crate) mod query_starts;
pub(crate) mod recent_inserts;
pub mod replay;
pub mod topics;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use datafusion::execution::SendableRecordBatchStream;
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::watch;
use weir_broker::auth::config::Secret;
use weir_broker::broker::{Broker, PartitionFigures, StartError};
use weir_broker::client::admin::{Admin, TopicDescription};
use weir_broker::client::transport::Transport;
use weir_broker::config::BrokerConfig;
use weir_broker::env::clock::{Clock, SystemClock};
use weir_broker::env::rng::{Rng, SystemRng};
use weir_broker::env::storage::Storage;
use weir_broker::env::storage::system::SystemStorage;
use weir_broker::net::config::ListenerConfig;
use weir_broker::net::listener::Listener;
use weir_broker::net::tls::TlsError;
use weir_engine::config::EngineConfig;
use weir_engine::engine::{Engine, EngineIo};
use weir_engine::operator::BuildContext;
use weir_engine::pull::executor::{PullError, PullExecutor};
use weir_engine::query::settings::QuerySettings;
use weir_engine::query::status::{QueryState, QueryStatus};
use weir_engine::runtime::error::RuntimeError;
use weir_engine::runtime::storage::DiskStorage;
use weir_engine::state::resident_budget::ResidentBudget;
use weir_engine::task::topology_processor::TopologyCompiler;
use weir_engine::topology::TopologyConfig;
use weir_sql::catalog::TopicInfo;
use weir_sql::functions::registry::FunctionRegistry;
use weir_sql::metastore::Metastore;
use weir_sql::plan::pull::PullPlan;
use weir_sql::session::Session;

use crate::auth::authenticator::Authenticator;
use crate::auth::caller::Caller;
use crate::command::log::{CommandLog, CommandLogError, topic_name};
use crate::command::scan::{Commands, Degradation};
use crate::config::NodeConfig;
use crate::error::{ApiError, ErrorCode};
use crate::http::guard::Guard;
use crate::http::router::router;
use crate::http::serve::HttpListener;
use crate::metrics::http::HttpMetrics;
use crate::node::audit::{Audit, AuditCounters};
use crate::node::commands::CommandStatuses;
use crate::node::inserts::Inserts;
use crate::node::processing_log::{QueuedLog, ReportCounters, stream, writer};
use crate::node::push::PushRegistry;
use crate::node::query_starts::QueryStarts;
use crate::node::replay::StartFailure;
use crate::node::topics::{NodeTopics, TopicPolicy, look_up};
use crate::statement::execute::execute;
use crate::statement::sandbox::Sandbox;
use crate::wire::request::StatementRequest;

/// How long a request waits for the command that it names. Source: `ksql.server.command.response.timeout.ms`.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a pull query waits for the start of the queries that it depends on.
const STARTED_WITHIN: Duration = Duration::from_secs(10);

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("the broker did not start")]
    Broker(#[from] StartError),
    #[error("a setting of the broker cannot be used")]
    Setting(#[source] weir_broker::error::Error),
    #[error("the engine did not start")]
    Engine(#[from] RuntimeError),
    #[error("the command topic cannot be replayed")]
    Commands(#[from] CommandLogError),
    #[error("setting {setting} is no list of patterns")]
    TopicPattern {
        setting: &'static str,
        #[source]
        source: regex::Error,
    },
    #[error("cannot listen on {address} for HTTP")]
    Http {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("the producer for inserted rows did not start")]
    Producer(#[source] weir_broker::client::error::ClientError),
    #[error("the audit topic cannot be made")]
    Audit(#[source] weir_broker::client::error::ClientError),
    #[error("the topic of the processing log cannot be made")]
    ProcessingLog(#[source] weir_broker::client::error::ClientError),
    #[error("a topic of the command topic's statements cannot be made: {message}")]
    Replay { message: String },
}

/// What a node's parts share. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

struct Shared {
    config: NodeConfig,
    /// None once the node has shut down.
    broker: RwLock<Option<Broker>>,
    engine: Engine,
    transport: Arc<dyn Transport>,
    session: Session,
    topic_policy: TopicPolicy,
    metastore: RwLock<Arc<Metastore>>,
    commands: tokio::sync::Mutex<CommandLog>,
    /// A task deletes commands without effect.
    compacting: AtomicBool,
    /// Why commands are refused.
    degradation: OnceLock<Degradation>,
    next_command_offset: AtomicI64,
    /// The last command that was carried out; -1 before the first.
    applied: watch::Sender<i64>,
    statuses: Mutex<CommandStatuses>,
    push: PushRegistry,
    inserts: Inserts,
    transient: AtomicI64,
    clock: Arc<dyn Clock>,
    processing_log: Arc<QueuedLog>,
    pull: PullExecutor,
    http_address: SocketAddr,
    authenticator: Authenticator,
    audit: Option<AuditCounters>,
    http_metrics: HttpMetrics,
    starts: QueryStarts,
    /// Why queries that should run did not start, by id.
    start_failures: Mutex<BTreeMap<String, StartFailure>>,
    /// On the monotonic clock.
    started: Duration,
    stop: watch::Sender<bool>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

/// A node with its HTTP port open.
#[derive(Debug)]
pub struct RunningNode {
    pub node: Node,
    http: tokio::task::JoinHandle<()>,
}

impl RunningNode {
    /// Starts a node; it serves when this returns.
    pub async fn start(mut config: NodeConfig) -> Result<RunningNode, NodeError> {
        let topic_policy = TopicPolicy::new(&config)?;
        let audit = config.audit_topic.clone().map(Audit::new);
        if let Some(audit) = &audit {
            config.kafka_security.audit = Some(audit.sink());
        }
        let broker = Broker::start(broker_config(&config)?).await?;
        let transport = broker.transport();
        let audit = match audit {
            Some(audit) => Some(audit.start(Arc::clone(&transport)).await.map_err(NodeError::Audit)?),
            None => None,
        };
        let authenticator = Authenticator::new(broker.security(), config.authenticates_http(), &SystemRng);
        let mut engine_config = EngineConfig::new(state_dir(&config), config.service_id.clone());
        engine_config.commit_interval_ms = config.commit_interval_ms;
        engine_config.task_step_max_ms = config.task_step_max_ms;
        if let Some(threads) = config.worker_threads {
            engine_config.worker_threads = threads;
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let (processing_log, reports) = QueuedLog::new(&config.processing_log, Arc::clone(&clock));
        let processing_log = Arc::new(processing_log);
        let build = build_context(&clock, &processing_log, config.state_cache_bytes);
        let io = EngineIo {
            transport: Arc::clone(&transport),
            fetch_transport: Arc::clone(&transport),
            clock: Arc::clone(&clock),
            runtime: Handle::current(),
            storage: Arc::new(DiskStorage::new(
                engine_config.state_dir.clone(),
                engine_config.block_cache_bytes,
                engine_config.write_buffer_bytes,
            )),
            compiler: Arc::new(TopologyCompiler {
                config: TopologyConfig { caching: config.output_caching, ..TopologyConfig::default() },
                resident: Arc::clone(&build.resident),
                log: Arc::clone(&build.log),
                now_ms: Arc::clone(&build.now_ms),
                random: Arc::clone(&build.random),
            }),
        };
        let engine = Engine::start(engine_config, io)?;
        let (log, commands, degradation) = open_commands(&broker, &config).await?;
        let inserts = Inserts::start(Arc::clone(&transport)).await.map_err(NodeError::Producer)?;
        let listener = HttpListener::bind(config.http_listen)
            .await
            .map_err(|source| NodeError::Http { address: config.http_listen, source })?;
        let session = Session { service_id: config.service_id.clone(), ..config.session.clone() };
        let (stop, stopped) = watch::channel(false);
        let started = clock.monotonic();
        let node = Node {
            shared: Arc::new(Shared {
                push: PushRegistry::new(config.push_queries_max),
                config,
                broker: RwLock::new(Some(broker)),
                engine,
                transport,
                session,
                topic_policy,
                metastore: RwLock::default(),
                next_command_offset: AtomicI64::new(log.next_offset()),
                applied: watch::Sender::new(log.next_offset() - 1),
                commands: tokio::sync::Mutex::new(log),
                compacting: AtomicBool::new(false),
                degradation: degradation.map_or_else(OnceLock::new, OnceLock::from),
                statuses: Mutex::default(),
                inserts,
                transient: AtomicI64::new(0),
                clock,
                processing_log,
                pull: PullExecutor::new(build.compile_context("pull")),
                http_address: listener.address(),
                authenticator,
                audit,
                http_metrics: HttpMetrics::default(),
                starts: QueryStarts::default(),
                start_failures: Mutex::default(),
                started,
                stop,
            }),
        };
        if let Some(reports) = reports {
            let (transport, config) = (node.transport(), node.shared.config.processing_log.clone());
            writer::create_topic(&transport, &config).await.map_err(NodeError::ProcessingLog)?;
            tokio::spawn(writer::run(transport, config, reports));
        }
        node.replay(&commands).await?;
        if let Some(degradation) = node.degradation() {
            tracing::error!(%degradation, "node is degraded: statements that change it are refused");
        }
        node.declare_processing_log().await;
        let config = node.shared.config.http.clone();
        let guard = Guard::new(&config.allowed_origins, &config.allowed_hosts, listener.address().ip());
        let http = tokio::spawn(listener.serve(router(Arc::new(node.clone()), guard), config, stopped));
        Ok(RunningNode { node, http })
    }

    /// Stops queries and closes the log cleanly. A node that is not shut down loses nothing either; it only has more to check
    /// when it starts again.
    pub async fn shutdown(self) {
        tracing::info!("closing the HTTP port");
        let _ = self.node.shared.stop.send(true);
        self.node.shared.push.close_all();
        let _ = self.http.await;
        tracing::info!("stopping queries");
        self.node.cancel_starts().await;
        if let Err(error) = self.node.shared.engine.shutdown().await {
            tracing::warn!(error = %error.chain(), "the engine did not stop cleanly");
        }
        tracing::info!("closing the Kafka listeners and the logs");
        let broker = self.node.shared.broker.write().take();
        if let Some(broker) = broker
            && let Err(error) = broker.shutdown().await
        {
            tracing::warn!(%error, "the broker did not close cleanly");
        }
    }
}

/// Reads the command topic. A node that cannot read all of it serves what it can.
async fn open_commands(
    broker: &Broker,
    config: &NodeConfig,
) -> Result<(CommandLog, Commands, Option<Degradation>), NodeError> {
    let (topic, transport) = (topic_name(&config.service_id), broker.transport());
    let damaged = broker.offline_partitions().into_iter().find(|log| *log.partition.topic == *topic);
    let (log, commands, degradation) = match damaged {
        None => {
            let (log, commands) = CommandLog::open(transport, &config.service_id).await?;
            let degradation = commands.degradation(&topic);
            (log, commands, degradation)
        }
        Some(damaged) => {
            let reason = damaged.error.to_string();
            let degradation = Degradation { topic, offset: None, reason, held_back: 0 };
            let log = CommandLog::closed(transport, &config.service_id);
            (log, Commands::default(), Some(degradation))
        }
    };
    Ok((log, commands, degradation))
}

/// What functions see of the world, in queries of every kind.
fn build_context(clock: &Arc<dyn Clock>, log: &Arc<QueuedLog>, state_cache_bytes: usize) -> BuildContext {
    let clock = Arc::clone(clock);
    let rng = SystemRng;
    BuildContext {
        query_id: "pull".to_owned(),
        settings: QuerySettings::default(),
        registry: FunctionRegistry::standard(),
        resident: Arc::new(ResidentBudget::new(state_cache_bytes)),
        log: Arc::<QueuedLog>::clone(log),
        now_ms: Arc::new(move || clock.now_ms()),
        random: Arc::new(move || rng.next_u64()),
    }
}

/// The directory of the state, made for its owner alone: rows are in it. The engine reports if it cannot be made.
fn state_dir(config: &NodeConfig) -> PathBuf {
    let dir = config.data_dir.join("state");
    let closed = SystemStorage.create_dir_all(&dir).and_then(|()| SystemStorage.restrict_dir(&dir));
    if let Err(error) = closed {
        tracing::warn!(%error, dir = %dir.display(), "state directory stays open to other users of this machine");
    }
    dir
}

fn broker_config(config: &NodeConfig) -> Result<BrokerConfig, NodeError> {
    let mut broker = BrokerConfig::new(config.data_dir.join("broker"));
    let listener = |address: SocketAddr| ListenerConfig {
        address: address.to_string(),
        advertised: config.kafka_advertised.clone(),
        ..ListenerConfig::default()
    };
    broker.listeners = config.kafka_listen.map(listener).into_iter().collect();
    broker.listeners.extend(config.kafka_listeners.iter().cloned());
    broker.security = config.kafka_security.clone();
    broker.durability = config.durability;
    broker.auto_create_topics = config.auto_create_topics;
    broker.accept_copied_data = config.accept_copied_data;
    broker.housekeeping_interval_ms = config.housekeeping_interval_ms;
    for (name, value) in &config.kafka_settings {
        broker.set(name, value).map_err(NodeError::Setting)?;
    }
    Ok(broker)
}

impl Node {
    pub fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    /// Starts a pull query. Waits for queries that are starting, for a while.
    pub async fn pull(&self, plan: &PullPlan) -> Result<SendableRecordBatchStream, PullError> {
        let starting = self.wait_for_starts(&plan.sources, STARTED_WITHIN).await;
        let rows = self.shared.pull.run(plan, self.engine(), &self.metastore()).await;
        rows.map_err(|error| match (error, starting) {
            (PullError::NotMaterialized { table }, Some(_)) => {
                PullError::NotReady { table, state: QueryState::Starting.name() }
            }
            (error, _) => error,
        })
    }

    /// Declares the stream of the processing log, if it is wanted and not there. A node runs without it as well.
    async fn declare_processing_log(&self) {
        let config = &self.shared.config.processing_log;
        let wanted = config.topic_auto_create && config.stream_auto_create && self.degradation().is_none();
        if !wanted || self.metastore().source(&config.stream_name).is_some() {
            return;
        }
        let request = StatementRequest { ksql: stream::statement(config), ..StatementRequest::default() };
        if let Err(error) = execute(self, &Caller::internal(), request).await {
            tracing::warn!(%error, stream = config.stream_name, "the processing log's stream cannot be made");
        }
    }

    /// Why commands are refused; None: they are taken.
    pub fn degradation(&self) -> Option<&Degradation> {
        self.shared.degradation.get()
    }

    /// What became of reports of failing rows.
    pub fn report_counters(&self) -> &ReportCounters {
        self.shared.processing_log.counters()
    }

    pub fn transport(&self) -> Arc<dyn Transport> {
        Arc::clone(&self.shared.transport)
    }

    /// The session that requests start from.
    pub fn session(&self) -> &Session {
        &self.shared.session
    }

    /// The metastore as it is now; shared, not copied.
    pub fn metastore(&self) -> Arc<Metastore> {
        Arc::clone(&self.shared.metastore.read())
    }

    /// Changes the metastore. Copies of before stay as they are.
    pub(crate) fn change_metastore<T>(&self, change: impl FnOnce(&mut Metastore) -> T) -> T {
        change(Arc::make_mut(&mut self.shared.metastore.write()))
    }

    pub fn config(&self) -> &NodeConfig {
        &self.shared.config
    }

    /// Properties of queries whose statements do not set them.
    pub fn query_defaults(&self) -> &BTreeMap<String, String> {
        &self.shared.config.query_defaults
    }

    /// Units: ms since epoch.
    pub fn now_ms(&self) -> i64 {
        self.shared.clock.now_ms()
    }

    /// Random bits for functions.
    pub fn random(&self) -> Arc<dyn Fn() -> u64 + Send + Sync> {
        let rng = SystemRng;
        Arc::new(move || rng.next_u64())
    }

    /// A bearer token that only this process knows, for its own HTTP client.
    pub fn local_token(&self) -> &Secret {
        self.shared.authenticator.local_token()
    }

    /// `http://host:port` or `https://host:port`
    pub fn http_url(&self) -> String {
        let scheme = if self.shared.config.http.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.shared.http_address)
    }

    pub fn http_address(&self) -> SocketAddr {
        self.shared.http_address
    }

    /// `host:port`, by which answers name this node.
    pub fn http_authority(&self) -> String {
        self.shared.http_address.to_string()
    }

    pub fn kafka_address(&self) -> Option<SocketAddr> {
        self.shared.broker.read().as_ref().and_then(Broker::local_addr)
    }

    /// Where all Kafka listeners are bound, in the order of the configuration.
    pub fn kafka_addresses(&self) -> Vec<SocketAddr> {
        let broker = self.shared.broker.read();
        broker.iter().flat_map(|broker| broker.listeners()).map(Listener::local_addr).collect()
    }

    /// Loads the certificates of all listeners anew.
    pub fn reload_certificates(&self) -> Result<(), TlsError> {
        self.shared.config.http.tls.as_ref().map_or(Ok(()), |tls| tls.reload())?;
        self.shared.broker.read().as_ref().map_or(Ok(()), Broker::reload_certificates)
    }

    pub fn next_command_offset(&self) -> i64 {
        self.shared.next_command_offset.load(Ordering::Acquire)
    }

    pub(crate) fn mark_applied(&self, sequence: i64) {
        self.shared.applied.send_if_modified(|applied| {
            let newer = sequence > *applied;
            *applied = sequence.max(*applied);
            newer
        });
    }

    /// Waits until a command is carried out, so that what a client does next sees what it did before.
    ///
    /// Errors: it is not, within ksqlDB's five seconds.
    pub async fn wait_applied(&self, sequence: Option<i64>) -> Result<(), ApiError> {
        let Some(sequence) = sequence else { return Ok(()) };
        let mut applied = self.shared.applied.subscribe();
        let reached = applied.wait_for(|applied| *applied >= sequence);
        match tokio::time::timeout(CATCH_UP_TIMEOUT, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ApiError::new(ErrorCode::ShuttingDown, "the server is shutting down")),
            Err(_) => Err(ApiError::new(
                ErrorCode::CommandTimeout,
                format!(
                    "Timed out while waiting for a previous command to execute. command sequence number: {sequence}"
                ),
            )),
        }
    }

    /// A number for the id of a transient query.
    pub fn next_transient_number(&self) -> i64 {
        self.shared.transient.fetch_add(1, Ordering::Relaxed)
    }

    /// All topics of the broker.
    pub async fn topics(&self) -> Result<Vec<TopicDescription>, ApiError> {
        let admin = Admin::new(self.transport());
        admin.list_topics().await.map_err(|e| ApiError::server(format!("topics cannot be listed: {e}")))
    }

    /// Metastore and topics to check statements in. Topics are looked up by name, none are listed.
    pub async fn sandbox(&self, session: &Session) -> Result<Sandbox, ApiError> {
        Ok(Sandbox { metastore: self.metastore(), topics: NodeTopics::new(self), session: session.clone() })
    }

    /// A topic of the broker, None if there is none of that name.
    pub fn topic_info(&self, name: &str) -> Option<TopicInfo> {
        self.shared.broker.read().as_ref().and_then(|broker| look_up(broker, name))
    }

    pub fn topic_policy(&self) -> &TopicPolicy {
        &self.shared.topic_policy
    }

    pub fn query_status(&self, id: &str) -> Option<QueryStatus> {
        self.engine().query_status(id)
    }

    /// RUNNING, PAUSED, RESTORING or ERROR; ERROR for a query that should run and does not.
    pub fn query_state(&self, id: &str) -> &'static str {
        // The engine knows a query before its start has ended.
        let starting = self.starting(id);
        let state = match (self.query_status(id), starting) {
            (Some(status), _) => status.state,
            (None, Some(true)) => QueryState::Paused,
            (None, Some(false)) => QueryState::Starting,
            (None, None) => QueryState::Error,
        };
        state.name()
    }

    pub async fn partition_count(&self, topic: &str) -> Result<i32, ApiError> {
        match self.topic_info(topic) {
            Some(info) => Ok(i32::try_from(info.partitions).unwrap_or(i32::MAX)),
            None => Err(ApiError::bad_request(format!("topic \"{topic}\" does not exist"))),
        }
    }

    /// Waits until the disk has failed; never ends without a broker.
    pub fn storage_failed(&self) -> impl Future<Output = ()> + Send + use<> {
        let failed = self.shared.broker.read().as_ref().map(Broker::storage_failed);
        async move {
            match failed {
                Some(failed) => failed.await,
                None => std::future::pending().await,
            }
        }
    }

    pub(crate) fn slow_reader_timeout(&self) -> Duration {
        self.shared.config.slow_reader_timeout
    }

    /// Counters of the audit, if there is one.
    pub(crate) fn audit(&self) -> Option<&AuditCounters> {
        self.shared.audit.as_ref()
    }

    /// What became of HTTP requests.
    pub fn http_metrics(&self) -> &HttpMetrics {
        &self.shared.http_metrics
    }

    /// Time since the node was started.
    pub fn uptime(&self) -> Duration {
        self.shared.clock.monotonic().saturating_sub(self.shared.started)
    }

    /// Looks at the broker, unless it has been shut down.
    pub(crate) fn with_broker(&self, look: impl FnOnce(&Broker)) {
        if let Some(broker) = self.shared.broker.read().as_ref() {
            look(broker);
        }
    }

    /// Offsets and sizes of every partition.
    pub fn broker_figures(&self) -> Vec<PartitionFigures> {
        self.shared.broker.read().as_ref().map(Broker::partition_figures).unwrap_or_default()
    }
}
