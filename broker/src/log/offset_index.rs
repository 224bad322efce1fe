//! The sparse offset index of a segment: where in the file a batch begins.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | base offset of a batch, relative to the segment's |
//! | 4 | 4 | position of that batch in the `.log` file |

use crate::log::index_file::{IndexEntry, IndexFile};

/// One indexed batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    pub(crate) relative_offset: u32,
    pub(crate) position: u32,
}

pub(crate) type OffsetIndex = IndexFile<OffsetEntry>;

impl IndexEntry for OffsetEntry {
    const BYTES: usize = 8;

    fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (offset, position) = bytes.split_first_chunk::<4>()?;
        Some(OffsetEntry {
            relative_offset: u32::from_be_bytes(*offset),
            position: u32::from_be_bytes(*position.first_chunk()?),
        })
    }
}
