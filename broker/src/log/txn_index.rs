//! The aborted transactions whose abort marker is in a segment. The file exists only if there are any.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | producer id |
//! | 8 | 8 | first offset of the transaction |
//! | 16 | 8 | offset of the abort marker |
//! | 24 | 8 | last stable offset when the marker was appended |
//! | 32 | 4 | CRC-32C of the above: a wrong entry would show aborted records |

use crate::ids::{Offset, ProducerId};
use crate::log::index_file::{IndexEntry, IndexFile};

/// One aborted transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TxnEntry {
    pub(crate) producer_id: ProducerId,
    pub(crate) first_offset: Offset,
    pub(crate) last_offset: Offset,
    pub(crate) last_stable_offset: Offset,
}

pub(crate) type TxnIndex = IndexFile<TxnEntry>;

impl IndexEntry for TxnEntry {
    const BYTES: usize = 36;

    fn encode(self, out: &mut Vec<u8>) {
        let start = out.len();
        for field in [self.producer_id.0, self.first_offset, self.last_offset, self.last_stable_offset] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        let crc = crc32c::crc32c(&out[start..]);
        out.extend_from_slice(&crc.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (fields, crc) = bytes.split_at_checked(32)?;
        if crc32c::crc32c(fields) != u32::from_be_bytes(*crc.first_chunk()?) {
            return None;
        }
        let mut fields =
            fields.chunks_exact(8).map(|field| field.iter().fold(0i64, |n, b| (n << 8) | i64::from(*b)));
        Some(TxnEntry {
            producer_id: ProducerId(fields.next()?),
            first_offset: fields.next()?,
            last_offset: fields.next()?,
            last_stable_offset: fields.next()?,
        })
    }
}
