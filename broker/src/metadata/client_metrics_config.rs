//! Subscriptions to client metrics: which metrics clients are asked for, how often, and which clients are (KIP-714).

use std::collections::{BTreeMap, BTreeSet};

use regex::{Regex, RegexBuilder};

use super::topic_config::{self, ConfigDefinition, ValueKind};
use crate::error::{Error, Result};

/// How often clients push. Units: ms.
const INTERVAL: &str = "interval.ms";
/// Beginnings of names of metrics, comma separated.
const METRICS: &str = "metrics";
/// Which clients are asked: `attribute=pattern`, comma separated.
const MATCH: &str = "match";

/// Memory that one compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 256 << 10;

/// What [`METRICS`] says to have every metric.
pub const ALL_METRICS: &str = "*";
/// How often clients ask again that no subscription is for. Units: ms.
pub const INTERVAL_DEFAULT_MS: i32 = 300_000;

/// All settings, by name.
pub const DEFINITIONS: &[ConfigDefinition] = &[
    ConfigDefinition {
        name: INTERVAL,
        broker_name: "",
        default: "300000",
        kind: ValueKind::Int { min: 100, max: 3_600_000 },
        documentation: "How often clients push their metrics.",
    },
    ConfigDefinition {
        name: MATCH,
        broker_name: "",
        default: "",
        kind: ValueKind::List,
        documentation: "Which clients push: attribute=pattern pairs that all must match; none matches every client.",
    },
    ConfigDefinition {
        name: METRICS,
        broker_name: "",
        default: "",
        kind: ValueKind::List,
        documentation: "Beginnings of the names of the metrics that clients push; * stands for all.",
    },
];

/// The definition of a setting.
#[must_use]
pub fn definition(name: &str) -> Option<&'static ConfigDefinition> {
    DEFINITIONS.iter().find(|definition| definition.name == name)
}

/// What a client can be told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAttribute {
    InstanceId,
    ClientId,
    SoftwareName,
    SoftwareVersion,
    SourceAddress,
    SourcePort,
}

impl ClientAttribute {
    const ALL: [Self; 6] = [
        Self::InstanceId,
        Self::ClientId,
        Self::SoftwareName,
        Self::SoftwareVersion,
        Self::SourceAddress,
        Self::SourcePort,
    ];

    /// The name in [`MATCH`].
    fn name(self) -> &'static str {
        match self {
            Self::InstanceId => "client_instance_id",
            Self::ClientId => "client_id",
            Self::SoftwareName => "client_software_name",
            Self::SoftwareVersion => "client_software_version",
            Self::SourceAddress => "client_source_address",
            Self::SourcePort => "client_source_port",
        }
    }
}

/// One subscription: what was set, and what that means.
#[derive(Debug, Clone)]
pub struct ClientMetricsSubscription {
    configs: BTreeMap<String, String>,
    interval_ms: i32,
    metrics: BTreeSet<String>,
    rules: Vec<(ClientAttribute, Regex)>,
}

/// What was set decides everything else.
impl PartialEq for ClientMetricsSubscription {
    fn eq(&self, other: &Self) -> bool {
        self.configs == other.configs
    }
}

impl ClientMetricsSubscription {
    /// Checks every name and value.
    ///
    /// Errors: `InvalidConfig`.
    pub fn parse(configs: &BTreeMap<String, String>) -> Result<Self> {
        for (name, value) in configs {
            let known = definition(name).ok_or_else(|| invalid(name, value, "a known setting"))?;
            topic_config::check(known, value)?;
        }
        let interval = configs.get(INTERVAL).and_then(|value| value.trim().parse().ok());
        let metrics = items(configs.get(METRICS)).map(str::to_owned).collect();
        let rules = items(configs.get(MATCH)).map(parse_rule).collect::<Result<_>>()?;
        let interval_ms = interval.unwrap_or(INTERVAL_DEFAULT_MS);
        Ok(Self { configs: configs.clone(), interval_ms, metrics, rules })
    }

    /// What was set explicitly.
    #[must_use]
    pub fn configs(&self) -> &BTreeMap<String, String> {
        &self.configs
    }

    /// Units: ms.
    #[must_use]
    pub fn interval_ms(&self) -> i32 {
        self.interval_ms
    }

    /// Beginnings of names.
    #[must_use]
    pub fn metrics(&self) -> &BTreeSet<String> {
        &self.metrics
    }

    /// Is a client with these attributes asked?
    pub fn matches<'a>(&self, attribute: impl Fn(ClientAttribute) -> &'a str) -> bool {
        self.rules.iter().all(|(name, pattern)| pattern.is_match(attribute(*name)))
    }
}

fn items(list: Option<&String>) -> impl Iterator<Item = &str> {
    list.map_or("", String::as_str).split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn parse_rule(rule: &str) -> Result<(ClientAttribute, Regex)> {
    let (name, pattern) =
        rule.split_once('=').ok_or_else(|| invalid(MATCH, rule, "attribute=pattern pairs"))?;
    let attribute = ClientAttribute::ALL.into_iter().find(|known| known.name() == name.trim());
    let attribute = attribute.ok_or_else(|| {
        invalid(
            MATCH,
            rule,
            "client_instance_id, client_id, client_software_name, client_software_version, client_source_address or \
             client_source_port before the equals sign",
        )
    })?;
    // The pattern is of the whole value.
    let whole = format!(r"\A(?:{})\z", pattern.trim());
    let compiled = RegexBuilder::new(&whole).size_limit(PATTERN_BYTES_MAX).build();
    let pattern = compiled.map_err(|_| invalid(MATCH, rule, "a regular expression of moderate size"))?;
    Ok((attribute, pattern))
}

fn invalid(key: &str, value: &str, expected: &'static str) -> Error {
    Error::InvalidConfig { key: key.to_owned(), value: value.to_owned(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(configs: &[(&str, &str)]) -> Result<ClientMetricsSubscription> {
        let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        ClientMetricsSubscription::parse(&configs.collect())
    }

    fn describe(attribute: ClientAttribute) -> &'static str {
        match attribute {
            ClientAttribute::InstanceId => "b69cc35a-7a54-4790-aa69-cc2bd4ee4538",
            ClientAttribute::ClientId => "orders-7",
            ClientAttribute::SoftwareName => "apache-kafka-java",
            ClientAttribute::SoftwareVersion => "4.3.0",
            ClientAttribute::SourceAddress => "10.0.0.9",
            ClientAttribute::SourcePort => "51234",
        }
    }

    #[test]
    fn names_and_values_are_checked() {
        parse(&[]).expect("everything has a default");
        for definition in DEFINITIONS {
            parse(&[(definition.name, definition.default)]).expect("defaults pass");
        }
        for (name, value) in [
            ("interval.ms", "99"),
            ("interval.ms", "3600001"),
            ("interval.ms", "soon"),
            ("match", "client_id"),
            ("match", "nobody=.*"),
            ("match", "client_id=["),
            ("match", "client_id=(?:a{1000}){1000}"),
            ("retention.ms", "1"),
        ] {
            assert!(parse(&[(name, value)]).is_err(), "{name}={value}");
        }
    }

    #[test]
    fn all_patterns_must_match_whole_attributes() {
        for (rules, expected) in [
            ("", true),
            ("client_id=orders-.*", true),
            ("client_id=orders", false),
            ("client_id=orders|orders-7", true),
            ("client_id=.*, client_software_name=apache-kafka-java", true),
            ("client_id=.*,client_software_name=librdkafka", false),
            (
                "client_software_version=4\\.3\\..*,client_source_address=10\\..*,client_source_port=51234",
                true,
            ),
            ("client_instance_id=b69cc35a-.*", true),
        ] {
            let subscription = parse(&[("match", rules)]).expect("valid");
            assert_eq!(subscription.matches(describe), expected, "{rules}");
        }
    }

    #[test]
    fn lists_are_read_without_their_blanks() {
        let subscription = parse(&[("metrics", "b., a.b,,b."), ("interval.ms", "100")]).expect("valid");
        assert_eq!(subscription.metrics().iter().collect::<Vec<_>>(), ["a.b", "b."]);
        assert_eq!(subscription.interval_ms(), 100);
        assert_eq!(parse(&[]).expect("valid").interval_ms(), INTERVAL_DEFAULT_MS);
    }
}
