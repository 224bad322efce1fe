//! Producer states as a file, so that recovery need not replay the whole log.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | `WPS2` (`WPS1`: without the time of the last write) |
//! | 4 | 4 | number of producers |
//! | 8 | | producers: id (8), epoch (2), coordinator epoch (4), last timestamp (8), time of the last write (8), first offset of the open transaction or -1 (8), number of batches (1), batches of base sequence (4), last sequence (4), base offset (8), last offset (8), timestamp (8) |
//! | | 4 | number of transactions whose marker is not visible |
//! | | | first offset (8), marker offset (8) |
//! | end - 4 | 4 | CRC-32C of everything before |

use std::collections::VecDeque;
use std::path::Path;

use bytes::{Buf, BufMut};

use super::{AppendedBatch, BATCHES_KEPT, Producer, ProducerStates, SEEN_NOW};
use crate::error::{Error, Result};
use crate::ids::{ProducerEpoch, ProducerId};

const MAGIC: &[u8; 4] = b"WPS2";
const FORMER_MAGIC: &[u8; 4] = b"WPS1";
const PRODUCER_BYTES: usize = 39;
const SEEN_BYTES: usize = 8;
const BATCH_BYTES: usize = 32;
const INVISIBLE_BYTES: usize = 16;

impl ProducerStates {
    /// The contents of a snapshot file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.producers.len() * (PRODUCER_BYTES + BATCH_BYTES));
        out.put_slice(MAGIC);
        out.put_u32(self.producers.len() as u32);
        for (id, producer) in &self.producers {
            out.put_i64(id.0);
            out.put_i16(producer.epoch.0);
            out.put_i32(producer.coordinator_epoch);
            out.put_i64(producer.last_timestamp);
            out.put_i64(producer.seen_ms);
            out.put_i64(producer.txn_first_offset.unwrap_or(-1));
            out.put_u8(producer.batches.len() as u8);
            for batch in &producer.batches {
                out.put_i32(batch.base_sequence);
                out.put_i32(batch.last_sequence);
                out.put_i64(batch.base_offset);
                out.put_i64(batch.last_offset);
                out.put_i64(batch.timestamp);
            }
        }
        out.put_u32(self.invisible.len() as u32);
        for (first, marker) in &self.invisible {
            out.put_i64(*first);
            out.put_i64(*marker);
        }
        let crc = crc32c::crc32c(&out);
        out.put_u32(crc);
        out
    }

    /// Reads a snapshot back. `path` names it in errors.
    ///
    /// # Errors
    /// [`Error::CorruptFile`].
    pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<Self> {
        let corrupt = |reason: &str| Error::CorruptFile { path: path.to_owned(), reason: reason.to_owned() };
        let (body, crc) = bytes.split_last_chunk::<4>().ok_or_else(|| corrupt("it is too short"))?;
        if crc32c::crc32c(body) != u32::from_be_bytes(*crc) {
            return Err(corrupt("its checksum does not match"));
        }
        decode_body(body).ok_or_else(|| corrupt("its contents are malformed"))
    }
}

fn decode_body(mut rest: &[u8]) -> Option<ProducerStates> {
    let mut states = ProducerStates::default();
    let has_seen = rest.starts_with(MAGIC);
    rest = rest.strip_prefix(if has_seen { MAGIC } else { FORMER_MAGIC })?;
    let producer_bytes = if has_seen { PRODUCER_BYTES } else { PRODUCER_BYTES - SEEN_BYTES };
    for _ in 0..rest.try_get_u32().ok()? {
        if rest.len() < producer_bytes {
            return None;
        }
        let id = ProducerId(rest.get_i64());
        let mut producer = Producer {
            epoch: ProducerEpoch(rest.get_i16()),
            coordinator_epoch: rest.get_i32(),
            last_timestamp: rest.get_i64(),
            seen_ms: if has_seen { rest.get_i64() } else { SEEN_NOW },
            txn_first_offset: Some(rest.get_i64()).filter(|offset| *offset >= 0),
            batches: VecDeque::new(),
        };
        let count = usize::from(rest.get_u8());
        if count > BATCHES_KEPT || rest.len() < count * BATCH_BYTES {
            return None;
        }
        for _ in 0..count {
            producer.batches.push_back(AppendedBatch {
                base_sequence: rest.get_i32(),
                last_sequence: rest.get_i32(),
                base_offset: rest.get_i64(),
                last_offset: rest.get_i64(),
                timestamp: rest.get_i64(),
            });
        }
        if let Some(first_offset) = producer.txn_first_offset {
            states.ongoing.insert(first_offset, id);
        }
        states.producers.insert(id, producer);
    }
    for _ in 0..rest.try_get_u32().ok()? {
        if rest.len() < INVISIBLE_BYTES {
            return None;
        }
        states.invisible.insert(rest.get_i64(), rest.get_i64());
    }
    rest.is_empty().then_some(states)
}
