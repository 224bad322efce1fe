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

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use parking_lot::{Condvar, Mutex, RwLock};
use tokio_util::sync::CancellationToken;

use crate::env::clock::{Clock, SlewedClock};
use crate::env::spawn;
use crate::env::storage::{OpenMode, Storage, StorageFile, StorageLock, is_full};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::ids::{TopicId, TopicPartition, validate_topic_name};
use crate::log::checkpoint::{
    self, CLEAN_SHUTDOWN_FILE, CLEANER_FILE, Checkpoint, HIGH_WATERMARK_FILE, LOG_START_FILE,
    RECOVERY_POINT_FILE,
};
use crate::log::cleaner::{self, CleanerConfig};
use crate::log::config::{Durability, LogConfig};
use crate::log::context::{CleanState, FreshFiles, LoadedLog, LogContext};
use crate::log::failure::DirHealth;
use crate::log::files::{FileCache, remove_if_present};
use crate::log::flusher::{Flusher, FlusherConfig};
use crate::log::loader::{self, CorruptionPolicy, LoadRequest};
use crate::log::log_deletion::{self, LogDeletion};
use crate::log::offline::{KeptCheckpoints, OfflineLog, OfflineLogs, is_damage};
use crate::log::partition_log::Log;
use crate::log::retention;

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

/// The state of the directory of a deleted log.
#[derive(Debug)]
enum Doom {
    /// It has this name until its files are removed.
    Renamed(PathBuf),
    Removed,
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

const METADATA_FILE: &str = "partition.metadata";
const DELETE_SUFFIX: &str = "-delete";

impl LogManager {
    /// Locks the data directory and opens every log in it.
    ///
    /// Retention and compaction start with [`LogManager::start_housekeeping`], when the logs have their settings.
    ///
    /// A damaged log does not keep the others from being opened: see [`LogManager::offline`].
    ///
    /// # Errors
    /// [`Error::DirLocked`], [`Error::Io`].
    pub fn open(
        config: LogManagerConfig,
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<LogManager>> {
        let dir = config.data_dir.clone();
        storage.create_dir_all(&dir).map_err(|error| Error::io("create directory", &dir, error))?;
        let lock_path = dir.join(".lock");
        let lock = storage.lock(&lock_path).map_err(|error| Error::io("lock", &lock_path, error))?;
        let lock = lock.ok_or_else(|| Error::DirLocked { dir: dir.clone() })?;
        let flusher_config = config.flusher.unwrap_or(match config.durability {
            Durability::Fsync => FlusherConfig::FSYNC,
            Durability::Relaxed => FlusherConfig::RELAXED,
        });
        let flusher = match config.background {
            Background::Threads => Flusher::start(flusher_config, Arc::clone(&clock))?,
            Background::Manual => Flusher::manual(flusher_config, Arc::clone(&clock)),
        };
        let slewed = SlewedClock::new(Arc::clone(&clock));
        let context = Arc::new(LogContext {
            data_dir: dir.as_path().into(),
            clock,
            files: FileCache::new(storage, config.open_files_max),
            flusher,
            health: DirHealth::new(&dir),
            durability: config.durability,
        });
        let Opened { logs, offline, checkpointed, doomed } = open_logs(&config, &context)?;
        let manager = Arc::new(LogManager {
            config,
            context,
            logs: RwLock::new(logs),
            offline,
            checkpointed: Mutex::new(checkpointed),
            changing: Mutex::new(()),
            deletions: AtomicU64::new(0),
            doomed: LogDeletion::default(),
            slewed,
            housekeeper: Mutex::default(),
            stop: Arc::default(),
            lock: Mutex::new(Some(lock)),
        });
        manager.remove(doomed)?;
        Ok(manager)
    }

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
            // What was noted of a deleted log of this name must not be believed of the new one.
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

    /// Deletes a log, damaged or not: it is gone at once, its files shortly after.
    ///
    /// # Errors
    /// [`Error::UnknownPartition`], [`Error::Io`].
    pub fn delete(&self, tp: &TopicPartition) -> Result<()> {
        if self.get(tp).is_none() && self.offline.get(tp).is_none() {
            return Err(Error::UnknownPartition(tp.clone()));
        }
        self.delete_all(std::slice::from_ref(tp))
    }

    /// As [`LogManager::delete`] for many, which wait for the disk once. Those that are not there are passed over.
    ///
    /// # Errors
    /// [`Error::Io`]; what had been renamed by then is gone at the next start.
    pub fn delete_all(&self, tps: &[TopicPartition]) -> Result<()> {
        let doomed: Vec<PathBuf> = {
            let _changing = self.changing.lock();
            let mut gone = Vec::new();
            for tp in tps {
                gone.extend(self.doom(tp)?);
            }
            if gone.is_empty() {
                return Ok(());
            }
            let data_dir = &self.config.data_dir;
            let synced = self.context.storage().sync_dir(data_dir);
            synced.map_err(|error| Error::io("sync directory", data_dir, error))?;
            gone.into_iter()
                .filter_map(|doom| match doom {
                    Doom::Renamed(dir) => Some(dir),
                    Doom::Removed => None,
                })
                .collect()
        };
        failpoint!("log.delete.after_rename")?;
        self.remove(doomed)
    }

    /// Removes directories out of the way: a few files each, which may take a disk long.
    fn remove(&self, doomed: Vec<PathBuf>) -> Result<()> {
        for dir in doomed {
            match self.config.background {
                Background::Threads => self.doomed.push(dir),
                Background::Manual => log_deletion::remove(self.context.storage(), &dir)?,
            }
        }
        Ok(())
    }

    /// Takes a log out of use and renames its directory; `None` if there is none.
    ///
    /// A full disk may have no block for the new name. Then the files are removed under the old one: the topic is deleted already,
    /// and what a crash leaves of them is removed when the next start finishes the deletion.
    fn doom(&self, tp: &TopicPartition) -> Result<Option<Doom>> {
        let entry = self.logs.write().remove(tp);
        let damaged = self.offline.remove(tp);
        let dir = match (&entry, &damaged) {
            (Some(entry), _) => {
                entry.log.abandon();
                entry.log.dir().to_path_buf()
            }
            (None, Some(damaged)) => damaged.dir.clone(),
            (None, None) => return Ok(None),
        };
        let number = self.deletions.fetch_add(1, Ordering::Relaxed);
        let doomed =
            self.config.data_dir.join(format!("{}.{number}{DELETE_SUFFIX}", self.context.clock.now_ms()));
        let storage = self.context.storage();
        failpoint!("log.delete.before_rename")?;
        let outcome = match storage.rename(&dir, &doomed) {
            Ok(()) => Ok(Doom::Renamed(doomed)),
            Err(error) if is_full(&error) => log_deletion::remove(storage, &dir).map(|()| Doom::Removed),
            Err(error) => Err(Error::io("rename", &dir, error)),
        };
        outcome.map(Some).inspect_err(|error| {
            // So that the next attempt finds it.
            let known = damaged.or_else(|| entry.map(|entry| offline_log(tp, &entry, error.clone())));
            known.into_iter().for_each(|log| self.offline.insert(log));
        })
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

    /// Applies retention to every log and forgets silent producers.
    pub fn housekeep(&self) {
        let now_ms = self.slewed.now_ms();
        for (log, _) in self.logs() {
            log.expire_producers(now_ms, self.config.producer_expiration_ms);
            if let Err(error) = retention::apply(&log, now_ms)
                && !log.is_closed()
            {
                tracing::warn!(tp = %log.topic_partition(), %error, "cannot apply retention");
            }
        }
    }

    /// Compacts the logs that need it, the dirtiest first. Returns how many were compacted.
    ///
    /// # Errors
    /// Those of the checkpoint file; a log that cannot be compacted is reported and left alone.
    pub fn clean(&self) -> Result<usize> {
        let path = self.file(CLEANER_FILE);
        let mut cleaned_to: Checkpoint<1> = checkpoint_or_nothing(self.context.storage(), &path);
        let now_ms = self.slewed.now_ms();
        let logs: Vec<_> = self.logs().into_iter().map(|(log, _)| log).collect();
        cleaned_to.retain(|tp, _| self.get(tp).is_some());
        let mut count = 0;
        for (log, dirty) in cleaner::find_dirty(&logs, &cleaned_to, now_ms) {
            match cleaner::clean(&log, &dirty, &self.config.cleaner, now_ms) {
                Ok(clean_end) => {
                    cleaned_to.insert(log.topic_partition().clone(), [clean_end]);
                    checkpoint::write(self.context.storage(), &path, &cleaned_to)?;
                    count += 1;
                }
                Err(_) if log.is_closed() => {}
                Err(error) => tracing::warn!(tp = %log.topic_partition(), %error, "cannot compact a log"),
            }
            if *self.stop.stopped.lock() {
                break;
            }
        }
        Ok(count)
    }

    /// Writes recovery points, log starts and high watermarks down, so that the next start has less to check.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn checkpoint(&self) -> Result<()> {
        // Held while the files are replaced.
        let mut checkpointed = self.checkpointed.lock();
        let mut recovery_points = Checkpoint::new();
        let mut high_watermarks = Checkpoint::new();
        for (log, _) in self.logs() {
            let (tp, offsets) = (log.topic_partition(), log.offsets());
            recovery_points.insert(tp.clone(), [offsets.durable]);
            high_watermarks.insert(tp.clone(), [offsets.high_watermark]);
        }
        for damaged in self.offline.all() {
            let (tp, kept) = (damaged.partition, damaged.checkpoints);
            recovery_points.insert(tp.clone(), [kept.recovery_point]);
            high_watermarks.insert(tp, [kept.high_watermark]);
        }
        let storage = self.context.storage();
        checkpointed.extend(recovery_points.keys().cloned());
        self.write_log_starts(&mut checkpointed)?;
        failpoint!("checkpoint.after_log_starts")?;
        checkpoint::write(storage, &self.file(HIGH_WATERMARK_FILE), &high_watermarks)?;
        failpoint!("checkpoint.after_high_watermarks")?;
        checkpoint::write(storage, &self.file(RECOVERY_POINT_FILE), &recovery_points)?;
        *checkpointed = recovery_points.into_keys().collect();
        Ok(())
    }

    /// Writes down where logs begin, so that records deleted on request do not come back.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn checkpoint_log_starts(&self) -> Result<()> {
        self.write_log_starts(&mut self.checkpointed.lock())
    }

    fn write_log_starts(&self, checkpointed: &mut HashSet<TopicPartition>) -> Result<()> {
        let mut log_starts = Checkpoint::new();
        for (log, _) in self.logs() {
            let log_start = log.offsets().log_start;
            if log.segments().first().is_some_and(|first| first.base_offset() < log_start) {
                log_starts.insert(log.topic_partition().clone(), [log_start]);
            }
        }
        for damaged in self.offline.all() {
            log_starts.insert(damaged.partition, [damaged.checkpoints.log_start]);
        }
        checkpointed.extend(log_starts.keys().cloned());
        checkpoint::write(self.context.storage(), &self.file(LOG_START_FILE), &log_starts)
    }

    /// Starts the threads for checkpoints, retention and compaction.
    ///
    /// # Errors
    /// [`Error::Io`] if no thread can be started.
    pub fn start_housekeeping(self: &Arc<Self>) -> Result<()> {
        if self.config.background == Background::Manual {
            return Ok(());
        }
        let keep = |name: &'static str, interval_ms: u64, work: fn(&LogManager)| {
            let (manager, stop) = (Arc::downgrade(self), Arc::clone(&self.stop));
            let body = move || {
                while !stop.wait(Duration::from_millis(interval_ms)) {
                    let Some(manager) = manager.upgrade() else { return };
                    work(&manager);
                }
            };
            spawn::thread(name, body).map_err(|error| Error::io("start the thread", name.as_ref(), error))
        };
        let mut threads = self.housekeeper.lock();
        threads.extend(self.doomed.start(&self.context)?);
        threads.push(keep("log-checkpoint", self.config.checkpoint_interval_ms, |manager| {
            if let Err(error) = manager.checkpoint() {
                tracing::warn!(%error, "cannot write the checkpoints");
            }
        })?);
        threads.push(keep("log-retention", self.config.retention_interval_ms, LogManager::housekeep)?);
        threads.push(keep("log-cleaner", self.config.cleaner.interval_ms, |manager| {
            if let Err(error) = manager.clean() {
                tracing::warn!(%error, "cannot write the cleaner's checkpoint");
            }
        })?);
        Ok(())
    }

    /// Flushes and closes every log, and leaves word that no recovery is needed.
    ///
    /// # Errors
    /// The first failure; the next start recovers then.
    pub fn shutdown(&self) -> Result<()> {
        *self.stop.stopped.lock() = true;
        self.stop.wake.notify_all();
        self.doomed.end();
        for thread in std::mem::take(&mut *self.housekeeper.lock()) {
            let _ = thread.join();
        }
        let _changing = self.changing.lock();
        self.context.flusher.stop();
        let logs: Vec<_> = self.logs().into_iter().map(|(log, _)| log).collect();
        let states = in_parallel(self.config.load_threads, &logs, |log| log.close());
        self.checkpoint()?;
        let mut clean = Checkpoint::new();
        let mut failure = Ok(());
        for (log, state) in logs.iter().zip(states) {
            match state {
                Ok(CleanState { log_end, active_base, active_size, has_producers, active_txns }) => {
                    let size = i64::try_from(active_size).unwrap_or(i64::MAX);
                    let txns = i64::try_from(active_txns).unwrap_or(i64::MAX >> 1);
                    // Files of older versions have no count of transactions.
                    let numbers = [log_end, active_base, size, (txns << 1) | i64::from(has_producers)];
                    clean.insert(log.topic_partition().clone(), numbers);
                }
                Err(error) => failure = failure.and(Err(error)),
            }
        }
        failpoint!("shutdown.before_clean")?;
        checkpoint::write(self.context.storage(), &self.file(CLEAN_SHUTDOWN_FILE), &clean)?;
        failpoint!("shutdown.after_clean")?;
        drop(self.lock.lock().take());
        failure
    }

    fn file(&self, name: &str) -> PathBuf {
        self.config.data_dir.join(name)
    }
}

/// The logs found in a data directory.
struct Opened {
    /// Of logs that had been deleted.
    doomed: Vec<PathBuf>,
    logs: HashMap<TopicPartition, LogEntry>,
    offline: OfflineLogs,
    checkpointed: HashSet<TopicPartition>,
}

fn open_logs(config: &LogManagerConfig, context: &Arc<LogContext>) -> Result<Opened> {
    let storage = context.storage();
    let dir = &config.data_dir;
    let recovery_points: Checkpoint<1> = checkpoint_or_nothing(storage, &dir.join(RECOVERY_POINT_FILE));
    let log_starts: Checkpoint<1> = checkpoint_or_nothing(storage, &dir.join(LOG_START_FILE));
    let high_watermarks: Checkpoint<1> = checkpoint_or_nothing(storage, &dir.join(HIGH_WATERMARK_FILE));
    let clean_path = dir.join(CLEAN_SHUTDOWN_FILE);
    let clean: Checkpoint<4> = checkpoint_or_nothing(storage, &clean_path);
    // From here on a crash is a crash.
    remove_if_present(storage, &clean_path)?;
    storage.sync_dir(dir).map_err(|error| Error::io("sync directory", dir, error))?;
    failpoint!("start.after_clean_removed")?;

    let (mut found, mut doomed) = (Vec::new(), Vec::new());
    for entry in storage.read_dir(dir).map_err(|error| Error::io("list", dir, error))? {
        if entry.is_dir && entry.name.ends_with(DELETE_SUFFIX) {
            doomed.push(dir.join(&entry.name));
        } else if entry.is_dir {
            found.extend(TopicPartition::parse(&entry.name));
        }
    }
    let log_config = Arc::new(config.log_defaults.clone());
    let opened = in_parallel(config.load_threads, &found, |tp| {
        let first = |checkpoint: &Checkpoint<1>| checkpoint.get(tp).map_or(0, |numbers| numbers[0]);
        let request = LoadRequest {
            tp: tp.clone(),
            dir: dir.join(tp.to_string()).into(),
            recovery_point: first(&recovery_points),
            log_start: first(&log_starts),
            clean: clean.get(tp).map(|numbers| CleanState {
                log_end: numbers[0],
                active_base: numbers[1],
                active_size: u64::try_from(numbers[2]).unwrap_or(0),
                has_producers: numbers[3] & 1 != 0,
                active_txns: u64::try_from(numbers[3] >> 1).unwrap_or(0),
            }),
            on_corruption: config.on_corruption,
            index_interval_bytes: log_config.index_interval_bytes,
        };
        let topic_id = read_topic_id(storage, &request.dir.join(METADATA_FILE))?;
        let kept = KeptCheckpoints {
            recovery_point: request.recovery_point,
            log_start: request.log_start,
            high_watermark: first(&high_watermarks),
        };
        let loaded = loader::load(context, &request).and_then(|loaded| {
            check_end(context, &request, &loaded, &kept)?;
            Ok(loaded)
        });
        match loaded {
            Ok(mut loaded) => {
                // Before its first record a segment, and a log, may never have been synced.
                let active = loaded.segments.values().next_back().expect("a log always has a segment");
                loaded.fresh = active.is_empty().then(|| fresh_files(context, &request.dir));
                let log =
                    Log::new(tp.clone(), request.dir, Arc::clone(context), Arc::clone(&log_config), loaded);
                Ok(Ok(LogEntry { log, topic_id }))
            }
            Err(error) if is_damage(&error) => {
                let dir = request.dir.to_path_buf();
                Ok(Err(OfflineLog { partition: tp.clone(), dir, topic_id, error, checkpoints: kept }))
            }
            Err(error) => Err(error),
        }
    });
    let offline = OfflineLogs::default();
    let mut logs = HashMap::new();
    for (tp, outcome) in found.into_iter().zip(opened) {
        match outcome? {
            Ok(entry) => drop(logs.insert(tp, entry)),
            Err(damaged) => offline.insert(damaged),
        }
    }
    let checkpointed = recovery_points.into_keys().chain(log_starts.into_keys()).collect();
    Ok(Opened { logs, offline, checkpointed, doomed })
}

/// A log that ends before what is known to have been on disk has lost records, even if what is left looks whole.
fn check_end(
    context: &LogContext,
    request: &LoadRequest,
    loaded: &LoadedLog,
    kept: &KeptCheckpoints,
) -> Result<()> {
    let log_end = loaded.log_end;
    if log_end < kept.high_watermark {
        let (tp, high_watermark) = (&request.tp, kept.high_watermark);
        tracing::error!(%tp, log_end, high_watermark, "records which readers may have seen are gone");
    }
    let durable = match context.durability {
        // Readers see what is durable only.
        Durability::Fsync => kept.recovery_point.max(kept.high_watermark),
        Durability::Relaxed => kept.recovery_point,
    };
    if log_end >= durable || request.on_corruption == CorruptionPolicy::Truncate {
        return Ok(());
    }
    let active = loaded.segments.values().next_back().expect("a log always has a segment");
    Err(Error::CorruptLog {
        path: active.path().to_owned(),
        position: active.size_bytes(),
        offset: log_end,
        reason: format!("the log ends here, but had been flushed up to offset {durable}"),
    })
}

/// A checkpoint only shortens work: without it everything is checked.
fn checkpoint_or_nothing<const N: usize>(storage: &dyn Storage, path: &Path) -> Checkpoint<N> {
    checkpoint::read(storage, path).unwrap_or_else(|error| {
        tracing::warn!(%error, "ignoring a checkpoint");
        Checkpoint::new()
    })
}

fn fresh_files(context: &LogContext, dir: &Arc<Path>) -> FreshFiles {
    FreshFiles {
        files: vec![dir.join(METADATA_FILE)],
        dirs: vec![Arc::clone(dir), Arc::clone(&context.data_dir)],
    }
}

fn write_topic_id(storage: &dyn Storage, path: &Path, topic_id: TopicId) -> Result<Arc<dyn StorageFile>> {
    let write = || {
        let file = storage.open(path, OpenMode::Create)?;
        file.write_all_at(format!("version: 0\ntopic_id: {topic_id}\n").as_bytes(), 0)?;
        Ok(file)
    };
    write().map_err(|error| Error::io("write", path, error))
}

fn read_topic_id(storage: &dyn Storage, path: &Path) -> Result<TopicId> {
    let bytes = match storage.read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(TopicId::NONE),
        Err(error) => return Err(Error::io("read", path, error)),
    };
    let text = String::from_utf8_lossy(&bytes);
    let id = text.lines().find_map(|line| line.strip_prefix("topic_id: ")?.parse().ok());
    // A torn file belongs to a log without durable records; the replica manager gives it its id again.
    Ok(id.map_or(TopicId::NONE, TopicId))
}

/// Applies `work` to every item on a few threads; the results are in the order of the items.
fn in_parallel<T: Sync, R: Send>(threads: usize, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(items.len()));
    let run = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return };
            let result = work(item);
            results.lock().push((index, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(items.len()) {
            scope.spawn(run);
        }
        run();
    });
    let mut results = results.into_inner();
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
