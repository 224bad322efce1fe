//! Configuration of a broker.

pub mod settings;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::auth::config::SecurityConfig;
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
    /// Whether to start on a directory that was copied while a node ran on it.
    pub accept_copied_data: bool,
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
    /// Defaults of topic settings, by broker names such as `log.retention.ms`. What is set while the broker runs goes before
    /// them.
    pub topic_defaults: BTreeMap<String, String>,
}

impl BrokerConfig {
    /// The defaults for a data directory: loopback, no automatic topics, everything synced.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            broker_id: BrokerId(1),
            accept_copied_data: false,
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
            topic_defaults: BTreeMap::new(),
        }
    }
}
