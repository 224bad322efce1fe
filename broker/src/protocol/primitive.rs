//! Reading and writing the protocol's primitive types, bounded on the way in and without copying records on the way
//! out.
//!
//! Source: "Protocol Primitive Types" of the Kafka protocol guide; KIP-482 for compact types and tagged fields.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;
use uuid::Uuid;

/// Decoded values may take this many bytes of memory per byte of input.
pub(crate) const BUDGET_PER_INPUT_BYTE: usize = 8;
/// Memory a decoder may use however short its input is, in bytes: thousands of names of a few letters fit.
pub(crate) const BUDGET_BASE: usize = 64 * 1024;
/// Byte fields of at least this length are passed on as they are instead of being copied into the output buffer.
const SPLICE_LEN_MIN: usize = 1024;

/// Why bytes are not a valid message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("malformed message at byte {position}{}: {kind}", self.field.map(|f| format!(", field {f}")).unwrap_or_default())]
pub struct DecodeError {
    /// Offset in the decoded bytes at which decoding stopped.
    pub position: usize,
    /// Innermost field being read, as `Struct.field`.
    pub field: Option<&'static str>,
    /// What was wrong.
    pub kind: DecodeErrorKind,
}

/// What was wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeErrorKind {
    /// More bytes were announced or needed than are present.
    #[error("{needed} bytes needed, {remaining} present")]
    Truncated { needed: usize, remaining: usize },
    /// An array announces more elements than can be present.
    #[error("array of {count} elements announced, {remaining} bytes present")]
    Count { count: usize, remaining: usize },
    /// A length or count is negative and does not stand for null.
    #[error("negative length {length}")]
    NegativeLength { length: i64 },
    /// Null where the version does not allow it.
    #[error("null is not allowed here")]
    Null,
    /// A varint is longer than its type.
    #[error("varint is too long")]
    Varint,
    /// A string is not UTF-8.
    #[error("string is not UTF-8")]
    Utf8,
    /// The decoded value would take far more memory than the input.
    #[error("decoded value would take more than {limit} bytes")]
    Memory { limit: usize },
    /// Bytes are left over after the message or after a tagged field.
    #[error("{count} bytes left over")]
    Trailing { count: usize },
    /// The version is not one this message has.
    #[error("version {version} is not known")]
    Version { version: i16 },
}

impl DecodeError {
    /// Names the field that was being read, unless an inner one was named already.
    pub(crate) fn within(mut self, field: &'static str) -> Self {
        self.field.get_or_insert(field);
        self
    }
}

/// Why a value cannot be written in the asked version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// A field that carries meaning is set, and the version has no place for it.
    #[error("field {field} cannot be sent in version {version}")]
    FieldNotInVersion { field: &'static str, version: i16 },
    /// A string or byte field is longer than its length prefix can say.
    #[error("field of {length} bytes is longer than {max}")]
    TooLong { length: usize, max: usize },
    /// Null where the version does not allow it.
    #[error("null cannot be sent in version {version}")]
    Null { version: i16 },
    /// The version is not one this message has.
    #[error("version {version} is not known")]
    Version { version: i16 },
}

/// Reads primitives from a buffer. Byte fields are slices of that buffer, not copies.
///
/// Invariant: the memory taken by all values read is at most 8 bytes per byte of input plus 64 KiB, not counting
/// the input itself.
#[derive(Debug)]
pub struct Decoder {
    input: Bytes,
    position: usize,
    /// Where the innermost enclosing tagged field (or the input) ends.
    end: usize,
    /// Memory that may still be taken, in bytes.
    budget: usize,
    budget_total: usize,
}

impl Decoder {
    /// A decoder over all of `input`.
    pub fn new(input: Bytes) -> Self {
        let end = input.len();
        let budget = end.saturating_mul(BUDGET_PER_INPUT_BYTE).saturating_add(BUDGET_BASE);
        Self { input, position: 0, end, budget, budget_total: budget }
    }

    /// Bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.end - self.position
    }

    /// Fails if bytes are left over.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(self.error(DecodeErrorKind::Trailing { count })),
        }
    }

    /// The rest of the input, not copied.
    pub fn into_rest(self) -> Bytes {
        self.input.slice(self.position..self.end)
    }

    pub(crate) fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { position: self.position, field: None, kind }
    }

    /// Takes `len` bytes of memory from the budget.
    pub(crate) fn charge(&mut self, len: usize) -> Result<(), DecodeError> {
        match self.budget.checked_sub(len) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(self.error(DecodeErrorKind::Memory { limit: self.budget_total })),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.input[self.position..self.end].first_chunk::<N>().copied();
        let bytes = bytes.ok_or_else(|| self.truncated(N))?;
        self.position += N;
        Ok(bytes)
    }

    fn truncated(&self, needed: usize) -> DecodeError {
        self.error(DecodeErrorKind::Truncated { needed, remaining: self.remaining() })
    }

    /// INT8.
    pub fn get_i8(&mut self) -> Result<i8, DecodeError> {
        self.array().map(i8::from_be_bytes)
    }

    /// INT16.
    pub fn get_i16(&mut self) -> Result<i16, DecodeError> {
        self.array().map(i16::from_be_bytes)
    }

    /// UINT16.
    pub fn get_u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// INT32.
    pub fn get_i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    /// INT64.
    pub fn get_i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    /// FLOAT64.
    pub fn get_f64(&mut self) -> Result<f64, DecodeError> {
        self.array().map(f64::from_be_bytes)
    }

    /// UUID.
    pub fn get_uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.array().map(Uuid::from_bytes)
    }

    /// UNSIGNED_VARINT: at most five bytes, and no bits beyond the 32nd.
    pub fn get_unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0x0f {
                return Err(self.error(DecodeErrorKind::Varint));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.error(DecodeErrorKind::Varint))
    }

    /// The length of a STRING (or COMPACT_STRING); `None` for null.
    pub(crate) fn get_string_len(&mut self, compact: bool) -> Result<Option<usize>, DecodeError> {
        if compact {
            self.get_compact_len()
        } else {
            self.get_i16().and_then(|n| self.signed_len(i64::from(n)))
        }
    }

    /// The length of BYTES or RECORDS, or the count of an ARRAY (or their compact forms); `None` for null.
    pub(crate) fn get_len(&mut self, compact: bool) -> Result<Option<usize>, DecodeError> {
        if compact {
            self.get_compact_len()
        } else {
            self.get_i32().and_then(|n| self.signed_len(i64::from(n)))
        }
    }

    fn get_compact_len(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok(self.get_unsigned_varint()?.checked_sub(1).map(|len| len as usize))
    }

    fn signed_len(&self, length: i64) -> Result<Option<usize>, DecodeError> {
        match usize::try_from(length) {
            Ok(len) => Ok(Some(len)),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(self.error(DecodeErrorKind::NegativeLength { length })),
        }
    }

    /// Checks that `count` elements of at least `len_min` bytes each can be present, and takes the memory for them.
    pub(crate) fn reserve(&mut self, count: usize, len_min: usize, size: usize) -> Result<(), DecodeError> {
        let remaining = self.remaining();
        if count > remaining / len_min.max(1) {
            return Err(self.error(DecodeErrorKind::Count { count, remaining }));
        }
        self.charge(count.saturating_mul(size))
    }

    /// The next `len` bytes, not copied.
    pub fn get_bytes(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        if len > self.remaining() {
            return Err(self.truncated(len));
        }
        let bytes = self.input.slice(self.position..self.position + len);
        self.position += len;
        Ok(bytes)
    }

    /// The next `len` bytes as an owned string.
    pub(crate) fn get_string(&mut self, len: usize) -> Result<String, DecodeError> {
        if len > self.remaining() {
            return Err(self.truncated(len));
        }
        self.charge(len)?;
        let bytes = &self.input[self.position..self.position + len];
        let string = std::str::from_utf8(bytes).map_err(|_| self.error(DecodeErrorKind::Utf8))?.to_owned();
        self.position += len;
        Ok(string)
    }

    /// Limits reading to the next `len` bytes, a tagged field. Returns the limit to give back to [`Self::leave`].
    pub(crate) fn enter(&mut self, len: usize) -> Result<usize, DecodeError> {
        if len > self.remaining() {
            return Err(self.truncated(len));
        }
        let outer = self.end;
        self.end = self.position + len;
        Ok(outer)
    }

    /// Skips what is left of the current tagged field.
    pub(crate) fn skip_rest(&mut self) {
        self.position = self.end;
    }

    /// Ends the tagged field begun by [`Self::enter`]; all of it must have been read.
    pub(crate) fn leave(&mut self, outer: usize) -> Result<(), DecodeError> {
        self.finish()?;
        self.end = outer;
        Ok(())
    }

    /// The count of tagged fields; each takes at least two bytes.
    pub(crate) fn get_tag_count(&mut self) -> Result<u32, DecodeError> {
        let count = self.get_unsigned_varint()?;
        let remaining = self.remaining();
        if count as usize > remaining / 2 {
            return Err(self.error(DecodeErrorKind::Count { count: count as usize, remaining }));
        }
        Ok(count)
    }

    /// Reads tagged fields nobody here knows, and forgets them.
    pub(crate) fn skip_tags(&mut self) -> Result<(), DecodeError> {
        for _ in 0..self.get_tag_count()? {
            self.get_unsigned_varint()?;
            let len = self.get_unsigned_varint()? as usize;
            let outer = self.enter(len)?;
            self.skip_rest();
            self.leave(outer)?;
        }
        Ok(())
    }
}

/// Writes primitives to a buffer. Long byte fields are kept aside as they are and put in place when the chunks are
/// taken, so that record bytes are not copied.
#[derive(Debug, Default)]
pub struct Encoder {
    buffer: BytesMut,
    /// `splices[i]` belongs before `buffer[splices[i].0]`; positions never decrease.
    splices: Vec<(usize, Bytes)>,
    spliced_len: usize,
    /// Depth of enclosing tagged fields; their content is moved after writing, so nothing is spliced there.
    tag_depth: usize,
}

impl Encoder {
    /// An empty encoder with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { buffer: BytesMut::with_capacity(capacity), ..Self::default() }
    }

    /// Bytes written, spliced ones included.
    pub fn len(&self) -> usize {
        self.buffer.len() + self.spliced_len
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// INT8.
    pub fn put_i8(&mut self, value: i8) {
        self.buffer.put_i8(value);
    }

    /// INT16.
    pub fn put_i16(&mut self, value: i16) {
        self.buffer.put_i16(value);
    }

    /// UINT16.
    pub fn put_u16(&mut self, value: u16) {
        self.buffer.put_u16(value);
    }

    /// INT32.
    pub fn put_i32(&mut self, value: i32) {
        self.buffer.put_i32(value);
    }

    /// INT64.
    pub fn put_i64(&mut self, value: i64) {
        self.buffer.put_i64(value);
    }

    /// FLOAT64.
    pub fn put_f64(&mut self, value: f64) {
        self.buffer.put_f64(value);
    }

    /// Raw bytes, copied.
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.buffer.put_slice(bytes);
    }

    /// UNSIGNED_VARINT.
    pub fn put_unsigned_varint(&mut self, value: u32) {
        let (bytes, len) = unsigned_varint(value);
        self.buffer.put_slice(&bytes[..len]);
    }

    /// Raw bytes, spliced when long.
    pub fn put_bytes(&mut self, bytes: &Bytes) {
        if bytes.len() < SPLICE_LEN_MIN || self.tag_depth > 0 {
            self.buffer.put_slice(bytes);
        } else {
            self.spliced_len += bytes.len();
            self.splices.push((self.buffer.len(), bytes.clone()));
        }
    }

    /// The length of a STRING (or COMPACT_STRING); `None` for null.
    pub(crate) fn put_string_len(&mut self, len: Option<usize>, compact: bool) -> Result<(), EncodeError> {
        if compact {
            return self.put_compact_len(len);
        }
        let max = i16::MAX as usize;
        let Some(len) = len else {
            self.put_i16(-1);
            return Ok(());
        };
        self.put_i16(i16::try_from(len).map_err(|_| EncodeError::TooLong { length: len, max })?);
        Ok(())
    }

    /// The length of BYTES or RECORDS, or the count of an ARRAY (or their compact forms); `None` for null.
    pub(crate) fn put_len(&mut self, len: Option<usize>, compact: bool) -> Result<(), EncodeError> {
        if compact {
            return self.put_compact_len(len);
        }
        let max = i32::MAX as usize;
        let Some(len) = len else {
            self.put_i32(-1);
            return Ok(());
        };
        self.put_i32(i32::try_from(len).map_err(|_| EncodeError::TooLong { length: len, max })?);
        Ok(())
    }

    fn put_compact_len(&mut self, len: Option<usize>) -> Result<(), EncodeError> {
        let max = i32::MAX as usize;
        match len {
            None => self.put_unsigned_varint(0),
            Some(length) if length > max => return Err(EncodeError::TooLong { length, max }),
            Some(length) => self.put_unsigned_varint(length as u32 + 1),
        }
        Ok(())
    }

    /// Writes one tagged field: tag, length, and what `write` writes.
    pub(crate) fn put_tagged(
        &mut self,
        tag: u32,
        write: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.put_unsigned_varint(tag);
        let start = self.buffer.len();
        self.tag_depth += 1;
        let written = write(self);
        self.tag_depth -= 1;
        written?;
        let length = self.buffer.len() - start;
        let max = i32::MAX as usize;
        if length > max {
            return Err(EncodeError::TooLong { length, max });
        }
        // The length goes before the content, whose length is only known now: append it and rotate it into place.
        let (prefix, prefix_len) = unsigned_varint(length as u32);
        self.buffer.put_slice(&prefix[..prefix_len]);
        self.buffer[start..].rotate_right(prefix_len);
        Ok(())
    }

    /// Overwrites the four bytes at `position` of the unspliced part, which must have been written.
    pub(crate) fn patch_i32(&mut self, position: usize, value: i32) {
        debug_assert!(self.splices.first().is_none_or(|(at, _)| position + 4 <= *at));
        self.buffer[position..position + 4].copy_from_slice(&value.to_be_bytes());
    }

    /// What was written, in order. Spliced fields are chunks of their own.
    pub fn into_chunks(self) -> Vec<Bytes> {
        let mut rest = self.buffer.freeze();
        if self.splices.is_empty() {
            return vec![rest];
        }
        let mut chunks = Vec::with_capacity(2 * self.splices.len() + 1);
        let mut taken = 0;
        for (position, bytes) in self.splices {
            if position > taken {
                chunks.push(rest.split_to(position - taken));
                taken = position;
            }
            chunks.push(bytes);
        }
        if !rest.is_empty() {
            chunks.push(rest);
        }
        chunks
    }
}

/// The bytes of an unsigned varint and how many of them count.
fn unsigned_varint(mut value: u32) -> ([u8; 5], usize) {
    let mut bytes = [0; 5];
    let mut len = 0;
    while value >= 0x80 {
        bytes[len] = (value as u8 & 0x7f) | 0x80;
        value >>= 7;
        len += 1;
    }
    bytes[len] = value as u8;
    (bytes, len + 1)
}

#[cfg(test)]
mod tests {
    use super::{Bytes, DecodeErrorKind, Decoder, Encoder};

    fn varint(bytes: &'static [u8]) -> Result<u32, DecodeErrorKind> {
        Decoder::new(Bytes::from_static(bytes)).get_unsigned_varint().map_err(|error| error.kind)
    }

    #[test]
    fn unsigned_varints_take_five_bytes_at_most() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 1 << 21, 1 << 28, u32::MAX] {
            let mut encoder = Encoder::default();
            encoder.put_unsigned_varint(value);
            let bytes = encoder.into_chunks().remove(0);
            assert_eq!(Decoder::new(bytes).get_unsigned_varint(), Ok(value));
        }
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0x1f]), Err(DecodeErrorKind::Varint));
        assert_eq!(varint(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), Err(DecodeErrorKind::Varint));
        assert_eq!(varint(&[0x80]), Err(DecodeErrorKind::Truncated { needed: 1, remaining: 0 }));
    }

    #[test]
    fn tagged_fields_carry_their_length() {
        let long = Bytes::from(vec![7u8; 2000]);
        let mut encoder = Encoder::default();
        encoder
            .put_tagged(3, |out| {
                out.put_bytes(&long);
                Ok(())
            })
            .expect("short enough");
        let bytes = encoder.into_chunks().remove(0);
        assert_eq!(bytes[..3], [3, 0xd0, 0x0f]);
        assert_eq!(bytes[3..], long[..]);
    }

    #[test]
    fn long_byte_fields_are_not_copied() {
        let long = Bytes::from(vec![7u8; 2000]);
        let mut encoder = Encoder::default();
        encoder.put_i32(1);
        encoder.put_bytes(&long);
        encoder.put_bytes(&long);
        encoder.put_i8(2);
        assert_eq!(encoder.len(), 4005);
        let chunks = encoder.into_chunks();
        assert_eq!(chunks.iter().map(Bytes::len).collect::<Vec<_>>(), [4, 2000, 2000, 1]);
        assert_eq!(chunks[1].as_ptr(), long.as_ptr());
    }
}
