//! Checkpoint files: recovery points, log starts and high watermarks.

use std::path::Path;

use hashbrown::HashSet;

use crate::env::storage::Storage;
use crate::error::Result;
use crate::failpoint;
use crate::ids::TopicPartition;
use crate::log::checkpoint::{self, Checkpoint, HIGH_WATERMARK_FILE, LOG_START_FILE, RECOVERY_POINT_FILE};
use crate::log::manager::LogManager;

impl LogManager {
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
}

/// A checkpoint only shortens work: without it everything is checked.
pub(super) fn checkpoint_or_nothing<const N: usize>(storage: &dyn Storage, path: &Path) -> Checkpoint<N> {
    checkpoint::read(storage, path).unwrap_or_else(|error| {
        tracing::warn!(%error, "ignoring a checkpoint");
        Checkpoint::new()
    })
}
