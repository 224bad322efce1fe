//! Settings of a node under ksqlDB's names. A setting is one row of [`SETTINGS`]; parsing, SHOW PROPERTIES and
//! docs/configuration.md follow from it.

use std::str::FromStr;

use weir_engine::settings::{self, QuerySettings};
use weir_sql::session;

use crate::config::{NodeConfig, ProcessingLogConfig};

/// A setting that a node cannot take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KsqlSettingError {
    #[error("setting \"{name}\" is not known")]
    Unknown { name: String },
    #[error("invalid value \"{value}\" for setting \"{name}\": {expected}")]
    Value { name: String, value: String, expected: String },
}

type Result<T> = std::result::Result<T, KsqlSettingError>;

const SERVICE_ID: &str = "ksql.service.id";

/// A setting of the node under ksqlDB's name. Settings of sessions and queries have tables of their own:
/// [`weir_sql::session::SETTINGS`] and [`weir_engine::settings::SETTINGS`].
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub name: &'static str,
    /// Valid values, as a noun.
    pub expected: &'static str,
    /// For people, in a sentence or two.
    pub documentation: &'static str,
    get: fn(&NodeConfig) -> String,
    /// None: the setting cannot have the value.
    set: fn(&mut NodeConfig, &str) -> Option<()>,
}

/// All settings of the node, by name.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "ksql.hidden.topics",
        expected: "patterns, separated by commas",
        documentation: "Topics that lists leave out.",
        get: |config| config.hidden_topics.join(","),
        set: |config, value| {
            config.hidden_topics = list(value);
            Some(())
        },
    },
    Setting {
        name: "ksql.logging.processing.rows.include",
        expected: BOOL,
        documentation: "Put the bytes of records that cannot be read into the processing log.",
        get: |config| config.processing_log.rows_include.to_string(),
        set: |config, value| parse(value).map(|include| config.processing_log.rows_include = include),
    },
    Setting {
        name: "ksql.logging.processing.stream.auto.create",
        expected: BOOL,
        documentation: "Create the stream of the processing log.",
        get: |config| config.processing_log.stream_auto_create.to_string(),
        set: |config, value| parse(value).map(|create| config.processing_log.stream_auto_create = create),
    },
    Setting {
        name: "ksql.logging.processing.stream.name",
        expected: "text",
        documentation: "Name of the stream of the processing log.",
        get: |config| config.processing_log.stream_name.clone(),
        set: |config, value| {
            value.clone_into(&mut config.processing_log.stream_name);
            Some(())
        },
    },
    Setting {
        name: "ksql.logging.processing.topic.auto.create",
        expected: BOOL,
        documentation: "Create the topic of the processing log and write to it; otherwise failing rows are only counted.",
        get: |config| config.processing_log.topic_auto_create.to_string(),
        set: |config, value| parse(value).map(|create| config.processing_log.topic_auto_create = create),
    },
    Setting {
        name: "ksql.logging.processing.topic.name",
        expected: "text",
        documentation: "Topic of the processing log; default: the service id and `ksql_processing_log`.",
        get: |config| config.processing_log.topic_name.clone(),
        set: |config, value| {
            value.clone_into(&mut config.processing_log.topic_name);
            Some(())
        },
    },
    Setting {
        name: "ksql.logging.processing.topic.partitions",
        expected: "a whole number",
        documentation: "Partitions of the topic of the processing log.",
        get: |config| config.processing_log.partitions.to_string(),
        set: |config, value| parse(value).map(|partitions| config.processing_log.partitions = partitions),
    },
    Setting {
        name: "ksql.logging.processing.topic.replication.factor",
        expected: "1 or -1, as a single node keeps one replica,",
        documentation: "Replicas of the topic of the processing log.",
        get: |_| "1".to_owned(),
        set: |_, value| ["1", "-1"].contains(&value.trim()).then_some(()),
    },
    Setting {
        name: "ksql.max.push.queries",
        expected: "a whole number, not negative,",
        documentation: "Push queries that run at a time.",
        get: |config| config.push_queries_max.to_string(),
        set: |config, value| parse(value).map(|queries| config.push_queries_max = queries),
    },
    Setting {
        name: "ksql.readonly.topics",
        expected: "patterns, separated by commas",
        documentation: "Topics that statements may read but not write.",
        get: |config| config.readonly_topics.join(","),
        set: |config, value| {
            config.readonly_topics = list(value);
            Some(())
        },
    },
    Setting {
        name: SERVICE_ID,
        expected: "1 to 64 letters, digits, '.', '_' and '-'",
        documentation: "Name of the node among others on the same broker: part of the names of its topics and queries.",
        get: |config| config.service_id.clone(),
        set: set_service_id,
    },
];

const BOOL: &str = "true or false";

impl Setting {
    /// The setting of this name.
    pub fn named(name: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// The value that a configuration has.
    pub fn value(&self, config: &NodeConfig) -> String {
        (self.get)(config)
    }
}

fn set_service_id(config: &mut NodeConfig, value: &str) -> Option<()> {
    let valid = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c);
    if value.is_empty() || value.len() > 64 || !value.chars().all(valid) {
        return None;
    }
    let default = ProcessingLogConfig::new(&config.service_id).topic_name;
    if config.processing_log.topic_name == default {
        config.processing_log.topic_name = ProcessingLogConfig::new(value).topic_name;
    }
    value.clone_into(&mut config.service_id);
    Some(())
}

fn parse<T: FromStr>(value: &str) -> Option<T> {
    value.trim().parse().ok()
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()).map(str::to_owned).collect()
}

impl NodeConfig {
    /// True for names that [`NodeConfig::set_ksql`] takes.
    pub fn knows_ksql(name: &str) -> bool {
        name.starts_with("ksql.")
            && (Setting::named(name).is_some()
                || session::Setting::named(name).is_some()
                || settings::Setting::named(name).is_some())
    }

    /// Takes settings by ksqlDB's names, in any order.
    ///
    /// Errors: an unknown name, a value that the setting cannot have.
    pub fn set_ksql<'s>(&mut self, settings: impl Iterator<Item = (&'s str, &'s str)> + Clone) -> Result<()> {
        // Names of topics follow from the service id.
        let (ids, others): (Vec<_>, Vec<_>) = settings.partition(|(name, _)| *name == SERVICE_ID);
        ids.into_iter().chain(others).try_for_each(|(name, value)| self.set_one(name, value))
    }

    fn set_one(&mut self, name: &str, value: &str) -> Result<()> {
        match Setting::named(name) {
            Some(setting) => (setting.set)(self, value)
                .ok_or_else(|| invalid(name, value, &format!("{} expected", setting.expected))),
            None => self.set_default(name, value),
        }
    }

    /// The node's values of settings that requests may override, of sessions and of queries.
    fn set_default(&mut self, name: &str, value: &str) -> Result<()> {
        let of_session = self.session.set(name, value).map_err(|e| invalid(name, value, &e.message))?;
        let of_queries = QuerySettings::default().set(name, value);
        let of_queries = of_queries.map_err(|e| invalid(name, value, &format!("{} expected", e.expected)))?;
        if of_queries {
            self.query_defaults.insert(name.to_owned(), value.to_owned());
        }
        if of_session || of_queries {
            return Ok(());
        }
        Err(KsqlSettingError::Unknown { name: name.to_owned() })
    }
}

fn invalid(name: &str, value: &str, expected: &str) -> KsqlSettingError {
    KsqlSettingError::Value { name: name.to_owned(), value: value.to_owned(), expected: expected.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(settings: &[(&str, &str)]) -> Result<NodeConfig> {
        let mut config = NodeConfig::new("unused");
        config.set_ksql(settings.iter().copied())?;
        Ok(config)
    }

    #[test]
    fn names_of_a_node_of_sessions_and_of_queries_are_taken() {
        let config = set(&[
            ("ksql.readonly.topics", "audit.*, bank"),
            ("ksql.logging.processing.rows.include", "true"),
            ("ksql.service.id", "shop_"),
            ("ksql.output.topic.name.prefix", "out-"),
            ("ksql.streams.auto.offset.reset", "earliest"),
        ])
        .expect("valid");
        assert_eq!(config.readonly_topics, ["audit.*", "bank"]);
        assert_eq!(config.service_id, "shop_");
        assert_eq!(config.processing_log.topic_name, "shop_ksql_processing_log");
        assert!(config.processing_log.rows_include);
        assert_eq!(config.session.output_topic_prefix, "out-");
        assert_eq!(config.query_defaults["ksql.streams.auto.offset.reset"], "earliest");
    }

    #[test]
    fn own_names_of_the_processing_log_stay() {
        let config = set(&[("ksql.logging.processing.topic.name", "failures"), ("ksql.service.id", "x")]);
        assert_eq!(config.expect("valid").processing_log.topic_name, "failures");
    }

    #[test]
    fn unknown_names_and_values_are_refused() {
        for (name, value) in [
            ("ksql.service.id", ""),
            ("ksql.service.id", "a b"),
            ("ksql.max.push.queries", "many"),
            ("ksql.logging.processing.topic.replication.factor", "3"),
            ("ksql.logging.processing.rows", "true"),
            ("ksql.streams.auto.offset.reset", "earlyest"),
            ("ksql.persistence.default.format.value", "XML"),
            ("ksql.no.such.name", "1"),
        ] {
            let error = set(&[(name, value)]).expect_err(name);
            assert!(error.to_string().contains(name), "{error}");
        }
        for (name, known) in [
            ("ksql.service.id", true),
            ("ksql.persistence.default.format.value", true),
            ("ksql.streams.auto.offset.reset", true),
            ("ksql.fail.on.deserialization.error", true),
            ("ksql.output.topic.name.prefix", true),
            ("ksql.udfs.enabled", false),
            ("auto.offset.reset", false),
        ] {
            assert_eq!(NodeConfig::knows_ksql(name), known, "{name}");
        }
    }

    #[test]
    fn values_are_shown_as_they_are_set() {
        assert!(SETTINGS.windows(2).all(|pair| pair[0].name < pair[1].name));
        let mut config = NodeConfig::new("unused");
        for setting in SETTINGS {
            let default = setting.value(&config);
            assert!(NodeConfig::knows_ksql(setting.name));
            config.set_ksql([(setting.name, default.as_str())].into_iter()).expect(setting.name);
            assert_eq!(setting.value(&config), default, "{}", setting.name);
        }
        let set = [("ksql.max.push.queries", "7"), ("ksql.hidden.topics", "a, b")];
        config.set_ksql(set.into_iter()).expect("valid");
        let value = |name: &str| Setting::named(name).map(|setting| setting.value(&config));
        assert_eq!(value("ksql.max.push.queries").as_deref(), Some("7"));
        assert_eq!(value("ksql.hidden.topics").as_deref(), Some("a,b"));
    }
}
