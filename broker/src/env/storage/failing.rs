//! The machine's file system with a failpoint before and after everything that changes a file.
//!
//! Points are called `KIND.OPERATION.before` and `.after`: `segment.topic.sync.after`, `checkpoint.recovery.rename.before`.
//! Operations: `create`, `write`, `truncate`, `sync`, `rename`, `remove`. The kind of a segment names whose it is: `topic`,
//! `offsets`, `transactions`, `command`, `changelog`, `repartition`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{DirEntry, OpenMode, Storage, StorageFile, StorageLock};
use crate::env::failpoint;

/// A storage whose changes can be made to fail. Used while points are armed only.
#[derive(Debug)]
pub struct FailingStorage {
    inner: Arc<dyn Storage>,
}

#[derive(Debug)]
struct FailingFile {
    inner: Arc<dyn StorageFile>,
    kind: String,
}

impl FailingStorage {
    #[must_use]
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        FailingStorage { inner }
    }
}

/// What follows the offset in the name of a file of a log.
fn suffix_of(name: &str) -> Option<&str> {
    let (digits, suffix) = name.split_at_checked(20)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then_some(suffix.strip_prefix('.')?)
}

/// What a path is, for the names of points.
fn kind_of(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if let Some(suffix) = suffix_of(&name) {
        let (file, state) = suffix.split_once('.').unwrap_or((suffix, ""));
        let file = match file {
            "log" => format!("segment.{}", owner_of(path)),
            "index" => "offset_index".to_owned(),
            "timeindex" => "time_index".to_owned(),
            "txnindex" => "txn_index".to_owned(),
            other => other.to_owned(),
        };
        return if state.is_empty() { file } else { format!("{file}.{state}") };
    }
    let kind = match name.strip_suffix(".tmp").unwrap_or(&name) {
        "recovery-point-offset-checkpoint" => "checkpoint.recovery",
        "log-start-offset-checkpoint" => "checkpoint.log_start",
        "replication-offset-checkpoint" => "checkpoint.high_watermark",
        "cleaner-offset-checkpoint" => "checkpoint.cleaner",
        "clean-shutdown" => "clean_shutdown",
        "partition.metadata" => "partition_metadata",
        "sealed-segments" => "seals",
        "metadata.log" => "metadata",
        "running" => "running",
        other if other.ends_with("-delete") => "doomed",
        _ => "dir",
    };
    kind.to_owned()
}

fn owner_of(path: &Path) -> &'static str {
    let dir = path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy()).unwrap_or_default();
    match &*dir {
        dir if dir.starts_with("__consumer_offsets-") => "offsets",
        dir if dir.starts_with("__transaction_state-") => "transactions",
        dir if dir.contains("command_topic") => "command",
        dir if dir.contains("-changelog-") => "changelog",
        dir if dir.contains("-repartition-") => "repartition",
        _ => "topic",
    }
}

/// Does `work` between the two points of an operation.
fn around<T>(kind: &str, operation: &str, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    failpoint::pass_io(&format!("{kind}.{operation}.before"))?;
    let done = work()?;
    failpoint::pass_io(&format!("{kind}.{operation}.after"))?;
    Ok(done)
}

impl Storage for FailingStorage {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        let kind = kind_of(path);
        let open = || self.inner.open(path, mode);
        let creates = matches!(mode, OpenMode::Create | OpenMode::CreatePrivate);
        let inner = if creates { around(&kind, "create", open)? } else { open()? };
        Ok(Arc::new(FailingFile { inner, kind }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        around(&kind_of(path), "create", || self.inner.create_dir_all(path))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.read_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        around(&kind_of(to), "rename", || self.inner.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        if !self.inner.exists(path) {
            return self.inner.remove_file(path);
        }
        around(&kind_of(path), "remove", || self.inner.remove_file(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        around(&kind_of(path), "remove", || self.inner.remove_dir_all(path))
    }

    fn exists(&self, path: &Path) -> bool {
        self.inner.exists(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        around("dir", "sync", || self.inner.sync_dir(path))
    }

    fn file_id(&self, path: &Path) -> io::Result<Option<u64>> {
        self.inner.file_id(path)
    }

    fn restrict_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.restrict_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn StorageLock>>> {
        self.inner.lock(path)
    }
}

impl StorageFile for FailingFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.inner.read_at(buf, position)
    }

    /// Fails in the middle as well: half of the bytes are written before `write.torn`.
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        around(&self.kind, "write", || {
            let (first, second) = bytes.split_at(bytes.len() / 2);
            self.inner.write_all_at(first, position)?;
            failpoint::pass_io(&format!("{}.write.torn", self.kind))?;
            self.inner.write_all_at(second, position + first.len() as u64)
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        around(&self.kind, "truncate", || self.inner.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        around(&self.kind, "sync", || self.inner.sync_data())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::kind_of;

    #[test]
    fn files_have_kinds() {
        for (path, kind) in [
            ("log/t-0/00000000000000000000.log", "segment.topic"),
            ("log/__consumer_offsets-1/00000000000000000000.log", "segment.offsets"),
            ("log/t-0/00000000000000000000.timeindex", "time_index"),
            ("log/t-0/00000000000000000000.log.swap", "segment.topic.swap"),
            ("log/t-0/00000000000000000010.snapshot", "snapshot"),
            ("log/recovery-point-offset-checkpoint.tmp", "checkpoint.recovery"),
            ("meta/metadata.log.tmp", "metadata"),
            ("log/t-0", "dir"),
        ] {
            assert_eq!(kind_of(Path::new(path)), kind, "{path}");
        }
    }
}
