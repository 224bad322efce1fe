//! Columns to JSON.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    Float64Array, Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray,
    Time32MillisecondArray, TimestampMillisecondArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Decimal256Type, Float64Type, Int32Type, Int64Type, Time32MillisecondType,
    TimestampMillisecondType,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use weir_sql::schema::Column;
use weir_sql::types::SqlType;

use crate::serde::RowEncoder;
use crate::serde::encoded::EncodedRows;
use crate::serde::error::EncodeError;
use crate::serde::json::scan::plain_run_end;
use crate::serde::text::{write_decimal, write_double};

/// Room made per row before the first batch shows how long rows are.
const ROW_BYTES_GUESS: usize = 128;

#[derive(Debug)]
pub struct JsonEncoder {
    columns: Vec<Field>,
    wrapped: bool,
}

/// A field of an object.
#[derive(Debug)]
struct Field {
    /// `{"NAME":` for the first, `,"NAME":` for the others.
    lead: Vec<u8>,
    sql_type: SqlType,
}

impl JsonEncoder {
    /// `wrap_single` is what [`weir_sql::format::FormatInfo::wrap_single`] says; it matters for one column only.
    pub fn new(columns: &[Column], wrap_single: bool) -> JsonEncoder {
        JsonEncoder {
            columns: fields(columns.iter().map(|c| (c.name.as_str(), &c.sql_type))),
            wrapped: columns.len() != 1 || wrap_single,
        }
    }
}

fn fields<'a>(fields: impl Iterator<Item = (&'a str, &'a SqlType)>) -> Vec<Field> {
    fields
        .enumerate()
        .map(|(i, (name, sql_type))| {
            let mut lead = vec![if i == 0 { b'{' } else { b',' }];
            write_escaped(&mut lead, name.as_bytes());
            lead.push(b':');
            Field { lead, sql_type: sql_type.clone() }
        })
        .collect()
}

impl RowEncoder for JsonEncoder {
    fn encode(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        present: Option<&BooleanBuffer>,
        out: &mut EncodedRows,
    ) -> Vec<EncodeError> {
        out.reserve(rows, rows * ROW_BYTES_GUESS);
        let members = members(&self.columns, columns);
        for row in 0..rows {
            let absent = present.is_some_and(|p| !p.value(row));
            if absent || (!self.wrapped && members[0].writer.is_null(row)) {
                out.push_null();
                continue;
            }
            let start = out.data_bytes();
            if self.wrapped {
                write_object(out.buffer(), &members, row);
            } else {
                members[0].writer.write(out.buffer(), row);
            }
            out.end_row(start);
        }
        Vec::new()
    }
}

/// A field of the batch at hand.
struct Member<'a> {
    lead: &'a [u8],
    writer: Writer<'a>,
}

/// A column of the batch at hand.
struct Writer<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Boolean(&'a BooleanArray),
    Integer(&'a Int32Array),
    Bigint(&'a Int64Array),
    Double(&'a Float64Array),
    Decimal128(&'a Decimal128Array, u8),
    Decimal256(&'a Decimal256Array, u8),
    String(&'a StringArray),
    Bytes(&'a BinaryArray),
    Date(&'a Date32Array),
    Time(&'a Time32MillisecondArray),
    Timestamp(&'a TimestampMillisecondArray),
    Array(&'a ListArray, Box<Writer<'a>>),
    Map(&'a MapArray, Box<Writer<'a>>, Box<Writer<'a>>),
    Struct(Vec<Field>, Vec<Writer<'a>>),
}

fn members<'a>(fields: &'a [Field], columns: &'a [ArrayRef]) -> Vec<Member<'a>> {
    fields
        .iter()
        .zip(columns)
        .map(|(field, column)| Member { lead: &field.lead, writer: Writer::new(&field.sql_type, column) })
        .collect()
}

#[inline]
fn write_object(out: &mut Vec<u8>, members: &[Member<'_>], row: usize) {
    for member in members {
        out.extend_from_slice(member.lead);
        member.writer.write(out, row);
    }
    out.extend_from_slice(if members.is_empty() { b"{}" } else { b"}" });
}

impl<'a> Writer<'a> {
    fn new(sql_type: &SqlType, array: &'a ArrayRef) -> Writer<'a> {
        let values = match sql_type {
            SqlType::Boolean => Values::Boolean(array.as_boolean()),
            SqlType::Integer => Values::Integer(array.as_primitive::<Int32Type>()),
            SqlType::Bigint => Values::Bigint(array.as_primitive::<Int64Type>()),
            SqlType::Double => Values::Double(array.as_primitive::<Float64Type>()),
            SqlType::Decimal { precision, scale } if *precision <= 38 => {
                Values::Decimal128(array.as_primitive::<Decimal128Type>(), *scale)
            }
            SqlType::Decimal { scale, .. } => {
                Values::Decimal256(array.as_primitive::<Decimal256Type>(), *scale)
            }
            SqlType::String => Values::String(array.as_string::<i32>()),
            SqlType::Bytes => Values::Bytes(array.as_binary::<i32>()),
            SqlType::Date => Values::Date(array.as_primitive::<Date32Type>()),
            SqlType::Time => Values::Time(array.as_primitive::<Time32MillisecondType>()),
            SqlType::Timestamp => Values::Timestamp(array.as_primitive::<TimestampMillisecondType>()),
            SqlType::Array(element) => {
                let list = array.as_list::<i32>();
                Values::Array(list, Box::new(Writer::new(element, list.values())))
            }
            SqlType::Map(key, value) => {
                let map = array.as_map();
                let (key, value) = (Writer::new(key, map.keys()), Writer::new(value, map.values()));
                Values::Map(map, Box::new(key), Box::new(value))
            }
            SqlType::Struct(types) => {
                let columns = struct_columns(array);
                let writers = types.iter().zip(columns).map(|(f, c)| Writer::new(&f.sql_type, c)).collect();
                Values::Struct(fields(types.iter().map(|f| (f.name.as_str(), &f.sql_type))), writers)
            }
        };
        Writer { nulls: array.nulls(), values }
    }

    #[inline]
    fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|n| n.is_null(row))
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>, row: usize) {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match &self.values {
            Values::Boolean(a) => out.extend_from_slice(if a.value(row) { b"true" } else { b"false" }),
            Values::Integer(a) => write_integer(out, i64::from(a.value(row))),
            Values::Bigint(a) => write_integer(out, a.value(row)),
            Values::Double(a) => write_json_double(out, a.value(row)),
            Values::String(a) => write_escaped(out, a.value(row).as_bytes()),
            Values::Decimal128(a, scale) => {
                write_decimal(out, itoa::Buffer::new().format(a.value(row)), i64::from(*scale));
            }
            Values::Decimal256(a, scale) => write_decimal(out, &a.value(row).to_string(), i64::from(*scale)),
            Values::Bytes(a) => write_base64(out, a.value(row)),
            Values::Date(a) => write_integer(out, i64::from(a.value(row))),
            Values::Time(a) => write_integer(out, i64::from(a.value(row))),
            Values::Timestamp(a) => write_integer(out, a.value(row)),
            Values::Array(..) | Values::Map(..) | Values::Struct(..) => self.write_nested(out, row),
        }
    }

    fn write_nested(&self, out: &mut Vec<u8>, row: usize) {
        match &self.values {
            Values::Array(list, element) => {
                out.push(b'[');
                let offsets = list.value_offsets();
                for (i, item) in (offsets[row]..offsets[row + 1]).enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    element.write(out, item as usize);
                }
                out.push(b']');
            }
            Values::Map(map, key, value) => {
                out.push(b'{');
                let offsets = map.value_offsets();
                for (i, entry) in (offsets[row]..offsets[row + 1]).enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    key.write_name(out, entry as usize);
                    out.push(b':');
                    value.write(out, entry as usize);
                }
                out.push(b'}');
            }
            Values::Struct(fields, writers) => {
                for (field, writer) in fields.iter().zip(writers) {
                    out.extend_from_slice(&field.lead);
                    writer.write(out, row);
                }
                out.extend_from_slice(if fields.is_empty() { b"{}" } else { b"}" });
            }
            _ => {}
        }
    }

    /// Writes a map key: a string as it is, any other value as its text in quotes.
    fn write_name(&self, out: &mut Vec<u8>, row: usize) {
        if let Values::String(a) = &self.values {
            return write_escaped(out, a.value(row).as_bytes());
        }
        let mut text = Vec::new();
        self.write(&mut text, row);
        if text.first() == Some(&b'"') {
            out.extend_from_slice(&text);
        } else {
            write_escaped(out, &text);
        }
    }
}

fn struct_columns(array: &ArrayRef) -> &[ArrayRef] {
    let structs: &StructArray = array.as_struct();
    structs.columns()
}

#[inline]
fn write_integer(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[inline]
fn write_json_double(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        return write_double(out, value);
    }
    out.push(b'"');
    write_double(out, value);
    out.push(b'"');
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
}

/// Appends UTF-8 text as a JSON string.
#[inline]
pub(crate) fn write_escaped(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let mut start = 0;
    loop {
        let end = plain_run_end(text, start);
        out.extend_from_slice(&text[start..end]);
        let Some(&byte) = text.get(end) else { break };
        write_escape(out, byte);
        start = end + 1;
    }
    out.push(b'"');
}

#[cold]
fn write_escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let short = match byte {
        b'"' | b'\\' => byte,
        8 => b'b',
        12 => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}
