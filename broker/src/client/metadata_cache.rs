//! Brokers of a cluster and leaders of partitions, as last seen.
//!
//! Pure: answers and the time are arguments.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::ids::LeaderEpoch;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::metadata::{
    MetadataResponse, MetadataResponsePartition, MetadataResponseTopic,
};

/// Limits of a [`MetadataCache`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataCacheConfig {
    /// Metadata is asked for again when it is older (`metadata.max.age.ms`).
    pub max_age: Duration,
    /// Topics that are kept; the ones that were used least recently are forgotten.
    pub topics_max: usize,
}

impl Default for MetadataCacheConfig {
    fn default() -> Self {
        Self { max_age: Duration::from_secs(300), topics_max: 10_000 }
    }
}

/// A topic as requests name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicKey {
    /// Empty if only the id is known.
    pub name: String,
    /// Nil if only the name is known. A topic that has another id is another topic.
    pub id: Uuid,
}

/// The leader of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionLeader {
    pub broker_id: i32,
    pub epoch: LeaderEpoch,
}

#[derive(Debug, Clone)]
struct CachedTopic {
    id: Uuid,
    /// None: the partition has no leader at present.
    leaders: BTreeMap<i32, Option<PartitionLeader>>,
    /// None: known to be stale.
    fetched_at: Option<Duration>,
    last_used: u64,
}

/// Brokers by their ids, and topics with their leaders. Bounded in topics.
#[derive(Debug)]
pub struct MetadataCache {
    config: MetadataCacheConfig,
    /// Addresses as `host:port`.
    brokers: BTreeMap<i32, String>,
    controller_id: Option<i32>,
    /// None: nothing is known, or it is known to be stale.
    brokers_fetched_at: Option<Duration>,
    topics: HashMap<Arc<str>, CachedTopic>,
    names: HashMap<Uuid, Arc<str>>,
    uses: u64,
}

impl MetadataCache {
    #[must_use]
    pub fn new(config: MetadataCacheConfig) -> Self {
        Self {
            config,
            brokers: BTreeMap::new(),
            controller_id: None,
            brokers_fetched_at: None,
            topics: HashMap::new(),
            names: HashMap::new(),
            uses: 0,
        }
    }

    /// Brokers and their addresses.
    #[must_use]
    pub fn brokers(&self) -> &BTreeMap<i32, String> {
        &self.brokers
    }

    #[must_use]
    pub fn controller_id(&self) -> Option<i32> {
        self.controller_id
    }

    /// Whether the brokers have to be asked for.
    #[must_use]
    pub fn needs_brokers(&self, now: Duration) -> bool {
        self.is_old(self.brokers_fetched_at, now)
    }

    /// Those of the topics that have to be asked for.
    pub fn missing(&self, topics: impl IntoIterator<Item = TopicKey>, now: Duration) -> Vec<TopicKey> {
        let is_missing = |topic: &TopicKey| {
            let cached = self.name_of(topic).and_then(|name| self.topics.get(&name));
            cached.is_none_or(|cached| {
                self.is_old(cached.fetched_at, now) || cached.leaders.values().any(Option::is_none)
            })
        };
        let mut missing: Vec<TopicKey> = topics.into_iter().filter(is_missing).collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    fn is_old(&self, fetched_at: Option<Duration>, now: Duration) -> bool {
        fetched_at.is_none_or(|at| now.saturating_sub(at) >= self.config.max_age)
    }

    fn name_of(&self, topic: &TopicKey) -> Option<Arc<str>> {
        if topic.id.is_nil() { Some(topic.name.as_str().into()) } else { self.names.get(&topic.id).cloned() }
    }

    /// The leader of a partition; none if it is not known or there is none.
    pub fn leader(&mut self, topic: &TopicKey, partition: i32) -> Option<PartitionLeader> {
        self.uses += 1;
        let name = self.name_of(topic)?;
        let cached = self.topics.get_mut(&name)?;
        cached.last_used = self.uses;
        cached.leaders.get(&partition).copied().flatten()
    }

    /// A broker does not lead what it should: the topic is asked for before it is used again.
    pub fn invalidate(&mut self, topic: &TopicKey) {
        if let Some(name) = self.name_of(topic)
            && let Some(cached) = self.topics.get_mut(&name)
        {
            cached.fetched_at = None;
        }
    }

    /// A broker cannot be reached, or is not the controller: everything is asked for before it is used again.
    pub fn invalidate_all(&mut self) {
        self.brokers_fetched_at = None;
        for topic in self.topics.values_mut() {
            topic.fetched_at = None;
        }
    }

    /// Takes an answer. Leaders of an older epoch than the known one are ignored.
    pub fn update(&mut self, answer: MetadataResponse, now: Duration) {
        self.brokers =
            answer.brokers.into_iter().map(|b| (b.node_id, format!("{}:{}", b.host, b.port))).collect();
        self.controller_id = Some(answer.controller_id).filter(|id| self.brokers.contains_key(id));
        self.brokers_fetched_at = Some(now);
        for topic in answer.topics {
            self.update_topic(topic, now);
        }
        self.forget_some();
    }

    fn update_topic(&mut self, topic: MetadataResponseTopic, now: Duration) {
        let name: Arc<str> = topic.name.unwrap_or_default().into();
        if topic.error_code != ErrorCode::None || name.is_empty() {
            let name = if name.is_empty() { self.names.get(&topic.topic_id).cloned() } else { Some(name) };
            if let Some(name) = name {
                self.forget(&name);
            }
            return;
        }
        let former = self.topics.remove(&name);
        if let Some(former) = &former {
            self.names.remove(&former.id);
        }
        // A topic of another id has nothing in common with its predecessor.
        let former = former.filter(|former| former.id == topic.topic_id);
        let known = |index: i32| former.as_ref().and_then(|f| f.leaders.get(&index).copied().flatten());
        let leader = |partition: MetadataResponsePartition| {
            let index = partition.partition_index;
            let said = PartitionLeader { broker_id: partition.leader_id, epoch: partition.leader_epoch };
            let said = Some(said).filter(|leader| leader.broker_id >= 0);
            match known(index) {
                Some(known) if known.epoch > partition.leader_epoch => (index, Some(known)),
                Some(_) | None => (index, said),
            }
        };
        let leaders = topic.partitions.into_iter().map(leader).collect();
        if !topic.topic_id.is_nil() {
            self.names.insert(topic.topic_id, name.clone());
        }
        self.uses += 1;
        let cached = CachedTopic { id: topic.topic_id, leaders, fetched_at: Some(now), last_used: self.uses };
        self.topics.insert(name, cached);
    }

    fn forget(&mut self, name: &str) {
        if let Some(topic) = self.topics.remove(name) {
            self.names.remove(&topic.id);
        }
    }

    /// Keeps the bound.
    fn forget_some(&mut self) {
        let surplus = self.topics.len().saturating_sub(self.config.topics_max);
        if surplus == 0 {
            return;
        }
        let mut by_use: Vec<(u64, Arc<str>)> =
            self.topics.iter().map(|(name, topic)| (topic.last_used, name.clone())).collect();
        by_use.sort_unstable();
        for (_, name) in by_use.into_iter().take(surplus) {
            self.forget(&name);
        }
    }
}

#[cfg(test)]
mod tests;
