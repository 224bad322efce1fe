//! Where tasks keep their stores.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use weir_broker::env::clock::Clock;

use crate::error::EngineError;
use crate::error::query::{Result, RuntimeError};
use crate::state::backend::{StateBackend, StoreSpec};
use crate::state::memory::MemoryBackend;
use crate::state::opening::OpeningBackend;
use crate::state::rocksdb::{RocksBackend, RocksMemory};
use crate::task::stream_task::TaskId;

/// Opens the stores of tasks. Threads: any.
pub trait StateStorage: Send + Sync + fmt::Debug {
    /// The stores of a task, as its last commit left them. Stores that cannot be read are emptied: the changelog has everything.
    fn open(&self, application_id: &str, task: TaskId, stores: &[StoreSpec])
    -> Result<Box<dyn StateBackend>>;

    /// The tasks of a query have ended and may start elsewhere. What they committed is made to
    /// survive a crash, except for so little that it is restored as quickly.
    fn release(&self, application_id: &str) -> Result<()>;

    /// Removes everything a query has here; its tasks have ended.
    fn delete(&self, application_id: &str) -> Result<()>;
}

/// Keeps nothing between two starts of a task: every start restores from the changelog.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryStorage;

impl StateStorage for MemoryStorage {
    fn open(
        &self,
        _application_id: &str,
        _task: TaskId,
        stores: &[StoreSpec],
    ) -> Result<Box<dyn StateBackend>> {
        Ok(Box::new(MemoryBackend::new(stores.len())))
    }

    fn release(&self, _application_id: &str) -> Result<()> {
        Ok(())
    }

    fn delete(&self, _application_id: &str) -> Result<()> {
        Ok(())
    }
}

/// Default of [`DiskStorage::with_unflushed_bytes_max`].
const UNFLUSHED_BYTES_MAX: usize = 1 << 20;

/// One RocksDB per task, below a directory, with shared memory. A task without stores has none.
#[derive(Debug)]
pub struct DiskStorage {
    dir: PathBuf,
    memory: RocksMemory,
    /// Bytes of a database that a clean end leaves to the changelog, at most.
    unflushed_bytes_max: usize,
    /// Databases by folder. A task that starts again finds its own here.
    databases: Mutex<HashMap<PathBuf, DatabaseSlot>>,
    /// Folders whose content is damaged and to be emptied before it is used again.
    damaged: Mutex<HashSet<PathBuf>>,
}

/// The database of one folder. It is locked while it opens, so that others open at the same time.
type DatabaseSlot = Arc<Mutex<Option<OpenDatabase>>>;

#[derive(Debug)]
struct OpenDatabase {
    stores: Vec<StoreSpec>,
    backend: OpeningBackend,
}

impl DiskStorage {
    /// Units: bytes; write buffers count against the cache.
    pub fn new(dir: impl Into<PathBuf>, block_cache_bytes: usize, write_buffer_bytes: usize) -> DiskStorage {
        let memory = RocksMemory::new(block_cache_bytes + write_buffer_bytes, write_buffer_bytes);
        DiskStorage {
            dir: dir.into(),
            memory,
            unflushed_bytes_max: UNFLUSHED_BYTES_MAX,
            databases: Mutex::default(),
            damaged: Mutex::default(),
        }
    }

    /// Bytes of each database that the end of its tasks leaves to the changelog, at most: to write
    /// many small databases takes longer than to restore them.
    #[must_use]
    pub fn with_unflushed_bytes_max(self, unflushed_bytes_max: usize) -> DiskStorage {
        DiskStorage { unflushed_bytes_max, ..self }
    }

    /// Stores note when they were written; by this clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> DiskStorage {
        DiskStorage { memory: self.memory.with_clock(clock), ..self }
    }

    fn take(&self, application_id: &str) -> Vec<OpeningBackend> {
        let dir = self.dir.join(application_id);
        let mut databases = self.databases.lock();
        let slots: Vec<DatabaseSlot> =
            databases.extract_if(|path, _| path.starts_with(&dir)).map(|(_, slot)| slot).collect();
        drop(databases);
        slots.iter().filter_map(|slot| slot.lock().take()).map(|database| database.backend).collect()
    }

    fn slot(&self, path: &Path) -> DatabaseSlot {
        self.databases.lock().entry(path.to_owned()).or_default().clone()
    }
}

/// Opens a database; one that is damaged, as its opening tells or is known, is emptied, one that is in use is not touched.
fn open_or_empty(
    path: &Path,
    stores: &[StoreSpec],
    memory: &RocksMemory,
    damaged: bool,
) -> Result<RocksBackend> {
    std::fs::create_dir_all(path).map_err(|e| unusable(path, &e))?;
    let reason = match RocksBackend::open(path, stores, memory) {
        Ok(backend) if !damaged => return Ok(backend),
        // It can be opened, but not read. Nobody else uses it, or it could not have been opened.
        Ok(_) => "a read has failed".to_owned(),
        Err(error) if is_passing(&error) => return Err(unusable(path, &error)),
        Err(error) => error.to_string(),
    };
    tracing::warn!(path = %path.display(), reason, "state is damaged, rebuilding it from the changelog");
    std::fs::remove_dir_all(path).map_err(|e| unusable(path, &e))?;
    std::fs::create_dir_all(path).map_err(|e| unusable(path, &e))?;
    RocksBackend::open(path, stores, memory).map_err(|e| unusable(path, &e))
}

impl StateStorage for DiskStorage {
    fn open(
        &self,
        application_id: &str,
        task: TaskId,
        stores: &[StoreSpec],
    ) -> Result<Box<dyn StateBackend>> {
        if stores.is_empty() {
            return Ok(Box::new(MemoryBackend::new(0)));
        }
        let path = self.dir.join(application_id).join(task.to_string());
        let slot = self.slot(&path);
        let mut database = slot.lock();
        if let Some(open) = &*database {
            if open.stores == stores && !open.backend.has_failed() {
                return Ok(Box::new(open.backend.clone()));
            }
            if open.backend.is_damaged() {
                self.damaged.lock().insert(path.clone());
            }
            // It is closed before it is opened again.
            *database = None;
        }
        let backend = if path.exists() {
            let damaged = self.damaged.lock().contains(&path);
            let backend = open_or_empty(&path, stores, &self.memory, damaged)?;
            self.damaged.lock().remove(&path);
            OpeningBackend::of(backend)
        } else {
            let (specs, memory) = (stores.to_vec(), self.memory.clone());
            let make = move || open_or_empty(&path, &specs, &memory, false).map_err(|e| e.to_string());
            OpeningBackend::new(make)
        };
        *database = Some(OpenDatabase { stores: stores.to_vec(), backend: backend.clone() });
        Ok(Box::new(backend))
    }

    fn release(&self, application_id: &str) -> Result<()> {
        let checkpoint = |backend: &OpeningBackend| {
            let written = match backend.content() {
                Ok(Some(database)) if database.needs_checkpoint(self.unflushed_bytes_max) => {
                    database.checkpoint()
                }
                Ok(Some(_) | None) => Ok(()),
                Err(error) => Err(error),
            };
            written.map_err(RuntimeError::task("write state to disk"))
        };
        self.take(application_id).iter().try_for_each(checkpoint)
    }

    fn delete(&self, application_id: &str) -> Result<()> {
        drop(self.take(application_id));
        let path = self.dir.join(application_id);
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unusable(&path, &error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Whether the database is in use or the disk full, which says nothing about what is in it. RocksDB gives no codes for
/// these, but names the file of its lock. (A damaged block has a "lock", too.)
fn is_passing(error: &EngineError) -> bool {
    let text = error.to_string();
    text.contains("IO error: ") && (text.contains("/LOCK") || text.contains("No space left on device"))
}

fn unusable(path: &Path, error: &dyn fmt::Display) -> RuntimeError {
    RuntimeError::StateDir { path: path.display().to_string(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_database_that_is_being_opened_holds_up_no_other() {
        let dir = tempfile::tempdir().expect("a directory");
        let storage = Arc::new(DiskStorage::new(dir.path(), 1 << 20, 1 << 20));
        let stores = [StoreSpec { name: "s".to_owned(), changelog: true }];
        let (slow, other) =
            (TaskId { sub_topology: 0, partition: 0 }, TaskId { sub_topology: 0, partition: 1 });
        storage.open("q", slow, &stores).expect("opens");
        let slot = storage.slot(&dir.path().join("q").join(slow.to_string()));
        let opening = slot.lock();
        let (done, opened) = crossbeam_channel::bounded(1);
        let theirs = storage.clone();
        let thread = std::thread::spawn(move || {
            let specs = [StoreSpec { name: "s".to_owned(), changelog: true }];
            done.send(theirs.open("q", other, &specs).is_ok()).expect("the test waits");
        });
        let outcome = opened.recv_timeout(Duration::from_secs(60));
        drop(opening);
        thread.join().expect("no panic");
        assert_eq!(outcome, Ok(true));
        storage.delete("q").expect("deleted");
    }
}
