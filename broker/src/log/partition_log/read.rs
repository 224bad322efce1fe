//! Reading a log.

use std::io;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::{Log, LogState};
use crate::error::{Error, Result};
use crate::ids::{NO_LEADER_EPOCH, Offset};
use crate::log::access::{AbortedTxn, FetchData, Isolation, OffsetSpec, ReadRequest, TimestampedOffset};
use crate::log::segment::{ReadRange, Segment};
use crate::record::batch::NO_TIMESTAMP;

impl LogState {
    /// The first offset a reader cannot see.
    pub(super) fn limit(&self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::ReadUncommitted => self.high_watermark,
            Isolation::ReadCommitted => self.last_stable(),
            Isolation::LogEnd => self.log_end,
        }
    }

    fn snapshot(&self, segment: Arc<Segment>) -> Snapshot {
        let after = (Bound::Excluded(segment.base_offset()), Bound::Unbounded);
        let end = self.segments.range(after).next().map_or(self.log_end, |(base, _)| *base);
        Snapshot { size: segment.size_bytes(), segment, end }
    }

    /// The segment that holds `offset`.
    pub(super) fn segment_at(&self, offset: Offset) -> Option<&Arc<Segment>> {
        self.segments.range(..=offset).next_back().map(|(_, segment)| segment)
    }
}

/// A segment which may be deleted by the time it is read.
struct Snapshot {
    segment: Arc<Segment>,
    size: u64,
    /// Base offset of the next segment, or the end of the log.
    end: Offset,
}

impl Log {
    /// Reads whole batches from the one that holds `request.offset` on.
    ///
    /// Empty if there is nothing to see at that offset yet.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`] below the log start or beyond the log end; [`Error::CorruptLog`].
    pub fn read(&self, request: &ReadRequest) -> Result<FetchData> {
        loop {
            match self.try_read(request) {
                // Retention has removed the segment since it was looked up.
                Err(Error::Io { source, path, .. })
                    if source.kind() == io::ErrorKind::NotFound && !self.is_live(&path) => {}
                other => return other,
            }
        }
    }

    fn is_live(&self, path: &std::path::Path) -> bool {
        self.state.lock().segments.values().any(|segment| segment.path() == path)
    }

    fn try_read(&self, request: &ReadRequest) -> Result<FetchData> {
        let (mut data, limit, mut next) = {
            let state = self.lock_open()?;
            let (offset, start, end) = (request.offset, state.log_start, state.log_end);
            if offset < start || offset > end {
                return Err(Error::OffsetOutOfRange { partition: self.tp.clone(), offset, start, end });
            }
            let data = FetchData {
                bytes: Bytes::new(),
                high_watermark: state.high_watermark,
                last_stable_offset: state.last_stable(),
                log_start_offset: start,
                aborted: Vec::new(),
            };
            let limit = state.limit(request.isolation);
            if offset >= limit {
                return Ok(data);
            }
            let segment = state.segment_at(offset).map(Arc::clone);
            (data, limit, segment.map(|segment| state.snapshot(segment)))
        };
        while let Some(Snapshot { segment, size, end }) = next {
            let read = segment.read(ReadRange {
                offset: request.offset,
                limit,
                end,
                size,
                bytes_max: request.bytes_max,
                at_least_one: request.at_least_one_batch,
            })?;
            if let Some(read) = read {
                if request.isolation == Isolation::ReadCommitted && !read.bytes.is_empty() {
                    data.aborted = self.aborted_txns(request.offset, read.next_offset)?;
                }
                data.bytes = read.bytes;
                break;
            }
            // Compaction has left nothing at the end of that segment, or the file was cut between two batches.
            if !self.config().cleanup_policy.compact {
                let (tp, path) = (&self.tp, segment.path().display());
                tracing::error!(%tp, from = request.offset, to = end, %path, "records are missing, if they were not compacted");
            }
            next = self.segment_after(segment.base_offset());
        }
        Ok(data)
    }

    /// About how many bytes of records follow `offset`, which may be anywhere. What is not in the active segment counts
    /// as very many: it is less likely in memory.
    pub fn bytes_after(&self, offset: Offset) -> u64 {
        let state = self.state.lock();
        let active = state.active();
        let (base, end) = (active.base_offset(), state.log_end);
        if offset >= end {
            return 0;
        }
        if offset < base {
            return u64::MAX;
        }
        let count = |offsets: Offset| u128::from(offsets.unsigned_abs());
        // As if all records had the same size.
        let share = u128::from(active.size_bytes()) * count(end - offset) / count(end - base);
        u64::try_from(share).unwrap_or(u64::MAX)
    }

    fn segment_after(&self, base_offset: Offset) -> Option<Snapshot> {
        let state = self.state.lock();
        let after = (Bound::Excluded(base_offset), Bound::Unbounded);
        let segment = state.segments.range(after).next().map(|(_, segment)| Arc::clone(segment));
        segment.map(|segment| state.snapshot(segment))
    }

    /// The aborted transactions with records in `[from, to)`, sorted by first offset.
    pub(crate) fn aborted_txns(&self, from: Offset, to: Offset) -> Result<Vec<AbortedTxn>> {
        let segments: Vec<_> = {
            let state = self.state.lock();
            let first = state.segment_at(from).map_or(from, |segment| segment.base_offset());
            state.segments.range(first..).map(|(_, segment)| Arc::clone(segment)).collect()
        };
        let mut aborted = Vec::new();
        'segments: for segment in segments {
            for txn in segment.aborted_txns()? {
                if txn.last_offset >= from && txn.first_offset < to {
                    aborted.push(AbortedTxn { producer_id: txn.producer_id, first_offset: txn.first_offset });
                }
                // Everything that began before the last stable offset of this marker has ended by now.
                if txn.last_stable_offset >= to {
                    break 'segments;
                }
            }
        }
        aborted.sort_by_key(|txn| txn.first_offset);
        Ok(aborted)
    }

    /// Looks up an offset among those a reader may see. `None` if no record qualifies.
    ///
    /// # Errors
    /// Those of reading.
    pub fn lookup(&self, spec: OffsetSpec, isolation: Isolation) -> Result<Option<TimestampedOffset>> {
        let (start, limit, segments) = {
            let state = self.lock_open()?;
            let segments: Vec<_> = state.segments.values().map(Arc::clone).collect();
            (state.log_start, state.limit(isolation), segments)
        };
        let plain =
            |offset| TimestampedOffset { offset, timestamp: NO_TIMESTAMP, leader_epoch: NO_LEADER_EPOCH };
        let found = match spec {
            OffsetSpec::Earliest => return Ok(Some(plain(start))),
            OffsetSpec::Latest => return Ok(Some(plain(limit))),
            OffsetSpec::MaxTimestamp => find_max_timestamp(&segments, start)?,
            OffsetSpec::Timestamp(timestamp) => find_timestamp(&segments, start, timestamp)?,
        };
        Ok(found.filter(|found| found.offset < limit))
    }
}

fn find_timestamp(
    segments: &[Arc<Segment>],
    start: Offset,
    timestamp: i64,
) -> Result<Option<TimestampedOffset>> {
    for segment in segments {
        if !segment.is_empty()
            && segment.max_timestamp()? >= timestamp
            && let Some(found) = segment.find_timestamp(timestamp, start)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn find_max_timestamp(segments: &[Arc<Segment>], start: Offset) -> Result<Option<TimestampedOffset>> {
    let mut max = NO_TIMESTAMP;
    for segment in segments {
        max = max.max(segment.max_timestamp()?);
    }
    if max == NO_TIMESTAMP { Ok(None) } else { find_timestamp(segments, start, max) }
}
