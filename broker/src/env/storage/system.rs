//! The machine's file system.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, IoSlice};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use super::{DirEntry, OpenMode, Storage, StorageFile, StorageLock};

/// Files of the operating system.
#[derive(Debug, Default)]
pub struct SystemStorage;

#[derive(Debug)]
struct SystemFile(File);

/// Parts of one system call; `IOV_MAX` is 1,024 on Linux.
const PARTS_MAX: usize = 512;

#[derive(Debug)]
struct SystemLock {
    /// Closing the file gives the lock back.
    _file: File,
}

impl StorageLock for SystemLock {}

/// The mode of files that only their owner may open.
const OWNER_ONLY: u32 = 0o600;
/// The mode of directories that only their owner may use.
const OWNER_ONLY_DIR: u32 = 0o700;
/// The rights of users that are neither the owner nor in the group.
const OTHERS: u32 = 0o007;

/// A file that was there before may have any mode.
fn make_private(file: &File) -> io::Result<()> {
    if file.metadata()?.permissions().mode() & 0o7777 == OWNER_ONLY {
        return Ok(());
    }
    file.set_permissions(Permissions::from_mode(OWNER_ONLY))
}

impl Storage for SystemStorage {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        let mut options = OpenOptions::new();
        match mode {
            OpenMode::Read => options.read(true),
            OpenMode::Write => options.read(true).write(true),
            OpenMode::WritePrivate => options.read(true).write(true),
            OpenMode::Create | OpenMode::CreatePrivate => {
                options.read(true).write(true).create(true).truncate(true).mode(OWNER_ONLY)
            }
        };
        let file = options.open(path)?;
        if matches!(mode, OpenMode::WritePrivate | OpenMode::CreatePrivate) {
            make_private(&file)?;
        }
        Ok(Arc::new(SystemFile(file)))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(OWNER_ONLY_DIR).create(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Removed since the directory was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(DirEntry { name, len: metadata.len(), is_dir: metadata.is_dir() });
            }
        }
        Ok(entries)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn file_id(&self, path: &Path) -> io::Result<Option<u64>> {
        Ok(Some(fs::metadata(path)?.ino()))
    }

    fn restrict_dir(&self, path: &Path) -> io::Result<()> {
        let mode = fs::metadata(path)?.permissions().mode();
        if mode & OTHERS == 0 {
            return Ok(());
        }
        fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn StorageLock>>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(OWNER_ONLY).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(SystemLock { _file: file }))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl StorageFile for SystemFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buf, position)
    }

    fn read_vec_at(&self, len: usize, position: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let at = position + bytes.len() as u64;
            match rustix::io::pread(&self.0, spare_capacity(&mut bytes), at) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // The allocation may have been larger than asked for.
        bytes.truncate(len);
        Ok(bytes)
    }

    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, position)
    }

    fn write_parts_at(&self, parts: &[&[u8]], mut position: u64) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut left = slices.as_mut_slice();
        // Passes over empty parts at the front.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match rustix::io::pwritev(&self.0, &left[..left.len().min(PARTS_MAX)], position) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    position += written as u64;
                    IoSlice::advance_slices(&mut left, written);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_written_one_behind_the_other_and_read_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = SystemStorage.open(&dir.path().join("f"), OpenMode::Create).expect("a file");
        // More parts than one call takes, some of them empty.
        let texts: Vec<String> =
            (0..3 * PARTS_MAX).map(|n| if n % 5 == 0 { String::new() } else { format!("{n},") }).collect();
        let parts: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        file.write_parts_at(&parts, 7).expect("writes");
        let whole = texts.concat();
        assert_eq!(file.len().expect("a length"), 7 + whole.len() as u64);
        assert_eq!(file.read_vec_at(whole.len(), 7).expect("reads"), whole.as_bytes());
        assert_eq!(
            file.read_vec_at(whole.len() + 100, 7).expect("reads"),
            whole.as_bytes(),
            "the end of the file"
        );
        assert!(file.read_vec_at(10, 1 << 30).expect("reads").is_empty(), "beyond the end");
        file.write_parts_at(&[], 0).expect("nothing");
    }
}
