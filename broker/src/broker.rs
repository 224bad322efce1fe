//! A running broker: everything opened, replayed, recovered and listening.
//!
//! Start: logs → metadata → topics → groups → transactions → listener. Nobody is answered before the last decided
//! transaction is finished.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::api::cluster::short_uuid;
use crate::api::dispatcher::Dispatcher;
use crate::api::group_admin;
use crate::api::node::{Node, NodeParts};
use crate::api::security::Security;
use crate::api::users;
use crate::auth::sasl::SaslMechanism;
use crate::client::transport::{LocalTransport, Transport};
use crate::config::BrokerConfig;
use crate::coordinator::log::CoordinatorLog;
use crate::env::clock::{Clock, SystemClock};
use crate::env::failpoint;
use crate::env::open_files::OpenFiles;
use crate::env::rng::{Rng, SystemRng};
use crate::env::spawn;
use crate::env::storage::Storage;
use crate::env::storage::failing::FailingStorage;
use crate::env::storage::system::SystemStorage;
use crate::error::Error;
use crate::group::service::GroupService;
use crate::ids::{Offset, TopicPartition};
use crate::log::access::LogOffsets;
use crate::log::manager::LogManagerConfig;
use crate::log::offline::OfflineLog;
use crate::metadata::image::{MetadataImage, OFFSETS_TOPIC, TRANSACTIONS_TOPIC};
use crate::metadata::run_marker::RunMarker;
use crate::metadata::store::MetadataStore;
use crate::metadata::topics::{TopicService, TopicSpec};
use crate::net::config::ListenerConfig;
use crate::net::limits::ConnectionLimits;
use crate::net::listener::{ListenError, Listener};
use crate::net::metrics::NetMetrics;
use crate::net::tls::{TlsError, TlsServer};
use crate::replication::manager::ReplicaManager;
use crate::txn::producer_ids::ProducerIds;
use crate::txn::service::TxnService;

/// How often sessions, rebalances and transactions are looked at.
const TIMER_INTERVAL: Duration = Duration::from_millis(50);
/// With room for fewer connections the limit of open files is worth a warning.
const CONNECTIONS_EXPECTED: usize = 2_000;
/// How often old offsets and idle transactional ids are looked for.
const EXPIRATION_INTERVAL: Duration = Duration::from_secs(60);
/// Segments of internal topics, small so that they are compacted soon.
const INTERNAL_SEGMENT_BYTES: &str = "104857600";

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("opening the data directory failed")]
    Storage(#[from] Error),
    #[error("the failpoints asked for by {} cannot be armed", failpoint::VARIABLE)]
    Failpoints(#[source] std::io::Error),
    #[error("opening the Kafka listener failed")]
    Listen(#[from] ListenError),
}

/// The effects a broker works through. Tests replace them.
#[derive(Debug, Clone)]
pub struct Effects {
    pub storage: Arc<dyn Storage>,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
}

impl Default for Effects {
    /// The machine's own.
    fn default() -> Self {
        Self {
            storage: Arc::new(SystemStorage),
            clock: Arc::new(SystemClock::new()),
            rng: Arc::new(SystemRng),
        }
    }
}

impl Effects {
    /// The machine's own; its files fail where the environment asks for it.
    ///
    /// # Errors
    /// An order for a failpoint is not understood.
    pub fn system() -> Result<Self, StartError> {
        let mut effects = Self::default();
        if failpoint::arm_from_environment().map_err(StartError::Failpoints)? {
            tracing::warn!("failpoints are armed: this process is made to fail");
            effects.storage = Arc::new(FailingStorage::new(effects.storage));
        }
        Ok(effects)
    }
}

/// A partition in figures.
#[derive(Debug, Clone)]
pub struct PartitionFigures {
    pub partition: TopicPartition,
    pub offsets: LogOffsets,
    pub size_bytes: u64,
}

/// How far a group is behind in a partition.
#[derive(Debug, Clone)]
pub struct GroupLag {
    pub group_id: String,
    pub partition: TopicPartition,
    pub committed: Offset,
    /// Records between the committed offset and the high watermark.
    pub lag: i64,
}

/// A member of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConsumer {
    pub group_id: String,
    /// Topics of its assigned partitions.
    pub topics: BTreeSet<String>,
}

/// A running broker. Dropping it without [`Broker::shutdown`] is like a crash: nothing acknowledged is lost.
#[derive(Debug)]
pub struct Broker {
    node: Arc<Node>,
    replicas: Arc<ReplicaManager>,
    handler: Arc<Dispatcher>,
    listeners: Vec<Listener>,
    net_metrics: Arc<NetMetrics>,
    timers: JoinHandle<()>,
    marker: RunMarker,
}

impl Broker {
    /// Starts a broker on the machine's own disk and clock.
    pub async fn start(config: BrokerConfig) -> Result<Self, StartError> {
        Self::start_with(config, Effects::system()?).await
    }

    /// Starts a broker with replaced effects.
    ///
    /// Threads: within a tokio runtime. Opening blocks on the disk and is done beside the async threads.
    pub async fn start_with(config: BrokerConfig, effects: Effects) -> Result<Self, StartError> {
        let started = Instant::now();
        let files = OpenFiles::raise();
        let opening = tokio::task::spawn_blocking(move || open(config, &effects, files));
        let Opened { parts, replicas, marker } =
            opening.await.unwrap_or(Err(Error::Interrupted { action: "open the data directory" }))?;
        parts.txns.recover().await?;
        replicas.start_housekeeping()?;
        let node = Arc::new(Node::new(parts));
        let handler = Arc::new(Dispatcher::new(node.clone()));
        let net_metrics = Arc::new(NetMetrics::default());
        let listeners = listen(&node, &handler, &net_metrics, files).await?;
        let timers = spawn::task("coordinator-timers", run_timers(node.clone()));
        tracing::info!(
            listeners = ?listeners.iter().map(Listener::local_addr).collect::<Vec<_>>(),
            topics = node.image().topic_count(),
            elapsed_ms = started.elapsed().as_millis(),
            "broker started"
        );
        Ok(Self { node, replicas, handler, listeners, net_metrics, timers, marker })
    }

    /// A transport for clients in this process.
    #[must_use]
    pub fn transport(&self) -> Arc<dyn Transport> {
        self.transport_named("weir")
    }

    /// A transport for clients in this process that call themselves `client_id`.
    #[must_use]
    pub fn transport_named(&self, client_id: &str) -> Arc<dyn Transport> {
        Arc::new(LocalTransport::new(self.handler.clone(), Some(client_id)))
    }

    /// Where the first Kafka listener is bound; `None` without one.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listeners.first().map(Listener::local_addr)
    }

    /// The Kafka listeners, in the order of the configuration.
    #[must_use]
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Loads the certificates of all listeners anew, for connections accepted from now on.
    ///
    /// Errors: of the first listener whose files cannot be used; it keeps what it had.
    pub fn reload_certificates(&self) -> Result<(), TlsError> {
        self.listeners.iter().filter_map(Listener::tls).try_for_each(TlsServer::reload)
    }

    /// Users, rules and quotas, for other protocols that this process serves.
    #[must_use]
    pub fn security(&self) -> Security {
        Security::new(self.node.clone())
    }

    /// Counters of connections and requests over the network.
    #[must_use]
    pub fn net_metrics(&self) -> &NetMetrics {
        &self.net_metrics
    }

    /// Answers requests, as listeners ask it to.
    #[cfg(test)]
    pub(crate) fn handler(&self) -> &Dispatcher {
        &self.handler
    }

    /// What request handlers count and know.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The metadata as it is now: topics with their settings, and the cluster's id.
    #[must_use]
    pub fn metadata_image(&self) -> Arc<MetadataImage> {
        self.node.image()
    }

    /// The cluster's id in the form that Kafka clients see.
    #[must_use]
    pub fn cluster_id(&self) -> String {
        short_uuid(self.node.image().cluster_id)
    }

    /// All partitions in figures, by name.
    #[must_use]
    pub fn partition_figures(&self) -> Vec<PartitionFigures> {
        let figures = |partition: &Arc<crate::replication::partition::Partition>| PartitionFigures {
            partition: partition.topic_partition().clone(),
            offsets: partition.offsets(),
            size_bytes: partition.size_bytes(),
        };
        let mut all: Vec<_> = self.replicas.partitions().iter().map(figures).collect();
        all.sort_by(|a, b| a.partition.cmp(&b.partition));
        all
    }

    /// The partitions that are not served because their logs are damaged, by name.
    #[must_use]
    pub fn offline_partitions(&self) -> Vec<OfflineLog> {
        self.replicas.offline()
    }

    /// How far all groups are behind.
    #[must_use]
    pub fn group_lags(&self) -> Vec<GroupLag> {
        let mut lags = Vec::new();
        self.node.visit_committed(|group_id, topic, index, committed| {
            let partition = TopicPartition::new(topic, index);
            if let Some(found) = self.replicas.partition(&partition) {
                let lag = (found.high_watermark() - committed).max(0);
                lags.push(GroupLag { group_id: group_id.to_owned(), partition, committed, lag });
            }
        });
        lags
    }

    /// The members of all consumer groups.
    #[must_use]
    pub fn group_consumers(&self) -> Vec<GroupConsumer> {
        let consumers = group_admin::consumers(&self.node).into_iter();
        consumers.map(|(group_id, topics)| GroupConsumer { group_id, topics }).collect()
    }

    /// How many consumer groups are in each state, by Kafka's names.
    #[must_use]
    pub fn group_states(&self) -> BTreeMap<&'static str, u64> {
        count(self.node.group_states())
    }

    /// How many transactional ids are in each state, by Kafka's names.
    #[must_use]
    pub fn txn_states(&self) -> BTreeMap<&'static str, u64> {
        count(self.node.txn_states())
    }

    /// `Err` once the disk has failed: the broker acknowledges nothing any more and should be restarted.
    pub fn check_health(&self) -> Result<(), Error> {
        self.replicas.log_manager().check_health()
    }

    /// Waits until the disk has failed. What is written from then on is not acknowledged.
    pub fn storage_failed(&self) -> impl Future<Output = ()> + Send + use<> {
        let log = self.replicas.log_manager().failed();
        let metadata = self.node.metadata().failed();
        async move {
            tokio::select! {
                () = log.cancelled() => {}
                () = metadata.cancelled() => {}
            }
        }
    }

    /// Answers those who wait, ends connections, and leaves the logs such that the next start needs no recovery.
    pub async fn shutdown(self) -> Result<(), Error> {
        self.timers.abort();
        self.node.close();
        futures::future::join_all(self.listeners.iter().map(Listener::shutdown)).await;
        let (replicas, marker) = (self.replicas, self.marker);
        let closing = tokio::task::spawn_blocking(move || {
            replicas.shutdown()?;
            marker.clear()
        });
        closing.await.unwrap_or(Err(Error::Interrupted { action: "close the logs" }))
    }
}

fn count(names: Vec<&'static str>) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// Everything open and replayed.
struct Opened {
    parts: NodeParts,
    replicas: Arc<ReplicaManager>,
    marker: RunMarker,
}

/// Opens and replays everything. Blocks on the disk.
fn open(config: BrokerConfig, effects: &Effects, files: OpenFiles) -> Result<Opened, Error> {
    let log_dir = config.data_dir.join("log");
    let meta_dir = config.data_dir.join("meta");
    for dir in [&log_dir, &meta_dir] {
        effects.storage.create_dir_all(dir).map_err(|error| Error::io("make the directory", dir, error))?;
    }
    if let Err(error) = effects.storage.restrict_dir(&config.data_dir) {
        let dir = config.data_dir.display();
        tracing::warn!(%error, %dir, "data directory stays open to other users of this machine");
    }
    match RunMarker::check(effects.storage.as_ref(), &meta_dir) {
        Err(error @ Error::CopiedWhileRunning { .. }) if config.accept_copied_data => {
            tracing::warn!(%error, "starting on it all the same, as the operator accepts");
        }
        outcome => outcome?,
    }
    let mut log_config = LogManagerConfig::new(&log_dir);
    log_config.durability = config.durability;
    log_config.open_files_max = files.for_logs();
    log_config.retention_interval_ms = config.retention_interval_ms;
    if let Some(interval_ms) = config.housekeeping_interval_ms {
        log_config.retention_interval_ms = interval_ms;
        log_config.checkpoint_interval_ms = interval_ms;
        log_config.cleaner.interval_ms = interval_ms;
    }
    let (storage, clock) = (effects.storage.clone(), effects.clock.clone());
    let replicas = ReplicaManager::open(config.broker_id, log_config, storage, clock.clone())?;
    // The directory is locked by now: no other process uses it.
    let marker = RunMarker::set(effects.storage.clone(), &meta_dir)?;
    let metadata = Arc::new(MetadataStore::open(effects.storage.clone(), &meta_dir, effects.rng.uuid())?);
    metadata.configure(&config.topic_defaults)?;
    let topics =
        TopicService::new(metadata.clone(), replicas.clone(), effects.rng.clone(), config.num_partitions);
    topics.recover()?;
    let offset_logs = internal_logs(&topics, &replicas, &clock, OFFSETS_TOPIC, config.offsets_partitions)?;
    let groups = GroupService::start(offset_logs, &config.groups, clock.clone())?;
    let txn_logs =
        internal_logs(&topics, &replicas, &clock, TRANSACTIONS_TOPIC, config.transactions_partitions)?;
    let txns = TxnService::start(
        txn_logs,
        &config.transactions,
        groups.clone(),
        replicas.clone(),
        ProducerIds::new(metadata.clone()),
        clock.clone(),
    )?;
    let parts = NodeParts {
        config,
        metadata,
        topics,
        replicas: replicas.clone(),
        groups,
        txns,
        clock,
        rng: effects.rng.clone(),
    };
    Ok(Opened { parts, replicas, marker })
}

/// The logs of an internal topic, which is made at the first start.
fn internal_logs(
    topics: &TopicService,
    replicas: &ReplicaManager,
    clock: &Arc<dyn Clock>,
    name: &str,
    partitions: i32,
) -> Result<Vec<CoordinatorLog>, Error> {
    let configs = [("cleanup.policy", "compact"), ("segment.bytes", INTERNAL_SEGMENT_BYTES)];
    let configs: BTreeMap<String, String> =
        configs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let topic = topics.ensure_internal(&TopicSpec { name: name.to_owned(), partitions, configs })?;
    let log = |index| {
        let partition = replicas.require(&TopicPartition::new(topic.name.clone(), index))?;
        Ok(CoordinatorLog::new(partition, clock.clone()))
    };
    (0..topic.partitions).map(log).collect()
}

/// Opens all listeners. Users of the configuration exist before anybody can connect.
async fn listen(
    node: &Arc<Node>,
    handler: &Arc<Dispatcher>,
    metrics: &Arc<NetMetrics>,
    files: OpenFiles,
) -> Result<Vec<Listener>, StartError> {
    users::set_configured(node).await?;
    let mut configs = node.config().listeners.clone();
    bound_connections(&mut configs, files);
    let first = configs.first().cloned().unwrap_or_default();
    let limits = Arc::new(ConnectionLimits::new(metrics.clone(), &first));
    let mut listeners = Vec::with_capacity(configs.len());
    let has_verifier = node.config().security.token_verifier.is_some();
    for config in configs {
        check_mechanisms(&config, has_verifier)?;
        listeners.push(Listener::bind(config, handler.clone(), metrics.clone(), limits.clone()).await?);
    }
    if let Some(first) = listeners.first() {
        node.advertise(first.endpoint().host.clone(), first.endpoint().port);
    }
    Ok(listeners)
}

/// Refuses a listener that is to take tokens which nothing verifies. By default all mechanisms that can be used are
/// offered.
fn check_mechanisms(config: &ListenerConfig, has_verifier: bool) -> Result<(), ListenError> {
    let Some(sasl) = &config.sasl else { return Ok(()) };
    let is_named =
        sasl.mechanisms != SaslMechanism::ALL && sasl.mechanisms.contains(&SaslMechanism::OauthBearer);
    if has_verifier || !is_named {
        return Ok(());
    }
    let reason = "OAUTHBEARER needs the keys of the issuer to verify tokens with";
    let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, reason);
    Err(ListenError { address: config.address.clone(), source })
}

/// Leaves files for the logs: a connection that cannot be had is better than a log that cannot be written.
fn bound_connections(configs: &mut [ListenerConfig], files: OpenFiles) {
    let possible = files.for_connections();
    let Some(wanted) = configs.iter().map(|config| config.connections_max).max() else { return };
    if possible < wanted.min(CONNECTIONS_EXPECTED) {
        let open_files = files.limit();
        tracing::warn!(
            open_files,
            connections_max = possible,
            "few connections can be taken: raise the limit of open files (ulimit -Hn, LimitNOFILE of systemd)"
        );
    }
    for config in configs {
        config.connections_max = config.connections_max.min(possible);
    }
}

/// Lets time pass for the coordinators until the broker closes.
async fn run_timers(node: Arc<Node>) {
    let mut timer = tokio::time::interval(TIMER_INTERVAL);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut expiration_next = Instant::now() + EXPIRATION_INTERVAL;
    loop {
        tokio::select! {
            _ = timer.tick() => {}
            () = node.closing().cancelled() => return,
        }
        node.expire();
        if Instant::now() >= expiration_next {
            expiration_next = Instant::now() + EXPIRATION_INTERVAL;
            if let Err(error) = node.expire_stored() {
                tracing::error!(%error, "old offsets and transactional ids not expired");
            }
        }
    }
}
