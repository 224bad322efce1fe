//! Store values: rows as compact bytes.
//!
//! | offset | length | what |
//! |---|---|---|
//! | 0 | 1 | version, [`VERSION`] |
//! | 1 | 8 | timestamp of the row, little-endian |
//! | 9 | 8 | a second number of the store's own (window end, sequence), little-endian |
//! | 17 | ⌈columns / 8⌉ | bitmap of columns that are not NULL, lowest bit first |
//! | … | … | those columns in order |
//!
//! BOOLEAN 1 byte; INTEGER, DATE, TIME 4; BIGINT, TIMESTAMP, DOUBLE 8; DECIMAL 16 or 32; all little-endian. STRING, BYTES: varint
//! length, bytes. ARRAY, MAP: varint count, then per value 0 (NULL) or 1 and its bytes. STRUCT: its fields, each with such a byte.

use arrow::array::ArrayRef;
use arrow::datatypes::i256;
use weir_sql::types::SqlType;

use crate::batch::column_builder::{ColumnBuilder, Values};
use crate::error::{EngineError, Result};
use crate::state::column_reader::{ColumnReader, child_range};

pub const VERSION: u8 = 1;
const HEADER_BYTES: usize = 17;

/// Appends row `row` of the columns.
pub fn encode_row(readers: &[ColumnReader<'_>], row: usize, rowtime: i64, extra: i64, out: &mut Vec<u8>) {
    out.push(VERSION);
    out.extend_from_slice(&rowtime.to_le_bytes());
    out.extend_from_slice(&extra.to_le_bytes());
    let bitmap = out.len();
    out.resize(bitmap + readers.len().div_ceil(8), 0);
    for (i, reader) in readers.iter().enumerate() {
        if !reader.is_null(row) {
            out[bitmap + i / 8] |= 1 << (i % 8);
            encode_value(reader, row, out);
        }
    }
}

/// Timestamp and second number of an encoded row.
pub fn row_header(bytes: &[u8]) -> Option<(i64, i64)> {
    let (version, rest) = bytes.split_first()?;
    let (rowtime, rest) = rest.split_first_chunk::<8>()?;
    let (extra, _) = rest.split_first_chunk::<8>()?;
    (*version == VERSION).then(|| (i64::from_le_bytes(*rowtime), i64::from_le_bytes(*extra)))
}

fn encode_optional(reader: &ColumnReader<'_>, row: usize, out: &mut Vec<u8>) {
    if reader.is_null(row) {
        out.push(0);
    } else {
        out.push(1);
        encode_value(reader, row, out);
    }
}

fn encode_value(reader: &ColumnReader<'_>, row: usize, out: &mut Vec<u8>) {
    match reader {
        ColumnReader::Boolean(a) => out.push(u8::from(a.value(row))),
        ColumnReader::Integer(a) => out.extend_from_slice(&a.value(row).to_le_bytes()),
        ColumnReader::Date(a) => out.extend_from_slice(&a.value(row).to_le_bytes()),
        ColumnReader::Time(a) => out.extend_from_slice(&a.value(row).to_le_bytes()),
        ColumnReader::Bigint(a) => out.extend_from_slice(&a.value(row).to_le_bytes()),
        ColumnReader::Timestamp(a) => out.extend_from_slice(&a.value(row).to_le_bytes()),
        ColumnReader::Double(a) => out.extend_from_slice(&a.value(row).to_le_bytes()),
        ColumnReader::Decimal128(a) => out.extend_from_slice(&a.value(row).to_le_bytes()),
        ColumnReader::Decimal256(a) => out.extend_from_slice(&a.value(row).to_le_bytes()),
        ColumnReader::String(a) => encode_bytes(a.value(row).as_bytes(), out),
        ColumnReader::Bytes(a) => encode_bytes(a.value(row), out),
        ColumnReader::Array(a, element) => {
            let range = child_range(a.value_offsets(), row);
            encode_varint(range.len(), out);
            range.for_each(|i| encode_optional(element, i, out));
        }
        ColumnReader::Map(a, entries) => {
            let range = child_range(a.value_offsets(), row);
            encode_varint(range.len(), out);
            for i in range {
                encode_optional(&entries[0], i, out);
                encode_optional(&entries[1], i, out);
            }
        }
        ColumnReader::Struct(_, fields) => fields.iter().for_each(|f| encode_optional(f, row, out)),
    }
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    encode_varint(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn encode_varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Builds columns from encoded rows.
#[derive(Debug)]
pub struct RowDecoder {
    columns: Vec<ColumnBuilder>,
    rowtimes: Vec<i64>,
    extras: Vec<i64>,
}

/// Decoded rows. Shape: every part has one entry per row.
#[derive(Debug)]
pub struct DecodedRows {
    pub columns: Vec<ArrayRef>,
    pub rowtimes: Vec<i64>,
    pub extras: Vec<i64>,
}

impl RowDecoder {
    pub fn new(types: &[SqlType]) -> RowDecoder {
        RowDecoder {
            columns: types.iter().map(ColumnBuilder::new).collect(),
            rowtimes: Vec::new(),
            extras: Vec::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.rowtimes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rowtimes.is_empty()
    }

    /// Adds one row. Errors: the bytes are not a row of these columns; nothing is added.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let rows = self.len();
        if self.try_push(bytes).is_none() {
            self.columns.iter_mut().for_each(|c| c.truncate(rows));
            return Err(EngineError::CorruptRow {
                store: String::new(),
                reason: "its bytes do not fit the columns".to_owned(),
            });
        }
        Ok(())
    }

    fn try_push(&mut self, bytes: &[u8]) -> Option<()> {
        let (rowtime, extra) = row_header(bytes)?;
        let bitmap_bytes = self.columns.len().div_ceil(8);
        let bitmap = bytes.get(HEADER_BYTES..HEADER_BYTES + bitmap_bytes)?;
        let mut rest = &bytes[HEADER_BYTES + bitmap_bytes..];
        for (i, column) in self.columns.iter_mut().enumerate() {
            if bitmap[i / 8] & (1 << (i % 8)) != 0 {
                push_value(column, &mut rest)?;
            } else {
                column.push_null();
            }
        }
        if !rest.is_empty() {
            return None;
        }
        self.rowtimes.push(rowtime);
        self.extras.push(extra);
        Some(())
    }

    /// The rows pushed so far; the decoder is empty afterwards.
    pub fn finish(&mut self) -> DecodedRows {
        DecodedRows {
            columns: self.columns.iter_mut().map(ColumnBuilder::finish).collect(),
            rowtimes: std::mem::take(&mut self.rowtimes),
            extras: std::mem::take(&mut self.extras),
        }
    }
}

fn split<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}

fn fixed<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    split(rest, N)?.try_into().ok()
}

fn decode_varint(rest: &mut &[u8]) -> Option<usize> {
    let mut value = 0_u64;
    for shift in (0..35).step_by(7) {
        let [byte] = fixed::<1>(rest)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return usize::try_from(value).ok();
        }
    }
    None
}

fn push_optional(column: &mut ColumnBuilder, rest: &mut &[u8]) -> Option<()> {
    match fixed::<1>(rest)? {
        [0] => column.push_null(),
        [1] => push_value(column, rest)?,
        _ => return None,
    }
    Some(())
}

fn push_value(column: &mut ColumnBuilder, rest: &mut &[u8]) -> Option<()> {
    match &mut column.values {
        Values::Boolean(v) => v.push(fixed::<1>(rest)?[0] != 0),
        Values::Integer(v) | Values::Date(v) | Values::Time(v) => v.push(i32::from_le_bytes(fixed(rest)?)),
        Values::Bigint(v) | Values::Timestamp(v) => v.push(i64::from_le_bytes(fixed(rest)?)),
        Values::Double(v) => v.push(f64::from_le_bytes(fixed(rest)?)),
        Values::Decimal128 { values, .. } => values.push(i128::from_le_bytes(fixed(rest)?)),
        Values::Decimal256 { values, .. } => values.push(i256::from_le_bytes(fixed(rest)?)),
        Values::String(v) => {
            let length = decode_varint(rest)?;
            let text = std::str::from_utf8(split(rest, length)?).ok()?;
            v.data.extend_from_slice(text.as_bytes());
        }
        Values::Bytes(v) => {
            let length = decode_varint(rest)?;
            v.data.extend_from_slice(split(rest, length)?);
        }
        Values::Array { element, .. } => {
            for _ in 0..decode_varint(rest)? {
                push_optional(element, rest)?;
            }
        }
        Values::Map { key, value, .. } => {
            for _ in 0..decode_varint(rest)? {
                push_optional(key, rest)?;
                push_optional(value, rest)?;
            }
        }
        Values::Struct(fields) => {
            for field in fields {
                push_optional(field, rest)?;
            }
        }
    }
    column.end_valid();
    Some(())
}
