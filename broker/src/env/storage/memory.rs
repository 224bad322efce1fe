//! Files in memory, with faults on demand and crashes which lose what was not synced.
//!
//! The model of a crash: every file keeps its synced contents plus, optionally, a prefix of what was written
//! since (a torn write); every directory keeps the names it had when it was last synced.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::{DirEntry, OpenMode, Storage, StorageFile, StorageLock};

/// Something about to be done to a file, as a fault injector sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Open,
    Read,
    Write { len: usize },
    SetLen,
    Sync,
    Rename,
    Remove,
    CreateDir,
    SyncDir,
}

/// What a fault injector decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Proceed,
    /// Fail without effect.
    Fail(io::ErrorKind),
    /// Write the first `kept` bytes, then fail. Same as `Fail` for anything but a write.
    Tear {
        kept: usize,
        kind: io::ErrorKind,
    },
}

/// What of the unsynced writes survives a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process died: the page cache survives, all writes are there.
    Process,
    /// Power was lost: each file falls back to its synced contents.
    Power,
    /// Power was lost, but `extra` bytes appended since the last sync reached each file.
    PowerTorn { extra: usize },
}

type Injector = Box<dyn FnMut(Operation, &Path) -> Verdict + Send>;
type HeldFilter = Arc<dyn Fn(Operation, &Path) -> bool + Send + Sync>;

/// Stops threads that are about to write or sync.
#[derive(Default)]
struct Gate {
    is_held: Mutex<Option<HeldFilter>>,
    opened: Condvar,
}

impl Gate {
    /// Waits while the operation is held. Threads: without any lock of the storage.
    fn pass(&self, operation: Operation, path: &Path) {
        loop {
            let Some(is_held) = self.is_held.lock().clone() else { return };
            if !is_held(operation, path) {
                return;
            }
            let mut current = self.is_held.lock();
            if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &is_held)) {
                self.opened.wait(&mut current);
            }
        }
    }
}

/// Operations are held until this is dropped.
#[must_use = "dropping it lets the operations go on"]
pub struct Held(Arc<Gate>);

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        *self.0.is_held.lock() = None;
        self.0.opened.notify_all();
    }
}

/// A file system in memory. Clones share the same files.
#[derive(Clone, Default)]
pub struct MemoryStorage {
    state: Arc<Mutex<State>>,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct State {
    /// Every name as the process sees it.
    files: BTreeMap<PathBuf, Arc<Mutex<Contents>>>,
    dirs: BTreeSet<PathBuf>,
    /// Names as of the last sync of their directory.
    durable_files: BTreeMap<PathBuf, Arc<Mutex<Contents>>>,
    durable_dirs: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    injector: Option<Injector>,
    syncs: u64,
}

#[derive(Debug, Default, Clone)]
struct Contents {
    current: Vec<u8>,
    synced: Vec<u8>,
}

impl fmt::Debug for MemoryStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStorage").field("files", &self.state.lock().files.len()).finish()
    }
}

impl MemoryStorage {
    pub fn new() -> Self {
        MemoryStorage::default()
    }

    /// Asks `injector` before every operation. It must not use this storage.
    pub fn inject(&self, injector: impl FnMut(Operation, &Path) -> Verdict + Send + 'static) {
        self.state.lock().injector = Some(Box::new(injector));
    }

    /// Holds those writes and syncs of files back for which `is_held` says so, until the result is dropped. The
    /// filter may use this storage, for example to see what a crash at that moment leaves.
    pub fn hold(&self, is_held: impl Fn(Operation, &Path) -> bool + Send + Sync + 'static) -> Held {
        *self.gate.is_held.lock() = Some(Arc::new(is_held));
        self.gate.opened.notify_all();
        Held(self.gate.clone())
    }

    /// As [`Self::hold`], of syncs only.
    pub fn hold_syncs(&self, is_held: impl Fn(&Path) -> bool + Send + Sync + 'static) -> Held {
        self.hold(move |operation, path| operation == Operation::Sync && is_held(path))
    }

    /// Stops injecting faults.
    pub fn heal(&self) {
        self.state.lock().injector = None;
    }

    /// Number of file syncs that succeeded.
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// The files as a restarted process finds them; this storage is unaffected and keeps its own copy.
    pub fn after_crash(&self, crash: Crash) -> MemoryStorage {
        let state = self.state.lock();
        let (files, dirs) = match crash {
            Crash::Process => (&state.files, &state.dirs),
            Crash::Power | Crash::PowerTorn { .. } => (&state.durable_files, &state.durable_dirs),
        };
        let survive = |contents: &Contents| match crash {
            Crash::Process => contents.current.clone(),
            Crash::Power => contents.synced.clone(),
            Crash::PowerTorn { extra } => {
                let mut bytes = contents.synced.clone();
                let end = contents.current.len().min(bytes.len() + extra);
                if end > bytes.len() {
                    bytes.extend_from_slice(&contents.current[bytes.len()..end]);
                }
                bytes
            }
        };
        let files: BTreeMap<_, _> = files
            .iter()
            .map(|(path, contents)| {
                let bytes = survive(&contents.lock());
                (path.clone(), Arc::new(Mutex::new(Contents { current: bytes.clone(), synced: bytes })))
            })
            .collect();
        let restarted = State {
            durable_files: files.clone(),
            files,
            durable_dirs: dirs.clone(),
            dirs: dirs.clone(),
            ..State::default()
        };
        MemoryStorage { state: Arc::new(Mutex::new(restarted)), gate: Arc::default() }
    }

    /// Changes the bytes of a file behind everybody's back, durably.
    ///
    /// # Errors
    /// `NotFound` if there is no such file.
    pub fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let state = self.state.lock();
        let contents = state.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        let mut contents = contents.lock();
        change(&mut contents.current);
        contents.synced = contents.current.clone();
        Ok(())
    }

    fn check(&self, operation: Operation, path: &Path) -> io::Result<Verdict> {
        let mut state = self.state.lock();
        let Some(injector) = &mut state.injector else { return Ok(Verdict::Proceed) };
        match injector(operation, path) {
            Verdict::Proceed => Ok(Verdict::Proceed),
            Verdict::Fail(kind) => Err(kind.into()),
            tear @ Verdict::Tear { kind, .. } => match operation {
                Operation::Write { .. } => Ok(tear),
                _ => Err(kind.into()),
            },
        }
    }
}

impl State {
    fn is_child(path: &Path, dir: &Path) -> bool {
        path.parent() == Some(dir)
    }
}

impl Storage for MemoryStorage {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        self.check(Operation::Open, path)?;
        let mut state = self.state.lock();
        let contents = match mode {
            OpenMode::Read | OpenMode::Write | OpenMode::WritePrivate => {
                Arc::clone(state.files.get(path).ok_or(io::ErrorKind::NotFound)?)
            }
            OpenMode::Create | OpenMode::CreatePrivate => {
                if !path.parent().is_some_and(|dir| state.dirs.contains(dir)) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                let contents = Arc::clone(state.files.entry(path.to_owned()).or_default());
                contents.lock().current.clear();
                contents
            }
        };
        Ok(Arc::new(MemoryFile { path: path.to_owned(), contents, storage: self.clone() }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.check(Operation::CreateDir, path)?;
        let mut state = self.state.lock();
        for dir in path.ancestors() {
            state.dirs.insert(dir.to_owned());
        }
        // A data directory is made once, long before any crash a test is about.
        if let Some(parent) = path.parent() {
            for dir in parent.ancestors() {
                state.durable_dirs.insert(dir.to_owned());
            }
        }
        Ok(())
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.check(Operation::Read, path)?;
        let state = self.state.lock();
        if !state.dirs.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let files =
            state.files.iter().filter(|(file, _)| State::is_child(file, path)).filter_map(|(file, c)| {
                Some(DirEntry { name: name(file)?, len: c.lock().current.len() as u64, is_dir: false })
            });
        let dirs = state
            .dirs
            .iter()
            .filter(|dir| State::is_child(dir, path))
            .filter_map(|dir| Some(DirEntry { name: name(dir)?, len: 0, is_dir: true }));
        Ok(files.chain(dirs).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(Operation::Rename, from)?;
        let mut state = self.state.lock();
        if let Some(contents) = state.files.remove(from) {
            state.files.insert(to.to_owned(), contents);
            return Ok(());
        }
        if !state.dirs.remove(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.dirs.insert(to.to_owned());
        let moved: Vec<_> = state.files.keys().filter(|path| path.starts_with(from)).cloned().collect();
        for path in moved {
            if let (Ok(rest), Some(contents)) = (path.strip_prefix(from), state.files.remove(&path)) {
                state.files.insert(to.join(rest), contents);
            }
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.check(Operation::Remove, path)?;
        match self.state.lock().files.remove(path) {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.check(Operation::Remove, path)?;
        let mut state = self.state.lock();
        if !state.dirs.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.files.retain(|file, _| !file.starts_with(path));
        state.dirs.retain(|dir| !dir.starts_with(path));
        Ok(())
    }

    fn exists(&self, path: &Path) -> bool {
        let state = self.state.lock();
        state.files.contains_key(path) || state.dirs.contains(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.check(Operation::SyncDir, path)?;
        let mut state = self.state.lock();
        if !state.dirs.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let State { files, dirs, durable_files, durable_dirs, .. } = &mut *state;
        durable_files.retain(|file, _| !State::is_child(file, path));
        durable_files.extend(
            files
                .iter()
                .filter(|(file, _)| State::is_child(file, path))
                .map(|(p, c)| (p.clone(), Arc::clone(c))),
        );
        let gone: Vec<_> = durable_dirs
            .iter()
            .filter(|dir| State::is_child(dir, path) && !dirs.contains(*dir))
            .cloned()
            .collect();
        durable_dirs.retain(|dir| !gone.iter().any(|gone| dir.starts_with(gone)));
        durable_files.retain(|file, _| !gone.iter().any(|gone| file.starts_with(gone)));
        durable_dirs.extend(dirs.iter().filter(|dir| State::is_child(dir, path)).cloned());
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn StorageLock>>> {
        let mut state = self.state.lock();
        if !state.locks.insert(path.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(MemoryLock { path: path.to_owned(), storage: self.clone() })))
    }
}

#[derive(Debug)]
struct MemoryLock {
    path: PathBuf,
    storage: MemoryStorage,
}

impl StorageLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.storage.state.lock().locks.remove(&self.path);
    }
}

#[derive(Debug)]
struct MemoryFile {
    path: PathBuf,
    contents: Arc<Mutex<Contents>>,
    storage: MemoryStorage,
}

impl MemoryFile {
    fn write(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        let start = usize::try_from(position).map_err(io::Error::other)?;
        let mut contents = self.contents.lock();
        let end = start + bytes.len();
        if contents.current.len() < end {
            contents.current.resize(end, 0);
        }
        contents.current[start..end].copy_from_slice(bytes);
        Ok(())
    }
}

impl StorageFile for MemoryFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.storage.check(Operation::Read, &self.path)?;
        let contents = self.contents.lock();
        let start = usize::try_from(position).map_err(io::Error::other)?.min(contents.current.len());
        let len = buf.len().min(contents.current.len() - start);
        buf[..len].copy_from_slice(&contents.current[start..start + len]);
        Ok(len)
    }

    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        let operation = Operation::Write { len: bytes.len() };
        self.storage.gate.pass(operation, &self.path);
        match self.storage.check(operation, &self.path)? {
            Verdict::Proceed => self.write(bytes, position),
            Verdict::Fail(kind) => Err(kind.into()),
            Verdict::Tear { kept, kind } => {
                self.write(&bytes[..kept.min(bytes.len())], position)?;
                Err(kind.into())
            }
        }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.contents.lock().current.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.storage.check(Operation::SetLen, &self.path)?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.contents.lock().current.resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.storage.gate.pass(Operation::Sync, &self.path);
        self.storage.check(Operation::Sync, &self.path)?;
        let mut contents = self.contents.lock();
        contents.synced = contents.current.clone();
        drop(contents);
        self.storage.state.lock().syncs += 1;
        Ok(())
    }
}
