//! Builds record batches.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::Result;
use crate::ids::{LeaderEpoch, NO_LEADER_EPOCH, NO_SEQUENCE, Offset, ProducerEpoch, ProducerId};
use crate::record::batch::{
    ATTRIBUTES_AT, Attributes, BASE_OFFSET_AT, BASE_SEQUENCE_AT, BASE_TIMESTAMP_AT, HEADER_BYTES,
    LAST_OFFSET_DELTA_AT, LEADER_EPOCH_AT, MAGIC, MAGIC_AT, MAX_TIMESTAMP_AT, NO_TIMESTAMP,
    PRODUCER_EPOCH_AT, PRODUCER_ID_AT, RECORDS_COUNT_AT, TimestampType, put_i16, put_i32, put_i64, seal,
};
use crate::record::compression::Compression;
use crate::record::reader::Header;
use crate::record::varint::{put_varint, put_varlong, varint_len, varlong_len};

/// The properties of a batch that do not come from its records.
#[derive(Debug, Clone)]
pub struct BatchOptions {
    pub base_offset: Offset,
    pub partition_leader_epoch: LeaderEpoch,
    pub compression: Compression,
    pub timestamp_type: TimestampType,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    pub base_sequence: i32,
    pub transactional: bool,
    pub control: bool,
    /// Source: KIP-534; see [`crate::record::batch::BatchHeader::delete_horizon_ms`].
    pub delete_horizon_ms: Option<i64>,
}

impl Default for BatchOptions {
    /// An uncompressed batch at offset 0 of a producer which is not idempotent.
    fn default() -> Self {
        BatchOptions {
            base_offset: 0,
            partition_leader_epoch: NO_LEADER_EPOCH,
            compression: Compression::None,
            timestamp_type: TimestampType::CreateTime,
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: NO_SEQUENCE,
            transactional: false,
            control: false,
            delete_horizon_ms: None,
        }
    }
}

/// Collects records into the bytes of one batch.
#[derive(Debug)]
pub struct RecordBatchBuilder {
    options: BatchOptions,
    /// Room for the header, then uncompressed records.
    bytes: BytesMut,
    count: i32,
    base_timestamp: Option<i64>,
    max_timestamp: i64,
    last_offset_delta: i32,
}

impl RecordBatchBuilder {
    pub fn new(options: BatchOptions) -> Self {
        RecordBatchBuilder::with_capacity(options, 0)
    }

    /// A builder with room for `records_bytes` of uncompressed records.
    pub fn with_capacity(options: BatchOptions, records_bytes: usize) -> Self {
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + records_bytes);
        bytes.put_bytes(0, HEADER_BYTES);
        RecordBatchBuilder {
            base_timestamp: options.delete_horizon_ms,
            options,
            bytes,
            count: 0,
            max_timestamp: NO_TIMESTAMP,
            last_offset_delta: -1,
        }
    }

    /// Appends a record at the next offset. `value` of `None` is a tombstone.
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) {
        self.put(self.last_offset_delta + 1, timestamp, key, value, headers.iter().copied());
    }

    /// Appends a record at the next offset whose headers come from an iterator (passed over twice).
    pub fn append_with<'h>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = Header<'h>> + Clone,
    ) {
        self.put(self.last_offset_delta + 1, timestamp, key, value, headers);
    }

    /// Appends a record at a given offset, leaving out the offsets before it.
    pub(crate) fn append_at<'h>(
        &mut self,
        offset: Offset,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = Header<'h>> + Clone,
    ) {
        let delta =
            i32::try_from(offset - self.options.base_offset).expect("a batch spans less than 2^31 offsets");
        assert!(delta > self.last_offset_delta, "records come in offset order");
        self.put(delta, timestamp, key, value, headers);
    }

    fn put<'h>(
        &mut self,
        offset_delta: i32,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = Header<'h>> + Clone,
    ) {
        let base_timestamp = *self.base_timestamp.get_or_insert(timestamp);
        let timestamp_delta = timestamp.wrapping_sub(base_timestamp);
        let (mut headers_count, mut headers_bytes) = (0, 0);
        for header in headers.clone() {
            headers_count += 1;
            headers_bytes += len_of(Some(header.key.as_bytes())) + len_of(header.value);
        }
        let len = 1
            + varlong_len(timestamp_delta)
            + varint_len(offset_delta)
            + len_of(key)
            + len_of(value)
            + varint_len(headers_count)
            + headers_bytes;
        let out = &mut self.bytes;
        out.reserve(len + 5);
        put_varint(out, i32::try_from(len).expect("records are far smaller than 2 GiB"));
        out.put_u8(0);
        put_varlong(out, timestamp_delta);
        put_varint(out, offset_delta);
        put_nullable(out, key);
        put_nullable(out, value);
        put_varint(out, headers_count);
        for header in headers {
            put_nullable(out, Some(header.key.as_bytes()));
            put_nullable(out, header.value);
        }
        self.count += 1;
        self.last_offset_delta = offset_delta;
        self.max_timestamp = self.max_timestamp.max(timestamp);
    }

    /// Records appended so far.
    pub fn count(&self) -> i32 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Size of the batch if it were not compressed, header included.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Sets the sequence of the first record, which a producer knows only when it sends.
    pub fn set_base_sequence(&mut self, producer_id: ProducerId, epoch: ProducerEpoch, base_sequence: i32) {
        self.options.producer_id = producer_id;
        self.options.producer_epoch = epoch;
        self.options.base_sequence = base_sequence;
    }

    /// Makes the batch claim all offsets up to `offset`, though there may be no records at the end of them.
    pub(crate) fn extend_to(&mut self, offset: Offset) {
        let delta =
            i32::try_from(offset - self.options.base_offset).expect("a batch spans less than 2^31 offsets");
        assert!(delta >= self.last_offset_delta, "records come in offset order");
        self.last_offset_delta = delta;
    }

    /// Sets the max timestamp, for log append time and for batches that lost their records.
    pub(crate) fn set_max_timestamp(&mut self, max_timestamp: i64) {
        self.max_timestamp = max_timestamp;
    }

    /// The finished batch.
    ///
    /// # Errors
    /// As [`Compression::compress`].
    pub fn build(mut self) -> Result<Bytes> {
        let options = &self.options;
        if options.compression != Compression::None {
            let mut out = Vec::with_capacity(HEADER_BYTES + self.bytes.len() / 2);
            out.resize(HEADER_BYTES, 0);
            options.compression.compress(&self.bytes[HEADER_BYTES..], &mut out)?;
            self.bytes = Bytes::from(out).into();
        }
        let mut attributes = Attributes::new(options.compression, options.timestamp_type);
        if options.transactional {
            attributes = attributes.with_transactional();
        }
        if options.control {
            attributes = attributes.with_control();
        }
        if options.delete_horizon_ms.is_some() {
            attributes = attributes.with_delete_horizon();
        }
        let out = &mut self.bytes;
        put_i64(out, BASE_OFFSET_AT, options.base_offset);
        put_i32(out, LEADER_EPOCH_AT, options.partition_leader_epoch);
        out[MAGIC_AT] = MAGIC.cast_unsigned();
        put_i16(out, ATTRIBUTES_AT, attributes.0);
        put_i32(out, LAST_OFFSET_DELTA_AT, self.last_offset_delta.max(0));
        put_i64(out, BASE_TIMESTAMP_AT, self.base_timestamp.unwrap_or(NO_TIMESTAMP));
        put_i64(out, MAX_TIMESTAMP_AT, self.max_timestamp);
        put_i64(out, PRODUCER_ID_AT, options.producer_id.0);
        put_i16(out, PRODUCER_EPOCH_AT, options.producer_epoch.0);
        put_i32(out, BASE_SEQUENCE_AT, options.base_sequence);
        put_i32(out, RECORDS_COUNT_AT, self.count);
        seal(out);
        Ok(self.bytes.freeze())
    }
}

fn len_of(bytes: Option<&[u8]>) -> usize {
    match bytes {
        None => 1,
        Some(bytes) => varint_len(bytes.len() as i32) + bytes.len(),
    }
}

fn put_nullable(out: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varint(out, bytes.len() as i32);
            out.put_slice(bytes);
        }
    }
}
