//! The settings of a topic: which there are, their defaults, and how their values are checked.
//!
//! Source: Kafka's topic configurations; a setting is one line in [`DEFINITIONS`].

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{Error, Result};
use crate::log::config::LogConfig;

/// What a setting's value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    Bool,
    /// A whole number within these, which are included.
    Int {
        min: i32,
        max: i32,
    },
    Long {
        min: i64,
    },
    /// A number from 0 to 1.
    Ratio,
    OneOf(&'static [&'static str]),
    /// Comma separated.
    ListOf(&'static [&'static str]),
    /// Comma separated, of anything.
    List,
    /// Kept for tools that set it; of no effect on one node.
    Text,
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueKind::Bool => f.write_str("true or false"),
            ValueKind::Int { min, max: i32::MAX } => write!(f, "at least {min}"),
            ValueKind::Int { min, max } => write!(f, "{min} to {max}"),
            ValueKind::Long { min } => write!(f, "at least {min}"),
            ValueKind::Ratio => f.write_str("0 to 1"),
            ValueKind::OneOf([only]) => f.write_str(only),
            ValueKind::OneOf(words) => write!(f, "one of {}", words.join(", ")),
            ValueKind::ListOf(words) => write!(f, "some of {}", words.join(", ")),
            ValueKind::List => f.write_str("a list, separated by commas"),
            ValueKind::Text => f.write_str("text"),
        }
    }
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct ConfigDefinition {
    pub name: &'static str,
    /// The broker's setting that gives the default.
    pub broker_name: &'static str,
    pub default: &'static str,
    pub kind: ValueKind,
    /// For people, in a sentence or two.
    pub documentation: &'static str,
}

const fn define(
    name: &'static str,
    broker_name: &'static str,
    default: &'static str,
    kind: ValueKind,
    documentation: &'static str,
) -> ConfigDefinition {
    ConfigDefinition { name, broker_name, default, kind, documentation }
}

const fn int(min: i32) -> ValueKind {
    ValueKind::Int { min, max: i32::MAX }
}

const CODECS: &[&str] = &["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"];
const LONG_MAX: &str = "9223372036854775807";

/// All settings, by name.
pub const DEFINITIONS: &[ConfigDefinition] = &[
    define(
        "cleanup.policy",
        "log.cleanup.policy",
        "delete",
        ValueKind::ListOf(&["delete", "compact"]),
        "What happens to old records: delete removes old segments, compact keeps the last record of each key.",
    ),
    define(
        "compression.gzip.level",
        "compression.gzip.level",
        "-1",
        ValueKind::Int { min: -1, max: 9 },
        "The level when compression.type is gzip; -1 is the codec's own default.",
    ),
    define(
        "compression.lz4.level",
        "compression.lz4.level",
        "9",
        ValueKind::Int { min: 1, max: 17 },
        "The level when compression.type is lz4. Accepted; the codec used here has one level.",
    ),
    define(
        "compression.type",
        "compression.type",
        "producer",
        ValueKind::OneOf(CODECS),
        "How batches are stored: producer keeps them as they came, the others compress them anew.",
    ),
    define(
        "compression.zstd.level",
        "compression.zstd.level",
        "3",
        ValueKind::Int { min: -131_072, max: 22 },
        "The level when compression.type is zstd.",
    ),
    define(
        "delete.retention.ms",
        "log.cleaner.delete.retention.ms",
        "86400000",
        ValueKind::Long { min: 0 },
        "How long compaction keeps tombstones and transaction markers.",
    ),
    define(
        "file.delete.delay.ms",
        "log.segment.delete.delay.ms",
        "60000",
        ValueKind::Long { min: 0 },
        "Accepted; files are deleted as soon as no reader needs them.",
    ),
    define(
        "flush.messages",
        "log.flush.interval.messages",
        LONG_MAX,
        ValueKind::Long { min: 1 },
        "Accepted; unless the broker runs with relaxed durability every record is synced before it is acknowledged.",
    ),
    define(
        "flush.ms",
        "log.flush.interval.ms",
        LONG_MAX,
        ValueKind::Long { min: 0 },
        "Accepted; unless the broker runs with relaxed durability every record is synced before it is acknowledged.",
    ),
    define(
        "follower.replication.throttled.replicas",
        "",
        "",
        ValueKind::Text,
        "Accepted; there are no followers.",
    ),
    define(
        "index.interval.bytes",
        "log.index.interval.bytes",
        "4096",
        int(0),
        "Bytes of records between two entries of the offset index.",
    ),
    define(
        "leader.replication.throttled.replicas",
        "",
        "",
        ValueKind::Text,
        "Accepted; there are no followers.",
    ),
    define(
        "local.retention.bytes",
        "log.local.retention.bytes",
        "-2",
        ValueKind::Long { min: -2 },
        "Accepted; nothing is tiered, so retention.bytes rules.",
    ),
    define(
        "local.retention.ms",
        "log.local.retention.ms",
        "-2",
        ValueKind::Long { min: -2 },
        "Accepted; nothing is tiered, so retention.ms rules.",
    ),
    define(
        "max.compaction.lag.ms",
        "log.cleaner.max.compaction.lag.ms",
        LONG_MAX,
        ValueKind::Long { min: 1 },
        "The longest time a record may stay uncompacted.",
    ),
    define(
        "max.message.bytes",
        "message.max.bytes",
        "1048588",
        int(0),
        "Bytes a batch may have, after compression.",
    ),
    define(
        "message.timestamp.after.max.ms",
        "log.message.timestamp.after.max.ms",
        "3600000",
        ValueKind::Long { min: 0 },
        "How far ahead of the broker's clock a record's CreateTime may be. Topics that queries make for themselves take any.",
    ),
    define(
        "message.timestamp.before.max.ms",
        "log.message.timestamp.before.max.ms",
        LONG_MAX,
        ValueKind::Long { min: 0 },
        "How far behind the broker's clock a record's CreateTime may be.",
    ),
    define(
        "message.timestamp.type",
        "log.message.timestamp.type",
        "CreateTime",
        ValueKind::OneOf(&["CreateTime", "LogAppendTime"]),
        "Whether records keep the producer's timestamp or get the broker's.",
    ),
    define(
        "min.cleanable.dirty.ratio",
        "log.cleaner.min.cleanable.ratio",
        "0.5",
        ValueKind::Ratio,
        "The share of a log that must be uncompacted before it is compacted.",
    ),
    define(
        "min.compaction.lag.ms",
        "log.cleaner.min.compaction.lag.ms",
        "0",
        ValueKind::Long { min: 0 },
        "The shortest time a record stays uncompacted.",
    ),
    define(
        "min.insync.replicas",
        "min.insync.replicas",
        "1",
        int(1),
        "Replicas that must have a record before acks=all is answered, at most as many as there are: one.",
    ),
    define(
        "preallocate",
        "log.preallocate",
        "false",
        ValueKind::Bool,
        "Accepted; files grow as they are written.",
    ),
    define("remote.log.copy.disable", "", "false", ValueKind::Bool, "Accepted; nothing is tiered."),
    define("remote.log.delete.on.disable", "", "false", ValueKind::Bool, "Accepted; nothing is tiered."),
    define("remote.storage.enable", "", "false", ValueKind::OneOf(&["false"]), "There is no tiered storage."),
    define(
        "retention.bytes",
        "log.retention.bytes",
        "-1",
        ValueKind::Long { min: -1 },
        "Bytes a partition may have before old segments are deleted; -1 is no limit.",
    ),
    define(
        "retention.ms",
        "log.retention.ms",
        "604800000",
        ValueKind::Long { min: -1 },
        "How long records are kept before old segments are deleted; -1 is for ever.",
    ),
    define("segment.bytes", "log.segment.bytes", "1073741824", int(14), "Bytes a segment may have."),
    define(
        "segment.index.bytes",
        "log.index.size.max.bytes",
        "10485760",
        int(4),
        "Bytes the offset index of a segment may have.",
    ),
    define(
        "segment.jitter.ms",
        "log.roll.jitter.ms",
        "0",
        ValueKind::Long { min: 0 },
        "At most by how much segment.ms is shortened, differently for each segment, so that not all roll at once.",
    ),
    define(
        "segment.ms",
        "log.roll.ms",
        "604800000",
        ValueKind::Long { min: 1 },
        "How long a segment is written to.",
    ),
    define(
        "unclean.leader.election.enable",
        "unclean.leader.election.enable",
        "false",
        ValueKind::Bool,
        "Accepted; the only replica is the leader.",
    ),
];

/// The definition of a setting.
#[must_use]
pub fn definition(name: &str) -> Option<&'static ConfigDefinition> {
    DEFINITIONS.iter().find(|definition| definition.name == name)
}

/// The definition of the setting whose default a broker's setting gives.
#[must_use]
pub fn definition_by_broker_name(name: &str) -> Option<&'static ConfigDefinition> {
    DEFINITIONS.iter().find(|definition| !name.is_empty() && definition.broker_name == name)
}

/// The settings of one topic: what was set, and what that means for its logs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TopicConfig {
    overrides: BTreeMap<String, String>,
    log: LogConfig,
}

impl TopicConfig {
    /// Checks every name and value.
    ///
    /// Errors: `InvalidConfig`.
    pub fn parse(overrides: &BTreeMap<String, String>) -> Result<Self> {
        for (name, value) in overrides {
            let unknown = || invalid(name, value, "a known topic setting");
            check(definition(name).ok_or_else(unknown)?, value)?;
        }
        let log = LogConfig::from_properties(overrides)?;
        if log.min_compaction_lag_ms > log.max_compaction_lag_ms {
            let value = log.min_compaction_lag_ms.to_string();
            return Err(invalid("min.compaction.lag.ms", &value, "a value of at most max.compaction.lag.ms"));
        }
        Ok(Self { overrides: overrides.clone(), log })
    }

    /// What was set explicitly.
    #[must_use]
    pub fn overrides(&self) -> &BTreeMap<String, String> {
        &self.overrides
    }

    /// The settings the topic's logs obey.
    #[must_use]
    pub fn log(&self) -> &LogConfig {
        &self.log
    }

    /// The value in force of a setting in [`DEFINITIONS`].
    #[must_use]
    pub fn value<'a>(&'a self, name: &str) -> &'a str {
        let default = || definition(name).map_or("", |definition| definition.default);
        self.overrides.get(name).map_or_else(default, String::as_str)
    }
}

fn invalid(name: &str, value: &str, expected: &'static str) -> Error {
    Error::InvalidConfig { key: name.to_owned(), value: value.to_owned(), expected }
}

/// Checks a value by itself.
///
/// Errors: `InvalidConfig`.
pub fn check(definition: &ConfigDefinition, value: &str) -> Result<()> {
    let wrong = |expected| Err(invalid(definition.name, value, expected));
    match definition.kind {
        ValueKind::Bool if value != "true" && value != "false" => wrong("true or false"),
        ValueKind::Int { min, max } => match value.trim().parse::<i32>() {
            Ok(number) if (min..=max).contains(&number) => Ok(()),
            _ => wrong("a 32-bit number within the setting's range"),
        },
        ValueKind::Long { min } => match value.trim().parse::<i64>() {
            Ok(number) if number >= min => Ok(()),
            _ => wrong("a 64-bit number within the setting's range"),
        },
        ValueKind::Ratio => match value.trim().parse::<f64>() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(()),
            _ => wrong("a number from 0 to 1"),
        },
        ValueKind::OneOf(words) if !words.contains(&value) => wrong("one of the setting's words"),
        ValueKind::ListOf(words) if !value.split(',').all(|part| words.contains(&part.trim())) => {
            wrong("a list of the setting's words")
        }
        ValueKind::Bool | ValueKind::OneOf(_) | ValueKind::ListOf(_) | ValueKind::List | ValueKind::Text => {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, value: &str) -> Result<TopicConfig> {
        TopicConfig::parse(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn defaults_pass_their_own_checks() {
        for definition in DEFINITIONS {
            check(definition, definition.default)
                .unwrap_or_else(|error| panic!("{}: {error}", definition.name));
        }
        let stated = DEFINITIONS.iter().map(|one| (one.name.to_owned(), one.default.to_owned())).collect();
        assert_eq!(TopicConfig::parse(&stated).expect("valid").log(), TopicConfig::default().log());
    }

    #[test]
    fn values_are_checked() {
        for (name, value) in [
            ("nope", "1"),
            ("retention.ms", "-2"),
            ("retention.ms", "soon"),
            ("segment.bytes", "3000000000"),
            ("cleanup.policy", "compact,shred"),
            ("message.timestamp.type", "createtime"),
            ("min.cleanable.dirty.ratio", "1.5"),
            ("preallocate", "yes"),
            ("compression.gzip.level", "10"),
            ("compression.zstd.level", "23"),
            ("remote.storage.enable", "true"),
            ("segment.jitter.ms", "-1"),
        ] {
            assert!(parse(name, value).is_err(), "{name}={value}");
        }
        let policy = parse("cleanup.policy", "compact,delete").expect("valid").log().cleanup_policy;
        assert!(policy.compact);
        assert!(policy.delete);
    }
}
