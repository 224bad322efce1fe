//! A file of fixed-size entries in ascending order, searched by bisection.
//!
//! The index of the active segment is in memory and written out when the segment is sealed or the log closed; the
//! index of a sealed segment is on disk only, and a look-up reads the few entries bisection touches. Everything in
//! an index can be computed from the log again, so it is never synced before an acknowledgement.

use std::io;
use std::sync::Arc;

use crate::env::storage::{StorageFile, read_full_at};
use crate::log::files::LazyFile;

/// One entry of an index.
pub(crate) trait IndexEntry: Copy {
    /// Size of an entry in the file.
    const BYTES: usize;

    fn encode(self, out: &mut Vec<u8>);

    /// `None` if the bytes cannot be an entry. `bytes` has [`IndexEntry::BYTES`] bytes.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// An index of entries `E`.
#[derive(Debug)]
pub(crate) struct IndexFile<E> {
    file: Arc<LazyFile>,
    entries: Entries<E>,
}

#[derive(Debug)]
enum Entries<E> {
    /// `written` entries at the front are in the file as well, perhaps followed by others if `stale_tail`.
    Memory {
        entries: Vec<E>,
        written: usize,
        stale_tail: bool,
    },
    Disk {
        count: usize,
    },
}

impl<E: IndexEntry> IndexFile<E> {
    /// An empty index; what the file holds, if it exists, is overwritten when the index is persisted.
    pub(crate) fn empty(file: Arc<LazyFile>) -> Self {
        IndexFile { file, entries: Entries::Memory { entries: Vec::new(), written: 0, stale_tail: true } }
    }

    /// The index in a file of `len` bytes; `None` if it cannot be one.
    pub(crate) fn on_disk(file: Arc<LazyFile>, len: u64) -> Option<Self> {
        let len = usize::try_from(len).ok()?;
        len.is_multiple_of(E::BYTES)
            .then(|| IndexFile { file, entries: Entries::Disk { count: len / E::BYTES } })
    }

    pub(crate) fn len(&self) -> usize {
        match &self.entries {
            Entries::Memory { entries, .. } => entries.len(),
            Entries::Disk { count } => *count,
        }
    }

    /// Adds an entry at the end.
    pub(crate) fn push(&mut self, entry: E) -> io::Result<()> {
        self.load()?.push(entry);
        Ok(())
    }

    /// The last entry.
    pub(crate) fn last(&self) -> io::Result<Option<E>> {
        match &self.entries {
            Entries::Memory { entries, .. } => Ok(entries.last().copied()),
            Entries::Disk { count: 0 } => Ok(None),
            Entries::Disk { count } => read_entry(self.file.get()?.as_ref(), count - 1).map(Some),
        }
    }

    /// The last entry for which `holds`, given that it holds for some number of entries from the first on.
    pub(crate) fn last_where(&self, holds: impl Fn(&E) -> bool) -> io::Result<Option<E>> {
        match &self.entries {
            Entries::Memory { entries, .. } => {
                let after = entries.partition_point(holds);
                Ok(after.checked_sub(1).map(|index| entries[index]))
            }
            Entries::Disk { count: 0 } => Ok(None),
            Entries::Disk { count } => {
                let file = self.file.get()?;
                let (mut low, mut high, mut found) = (0, *count, None);
                while low < high {
                    let middle = low.midpoint(high);
                    let entry = read_entry(file.as_ref(), middle)?;
                    if holds(&entry) {
                        found = Some(entry);
                        low = middle + 1;
                    } else {
                        high = middle;
                    }
                }
                Ok(found)
            }
        }
    }

    /// All entries.
    pub(crate) fn read_all(&self) -> io::Result<Vec<E>> {
        match &self.entries {
            Entries::Memory { entries, .. } => Ok(entries.clone()),
            Entries::Disk { count } => read_entries(&self.file, *count),
        }
    }

    /// Keeps the entries from the front for which `holds`.
    pub(crate) fn truncate_where(&mut self, holds: impl Fn(&E) -> bool) -> io::Result<()> {
        self.load()?;
        if let Entries::Memory { entries, written, stale_tail } = &mut self.entries {
            entries.truncate(entries.partition_point(holds));
            *stale_tail |= *written > entries.len();
            *written = (*written).min(entries.len());
        }
        Ok(())
    }

    /// Drops all entries, whatever the file holds.
    pub(crate) fn clear(&mut self) {
        self.entries = Entries::Memory { entries: Vec::new(), written: 0, stale_tail: true };
    }

    /// Writes what is not in the file yet, and returns the file if it changed, to be synced.
    pub(crate) fn persist(&mut self) -> io::Result<Option<Arc<dyn StorageFile>>> {
        let Entries::Memory { entries, written, stale_tail } = &mut self.entries else { return Ok(None) };
        if *written == entries.len() && !*stale_tail {
            return Ok(None);
        }
        let file = self.file.get_or_create()?;
        let mut bytes = Vec::with_capacity((entries.len() - *written) * E::BYTES);
        for entry in &entries[*written..] {
            entry.encode(&mut bytes);
        }
        file.write_all_at(&bytes, (*written * E::BYTES) as u64)?;
        if *stale_tail {
            file.set_len((entries.len() * E::BYTES) as u64)?;
        }
        (*written, *stale_tail) = (entries.len(), false);
        Ok(Some(file))
    }

    /// Persists and frees the memory.
    pub(crate) fn seal(&mut self) -> io::Result<Option<Arc<dyn StorageFile>>> {
        let changed = self.persist()?;
        self.entries = Entries::Disk { count: self.len() };
        Ok(changed)
    }

    /// Whether there is a file.
    pub(crate) fn exists(&self) -> bool {
        self.file.exists()
    }

    pub(crate) fn close(&self) {
        self.file.close();
    }

    fn load(&mut self) -> io::Result<&mut Vec<E>> {
        if let Entries::Disk { count } = self.entries {
            let entries = read_entries(&self.file, count)?;
            self.entries = Entries::Memory { entries, written: count, stale_tail: false };
        }
        match &mut self.entries {
            Entries::Memory { entries, .. } => Ok(entries),
            Entries::Disk { .. } => unreachable!("it was just loaded"),
        }
    }
}

fn read_entry<E: IndexEntry>(file: &dyn StorageFile, index: usize) -> io::Result<E> {
    // No entry is longer than this.
    let mut bytes = [0; 64];
    let bytes = &mut bytes[..E::BYTES];
    if read_full_at(file, bytes, (index * E::BYTES) as u64)? < bytes.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    E::decode(bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn read_entries<E: IndexEntry>(file: &Arc<LazyFile>, count: usize) -> io::Result<Vec<E>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let file = file.get()?;
    let on_disk = usize::try_from(file.len()?).map_err(io::Error::other)?;
    if on_disk < count * E::BYTES {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut bytes = vec![0; count * E::BYTES];
    if read_full_at(file.as_ref(), &mut bytes, 0)? < bytes.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    bytes
        .chunks_exact(E::BYTES)
        .map(|chunk| E::decode(chunk).ok_or_else(|| io::ErrorKind::InvalidData.into()))
        .collect()
}
