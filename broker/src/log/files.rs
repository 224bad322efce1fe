//! The files of a partition directory: their names, and handles which open when needed.
//!
//! | name | contents |
//! |---|---|
//! | `00000000000000000042.log` | batches; the number is the offset of the first |
//! | `….index`, `….timeindex`, `….txnindex` | sparse offset index, sparse time index, aborted transactions |
//! | `….snapshot` | the producers as of this offset |
//! | `partition.metadata` | the topic id |
//! | `sealed-segments` | what there was of each segment when it was complete |
//! | `….cleaned`, `….swap`, `….deleted` | a segment being compacted, about to replace others, about to go |

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::env::storage::{OpenMode, Storage, StorageFile};
use crate::error::{Error, Result};
use crate::ids::Offset;

pub(crate) const LOG_SUFFIX: &str = ".log";
pub(crate) const OFFSET_INDEX_SUFFIX: &str = ".index";
pub(crate) const TIME_INDEX_SUFFIX: &str = ".timeindex";
pub(crate) const TXN_INDEX_SUFFIX: &str = ".txnindex";
pub(crate) const SNAPSHOT_SUFFIX: &str = ".snapshot";
pub(crate) const CLEANED_SUFFIX: &str = ".cleaned";
pub(crate) const SWAP_SUFFIX: &str = ".swap";
pub(crate) const DELETED_SUFFIX: &str = ".deleted";

/// The suffixes of the files that make up a segment.
pub(crate) const SEGMENT_SUFFIXES: [&str; 4] =
    [LOG_SUFFIX, OFFSET_INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX];

/// The path of the file of `base_offset` with `suffix`.
pub(crate) fn path_of(dir: &Path, base_offset: Offset, suffix: &str) -> PathBuf {
    dir.join(format!("{base_offset:020}{suffix}"))
}

/// Splits a file name into its offset and suffix.
pub(crate) fn parse_name(name: &str) -> Option<(Offset, &str)> {
    let (digits, suffix) = name.split_at_checked(20)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) || !suffix.starts_with('.') {
        return None;
    }
    Some((digits.parse().ok()?, suffix))
}

/// Removes a file, unless it is gone already.
pub(crate) fn remove_if_present(storage: &dyn Storage, path: &Path) -> Result<()> {
    match storage.remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, error)),
        _ => Ok(()),
    }
}

/// Keeps the number of open files bounded: the least recently used handles are closed and reopen on use.
#[derive(Debug)]
pub(crate) struct FileCache {
    storage: Arc<dyn Storage>,
    open_max: usize,
    open: Mutex<VecDeque<Weak<LazyFile>>>,
}

impl FileCache {
    pub(crate) fn new(storage: Arc<dyn Storage>, open_max: usize) -> Arc<Self> {
        Arc::new(FileCache { storage, open_max: open_max.max(1), open: Mutex::new(VecDeque::new()) })
    }

    pub(crate) fn storage(&self) -> &dyn Storage {
        self.storage.as_ref()
    }

    /// A handle of a file that exists.
    pub(crate) fn existing(self: &Arc<Self>, path: PathBuf) -> Arc<LazyFile> {
        Arc::new(LazyFile {
            path,
            cache: Arc::clone(self),
            handle: Mutex::new(None),
            used: AtomicBool::new(false),
        })
    }

    /// Makes an empty file.
    pub(crate) fn create(self: &Arc<Self>, path: PathBuf) -> io::Result<Arc<LazyFile>> {
        let handle = self.storage.open(&path, OpenMode::Create)?;
        let file = self.existing(path);
        *file.handle.lock() = Some(handle);
        self.opened(&file);
        Ok(file)
    }

    fn opened(&self, file: &Arc<LazyFile>) {
        let mut open = self.open.lock();
        open.push_back(Arc::downgrade(file));
        // Every handle gets one second chance per round, so this ends.
        let mut chances = open.len();
        while open.len() > self.open_max {
            let Some(oldest) = open.pop_front() else { return };
            let Some(file) = oldest.upgrade() else { continue };
            if chances > 0 && file.used.swap(false, Ordering::Relaxed) {
                chances -= 1;
                open.push_back(oldest);
            } else if let Some(mut handle) = file.handle.try_lock() {
                *handle = None;
            } else {
                open.push_back(oldest);
                return;
            }
        }
    }
}

/// A file which is opened on first use, and may be closed between uses.
#[derive(Debug)]
pub(crate) struct LazyFile {
    path: PathBuf,
    cache: Arc<FileCache>,
    handle: Mutex<Option<Arc<dyn StorageFile>>>,
    used: AtomicBool,
}

impl LazyFile {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The open file. Holding on to it keeps it open, whatever the cache does.
    pub(crate) fn get(self: &Arc<Self>) -> io::Result<Arc<dyn StorageFile>> {
        let mut handle = self.handle.lock();
        if let Some(file) = &*handle {
            self.used.store(true, Ordering::Relaxed);
            return Ok(Arc::clone(file));
        }
        let file = self.cache.storage.open(&self.path, OpenMode::Write)?;
        *handle = Some(Arc::clone(&file));
        drop(handle);
        self.cache.opened(self);
        Ok(file)
    }

    /// As [`LazyFile::get`], making the file if it is missing.
    pub(crate) fn get_or_create(self: &Arc<Self>) -> io::Result<Arc<dyn StorageFile>> {
        match self.get() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = self.cache.storage.open(&self.path, OpenMode::Create)?;
                *self.handle.lock() = Some(Arc::clone(&file));
                self.cache.opened(self);
                Ok(file)
            }
            other => other,
        }
    }

    /// Whether the file exists.
    pub(crate) fn exists(&self) -> bool {
        self.cache.storage.exists(&self.path)
    }

    /// Closes the file until its next use.
    pub(crate) fn close(&self) {
        *self.handle.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use super::{FileCache, parse_name, path_of};
    use crate::env::storage::Storage;
    use crate::env::storage::memory::MemoryStorage;

    #[test]
    fn names_parse_back() {
        let path = path_of(Path::new("/d"), 42, ".log");
        assert_eq!(path, PathBuf::from("/d/00000000000000000042.log"));
        assert_eq!(parse_name("00000000000000000042.index.swap"), Some((42, ".index.swap")));
        for name in
            ["", "42.log", "00000000000000000042", "0000000000000000004x.log", "99999999999999999999.log"]
        {
            assert_eq!(parse_name(name), None, "{name}");
        }
    }

    #[test]
    fn open_files_stay_bounded_and_reopen() {
        let storage = MemoryStorage::new();
        storage.create_dir_all(Path::new("/d")).expect("dir");
        let cache = FileCache::new(Arc::new(storage), 4);
        let files: Vec<_> =
            (0..20).map(|i| cache.create(PathBuf::from(format!("/d/{i}"))).expect("create")).collect();
        for (i, file) in files.iter().enumerate() {
            file.get().expect("open").write_all_at(&[i as u8], 0).expect("write");
        }
        for (i, file) in files.iter().enumerate() {
            let mut byte = [0];
            file.get().expect("open").read_at(&mut byte, 0).expect("read");
            assert_eq!(byte, [i as u8]);
            assert!(files.iter().filter(|file| file.handle.lock().is_some()).count() <= 5);
        }
    }
}
