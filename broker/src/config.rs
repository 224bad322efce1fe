//! What an operator can choose about a broker.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::auth::config::SecurityConfig;
use crate::error::{Error, Result};
use crate::group::consumer::assignor::Assignor;
use crate::group::coordinator::CoordinatorLimits;
use crate::ids::BrokerId;
use crate::log::config::Durability;
use crate::metadata::broker_config::BrokerSettings;
use crate::metadata::topic_config::definition_by_broker_name;
use crate::net::config::ListenerConfig;
use crate::txn::coordinator::TxnLimits;

/// Settings that [`BrokerConfig::set`] knows beside the defaults of topics.
const NUMBERS: [&str; 16] = [
    "fetch.max.bytes",
    "group.consumer.heartbeat.interval.ms",
    "group.consumer.max.size",
    "group.consumer.session.timeout.ms",
    "group.initial.rebalance.delay.ms",
    "group.max.session.timeout.ms",
    "group.max.size",
    "group.min.session.timeout.ms",
    "log.retention.check.interval.ms",
    "num.partitions",
    "offset.metadata.max.bytes",
    "offsets.retention.minutes",
    "offsets.topic.num.partitions",
    "transaction.max.timeout.ms",
    "transaction.state.log.num.partitions",
    "transactional.id.expiration.ms",
];

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

    /// Whether [`BrokerConfig::set`] knows a setting.
    #[must_use]
    pub fn knows(name: &str) -> bool {
        NUMBERS.contains(&name) || definition_by_broker_name(name).is_some()
    }

    /// Sets a setting by its name in Kafka's `server.properties`.
    ///
    /// Errors: `InvalidConfig`, for unknown names as well.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        if definition_by_broker_name(name).is_some() {
            let mut defaults = self.topic_defaults.clone();
            defaults.insert(name.to_owned(), value.to_owned());
            BrokerSettings::configured(&defaults)?;
            self.topic_defaults = defaults;
            return Ok(());
        }
        let wrong = |expected: &'static str| Error::InvalidConfig {
            key: name.to_owned(),
            value: value.to_owned(),
            expected,
        };
        let number = value.trim().parse::<u32>().ok().filter(|number| *number <= i32::MAX as u32);
        let number = number.ok_or_else(|| wrong("a whole number, not negative"))?;
        let positive = || if number > 0 { Ok(number as i32) } else { Err(wrong("a number above 0")) };
        let groups = &mut self.groups;
        match name {
            "fetch.max.bytes" => self.fetch_bytes_max = positive()? as usize,
            "group.consumer.heartbeat.interval.ms" => groups.consumer.heartbeat_interval_ms = positive()?,
            "group.consumer.max.size" => groups.consumer.members_max = positive()? as usize,
            "group.consumer.session.timeout.ms" => groups.consumer.session_timeout_ms = positive()?,
            "group.initial.rebalance.delay.ms" => {
                groups.group.initial_rebalance_delay_ms = i64::from(number);
            }
            "group.max.session.timeout.ms" => groups.session_timeout_max_ms = positive()?,
            "group.max.size" => groups.group.members_max = positive()? as usize,
            "group.min.session.timeout.ms" => groups.session_timeout_min_ms = positive()?,
            "log.retention.check.interval.ms" => self.retention_interval_ms = positive()? as u64,
            "num.partitions" => self.num_partitions = positive()?,
            "offset.metadata.max.bytes" => groups.metadata_bytes_max = number as usize,
            "offsets.retention.minutes" => groups.offset_retention_ms = i64::from(positive()?) * 60_000,
            "offsets.topic.num.partitions" => self.offsets_partitions = positive()?,
            "transaction.max.timeout.ms" => self.transactions.timeout_max_ms = positive()?,
            "transaction.state.log.num.partitions" => self.transactions_partitions = positive()?,
            "transactional.id.expiration.ms" => {
                self.transactions.id_expiration_ms = i64::from(positive()?);
            }
            _ => return Err(wrong("a setting of the broker")),
        }
        Ok(())
    }

    /// The settings under the names Kafka's tools know.
    #[must_use]
    pub fn kafka_names(&self) -> Vec<(&'static str, String)> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_set_by_kafkas_names() {
        let mut config = BrokerConfig::new("/data");
        for name in NUMBERS {
            assert!(BrokerConfig::knows(name));
            config.set(name, "7").expect(name);
            let shown = config.kafka_names().into_iter().find(|(known, _)| *known == name);
            assert_eq!(shown, Some((name, "7".to_owned())));
            assert!(config.set(name, "-1").is_err() && config.set(name, "many").is_err(), "{name}");
        }
        config.set("log.retention.ms", "5").expect("a topic's default");
        assert_eq!(config.topic_defaults["log.retention.ms"], "5");
        for (name, value) in [("log.retention.ms", "soon"), ("retention.ms", "5"), ("", "1")] {
            assert!(config.set(name, value).is_err(), "{name}");
            assert_eq!(config.topic_defaults.len(), 1);
        }
        assert!(!BrokerConfig::knows("zookeeper.connect"));
    }
}
