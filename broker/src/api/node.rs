//! Shared parts of all request handlers.

use std::sync::{Arc, OnceLock};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::api::fetch::sessions::{FetchSessions, PARTITIONS_MAX};
use crate::auth::audit_trail::AuditTrail;
use crate::auth::throttle::Throttle;
use crate::config::BrokerConfig;
use crate::env::clock::Clock;
use crate::env::rng::Rng;
use crate::error::{Error, Result};
use crate::group::any_group::AnyGroup;
use crate::group::service::GroupService;
use crate::metadata::image::MetadataImage;
use crate::metadata::record::MetadataRecord;
use crate::metadata::store::MetadataStore;
use crate::metadata::topics::TopicService;
use crate::net::metrics::Counter;
use crate::replication::manager::ReplicaManager;
use crate::telemetry::instance::Instance;
use crate::telemetry::service::Telemetry;
use crate::txn::service::TxnService;

/// Counters of the request handlers, in-process clients included.
#[derive(Debug, Default)]
pub struct NodeMetrics {
    pub requests: Counter,
    /// Bytes of records appended by producers.
    pub bytes_in: Counter,
    /// Bytes of records given to consumers.
    pub bytes_out: Counter,
    /// Clients that did not prove who they are.
    pub authentications_failed: Counter,
    /// Requests that the rules did not allow at all.
    pub requests_refused: Counter,
    /// Requests answered with a throttle time.
    pub requests_throttled: Counter,
}

/// Fetch sessions (KIP-227) in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchSessionFigures {
    pub sessions: usize,
    /// Partitions of all sessions.
    pub partitions: usize,
    /// Sessions that made room for others.
    pub evictions: u64,
}

/// The parts of a broker.
#[derive(Debug)]
pub struct NodeParts {
    pub config: BrokerConfig,
    pub metadata: Arc<MetadataStore>,
    pub topics: TopicService,
    pub replicas: Arc<ReplicaManager>,
    pub groups: GroupService,
    pub txns: TxnService,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
}

/// One broker, as request handlers see it.
#[derive(Debug)]
pub struct Node {
    parts: NodeParts,
    advertised: OnceLock<(String, u16)>,
    metrics: NodeMetrics,
    closing: CancellationToken,
    /// Random, of this process: hides which users exist.
    decoy_key: [u8; 32],
    /// Passwords being checked; more would take the processor from everything else.
    password_checks: Semaphore,
    throttle: Throttle,
    audit: Option<Arc<AuditTrail>>,
    telemetry: Telemetry,
    fetch_sessions: FetchSessions,
}

/// Passwords checked at a time.
const PASSWORD_CHECKS_MAX: usize = 2;

impl Node {
    #[must_use]
    pub fn new(parts: NodeParts) -> Self {
        let mut decoy_key = [0; 32];
        parts.rng.fill_bytes(&mut decoy_key);
        Self {
            decoy_key,
            password_checks: Semaphore::new(PASSWORD_CHECKS_MAX),
            throttle: Throttle::default(),
            audit: parts.config.security.audit.clone().map(|sink| Arc::new(AuditTrail::new(sink))),
            telemetry: Telemetry::default(),
            fetch_sessions: FetchSessions::new(parts.config.fetch_sessions_max, PARTITIONS_MAX),
            parts,
            advertised: OnceLock::new(),
            metrics: NodeMetrics::default(),
            closing: CancellationToken::new(),
        }
    }

    pub(crate) fn id(&self) -> i32 {
        self.parts.config.broker_id.0
    }

    /// Fixes the advertised address once the listener is bound.
    pub fn advertise(&self, host: String, port: u16) {
        // Other listeners advertise their own address.
        drop(self.advertised.set((host, port)));
    }

    /// Advertised host and port.
    pub fn advertised(&self) -> (String, i32) {
        match self.advertised.get() {
            Some((host, port)) => (host.clone(), i32::from(*port)),
            None => ("localhost".to_owned(), 0),
        }
    }

    pub(crate) fn config(&self) -> &BrokerConfig {
        &self.parts.config
    }

    pub(crate) fn metadata(&self) -> &MetadataStore {
        &self.parts.metadata
    }

    pub(crate) fn topics(&self) -> &TopicService {
        &self.parts.topics
    }

    pub(crate) fn replicas(&self) -> &ReplicaManager {
        &self.parts.replicas
    }

    pub(crate) fn groups(&self) -> &GroupService {
        &self.parts.groups
    }

    pub(crate) fn txns(&self) -> &TxnService {
        &self.parts.txns
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.parts.clock.as_ref()
    }

    pub(crate) fn rng(&self) -> &dyn Rng {
        self.parts.rng.as_ref()
    }

    pub(crate) fn decoy_key(&self) -> &[u8] {
        &self.decoy_key
    }

    pub(crate) fn password_checks(&self) -> &Semaphore {
        &self.password_checks
    }

    pub(crate) fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    /// Destination of decisions that are reported; `None`: no audit.
    pub(crate) fn audit(&self) -> Option<&Arc<AuditTrail>> {
        self.audit.as_ref()
    }

    /// Numbers of fetch sessions and of their partitions.
    pub fn fetch_session_figures(&self) -> FetchSessionFigures {
        let (sessions, partitions) = self.fetch_sessions.figures();
        FetchSessionFigures { sessions, partitions, evictions: self.fetch_sessions.evictions.get() }
    }

    pub(crate) fn fetch_sessions(&self) -> &FetchSessions {
        &self.fetch_sessions
    }

    /// Metrics that clients push.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Visits every client that pushes metrics, with its latest values.
    pub fn visit_telemetry(&self, visit: impl FnMut(Uuid, &Instance)) {
        self.telemetry.visit(self.clock().monotonic(), visit);
    }

    /// Decides on changes of the metadata and makes them durable, beside the async threads.
    pub(crate) async fn update_metadata<T: Send + 'static>(
        &self,
        decide: impl FnOnce(&MetadataImage) -> Result<(Vec<MetadataRecord>, T)> + Send + 'static,
    ) -> Result<T> {
        let metadata = self.parts.metadata.clone();
        let work = tokio::task::spawn_blocking(move || metadata.update(decide));
        work.await.unwrap_or(Err(Error::Interrupted { action: "change metadata" }))
    }

    /// The state of every consumer group.
    pub(crate) fn group_states(&self) -> Vec<&'static str> {
        self.parts.groups.list(AnyGroup::state_name)
    }

    /// The state of every transactional id.
    pub(crate) fn txn_states(&self) -> Vec<&'static str> {
        self.parts.txns.list(|transaction, _| transaction.state.name())
    }

    /// Counters of the request handlers.
    pub fn metrics(&self) -> &NodeMetrics {
        &self.metrics
    }

    /// Cancelled when the broker is going away: requests that wait answer with what they have.
    pub fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Deletes topics and what groups know of them. Shape: an outcome for each, in their order.
    pub(crate) async fn delete_topics(&self, names: Vec<String>) -> Vec<Result<()>> {
        let mut outcomes = self.parts.topics.delete(names.clone()).await;
        let deleted: Vec<String> = names
            .into_iter()
            .zip(&outcomes)
            .filter_map(|(name, outcome)| outcome.is_ok().then_some(name))
            .collect();
        if let Err(error) = self.parts.groups.forget_topics(&deleted).await {
            for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_ok()) {
                *outcome = Err(error.clone());
            }
        }
        outcomes
    }

    /// The metadata as it is now.
    #[must_use]
    pub fn image(&self) -> Arc<MetadataImage> {
        self.parts.metadata.image()
    }

    /// Visits every committed offset: group, topic, partition, offset.
    pub(crate) fn visit_committed(&self, visit: impl FnMut(&str, &str, i32, i64)) {
        self.parts.groups.visit_offsets(visit);
    }

    /// Lets time pass: sessions, rebalances and transactions that are overdue.
    pub(crate) fn expire(&self) {
        self.parts.groups.expire();
        self.parts.txns.expire();
    }

    /// Forgets what has been kept for long enough.
    pub(crate) fn expire_stored(&self) -> Result<()> {
        self.telemetry.expire(self.clock().monotonic());
        self.parts.groups.expire_offsets()?;
        self.parts.txns.expire_ids()
    }

    /// Ends all waiting requests.
    pub(crate) fn close(&self) {
        self.closing.cancel();
        self.parts.groups.shut_down();
    }
}
