//! The sparse time index of a segment.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | the highest timestamp up to here |
//! | 8 | 4 | base offset of the batch that has it, relative to the segment's |
//!
//! Invariant: no batch before the offset of an entry has a timestamp above that entry's. The last entry of a sealed
//! segment has the highest timestamp of the segment.

use crate::log::index_file::{IndexEntry, IndexFile};

/// One indexed batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub(crate) timestamp: i64,
    pub(crate) relative_offset: u32,
}

pub(crate) type TimeIndex = IndexFile<TimeEntry>;

impl IndexEntry for TimeEntry {
    const BYTES: usize = 12;

    fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (timestamp, offset) = bytes.split_first_chunk::<8>()?;
        Some(TimeEntry {
            timestamp: i64::from_be_bytes(*timestamp),
            relative_offset: u32::from_be_bytes(*offset.first_chunk()?),
        })
    }
}
