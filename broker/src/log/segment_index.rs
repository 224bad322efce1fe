//! The three indexes of one segment, kept in step with its batches.

use std::io;
use std::sync::Arc;

use crate::env::storage::StorageFile;
use crate::ids::Offset;
use crate::log::offset_index::{OffsetEntry, OffsetIndex};
use crate::log::time_index::{TimeEntry, TimeIndex};
use crate::log::txn_index::TxnIndex;
use crate::record::batch::BatchHeader;

/// The indexes of a segment.
#[derive(Debug)]
pub(crate) struct SegmentIndex {
    pub(crate) offsets: OffsetIndex,
    pub(crate) times: TimeIndex,
    pub(crate) txns: TxnIndex,
    /// Bytes appended since the last offset index entry.
    pub(crate) unindexed_bytes: u64,
    pub(crate) first_timestamp: Option<i64>,
    /// Highest timestamp and the base offset of its batch; `None` if not known yet.
    pub(crate) max_timestamp: Option<TimeEntry>,
    /// When the segment was made or found. Units: ms since epoch.
    pub(crate) created_ms: i64,
}

/// Fate of the indexes after they are written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Indexes {
    /// More batches will come.
    Stay,
    /// The segment is complete; the memory is given back.
    Seal,
    /// As `Seal`, and every index has a file, even if it is empty.
    SealAll,
}

impl SegmentIndex {
    /// Notes a batch at `position`, the next after those noted before.
    pub(crate) fn note(
        &mut self,
        base: Offset,
        position: u64,
        header: &BatchHeader,
        interval_bytes: u32,
    ) -> io::Result<()> {
        let relative = |offset: Offset| u32::try_from(offset - base).map_err(io::Error::other);
        let newest =
            TimeEntry { timestamp: header.max_timestamp, relative_offset: relative(header.base_offset)? };
        if position == 0 {
            self.first_timestamp = Some(header.max_timestamp);
            self.max_timestamp = Some(newest);
        } else if self.max_timestamp_entry()?.is_none_or(|max| max.timestamp < newest.timestamp) {
            self.max_timestamp = Some(newest);
        }
        if self.unindexed_bytes > u64::from(interval_bytes) {
            let position = u32::try_from(position).map_err(io::Error::other)?;
            self.offsets.push(OffsetEntry { relative_offset: relative(header.base_offset)?, position })?;
            self.note_max_timestamp()?;
            self.unindexed_bytes = 0;
        }
        self.unindexed_bytes += header.size_bytes() as u64;
        Ok(())
    }

    pub(crate) fn max_timestamp_entry(&mut self) -> io::Result<Option<TimeEntry>> {
        if self.max_timestamp.is_none() {
            self.max_timestamp = self.times.last()?;
        }
        Ok(self.max_timestamp)
    }

    /// Adds the highest timestamp so far to the time index, unless it is there.
    fn note_max_timestamp(&mut self) -> io::Result<()> {
        let Some(max) = self.max_timestamp else { return Ok(()) };
        if self.times.last()?.is_none_or(|last| last.timestamp < max.timestamp) {
            self.times.push(max)?;
        }
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        self.max_timestamp = None;
        self.first_timestamp = None;
        self.unindexed_bytes = 0;
        self.offsets.clear();
        self.times.clear();
    }

    pub(crate) fn persist(&mut self, done: Indexes) -> io::Result<Vec<Arc<dyn StorageFile>>> {
        self.note_max_timestamp()?;
        let (offsets, times) = match done {
            Indexes::Stay => (self.offsets.persist()?, self.times.persist()?),
            Indexes::Seal | Indexes::SealAll => (self.offsets.seal()?, self.times.seal()?),
        };
        // The file of an empty transaction index is not made, unless there is one to be emptied.
        let wanted = done == Indexes::SealAll || self.txns.len() > 0 || self.txns.exists();
        let txns = if wanted { self.txns.persist()? } else { None };
        Ok(offsets.into_iter().chain(times).chain(txns).collect())
    }
}
