//! What an operator can choose about a broker.

use std::path::PathBuf;

use crate::auth::config::SecurityConfig;
use crate::group::consumer::assignor::Assignor;
use crate::group::coordinator::CoordinatorLimits;
use crate::ids::BrokerId;
use crate::log::config::Durability;
use crate::net::config::ListenerConfig;
use crate::txn::coordinator::TxnLimits;

/// A broker's configuration.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Where everything durable is. Made if missing.
    pub data_dir: PathBuf,
    pub broker_id: BrokerId,
    /// The Kafka listeners; without any, in-process clients only are served. Limits of all connections together are
    /// taken from the first.
    pub listeners: Vec<ListenerConfig>,
    pub security: SecurityConfig,
    pub durability: Durability,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `num.partitions`, for topics created without a number.
    pub num_partitions: i32,
    /// `offsets.topic.num.partitions`; holds for a new data directory.
    pub offsets_partitions: i32,
    /// `transaction.state.log.num.partitions`; holds for a new data directory.
    pub transactions_partitions: i32,
    pub groups: CoordinatorLimits,
    pub transactions: TxnLimits,
    /// Bytes one Fetch returns at most, whatever it asks for (`fetch.max.bytes`).
    pub fetch_bytes_max: usize,
    /// Consumers that need not name all their partitions in each Fetch
    /// (`max.incremental.fetch.session.cache.slots`).
    pub fetch_sessions_max: usize,
    /// How often retention, compaction and checkpoints look for work; `None` for their own intervals. Units: ms.
    pub housekeeping_interval_ms: Option<u64>,
    /// Units: ms; how often retention looks for work (`log.retention.check.interval.ms`).
    pub retention_interval_ms: u64,
}

impl BrokerConfig {
    /// The defaults for a data directory: loopback, no automatic topics, everything synced.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            broker_id: BrokerId(1),
            listeners: vec![ListenerConfig::default()],
            security: SecurityConfig::default(),
            durability: Durability::Fsync,
            auto_create_topics: false,
            num_partitions: 1,
            offsets_partitions: 4,
            transactions_partitions: 4,
            groups: CoordinatorLimits::default(),
            transactions: TxnLimits::default(),
            fetch_bytes_max: 55 << 20,
            fetch_sessions_max: 1_000,
            housekeeping_interval_ms: None,
            retention_interval_ms: 300_000,
        }
    }

    /// The settings under the names Kafka's tools know.
    pub(crate) fn kafka_names(&self) -> Vec<(&'static str, String)> {
        let group = &self.groups;
        vec![
            ("auto.create.topics.enable", self.auto_create_topics.to_string()),
            ("broker.id", self.broker_id.to_string()),
            ("fetch.max.bytes", self.fetch_bytes_max.to_string()),
            ("group.consumer.assignors", Assignor::ALL.map(Assignor::name).join(",")),
            ("group.consumer.heartbeat.interval.ms", group.consumer.heartbeat_interval_ms.to_string()),
            ("group.consumer.max.size", group.consumer.members_max.to_string()),
            ("group.consumer.session.timeout.ms", group.consumer.session_timeout_ms.to_string()),
            ("group.initial.rebalance.delay.ms", group.group.initial_rebalance_delay_ms.to_string()),
            ("group.max.session.timeout.ms", group.session_timeout_max_ms.to_string()),
            ("group.max.size", group.group.members_max.to_string()),
            ("group.min.session.timeout.ms", group.session_timeout_min_ms.to_string()),
            ("log.dirs", self.data_dir.display().to_string()),
            ("log.retention.check.interval.ms", self.retention_interval_ms.to_string()),
            ("max.incremental.fetch.session.cache.slots", self.fetch_sessions_max.to_string()),
            ("node.id", self.broker_id.to_string()),
            ("num.partitions", self.num_partitions.to_string()),
            ("offset.metadata.max.bytes", group.metadata_bytes_max.to_string()),
            ("offsets.retention.minutes", (group.offset_retention_ms / 60_000).to_string()),
            ("offsets.topic.num.partitions", self.offsets_partitions.to_string()),
            ("transaction.max.timeout.ms", self.transactions.timeout_max_ms.to_string()),
            ("transaction.state.log.num.partitions", self.transactions_partitions.to_string()),
            ("transactional.id.expiration.ms", self.transactions.id_expiration_ms.to_string()),
        ]
    }
}
