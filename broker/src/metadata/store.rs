//! The metadata log: one file of checksummed frames, each a group of changes that happened together.
//!
//! | bytes | field                                   |
//! |-------|-----------------------------------------|
//! | 0..4  | payload length, big-endian              |
//! | 4..8  | CRC-32C of the payload                  |
//! | 8..   | payload: a JSON array of changes        |
//!
//! The file holds what passwords are checked against: nobody but its owner may open it.
//!
//! A frame is synced before the next is written. So only the last frame can be torn by a crash: it was never
//! acknowledged and is cut off. Any other damage is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::image::MetadataImage;
use super::record::MetadataRecord;
use crate::env::storage::{OpenMode, Storage, StorageFile, is_full};
use crate::error::{Error, Result};
use crate::failpoint;

const HEADER_BYTES: usize = 8;
/// A log that grew this far beyond its last rewrite is rewritten.
const REWRITE_BYTES: u64 = 4 << 20;
/// Room kept for when the disk is full: topics must be deletable then.
const RESERVE_BYTES: usize = 256 << 10;
const RESERVE_FILE: &str = "reserve";

#[derive(Debug)]
struct Writer {
    file: Arc<dyn StorageFile>,
    bytes: u64,
    rewrite_at: u64,
    failed: bool,
    /// Whether the file with the reserve is there.
    reserve: bool,
    /// Changes ever made.
    changes: i64,
}

/// Metadata on disk and in memory.
///
/// Invariant: what [`MetadataStore::image`] shows is durable.
#[derive(Debug)]
pub struct MetadataStore {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    writer: Mutex<Writer>,
    image: RwLock<Arc<MetadataImage>>,
    failed: CancellationToken,
}

impl MetadataStore {
    /// Opens the log in `dir`, or makes one for a new cluster.
    ///
    /// Errors: `CorruptFile` for damage other than a torn last frame.
    pub fn open(storage: Arc<dyn Storage>, dir: &Path, new_cluster_id: Uuid) -> Result<Self> {
        let path = dir.join("metadata.log");
        let mut image = MetadataImage::default();
        let bytes = if storage.exists(&path) {
            storage.read(&path).map_err(|error| Error::io("read", &path, error))?
        } else {
            Vec::new()
        };
        let (valid, mut changes) = load(&path, &bytes, &mut image)?;
        if valid == 0 && storage.exists(&path) {
            // The first frame took its place by a rename, whole. Without it nothing is known: not even the cluster id.
            return Err(corrupt(&path, 0, "the first frame is damaged"));
        }
        let file = if valid > 0 {
            let file = storage
                .open(&path, OpenMode::WritePrivate)
                .map_err(|error| Error::io("open", &path, error))?;
            if valid < bytes.len() {
                tracing::warn!(path = %path.display(), cut = bytes.len() - valid, "torn metadata frame cut off");
                file.set_len(valid as u64).map_err(|error| Error::io("truncate", &path, error))?;
                file.sync_data().map_err(|error| Error::io("sync", &path, error))?;
            }
            file
        } else {
            image.cluster_id = new_cluster_id;
            let replaced = replace(storage.as_ref(), &path, &image, 0)?;
            changes = replaced.changes;
            replaced.file
        };
        let bytes = file.len().map_err(|error| Error::io("measure", &path, error))?;
        let reserve = keep_reserve(storage.as_ref(), dir);
        let writer =
            Writer { file, bytes, rewrite_at: bytes + REWRITE_BYTES, failed: false, reserve, changes };
        let image = RwLock::new(Arc::new(image));
        let failed = CancellationToken::new();
        Ok(Self { storage, path, writer: Mutex::new(writer), image, failed })
    }

    /// Takes the defaults of the broker's configuration.
    ///
    /// Errors: `InvalidConfig`.
    pub fn configure(&self, topic_defaults: &BTreeMap<String, String>) -> Result<()> {
        let mut shown = self.image.write();
        let mut image = MetadataImage::clone(&shown);
        image.configure(topic_defaults)?;
        *shown = Arc::new(image);
        Ok(())
    }

    /// The metadata as it is now.
    #[must_use]
    pub fn image(&self) -> Arc<MetadataImage> {
        self.image.read().clone()
    }

    /// The offset after the last change, as if each change were a record of a log.
    #[must_use]
    pub fn end_offset(&self) -> i64 {
        self.writer.lock().changes
    }

    /// Cancelled once a change could not be written.
    pub(crate) fn failed(&self) -> CancellationToken {
        self.failed.clone()
    }

    /// Decides on changes from the current image, makes them durable together, and shows them.
    ///
    /// Threads: blocks on the disk; one caller at a time decides.
    pub fn update<T>(
        &self,
        decide: impl FnOnce(&MetadataImage) -> Result<(Vec<MetadataRecord>, T)>,
    ) -> Result<T> {
        let mut writer = self.writer.lock();
        let current = self.image();
        let (records, answer) = decide(&current)?;
        if records.is_empty() {
            return Ok(answer);
        }
        if writer.failed {
            let dir = self.path.clone();
            return Err(Error::StorageFailed { dir, reason: "an earlier write of metadata failed".into() });
        }
        let mut next = MetadataImage::clone(&current);
        for record in &records {
            next.apply(record)?;
        }
        failpoint!("metadata.append.before")?;
        let appended = match self.append(&mut writer, &records, &next) {
            Err(error) if self.spend_reserve(&mut writer, &error) => {
                self.append(&mut writer, &records, &next)
            }
            outcome => outcome,
        };
        if let Err(error) = appended {
            if !cut_back(&writer, &error) {
                writer.failed = true;
                self.failed.cancel();
            }
            return Err(error);
        }
        if !writer.reserve {
            let dir = self.path.parent().expect("the metadata log is in a directory");
            writer.reserve = keep_reserve(self.storage.as_ref(), dir);
        }
        *self.image.write() = Arc::new(next);
        failpoint!("metadata.append.after")?;
        Ok(answer)
    }

    /// Gives the reserve up if that may make an append possible which failed for want of space.
    fn spend_reserve(&self, writer: &mut Writer, error: &Error) -> bool {
        if !cut_back(writer, error) || !std::mem::take(&mut writer.reserve) {
            return false;
        }
        tracing::warn!(path = %self.path.display(), "the disk is full: spending the reserve");
        self.storage.remove_file(&self.path.with_file_name(RESERVE_FILE)).is_ok()
    }

    fn append(&self, writer: &mut Writer, records: &[MetadataRecord], next: &MetadataImage) -> Result<()> {
        if writer.bytes >= writer.rewrite_at {
            let changes = writer.changes + count(records);
            match replace(self.storage.as_ref(), &self.path, next, changes) {
                Ok(Replaced { file, bytes, changes }) => {
                    let rewrite_at = bytes * 2 + REWRITE_BYTES;
                    *writer = Writer { file, bytes, rewrite_at, changes, ..*writer };
                    return Ok(());
                }
                // A smaller log will do no good now; the change itself may still fit.
                Err(error) if cut_back(writer, &error) => {
                    tracing::warn!(%error, "no room to rewrite the metadata log");
                    // What it got written is in the way. Should it stay, the next attempt overwrites it.
                    let _ = self.storage.remove_file(&temporary(&self.path));
                    writer.rewrite_at = writer.bytes + REWRITE_BYTES;
                }
                Err(error) => return Err(error),
            }
        }
        let frame = encode(records);
        writer
            .file
            .write_all_at(&frame, writer.bytes)
            .map_err(|error| Error::io("write", &self.path, error))?;
        writer.file.sync_data().map_err(|error| Error::io("sync", &self.path, error))?;
        writer.bytes += frame.len() as u64;
        writer.changes += count(records);
        Ok(())
    }
}

/// Makes the reserve unless it is there; returns whether it is.
fn keep_reserve(storage: &dyn Storage, dir: &Path) -> bool {
    let path = dir.join(RESERVE_FILE);
    if storage.exists(&path) {
        return true;
    }
    let write = || {
        let file = storage.open(&path, OpenMode::Create)?;
        file.write_all_at(&vec![0; RESERVE_BYTES], 0)?;
        file.sync_data()
    };
    // Half a reserve would only be in the way.
    write().or_else(|error| storage.remove_file(&path).and(Err(error))).is_ok()
}

/// Cuts off what did not fit on a full disk.
fn cut_back(writer: &Writer, error: &Error) -> bool {
    match error {
        Error::Io { source, action: "write" | "create", .. } if is_full(source) => {
            writer.file.set_len(writer.bytes).is_ok()
        }
        _ => false,
    }
}

fn encode(records: &[MetadataRecord]) -> Vec<u8> {
    let payload = serde_json::to_vec(records).expect("metadata records have string keys only");
    let length = u32::try_from(payload.len()).expect("a change of metadata is smaller than 4 GiB");
    let mut frame = Vec::with_capacity(HEADER_BYTES + payload.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&crc32c::crc32c(&payload).to_be_bytes());
    frame.extend_from_slice(&payload);
    frame
}

/// Applies all whole frames; returns the bytes they take and the changes ever made.
fn load(path: &Path, bytes: &[u8], image: &mut MetadataImage) -> Result<(usize, i64)> {
    let (mut position, mut changes) = (0, 0);
    while position < bytes.len() {
        let rest = &bytes[position..];
        let Some(payload) = frame_payload(rest) else {
            return if is_torn_tail(rest) {
                Ok((position, changes))
            } else {
                Err(corrupt(path, position, "checksum mismatch"))
            };
        };
        let records: Vec<MetadataRecord> =
            serde_json::from_slice(payload).map_err(|error| corrupt(path, position, &error.to_string()))?;
        for record in &records {
            if let MetadataRecord::Cluster { changes_before, .. } = record {
                changes += changes_before;
            }
            image.apply(record)?;
        }
        changes += count(&records);
        position += HEADER_BYTES + payload.len();
    }
    Ok((position, changes))
}

/// The payload of the frame at the start of `bytes`, if it is whole and its checksum right.
fn frame_payload(bytes: &[u8]) -> Option<&[u8]> {
    let length = usize::try_from(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?)).ok()?;
    let crc = u32::from_be_bytes(bytes.get(4..HEADER_BYTES)?.try_into().ok()?);
    let payload = bytes.get(HEADER_BYTES..HEADER_BYTES.checked_add(length)?)?;
    (length > 0 && crc32c::crc32c(payload) == crc).then_some(payload)
}

/// What follows the last whole frame is a write that a crash interrupted, unless another whole frame comes later.
fn is_torn_tail(bytes: &[u8]) -> bool {
    let is_frame = |at: usize| {
        let json = bytes[at..].get(HEADER_BYTES..).is_some_and(|payload| payload.starts_with(b"[{"));
        json && frame_payload(&bytes[at..]).is_some()
    };
    !(1..bytes.len()).any(is_frame)
}

fn corrupt(path: &Path, position: usize, reason: &str) -> Error {
    Error::CorruptFile { path: path.to_owned(), reason: format!("frame at position {position}: {reason}") }
}

/// Where the metadata log is rewritten.
fn temporary(path: &Path) -> PathBuf {
    path.with_extension("log.tmp")
}

fn count(records: &[MetadataRecord]) -> i64 {
    i64::try_from(records.len()).unwrap_or(i64::MAX)
}

/// A file that has taken the old one's place.
struct Replaced {
    file: Arc<dyn StorageFile>,
    bytes: u64,
    changes: i64,
}

/// Writes the image, which `changes` have made, to a new file that takes the old one's place.
fn replace(storage: &dyn Storage, path: &Path, image: &MetadataImage, changes: i64) -> Result<Replaced> {
    let dir = path.parent().expect("the metadata log is in a directory");
    let temporary = temporary(path);
    let io = |action, error| Error::io(action, path, error);
    let file = storage.open(&temporary, OpenMode::CreatePrivate).map_err(|error| io("create", error))?;
    let mut records = image.records();
    let before = (changes - count(&records)).max(0);
    if let Some(MetadataRecord::Cluster { changes_before, .. }) = records.first_mut() {
        *changes_before = before;
    }
    let frame = encode(&records);
    file.write_all_at(&frame, 0).map_err(|error| io("write", error))?;
    file.sync_data().map_err(|error| io("sync", error))?;
    storage.rename(&temporary, path).map_err(|error| io("replace", error))?;
    storage.sync_dir(dir).map_err(|error| io("sync the directory of", error))?;
    Ok(Replaced { file, bytes: frame.len() as u64, changes: before + count(&records) })
}

#[cfg(test)]
mod tests;
