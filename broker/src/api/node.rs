//! What request handlers work with.

use std::sync::{Arc, OnceLock};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::auth::throttle::Throttle;
use crate::config::BrokerConfig;
use crate::env::clock::Clock;
use crate::env::rng::Rng;
use crate::error::{Error, Result};
use crate::group::kind::GroupKind;
use crate::group::service::GroupService;
use crate::metadata::image::{MetadataImage, Topic};
use crate::metadata::record::MetadataRecord;
use crate::metadata::store::MetadataStore;
use crate::metadata::topics::TopicService;
use crate::net::metrics::Counter;
use crate::replication::manager::ReplicaManager;
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
    /// Requests whose client was told to pause.
    pub requests_throttled: Counter,
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
            parts,
            advertised: OnceLock::new(),
            metrics: NodeMetrics::default(),
            closing: CancellationToken::new(),
        }
    }

    pub(crate) fn id(&self) -> i32 {
        self.parts.config.broker_id.0
    }

    /// Fixes where clients are told to connect to, once the listener is bound.
    pub fn advertise(&self, host: String, port: u16) {
        // Other listeners tell their clients their own address.
        drop(self.advertised.set((host, port)));
    }

    /// Host and port clients are told.
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
        self.parts.groups.list(GroupKind::state_name)
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

    /// Deletes a topic and what groups know of it.
    pub(crate) async fn delete_topic(&self, topic: &Topic) -> Result<()> {
        self.parts.topics.delete(&topic.name).await?;
        self.parts.groups.forget_topic(&topic.name).await
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
        self.parts.groups.expire_offsets()?;
        self.parts.txns.expire_ids()
    }

    /// Lets go of everybody who waits.
    pub(crate) fn close(&self) {
        self.closing.cancel();
        self.parts.groups.shut_down();
    }
}
