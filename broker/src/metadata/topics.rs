//! Making, changing and removing topics: metadata first, directories after.
//!
//! What the metadata says is brought about on disk before the request is answered, or at the next start.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::broker_config::Scope;
use super::image::{MetadataImage, Topic};
use super::record::MetadataRecord;
use super::store::MetadataStore;
use super::topic_config::TopicConfig;
use crate::env::rng::Rng;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::ids::{TopicId, TopicPartition, validate_topic_name};
use crate::replication::manager::ReplicaManager;

/// A topic can be asked to have at most this many partitions.
pub const PARTITIONS_PER_TOPIC_MAX: i32 = 10_000;

/// A topic to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    pub name: String,
    pub partitions: i32,
    pub configs: BTreeMap<String, String>,
}

/// Topics in metadata and on disk.
#[derive(Debug, Clone)]
pub struct TopicService {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    metadata: Arc<MetadataStore>,
    replicas: Arc<ReplicaManager>,
    rng: Arc<dyn Rng>,
    default_partitions: i32,
}

impl TopicService {
    #[must_use]
    pub fn new(
        metadata: Arc<MetadataStore>,
        replicas: Arc<ReplicaManager>,
        rng: Arc<dyn Rng>,
        default_partitions: i32,
    ) -> Self {
        Self { inner: Arc::new(Inner { metadata, replicas, rng, default_partitions }) }
    }

    /// At start: opens the partitions of all topics, makes those a crash has left out, and finishes deletions.
    ///
    /// Threads: blocks on the disk.
    pub fn recover(&self) -> Result<()> {
        self.inner.finish_deletions()?;
        let image = self.inner.metadata.image();
        for topic in image.topics() {
            self.inner.open_partitions(topic)?;
        }
        Ok(())
    }

    /// Would these topics be made?
    #[must_use]
    pub fn validate(&self, specs: &[TopicSpec]) -> Vec<Result<()>> {
        let image = self.inner.metadata.image();
        specs.iter().map(|spec| validate(&image, spec)).collect()
    }

    /// Makes topics; each succeeds or fails on its own, all are durable together.
    pub async fn create(&self, specs: Vec<TopicSpec>) -> Vec<Result<Arc<Topic>>> {
        let count = specs.len();
        let inner = self.inner.clone();
        let created = blocking(move || Ok(inner.create(&specs))).await;
        created.unwrap_or_else(|error| vec![Err(error); count])
    }

    /// Makes a topic with the broker's defaults.
    pub async fn create_default(&self, name: &str) -> Result<()> {
        let partitions = self.inner.default_partitions;
        let spec = TopicSpec { name: name.to_owned(), partitions, configs: BTreeMap::new() };
        match self.create(vec![spec]).await.pop() {
            Some(Err(Error::TopicExists { .. })) | None => Ok(()),
            Some(outcome) => outcome.map(|_| ()),
        }
    }

    /// Makes a topic of the broker itself unless it exists. Threads: blocks on the disk.
    pub fn ensure_internal(&self, spec: &TopicSpec) -> Result<Arc<Topic>> {
        if let Some(topic) = self.inner.metadata.image().topic(&spec.name) {
            return Ok(topic.clone());
        }
        let made = self.inner.create(std::slice::from_ref(spec));
        made.into_iter().next().expect("one outcome for one specification")
    }

    /// Removes a topic. It is gone for clients at once; its directories follow.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let inner = self.inner.clone();
        let name = name.to_owned();
        blocking(move || {
            inner.metadata.update(|image| {
                let topic = image.topic(&name).ok_or_else(|| unknown(&name))?;
                Ok((vec![MetadataRecord::TopicDeleting { name: name.clone(), id: topic.id.0 }], ()))
            })?;
            failpoint!("topics.delete.after_metadata")?;
            inner.finish_deletions()
        })
        .await
    }

    /// Would the topic get more partitions?
    pub fn validate_partitions(&self, name: &str, count: i32) -> Result<()> {
        more_partitions(&self.inner.metadata.image(), name, count).map(|_| ())
    }

    /// Raises the number of partitions to `count`.
    pub async fn add_partitions(&self, name: &str, count: i32) -> Result<()> {
        let inner = self.inner.clone();
        let name = name.to_owned();
        blocking(move || {
            inner.metadata.update(|image| Ok((vec![more_partitions(image, &name, count)?], ())))?;
            match inner.metadata.image().topic(&name) {
                Some(topic) => inner.open_partitions(topic),
                None => Ok(()),
            }
        })
        .await
    }

    /// Replaces the settings of a topic by what `edit` makes of the present ones.
    pub async fn alter_configs(
        &self,
        name: &str,
        edit: impl Fn(&TopicConfig) -> Result<BTreeMap<String, String>> + Send + 'static,
    ) -> Result<()> {
        let inner = self.inner.clone();
        let name = name.to_owned();
        blocking(move || {
            inner.metadata.update(|image| {
                let topic = image.topic(&name).ok_or_else(|| unknown(&name))?;
                let configs = edit(&topic.config)?;
                Ok((vec![MetadataRecord::ConfigsChanged { name: name.clone(), configs }], ()))
            })?;
            let image = inner.metadata.image();
            if let Some(topic) = image.topic(&name) {
                inner.apply_config(&image, topic);
            }
            Ok(())
        })
        .await
    }

    /// Replaces the settings of a consumer group by what `edit` makes of the present ones.
    pub async fn alter_group_configs(
        &self,
        group: &str,
        edit: impl Fn(&BTreeMap<String, String>) -> Result<BTreeMap<String, String>> + Send + 'static,
    ) -> Result<()> {
        let inner = self.inner.clone();
        let group = group.to_owned();
        blocking(move || {
            inner.metadata.update(|image| {
                let present = image.group_settings().get(&group).cloned().unwrap_or_default();
                let configs = edit(&present)?;
                Ok((vec![MetadataRecord::GroupConfigsChanged { group: group.clone(), configs }], ()))
            })
        })
        .await
    }

    /// Replaces the broker's settings of `scope` by what `edit` makes of the present ones; logs obey them at once.
    pub async fn alter_broker_configs(
        &self,
        scope: Scope,
        edit: impl Fn(&BTreeMap<String, String>) -> Result<BTreeMap<String, String>> + Send + 'static,
    ) -> Result<()> {
        let inner = self.inner.clone();
        blocking(move || {
            inner.metadata.update(|image| {
                let configs = edit(image.broker_settings().of(scope))?;
                Ok((vec![MetadataRecord::BrokerConfigsChanged { scope, configs }], ()))
            })?;
            let image = inner.metadata.image();
            for topic in image.topics() {
                inner.apply_config(&image, topic);
            }
            Ok(())
        })
        .await
    }
}

impl Inner {
    fn create(&self, specs: &[TopicSpec]) -> Vec<Result<Arc<Topic>>> {
        let mut outcomes: Vec<Result<()>> = Vec::new();
        let written = self.metadata.update(|image| {
            let mut next = MetadataImage::clone(image);
            let mut records = Vec::new();
            for spec in specs {
                let outcome = validate(&next, spec).and_then(|()| {
                    let record = MetadataRecord::TopicCreated {
                        name: spec.name.clone(),
                        id: self.unused_id(&next),
                        partitions: spec.partitions,
                        configs: spec.configs.clone(),
                    };
                    next.apply(&record)?;
                    records.push(record);
                    Ok(())
                });
                outcomes.push(outcome);
            }
            Ok((records, ()))
        });
        let image = self.metadata.image();
        let finish = |(spec, outcome): (&TopicSpec, Result<()>)| {
            outcome?;
            written.clone()?;
            failpoint!("topics.create.after_metadata")?;
            let topic = image.topic(&spec.name).ok_or_else(|| unknown(&spec.name))?;
            self.open_partitions(topic)?;
            Ok(topic.clone())
        };
        specs.iter().zip(outcomes).map(finish).collect()
    }

    fn unused_id(&self, image: &MetadataImage) -> Uuid {
        loop {
            let id = self.rng.uuid();
            // The lowest ids are reserved by the protocol.
            if id.as_u128() > 1 && image.topic_by_id(TopicId(id)).is_none() {
                return id;
            }
        }
    }

    fn apply_config(&self, image: &MetadataImage, topic: &Topic) {
        let config = image.log_config(topic);
        for partition in topic_partitions(topic).filter_map(|name| self.replicas.partition(&name)) {
            partition.set_config(config.clone());
        }
    }

    fn open_partitions(&self, topic: &Topic) -> Result<()> {
        let config = self.metadata.image().log_config(topic);
        for partition in topic_partitions(topic) {
            match self.replicas.partition(&partition) {
                Some(open) => {
                    if let Some(claimed) = self.replicas.claim(&open, topic.id)? {
                        claimed.set_config(config.clone());
                    }
                }
                // Whoever asks for it is told; the others are served.
                None if self.replicas.find_offline(&partition).is_some() => {}
                None => {
                    self.replicas.create_partition(&partition, topic.id, config.clone())?;
                }
            }
        }
        Ok(())
    }

    fn finish_deletions(&self) -> Result<()> {
        let image = self.metadata.image();
        for (id, deleted) in image.deleting() {
            for index in 0..deleted.partitions {
                match self.replicas.delete_partition(&TopicPartition::new(deleted.name.clone(), index)) {
                    Ok(()) | Err(Error::UnknownPartition(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            failpoint!("topics.delete.after_directories")?;
            self.metadata.update(|_| Ok((vec![MetadataRecord::TopicDeleted { id }], ())))?;
        }
        Ok(())
    }
}

fn topic_partitions(topic: &Topic) -> impl Iterator<Item = TopicPartition> {
    let name = topic.name.clone();
    (0..topic.partitions).map(move |index| TopicPartition::new(name.clone(), index))
}

fn unknown(name: &str) -> Error {
    Error::UnknownTopic { name: name.to_owned() }
}

fn validate(image: &MetadataImage, spec: &TopicSpec) -> Result<()> {
    validate_topic_name(&spec.name)?;
    if image.topic(&spec.name).is_some() {
        return Err(Error::TopicExists { name: spec.name.clone() });
    }
    if let Some(other) = colliding(image, &spec.name) {
        return Err(Error::TopicNameCollides { name: spec.name.clone(), other: other.to_owned() });
    }
    // A topic of this name is still being removed from disk.
    if image.deleting().any(|(_, deleted)| *deleted.name == *spec.name) {
        return Err(Error::TopicExists { name: spec.name.clone() });
    }
    if !(1..=PARTITIONS_PER_TOPIC_MAX).contains(&spec.partitions) {
        return Err(partition_count(&spec.name, spec.partitions, "it must be between 1 and 10000"));
    }
    TopicConfig::parse(&spec.configs).map(|_| ())
}

/// A topic whose name differs in `.` and `_` only: metrics cannot tell the two apart.
fn colliding<'a>(image: &'a MetadataImage, name: &str) -> Option<&'a str> {
    let is_either = |byte: &u8| matches!(byte, b'.' | b'_');
    if !name.bytes().any(|byte| is_either(&byte)) {
        return None;
    }
    let same = |other: &str| {
        other.len() == name.len()
            && other.bytes().zip(name.bytes()).all(|(a, b)| a == b || (is_either(&a) && is_either(&b)))
    };
    image.topics().map(|topic| &*topic.name).find(|other| same(other))
}

fn more_partitions(image: &MetadataImage, name: &str, count: i32) -> Result<MetadataRecord> {
    let topic = image.topic(name).ok_or_else(|| unknown(name))?;
    if count <= topic.partitions {
        return Err(partition_count(name, count, "it must be higher than the present number"));
    }
    if count > PARTITIONS_PER_TOPIC_MAX {
        return Err(partition_count(name, count, "it must be between 1 and 10000"));
    }
    Ok(MetadataRecord::PartitionsAdded { name: name.to_owned(), partitions: count })
}

fn partition_count(topic: &str, count: i32, rule: &'static str) -> Error {
    Error::PartitionCount { topic: topic.to_owned(), count, rule }
}

/// Runs work that blocks on the disk beside the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::Interrupted { action: "change topics" }),
    }
}
