//! Which topics lists leave out, and which statements must not write.

use regex::RegexSet;
use weir_broker::metadata::image::is_internal;

use crate::config::NodeConfig;

/// Topics of every ksqlDB-like server: command topics, changelogs and repartition topics.
const SERVER_TOPICS: &str = "_confluent-ksql-.*";

/// A setting that is no list of patterns.
#[derive(Debug, thiserror::Error)]
#[error("setting {setting} is no list of patterns")]
pub struct TopicPatternError {
    setting: &'static str,
    source: regex::Error,
}

/// Which topics are hidden from lists, and which are read-only for statements.
#[derive(Clone, Debug)]
pub struct TopicPolicy {
    hidden: RegexSet,
    read_only: RegexSet,
    processing_log: String,
    /// The topic of access decisions, if there is one.
    audit: Option<String>,
}

impl TopicPolicy {
    /// Errors: a pattern that is no regular expression.
    pub fn new(config: &NodeConfig) -> Result<TopicPolicy, TopicPatternError> {
        Ok(TopicPolicy {
            hidden: patterns("ksql.hidden.topics", &config.hidden_topics)?,
            read_only: patterns("ksql.readonly.topics", &config.readonly_topics)?,
            processing_log: config.processing_log.topic_name.clone(),
            audit: config.audit_topic.clone(),
        })
    }

    /// True for topics that SHOW TOPICS leaves out; SHOW ALL TOPICS has them.
    pub fn is_hidden(&self, topic: &str) -> bool {
        is_internal(topic) || self.hidden.is_match(topic)
    }

    /// True for topics that statements may read, but neither write, create nor delete.
    pub fn is_read_only(&self, topic: &str) -> bool {
        is_internal(topic)
            || topic == self.processing_log
            || self.audit.as_deref() == Some(topic)
            || self.read_only.is_match(topic)
    }
}

/// Patterns match whole names.
fn patterns(setting: &'static str, given: &[String]) -> Result<RegexSet, TopicPatternError> {
    let given = given.iter().map(String::as_str).chain([SERVER_TOPICS]);
    RegexSet::new(given.map(|pattern| format!("^(?:{pattern})$")))
        .map_err(|source| TopicPatternError { setting, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_topics_are_hidden_and_read_only() {
        let mut config = NodeConfig::new("unused");
        config.readonly_topics.push("archive-.*".to_owned());
        config.audit_topic = Some("audit".to_owned());
        let policy = TopicPolicy::new(&config).expect("valid patterns");
        for topic in [
            "_confluent-ksql-default__command_topic",
            "_confluent-ksql-default_query_CTAS_T_3-Aggregate-Aggregate-Materialize-changelog",
            "__consumer_offsets",
            "__transaction_state",
            "_schemas",
        ] {
            assert!(policy.is_hidden(topic) && policy.is_read_only(topic), "{topic}");
        }
        for topic in ["orders", "my_schemas", "_schemas2", "not_confluent-ksql-x", "audit2"] {
            assert!(!policy.is_hidden(topic) && !policy.is_read_only(topic), "{topic}");
        }
        let log = &config.processing_log.topic_name;
        assert!(policy.is_read_only(log) && !policy.is_hidden(log));
        for topic in ["archive-1", "audit"] {
            assert!(policy.is_read_only(topic) && !policy.is_hidden(topic), "{topic}");
        }
    }

    #[test]
    fn command_topic_stays_read_only_with_other_patterns() {
        let config =
            NodeConfig { hidden_topics: vec![], readonly_topics: vec![], ..NodeConfig::new("unused") };
        let policy = TopicPolicy::new(&config).expect("no patterns");
        let topic = "_confluent-ksql-default__command_topic";
        assert!(policy.is_hidden(topic) && policy.is_read_only(topic));
        assert!(policy.is_read_only("__consumer_offsets"));
        let config = NodeConfig { hidden_topics: vec!["(".to_owned()], ..NodeConfig::new("unused") };
        let error = TopicPolicy::new(&config).expect_err("no regular expression");
        assert!(error.to_string().contains("ksql.hidden.topics"), "{error}");
    }
}
