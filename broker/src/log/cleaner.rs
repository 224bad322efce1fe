//! Compaction: of all records with the same key, only the last is kept.
//!
//! ```text
//!  0 ...... first dirty ................ end ....... log end
//!  |--clean-----|--dirty, goes into the map-|--active segment, open transactions, too young--|
//! ```
//!
//! A pass reads the dirty part into a map from key to last offset, then copies all segments up to `end`, leaving out
//! records with a later one in the map. Copies are written as `.cleaned`, synced, renamed to `.swap` (from here on a
//! restart finishes the job), and take the place of the originals. The active segment is never touched, nor anything
//! at or above the last stable offset.
//!
//! Tombstones and markers of transactions without records stay for `delete.retention.ms` after the first pass that
//! saw them, so that a reader who was in the middle gets to see them. Source: KIP-534.

pub(crate) mod filter;
pub(crate) mod offset_map;
pub(crate) mod txn_tracker;

use std::sync::Arc;

use hashbrown::HashMap;

use crate::error::{Error, Result};
use crate::failpoint;
use crate::ids::{Offset, ProducerId};
use crate::log::checkpoint::Checkpoint;
use crate::log::cleaner::filter::{Filter, Filtered};
use crate::log::cleaner::offset_map::OffsetMap;
use crate::log::cleaner::txn_tracker::{Disposition, TxnTracker};
use crate::log::files::{CLEANED_SUFFIX, SEGMENT_SUFFIXES, SWAP_SUFFIX, path_of, remove_if_present};
use crate::log::loader::leftovers::finish_swap;
use crate::log::partition_log::Log;
use crate::log::partition_log::maintenance::Maintenance;
use crate::log::segment::{Expectation, Segment, SegmentFiles};
use crate::log::segment_index::Indexes;
use crate::log::segment_manifest::MANIFEST_FILE;
use crate::log::txn_index::TxnEntry;
use crate::record::batch::BatchHeader;
use crate::record::compression::DecompressBuf;

/// Settings of compaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanerConfig {
    /// Memory for the map of keys; a log with more dirty keys than fit is compacted in several passes.
    pub dedupe_bytes_max: usize,
    /// Time between looking for dirty logs.
    pub interval_ms: u64,
}

impl Default for CleanerConfig {
    fn default() -> Self {
        CleanerConfig { dedupe_bytes_max: 128 << 20, interval_ms: 15_000 }
    }
}

/// The part of a log to compact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct DirtyRange {
    first_dirty: Offset,
    /// Base offset of the first segment that must stay as it is.
    end: Offset,
    /// Dirty bytes as a part of all bytes before `end`.
    ratio: f64,
}

/// The logs which are dirty enough, the dirtiest first.
pub(crate) fn find_dirty(
    logs: &[Arc<Log>],
    cleaned_to: &Checkpoint<1>,
    now_ms: i64,
) -> Vec<(Arc<Log>, DirtyRange)> {
    let mut dirty = Vec::new();
    for log in logs {
        let cleaned_to = cleaned_to.get(log.topic_partition()).map(|numbers| numbers[0]);
        match dirty_range(log, cleaned_to, now_ms) {
            Ok(range) => dirty.extend(range.map(|range| (Arc::clone(log), range))),
            Err(_) if log.is_closed() => {}
            Err(error) => {
                tracing::warn!(tp = %log.topic_partition(), %error, "cannot tell how dirty a log is")
            }
        }
    }
    dirty.sort_by(|(_, a), (_, b)| b.ratio.total_cmp(&a.ratio));
    dirty
}

fn dirty_range(log: &Log, cleaned_to: Option<Offset>, now_ms: i64) -> Result<Option<DirtyRange>> {
    let config = log.config();
    if !config.cleanup_policy.compact || log.is_closed() {
        return Ok(None);
    }
    let offsets = log.offsets();
    let first_dirty = match cleaned_to {
        Some(offset) if (offsets.log_start..=offsets.log_end).contains(&offset) => offset,
        _ => offsets.log_start,
    };
    let segments = log.segments();
    let (mut clean_bytes, mut dirty_bytes) = (0, 0);
    let mut end = segments.first().map_or(0, |first| first.base_offset());
    let mut oldest_dirty_ms = None;
    for pair in segments.windows(2) {
        let (segment, next_base) = (&pair[0], pair[1].base_offset());
        let too_young = segment.max_timestamp()? > now_ms.saturating_sub(config.min_compaction_lag_ms);
        let dirty = next_base > first_dirty;
        if next_base > offsets.last_stable || (dirty && config.min_compaction_lag_ms > 0 && too_young) {
            break;
        }
        end = next_base;
        if dirty {
            dirty_bytes += segment.size_bytes();
            if oldest_dirty_ms.is_none() {
                oldest_dirty_ms = segment.first_timestamp()?;
            }
        } else {
            clean_bytes += segment.size_bytes();
        }
    }
    if dirty_bytes == 0 {
        return Ok(None);
    }
    let ratio = dirty_bytes as f64 / (clean_bytes + dirty_bytes) as f64;
    let overdue =
        oldest_dirty_ms.is_some_and(|oldest| now_ms.saturating_sub(oldest) > config.max_compaction_lag_ms);
    let due = overdue || ratio > config.min_cleanable_dirty_ratio;
    Ok(due.then_some(DirtyRange { first_dirty, end, ratio }))
}

/// Compacts a log up to `dirty.end`, or as far as the map of keys reaches. Returns the offset up to which it is clean.
///
/// # Errors
/// [`Error::Io`], [`Error::CorruptLog`]; the log is as it was then, or partly compacted, which is as good.
pub(crate) fn clean(log: &Log, dirty: &DirtyRange, config: &CleanerConfig, now_ms: i64) -> Result<Offset> {
    let maintenance = log.begin_maintenance();
    let mut segments = log.segments();
    segments.pop();
    segments.retain(|segment| segment.base_offset() < dirty.end);
    let Some(first) = segments.first() else { return Ok(dirty.first_dirty) };
    let from = first.base_offset();
    let (map, map_end) = build_map(log, &segments, dirty, config)?;
    let mut pass = Pass {
        log,
        now_ms,
        filter: Filter { map: &map, map_end, delete_retention_ms: log.config().delete_retention_ms, now_ms },
        tracker: TxnTracker::new(log.aborted_txns(from, dirty.end)?),
        last_data_offsets: log.last_data_offsets(),
        scratch: DecompressBuf::default(),
    };
    let before: u64 = segments.iter().map(|segment| segment.size_bytes()).sum();
    let covered: Vec<_> =
        segments.into_iter().take_while(|segment| segment.base_offset() < map_end).collect();
    let mut after = 0;
    for group in group_segments(covered, log.config().segment_bytes) {
        after += pass.clean_group(&group, &maintenance)?;
    }
    tracing::info!(tp = %log.topic_partition(), before, after, keys = map.len(), offset = map_end, "compacted a log");
    Ok(map_end)
}

/// Maps the keys of the dirty part to their last offsets. Returns the offset up to which that went.
fn build_map(
    log: &Log,
    segments: &[Arc<Segment>],
    dirty: &DirtyRange,
    config: &CleanerConfig,
) -> Result<(OffsetMap, Offset)> {
    let mut map = OffsetMap::new(config.dedupe_bytes_max);
    let mut tracker = TxnTracker::new(log.aborted_txns(dirty.first_dirty, dirty.end)?);
    let mut scratch = DecompressBuf::default();
    for segment in segments {
        let (position, found) = segment.position_of(dirty.first_dirty)?;
        if found.is_none() {
            continue;
        }
        let mut scan = segment.scan(position)?;
        while let Some((_, batch)) =
            scan.next_batch().map_err(|error| segment.scan_error(dirty.first_dirty, error))?
        {
            let header = batch.header();
            match tracker.observe(&batch)? {
                Disposition::Data => {}
                Disposition::Aborted | Disposition::Control | Disposition::EmptyMarker => continue,
            }
            // Every batch has room, or the map ends before it; the first always fits.
            if !map.is_empty() && !map.has_room(header.records_count as usize) {
                return Ok((map, header.base_offset));
            }
            for record in batch.records(&mut scratch)? {
                let record = record?;
                if let Some(key) = record.key {
                    map.insert(key, record.offset);
                }
            }
        }
    }
    Ok((map, dirty.end))
}

/// Neighbours which together fit one segment.
fn group_segments(segments: Vec<Arc<Segment>>, segment_bytes: u32) -> Vec<Vec<Arc<Segment>>> {
    let mut groups: Vec<Vec<Arc<Segment>>> = Vec::new();
    let mut bytes = 0;
    let mut ends = segments.iter().skip(1).map(|next| next.base_offset()).collect::<Vec<_>>();
    ends.push(segments.last().map_or(0, |last| last.base_offset()));
    for (segment, end) in segments.into_iter().zip(ends) {
        bytes += segment.size_bytes();
        match groups.last_mut() {
            Some(group)
                if bytes <= u64::from(segment_bytes)
                    && end - group[0].base_offset() < i64::from(i32::MAX) =>
            {
                group.push(segment);
            }
            _ => {
                bytes = segment.size_bytes();
                groups.push(vec![segment]);
            }
        }
    }
    groups
}

/// One pass over a log.
struct Pass<'a> {
    log: &'a Log,
    now_ms: i64,
    filter: Filter<'a>,
    tracker: TxnTracker,
    last_data_offsets: HashMap<ProducerId, Offset>,
    scratch: DecompressBuf,
}

/// Bytes gathered before they are written to the copy.
const WRITE_BYTES: usize = 1 << 20;

/// Batches on their way into the copy.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    headers: Vec<BatchHeader>,
}

impl Pass<'_> {
    /// Replaces the segments of a group by one without the records that are superseded. Returns its size.
    fn clean_group(&mut self, group: &[Arc<Segment>], maintenance: &Maintenance<'_>) -> Result<u64> {
        let base = group[0].base_offset();
        let (dir, files) = (self.log.dir(), &self.log.context().files);
        let storage = self.log.context().storage();
        for suffix in [CLEANED_SUFFIX, SWAP_SUFFIX] {
            for kind in SEGMENT_SUFFIXES {
                remove_if_present(storage, &path_of(dir, base, &format!("{kind}{suffix}")))?;
            }
        }
        let copy = Segment::create_named(files, dir, base, CLEANED_SUFFIX, self.now_ms)?;
        for segment in group {
            self.copy_segment(segment, &copy)?;
        }
        let index_files = copy.persist_indexes(Indexes::SealAll)?;
        for file in index_files {
            file.sync_data().map_err(|error| Error::io("sync the indexes of", copy.path(), error))?;
        }
        copy.sync()?;
        failpoint!("cleaner.copy.after_sync")?;
        let size = copy.size_bytes();
        copy.close();
        self.log.forget_sealed(|base| !group.iter().any(|segment| segment.base_offset() == base))?;
        failpoint!("cleaner.seals.taken_out")?;
        // The log last: its `.swap` name is what makes the replacement final.
        for kind in SEGMENT_SUFFIXES.iter().rev() {
            let from = path_of(dir, base, &format!("{kind}{CLEANED_SUFFIX}"));
            let to = path_of(dir, base, &format!("{kind}{SWAP_SUFFIX}"));
            storage.rename(&from, &to).map_err(|error| Error::io("rename", &from, error))?;
        }
        storage.sync_dir(dir).map_err(|error| Error::io("sync directory", dir, error))?;
        failpoint!("cleaner.swap.after_rename")?;
        let open = || {
            finish_swap(self.log.context(), dir, base)?;
            let lens = SegmentFiles::of(storage, dir, base)?;
            let expected = Expectation { contiguous: false, txn_entries: None };
            let (segment, whole) = Segment::open(files, dir, base, lens, expected, self.now_ms);
            if !whole {
                segment.rebuild_indexes(segment.size_bytes())?;
            }
            Ok(segment)
        };
        let replacement = self.log.replace_segments(group, open, base, maintenance)?;
        if let Some(file) = self.log.note_sealed(&replacement) {
            file.sync_data().map_err(|error| Error::io("sync", &dir.join(MANIFEST_FILE), error))?;
            storage.sync_dir(dir).map_err(|error| Error::io("sync directory", dir, error))?;
        }
        Ok(size)
    }

    fn copy_segment(&mut self, segment: &Segment, copy: &Segment) -> Result<()> {
        let aborts: HashMap<Offset, TxnEntry> =
            segment.aborted_txns()?.into_iter().map(|txn| (txn.last_offset, txn)).collect();
        let mut output = Output::default();
        let mut scan = segment.scan(0)?;
        while let Some((_, batch)) =
            scan.next_batch().map_err(|error| segment.scan_error(segment.base_offset(), error))?
        {
            let header = *batch.header();
            let disposition = self.tracker.observe(&batch)?;
            let needed = self.last_data_offsets.get(&header.producer_id) == Some(&header.last_offset());
            let filtered = self.filter.apply(batch, disposition, needed, &mut self.scratch)?;
            let (Filtered::Kept(bytes) | Filtered::Rewritten(bytes)) = filtered else { continue };
            output.headers.push(BatchHeader::parse(&bytes)?);
            output.bytes.extend_from_slice(&bytes);
            if let Some(txn) = aborts.get(&header.base_offset) {
                copy.append_txn(*txn)?;
            }
            if output.bytes.len() >= WRITE_BYTES {
                self.write(copy, &mut output)?;
            }
        }
        self.write(copy, &mut output)
    }

    fn write(&self, copy: &Segment, output: &mut Output) -> Result<()> {
        let Output { bytes, headers } = std::mem::take(output);
        if headers.is_empty() {
            return Ok(());
        }
        let written = copy.append(&[&bytes], &headers, self.log.config().index_interval_bytes);
        written.map(|_| ()).map_err(|error| Error::io("append to", copy.path(), error))
    }
}
