//! The index files beside a segment, as they are on disk.
//!
//! | file | entry |
//! |---|---|
//! | `.index` | offset relative to the segment's (4 bytes), position of that batch (4) |
//! | `.timeindex` | highest timestamp so far (8), relative offset of the batch that has it (4) |
//! | `.txnindex` | producer id (8), first offset (8), marker's offset (8), last stable offset (8), CRC-32C of these (4) |

use weir_broker::ids::Offset;

pub const OFFSET_ENTRY_BYTES: usize = 8;
pub const TIME_ENTRY_BYTES: usize = 12;
pub const TXN_ENTRY_BYTES: usize = 36;

/// Where a batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetEntry {
    pub offset: Offset,
    pub position: u64,
}

/// The highest timestamp up to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeEntry {
    /// Units: ms since epoch.
    pub timestamp: i64,
    pub offset: Offset,
}

/// An aborted transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnEntry {
    pub producer_id: i64,
    pub first_offset: Offset,
    pub last_offset: Offset,
    pub last_stable_offset: Offset,
    /// The checksum is that of the entry.
    pub is_intact: bool,
}

/// The entries of an `.index` file; bytes that are no whole entry are left out.
pub fn offset_entries(bytes: &[u8], base: Offset) -> impl Iterator<Item = OffsetEntry> {
    bytes.chunks_exact(OFFSET_ENTRY_BYTES).map(move |entry| OffsetEntry {
        offset: base + i64::from(u32_at(entry, 0)),
        position: u64::from(u32_at(entry, 4)),
    })
}

/// The entries of a `.timeindex` file.
pub fn time_entries(bytes: &[u8], base: Offset) -> impl Iterator<Item = TimeEntry> {
    bytes.chunks_exact(TIME_ENTRY_BYTES).map(move |entry| TimeEntry {
        timestamp: i64_at(entry, 0),
        offset: base + i64::from(u32_at(entry, 8)),
    })
}

/// The entries of a `.txnindex` file.
pub fn txn_entries(bytes: &[u8]) -> impl Iterator<Item = TxnEntry> {
    bytes.chunks_exact(TXN_ENTRY_BYTES).map(|entry| TxnEntry {
        producer_id: i64_at(entry, 0),
        first_offset: i64_at(entry, 8),
        last_offset: i64_at(entry, 16),
        last_stable_offset: i64_at(entry, 24),
        is_intact: crc32c::crc32c(&entry[..32]) == u32_at(entry, 32),
    })
}

// The chunks above have all the bytes that are read here.

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |n, byte| (n << 8) | u32::from(*byte))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    bytes[at..at + 8].iter().fold(0, |n, byte| (n << 8) | i64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_relative_to_the_segment() {
        let bytes = [0, 0, 0, 5, 0, 0, 1, 0, 9];
        let entries: Vec<OffsetEntry> = offset_entries(&bytes, 100).collect();
        assert_eq!(entries, [OffsetEntry { offset: 105, position: 256 }]);
        let bytes = [255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 1];
        assert_eq!(time_entries(&bytes, 7).next(), Some(TimeEntry { timestamp: -1, offset: 8 }));
        let mut bytes = vec![0; 32];
        bytes.extend_from_slice(&crc32c::crc32c(&[0; 32]).to_be_bytes());
        assert!(txn_entries(&bytes).all(|entry| entry.is_intact));
        bytes[3] = 1;
        assert!(txn_entries(&bytes).all(|entry| !entry.is_intact));
    }
}
