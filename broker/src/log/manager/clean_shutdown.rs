//! The end of a manager, and the file `clean-shutdown`, after which the next start needs no recovery.

use crate::env::parallel::in_parallel;
use crate::error::Result;
use crate::failpoint;
use crate::log::checkpoint::{self, CLEAN_SHUTDOWN_FILE, Checkpoint};
use crate::log::context::CleanState;
use crate::log::manager::LogManager;

impl LogManager {
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
                Ok(state) => {
                    clean.insert(log.topic_partition().clone(), numbers_of(state));
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
}

/// The numbers of a log in the file `clean-shutdown`: end, base and size of the active segment, and the entries of its
/// transaction index with a bit for producers. Files of older versions have no count of transactions.
fn numbers_of(state: CleanState) -> [i64; 4] {
    let CleanState { log_end, active_base, active_size, has_producers, active_txns } = state;
    let size = i64::try_from(active_size).unwrap_or(i64::MAX);
    let txns = i64::try_from(active_txns).unwrap_or(i64::MAX >> 1);
    [log_end, active_base, size, (txns << 1) | i64::from(has_producers)]
}

/// The inverse of [`numbers_of`].
pub(super) fn clean_state(numbers: &[i64; 4]) -> CleanState {
    CleanState {
        log_end: numbers[0],
        active_base: numbers[1],
        active_size: u64::try_from(numbers[2]).unwrap_or(0),
        has_producers: numbers[3] & 1 != 0,
        active_txns: u64::try_from(numbers[3] >> 1).unwrap_or(0),
    }
}
