//! Opening a log: what a crash left behind is checked, completed or cut off.
//!
//! After a clean shutdown the files are trusted. After any other, every batch of the segments which may not have been
//! flushed is checked. A bad batch with nothing good behind it, where the disk had not been told to sync yet, is a torn
//! write: it was never acknowledged and is cut off. Any other bad batch is damage, and the log is refused unless the
//! operator decides otherwise. A relaxed log may have holes wherever it was not synced, so it is cut there as well.

pub(crate) mod leftovers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::error::{BatchDefect, Error, Result};
use crate::failpoint;
use crate::ids::{Offset, TopicPartition};
use crate::log::config::Durability;
use crate::log::context::{CleanState, LoadedLog, LogContext};
use crate::log::files::{LOG_SUFFIX, SNAPSHOT_SUFFIX, parse_name, path_of, remove_if_present};
use crate::log::loader::leftovers::Listing;
use crate::log::producer_state::ProducerStates;
use crate::log::producer_state::replay::{newest_snapshot, replay_producers, replay_segment};
use crate::log::scan::ScanError;
use crate::log::segment::{Expectation, Segment, SegmentFiles};
use crate::log::segment_index::Indexes;
use crate::log::segment_manifest::{self, SealedSegment, SegmentManifest};
use crate::record::batch::{BatchHeader, HEADER_BYTES, RecordBatch, verify_crc};
use crate::record::control::MarkerKind;

/// Reaction to a bad batch that is not a torn write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CorruptionPolicy {
    /// Refuse to open the log, naming file and offset.
    #[default]
    Refuse,
    /// Cut the log off before the bad batch. What was behind it is lost.
    Truncate,
}

/// Checkpoints and settings of a log that is about to be opened.
#[derive(Debug, Clone)]
pub(crate) struct LoadRequest {
    pub(crate) tp: TopicPartition,
    pub(crate) dir: Arc<Path>,
    /// Everything before it was flushed, with its indexes.
    pub(crate) recovery_point: Offset,
    pub(crate) log_start: Offset,
    /// Set after a clean shutdown.
    pub(crate) clean: Option<CleanState>,
    pub(crate) on_corruption: CorruptionPolicy,
    pub(crate) index_interval_bytes: u32,
}

/// Opens the log of `request`.
///
/// # Errors
/// [`Error::CorruptLog`] for damage, [`Error::Io`].
pub(crate) fn load(context: &LogContext, request: &LoadRequest) -> Result<LoadedLog> {
    let listing = leftovers::clear_away(context, &request.dir)?;
    let now_ms = context.clock.now_ms();
    let mut damaged = BTreeSet::new();
    let mut segments = BTreeMap::new();
    let manifest = sealed(context, request, &listing)?;
    let last_base = listing.segments.keys().next_back().copied();
    for (&base, &lens) in &listing.segments {
        let seal = manifest.get(&base);
        let last = Some(base) == last_base;
        let expected = Expectation {
            // Compaction leaves the last segment alone.
            contiguous: seal.map_or(last, |seal| seal.contiguous),
            txn_entries: match last {
                true => request.clean.map(|clean| clean.active_txns),
                false => seal.map(|seal| seal.txn_entries),
            },
        };
        let (segment, whole) = Segment::open(&context.files, &request.dir, base, lens, expected, now_ms);
        if !whole {
            damaged.insert(base);
        }
        segments.insert(base, Arc::new(segment));
    }
    let first_base = segments.keys().next().copied();
    let log_start = request.log_start.max(first_base.unwrap_or(0));
    let Some((&active_base, active)) = segments.last_key_value() else {
        return start_at(context, request, log_start);
    };
    if let Some(clean) = request.clean
        && (clean.active_base, clean.active_size) == (active_base, active.size_bytes())
        && damaged.is_empty_but(
            active_base,
            active.is_empty() || reindex(active, &listing.segments[&active_base], &clean),
        )
    {
        let producers = clean_producers(context, request, &clean, &segments)?;
        let log_end = clean.log_end;
        return Ok(LoadedLog { log_start, log_end, segments, producers, fresh: None, as_closed: true });
    }
    let producers = ProducerStates::default();
    let recovery = Recovery { context, request, segments, manifest, producers, unsynced: false };
    let loaded = recovery.run(&damaged, log_start)?;
    // Without fsync the deletion of records may have been noted before the records themselves were on disk.
    if loaded.log_end < loaded.log_start && context.durability == Durability::Relaxed {
        tracing::warn!(tp = %request.tp, log_end = loaded.log_end, log_start, "log ends before its start, starting anew");
        for segment in loaded.segments.values() {
            segment.close();
            for path in segment.paths("") {
                remove_if_present(context.storage(), &path)?;
            }
        }
        return start_at(context, request, log_start);
    }
    if loaded.log_end < loaded.log_start && request.on_corruption == CorruptionPolicy::Refuse {
        let active = loaded.segments.values().next_back().expect("there is a segment");
        return Err(Error::CorruptLog {
            path: active.path().to_owned(),
            position: active.size_bytes(),
            offset: loaded.log_end,
            reason: format!("the log ends here, but begins at offset {log_start}"),
        });
    }
    Ok(loaded)
}

/// The manifest of sealed segments, checked against the listing: segments whose bytes are known to have been on disk
/// must be there and whole. Recovery checks the others.
fn sealed(context: &LogContext, request: &LoadRequest, listing: &Listing) -> Result<SegmentManifest> {
    if !listing.has_manifest {
        return Ok(SegmentManifest::new());
    }
    let (storage, dir) = (context.storage(), &request.dir);
    let manifest = segment_manifest::read(storage, dir)?;
    for (&base, seal) in &manifest {
        let next_base = listing.segments.range(base + 1..).next().map(|(next, _)| *next);
        let Some(next_base) = next_base else { continue };
        let len = listing.segments.get(&base).map_or(0, |lens| lens.log_len);
        let flushed = request.clean.is_some() || next_base <= request.recovery_point;
        if len >= seal.log_bytes || !flushed {
            continue;
        }
        let (path, wanted) = (path_of(dir, base, LOG_SUFFIX), seal.log_bytes);
        if request.on_corruption == CorruptionPolicy::Truncate {
            tracing::error!(path = %path.display(), len, wanted, "records at the end of a segment are gone");
            // As decided, what is left is read.
            return Ok(SegmentManifest::new());
        }
        let reason = format!("the segment ends here, but had {wanted} bytes when it was sealed");
        return Err(Error::CorruptLog { path, position: len, offset: base, reason });
    }
    Ok(manifest)
}

/// Rebuilds the indexes of a segment that was left without index files. Returns whether the segment qualifies and the
/// rebuild succeeded; a segment with aborted transactions has an index file.
fn reindex(active: &Segment, files: &SegmentFiles, clean: &CleanState) -> bool {
    clean.active_txns == 0 && files.may_be_unindexed() && active.rebuild_indexes(active.size_bytes()).is_ok()
}

trait DamagedExt {
    fn is_empty_but(&self, active_base: Offset, active_is_empty: bool) -> bool;
}

impl DamagedExt for BTreeSet<Offset> {
    /// An active segment without data has no index files, and needs none; neither does one with few.
    fn is_empty_but(&self, active_base: Offset, active_is_empty: bool) -> bool {
        self.iter().all(|base| active_is_empty && *base == active_base)
    }
}

/// An empty log in an empty directory; nothing is synced.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn create(context: &LogContext, dir: &Arc<Path>) -> Result<LoadedLog> {
    create_at(context, dir, 0)
}

fn create_at(context: &LogContext, dir: &Arc<Path>, log_start: Offset) -> Result<LoadedLog> {
    let segment = Segment::create(&context.files, dir, log_start, context.clock.now_ms())?;
    let segments = BTreeMap::from([(log_start, Arc::new(segment))]);
    let producers = ProducerStates::default();
    Ok(LoadedLog { segments, log_start, log_end: log_start, producers, fresh: None, as_closed: true })
}

fn start_at(context: &LogContext, request: &LoadRequest, log_start: Offset) -> Result<LoadedLog> {
    segment_manifest::retain(context.storage(), &request.dir, |_| false)?;
    let loaded = create_at(context, &request.dir, log_start)?;
    let synced = context.storage().sync_dir(&request.dir);
    synced.map_err(|error| Error::io("sync directory", &request.dir, error))?;
    Ok(loaded)
}

fn clean_producers(
    context: &LogContext,
    request: &LoadRequest,
    clean: &CleanState,
    segments: &BTreeMap<Offset, Arc<Segment>>,
) -> Result<ProducerStates> {
    if !clean.has_producers {
        return Ok(ProducerStates::default());
    }
    let segments: Vec<_> = segments.values().map(Arc::clone).collect();
    replay_producers(context.storage(), &request.dir, &segments, clean.log_end)
}

struct Recovery<'a> {
    context: &'a LogContext,
    request: &'a LoadRequest,
    segments: BTreeMap<Offset, Arc<Segment>>,
    manifest: SegmentManifest,
    producers: ProducerStates,
    unsynced: bool,
}

/// A bad batch, and what should have been there.
struct Damage {
    position: u64,
    expected_offset: Offset,
    error: Error,
}

impl Recovery<'_> {
    fn run(mut self, damaged: &BTreeSet<Offset>, log_start: Offset) -> Result<LoadedLog> {
        let bases: Vec<Offset> = self.segments.keys().copied().collect();
        let first_unflushed = bases
            .windows(2)
            // A segment that ends at the recovery point may have been sealed after it, and its indexes are not synced.
            .find(|pair| pair[1] >= self.request.recovery_point)
            .map_or(bases[bases.len() - 1], |pair| pair[0]);
        let recover_from = damaged.first().map_or(first_unflushed, |first| first_unflushed.min(*first));
        let (producers, snapshot_offset) =
            newest_snapshot(self.context.storage(), &self.request.dir, recover_from)?;
        self.producers = producers;
        let mut log_end = bases[0];
        for (index, &base) in bases.iter().enumerate() {
            let next_base = bases.get(index + 1).copied();
            if base < recover_from {
                if next_base.is_some_and(|next| next > snapshot_offset) {
                    replay_segment(&self.segments[&base], &mut self.producers, snapshot_offset)?;
                }
                continue;
            }
            let segment = Arc::clone(&self.segments[&base]);
            let (end, damage) = self.check_segment(&segment, next_base)?;
            log_end = end;
            if let Some(damage) = damage {
                self.cut(&segment, &damage)?;
                break;
            }
            if next_base.is_some() {
                for file in segment.persist_indexes(Indexes::Seal)? {
                    file.sync_data()
                        .map_err(|error| Error::io("sync the indexes of", segment.path(), error))?;
                }
            }
        }
        self.remove_snapshots_after(log_end)?;
        if self.unsynced || log_end > self.request.recovery_point {
            self.sync(recover_from)?;
        }
        let Recovery { segments, producers, .. } = self;
        Ok(LoadedLog { log_start, log_end, segments, producers, fresh: None, as_closed: false })
    }

    /// Checks and indexes every batch of a segment. Returns the offset after the last good one.
    fn check_segment(
        &mut self,
        segment: &Segment,
        next_base: Option<Offset>,
    ) -> Result<(Offset, Option<Damage>)> {
        segment.clear_indexes();
        let mut scan = segment.scan(0)?;
        let mut expected = segment.base_offset();
        loop {
            match scan.next_batch() {
                Ok(None) => {
                    let seal = self.manifest.get(&segment.base_offset());
                    return Ok((expected, cut_short(segment, seal, expected, next_base)));
                }
                Ok(Some((position, batch))) => {
                    if let Some(error) = out_of_order(batch.header(), expected, next_base) {
                        return Ok((expected, Some(Damage { position, expected_offset: expected, error })));
                    }
                    segment.index_batch(position, batch.header(), self.request.index_interval_bytes)?;
                    self.replay(segment, &batch)?;
                    expected = batch.header().next_offset();
                }
                Err(ScanError::Defect { position, error }) => {
                    return Ok((expected, Some(Damage { position, expected_offset: expected, error })));
                }
                Err(error @ ScanError::Io(_)) => return Err(segment.scan_error(expected, error)),
            }
        }
    }

    fn replay(&mut self, segment: &Segment, batch: &RecordBatch) -> Result<()> {
        match self.producers.replay(batch)? {
            Some(txn) if txn.kind == MarkerKind::Abort => segment.append_txn(self.producers.txn_entry(&txn)),
            _ => Ok(()),
        }
    }

    /// Cuts a torn write off, or refuses damage.
    fn cut(&mut self, segment: &Arc<Segment>, damage: &Damage) -> Result<()> {
        let offset = damage.expected_offset;
        let later: Vec<_> = self
            .segments
            .range(segment.base_offset() + 1..)
            .map(|(_, segment)| Arc::clone(segment))
            .collect();
        let mut torn = !has_good_batch(segment, damage.position + 1, offset)?;
        for segment in &later {
            torn = torn && !has_good_batch(segment, 0, offset)?;
        }
        let unsynced = offset >= self.request.recovery_point;
        let expected = unsynced && (torn || self.context.durability == Durability::Relaxed);
        if !expected && self.request.on_corruption == CorruptionPolicy::Refuse {
            return Err(Error::CorruptLog {
                path: segment.path().to_owned(),
                position: damage.position,
                offset,
                reason: damage.error.to_string(),
            });
        }
        let bytes = segment.size_bytes() - damage.position;
        tracing::warn!(
            tp = %self.request.tp, offset, bytes, expected, reason = %damage.error,
            path = %segment.path().display(), "cutting off the end of a log"
        );
        failpoint!("recover.before_cut")?;
        let base = segment.base_offset();
        segment_manifest::retain(self.context.storage(), &self.request.dir, |sealed| {
            sealed < base || (sealed == base && !segment.is_contiguous())
        })?;
        segment.truncate(damage.position, offset)?;
        failpoint!("recover.after_cut")?;
        for segment in later {
            self.segments.remove(&segment.base_offset());
            segment.close();
            for path in segment.paths("") {
                remove_if_present(self.context.storage(), &path)?;
            }
        }
        self.unsynced = true;
        Ok(())
    }

    fn remove_snapshots_after(&self, log_end: Offset) -> Result<()> {
        let (storage, dir) = (self.context.storage(), &self.request.dir);
        for entry in storage.read_dir(dir).map_err(|error| Error::io("list", dir, error))? {
            if let Some((at, SNAPSHOT_SUFFIX)) = parse_name(&entry.name)
                && at > log_end
            {
                remove_if_present(storage, &dir.join(&entry.name))?;
            }
        }
        Ok(())
    }

    /// Syncs the recovered segments, which count as durable from now on.
    fn sync(&self, recovered_from: Offset) -> Result<()> {
        failpoint!("recover.before_sync")?;
        for segment in self.segments.range(recovered_from..).map(|(_, segment)| segment) {
            segment.sync()?;
        }
        let dir = &self.request.dir;
        self.context.storage().sync_dir(dir).map_err(|error| Error::io("sync directory", dir, error))
    }
}

/// The error of a segment whose batches are all good, but of which there had been more.
fn cut_short(
    segment: &Segment,
    seal: Option<&SealedSegment>,
    expected_offset: Offset,
    next_base: Option<Offset>,
) -> Option<Damage> {
    let (next_base, position) = (next_base?, segment.size_bytes());
    let reason = match seal {
        Some(seal) if seal.log_bytes > position => {
            let bytes = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
            BatchDefect::Truncated { needed: bytes(seal.log_bytes), actual: bytes(position) }
        }
        // A segment between this one and the next is lost.
        _ if segment.is_contiguous() && expected_offset < next_base => {
            BatchDefect::OffsetOrder { expected: expected_offset, actual: next_base }
        }
        _ => return None,
    };
    Some(Damage { position, expected_offset, error: Error::CorruptBatch { reason } })
}

/// Only compaction leaves gaps between batches, and it never touches the last segment.
fn out_of_order(header: &BatchHeader, expected: Offset, next_base: Option<Offset>) -> Option<Error> {
    let actual = header.base_offset;
    let good = match next_base {
        None => actual == expected,
        Some(next_base) => actual >= expected && header.next_offset() <= next_base,
    };
    (!good).then_some(Error::CorruptBatch { reason: BatchDefect::OffsetOrder { expected, actual } })
}

/// Bytes after a bad batch that are searched for good ones. More than one flush round ever has in flight.
const SEARCHED_BYTES_MAX: usize = 64 << 20;

/// Whether a whole batch of later records begins anywhere at or after `position`.
fn has_good_batch(segment: &Segment, position: u64, after: Offset) -> Result<bool> {
    let left = segment.size_bytes().saturating_sub(position);
    let searched = usize::try_from(left).unwrap_or(usize::MAX).min(SEARCHED_BYTES_MAX);
    let bytes = segment.open_log()?.read_vec_at(searched, position);
    let bytes = bytes.map_err(|error| Error::io("read", segment.path(), error))?;
    let good_at = |start: usize| {
        let rest = &bytes[start..];
        BatchHeader::parse(rest).is_ok_and(|header| {
            header.base_offset >= after
                && header.base_offset - after <= i64::from(u32::MAX)
                && header.size_bytes() <= rest.len()
                && verify_crc(&header, &rest[..header.size_bytes()]).is_ok()
        })
    };
    Ok((0..bytes.len().saturating_sub(HEADER_BYTES - 1)).any(good_at))
}
