//! Opening a data directory: its lock, its checkpoints and all of its logs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use hashbrown::{HashMap, HashSet};
use parking_lot::{Mutex, RwLock};

use crate::env::clock::{Clock, SlewedClock};
use crate::env::parallel::in_parallel;
use crate::env::storage::Storage;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::ids::TopicPartition;
use crate::log::checkpoint::{
    CLEAN_SHUTDOWN_FILE, Checkpoint, HIGH_WATERMARK_FILE, LOG_START_FILE, RECOVERY_POINT_FILE,
};
use crate::log::config::{Durability, LogConfig};
use crate::log::context::{LoadedLog, LogContext};
use crate::log::failure::DirHealth;
use crate::log::files::{FileCache, remove_if_present};
use crate::log::flusher::{Flusher, FlusherConfig};
use crate::log::loader::{self, CorruptionPolicy, LoadRequest};
use crate::log::log_deletion::LogDeletion;
use crate::log::manager::checkpoints::checkpoint_or_nothing;
use crate::log::manager::clean_shutdown::clean_state;
use crate::log::manager::deletion::DELETE_SUFFIX;
use crate::log::manager::topic_id::{METADATA_FILE, fresh_files, read_topic_id};
use crate::log::manager::{Background, LogEntry, LogManager, LogManagerConfig};
use crate::log::offline::{KeptCheckpoints, OfflineLog, OfflineLogs, is_damage};
use crate::log::partition_log::Log;

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
}

/// The checkpoints that the last run left.
struct Checkpoints {
    recovery_points: Checkpoint<1>,
    log_starts: Checkpoint<1>,
    high_watermarks: Checkpoint<1>,
    clean: Checkpoint<4>,
}

impl Checkpoints {
    /// Reads the checkpoints, and removes the file of a clean shutdown: from here on a crash is a crash.
    fn take(storage: &dyn Storage, dir: &Path) -> Result<Checkpoints> {
        let recovery_points = checkpoint_or_nothing(storage, &dir.join(RECOVERY_POINT_FILE));
        let log_starts = checkpoint_or_nothing(storage, &dir.join(LOG_START_FILE));
        let high_watermarks = checkpoint_or_nothing(storage, &dir.join(HIGH_WATERMARK_FILE));
        let clean_path = dir.join(CLEAN_SHUTDOWN_FILE);
        let clean = checkpoint_or_nothing(storage, &clean_path);
        remove_if_present(storage, &clean_path)?;
        storage.sync_dir(dir).map_err(|error| Error::io("sync directory", dir, error))?;
        failpoint!("start.after_clean_removed")?;
        Ok(Checkpoints { recovery_points, log_starts, high_watermarks, clean })
    }

    fn of(&self, tp: &TopicPartition) -> KeptCheckpoints {
        let first = |checkpoint: &Checkpoint<1>| checkpoint.get(tp).map_or(0, |numbers| numbers[0]);
        KeptCheckpoints {
            recovery_point: first(&self.recovery_points),
            log_start: first(&self.log_starts),
            high_watermark: first(&self.high_watermarks),
        }
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
    let (storage, dir) = (context.storage(), &config.data_dir);
    let checkpoints = Checkpoints::take(storage, dir)?;
    let (mut found, mut doomed) = (Vec::new(), Vec::new());
    for entry in storage.read_dir(dir).map_err(|error| Error::io("list", dir, error))? {
        if entry.is_dir && entry.name.ends_with(DELETE_SUFFIX) {
            doomed.push(dir.join(&entry.name));
        } else if entry.is_dir {
            found.extend(TopicPartition::parse(&entry.name));
        }
    }
    let log_config = Arc::new(config.log_defaults.clone());
    let open = |tp: &TopicPartition| open_log(config, context, &log_config, &checkpoints, tp);
    let opened = in_parallel(config.load_threads, &found, open);
    let offline = OfflineLogs::default();
    let mut logs = HashMap::new();
    for (tp, outcome) in found.into_iter().zip(opened) {
        match outcome? {
            Ok(entry) => drop(logs.insert(tp, entry)),
            Err(damaged) => offline.insert(damaged),
        }
    }
    let Checkpoints { recovery_points, log_starts, .. } = checkpoints;
    let checkpointed = recovery_points.into_keys().chain(log_starts.into_keys()).collect();
    Ok(Opened { logs, offline, checkpointed, doomed })
}

/// Opens the log of `tp`. The inner error is a damaged log, which is served as offline.
fn open_log(
    config: &LogManagerConfig,
    context: &Arc<LogContext>,
    log_config: &Arc<LogConfig>,
    checkpoints: &Checkpoints,
    tp: &TopicPartition,
) -> Result<std::result::Result<LogEntry, OfflineLog>> {
    let kept = checkpoints.of(tp);
    let request = LoadRequest {
        tp: tp.clone(),
        dir: config.data_dir.join(tp.to_string()).into(),
        recovery_point: kept.recovery_point,
        log_start: kept.log_start,
        clean: checkpoints.clean.get(tp).map(clean_state),
        on_corruption: config.on_corruption,
        index_interval_bytes: log_config.index_interval_bytes,
    };
    let topic_id = read_topic_id(context.storage(), &request.dir.join(METADATA_FILE))?;
    let loaded = loader::load(context, &request).and_then(|loaded| {
        check_end(context, &request, &loaded, &kept)?;
        Ok(loaded)
    });
    match loaded {
        Ok(mut loaded) => {
            // Before its first record a segment, and a log, may never have been synced.
            let active = loaded.segments.values().next_back().expect("a log always has a segment");
            loaded.fresh = active.is_empty().then(|| fresh_files(context, &request.dir));
            let log = Log::new(tp.clone(), request.dir, Arc::clone(context), Arc::clone(log_config), loaded);
            Ok(Ok(LogEntry { log, topic_id }))
        }
        Err(error) if is_damage(&error) => {
            let dir = request.dir.to_path_buf();
            Ok(Err(OfflineLog { partition: tp.clone(), dir, topic_id, error, checkpoints: kept }))
        }
        Err(error) => Err(error),
    }
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
