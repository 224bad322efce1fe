//! The records of a batch, borrowed from its (decompressed) bytes.
//!
//! A record: length (varint), attributes (1 byte, unused), timestamp delta (varlong), offset delta (varint), key,
//! value (each a varint length, -1 for null, and bytes), header count (varint), headers (each a key and a value).

use crate::error::{BatchDefect, Error, Result};
use crate::ids::Offset;
use crate::record::varint::{take_varint, take_varlong};

/// Smallest header: an empty key and a null value.
const HEADER_BYTES_MIN: usize = 2;

/// One record. Everything is borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset: Offset,
    /// Units: ms since epoch; `-1` if the producer gave none.
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// One header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    pub key: &'a str,
    pub value: Option<&'a [u8]>,
}

/// The headers of a record, in order; keys may repeat. They were checked when the record was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The headers one by one.
    pub fn iter(&self) -> HeaderIter<'a> {
        HeaderIter { left: self.count, bytes: self.bytes }
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = Header<'a>;
    type IntoIter = HeaderIter<'a>;

    fn into_iter(self) -> HeaderIter<'a> {
        self.iter()
    }
}

/// Iterator over [`Headers`].
#[derive(Debug, Clone)]
pub struct HeaderIter<'a> {
    left: usize,
    bytes: &'a [u8],
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.left = self.left.checked_sub(1)?;
        take_header(&mut self.bytes).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// Fields of a batch header that its records are relative to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordBase {
    pub(crate) base_offset: Offset,
    pub(crate) base_timestamp: i64,
    /// With log append time, the timestamp of every record.
    pub(crate) fixed_timestamp: Option<i64>,
    pub(crate) last_offset_delta: i32,
    pub(crate) count: i32,
}

/// Iterator over the records of one batch.
///
/// # Errors
/// Each item: [`crate::error::Error::CorruptBatch`] naming the record; iteration ends after it.
#[derive(Debug, Clone)]
pub struct RecordIter<'a> {
    base: RecordBase,
    index: i32,
    rest: &'a [u8],
}

impl<'a> RecordIter<'a> {
    /// Iterates over the decompressed `records` of a batch.
    ///
    /// # Errors
    /// `CorruptBatch` if there cannot be as many records as the header says.
    pub(crate) fn new(base: RecordBase, records: &'a [u8]) -> Result<Self> {
        let count = base.count;
        if count < 0 || count as usize > records.len() {
            return Err(corrupt(BatchDefect::Count { count, bytes: records.len() }));
        }
        Ok(RecordIter { base, index: 0, rest: records })
    }

    fn take_record(&mut self) -> Result<Record<'a>, &'static str> {
        let len = take_varint(&mut self.rest).ok_or("length")?;
        let mut body = take(&mut self.rest, len).ok_or("length")?;
        take(&mut body, 1).ok_or("attributes")?;
        let timestamp_delta = take_varlong(&mut body).ok_or("timestamp")?;
        let offset_delta = take_varint(&mut body).ok_or("offset delta")?;
        if offset_delta < 0 || offset_delta > self.base.last_offset_delta {
            return Err("offset delta");
        }
        let key = take_nullable(&mut body).ok_or("key")?;
        let value = take_nullable(&mut body).ok_or("value")?;
        let count =
            take_varint(&mut body).and_then(|count| usize::try_from(count).ok()).ok_or("header count")?;
        if count > body.len() / HEADER_BYTES_MIN {
            return Err("header count");
        }
        let headers = Headers { count, bytes: body };
        for _ in 0..count {
            take_header(&mut body)?;
        }
        if !body.is_empty() {
            return Err("trailing bytes");
        }
        let base = &self.base;
        Ok(Record {
            offset: base.base_offset + i64::from(offset_delta),
            timestamp: base.fixed_timestamp.unwrap_or(base.base_timestamp.wrapping_add(timestamp_delta)),
            key,
            value,
            headers,
        })
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index == self.base.count {
            if self.rest.is_empty() {
                return None;
            }
            let trailing = std::mem::take(&mut self.rest).len();
            return Some(Err(corrupt(BatchDefect::TrailingBytes(trailing))));
        }
        let index = self.index;
        self.index += 1;
        match self.take_record() {
            Ok(record) => Some(Ok(record)),
            Err(what) => {
                self.index = self.base.count;
                self.rest = &[];
                Some(Err(corrupt(BatchDefect::Record { index, what })))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, usize::try_from(self.base.count - self.index).ok().map(|left| left + 1))
    }
}

fn corrupt(reason: BatchDefect) -> Error {
    Error::CorruptBatch { reason }
}

fn take<'a>(bytes: &mut &'a [u8], len: i32) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
    *bytes = rest;
    Some(taken)
}

fn take_nullable<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match take_varint(bytes)? {
        -1 => Some(None),
        len => take(bytes, len).map(Some),
    }
}

fn take_header<'a>(bytes: &mut &'a [u8]) -> Result<Header<'a>, &'static str> {
    let key = take_varint(bytes).and_then(|len| take(bytes, len)).ok_or("header key")?;
    let key = std::str::from_utf8(key).map_err(|_| "header key")?;
    let value = take_nullable(bytes).ok_or("header value")?;
    Ok(Header { key, value })
}
