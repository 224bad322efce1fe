//! The marker of a data directory in use: tells a crashed node's own directory from a copy made while it ran.
//!
//! Files copied one after the other are of different times and may contradict each other: offsets that are ahead of
//! what they count, or a changelog behind its state. After a crash they are not, so recovery cannot tell the two
//! apart. The marker can: it holds its own inode number, which a copy of the file does not have.
//!
//! | marker | inode in it | directory | start |
//! |---|---|---|---|
//! | missing | – | new, stopped cleanly, or copied after a clean stop | goes on |
//! | there | its own, or unknown | crashed, or an atomic snapshot of the file system | recovers |
//! | there | another | copied while a node ran, or after it crashed | refused, unless the operator accepts it |

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::env::storage::{OpenMode, Storage, is_full};
use crate::error::{Error, Result};

const FILE_NAME: &str = "running";

/// A directory that this process uses.
#[derive(Debug)]
pub(crate) struct RunMarker {
    storage: Arc<dyn Storage>,
    path: PathBuf,
}

impl RunMarker {
    /// Checks that `dir` is not a copy whose files may contradict each other. Changes nothing.
    ///
    /// Errors: `CopiedWhileRunning`.
    pub(crate) fn check(storage: &dyn Storage, dir: &Path) -> Result<()> {
        let path = dir.join(FILE_NAME);
        let read = || -> io::Result<Option<(Vec<u8>, Option<u64>)>> {
            if !storage.exists(&path) {
                return Ok(None);
            }
            Ok(Some((storage.read(&path)?, storage.file_id(&path)?)))
        };
        let found = read().map_err(|error| Error::io("read", &path, error))?;
        let Some((text, actual)) = found else { return Ok(()) };
        // A marker that was not written to its end is of a start that got no further.
        let recorded = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse::<u64>().ok());
        match (recorded, actual) {
            (Some(recorded), Some(actual)) if recorded != actual => {
                Err(Error::CopiedWhileRunning { dir: dir.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Marks `dir` as being used; on a full disk, which a node starts on as well, without the mark. Threads: blocks on
    /// the disk.
    pub(crate) fn set(storage: Arc<dyn Storage>, dir: &Path) -> Result<Self> {
        let path = dir.join(FILE_NAME);
        let write = || -> io::Result<()> {
            let file = storage.open(&path, OpenMode::Create)?;
            if let Some(id) = storage.file_id(&path)? {
                file.write_all_at(format!("{id}\n").as_bytes(), 0)?;
            }
            file.sync_data()?;
            storage.sync_dir(dir)
        };
        match write() {
            Err(error) if is_full(&error) => {
                tracing::warn!(%error, path = %path.display(), "a copy of the data directory cannot be distinguished from it");
            }
            outcome => outcome.map_err(|error| Error::io("write", &path, error))?,
        }
        Ok(Self { storage, path })
    }

    /// Takes the mark away: everything is on the disk, and nothing writes any more.
    pub(crate) fn clear(self) -> Result<()> {
        let remove = || -> io::Result<()> {
            match self.storage.remove_file(&self.path) {
                // There was no room for it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                outcome => outcome?,
            }
            self.storage.sync_dir(self.path.parent().unwrap_or(Path::new("/")))
        };
        remove().map_err(|error| Error::io("remove", &self.path, error))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::env::storage::memory::{Crash, MemoryStorage, Operation, Verdict};
    use crate::env::storage::system::SystemStorage;

    fn is_refused(outcome: &Result<()>) -> bool {
        matches!(outcome, Err(Error::CopiedWhileRunning { .. }))
    }

    #[test]
    fn a_crashed_directory_is_accepted_and_a_copy_of_one_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let (own, moved, copied) =
            (dir.path().join("own"), dir.path().join("moved"), dir.path().join("copied"));
        fs::create_dir(&own).expect("made");
        fs::create_dir(&copied).expect("made");
        let storage: Arc<dyn Storage> = Arc::new(SystemStorage);
        let check = |dir: &Path| RunMarker::check(storage.as_ref(), dir);
        assert!(check(&own).is_ok(), "a new directory");
        let marker = RunMarker::set(storage.clone(), &own).expect("marked");
        fs::copy(own.join(FILE_NAME), copied.join(FILE_NAME)).expect("copied");
        assert!(check(&own).is_ok(), "what a crash leaves");
        assert!(is_refused(&check(&copied)));
        fs::rename(&own, &moved).expect("moved");
        assert!(check(&moved).is_ok(), "moved after a crash");
        fs::rename(&moved, &own).expect("moved back");
        marker.clear().expect("cleared");
        assert!(!own.join(FILE_NAME).exists() && check(&own).is_ok());
        fs::write(copied.join(FILE_NAME), "").expect("written");
        assert!(check(&copied).is_ok(), "a start that got no further");
    }

    #[test]
    fn a_full_disk_keeps_no_node_from_starting() {
        let memory = MemoryStorage::new();
        memory.create_dir_all(Path::new("/data/meta")).expect("made");
        for refused in [Operation::Open, Operation::Sync] {
            memory.inject(move |operation, _| match operation == refused {
                true => Verdict::Fail(io::ErrorKind::StorageFull),
                false => Verdict::Proceed,
            });
            let marker = RunMarker::set(Arc::new(memory.clone()), Path::new("/data/meta")).expect("goes on");
            memory.heal();
            assert!(RunMarker::check(&memory, Path::new("/data/meta")).is_ok());
            marker.clear().expect("cleared, if it is there");
        }
    }

    #[test]
    fn storage_without_file_ids_is_not_checked() {
        let memory = MemoryStorage::new();
        memory.create_dir_all(Path::new("/data/meta")).expect("made");
        memory.sync_dir(Path::new("/data")).expect("synced");
        let _marker = RunMarker::set(Arc::new(memory.clone()), Path::new("/data/meta")).expect("marked");
        let crashed = memory.after_crash(Crash::Power);
        assert!(crashed.exists(Path::new("/data/meta/running")), "durable");
        assert!(RunMarker::check(&crashed, Path::new("/data/meta")).is_ok());
    }
}
