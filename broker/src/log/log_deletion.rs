//! Directories of deleted logs, on their way out.
//!
//! A log is deleted when its directory has another name; nobody waits for the removal of its files, of which there may
//! be tens of thousands. What a stop or a crash leaves is removed after the next start.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};

use crate::env::spawn;
use crate::env::storage::Storage;
use crate::error::{Error, Result};
use crate::log::context::LogContext;

const THREAD: &str = "log-delete";
/// Directories removed at a time: a disk that takes long for each takes little longer for some at once.
const THREADS: usize = 4;

/// Directories that a few threads are to remove. Threads: any.
#[derive(Debug)]
pub(crate) struct LogDeletion {
    /// `None` wakes a thread to end.
    queue: Sender<Option<PathBuf>>,
    taken: Receiver<Option<PathBuf>>,
    ended: Arc<AtomicBool>,
}

impl Default for LogDeletion {
    fn default() -> Self {
        let (queue, taken) = crossbeam_channel::unbounded();
        LogDeletion { queue, taken, ended: Arc::default() }
    }
}

impl LogDeletion {
    pub(crate) fn push(&self, dir: PathBuf) {
        self.queue.send(Some(dir)).expect("the receiver is ours");
    }

    /// Starts the threads.
    ///
    /// # Errors
    /// [`Error::Io`] if no thread can be started.
    pub(crate) fn start(&self, context: &Arc<LogContext>) -> Result<Vec<JoinHandle<()>>> {
        (0..THREADS).map(|_| self.start_one(context)).collect()
    }

    fn start_one(&self, context: &Arc<LogContext>) -> Result<JoinHandle<()>> {
        let (taken, ended, context) = (self.taken.clone(), Arc::clone(&self.ended), Arc::clone(context));
        let body = move || {
            while let Ok(Some(dir)) = taken.recv() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                if let Err(error) = remove(context.storage(), &dir) {
                    tracing::warn!(%error, "cannot remove a deleted log");
                }
            }
        };
        spawn::thread(THREAD, body).map_err(|error| Error::io("start the thread", THREAD.as_ref(), error))
    }

    /// Ends the threads, each after the directory it is at.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        for _ in 0..THREADS {
            self.queue.send(None).expect("the receiver is ours");
        }
    }
}

/// Removes a directory.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn remove(storage: &dyn Storage, dir: &Path) -> Result<()> {
    storage.remove_dir_all(dir).map_err(|error| Error::io("remove", dir, error))
}
