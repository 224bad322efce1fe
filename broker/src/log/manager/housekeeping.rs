//! Periodic work: checkpoints, retention and compaction.

use std::sync::Arc;
use std::time::Duration;

use crate::env::spawn;
use crate::error::{Error, Result};
use crate::log::checkpoint::{self, CLEANER_FILE, Checkpoint};
use crate::log::cleaner;
use crate::log::manager::checkpoints::checkpoint_or_nothing;
use crate::log::manager::{Background, LogManager};
use crate::log::retention;

impl LogManager {
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
}
