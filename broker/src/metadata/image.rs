//! The metadata at one moment, immutable and shared.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use super::broker_config::{BrokerSettings, Scope};
use super::client_metrics_config::ClientMetricsSubscription;
use super::group_config;
use super::record::MetadataRecord;
use super::security::SecurityImage;
use super::topic_config::TopicConfig;
use crate::error::Result;
use crate::ids::TopicId;
use crate::log::config::LogConfig;

/// A topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Topic {
    pub name: Arc<str>,
    pub id: TopicId,
    /// Number of partitions; they are counted from 0.
    pub partitions: i32,
    pub config: TopicConfig,
}

impl Topic {
    /// Topics of the broker itself, which clients may read but not write.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        is_internal(&self.name)
    }
}

/// The topic that stores consumer groups.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// The topic that stores transactions.
pub const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// Does the name belong to the broker itself?
#[must_use]
pub fn is_internal(name: &str) -> bool {
    name == OFFSETS_TOPIC || name == TRANSACTIONS_TOPIC
}

/// A topic being removed from disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedTopic {
    pub name: Arc<str>,
    pub partitions: i32,
}

/// All metadata.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetadataImage {
    pub cluster_id: Uuid,
    topics: BTreeMap<Arc<str>, Arc<Topic>>,
    names: HashMap<TopicId, Arc<str>>,
    deleting: BTreeMap<Uuid, DeletedTopic>,
    producer_id_next: i64,
    security: Arc<SecurityImage>,
    broker_settings: BrokerSettings,
    group_settings: BTreeMap<String, BTreeMap<String, String>>,
    client_metrics: BTreeMap<String, Arc<ClientMetricsSubscription>>,
}

impl MetadataImage {
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.topics.get(self.names.get(&id)?)
    }

    /// All topics by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.values()
    }

    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// Settings of the broker made while it runs.
    #[must_use]
    pub fn broker_settings(&self) -> &BrokerSettings {
        &self.broker_settings
    }

    /// Takes the defaults of the broker's configuration, which are no part of the log.
    ///
    /// Errors: `InvalidConfig`.
    pub fn configure(&mut self, topic_defaults: &BTreeMap<String, String>) -> Result<()> {
        self.broker_settings.configure(topic_defaults)
    }

    /// What was set for consumer groups, by group.
    #[must_use]
    pub fn group_settings(&self) -> &BTreeMap<String, BTreeMap<String, String>> {
        &self.group_settings
    }

    /// Subscriptions to client metrics, by name.
    #[must_use]
    pub fn client_metrics(&self) -> &BTreeMap<String, Arc<ClientMetricsSubscription>> {
        &self.client_metrics
    }

    /// The settings the logs of a topic obey: its own, else the broker's, else the built-in ones.
    #[must_use]
    pub fn log_config(&self, topic: &Topic) -> LogConfig {
        let mut merged = self.broker_settings.topic_defaults();
        if merged.is_empty() {
            return topic.config.log().clone();
        }
        merged.extend(topic.config.overrides().clone());
        // Every value was checked when it was set.
        LogConfig::from_properties(&merged).unwrap_or_else(|_| topic.config.log().clone())
    }

    /// Topics whose directories are still to be removed.
    pub fn deleting(&self) -> impl Iterator<Item = (Uuid, &DeletedTopic)> {
        self.deleting.iter().map(|(id, topic)| (*id, topic))
    }

    /// The lowest producer id that has never been given out.
    #[must_use]
    pub fn producer_id_next(&self) -> i64 {
        self.producer_id_next
    }

    /// Users, rules and quotas.
    #[must_use]
    pub fn security(&self) -> &Arc<SecurityImage> {
        &self.security
    }

    /// Applies one change. Changes of unknown topics are of no effect.
    pub fn apply(&mut self, record: &MetadataRecord) -> Result<()> {
        match record {
            MetadataRecord::Cluster { cluster_id, .. } => self.cluster_id = *cluster_id,
            MetadataRecord::TopicCreated { name, id, partitions, configs } => {
                let name: Arc<str> = name.as_str().into();
                let config = TopicConfig::parse(configs)?;
                let id = TopicId(*id);
                let topic = Topic { name: name.clone(), id, partitions: *partitions, config };
                self.names.insert(id, name.clone());
                self.topics.insert(name, Arc::new(topic));
            }
            MetadataRecord::PartitionsAdded { name, partitions } => {
                if let Some(topic) = self.topics.get_mut(name.as_str()) {
                    Arc::make_mut(topic).partitions = *partitions;
                }
            }
            MetadataRecord::ConfigsChanged { name, configs } => {
                let config = TopicConfig::parse(configs)?;
                if let Some(topic) = self.topics.get_mut(name.as_str()) {
                    Arc::make_mut(topic).config = config;
                }
            }
            MetadataRecord::TopicDeleting { name, id } => {
                self.names.remove(&TopicId(*id));
                if let Some(topic) = self.topics.remove(name.as_str()) {
                    let deleted = DeletedTopic { name: topic.name.clone(), partitions: topic.partitions };
                    self.deleting.insert(*id, deleted);
                }
            }
            MetadataRecord::TopicDeleted { id } => {
                self.deleting.remove(id);
            }
            MetadataRecord::BrokerConfigsChanged { scope, configs } => {
                self.broker_settings.replace(*scope, configs)?;
            }
            MetadataRecord::GroupConfigsChanged { group, configs } => {
                group_config::check(configs)?;
                if configs.is_empty() {
                    self.group_settings.remove(group);
                } else {
                    self.group_settings.insert(group.clone(), configs.clone());
                }
            }
            MetadataRecord::ClientMetricsChanged { name, configs } => {
                let subscription = ClientMetricsSubscription::parse(configs)?;
                if configs.is_empty() {
                    self.client_metrics.remove(name);
                } else {
                    self.client_metrics.insert(name.clone(), Arc::new(subscription));
                }
            }
            MetadataRecord::ProducerIds { next } => self.producer_id_next = self.producer_id_next.max(*next),
            MetadataRecord::CredentialSet { user, credential } => {
                self.security_mut().set_credential(user, credential);
            }
            MetadataRecord::CredentialRemoved { user, mechanism } => {
                self.security_mut().remove_credential(user, *mechanism);
            }
            MetadataRecord::AclAdded { acl } => self.security_mut().acls.insert(acl.clone()),
            MetadataRecord::AclRemoved { acl } => self.security_mut().acls.remove(acl),
            MetadataRecord::QuotaSet { entity, key, value } => {
                self.security_mut().quotas.set(entity, *key, *value);
            }
        }
        Ok(())
    }

    fn security_mut(&mut self) -> &mut SecurityImage {
        Arc::make_mut(&mut self.security)
    }

    /// The shortest list of changes that gives this image.
    #[must_use]
    pub fn records(&self) -> Vec<MetadataRecord> {
        let mut records = vec![MetadataRecord::Cluster { cluster_id: self.cluster_id, changes_before: 0 }];
        for (id, topic) in &self.deleting {
            let name = topic.name.to_string();
            records.push(MetadataRecord::TopicCreated {
                name: name.clone(),
                id: *id,
                partitions: topic.partitions,
                configs: BTreeMap::new(),
            });
            records.push(MetadataRecord::TopicDeleting { name, id: *id });
        }
        records.extend(self.topics.values().map(|topic| MetadataRecord::TopicCreated {
            name: topic.name.to_string(),
            id: topic.id.0,
            partitions: topic.partitions,
            configs: topic.config.overrides().clone(),
        }));
        for scope in [Scope::Cluster, Scope::Broker] {
            let configs = self.broker_settings.of(scope).clone();
            if !configs.is_empty() {
                records.push(MetadataRecord::BrokerConfigsChanged { scope, configs });
            }
        }
        records.extend(self.group_settings.iter().map(|(group, configs)| {
            MetadataRecord::GroupConfigsChanged { group: group.clone(), configs: configs.clone() }
        }));
        records.extend(self.client_metrics.iter().map(|(name, subscription)| {
            let configs = subscription.configs().clone();
            MetadataRecord::ClientMetricsChanged { name: name.clone(), configs }
        }));
        records.push(MetadataRecord::ProducerIds { next: self.producer_id_next });
        records.extend(self.security.records());
        records
    }
}
