//! Store keys: SQL key columns as bytes that sort like the values.
//!
//! Each column is a marker ([`NULL`] or [`PRESENT`]) and then:
//!
//! | type | bytes |
//! |---|---|
//! | BOOLEAN | 1 byte |
//! | INTEGER, DATE, TIME / BIGINT, TIMESTAMP | 4 / 8, big-endian, sign bit flipped |
//! | DOUBLE | 8, big-endian; sign bit flipped, all bits if negative |
//! | DECIMAL | 16 (p ≤ 38) or 32, big-endian, sign bit flipped |
//! | STRING, BYTES | the bytes, 0 as 0 255; then 0 0 |
//! | ARRAY | per element its marker and bytes; then 0 |
//! | STRUCT | its fields |
//!
//! No key is the prefix of another of the same columns. Windowed keys end in the window start, as a BIGINT without marker.

use arrow::array::ArrayRef;
use arrow::datatypes::i256;
use weir_sql::types::SqlType;

use crate::batch::column_builder::{ColumnBuilder, Values};
use crate::error::{EngineError, Result};
use crate::state::column_reader::{ColumnReader, child_range};

pub const NULL: u8 = 1;
pub const PRESENT: u8 = 2;

/// Store keys of a batch in one buffer.
#[derive(Clone, Debug, Default)]
pub struct EncodedKeys {
    data: Vec<u8>,
    /// End of key `i` in `data`.
    ends: Vec<u32>,
}

impl EncodedKeys {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    #[inline]
    pub fn get(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        &self.data[start..self.ends[row] as usize]
    }

    /// Encodes row by row. Shape: one key per row of the columns, `rows` of them.
    pub fn encode(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let readers = ColumnReader::all(columns)?;
        self.encode_with(rows, |row, out| encode_key(&readers, row, out))
    }

    /// Encodes `rows` keys, each by appending its bytes.
    pub fn encode_with(
        &mut self,
        rows: usize,
        mut encode: impl FnMut(usize, &mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        self.data.clear();
        self.ends.clear();
        self.ends.reserve(rows);
        for row in 0..rows {
            encode(row, &mut self.data)?;
            let end = u32::try_from(self.data.len())
                .map_err(|_| EngineError::Plan { reason: "keys of a batch exceed 4 GiB".to_owned() })?;
            self.ends.push(end);
        }
        Ok(())
    }
}

/// Appends the key of one row.
pub fn encode_key(readers: &[ColumnReader<'_>], row: usize, out: &mut Vec<u8>) -> Result<()> {
    readers.iter().try_for_each(|r| encode_value(r, row, out))
}

/// Appends a window start.
pub fn encode_window_start(start: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&(start ^ i64::MIN).to_be_bytes());
}

/// The window start at the end of a store key, and what is before it. None: the key is too short.
pub fn split_window_start(key: &[u8]) -> Option<(&[u8], i64)> {
    let (key, start) = key.split_last_chunk::<8>()?;
    Some((key, i64::from_be_bytes(*start) ^ i64::MIN))
}

fn encode_value(reader: &ColumnReader<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
    if reader.is_null(row) {
        out.push(NULL);
        return Ok(());
    }
    out.push(PRESENT);
    match reader {
        ColumnReader::Boolean(a) => out.push(u8::from(a.value(row))),
        ColumnReader::Integer(a) => encode_i32(a.value(row), out),
        ColumnReader::Date(a) => encode_i32(a.value(row), out),
        ColumnReader::Time(a) => encode_i32(a.value(row), out),
        ColumnReader::Bigint(a) => encode_window_start(a.value(row), out),
        ColumnReader::Timestamp(a) => encode_window_start(a.value(row), out),
        ColumnReader::Double(a) => {
            let bits = a.value(row).to_bits() as i64;
            let flipped = if bits < 0 { !bits } else { bits ^ i64::MIN };
            out.extend_from_slice(&flipped.to_be_bytes());
        }
        ColumnReader::Decimal128(a) => {
            out.extend_from_slice(&(a.value(row) ^ i128::MIN).to_be_bytes());
        }
        ColumnReader::Decimal256(a) => {
            let mut bytes = a.value(row).to_be_bytes();
            bytes[0] ^= 0x80;
            out.extend_from_slice(&bytes);
        }
        ColumnReader::String(a) => encode_bytes(a.value(row).as_bytes(), out),
        ColumnReader::Bytes(a) => encode_bytes(a.value(row), out),
        ColumnReader::Array(a, element) => {
            for i in child_range(a.value_offsets(), row) {
                encode_value(element, i, out)?;
            }
            out.push(0);
        }
        ColumnReader::Struct(_, fields) => {
            for field in fields {
                encode_value(field, row, out)?;
            }
        }
        ColumnReader::Map(..) => {
            return Err(EngineError::Plan { reason: "MAP cannot be part of a key".to_owned() });
        }
    }
    Ok(())
}

fn encode_i32(value: i32, out: &mut Vec<u8>) {
    out.extend_from_slice(&(value ^ i32::MIN).to_be_bytes());
}

fn encode_bytes(mut bytes: &[u8], out: &mut Vec<u8>) {
    while let Some(zero) = memchr::memchr(0, bytes) {
        out.extend_from_slice(&bytes[..=zero]);
        out.push(u8::MAX);
        bytes = &bytes[zero + 1..];
    }
    out.extend_from_slice(bytes);
    out.extend_from_slice(&[0, 0]);
}

/// Builds key columns from store keys.
#[derive(Debug)]
pub struct KeyDecoder {
    columns: Vec<ColumnBuilder>,
    rows: usize,
}

impl KeyDecoder {
    pub fn new<'a>(types: impl IntoIterator<Item = &'a SqlType>) -> KeyDecoder {
        KeyDecoder { columns: types.into_iter().map(ColumnBuilder::new).collect(), rows: 0 }
    }

    /// Adds the key at the start of the bytes and gives what is after it (a window start, say). Errors: there is none;
    /// nothing is added.
    pub fn push<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8]> {
        let mut rest = bytes;
        for column in &mut self.columns {
            if decode_value(column, &mut rest).is_none() {
                let rows = self.rows;
                self.columns.iter_mut().for_each(|c| c.truncate(rows));
                return Err(EngineError::CorruptRow {
                    store: String::new(),
                    reason: "its key does not fit the key columns".to_owned(),
                });
            }
        }
        self.rows += 1;
        Ok(rest)
    }

    /// The keys pushed so far as columns; the decoder is empty afterwards.
    pub fn finish(&mut self) -> Vec<ArrayRef> {
        self.rows = 0;
        self.columns.iter_mut().map(ColumnBuilder::finish).collect()
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn decode_bytes(rest: &mut &[u8], out: &mut Vec<u8>) -> Option<()> {
    loop {
        let zero = memchr::memchr(0, rest)?;
        out.extend_from_slice(&rest[..zero]);
        let after = *rest.get(zero + 1)?;
        *rest = &rest[zero + 2..];
        match after {
            0 => return Some(()),
            u8::MAX => out.push(0),
            _ => return None,
        }
    }
}

fn decode_value(column: &mut ColumnBuilder, rest: &mut &[u8]) -> Option<()> {
    match take::<1>(rest)? {
        [NULL] => {
            column.push_null();
            return Some(());
        }
        [PRESENT] => {}
        _ => return None,
    }
    match &mut column.values {
        Values::Boolean(v) => v.push(take::<1>(rest)?[0] != 0),
        Values::Integer(v) | Values::Date(v) | Values::Time(v) => {
            v.push(i32::from_be_bytes(take(rest)?) ^ i32::MIN);
        }
        Values::Bigint(v) | Values::Timestamp(v) => v.push(i64::from_be_bytes(take(rest)?) ^ i64::MIN),
        Values::Double(v) => {
            let bits = i64::from_be_bytes(take(rest)?);
            let bits = if bits < 0 { bits ^ i64::MIN } else { !bits };
            v.push(f64::from_bits(bits as u64));
        }
        Values::Decimal128 { values, .. } => values.push(i128::from_be_bytes(take(rest)?) ^ i128::MIN),
        Values::Decimal256 { values, .. } => {
            let mut bytes: [u8; 32] = take(rest)?;
            bytes[0] ^= 0x80;
            values.push(i256::from_be_bytes(bytes));
        }
        Values::String(v) => {
            let start = v.data.len();
            decode_bytes(rest, &mut v.data)?;
            std::str::from_utf8(&v.data[start..]).ok()?;
        }
        Values::Bytes(v) => decode_bytes(rest, &mut v.data)?,
        Values::Array { element, .. } => {
            while *rest.first()? != 0 {
                decode_value(element, rest)?;
            }
            *rest = &rest[1..];
        }
        Values::Struct(fields) => {
            for field in fields {
                decode_value(field, rest)?;
            }
        }
        Values::Map { .. } => return None,
    }
    column.end_valid();
    Some(())
}

#[cfg(test)]
mod tests;
