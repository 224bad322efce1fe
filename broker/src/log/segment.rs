//! One segment of a log: a `.log` file and its indexes.
//!
//! Threads: one appender at a time (the log's lock sees to it), any number of readers. A reader uses only bytes below
//! the size it saw under the log's lock.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;

use crate::env::storage::{OpenMode, Storage, StorageFile};
use crate::error::{Error, Result};
use crate::ids::Offset;
use crate::log::access::TimestampedOffset;
use crate::log::files::{
    FileCache, LOG_SUFFIX, LazyFile, OFFSET_INDEX_SUFFIX, SEGMENT_SUFFIXES, TIME_INDEX_SUFFIX,
    TXN_INDEX_SUFFIX, path_of,
};
use crate::log::offset_index::{OffsetEntry, OffsetIndex};
use crate::log::scan::{BatchScan, ScanError, check_unsummed};
use crate::log::segment_index::{Indexes, SegmentIndex};
use crate::log::segment_manifest::SealedSegment;
use crate::log::time_index::TimeIndex;
use crate::log::txn_index::{TxnEntry, TxnIndex};
use crate::record::batch::{BatchHeader, HEADER_BYTES, NO_TIMESTAMP, RecordBatch, verify_crc};
use crate::record::compression::DecompressBuf;

/// Sizes of the files of a segment as a directory listing shows them; `None` for missing ones.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SegmentFiles {
    pub(crate) log_len: u64,
    pub(crate) offset_index_len: Option<u64>,
    pub(crate) time_index_len: Option<u64>,
    pub(crate) txn_index_len: Option<u64>,
}

impl SegmentFiles {
    /// Whether this may be a segment that was left without index files.
    pub(crate) fn may_be_unindexed(&self) -> bool {
        let indexes = [self.offset_index_len, self.time_index_len, self.txn_index_len];
        self.log_len <= SMALL_BYTES_MAX && indexes.iter().all(Option::is_none)
    }

    /// The sizes of the files of a segment.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no `.log` file.
    pub(crate) fn of(storage: &dyn Storage, dir: &Path, base_offset: Offset) -> Result<Self> {
        let len = |kind: &str| {
            let path = path_of(dir, base_offset, kind);
            let len = storage.open(&path, OpenMode::Read).and_then(|file| file.len());
            len.map_err(|error| Error::io("open", &path, error))
        };
        Ok(SegmentFiles {
            log_len: len(LOG_SUFFIX)?,
            offset_index_len: len(OFFSET_INDEX_SUFFIX).ok(),
            time_index_len: len(TIME_INDEX_SUFFIX).ok(),
            txn_index_len: len(TXN_INDEX_SUFFIX).ok(),
        })
    }
}

/// A part of a log, from `base_offset` to the base offset of the next segment.
#[derive(Debug)]
pub(crate) struct Segment {
    base_offset: Offset,
    dir: Arc<Path>,
    log: Arc<LazyFile>,
    size: AtomicU64,
    /// Whether each batch begins where the one before it ends, the first at the base offset: true until compaction.
    contiguous: bool,
    index: Mutex<SegmentIndex>,
}

/// Expected properties of a segment that is about to be opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expectation {
    pub(crate) contiguous: bool,
    /// Entries of the transaction index, if known.
    pub(crate) txn_entries: Option<u64>,
}

impl Segment {
    /// Makes the `.log` file of an empty segment; index files appear when there is something to put into them.
    pub(crate) fn create(files: &Arc<FileCache>, dir: &Arc<Path>, base: Offset, now_ms: i64) -> Result<Self> {
        Segment::create_named(files, dir, base, "", now_ms)
    }

    /// As [`Segment::create`], with `suffix` behind the names of all files: for a copy with gaps.
    pub(crate) fn create_named(
        files: &Arc<FileCache>,
        dir: &Arc<Path>,
        base_offset: Offset,
        suffix: &str,
        now_ms: i64,
    ) -> Result<Self> {
        let path = |kind: &str| path_of(dir, base_offset, &format!("{kind}{suffix}"));
        let log_path = path(LOG_SUFFIX);
        let log = files.create(log_path.clone()).map_err(|error| Error::io("create", &log_path, error))?;
        let index = SegmentIndex {
            offsets: OffsetIndex::empty(files.existing(path(OFFSET_INDEX_SUFFIX))),
            times: TimeIndex::empty(files.existing(path(TIME_INDEX_SUFFIX))),
            txns: TxnIndex::empty(files.existing(path(TXN_INDEX_SUFFIX))),
            unindexed_bytes: 0,
            first_timestamp: None,
            max_timestamp: None,
            created_ms: now_ms,
        };
        Ok(Segment {
            base_offset,
            dir: Arc::clone(dir),
            log,
            size: AtomicU64::new(0),
            contiguous: suffix.is_empty(),
            index: Mutex::new(index),
        })
    }

    /// A segment whose files exist. Returns whether its indexes look whole; if not they are empty and to be rebuilt.
    pub(crate) fn open(
        files: &Arc<FileCache>,
        dir: &Arc<Path>,
        base_offset: Offset,
        lens: SegmentFiles,
        expected: Expectation,
        now_ms: i64,
    ) -> (Self, bool) {
        let file = |kind: &str| files.existing(path_of(dir, base_offset, kind));
        let on_disk = lens
            .offset_index_len
            .and_then(|len| OffsetIndex::on_disk(file(OFFSET_INDEX_SUFFIX), len))
            .zip(lens.time_index_len.and_then(|len| TimeIndex::on_disk(file(TIME_INDEX_SUFFIX), len)));
        let txns = TxnIndex::on_disk(file(TXN_INDEX_SUFFIX), lens.txn_index_len.unwrap_or(0));
        // Entries carry a checksum, so reading them verifies them; most segments have none.
        let txns = txns.filter(|txns| txns.read_all().is_ok());
        // But not whether there are others.
        let txns = txns.filter(|txns| expected.txn_entries.is_none_or(|count| count == txns.len() as u64));
        let whole = on_disk.is_some() && txns.is_some();
        let (offsets, times) = on_disk.unwrap_or_else(|| {
            (OffsetIndex::empty(file(OFFSET_INDEX_SUFFIX)), TimeIndex::empty(file(TIME_INDEX_SUFFIX)))
        });
        let index = SegmentIndex {
            offsets,
            times,
            txns: txns.unwrap_or_else(|| TxnIndex::empty(file(TXN_INDEX_SUFFIX))),
            unindexed_bytes: 0,
            first_timestamp: None,
            max_timestamp: None,
            created_ms: now_ms,
        };
        let segment = Segment {
            base_offset,
            dir: Arc::clone(dir),
            log: file(LOG_SUFFIX),
            size: AtomicU64::new(lens.log_len),
            contiguous: expected.contiguous,
            index: Mutex::new(index),
        };
        (segment, whole)
    }

    pub(crate) fn base_offset(&self) -> Offset {
        self.base_offset
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.size_bytes() == 0
    }

    pub(crate) fn is_contiguous(&self) -> bool {
        self.contiguous
    }

    /// The manifest entry of the segment in its present size.
    pub(crate) fn seal(&self) -> SealedSegment {
        SealedSegment {
            base_offset: self.base_offset,
            log_bytes: self.size_bytes(),
            txn_entries: self.txn_entries(),
            contiguous: self.contiguous,
        }
    }

    pub(crate) fn txn_entries(&self) -> u64 {
        self.index.lock().txns.len() as u64
    }

    pub(crate) fn path(&self) -> &Path {
        self.log.path()
    }

    pub(crate) fn created_ms(&self) -> i64 {
        self.index.lock().created_ms
    }

    fn io_error(&self, action: &'static str) -> impl FnOnce(io::Error) -> Error {
        move |error| Error::io(action, self.path(), error)
    }

    fn corrupt(&self, position: u64, offset: Offset, reason: &dyn std::fmt::Display) -> Error {
        Error::CorruptLog { path: self.path().to_owned(), position, offset, reason: reason.to_string() }
    }

    pub(crate) fn scan_error(&self, near: Offset, error: ScanError) -> Error {
        match error {
            ScanError::Io(error) => self.io_error("read")(error),
            ScanError::Defect { position, error } => self.corrupt(position, near, &error),
        }
    }

    // Appending.

    /// Appends batches that were stamped with their offsets, in parts that follow each other. Returns the file, which is
    /// to be synced.
    ///
    /// # Errors
    /// The operating system's; some of the bytes may be in the file then, but they do not count.
    pub(crate) fn append(
        &self,
        parts: &[&[u8]],
        headers: &[BatchHeader],
        index_interval_bytes: u32,
    ) -> io::Result<Arc<dyn StorageFile>> {
        let start = self.size_bytes();
        let file = self.log.get()?;
        file.write_parts_at(parts, start)?;
        let mut position = start;
        let mut index = self.index.lock();
        for header in headers {
            index.note(self.base_offset, position, header, index_interval_bytes)?;
            position += header.size_bytes() as u64;
        }
        let appended: usize = parts.iter().map(|part| part.len()).sum();
        assert_eq!(position, start + appended as u64, "headers describe the bytes appended");
        self.size.store(position, Ordering::Release);
        Ok(file)
    }

    /// Takes back what a failed append may have left behind the end.
    pub(crate) fn cut_unpublished(&self) -> io::Result<()> {
        self.log.get()?.set_len(self.size_bytes())
    }

    pub(crate) fn append_txn(&self, entry: TxnEntry) -> Result<()> {
        self.index
            .lock()
            .txns
            .push(entry)
            .map_err(self.io_error("append an aborted transaction to the index of"))
    }

    /// Writes the indexes out, with their final entries. Returns the files that changed, to be synced.
    pub(crate) fn persist_indexes(&self, done: Indexes) -> Result<Vec<Arc<dyn StorageFile>>> {
        let mut index = self.index.lock();
        index.persist(done).map_err(self.io_error("write the indexes of"))
    }

    /// Whether all of it is read as quickly as files that would save reading it.
    pub(crate) fn is_small(&self) -> bool {
        self.size_bytes() <= SMALL_BYTES_MAX
    }

    /// Whether the segment does without index files after a clean shutdown.
    pub(crate) fn needs_no_index_files(&self) -> bool {
        let index = self.index.lock();
        self.is_small()
            && index.offsets.len() == 0
            && index.txns.len() == 0
            && !(index.offsets.exists() || index.times.exists() || index.txns.exists())
    }

    pub(crate) fn index_bytes(&self) -> usize {
        self.index.lock().offsets.len() * 8
    }

    /// The highest timestamp of the first batch; `None` if the segment is empty.
    pub(crate) fn first_timestamp(&self) -> Result<Option<i64>> {
        if self.index.lock().first_timestamp.is_none() && !self.is_empty() {
            let first =
                self.scan(0)?.next_header().map_err(|error| self.scan_error(self.base_offset, error))?;
            self.index.lock().first_timestamp = first.map(|(_, header)| header.max_timestamp);
        }
        Ok(self.index.lock().first_timestamp)
    }

    // Reading.

    /// The aborted transactions whose marker is in this segment.
    pub(crate) fn aborted_txns(&self) -> Result<Vec<TxnEntry>> {
        let index = self.index.lock();
        index.txns.read_all().map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Error::CorruptFile {
                path: path_of(&self.dir, self.base_offset, TXN_INDEX_SUFFIX),
                reason: error.to_string(),
            },
            _ => self.io_error("read the transaction index of")(error),
        })
    }

    /// Reads whole batches: from the one that holds `offset` (or the first after it) to the last which begins below
    /// `limit`, as far as `bytes_max` allows. `None` if there is no batch at or after `offset` below `size`. No batch
    /// reaches beyond `end`, where the next segment begins: offsets are not under the checksum.
    ///
    /// # Errors
    /// [`Error::CorruptLog`] if a batch is not what was written.
    pub(crate) fn read(&self, range: ReadRange) -> Result<Option<SegmentRead>> {
        let offset = range.offset;
        let start = match self.start_of(offset) {
            Ok(start) => start,
            Err(error) => return self.read_rebuilt(range, error),
        };
        match self.read_at(start, range) {
            Err(error @ Error::CorruptLog { .. }) if start.is_some() => self.read_rebuilt(range, error),
            other => other,
        }
    }

    /// The index led astray or could not be read: builds it again from the log, and reads once more.
    fn read_rebuilt(&self, range: ReadRange, error: Error) -> Result<Option<SegmentRead>> {
        tracing::warn!(path = %self.path().display(), %error, "rebuilding the indexes of a segment");
        self.rebuild_indexes(range.size)?;
        self.read_at(self.start_of(range.offset)?, range)
    }

    fn start_of(&self, offset: Offset) -> Result<Option<OffsetEntry>> {
        let relative = u32::try_from((offset - self.base_offset).max(0)).unwrap_or(u32::MAX);
        let index = self.index.lock();
        index
            .offsets
            .last_where(|entry| entry.relative_offset <= relative)
            .map_err(self.io_error("search the offset index of"))
    }

    fn read_at(&self, start: Option<OffsetEntry>, range: ReadRange) -> Result<Option<SegmentRead>> {
        let file = self.log.get().map_err(self.io_error("open"))?;
        let mut position = start.map_or(0, |entry| u64::from(entry.position));
        let indexed_base = start.map(|entry| self.base_offset + i64::from(entry.relative_offset));
        let mut expected_base = indexed_base;
        let mut least = indexed_base.filter(|_| self.contiguous).unwrap_or(self.base_offset);
        let mut buffer = Bytes::new();
        let slack = range.bytes_max.saturating_add(SKIPPED_BYTES);
        let header = loop {
            if position >= range.size {
                if self.contiguous && least < range.end {
                    return Err(self.corrupt(position, least, &"the segment ends here, but not its offsets"));
                }
                return Ok(None);
            }
            if buffer.len() < HEADER_BYTES {
                buffer = self.read_bytes(file.as_ref(), position, slack, range.size)?;
            }
            let header = self.header_at(&buffer, position, least, range)?;
            least = header.next_offset();
            if expected_base.take().is_some_and(|base| base != header.base_offset) {
                return Err(self.corrupt(
                    position,
                    range.offset,
                    &"the offset index points to another batch",
                ));
            }
            if header.last_offset() >= range.offset {
                break header;
            }
            position += header.size_bytes() as u64;
            buffer.advance(header.size_bytes().min(buffer.len()));
        };
        if header.base_offset >= range.limit || (header.size_bytes() > range.bytes_max && !range.at_least_one)
        {
            return Ok(Some(SegmentRead { bytes: Bytes::new(), next_offset: header.base_offset }));
        }
        let left = usize::try_from(range.size - position).unwrap_or(usize::MAX);
        let wanted = range.bytes_max.max(header.size_bytes()).min(left);
        if buffer.len() < wanted {
            buffer = self.read_bytes(file.as_ref(), position, wanted, range.size)?;
        }
        buffer.truncate(wanted);
        self.whole_batches(buffer, position, header.base_offset, range).map(Some)
    }

    /// Cuts `buffer` after the last whole batch below the limit, having checked each; the first begins at `base`.
    fn whole_batches(
        &self,
        buffer: Bytes,
        position: u64,
        base: Offset,
        range: ReadRange,
    ) -> Result<SegmentRead> {
        let (mut len, mut next_offset, mut least) = (0, range.offset, base);
        while buffer.len() - len >= HEADER_BYTES {
            let at = position + len as u64;
            let header = self.header_at(&buffer[len..], at, least, range)?;
            if header.base_offset >= range.limit || header.size_bytes() > buffer.len() - len {
                break;
            }
            verify_crc(&header, &buffer[len..len + header.size_bytes()])
                .map_err(|error| self.corrupt(at, header.base_offset, &error))?;
            len += header.size_bytes();
            next_offset = header.next_offset();
            least = next_offset;
        }
        Ok(SegmentRead { bytes: buffer.slice(..len), next_offset })
    }

    /// The header of a batch that does not begin before offset `least`; without gaps, that begins there.
    fn header_at(&self, bytes: &[u8], position: u64, least: Offset, range: ReadRange) -> Result<BatchHeader> {
        let header =
            BatchHeader::parse(bytes).map_err(|error| self.corrupt(position, range.offset, &error))?;
        check_unsummed(&header, self.contiguous.then_some(least))
            .map_err(|reason| self.corrupt(position, least, &reason))?;
        let in_order = least <= header.base_offset && header.next_offset() <= range.end;
        if position + header.size_bytes() as u64 > range.size || !in_order {
            return Err(self.corrupt(position, range.offset, &"the batch header does not fit the segment"));
        }
        Ok(header)
    }

    fn read_bytes(&self, file: &dyn StorageFile, position: u64, wanted: usize, size: u64) -> Result<Bytes> {
        let left = usize::try_from(size - position).unwrap_or(usize::MAX);
        let wanted = wanted.min(left);
        let bytes = file.read_vec_at(wanted, position).map_err(self.io_error("read"))?;
        if bytes.len() < wanted {
            return Err(self.corrupt(
                position + bytes.len() as u64,
                self.base_offset,
                &"the file is shorter than it was",
            ));
        }
        Ok(bytes.into())
    }

    /// A walk over the batches from `position` on.
    pub(crate) fn scan(&self, position: u64) -> Result<BatchScan> {
        let file = self.log.get().map_err(self.io_error("open"))?;
        Ok(self.scan_of(file, position, self.size_bytes()))
    }

    fn scan_of(&self, file: Arc<dyn StorageFile>, position: u64, end: u64) -> BatchScan {
        let scan = BatchScan::new(file, position, end);
        match self.contiguous {
            true => scan.contiguous_from((position == 0).then_some(self.base_offset)),
            false => scan,
        }
    }

    /// The first record at or after `offset` whose timestamp is at least `timestamp`.
    pub(crate) fn find_timestamp(&self, timestamp: i64, offset: Offset) -> Result<Option<TimestampedOffset>> {
        let entry = self.index.lock().times.last_where(|entry| entry.timestamp < timestamp);
        let from = match entry.map_err(self.io_error("search the time index of"))? {
            Some(entry) => offset.max(self.base_offset + i64::from(entry.relative_offset)),
            None => offset,
        };
        let start = self.start_of(from)?.map_or(0, |entry| u64::from(entry.position));
        let mut scan = self.scan(start)?;
        let mut scratch = DecompressBuf::default();
        while let Some((position, header)) =
            scan.next_header().map_err(|error| self.scan_error(from, error))?
        {
            if header.last_offset() < from || header.max_timestamp < timestamp {
                continue;
            }
            let batch = self.batch_at(position)?;
            for record in batch.records(&mut scratch)? {
                let record = record.map_err(|error| self.corrupt(position, header.base_offset, &error))?;
                if record.timestamp >= timestamp && record.offset >= offset {
                    return Ok(Some(TimestampedOffset {
                        offset: record.offset,
                        timestamp: record.timestamp,
                        leader_epoch: header.partition_leader_epoch,
                    }));
                }
            }
        }
        Ok(None)
    }

    fn batch_at(&self, position: u64) -> Result<RecordBatch> {
        let found =
            self.scan(position)?.next_batch().map_err(|error| self.scan_error(self.base_offset, error))?;
        found.map(|(_, batch)| batch).ok_or_else(|| self.corrupt(position, self.base_offset, &"end of file"))
    }

    /// The position of the first batch whose last offset is at least `offset`, and that batch's base offset; the end
    /// of the segment if there is none.
    pub(crate) fn position_of(&self, offset: Offset) -> Result<(u64, Option<Offset>)> {
        let start = self.start_of(offset)?.map_or(0, |entry| u64::from(entry.position));
        let mut scan = self.scan(start)?;
        while let Some((position, header)) =
            scan.next_header().map_err(|error| self.scan_error(offset, error))?
        {
            if header.last_offset() >= offset {
                return Ok((position, Some(header.base_offset)));
            }
        }
        Ok((self.size_bytes(), None))
    }

    /// The highest timestamp in the segment; [`NO_TIMESTAMP`] if there is none.
    pub(crate) fn max_timestamp(&self) -> Result<i64> {
        let mut index = self.index.lock();
        let entry = index.max_timestamp_entry().map_err(self.io_error("read the time index of"))?;
        Ok(entry.map_or(NO_TIMESTAMP, |entry| entry.timestamp))
    }

    // Changing.

    /// Builds offset and time index from the headers below `size` again.
    pub(crate) fn rebuild_indexes(&self, size: u64) -> Result<()> {
        let file = self.log.get().map_err(self.io_error("open"))?;
        let mut scan = self.scan_of(file, 0, size);
        let mut headers = Vec::new();
        while let Some(found) =
            scan.next_header().map_err(|error| self.scan_error(self.base_offset, error))?
        {
            headers.push(found);
        }
        let mut index = self.index.lock();
        index.clear();
        for (position, header) in headers {
            index
                .note(self.base_offset, position, &header, INDEX_INTERVAL_BYTES)
                .map_err(self.io_error("rebuild the indexes of"))?;
        }
        Ok(())
    }

    /// Forgets all index entries, to note them again one by one.
    pub(crate) fn clear_indexes(&self) {
        let mut index = self.index.lock();
        index.clear();
        index.txns.clear();
    }

    /// Notes a batch which is in the file already.
    pub(crate) fn index_batch(&self, position: u64, header: &BatchHeader, interval_bytes: u32) -> Result<()> {
        let noted = self.index.lock().note(self.base_offset, position, header, interval_bytes);
        noted.map_err(self.io_error("index a batch of"))
    }

    /// Cuts the file at `position`, where the first batch to go has base offset `offset`, and the indexes likewise.
    pub(crate) fn truncate(&self, position: u64, offset: Offset) -> Result<Arc<dyn StorageFile>> {
        let file = self.log.get().map_err(self.io_error("open"))?;
        file.set_len(position).map_err(self.io_error("truncate"))?;
        self.size.store(position, Ordering::Release);
        let relative = u32::try_from(offset - self.base_offset).unwrap_or(u32::MAX);
        let mut index = self.index.lock();
        let index = &mut *index;
        index.max_timestamp = None;
        index.unindexed_bytes = 0;
        index
            .offsets
            .truncate_where(|entry| u64::from(entry.position) < position)
            .and_then(|()| index.times.truncate_where(|entry| entry.relative_offset < relative))
            .and_then(|()| index.txns.truncate_where(|entry| entry.last_offset < offset))
            .map_err(self.io_error("truncate the indexes of"))?;
        Ok(file)
    }

    /// The open `.log` file.
    pub(crate) fn open_log(&self) -> Result<Arc<dyn StorageFile>> {
        self.log.get().map_err(self.io_error("open"))
    }

    /// Makes the `.log` file and what the indexes have on disk durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.open_log()?.sync_data().map_err(self.io_error("sync"))
    }

    /// Closes the files until their next use.
    pub(crate) fn close(&self) {
        self.log.close();
        let index = self.index.lock();
        index.offsets.close();
        index.times.close();
        index.txns.close();
    }

    /// The files of this segment that may exist, with `suffix` behind their names. The `.log` file comes first.
    pub(crate) fn paths(&self, suffix: &str) -> impl Iterator<Item = PathBuf> {
        let names =
            SEGMENT_SUFFIXES.map(|kind| path_of(&self.dir, self.base_offset, &format!("{kind}{suffix}")));
        names.into_iter()
    }
}

/// Batches read from a segment.
#[derive(Debug, Clone)]
pub(crate) struct SegmentRead {
    pub(crate) bytes: Bytes,
    /// The offset after the last of them.
    pub(crate) next_offset: Offset,
}

/// The range of a segment to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadRange {
    pub(crate) offset: Offset,
    pub(crate) limit: Offset,
    pub(crate) end: Offset,
    pub(crate) size: u64,
    pub(crate) bytes_max: usize,
    pub(crate) at_least_one: bool,
}

/// Bytes read beyond what was asked for, because the index points up to an interval ahead of the batch wanted.
const SKIPPED_BYTES: usize = 8 << 10;
const INDEX_INTERVAL_BYTES: u32 = 4096;
/// The largest segment that may be without index files and snapshot of producers after a clean shutdown.
const SMALL_BYTES_MAX: u64 = 8 << 10;
