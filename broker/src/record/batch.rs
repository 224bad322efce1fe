//! One record batch, as bytes that were checked.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | base offset (not under the checksum: the broker assigns it) |
//! | 8 | 4 | length of what follows |
//! | 12 | 4 | partition leader epoch (not under the checksum) |
//! | 16 | 1 | magic, 2 |
//! | 17 | 4 | CRC-32C of everything from the attributes on |
//! | 21 | 2 | attributes: codec (bits 0–2), timestamp type (3), transactional (4), control (5), delete horizon (6) |
//! | 23 | 4 | last offset delta |
//! | 27 | 8 | base timestamp (the delete horizon if bit 6 is set) |
//! | 35 | 8 | max timestamp |
//! | 43 | 8 | producer id |
//! | 51 | 2 | producer epoch |
//! | 53 | 4 | base sequence |
//! | 57 | 4 | record count |
//! | 61 | | records, perhaps compressed |
//!
//! Source: KIP-98, KIP-534.

use bytes::{Bytes, BytesMut};

use crate::error::{BatchDefect, Error, Result};
use crate::ids::{LeaderEpoch, NO_SEQUENCE, Offset, ProducerEpoch, ProducerId};
use crate::record::compression::{Compression, DecompressBuf};
use crate::record::reader::{RecordBase, RecordIter};

/// Size of a batch without records.
pub const HEADER_BYTES: usize = 61;
/// Bytes of a batch which its length field does not count.
pub const LENGTH_OVERHEAD_BYTES: usize = 12;
/// The batch format.
pub const MAGIC: i8 = 2;
/// The timestamp of a record without one.
pub const NO_TIMESTAMP: i64 = -1;

pub(crate) const BASE_OFFSET_AT: usize = 0;
pub(crate) const LENGTH_AT: usize = 8;
pub(crate) const LEADER_EPOCH_AT: usize = 12;
pub(crate) const MAGIC_AT: usize = 16;
/// Base offset, length and leader epoch: what the log writes anew.
pub(crate) const PREFIX_BYTES: usize = MAGIC_AT;
pub(crate) const CRC_AT: usize = 17;
pub(crate) const ATTRIBUTES_AT: usize = 21;
pub(crate) const LAST_OFFSET_DELTA_AT: usize = 23;
pub(crate) const BASE_TIMESTAMP_AT: usize = 27;
pub(crate) const MAX_TIMESTAMP_AT: usize = 35;
pub(crate) const PRODUCER_ID_AT: usize = 43;
pub(crate) const PRODUCER_EPOCH_AT: usize = 51;
pub(crate) const BASE_SEQUENCE_AT: usize = 53;
pub(crate) const RECORDS_COUNT_AT: usize = 57;

const CODEC_MASK: i16 = 0x07;
const LOG_APPEND_TIME_BIT: i16 = 1 << 3;
const TRANSACTIONAL_BIT: i16 = 1 << 4;
const CONTROL_BIT: i16 = 1 << 5;
const DELETE_HORIZON_BIT: i16 = 1 << 6;

/// Smallest record: a length byte, attributes, two deltas, two null lengths and a header count.
const RECORD_BYTES_MIN: usize = 7;

/// Who set the timestamps of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TimestampType {
    /// The producer, record by record.
    #[default]
    CreateTime,
    /// The broker: every record has the batch's max timestamp.
    LogAppendTime,
}

/// The flag bits of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes(pub(crate) i16);

impl Attributes {
    pub(crate) fn new(compression: Compression, timestamp_type: TimestampType) -> Self {
        let stamp = match timestamp_type {
            TimestampType::CreateTime => 0,
            TimestampType::LogAppendTime => LOG_APPEND_TIME_BIT,
        };
        Attributes(i16::from(compression.id()) | stamp)
    }

    pub(crate) fn with_compression(self, compression: Compression) -> Self {
        Attributes((self.0 & !CODEC_MASK) | i16::from(compression.id()))
    }

    pub(crate) fn with_log_append_time(self) -> Self {
        Attributes(self.0 | LOG_APPEND_TIME_BIT)
    }

    pub(crate) fn with_transactional(self) -> Self {
        Attributes(self.0 | TRANSACTIONAL_BIT)
    }

    pub(crate) fn with_control(self) -> Self {
        Attributes(self.0 | CONTROL_BIT)
    }

    pub(crate) fn with_delete_horizon(self) -> Self {
        Attributes(self.0 | DELETE_HORIZON_BIT)
    }

    fn without_broker_bits(self) -> Self {
        Attributes(self.0 & !(LOG_APPEND_TIME_BIT | DELETE_HORIZON_BIT))
    }

    fn codec_id(self) -> u8 {
        (self.0 & CODEC_MASK) as u8
    }
}

/// The fields in front of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: Offset,
    /// Bytes after the length field.
    pub length: i32,
    pub partition_leader_epoch: LeaderEpoch,
    pub crc: u32,
    pub attributes: Attributes,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    pub base_sequence: i32,
    pub records_count: i32,
}

impl BatchHeader {
    /// Reads a header and checks what can be checked without the records.
    ///
    /// # Errors
    /// [`Error::CorruptBatch`] or [`Error::UnsupportedMagic`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            // The magic of older formats is in the same place, and their headers are shorter.
            if let Some(&magic) = bytes.get(MAGIC_AT)
                && magic != MAGIC.cast_unsigned()
            {
                return Err(Error::UnsupportedMagic { magic: magic.cast_signed() });
            }
            return Err(corrupt(BatchDefect::Truncated { needed: HEADER_BYTES, actual: bytes.len() }));
        };
        let magic = bytes[MAGIC_AT].cast_signed();
        if magic != MAGIC {
            return Err(Error::UnsupportedMagic { magic });
        }
        let header = BatchHeader {
            base_offset: get_i64(bytes, BASE_OFFSET_AT),
            length: get_i32(bytes, LENGTH_AT),
            partition_leader_epoch: get_i32(bytes, LEADER_EPOCH_AT),
            crc: get_i32(bytes, CRC_AT).cast_unsigned(),
            attributes: Attributes(get_i16(bytes, ATTRIBUTES_AT)),
            last_offset_delta: get_i32(bytes, LAST_OFFSET_DELTA_AT),
            base_timestamp: get_i64(bytes, BASE_TIMESTAMP_AT),
            max_timestamp: get_i64(bytes, MAX_TIMESTAMP_AT),
            producer_id: ProducerId(get_i64(bytes, PRODUCER_ID_AT)),
            producer_epoch: ProducerEpoch(get_i16(bytes, PRODUCER_EPOCH_AT)),
            base_sequence: get_i32(bytes, BASE_SEQUENCE_AT),
            records_count: get_i32(bytes, RECORDS_COUNT_AT),
        };
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<()> {
        if self.length < (HEADER_BYTES - LENGTH_OVERHEAD_BYTES) as i32 {
            return Err(corrupt(BatchDefect::Length(self.length)));
        }
        if self.base_offset < 0 || self.base_offset.checked_add(i64::from(self.last_offset_delta)).is_none() {
            return Err(corrupt(BatchDefect::BaseOffset(self.base_offset)));
        }
        if self.last_offset_delta < 0 {
            return Err(corrupt(BatchDefect::LastOffsetDelta(self.last_offset_delta)));
        }
        let records_bytes = self.size_bytes() - HEADER_BYTES;
        // The records of a compressed batch are counted when they are decompressed.
        let uncompressed = self.attributes.codec_id() == 0;
        if self.records_count < 0
            || (uncompressed && self.records_count as usize > records_bytes / RECORD_BYTES_MIN)
        {
            let count = self.records_count;
            return Err(corrupt(BatchDefect::Count { count, bytes: records_bytes }));
        }
        Ok(())
    }

    /// Size of the whole batch, header included.
    pub fn size_bytes(&self) -> usize {
        self.length as usize + LENGTH_OVERHEAD_BYTES
    }

    /// Offset of the last record the batch was written with. The record itself may have been compacted away.
    pub fn last_offset(&self) -> Offset {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// Offset after the batch.
    pub fn next_offset(&self) -> Offset {
        self.last_offset() + 1
    }

    /// Sequence of the last record; sequences wrap to 0 after `i32::MAX`. [`NO_SEQUENCE`] without one.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence == NO_SEQUENCE {
            return NO_SEQUENCE;
        }
        add_sequence(self.base_sequence, self.last_offset_delta)
    }

    /// How the records are compressed.
    ///
    /// # Errors
    /// [`Error::UnsupportedCompression`].
    pub fn compression(&self) -> Result<Compression> {
        Compression::from_id(self.attributes.codec_id())
    }

    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes.0 & LOG_APPEND_TIME_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes.0 & TRANSACTIONAL_BIT != 0
    }

    pub fn is_control(&self) -> bool {
        self.attributes.0 & CONTROL_BIT != 0
    }

    /// When the tombstones or the marker in this batch may be dropped, if the cleaner has decided on it.
    ///
    /// Units: ms since epoch. Source: KIP-534.
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes.0 & DELETE_HORIZON_BIT != 0).then_some(self.base_timestamp)
    }

    fn record_base(&self) -> RecordBase {
        let fixed_timestamp = match self.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(self.max_timestamp),
        };
        RecordBase {
            base_offset: self.base_offset,
            base_timestamp: self.base_timestamp,
            fixed_timestamp,
            last_offset_delta: self.last_offset_delta,
            count: self.records_count,
        }
    }

    /// Whether the batch takes part in sequence checks.
    pub fn is_idempotent(&self) -> bool {
        !self.producer_id.is_none() && self.base_sequence != NO_SEQUENCE
    }
}

/// Adds to a producer sequence, which counts to `i32::MAX` and starts at 0 again.
pub(crate) fn add_sequence(sequence: i32, delta: i32) -> i32 {
    (i64::from(sequence) + i64::from(delta)).rem_euclid(1 << 31) as i32
}

/// The bytes of one whole batch whose header and checksum are in order.
#[derive(Debug, Clone)]
pub struct RecordBatch {
    header: BatchHeader,
    bytes: Bytes,
}

impl RecordBatch {
    /// Takes one batch off the front of `bytes` and returns it and what follows, sharing the memory.
    ///
    /// # Errors
    /// [`Error::CorruptBatch`] if bytes are missing or the checksum is wrong, [`Error::UnsupportedMagic`],
    /// [`Error::UnsupportedCompression`].
    pub fn parse(mut bytes: Bytes) -> Result<(RecordBatch, Bytes)> {
        let header = BatchHeader::parse(&bytes)?;
        header.compression()?;
        let size = header.size_bytes();
        if bytes.len() < size {
            return Err(corrupt(BatchDefect::Truncated { needed: size, actual: bytes.len() }));
        }
        let rest = bytes.split_off(size);
        verify_crc(&header, &bytes)?;
        Ok((RecordBatch { header, bytes }, rest))
    }

    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The whole batch, giving up the view.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    pub fn base_offset(&self) -> Offset {
        self.header.base_offset
    }

    pub fn last_offset(&self) -> Offset {
        self.header.last_offset()
    }

    pub fn producer_id(&self) -> ProducerId {
        self.header.producer_id
    }

    /// The records as stored, perhaps compressed.
    pub fn records_bytes(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..]
    }

    /// The records, decompressed into `scratch` if need be.
    ///
    /// # Errors
    /// As [`Compression::decompress`]; the iterator itself reports malformed records.
    pub fn records<'a>(&'a self, scratch: &'a mut DecompressBuf) -> Result<RecordIter<'a>> {
        let records = scratch.decompress(self.header.compression()?, self.records_bytes())?;
        RecordIter::new(self.header.record_base(), records)
    }

    /// The same records with another codec; the batch itself if it has that codec already.
    ///
    /// # Errors
    /// As [`Compression::decompress`] and [`Compression::compress`].
    pub fn recompress(
        self,
        codec: Compression,
        level: Option<i32>,
        scratch: &mut DecompressBuf,
    ) -> Result<RecordBatch> {
        if self.header.compression()? == codec {
            return Ok(self);
        }
        let records = scratch.decompress(self.header.compression()?, self.records_bytes())?;
        let mut bytes = self.bytes[..HEADER_BYTES].to_vec();
        codec.compress_at(level, records, &mut bytes)?;
        let mut bytes = BytesMut::from(bytes.as_slice());
        put_i16(&mut bytes, ATTRIBUTES_AT, self.header.attributes.with_compression(codec).0);
        seal(&mut bytes);
        let (batch, _) = RecordBatch::parse(bytes.freeze())?;
        Ok(batch)
    }

    /// The batch without the claims only a broker can make: that it stamped the records, and when tombstones may go.
    pub(crate) fn without_broker_bits(self) -> RecordBatch {
        let attributes = self.header.attributes.without_broker_bits();
        if attributes == self.header.attributes {
            return self;
        }
        let header = BatchHeader { attributes, ..self.header };
        RecordBatch { header, bytes: self.bytes }
            .with_max_timestamp(header.max_timestamp, TimestampType::CreateTime)
    }

    /// The batch with other timestamps in its header; the checksum is computed anew.
    pub(crate) fn with_max_timestamp(self, max_timestamp: i64, timestamp_type: TimestampType) -> RecordBatch {
        let mut header = self.header;
        header.max_timestamp = max_timestamp;
        if timestamp_type == TimestampType::LogAppendTime {
            header.attributes = header.attributes.with_log_append_time();
        }
        let mut bytes = BytesMut::from(self.bytes);
        put_i16(&mut bytes, ATTRIBUTES_AT, header.attributes.0);
        put_i64(&mut bytes, MAX_TIMESTAMP_AT, max_timestamp);
        header.crc = crc32c::crc32c(&bytes[ATTRIBUTES_AT..]);
        put_i32(&mut bytes, CRC_AT, header.crc.cast_signed());
        RecordBatch { header, bytes: bytes.freeze() }
    }
}

/// The first [`PREFIX_BYTES`] bytes of a batch with this base offset and leader epoch. The checksum does not cover them.
pub(crate) fn stamped_prefix(
    batch: &RecordBatch,
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
) -> [u8; PREFIX_BYTES] {
    let mut prefix = *batch.bytes().first_chunk().expect("a batch has a header");
    put_i64(&mut prefix, BASE_OFFSET_AT, base_offset);
    put_i32(&mut prefix, LEADER_EPOCH_AT, leader_epoch);
    prefix
}

/// Checks the checksum of the whole batch in `bytes`.
pub(crate) fn verify_crc(header: &BatchHeader, bytes: &[u8]) -> Result<()> {
    let actual = crc32c::crc32c(&bytes[ATTRIBUTES_AT..]);
    if actual != header.crc {
        return Err(corrupt(BatchDefect::Checksum { expected: header.crc, actual }));
    }
    Ok(())
}

/// Fills in length and checksum of a batch whose other fields are written.
pub(crate) fn seal(bytes: &mut [u8]) {
    let length =
        i32::try_from(bytes.len() - LENGTH_OVERHEAD_BYTES).expect("batches are far smaller than 2 GiB");
    put_i32(bytes, LENGTH_AT, length);
    let crc = crc32c::crc32c(&bytes[ATTRIBUTES_AT..]);
    put_i32(bytes, CRC_AT, crc.cast_signed());
}

fn corrupt(reason: BatchDefect) -> Error {
    Error::CorruptBatch { reason }
}

/// Iterates over the batches in `bytes`, as a fetch returns them. A batch cut short at the end is left out.
///
/// # Errors
/// Each item: as [`RecordBatch::parse`]; iteration ends after the first error.
#[derive(Debug, Clone)]
pub struct BatchIter {
    rest: Bytes,
}

impl BatchIter {
    pub fn new(bytes: Bytes) -> Self {
        BatchIter { rest: bytes }
    }
}

impl Iterator for BatchIter {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.len() < HEADER_BYTES {
            return None;
        }
        let length = usize::try_from(get_i32(&self.rest, LENGTH_AT)).unwrap_or(0);
        if self.rest.len() < LENGTH_OVERHEAD_BYTES + length {
            return None;
        }
        match RecordBatch::parse(std::mem::take(&mut self.rest)) {
            Ok((batch, rest)) => {
                self.rest = rest;
                Some(Ok(batch))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

// The callers below have checked the length of `bytes`.

fn get_i16(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn get_i32(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn get_i64(bytes: &[u8], at: usize) -> i64 {
    (i64::from(get_i32(bytes, at)) << 32) | i64::from(get_i32(bytes, at + 4).cast_unsigned())
}

pub(crate) fn put_i16(bytes: &mut [u8], at: usize, value: i16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_i32(bytes: &mut [u8], at: usize, value: i32) {
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_i64(bytes: &mut [u8], at: usize, value: i64) {
    bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
}
