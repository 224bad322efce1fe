//! Changing what a log holds other than by appending: deletion, truncation, replacement, closing.

use std::sync::Arc;

use parking_lot::MutexGuard;

use super::{Log, LogState};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::ids::Offset;
use crate::log::context::CleanState;
use crate::log::files::{SNAPSHOT_SUFFIX, parse_name, path_of, remove_if_present};
use crate::log::producer_state::replay::replay_producers;
use crate::log::segment::Segment;
use crate::log::segment_index::Indexes;
use crate::log::segment_manifest;

/// Held while segments are deleted, replaced or cut.
pub(crate) type Maintenance<'a> = MutexGuard<'a, ()>;

impl Log {
    /// Keeps others from deleting or replacing segments.
    pub(crate) fn begin_maintenance(&self) -> Maintenance<'_> {
        self.maintenance.lock()
    }

    /// The segments in order; the last is the active one.
    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        self.state.lock().segments.values().map(Arc::clone).collect()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Moves the log start up: records before `offset` are gone for readers, and so are segments that lie before it.
    /// Returns the new log start.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`] beyond the high watermark.
    pub fn delete_records_before(&self, offset: Offset) -> Result<Offset> {
        let maintenance = self.begin_maintenance();
        let log_start = {
            let mut state = self.lock_open()?;
            let (start, end) = (state.log_start, state.high_watermark);
            if offset > end {
                return Err(Error::OffsetOutOfRange { partition: self.tp.clone(), offset, start, end });
            }
            state.log_start = start.max(offset);
            state.log_start
        };
        self.delete_segments_before(log_start, &maintenance)?;
        Ok(log_start)
    }

    /// Deletes the segments which end at or before `offset`, except the active one.
    pub(crate) fn delete_segments_before(&self, offset: Offset, _: &Maintenance<'_>) -> Result<u64> {
        let gone = {
            let mut state = self.lock_open()?;
            let bases: Vec<Offset> = state.segments.keys().copied().collect();
            let mut gone = Vec::new();
            for pair in bases.windows(2) {
                let (base, next) = (pair[0], pair[1]);
                if next > offset {
                    break;
                }
                gone.extend(state.segments.remove(&base));
                state.log_start = state.log_start.max(next);
            }
            gone
        };
        let bytes = gone.iter().map(|segment| segment.size_bytes()).sum();
        if let Some(last) = gone.last() {
            self.forget_sealed(|base| base > last.base_offset())?;
        }
        failpoint!("log.retention.before_remove")?;
        for segment in gone {
            self.remove_files(&segment)?;
        }
        failpoint!("log.retention.after_remove")?;
        Ok(bytes)
    }

    /// Rolls if the active segment has data, so that retention can take it.
    pub(crate) fn roll_active(&self, _: &Maintenance<'_>) -> Result<()> {
        let mut state = self.lock_open()?;
        if state.active().is_empty() { Ok(()) } else { self.roll(&mut state) }
    }

    /// Forgets what is noted of the segments for which `keep` does not hold, before they change.
    pub(crate) fn forget_sealed(&self, keep: impl Fn(Offset) -> bool) -> Result<()> {
        let _alone = self.manifest.lock();
        segment_manifest::retain(self.context.storage(), &self.dir, keep)
    }

    fn remove_files(&self, segment: &Segment) -> Result<()> {
        for path in segment.paths("") {
            remove_if_present(self.context.storage(), &path)?;
        }
        // The snapshot at the start of a deleted segment shortens no replay.
        remove_if_present(self.context.storage(), &path_of(&self.dir, segment.base_offset(), SNAPSHOT_SUFFIX))
    }

    /// Puts `replacement` in the place of `replaced`, which are neighbours and not active.
    ///
    /// The files of the replacement are on disk under their `.swap` names. From the rename to `.swap` on, a restart
    /// finishes what is done here.
    ///
    /// # Errors
    /// [`Error::StorageFailed`]: with some of the files in place and some not, only a restart knows what to read.
    pub(crate) fn replace_segments(
        &self,
        replaced: &[Arc<Segment>],
        open_replacement: impl FnOnce() -> Result<Segment>,
        replacement_base: Offset,
        _: &Maintenance<'_>,
    ) -> Result<Arc<Segment>> {
        // Renames go under the lock: a reader must not open half of the old files and half of the new.
        let mut state = self.lock_open()?;
        for segment in replaced {
            segment.close();
            for path in segment.paths("") {
                remove_if_present(self.context.storage(), &path).map_err(|error| self.fail(&error))?;
            }
            if segment.base_offset() != replacement_base {
                let snapshot = path_of(&self.dir, segment.base_offset(), SNAPSHOT_SUFFIX);
                remove_if_present(self.context.storage(), &snapshot).map_err(|error| self.fail(&error))?;
            }
            state.segments.remove(&segment.base_offset());
        }
        failpoint!("cleaner.replace.after_remove")?;
        let replacement = Arc::new(open_replacement().map_err(|error| self.fail(&error))?);
        failpoint!("cleaner.replace.after_open")?;
        assert_eq!(
            replacement.base_offset(),
            replacement_base,
            "a replacement starts where the replaced did"
        );
        state.segments.insert(replacement_base, Arc::clone(&replacement));
        drop(state);
        let synced = self.context.storage().sync_dir(&self.dir);
        synced.map_err(|error| Error::io("sync directory", &self.dir, error))?;
        Ok(replacement)
    }

    /// Cuts off everything at and after `offset`, in whole batches.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::CorruptLog`].
    pub fn truncate_to(&self, offset: Offset) -> Result<()> {
        let _maintenance = self.begin_maintenance();
        let _no_flush = self.flushing.lock();
        let mut state = self.lock_open()?;
        if offset >= state.log_end {
            return Ok(());
        }
        let segment_of_end = state.segment_at(offset).map_or(0, |segment| segment.base_offset());
        self.forget_sealed(|base| base < segment_of_end)?;
        self.truncate_segments(&mut state, offset)?;
        let log_end = state.log_end;
        state.log_start = state.log_start.min(log_end);
        state.synced = state.synced.min(log_end);
        state.high_watermark = state.high_watermark.min(log_end);
        let segments: Vec<_> = state.segments.values().map(Arc::clone).collect();
        state.producers = replay_producers(self.context.storage(), &self.dir, &segments, log_end)?;
        self.watermark.reset(log_end);
        Ok(())
    }

    fn truncate_segments(&self, state: &mut LogState, offset: Offset) -> Result<()> {
        while state.segments.len() > 1 && state.active().base_offset() >= offset {
            let (_, segment) = state.segments.pop_last().expect("there are two");
            self.remove_files(&segment)?;
        }
        let active = Arc::clone(state.active());
        let (position, first_gone) = active.position_of(offset)?;
        let log_end = first_gone.unwrap_or(offset).max(active.base_offset());
        state.as_closed = false;
        let file = active.truncate(position, log_end)?;
        state.unsynced.push(file);
        state.log_end = log_end;
        let names = self.context.storage().read_dir(&self.dir);
        for entry in names.map_err(|error| Error::io("list", &self.dir, error))? {
            if let Some((at, SNAPSHOT_SUFFIX)) = parse_name(&entry.name)
                && at > log_end
            {
                remove_if_present(self.context.storage(), &self.dir.join(&entry.name))?;
            }
        }
        Ok(())
    }

    /// Flushes, writes the indexes and the producers, and refuses any further use. A log that nothing was appended to
    /// since the last clean shutdown costs no input or output.
    ///
    /// # Errors
    /// Those of the flush; the log is closed all the same.
    pub(crate) fn close(&self) -> Result<CleanState> {
        let _maintenance = self.begin_maintenance();
        let flushed = failpoint!("log.close.before").and_then(|()| self.sync_if_needed());
        let mut state = self.state.lock();
        let already = std::mem::replace(&mut state.closed, true);
        let clean = flushed.and_then(|()| {
            if already || !state.unsynced.is_empty() {
                return Err(Error::PartitionClosed(self.tp.clone()));
            }
            if !state.active().is_empty() && !state.as_closed && !state.active().needs_no_index_files() {
                state.active().persist_indexes(Indexes::Stay)?;
            }
            let has_producers = !state.producers.is_empty();
            // The batches of a small segment hold as much, after the snapshot at its start.
            if has_producers && !state.as_closed && !state.active().is_small() {
                self.write_snapshot(&state.producers, state.log_end)?;
            }
            Ok(CleanState {
                log_end: state.log_end,
                active_base: state.active().base_offset(),
                active_size: state.active().size_bytes(),
                has_producers,
                active_txns: state.active().txn_entries(),
            })
        });
        for segment in state.segments.values() {
            segment.close();
        }
        drop(state);
        self.wake_waiters();
        clean
    }

    fn sync_if_needed(&self) -> Result<()> {
        if self.state.lock().is_synced() { self.context.health.check() } else { self.sync() }
    }

    /// Refuses any further use of a log that is being deleted.
    pub(crate) fn abandon(&self) {
        let _maintenance = self.begin_maintenance();
        // A flush that is under way still finds its directory; one that comes later has nothing to do.
        let _no_flush = self.flushing.lock();
        let mut state = self.state.lock();
        state.closed = true;
        state.unsynced.clear();
        state.unsynced_dirs.clear();
        state.fresh = None;
        for segment in state.segments.values() {
            segment.close();
        }
        drop(state);
        self.watermark.fail(&Error::PartitionClosed(self.tp.clone()));
        self.wake_waiters();
    }
}
