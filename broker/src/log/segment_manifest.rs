//! Manifest of complete segments, which reveals files that were cut between two batches.
//!
//! Checksums cover batches and index entries, but not that there are more of them. The file `sealed-segments` of a
//! partition says so, with a record per sealed segment, the newest of a segment last:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | base offset |
//! | 8 | 8 | size of the `.log` file |
//! | 16 | 8 | entries of the transaction index |
//! | 24 | 4 | 1 if each batch begins where the one before it ends, 0 if compaction has left gaps |
//! | 28 | 4 | CRC-32C of the above |
//!
//! A segment without a record, as after an upgrade, is not checked; a damaged record counts as none. Records are appended
//! when a segment is sealed and synced with it. They are taken out, durably, before what they speak of changes.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::env::storage::{OpenMode, Storage, StorageFile};
use crate::error::{Error, Result};
use crate::ids::Offset;
use crate::log::checkpoint::write_atomically;
use crate::log::files::remove_if_present;

pub(crate) const MANIFEST_FILE: &str = "sealed-segments";
const RECORD_BYTES: usize = 32;

/// Manifest entry of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealedSegment {
    pub(crate) base_offset: Offset,
    pub(crate) log_bytes: u64,
    pub(crate) txn_entries: u64,
    /// Each batch begins where the one before it ends, the first at the base offset.
    pub(crate) contiguous: bool,
}

/// By base offset.
pub(crate) type SegmentManifest = BTreeMap<Offset, SealedSegment>;

impl SealedSegment {
    fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..8].copy_from_slice(&self.base_offset.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.log_bytes.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.txn_entries.to_be_bytes());
        bytes[24..28].copy_from_slice(&u32::from(self.contiguous).to_be_bytes());
        let crc = crc32c::crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let (fields, crc) = bytes.split_at(28);
        if crc32c::crc32c(fields).to_be_bytes() != *crc {
            return None;
        }
        let number = |at: usize| fields[at..at + 8].first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
        Some(SealedSegment {
            base_offset: i64::try_from(number(0)?).ok()?,
            log_bytes: number(8)?,
            txn_entries: number(16)?,
            contiguous: fields[24..] != [0; 4],
        })
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(MANIFEST_FILE)
}

/// The manifest of the partition directory `dir`.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn read(storage: &dyn Storage, dir: &Path) -> Result<SegmentManifest> {
    let path = path(dir);
    let bytes = match storage.read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(SegmentManifest::new()),
        Err(error) => return Err(Error::io("read", &path, error)),
    };
    let mut manifest = SegmentManifest::new();
    let (records, _torn) = bytes.as_chunks::<RECORD_BYTES>();
    for record in records {
        match SealedSegment::decode(record) {
            Some(seal) => drop(manifest.insert(seal.base_offset, seal)),
            None => tracing::warn!(path = %path.display(), "ignoring a damaged record of a sealed segment"),
        }
    }
    Ok(manifest)
}

/// Adds a record. Returns the file, which is to be synced after that of the segment.
pub(crate) fn append(
    storage: &dyn Storage,
    dir: &Path,
    seal: &SealedSegment,
) -> io::Result<Arc<dyn StorageFile>> {
    let path = path(dir);
    let file = match storage.open(&path, OpenMode::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => storage.open(&path, OpenMode::Create)?,
        other => other?,
    };
    // A record that was not written whole is overwritten.
    let len = file.len()?;
    file.write_all_at(&seal.encode(), len - len % RECORD_BYTES as u64)?;
    Ok(file)
}

/// Takes the records of segments out for which `keep` does not hold. Durable when it returns. On a full disk all go: it
/// is better not to check than to keep segments from being deleted.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn retain(storage: &dyn Storage, dir: &Path, keep: impl Fn(Offset) -> bool) -> Result<()> {
    let mut manifest = read(storage, dir)?;
    let before = manifest.len();
    manifest.retain(|base_offset, _| keep(*base_offset));
    if manifest.len() == before {
        return Ok(());
    }
    replace(storage, dir, &manifest).or_else(|error| {
        tracing::warn!(%error, "the ends of sealed segments are not checked any more");
        replace(storage, dir, &SegmentManifest::new())
    })
}

fn replace(storage: &dyn Storage, dir: &Path, manifest: &SegmentManifest) -> Result<()> {
    let path = path(dir);
    if manifest.is_empty() {
        remove_if_present(storage, &path)?;
        return storage.sync_dir(dir).map_err(|error| Error::io("sync directory", dir, error));
    }
    let bytes: Vec<u8> = manifest.values().flat_map(SealedSegment::encode).collect();
    write_atomically(storage, &path, &bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{RECORD_BYTES, SealedSegment, append, path, read, retain};
    use crate::env::storage::Storage;
    use crate::env::storage::memory::MemoryStorage;

    #[test]
    fn records_read_back_and_damaged_ones_count_as_none() {
        let (storage, dir) = (MemoryStorage::new(), Path::new("/d"));
        storage.create_dir_all(dir).expect("dir");
        assert!(read(&storage, dir).expect("none").is_empty());
        let seal = |base_offset| SealedSegment {
            base_offset,
            log_bytes: 70,
            txn_entries: 2,
            contiguous: base_offset == 0,
        };
        for base in [0, 5, 9] {
            append(&storage, dir, &seal(base)).expect("append");
        }
        let bases =
            |storage: &MemoryStorage| read(storage, dir).expect("read").into_keys().collect::<Vec<_>>();
        assert_eq!(read(&storage, dir).expect("read")[&5], seal(5));
        // A torn record is overwritten by the next.
        storage.tamper(&path(dir), |bytes| bytes.truncate(3 * RECORD_BYTES - 1)).expect("tamper");
        assert_eq!(bases(&storage), [0, 5]);
        append(&storage, dir, &seal(12)).expect("append");
        assert_eq!(bases(&storage), [0, 5, 12]);
        retain(&storage, dir, |base| base != 5).expect("retain");
        assert_eq!(bases(&storage), [0, 12]);
        for at in 0..2 * RECORD_BYTES {
            let damaged = storage.after_crash(crate::env::storage::memory::Crash::Power);
            damaged.tamper(&path(dir), |bytes| bytes[at] ^= 4).expect("tamper");
            assert_eq!(bases(&damaged), [[12], [0]][at / RECORD_BYTES]);
        }
        retain(&storage, dir, |_| false).expect("retain");
        assert!(!storage.exists(&path(dir)));
    }
}
