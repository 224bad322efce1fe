//! All logs of one data directory.
//!
//! | file | contents |
//! |---|---|
//! | `.lock` | held by the one process that uses the directory |
//! | `TOPIC-PARTITION/` | a log |
//! | `recovery-point-offset-checkpoint` | up to where each log is known to be on disk |
//! | `log-start-offset-checkpoint` | where each log begins, if not at its first segment |
//! | `replication-offset-checkpoint` | the high watermarks |
//! | `cleaner-offset-checkpoint` | up to where each log is compacted |
//! | `clean-shutdown` | written last, removed first: the logs need no recovery |
//! | `…-delete/` | a log on its way out |

mod checkpoints;
mod clean_shutdown;
mod deletion;
mod housekeeping;
mod open;
mod topic_id;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use parking_lot::{Condvar, Mutex, RwLock};
use tokio_util::sync::CancellationToken;

use crate::env::clock::SlewedClock;
use crate::env::storage::StorageLock;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::ids::{TopicId, TopicPartition, validate_topic_name};
use crate::log::cleaner::CleanerConfig;
use crate::log::config::{Durability, LogConfig};
use crate::log::context::LogContext;
use crate::log::flusher::FlusherConfig;
use crate::log::loader::{self, CorruptionPolicy};
use crate::log::log_deletion::LogDeletion;
use crate::log::manager::topic_id::{METADATA_FILE, fresh_files, write_topic_id};
use crate::log::offline::{KeptCheckpoints, OfflineLog, OfflineLogs};
use crate::log::partition_log::Log;

/// Settings of a [`LogManager`].
#[derive(Debug, Clone)]
pub struct LogManagerConfig {
    pub data_dir: PathBuf,
    pub durability: Durability,
    /// `None` takes the one that fits the durability.
    pub flusher: Option<FlusherConfig>,
    pub on_corruption: CorruptionPolicy,
    /// Settings of logs found at start, until [`Log::set_config`].
    pub log_defaults: LogConfig,
    pub cleaner: CleanerConfig,
    pub background: Background,
    pub open_files_max: usize,
    pub load_threads: usize,
    pub checkpoint_interval_ms: u64,
    pub retention_interval_ms: u64,
    pub producer_expiration_ms: i64,
}

/// The threads that do the periodic work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Background {
    /// Threads of the manager.
    Threads,
    /// The caller, by [`LogManager::flush`], [`LogManager::housekeep`] and [`LogManager::clean`]: tests and simulators.
    Manual,
}

impl LogManagerConfig {
    /// The defaults for logs in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        LogManagerConfig {
            data_dir: data_dir.into(),
            durability: Durability::Fsync,
            flusher: None,
            on_corruption: CorruptionPolicy::Refuse,
            log_defaults: LogConfig::default(),
            cleaner: CleanerConfig::default(),
            background: Background::Threads,
            open_files_max: 512,
            load_threads: 8,
            checkpoint_interval_ms: 60_000,
            retention_interval_ms: 300_000,
            producer_expiration_ms: 24 * 60 * 60 * 1000,
        }
    }
}

/// All logs of one data directory. Threads: any.
#[derive(Debug)]
pub struct LogManager {
    config: LogManagerConfig,
    context: Arc<LogContext>,
    logs: RwLock<HashMap<TopicPartition, LogEntry>>,
    offline: OfflineLogs,
    /// The partitions that the checkpoint files on disk may speak of.
    checkpointed: Mutex<HashSet<TopicPartition>>,
    /// Held while logs are made and deleted.
    changing: Mutex<()>,
    deletions: AtomicU64,
    doomed: LogDeletion,
    /// By which records and producers get old.
    slewed: SlewedClock,
    housekeeper: Mutex<Vec<JoinHandle<()>>>,
    stop: Arc<StopSignal>,
    /// Held until the shutdown: another manager may then open the directory, even while this one is still referred to.
    lock: Mutex<Option<Box<dyn StorageLock>>>,
}

#[derive(Debug, Clone)]
struct LogEntry {
    log: Arc<Log>,
    topic_id: TopicId,
}

/// A log that is open, as one that is offline.
fn offline_log(tp: &TopicPartition, entry: &LogEntry, error: Error) -> OfflineLog {
    let offsets = entry.log.offsets();
    OfflineLog {
        partition: tp.clone(),
        dir: entry.log.dir().to_path_buf(),
        topic_id: entry.topic_id,
        error,
        checkpoints: KeptCheckpoints {
            recovery_point: offsets.durable,
            log_start: offsets.log_start,
            high_watermark: offsets.high_watermark,
        },
    }
}

#[derive(Debug, Default)]
struct StopSignal {
    stopped: Mutex<bool>,
    wake: Condvar,
}

impl StopSignal {
    /// Waits; returns whether to stop.
    fn wait(&self, timeout: Duration) -> bool {
        let mut stopped = self.stopped.lock();
        if !*stopped {
            self.wake.wait_for(&mut stopped, timeout);
        }
        *stopped
    }
}

impl LogManager {
    /// Makes the log of `tp`. It is durable with its first flushed append.
    ///
    /// # Errors
    /// [`Error::PartitionExists`], [`Error::InvalidTopicName`], [`Error::Io`]; the damage if a damaged log is in the
    /// way.
    pub fn create(
        &self,
        tp: &TopicPartition,
        topic_id: TopicId,
        config: impl Into<Arc<LogConfig>>,
    ) -> Result<Arc<Log>> {
        validate_topic_name(&tp.topic)?;
        self.context.health.check()?;
        let _changing = self.changing.lock();
        if self.logs.read().contains_key(tp) {
            return Err(Error::PartitionExists(tp.clone()));
        }
        if let Some(damaged) = self.offline.get(tp) {
            return Err(damaged.error);
        }
        if self.checkpointed.lock().contains(tp) {
            // Checkpoints of a deleted log of this name must not apply to the new one.
            self.checkpoint()?;
        }
        let storage = self.context.storage();
        let dir: Arc<Path> = self.config.data_dir.join(tp.to_string()).into();
        storage.create_dir_all(&dir).map_err(|error| Error::io("create directory", &dir, error))?;
        failpoint!("log.create.after_dir")?;
        write_topic_id(storage, &dir.join(METADATA_FILE), topic_id)?;
        let mut loaded = loader::create(&self.context, &dir)?;
        loaded.fresh = Some(fresh_files(&self.context, &dir));
        let log = Log::new(tp.clone(), dir, Arc::clone(&self.context), config.into(), loaded);
        failpoint!("log.create.after_files")?;
        self.logs.write().insert(tp.clone(), LogEntry { log: Arc::clone(&log), topic_id });
        Ok(log)
    }

    pub fn get(&self, tp: &TopicPartition) -> Option<Arc<Log>> {
        self.logs.read().get(tp).map(|entry| Arc::clone(&entry.log))
    }

    /// Every log with the id of its topic, in no particular order.
    pub fn logs(&self) -> Vec<(Arc<Log>, TopicId)> {
        self.logs.read().values().map(|entry| (Arc::clone(&entry.log), entry.topic_id)).collect()
    }

    /// The damaged logs, in no particular order.
    pub fn offline(&self) -> Vec<OfflineLog> {
        self.offline.all()
    }

    /// The damaged log of `tp`, if it is damaged.
    pub fn find_offline(&self, tp: &TopicPartition) -> Option<OfflineLog> {
        self.offline.get(tp)
    }

    /// Takes a log that is open offline.
    pub fn take_offline(&self, tp: &TopicPartition, error: Error) {
        let _changing = self.changing.lock();
        let Some(entry) = self.logs.write().remove(tp) else { return };
        let damaged = offline_log(tp, &entry, error);
        entry.log.abandon();
        self.offline.insert(damaged);
    }

    /// Gives a log whose `partition.metadata` is lost its topic id again.
    ///
    /// # Errors
    /// [`Error::UnknownPartition`], [`Error::Io`].
    pub fn adopt(&self, tp: &TopicPartition, topic_id: TopicId) -> Result<()> {
        let mut logs = self.logs.write();
        let entry = logs.get_mut(tp).ok_or_else(|| Error::UnknownPartition(tp.clone()))?;
        let path = entry.log.dir().join(METADATA_FILE);
        let file = write_topic_id(self.context.storage(), &path, topic_id)?;
        file.sync_data().map_err(|error| Error::io("sync", &path, error))?;
        entry.topic_id = topic_id;
        Ok(())
    }

    /// The file that holds the topic id of a partition.
    pub fn metadata_path(&self, tp: &TopicPartition) -> PathBuf {
        self.config.data_dir.join(tp.to_string()).join(METADATA_FILE)
    }

    /// # Errors
    /// [`Error::StorageFailed`] once a write or fsync has failed.
    pub fn check_health(&self) -> Result<()> {
        self.context.health.check()
    }

    /// Cancelled once a write or fsync has failed.
    pub fn failed(&self) -> CancellationToken {
        self.context.health.failed()
    }

    /// Runs one round of group commit, if there is no thread for it.
    pub fn flush(&self) {
        self.context.flusher.run_round();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.config.data_dir.join(name)
    }
}
