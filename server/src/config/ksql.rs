//! Settings of a node under ksqlDB's names.

use std::fmt;
use std::str::FromStr;

use weir_engine::query::settings::QuerySettings;
use weir_sql::session::Session;

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
const PROCESSING_LOG: &str = "ksql.logging.processing.";
/// Names of a node itself; those of sessions and of queries come on top.
const NODE_SETTINGS: [&str; 11] = [
    SERVICE_ID,
    "ksql.hidden.topics",
    "ksql.readonly.topics",
    "ksql.max.push.queries",
    "ksql.logging.processing.topic.auto.create",
    "ksql.logging.processing.topic.name",
    "ksql.logging.processing.topic.partitions",
    "ksql.logging.processing.topic.replication.factor",
    "ksql.logging.processing.stream.auto.create",
    "ksql.logging.processing.stream.name",
    "ksql.logging.processing.rows.include",
];

impl NodeConfig {
    /// True for names that [`NodeConfig::set_ksql`] takes.
    pub fn knows_ksql(name: &str) -> bool {
        // A value that none of them takes tells the known names from the others.
        let unlikely = "\u{0}";
        name.starts_with("ksql.")
            && (NODE_SETTINGS.contains(&name)
                || !matches!(Session::default().set(name, unlikely), Ok(false))
                || !matches!(QuerySettings::default().set(name, unlikely), Ok(false)))
    }

    /// Takes settings by ksqlDB's names, in any order.
    ///
    /// Errors: an unknown name, a value that the setting cannot have.
    pub fn set_ksql<'s>(&mut self, settings: impl Iterator<Item = (&'s str, &'s str)> + Clone) -> Result<()> {
        // Names of topics follow from the service id.
        let (ids, others): (Vec<_>, Vec<_>) = settings.partition(|(name, _)| *name == SERVICE_ID);
        for (name, value) in ids {
            self.set_service_id(name, value)?;
        }
        others.into_iter().try_for_each(|(name, value)| self.set_one(name, value))
    }

    fn set_service_id(&mut self, name: &str, value: &str) -> Result<()> {
        let valid = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c);
        if value.is_empty() || value.len() > 64 || !value.chars().all(valid) {
            return Err(invalid(name, value, "1 to 64 letters, digits, '.', '_' and '-' expected"));
        }
        let default = ProcessingLogConfig::new(&self.service_id).topic_name;
        if self.processing_log.topic_name == default {
            self.processing_log.topic_name = ProcessingLogConfig::new(value).topic_name;
        }
        value.clone_into(&mut self.service_id);
        Ok(())
    }

    fn set_one(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "ksql.hidden.topics" => self.hidden_topics = list(value),
            "ksql.readonly.topics" => self.readonly_topics = list(value),
            "ksql.max.push.queries" => self.push_queries_max = parse(name, value)?,
            _ => match name.strip_prefix(PROCESSING_LOG) {
                Some(short) => self.set_processing_log(name, short, value)?,
                None => self.set_default(name, value)?,
            },
        }
        Ok(())
    }

    fn set_processing_log(&mut self, name: &str, short: &str, value: &str) -> Result<()> {
        let log = &mut self.processing_log;
        match short {
            "topic.auto.create" => log.topic_auto_create = parse(name, value)?,
            "topic.name" => value.clone_into(&mut log.topic_name),
            "topic.partitions" => log.partitions = parse(name, value)?,
            "topic.replication.factor" if ["1", "-1"].contains(&value.trim()) => {}
            "topic.replication.factor" => return Err(invalid(name, value, "a single node keeps 1 replica")),
            "stream.auto.create" => log.stream_auto_create = parse(name, value)?,
            "stream.name" => value.clone_into(&mut log.stream_name),
            "rows.include" => log.rows_include = parse(name, value)?,
            _ => return Err(KsqlSettingError::Unknown { name: name.to_owned() }),
        }
        Ok(())
    }

    /// What requests may override: properties of sessions and of queries.
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

fn parse<T: FromStr<Err: fmt::Display>>(name: &str, value: &str) -> Result<T> {
    value.trim().parse().map_err(|e: T::Err| invalid(name, value, &e.to_string()))
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()).map(str::to_owned).collect()
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
}
