//! Identifiers used throughout the broker.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

/// Position of a record in a partition, counted from 0. Negative values are protocol sentinels.
pub type Offset = i64;

/// Term of a partition's leader; rises by one with every election. `-1` means unknown.
pub type LeaderEpoch = i32;

/// The leader epoch of a request or batch which does not carry one.
pub const NO_LEADER_EPOCH: LeaderEpoch = -1;
/// The epoch of a leader that has never changed: the only one until partitions have several replicas.
pub const FIRST_LEADER_EPOCH: LeaderEpoch = 0;

/// The base sequence of a batch whose producer is not idempotent.
pub const NO_SEQUENCE: i32 = -1;

/// The longest topic name accepted, in bytes: names become file names.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Number of a broker in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BrokerId(pub i32);

impl fmt::Display for BrokerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Unique id of a topic; differs between two topics which had the same name one after the other.
///
/// Source: KIP-516.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(pub Uuid);

impl TopicId {
    /// The id that stands for "no topic id" in requests.
    pub const NONE: TopicId = TopicId(Uuid::nil());

    /// Whether this is [`TopicId::NONE`].
    pub fn is_none(self) -> bool {
        self.0.is_nil()
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Id of an idempotent or transactional producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProducerId(pub i64);

impl ProducerId {
    /// The producer id of a batch which is not idempotent.
    pub const NONE: ProducerId = ProducerId(-1);

    /// Whether this is [`ProducerId::NONE`] (any negative id counts).
    pub fn is_none(self) -> bool {
        self.0 < 0
    }
}

impl fmt::Display for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Incarnation of a producer id: a higher epoch fences the lower ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProducerEpoch(pub i16);

impl ProducerEpoch {
    /// The epoch of a batch which is not idempotent.
    pub const NONE: ProducerEpoch = ProducerEpoch(-1);

    /// Whether this is [`ProducerEpoch::NONE`] (any negative epoch counts).
    pub fn is_none(self) -> bool {
        self.0 < 0
    }
}

impl fmt::Display for ProducerEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A partition of a topic. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: i32,
}

impl TopicPartition {
    /// Names partition `partition` of `topic`. The name is not checked; see [`validate_topic_name`].
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        TopicPartition { topic: topic.into(), partition }
    }

    /// Reads back what `Display` writes: `topic-partition`. `None` if `name` has another shape.
    pub fn parse(name: &str) -> Option<Self> {
        let (topic, partition) = name.rsplit_once('-')?;
        if partition.is_empty() || !partition.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        validate_topic_name(topic).ok()?;
        Some(TopicPartition::new(topic, partition.parse().ok()?))
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A topic name that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid topic name \"{name}\": {rule}")]
pub struct InvalidTopicName {
    pub name: String,
    pub rule: &'static str,
}

/// Checks that `name` may name a topic: 1 to 249 of `[a-zA-Z0-9._-]`, neither `.` nor `..`.
///
/// # Errors
/// [`InvalidTopicName`] with the rule broken.
pub fn validate_topic_name(name: &str) -> Result<(), InvalidTopicName> {
    let rule = if name.is_empty() {
        "it is empty"
    } else if name.len() > TOPIC_NAME_BYTES_MAX {
        "it is longer than 249 characters"
    } else if name == "." || name == ".." {
        "\".\" and \"..\" are reserved"
    } else if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        "only ASCII letters, digits, \".\", \"_\" and \"-\" are allowed"
    } else {
        return Ok(());
    };
    Err(InvalidTopicName { name: name.to_owned(), rule })
}

/// The identity of a producer: an id with the epoch that fences older producers of that id. Source: KIP-98.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProducerIdentity {
    pub producer_id: i64,
    pub producer_epoch: i16,
}

#[cfg(test)]
mod tests {
    use super::{TopicPartition, validate_topic_name};

    #[test]
    fn topic_partition_parses_what_it_displays() {
        for topic in ["a", "a-1", "a.b_c-", "__consumer_offsets"] {
            let tp = TopicPartition::new(topic, 17);
            assert_eq!(TopicPartition::parse(&tp.to_string()), Some(tp));
        }
        for name in ["", "a", "a-", "-1", "a--1x", "a-99999999999", "a/b-1"] {
            assert_eq!(TopicPartition::parse(name), None, "{name}");
        }
    }

    #[test]
    fn topic_names() {
        for good in ["a", "A.b_c-9", &"x".repeat(249)] {
            assert!(validate_topic_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "ä", &"x".repeat(250)] {
            assert!(validate_topic_name(bad).is_err(), "{bad}");
        }
    }
}
