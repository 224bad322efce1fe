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
        config: LogConfig,
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
    /// [`Error::UnknownPartition`].
    pub fn require(&self, tp: &TopicPartition) -> Result<Arc<Partition>> {
        self.partition(tp).ok_or_else(|| Error::UnknownPartition(tp.clone()))
    }

    /// Every partition, in no particular order.
    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().values().map(Arc::clone).collect()
    }

    /// Deletes a partition and its records.
    ///
    /// # Errors
    /// As [`LogManager::delete`].
    pub fn delete_partition(&self, tp: &TopicPartition) -> Result<()> {
        self.partitions.write().remove(tp);
        self.log_manager.delete(tp)
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
