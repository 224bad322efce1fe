//! The broker's topics as statements see them: looked up one by one, with those that statements must not write.

use std::collections::BTreeMap;

use regex::RegexSet;
use weir_broker::broker::Broker;
use weir_broker::metadata::image::is_internal;
use weir_sql::catalog::{TopicCatalog, TopicInfo};

use crate::config::NodeConfig;
use crate::node::{Node, NodeError};

/// Topics of every ksqlDB-like server: command topics, changelogs and repartition topics.
const SERVER_TOPICS: &str = "_confluent-ksql-.*";

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
    pub fn new(config: &NodeConfig) -> Result<TopicPolicy, NodeError> {
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
fn patterns(setting: &'static str, given: &[String]) -> Result<RegexSet, NodeError> {
    let given = given.iter().map(String::as_str).chain([SERVER_TOPICS]);
    RegexSet::new(given.map(|pattern| format!("^(?:{pattern})$")))
        .map_err(|source| NodeError::TopicPattern { setting, source })
}

/// The topics of the broker, with the changes of earlier statements of the same batch. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NodeTopics {
    node: Node,
    /// Created, or deleted: None.
    changed: BTreeMap<String, Option<TopicInfo>>,
}

impl NodeTopics {
    pub(crate) fn new(node: &Node) -> NodeTopics {
        NodeTopics { node: node.clone(), changed: BTreeMap::new() }
    }

    pub fn insert(&mut self, name: impl Into<String>, info: TopicInfo) {
        self.changed.insert(name.into(), Some(info));
    }

    pub fn remove(&mut self, name: &str) {
        self.changed.insert(name.to_owned(), None);
    }
}

impl TopicCatalog for NodeTopics {
    fn topic(&self, name: &str) -> Option<TopicInfo> {
        match self.changed.get(name) {
            Some(changed) => *changed,
            None => self.node.topic_info(name),
        }
    }

    fn is_read_only(&self, name: &str) -> bool {
        self.node.topic_policy().is_read_only(name)
    }

    fn replicas_max(&self) -> Option<u16> {
        Some(1)
    }
}

/// One topic, without asking for the others.
pub(crate) fn look_up(broker: &Broker, name: &str) -> Option<TopicInfo> {
    let image = broker.metadata_image();
    let topic = image.topic(name)?;
    Some(TopicInfo {
        partitions: topic.partitions.max(0).unsigned_abs(),
        replicas: Some(1),
        retention_ms: Some(image.log_config(topic).retention_ms.unwrap_or(-1)),
    })
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
