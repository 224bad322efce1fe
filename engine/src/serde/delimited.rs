//! DELIMITED: one line of character separated values.
//!
//! Reading takes the first line with anything on it. A field may stand in double quotes, with quotes inside doubled; an empty
//! field, quoted or not, is NULL. The number of fields must be that of the columns. Writing quotes where Apache Commons CSV
//! in its minimal mode does, which is what existing topics hold: more often than strictly needed at the start of a line.
//!
//! Numbers are plain text, BYTES base64, DATE days, TIME ms of the day, TIMESTAMP ms.

use arrow::array::BooleanBufferBuilder;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{
    Date32Type, Decimal128Type, Decimal256Type, Float64Type, Int32Type, Int64Type, Time32MillisecondType,
    TimestampMillisecondType,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use weir_sql::format::{Format, FormatInfo};
use weir_sql::schema::Column;
use weir_sql::types::SqlType;

use crate::batch::column_builder::ColumnBuilder;
use crate::serde::encoded::EncodedRows;
use crate::serde::error::{EncodeError, Fallible, Fault, SerdeError};
use crate::serde::text::{write_decimal_plain, write_double};
use crate::serde::{DECODE_BYTES_MAX, Decoded, RowDecoder, RowEncoder, coerce};

const DELIMITER: &str = "delimiter";

/// The delimiter of the format's properties: one character, or the words TAB and SPACE. A comma if there is none.
fn delimiter(format: &FormatInfo) -> Result<char, SerdeError> {
    let Some(value) = format.properties.get(DELIMITER) else { return Ok(',') };
    if value.eq_ignore_ascii_case("TAB") {
        return Ok('\t');
    }
    if value.eq_ignore_ascii_case("SPACE") {
        return Ok(' ');
    }
    let mut chars = value.chars();
    match (chars.next(), chars.next()) {
        (Some(delimiter), None) if !matches!(delimiter, '"' | '\r' | '\n') => Ok(delimiter),
        _ => Err(SerdeError::Property {
            format: Format::Delimited,
            property: DELIMITER.to_owned(),
            value: value.clone(),
        }),
    }
}

fn check_types(columns: &[Column]) -> Result<(), SerdeError> {
    match columns.iter().find(|c| c.sql_type.is_nested()) {
        None => Ok(()),
        Some(column) => Err(SerdeError::UnsupportedType {
            format: Format::Delimited,
            column: column.name.clone(),
            sql_type: column.sql_type.clone(),
        }),
    }
}

#[derive(Debug)]
pub struct DelimitedDecoder {
    delimiter: char,
    names: Vec<String>,
    columns: Vec<ColumnBuilder>,
    /// The text of a quoted field while it is read.
    quoted: String,
}

impl DelimitedDecoder {
    /// Errors: a nested type, or an invalid delimiter.
    pub fn new(format: &FormatInfo, columns: &[Column]) -> Result<DelimitedDecoder, SerdeError> {
        check_types(columns)?;
        Ok(DelimitedDecoder {
            delimiter: delimiter(format)?,
            names: columns.iter().map(|c| c.name.clone()).collect(),
            columns: columns.iter().map(|c| ColumnBuilder::new(&c.sql_type)).collect(),
            quoted: String::new(),
        })
    }

    fn decode_record(&mut self, bytes: &[u8]) -> Fallible<()> {
        let text = std::str::from_utf8(bytes).map_err(|_| Fault::new("the record is not UTF-8 text"))?;
        let mut rest = text.trim_start_matches(['\r', '\n']);
        if rest.is_empty() {
            return Err(Fault::new("the record has no fields"));
        }
        let mut count = 0;
        let mut more = true;
        while more {
            let field = if rest.starts_with('"') {
                (more, rest) = self.read_quoted(rest)?;
                self.quoted.as_str()
            } else {
                let end = rest.find([self.delimiter, '\n', '\r']).unwrap_or(rest.len());
                let (field, tail) = rest.split_at(end);
                more = tail.starts_with(self.delimiter);
                rest = tail.strip_prefix(self.delimiter).unwrap_or("");
                field
            };
            if let Some(column) = self.columns.get_mut(count) {
                if field.is_empty() {
                    column.push_null();
                } else {
                    coerce::push_text(column, field).map_err(|f| f.in_field(&self.names[count]))?;
                }
            }
            count += 1;
        }
        if count != self.columns.len() {
            return Err(Fault::new(format!(
                "the record has {count} fields, expected {}",
                self.columns.len()
            )));
        }
        Ok(())
    }

    /// Reads a quoted field into `self.quoted`; gives whether another field follows, and what is left.
    fn read_quoted<'a>(&mut self, text: &'a str) -> Fallible<(bool, &'a str)> {
        self.quoted.clear();
        let mut rest = &text[1..];
        loop {
            let Some(end) = rest.find('"') else { return Err(Fault::new("a quoted field is not closed")) };
            self.quoted.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            if !rest.starts_with('"') {
                break;
            }
            self.quoted.push('"');
            rest = &rest[1..];
        }
        loop {
            let Some(c) = rest.chars().next() else { return Ok((false, rest)) };
            if c == self.delimiter {
                return Ok((true, &rest[c.len_utf8()..]));
            }
            match c {
                '\r' | '\n' => return Ok((false, "")),
                c if c.is_whitespace() => rest = &rest[c.len_utf8()..],
                c => return Err(Fault::new(format!("found '{c}' between a quoted field and the delimiter"))),
            }
        }
    }
}

impl RowDecoder for DelimitedDecoder {
    fn decode(&mut self, records: &[Option<&[u8]>]) -> Decoded {
        self.columns.iter_mut().for_each(|c| c.reserve(records.len()));
        let mut present = BooleanBufferBuilder::new(records.len());
        let mut errors = Vec::new();
        let mut total = 0usize;
        for (row, record) in records.iter().enumerate() {
            let outcome = record.map(|bytes| {
                total = total.saturating_add(bytes.len());
                if total > DECODE_BYTES_MAX {
                    return Err(Fault::new(format!("the batch is larger than {DECODE_BYTES_MAX} bytes")));
                }
                self.decode_record(bytes)
            });
            let read = matches!(outcome, Some(Ok(())));
            present.append(read);
            if let Some(Err(fault)) = outcome {
                errors.push(fault.at_row(row));
            }
            if !read {
                for column in &mut self.columns {
                    column.truncate(row);
                    column.push_null();
                }
            }
        }
        let columns = self.columns.iter_mut().map(ColumnBuilder::finish).collect();
        Decoded { columns, present: present.finish(), errors }
    }
}

#[derive(Debug)]
pub struct DelimitedEncoder {
    delimiter: char,
    types: Vec<SqlType>,
    /// The text of one field while it is written.
    field: Vec<u8>,
}

impl DelimitedEncoder {
    /// Errors: a nested type, or an invalid delimiter.
    pub fn new(format: &FormatInfo, columns: &[Column]) -> Result<DelimitedEncoder, SerdeError> {
        check_types(columns)?;
        Ok(DelimitedEncoder {
            delimiter: delimiter(format)?,
            types: columns.iter().map(|c| c.sql_type.clone()).collect(),
            field: Vec::new(),
        })
    }
}

impl RowEncoder for DelimitedEncoder {
    fn encode(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        present: Option<&BooleanBuffer>,
        out: &mut EncodedRows,
    ) -> Vec<EncodeError> {
        let mut separator = [0; 4];
        let separator = self.delimiter.encode_utf8(&mut separator).as_bytes();
        for row in 0..rows {
            let absent = present.is_some_and(|p| !p.value(row));
            if absent || (columns.len() == 1 && columns[0].is_null(row)) {
                out.push_null();
                continue;
            }
            let start = out.data_bytes();
            for (i, (column, sql_type)) in columns.iter().zip(&self.types).enumerate() {
                if i > 0 {
                    out.buffer().extend_from_slice(separator);
                }
                if column.is_valid(row) {
                    self.field.clear();
                    write_field(&mut self.field, sql_type, column, row);
                    append_quoted(out.buffer(), &self.field, separator, i == 0);
                }
            }
            out.end_row(start);
        }
        Vec::new()
    }
}

/// The plain text of a value.
fn write_field(out: &mut Vec<u8>, sql_type: &SqlType, column: &ArrayRef, row: usize) {
    let mut integer = itoa::Buffer::new();
    match sql_type {
        SqlType::Boolean => {
            out.extend_from_slice(if column.as_boolean().value(row) { b"true" } else { b"false" });
        }
        SqlType::Integer => {
            out.extend_from_slice(integer.format(column.as_primitive::<Int32Type>().value(row)).as_bytes());
        }
        SqlType::Bigint => {
            out.extend_from_slice(integer.format(column.as_primitive::<Int64Type>().value(row)).as_bytes());
        }
        SqlType::Double => write_double(out, column.as_primitive::<Float64Type>().value(row)),
        SqlType::Decimal { precision, scale } if *precision <= 38 => {
            let unscaled = column.as_primitive::<Decimal128Type>().value(row);
            write_decimal_plain(out, integer.format(unscaled), usize::from(*scale));
        }
        SqlType::Decimal { scale, .. } => {
            let unscaled = column.as_primitive::<Decimal256Type>().value(row);
            write_decimal_plain(out, &unscaled.to_string(), usize::from(*scale));
        }
        SqlType::String => out.extend_from_slice(column.as_string::<i32>().value(row).as_bytes()),
        SqlType::Bytes => {
            out.extend_from_slice(STANDARD.encode(column.as_binary::<i32>().value(row)).as_bytes());
        }
        SqlType::Date => {
            out.extend_from_slice(integer.format(column.as_primitive::<Date32Type>().value(row)).as_bytes());
        }
        SqlType::Time => {
            let ms = column.as_primitive::<Time32MillisecondType>().value(row);
            out.extend_from_slice(integer.format(ms).as_bytes());
        }
        SqlType::Timestamp => {
            let ms = column.as_primitive::<TimestampMillisecondType>().value(row);
            out.extend_from_slice(integer.format(ms).as_bytes());
        }
        SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_) => {
            unreachable!("the constructor admits no nested types")
        }
    }
}

/// Appends a field, in quotes where Commons CSV puts them.
fn append_quoted(out: &mut Vec<u8>, field: &[u8], separator: &[u8], first: bool) {
    if !needs_quotes(field, separator, first) {
        out.extend_from_slice(field);
        return;
    }
    out.push(b'"');
    for &byte in field {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

fn needs_quotes(field: &[u8], separator: &[u8], first: bool) -> bool {
    let [start, .., end] = field else {
        return match field {
            [only] => odd_start(*only, first) || *only <= b' ' || separator == [*only],
            _ => first,
        };
    };
    odd_start(*start, first)
        || *end <= b' '
        || field.iter().any(|b| matches!(b, b'"' | b'\n' | b'\r'))
        || field.windows(separator.len()).any(|w| w == separator)
}

/// Whether a first character makes a field quoted: at the start of a line anything but an ASCII letter or digit, elsewhere
/// a control character, blank, `!`, `"` or `#`.
fn odd_start(byte: u8, first: bool) -> bool {
    if first { !byte.is_ascii_alphanumeric() } else { byte <= b'#' }
}

#[cfg(test)]
mod tests;
