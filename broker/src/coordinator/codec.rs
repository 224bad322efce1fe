//! The primitive types of coordinator records: big-endian integers, strings and arrays with length prefixes.
//!
//! Source: the non-flexible encodings of the Kafka protocol, which `__consumer_offsets` and `__transaction_state` use.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Why a coordinator record could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("coordinator record ends inside field \"{field}\"")]
    Truncated { field: &'static str },
    #[error("coordinator record field \"{field}\" is not UTF-8")]
    NotUtf8 { field: &'static str },
    #[error("coordinator record field \"{field}\" has length {length}")]
    Length { field: &'static str, length: i64 },
    #[error("coordinator record field \"{field}\" has unknown value {value}")]
    UnknownValue { field: &'static str, value: i64 },
    #[error("coordinator record of kind \"{kind}\" is malformed: {reason}")]
    Value { kind: &'static str, reason: String },
}

/// Reads fields in order; never trusts a length beyond the bytes present.
#[derive(Debug)]
pub struct FieldReader {
    bytes: Bytes,
}

impl FieldReader {
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        Self { bytes }
    }

    fn need(&self, field: &'static str, count: usize) -> Result<(), RecordError> {
        if self.bytes.remaining() < count { Err(RecordError::Truncated { field }) } else { Ok(()) }
    }

    /// Whether everything has been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn i8(&mut self, field: &'static str) -> Result<i8, RecordError> {
        self.need(field, 1)?;
        Ok(self.bytes.get_i8())
    }

    pub fn i16(&mut self, field: &'static str) -> Result<i16, RecordError> {
        self.need(field, 2)?;
        Ok(self.bytes.get_i16())
    }

    pub fn i32(&mut self, field: &'static str) -> Result<i32, RecordError> {
        self.need(field, 4)?;
        Ok(self.bytes.get_i32())
    }

    pub fn i64(&mut self, field: &'static str) -> Result<i64, RecordError> {
        self.need(field, 8)?;
        Ok(self.bytes.get_i64())
    }

    /// A string; null is refused.
    pub fn string(&mut self, field: &'static str) -> Result<String, RecordError> {
        self.nullable_string(field)?.ok_or(RecordError::Length { field, length: -1 })
    }

    pub fn nullable_string(&mut self, field: &'static str) -> Result<Option<String>, RecordError> {
        let length = self.i16(field)?;
        if length < 0 {
            return Ok(None);
        }
        let bytes = self.take(field, usize::from(length.unsigned_abs()))?;
        String::from_utf8(bytes.to_vec()).map(Some).map_err(|_| RecordError::NotUtf8 { field })
    }

    pub fn bytes(&mut self, field: &'static str) -> Result<Bytes, RecordError> {
        let length = self.i32(field)?;
        let count =
            usize::try_from(length).map_err(|_| RecordError::Length { field, length: i64::from(length) })?;
        self.take(field, count)
    }

    /// The element count of an array, checked against the bytes left: every element has at least one byte.
    pub fn count(&mut self, field: &'static str) -> Result<usize, RecordError> {
        let length = self.i32(field)?;
        let count = usize::try_from(length.max(0)).expect("not negative");
        if count > self.bytes.remaining() {
            return Err(RecordError::Length { field, length: i64::from(length) });
        }
        Ok(count)
    }

    fn take(&mut self, field: &'static str, count: usize) -> Result<Bytes, RecordError> {
        self.need(field, count)?;
        Ok(self.bytes.split_to(count))
    }
}

/// Writes fields in order.
#[derive(Debug, Default)]
pub struct FieldWriter {
    bytes: BytesMut,
}

impl FieldWriter {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn i8(mut self, value: i8) -> Self {
        self.bytes.put_i8(value);
        self
    }

    #[must_use]
    pub fn i16(mut self, value: i16) -> Self {
        self.bytes.put_i16(value);
        self
    }

    #[must_use]
    pub fn i32(mut self, value: i32) -> Self {
        self.bytes.put_i32(value);
        self
    }

    #[must_use]
    pub fn i64(mut self, value: i64) -> Self {
        self.bytes.put_i64(value);
        self
    }

    /// Writes a string. Invariant: at most 32767 bytes, which the wire protocol guarantees for names.
    #[must_use]
    pub fn string(mut self, value: &str) -> Self {
        let length = i16::try_from(value.len()).expect("protocol strings are at most 32767 bytes");
        self.bytes.put_i16(length);
        self.bytes.put_slice(value.as_bytes());
        self
    }

    #[must_use]
    pub fn nullable_string(self, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.string(value),
            None => self.i16(-1),
        }
    }

    #[must_use]
    pub fn bytes(mut self, value: &[u8]) -> Self {
        let length = i32::try_from(value.len()).expect("protocol byte fields are at most 2 GiB");
        self.bytes.put_i32(length);
        self.bytes.put_slice(value);
        self
    }

    #[must_use]
    pub fn count(self, count: usize) -> Self {
        self.i32(i32::try_from(count).expect("protocol arrays have at most 2^31 elements"))
    }

    #[must_use]
    pub fn finish(self) -> Bytes {
        self.bytes.freeze()
    }
}

/// A record for a coordinator's log; no value deletes the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoordinatorRecord {
    pub key: Bytes,
    pub value: Option<Bytes>,
}
