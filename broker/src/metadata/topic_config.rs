//! The settings of a topic: which there are, their defaults, and how their values are checked.
//!
//! Source: Kafka's topic configurations; a setting is one line in [`DEFINITIONS`].

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::log::config::LogConfig;

/// What a setting's value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    Bool,
    /// A whole number of at least this.
    Int {
        min: i64,
    },
    Long {
        min: i64,
    },
    /// A number from 0 to 1.
    Ratio,
    OneOf(&'static [&'static str]),
    /// Comma separated.
    ListOf(&'static [&'static str]),
    /// Kept for tools that set it; of no effect on one node.
    Text,
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct ConfigDefinition {
    pub name: &'static str,
    pub default: &'static str,
    pub kind: ValueKind,
}

const fn define(name: &'static str, default: &'static str, kind: ValueKind) -> ConfigDefinition {
    ConfigDefinition { name, default, kind }
}

const CODECS: &[&str] = &["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"];
const LONG_MAX: &str = "9223372036854775807";

/// All settings, by name.
pub const DEFINITIONS: &[ConfigDefinition] = &[
    define("cleanup.policy", "delete", ValueKind::ListOf(&["delete", "compact"])),
    define("compression.gzip.level", "-1", ValueKind::Int { min: -1 }),
    define("compression.lz4.level", "9", ValueKind::Int { min: 1 }),
    define("compression.type", "producer", ValueKind::OneOf(CODECS)),
    define("compression.zstd.level", "3", ValueKind::Int { min: -131_072 }),
    define("delete.retention.ms", "86400000", ValueKind::Long { min: 0 }),
    define("file.delete.delay.ms", "60000", ValueKind::Long { min: 0 }),
    define("flush.messages", LONG_MAX, ValueKind::Long { min: 1 }),
    define("flush.ms", LONG_MAX, ValueKind::Long { min: 0 }),
    define("follower.replication.throttled.replicas", "", ValueKind::Text),
    define("index.interval.bytes", "4096", ValueKind::Int { min: 0 }),
    define("leader.replication.throttled.replicas", "", ValueKind::Text),
    define("max.compaction.lag.ms", LONG_MAX, ValueKind::Long { min: 1 }),
    define("max.message.bytes", "1048588", ValueKind::Int { min: 0 }),
    define("message.timestamp.after.max.ms", LONG_MAX, ValueKind::Long { min: 0 }),
    define("message.timestamp.before.max.ms", LONG_MAX, ValueKind::Long { min: 0 }),
    define("message.timestamp.type", "CreateTime", ValueKind::OneOf(&["CreateTime", "LogAppendTime"])),
    define("min.cleanable.dirty.ratio", "0.5", ValueKind::Ratio),
    define("min.compaction.lag.ms", "0", ValueKind::Long { min: 0 }),
    define("min.insync.replicas", "1", ValueKind::Int { min: 1 }),
    define("preallocate", "false", ValueKind::Bool),
    define("retention.bytes", "-1", ValueKind::Long { min: -1 }),
    define("retention.ms", "604800000", ValueKind::Long { min: -1 }),
    define("segment.bytes", "1073741824", ValueKind::Int { min: 14 }),
    define("segment.index.bytes", "10485760", ValueKind::Int { min: 4 }),
    define("segment.jitter.ms", "0", ValueKind::Long { min: 0 }),
    define("segment.ms", "604800000", ValueKind::Long { min: 1 }),
    define("unclean.leader.election.enable", "false", ValueKind::Bool),
];

/// The definition of a setting.
#[must_use]
pub fn definition(name: &str) -> Option<&'static ConfigDefinition> {
    DEFINITIONS.iter().find(|definition| definition.name == name)
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

fn check(definition: &ConfigDefinition, value: &str) -> Result<()> {
    let wrong = |expected| Err(invalid(definition.name, value, expected));
    match definition.kind {
        ValueKind::Bool if value != "true" && value != "false" => wrong("true or false"),
        ValueKind::Int { min } => match value.trim().parse::<i32>() {
            Ok(number) if i64::from(number) >= min => Ok(()),
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
        ValueKind::Bool | ValueKind::OneOf(_) | ValueKind::ListOf(_) | ValueKind::Text => Ok(()),
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
        ] {
            assert!(parse(name, value).is_err(), "{name}={value}");
        }
        let policy = parse("cleanup.policy", "compact,delete").expect("valid").log().cleanup_policy;
        assert!(policy.compact);
        assert!(policy.delete);
    }
}
