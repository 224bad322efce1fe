//! A running node: the order in which its parts start and stop.
//!
//! Start: broker (recovers the logs), engine, command topic (replayed into the metastore), HTTP;
//! queries start meanwhile. A node that answers HTTP has all statements of its command topic
//! applied.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::sync::watch;
use weir_broker::auth::config::Secret;
use weir_broker::broker::{Broker, PartitionFigures, StartError};
use weir_broker::client::transport::Transport;
use weir_broker::config::BrokerConfig;
use weir_broker::env::clock::{Clock, SystemClock};
use weir_broker::env::rng::SystemRng;
use weir_broker::env::spawn;
use weir_broker::env::storage::Storage;
use weir_broker::env::storage::system::SystemStorage;
use weir_broker::net::config::ListenerConfig;
use weir_broker::net::listener::Listener;
use weir_broker::net::tls::TlsError;
use weir_engine::config::EngineConfig;
use weir_engine::engine::{Engine, EngineIo};
use weir_engine::error::query::RuntimeError;
use weir_engine::operator::BuildContext;
use weir_engine::pull::executor::PullExecutor;
use weir_engine::runtime::storage::DiskStorage;
use weir_engine::settings::QuerySettings;
use weir_engine::state::resident_budget::ResidentBudget;
use weir_engine::task::topology_processor::TopologyCompiler;
use weir_engine::topology::TopologyConfig;
use weir_sql::functions::registry::FunctionRegistry;
use weir_sql::metastore::Metastore;
use weir_sql::session::Session;

use crate::api::Api;
use crate::audit::{Audit, AuditCounters};
use crate::auth::authenticator::Authenticator;
use crate::auth::caller::Caller;
use crate::command::error::CommandLogError;
use crate::command::log::{CommandLog, topic_name};
use crate::command::replay::replay;
use crate::command::runner::CommandRunner;
use crate::command::scan::{Commands, Degradation};
use crate::config::NodeConfig;
use crate::context::{Context, Parts, random};
use crate::http::guard::Guard;
use crate::http::router::router;
use crate::http::serve::HttpListener;
use crate::inserts::Inserts;
use crate::local_broker::LocalBroker;
use crate::metrics::http::HttpMetrics;
use crate::processing_log::{QueuedLog, ReportQueue, stream, writer};
use crate::push_queries::PushRegistry;
use crate::query_starts::QueryStarts;
use crate::statement::dispatch::execute;
use crate::topics::{TopicPatternError, TopicPolicy};
use crate::wire::request::StatementRequest;

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
    #[error(transparent)]
    TopicPattern(#[from] TopicPatternError),
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

/// A node as the process around it sees it. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    api: Arc<Api>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("config", self.context().config()).finish_non_exhaustive()
    }
}

/// A node with its HTTP port open.
#[derive(Debug)]
pub struct RunningNode {
    pub node: Node,
    stop: watch::Sender<bool>,
    http: tokio::task::JoinHandle<()>,
}

/// The broker of a starting node, and what reports to it.
struct StartedBroker {
    broker: Broker,
    authenticator: Authenticator,
    audit: Option<AuditCounters>,
}

/// The engine of a starting node, and what it shares with pull queries.
struct StartedEngine {
    engine: Engine,
    pull: PullExecutor,
    clock: Arc<dyn Clock>,
    processing_log: Arc<QueuedLog>,
    /// None: there is no topic to write reports to.
    reports: Option<ReportQueue>,
}

impl RunningNode {
    /// Starts a node; it serves when this returns.
    pub async fn start(mut config: NodeConfig) -> Result<RunningNode, NodeError> {
        let topic_policy = TopicPolicy::new(&config)?;
        let StartedBroker { broker, authenticator, audit } = start_broker(&mut config).await?;
        let transport = broker.transport();
        let StartedEngine { engine, pull, clock, processing_log, reports } =
            start_engine(&config, &transport)?;
        let (log, commands, degradation) = open_commands(&broker, &config).await?;
        let inserts = Inserts::start(Arc::clone(&transport), Arc::clone(&clock));
        let inserts = inserts.await.map_err(NodeError::Producer)?;
        let listener = HttpListener::bind(config.http_listen)
            .await
            .map_err(|source| NodeError::Http { address: config.http_listen, source })?;
        let started = clock.monotonic();
        let context = Context::new(Parts {
            session: Session { service_id: config.service_id.clone(), ..config.session.clone() },
            broker: LocalBroker::new(broker),
            transport,
            engine,
            pull,
            clock,
            topic_policy,
            inserts,
            processing_log,
            http_address: listener.address(),
            pushes: PushRegistry::new(config.push_queries_max),
            starts: QueryStarts::default(),
            metastore: RwLock::default(),
            transient: AtomicI64::new(0),
            config,
        });
        if let Some(reports) = reports {
            write_processing_log(&context, reports).await?;
        }
        let runner = CommandRunner::new(context.clone(), log, degradation);
        let replayed = replay(&runner, &commands).await;
        replayed.map_err(|error| NodeError::Replay { message: error.message })?;
        if let Some(degradation) = runner.degradation() {
            tracing::error!(%degradation, "node is degraded: statements that change it are refused");
        }
        declare_processing_log(&runner).await;
        let http_metrics = HttpMetrics::default();
        let api = Arc::new(Api { commands: runner, authenticator, audit, http_metrics, started });
        let (stop, stopped) = watch::channel(false);
        let http = context.config().http.clone();
        let guard = Guard::new(&http.allowed_origins, &http.allowed_hosts, listener.address().ip());
        let serving = listener.serve(router(Arc::<Api>::clone(&api), guard), http, stopped);
        let http = spawn::task("http-listener", serving);
        Ok(RunningNode { node: Node { api }, stop, http })
    }

    /// Stops queries and closes the log cleanly. A node that is not shut down loses nothing either; it only has more to check
    /// when it starts again.
    pub async fn shutdown(self) {
        let context = self.node.context();
        tracing::info!("closing the HTTP port");
        let _ = self.stop.send(true);
        context.pushes().close_all();
        let _ = self.http.await;
        tracing::info!("stopping queries");
        context.starts().cancel_all().await;
        if let Err(error) = context.engine().shutdown().await {
            tracing::warn!(error = %error.chain(), "the engine did not stop cleanly");
        }
        tracing::info!("closing the Kafka listeners and the logs");
        let broker = context.broker().take();
        if let Some(broker) = broker
            && let Err(error) = broker.shutdown().await
        {
            tracing::warn!(%error, "the broker did not close cleanly");
        }
    }
}

/// Recovers the logs, opens the Kafka listeners and starts the audit.
async fn start_broker(config: &mut NodeConfig) -> Result<StartedBroker, NodeError> {
    let audit = config.audit_topic.clone().map(Audit::new);
    if let Some(audit) = &audit {
        config.kafka_security.audit = Some(audit.sink());
    }
    let broker = Broker::start(broker_config(config)?).await?;
    let audit = match audit {
        Some(audit) => Some(audit.start(broker.transport()).await.map_err(NodeError::Audit)?),
        None => None,
    };
    let authenticator = Authenticator::new(broker.security(), config.authenticates_http(), &SystemRng);
    Ok(StartedBroker { broker, authenticator, audit })
}

fn start_engine(config: &NodeConfig, transport: &Arc<dyn Transport>) -> Result<StartedEngine, RuntimeError> {
    let mut engine_config = EngineConfig::new(state_dir(config), config.service_id.clone());
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
        transport: Arc::clone(transport),
        fetch_transport: Arc::clone(transport),
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
    let pull = PullExecutor::new(build.compile_context("pull"));
    Ok(StartedEngine { engine, pull, clock, processing_log, reports })
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

/// Makes the topic of the processing log and begins to write to it.
async fn write_processing_log(context: &Context, reports: ReportQueue) -> Result<(), NodeError> {
    let (transport, config) = (context.transport(), context.config().processing_log.clone());
    writer::create_topic(&transport, &config).await.map_err(NodeError::ProcessingLog)?;
    spawn::task("processing-log-writer", writer::run(transport, config, reports));
    Ok(())
}

/// Declares the stream of the processing log, if it is wanted and not there. A node runs without it as well.
async fn declare_processing_log(commands: &CommandRunner) {
    let context = commands.context();
    let config = &context.config().processing_log;
    let wanted = config.topic_auto_create && config.stream_auto_create && commands.degradation().is_none();
    if !wanted || context.metastore().source(&config.stream_name).is_some() {
        return;
    }
    let request = StatementRequest { ksql: stream::statement(config), ..StatementRequest::default() };
    if let Err(error) = execute(commands, &Caller::internal(), request).await {
        tracing::warn!(%error, stream = config.stream_name, "the processing log's stream cannot be made");
    }
}

/// What functions see of the world, in queries of every kind.
fn build_context(clock: &Arc<dyn Clock>, log: &Arc<QueuedLog>, state_cache_bytes: usize) -> BuildContext {
    let clock = Arc::clone(clock);
    BuildContext {
        query_id: "pull".to_owned(),
        settings: QuerySettings::default(),
        registry: FunctionRegistry::standard(),
        resident: Arc::new(ResidentBudget::new(state_cache_bytes)),
        log: Arc::<QueuedLog>::clone(log),
        now_ms: Arc::new(move || clock.now_ms()),
        random: random(),
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
    fn context(&self) -> &Context {
        self.api.context()
    }

    pub fn engine(&self) -> &Engine {
        self.context().engine()
    }

    /// Why commands are refused; None: they are taken.
    pub fn degradation(&self) -> Option<&Degradation> {
        self.api.commands.degradation()
    }

    pub fn transport(&self) -> Arc<dyn Transport> {
        self.context().transport()
    }

    /// The metastore as it is now; shared, not copied.
    pub fn metastore(&self) -> Arc<Metastore> {
        self.context().metastore()
    }

    /// A bearer token that only this process knows, for its own HTTP client.
    pub fn local_token(&self) -> &Secret {
        self.api.authenticator.local_token()
    }

    /// `http://host:port` or `https://host:port`
    pub fn http_url(&self) -> String {
        let scheme = if self.context().config().http.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.http_address())
    }

    pub fn http_address(&self) -> SocketAddr {
        self.context().http_address()
    }

    pub fn kafka_address(&self) -> Option<SocketAddr> {
        self.context().broker().with(Broker::local_addr).flatten()
    }

    /// Where all Kafka listeners are bound, in the order of the configuration.
    pub fn kafka_addresses(&self) -> Vec<SocketAddr> {
        let addresses = |broker: &Broker| broker.listeners().iter().map(Listener::local_addr).collect();
        self.context().broker().with(addresses).unwrap_or_default()
    }

    /// Loads the certificates of all listeners anew.
    pub fn reload_certificates(&self) -> Result<(), TlsError> {
        self.context().config().http.tls.as_ref().map_or(Ok(()), |tls| tls.reload())?;
        self.context().broker().with(Broker::reload_certificates).unwrap_or(Ok(()))
    }

    /// Waits until the disk has failed; never ends without a broker.
    pub fn storage_failed(&self) -> impl Future<Output = ()> + Send + use<> {
        let failed = self.context().broker().with(Broker::storage_failed);
        async move {
            match failed {
                Some(failed) => failed.await,
                None => std::future::pending().await,
            }
        }
    }

    /// Offsets and sizes of every partition.
    pub fn broker_figures(&self) -> Vec<PartitionFigures> {
        self.context().broker().with(Broker::partition_figures).unwrap_or_default()
    }
}
