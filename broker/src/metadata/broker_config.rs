//! The broker's settings that may change while it runs: defaults of topic settings, under their broker names.
//!
//! Those of the broker go before those of the cluster, as Kafka has it; here the two are of the same one broker. Both go
//! before those of its configuration.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::topic_config::{self, ConfigDefinition, definition_by_broker_name};
use crate::error::{Error, Result};
use crate::log::config::LogConfig;

/// Whom a setting was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    Cluster,
    Broker,
}

/// Defaults of topic settings, by broker name: of the broker's configuration, and made while it runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BrokerSettings {
    configured: BTreeMap<String, String>,
    cluster: BTreeMap<String, String>,
    broker: BTreeMap<String, String>,
}

impl BrokerSettings {
    /// Those of a broker's configuration.
    ///
    /// Errors: `InvalidConfig`.
    pub fn configured(configs: &BTreeMap<String, String>) -> Result<BrokerSettings> {
        let mut settings = BrokerSettings::default();
        settings.configure(configs)?;
        Ok(settings)
    }

    /// Replaces those of the broker's configuration.
    ///
    /// Errors: `InvalidConfig`.
    pub fn configure(&mut self, configs: &BTreeMap<String, String>) -> Result<()> {
        for (name, value) in configs {
            check(name, value)?;
        }
        self.configured.clone_from(configs);
        Ok(())
    }

    /// The value that the broker's configuration gives.
    #[must_use]
    pub fn configured_value(&self, broker_name: &str) -> Option<&String> {
        self.configured.get(broker_name)
    }

    /// What was set for `scope`.
    #[must_use]
    pub fn of(&self, scope: Scope) -> &BTreeMap<String, String> {
        match scope {
            Scope::Cluster => &self.cluster,
            Scope::Broker => &self.broker,
        }
    }

    /// Replaces what was set for `scope`.
    ///
    /// Errors: `InvalidConfig`.
    pub fn replace(&mut self, scope: Scope, configs: &BTreeMap<String, String>) -> Result<()> {
        for (name, value) in configs {
            check(name, value)?;
        }
        match scope {
            Scope::Cluster => self.cluster.clone_from(configs),
            Scope::Broker => self.broker.clone_from(configs),
        }
        Ok(())
    }

    /// The value in force of the default of a topic setting, if one was set.
    #[must_use]
    pub fn default_of(&self, definition: &ConfigDefinition) -> Option<(&str, Scope)> {
        let set =
            |scope: Scope| self.of(scope).get(definition.broker_name).map(|value| (value.as_str(), scope));
        set(Scope::Broker).or_else(|| set(Scope::Cluster))
    }

    /// Topic settings by their topic names, as they are unless a topic sets them.
    pub(crate) fn topic_defaults(&self) -> BTreeMap<String, String> {
        let by_topic_name = |(name, value): (&String, &String)| {
            definition_by_broker_name(name).map(|known| (known.name.to_owned(), value.clone()))
        };
        self.configured.iter().chain(&self.cluster).chain(&self.broker).filter_map(by_topic_name).collect()
    }
}

/// Errors: `InvalidConfig`.
fn check(name: &str, value: &str) -> Result<()> {
    let definition = definition_by_broker_name(name).ok_or_else(|| Error::InvalidConfig {
        key: name.to_owned(),
        value: value.to_owned(),
        expected: "a broker setting that can be changed while the broker runs",
    })?;
    topic_config::check(definition, value)?;
    LogConfig::default().set(definition.name, value).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn a_brokers_setting_goes_before_the_clusters() {
        let definition = topic_config::definition("retention.ms").expect("known");
        let mut settings = BrokerSettings::default();
        assert_eq!(settings.default_of(definition), None);
        settings.replace(Scope::Cluster, &one("log.retention.ms", "5")).expect("valid");
        assert_eq!(settings.default_of(definition), Some(("5", Scope::Cluster)));
        settings.replace(Scope::Broker, &one("log.retention.ms", "7")).expect("valid");
        assert_eq!(settings.default_of(definition), Some(("7", Scope::Broker)));
        settings.configure(&one("log.retention.ms", "9")).expect("valid");
        assert_eq!(settings.topic_defaults(), one("retention.ms", "7"));
        let configured = BrokerSettings::configured(&one("log.retention.ms", "9")).expect("valid");
        assert_eq!(configured.topic_defaults(), one("retention.ms", "9"));
        assert!(BrokerSettings::configured(&one("log.retention.ms", "soon")).is_err());
        assert!(settings.replace(Scope::Broker, &one("log.retention.ms", "soon")).is_err());
        assert!(settings.replace(Scope::Broker, &one("retention.ms", "5")).is_err());
        assert!(settings.replace(Scope::Broker, &one("", "5")).is_err());
    }
}
