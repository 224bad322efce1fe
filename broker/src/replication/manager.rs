//! Every partition of this broker.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::RwLock;

use crate::env::clock::Clock;
use crate::env::storage::Storage;
use crate::error::{Error, Result};
use crate::ids::{BrokerId, TopicId, TopicPartition};
use crate::log::config::LogConfig;
use crate::log::manager::{LogManager, LogManagerConfig};
use crate::log::offline::OfflineLog;
use crate::replication::partition::Partition;

/// Every partition of this broker. Threads: any.
#[derive(Debug)]
pub struct ReplicaManager {
    broker_id: BrokerId,
    log_manager: Arc<LogManager>,
    partitions: RwLock<HashMap<TopicPartition, Arc<Partition>>>,
}

impl ReplicaManager {
    /// Opens every log of the data directory. Give the partitions their settings by [`Partition::set_config`], then
    /// call [`ReplicaManager::start_housekeeping`].
    ///
    /// # Errors
    /// As [`LogManager::open`].
    pub fn open(
        broker_id: BrokerId,
        config: LogManagerConfig,
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>> {
        let log_manager = LogManager::open(config, storage, clock)?;
        let partitions = log_manager
            .logs()
            .into_iter()
            .map(|(log, topic_id)| (log.topic_partition().clone(), Partition::new(topic_id, broker_id, log)))
            .collect();
        Ok(Arc::new(ReplicaManager { broker_id, log_manager, partitions: RwLock::new(partitions) }))
    }

    /// Starts retention, compaction and checkpoints.
    ///
    /// # Errors
    /// As [`LogManager::start_housekeeping`].
    pub fn start_housekeeping(&self) -> Result<()> {
        self.log_manager.start_housekeeping()
    }

    /// Makes a partition.
    ///
    /// # Errors
    /// As [`LogManager::create`].
    pub fn create_partition(
        &self,
        tp: &TopicPartition,
        topic_id: TopicId,
        config: impl Into<Arc<LogConfig>>,
    ) -> Result<Arc<Partition>> {
        let log = self.log_manager.create(tp, topic_id, config)?;
        let partition = Partition::new(topic_id, self.broker_id, log);
        self.partitions.write().insert(tp.clone(), Arc::clone(&partition));
        Ok(partition)
    }

    pub fn partition(&self, tp: &TopicPartition) -> Option<Arc<Partition>> {
        self.partitions.read().get(tp).map(Arc::clone)
    }

    /// As [`ReplicaManager::partition`], with an error to answer with.
    ///
    /// # Errors
    /// [`Error::UnknownPartition`]; what is wrong with its log, if it is offline.
    pub fn require(&self, tp: &TopicPartition) -> Result<Arc<Partition>> {
        self.partition(tp).ok_or_else(|| match self.find_offline(tp) {
            Some(damaged) => damaged.error,
            None => Error::UnknownPartition(tp.clone()),
        })
    }

    /// The damaged log of a partition, if it is damaged.
    pub fn find_offline(&self, tp: &TopicPartition) -> Option<OfflineLog> {
        self.log_manager.find_offline(tp)
    }

    /// The partitions that are not served because their logs are damaged, by name.
    pub fn offline(&self) -> Vec<OfflineLog> {
        let mut all = self.log_manager.offline();
        all.sort_by(|a, b| a.partition.cmp(&b.partition));
        all
    }

    /// Checks that an open partition belongs to the topic with this id. A lost id is written again; with that of
    /// another topic the partition goes offline. `None` then.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn claim(&self, partition: &Arc<Partition>, topic_id: TopicId) -> Result<Option<Arc<Partition>>> {
        let tp = partition.topic_partition();
        match partition.topic_id() {
            actual if actual == topic_id => Ok(Some(Arc::clone(partition))),
            TopicId::NONE => {
                tracing::warn!(topic = %tp.topic, partition = tp.partition, %topic_id, "lost topic id written again");
                self.log_manager.adopt(tp, topic_id)?;
                let claimed = Partition::new(topic_id, self.broker_id, Arc::clone(partition.log()));
                self.partitions.write().insert(tp.clone(), Arc::clone(&claimed));
                Ok(Some(claimed))
            }
            actual => {
                let reason = format!("topic id is {actual}, the metadata says {topic_id}");
                let path = self.log_manager.metadata_path(tp);
                self.partitions.write().remove(tp);
                self.log_manager.take_offline(tp, Error::CorruptFile { path, reason });
                Ok(None)
            }
        }
    }

    /// Every partition, in no particular order.
    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().values().map(Arc::clone).collect()
    }

    /// Deletes a partition and its records, whether it is served or offline.
    ///
    /// # Errors
    /// As [`LogManager::delete`].
    pub fn delete_partition(&self, tp: &TopicPartition) -> Result<()> {
        self.partitions.write().remove(tp);
        self.log_manager.delete(tp)
    }

    /// As [`ReplicaManager::delete_partition`] for many; those that are not there are passed over.
    ///
    /// # Errors
    /// As [`LogManager::delete_all`].
    pub fn delete_partitions(&self, tps: &[TopicPartition]) -> Result<()> {
        {
            let mut partitions = self.partitions.write();
            for tp in tps {
                partitions.remove(tp);
            }
        }
        self.log_manager.delete_all(tps)
    }

    pub fn log_manager(&self) -> &Arc<LogManager> {
        &self.log_manager
    }

    /// Flushes and closes everything.
    ///
    /// # Errors
    /// As [`LogManager::shutdown`].
    pub fn shutdown(&self) -> Result<()> {
        self.log_manager.shutdown()
    }
}
