//! Files, as a trait: the machine's own, or memory with injected faults and crashes.

pub mod failing;
pub mod memory;
pub mod system;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// How to open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; it must exist.
    Read,
    /// For reading and writing; it must exist.
    Write,
    /// For reading and writing; made for its owner alone, or cut to nothing if it exists.
    Create,
    /// As `Write`; from now on nobody but its owner may open it.
    WritePrivate,
    /// As `Create`; a file that exists becomes its owner's alone, too.
    CreatePrivate,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Names which are not UTF-8 are left out of listings: Weir makes none.
    pub name: String,
    pub len: u64,
    pub is_dir: bool,
}

/// A file system. Threads: any; calls block.
pub trait Storage: Debug + Send + Sync {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>>;
    /// Makes a directory and those above it that are missing, for their owner alone.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Entries in no particular order.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;
    /// Renames a file or directory, replacing a file that is in the way. Durable after [`Storage::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    fn exists(&self, path: &Path) -> bool;
    /// Makes creations, renames and removals in directory `path` durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Takes an exclusive lock on a file, made if missing; `None` if another process or opener holds it.
    /// The lock ends when the value is dropped or the process dies.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn StorageLock>>>;

    /// A number that the file keeps for as long as it exists, and that no copy of it has at the same time; `None` where
    /// there is no such number.
    fn file_id(&self, path: &Path) -> io::Result<Option<u64>> {
        let _ = path;
        Ok(None)
    }

    /// Takes from users that are neither owner nor in the group what rights they have in a directory.
    fn restrict_dir(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        Ok(())
    }

    /// Reads a whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path, OpenMode::Read)?;
        let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
        file.read_vec_at(len, 0)
    }
}

/// True if there was no room: a state, not a defect. What did not fit can be cut off, and later writes may succeed.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// An open file. Threads: any; positions are explicit, so there is no shared cursor.
pub trait StorageFile: Debug + Send + Sync {
    /// Reads up to `buf.len()` bytes at `position`; 0 at the end of the file.
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize>;
    /// Reads `len` bytes at `position`, fewer if the file ends before.
    fn read_vec_at(&self, len: usize, position: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let read = read_full_at(self, &mut bytes, position)?;
        bytes.truncate(read);
        Ok(bytes)
    }
    /// Writes all of `bytes` at `position`, or fails after writing some of them.
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;
    /// As [`StorageFile::write_all_at`], of parts that follow each other.
    fn write_parts_at(&self, parts: &[&[u8]], position: u64) -> io::Result<()> {
        self.write_all_at(&parts.concat(), position)
    }
    fn len(&self) -> io::Result<u64>;
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes the contents (and the length) durable.
    fn sync_data(&self) -> io::Result<()>;
}

/// A held lock on a file.
pub trait StorageLock: Debug + Send + Sync {}

/// Reads until `buf` is full or the file ends; returns the bytes read.
pub fn read_full_at<F: StorageFile + ?Sized>(file: &F, buf: &mut [u8], position: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buf.len() {
        match file.read_at(&mut buf[read..], position + read as u64) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
