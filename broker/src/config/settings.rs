//! Settings of a broker under their names in Kafka's `server.properties`. A setting is one row of [`SETTINGS`]; parsing,
//! bounds, DescribeConfigs and docs/configuration.md follow from it.
//!
//! Defaults of topic settings are further settings of a broker; their table is
//! [`crate::metadata::topic_config::DEFINITIONS`].

use crate::config::BrokerConfig;
use crate::error::{Error, Result};
use crate::group::consumer::assignor::Assignor;
use crate::metadata::broker_config::BrokerSettings;
use crate::metadata::topic_config::{ValueKind, definition_by_broker_name};

/// A setting of a broker.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Kafka's name.
    pub name: &'static str,
    pub kind: ValueKind,
    /// For people, in a sentence or two.
    pub documentation: &'static str,
    get: fn(&BrokerConfig) -> String,
    /// None: a flag of the node or the build decides.
    set: Option<fn(&mut BrokerConfig, i32)>,
}

const fn number(
    name: &'static str,
    min: i32,
    documentation: &'static str,
    get: fn(&BrokerConfig) -> String,
    set: fn(&mut BrokerConfig, i32),
) -> Setting {
    Setting { name, kind: ValueKind::Int { min, max: i32::MAX }, documentation, get, set: Some(set) }
}

const fn fixed(
    name: &'static str,
    kind: ValueKind,
    documentation: &'static str,
    get: fn(&BrokerConfig) -> String,
) -> Setting {
    Setting { name, kind, documentation, get, set: None }
}

const fn int(min: i32) -> ValueKind {
    ValueKind::Int { min, max: i32::MAX }
}

/// All settings, by name.
pub const SETTINGS: &[Setting] = &[
    fixed(
        "auto.create.topics.enable",
        ValueKind::Bool,
        "Create a topic when a client first uses it.",
        |config| config.auto_create_topics.to_string(),
    ),
    fixed("broker.id", int(0), "The id of the only broker.", |config| config.broker_id.to_string()),
    number(
        "fetch.max.bytes",
        1,
        "Bytes that one Fetch returns at most, whatever it asks for.",
        |config| config.fetch_bytes_max.to_string(),
        |config, bytes| config.fetch_bytes_max = size(bytes),
    ),
    fixed(
        "group.consumer.assignors",
        ValueKind::List,
        "Assignors that the broker offers to consumer groups (KIP-848).",
        |_| Assignor::ALL.map(Assignor::name).join(","),
    ),
    number(
        "group.consumer.heartbeat.interval.ms",
        1,
        "Interval between heartbeats of members of consumer groups (KIP-848).",
        |config| config.groups.consumer.heartbeat_interval_ms.to_string(),
        |config, ms| config.groups.consumer.heartbeat_interval_ms = ms,
    ),
    number(
        "group.consumer.max.size",
        1,
        "Members that a consumer group (KIP-848) may have.",
        |config| config.groups.consumer.members_max.to_string(),
        |config, members| config.groups.consumer.members_max = size(members),
    ),
    number(
        "group.consumer.session.timeout.ms",
        1,
        "How long a member of a consumer group (KIP-848) may be silent before it is removed.",
        |config| config.groups.consumer.session_timeout_ms.to_string(),
        |config, ms| config.groups.consumer.session_timeout_ms = ms,
    ),
    number(
        "group.initial.rebalance.delay.ms",
        0,
        "How long the first rebalance of an empty classic group waits for further members.",
        |config| config.groups.group.initial_rebalance_delay_ms.to_string(),
        |config, ms| config.groups.group.initial_rebalance_delay_ms = i64::from(ms),
    ),
    number(
        "group.max.session.timeout.ms",
        1,
        "The longest session timeout that a member of a classic group may ask for.",
        |config| config.groups.session_timeout_max_ms.to_string(),
        |config, ms| config.groups.session_timeout_max_ms = ms,
    ),
    number(
        "group.max.size",
        1,
        "Members that a classic group may have.",
        |config| config.groups.group.members_max.to_string(),
        |config, members| config.groups.group.members_max = size(members),
    ),
    number(
        "group.min.session.timeout.ms",
        1,
        "The shortest session timeout that a member of a classic group may ask for.",
        |config| config.groups.session_timeout_min_ms.to_string(),
        |config, ms| config.groups.session_timeout_min_ms = ms,
    ),
    fixed("log.dirs", ValueKind::Text, "The directory of the broker's data.", |config| {
        config.data_dir.display().to_string()
    }),
    number(
        "log.retention.check.interval.ms",
        1,
        "How often retention looks for segments to delete.",
        |config| config.retention_interval_ms.to_string(),
        |config, ms| config.retention_interval_ms = u64::from(ms.unsigned_abs()),
    ),
    fixed(
        "max.incremental.fetch.session.cache.slots",
        int(0),
        "Incremental fetch sessions (KIP-227) that are kept at a time.",
        |config| config.fetch_sessions_max.to_string(),
    ),
    fixed("node.id", int(0), "The id of the only node.", |config| config.broker_id.to_string()),
    number(
        "num.partitions",
        1,
        "Partitions of a topic that is created without a number.",
        |config| config.num_partitions.to_string(),
        |config, partitions| config.num_partitions = partitions,
    ),
    number(
        "offset.metadata.max.bytes",
        0,
        "Bytes that the metadata of a committed offset may have.",
        |config| config.groups.metadata_bytes_max.to_string(),
        |config, bytes| config.groups.metadata_bytes_max = size(bytes),
    ),
    number(
        "offsets.retention.minutes",
        1,
        "How long committed offsets outlive the last member of their group.",
        |config| (config.groups.offset_retention_ms / MINUTE_MS).to_string(),
        |config, minutes| config.groups.offset_retention_ms = i64::from(minutes) * MINUTE_MS,
    ),
    number(
        "offsets.topic.num.partitions",
        1,
        "Partitions of `__consumer_offsets`; holds for a new data directory.",
        |config| config.offsets_partitions.to_string(),
        |config, partitions| config.offsets_partitions = partitions,
    ),
    number(
        "transaction.max.timeout.ms",
        1,
        "The longest transaction timeout that a producer may ask for.",
        |config| config.transactions.timeout_max_ms.to_string(),
        |config, ms| config.transactions.timeout_max_ms = ms,
    ),
    number(
        "transaction.state.log.num.partitions",
        1,
        "Partitions of `__transaction_state`; holds for a new data directory.",
        |config| config.transactions_partitions.to_string(),
        |config, partitions| config.transactions_partitions = partitions,
    ),
    number(
        "transactional.id.expiration.ms",
        1,
        "How long a transactional id is remembered after its last transaction.",
        |config| config.transactions.id_expiration_ms.to_string(),
        |config, ms| config.transactions.id_expiration_ms = i64::from(ms),
    ),
];

const MINUTE_MS: i64 = 60_000;

/// A number that its row's bounds keep from being negative.
const fn size(number: i32) -> usize {
    number.unsigned_abs() as usize
}

impl Setting {
    /// The setting of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// Whether [`BrokerConfig::set`] takes it.
    #[must_use]
    pub fn is_settable(&self) -> bool {
        self.set.is_some()
    }

    /// The value that a configuration has.
    #[must_use]
    pub fn value(&self, config: &BrokerConfig) -> String {
        (self.get)(config)
    }

    /// Errors: `InvalidConfig`.
    fn set(&self, config: &mut BrokerConfig, value: &str) -> Result<()> {
        let wrong = |expected| invalid(self.name, value, expected);
        let (Some(set), ValueKind::Int { min, max }) = (self.set, self.kind) else {
            return Err(wrong("no value: a flag of the node sets it"));
        };
        let expected = if min > 0 { "a whole number above 0" } else { "a whole number, not negative" };
        let number = value.trim().parse::<i32>().ok().filter(|number| (min..=max).contains(number));
        set(config, number.ok_or_else(|| wrong(expected))?);
        Ok(())
    }
}

fn invalid(name: &str, value: &str, expected: &'static str) -> Error {
    Error::InvalidConfig { key: name.to_owned(), value: value.to_owned(), expected }
}

impl BrokerConfig {
    /// Whether [`BrokerConfig::set`] knows a setting.
    #[must_use]
    pub fn knows(name: &str) -> bool {
        Setting::named(name).is_some_and(Setting::is_settable) || definition_by_broker_name(name).is_some()
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
        Setting::named(name).ok_or_else(|| invalid(name, value, "a setting of the broker"))?.set(self, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_set_by_kafkas_names() {
        let mut config = BrokerConfig::new("/data");
        for setting in SETTINGS.iter().filter(|setting| setting.is_settable()) {
            let name = setting.name;
            assert!(BrokerConfig::knows(name));
            config.set(name, "7").expect(name);
            assert_eq!(setting.value(&config), "7", "{name}");
            for value in ["-1", "many", "2147483648", ""] {
                assert!(config.set(name, value).is_err(), "{name} = {value}");
            }
            let takes_zero = matches!(setting.kind, ValueKind::Int { min: 0, .. });
            assert_eq!(config.set(name, "0").is_ok(), takes_zero, "{name}");
        }
        config.set("log.retention.ms", "5").expect("a topic's default");
        assert_eq!(config.topic_defaults["log.retention.ms"], "5");
        for (name, value) in [("log.retention.ms", "soon"), ("retention.ms", "5"), ("", "1")] {
            assert!(config.set(name, value).is_err(), "{name}");
            assert_eq!(config.topic_defaults.len(), 1);
        }
        assert!(!BrokerConfig::knows("zookeeper.connect"));
    }

    #[test]
    fn settings_of_flags_are_shown_and_not_set() {
        let mut config = BrokerConfig::new("/data");
        for (name, value) in
            [("broker.id", "1"), ("log.dirs", "/data"), ("auto.create.topics.enable", "false")]
        {
            assert_eq!(Setting::named(name).map(|setting| setting.value(&config)).as_deref(), Some(value));
            assert!(!BrokerConfig::knows(name) && config.set(name, value).is_err(), "{name}");
        }
    }

    #[test]
    fn the_table_is_sorted_and_apart_from_that_of_topics() {
        assert!(SETTINGS.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(SETTINGS.iter().all(|setting| definition_by_broker_name(setting.name).is_none()));
    }
}
