//! JSON to columns.

use std::borrow::Cow;

use arrow::array::BooleanBufferBuilder;
use arrow::buffer::BooleanBuffer;
use weir_sql::schema::Column;
use weir_sql::types::SqlType;

use crate::batch::column_builder::{ByteValues, ColumnBuilder, Values};
use crate::serde::error::{DecodeError, Fallible, Fault};
use crate::serde::json::fields::{FieldIndex, Target};
use crate::serde::json::scan::{RawString, Scanner};
use crate::serde::json::stringify;
use crate::serde::text::NumberParts;
use crate::serde::{DECODE_BYTES_MAX, Decoded, RowDecoder, coerce};

/// Entries of a MAP up to which repeated keys are looked for by comparing.
const SMALL_MAP: usize = 16;

#[derive(Debug)]
pub struct JsonDecoder {
    record: Record,
    columns: Vec<ColumnBuilder>,
    wrapped: bool,
    role: RecordRole,
}

/// The side of a record that is read: they differ in what the text `null` is. A key is absent then. A value is not: it is a
/// NULL in the one column that is not wrapped, and unreadable where an object is expected. Only Kafka's null is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordRole {
    Key,
    Value,
}

/// The names of a record's fields, and what is below them. Shape: parallel to a list of column builders.
#[derive(Debug)]
struct Record {
    fields: FieldIndex,
    names: Vec<String>,
    shapes: Vec<Shape>,
}

/// What JSON needs to know of a type besides its builder.
#[derive(Debug)]
enum Shape {
    Leaf,
    Array(Box<Shape>),
    Map(Box<Shape>),
    Struct(Record),
}

impl Record {
    fn new<'a>(columns: impl Iterator<Item = (&'a str, &'a SqlType)> + Clone) -> Record {
        Record {
            fields: FieldIndex::new(columns.clone().map(|(name, _)| name)),
            names: columns.clone().map(|(name, _)| name.to_owned()).collect(),
            shapes: columns.map(|(_, sql_type)| Shape::new(sql_type)).collect(),
        }
    }
}

impl Shape {
    fn new(sql_type: &SqlType) -> Shape {
        match sql_type {
            SqlType::Array(element) => Shape::Array(Box::new(Shape::new(element))),
            SqlType::Map(_, value) => Shape::Map(Box::new(Shape::new(value))),
            SqlType::Struct(fields) => {
                Shape::Struct(Record::new(fields.iter().map(|f| (f.name.as_str(), &f.sql_type))))
            }
            SqlType::Boolean
            | SqlType::Integer
            | SqlType::Bigint
            | SqlType::Double
            | SqlType::Decimal { .. }
            | SqlType::String
            | SqlType::Bytes
            | SqlType::Date
            | SqlType::Time
            | SqlType::Timestamp => Shape::Leaf,
        }
    }
}

impl JsonDecoder {
    /// `wrap_single` is what [`weir_sql::format::FormatInfo::wrap_single`] says; it matters for one column only.
    pub fn new(columns: &[Column], wrap_single: bool) -> JsonDecoder {
        JsonDecoder {
            record: Record::new(columns.iter().map(|c| (c.name.as_str(), &c.sql_type))),
            columns: columns.iter().map(|c| ColumnBuilder::new(&c.sql_type)).collect(),
            wrapped: columns.len() != 1 || wrap_single,
            role: RecordRole::Value,
        }
    }

    #[must_use]
    pub fn with_role(self, role: RecordRole) -> JsonDecoder {
        JsonDecoder { role, ..self }
    }

    /// Reads one record. False: it is the key NULL.
    fn decode_record(&mut self, bytes: &[u8], row: usize) -> Fallible<bool> {
        if let [0, a, b, c, d, _, ..] = *bytes {
            // No JSON begins with a zero byte.
            let id = i32::from_be_bytes([a, b, c, d]);
            return Err(Fault::new(format!(
                "expected JSON, found the framing of a Schema Registry, schema id {id}"
            )));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Fault::new("the record is not UTF-8 text"))?;
        let mut scanner = Scanner::new(text);
        if scanner.first()? == b'n' {
            scanner.literal("null")?;
            scanner.end()?;
            return match (self.role, self.wrapped) {
                (RecordRole::Key, _) => Ok(false),
                (RecordRole::Value, true) => Err(Fault::new("expected a JSON object, found null")),
                (RecordRole::Value, false) => {
                    self.columns[0].push_null();
                    Ok(true)
                }
            };
        }
        if self.wrapped {
            if scanner.first()? != b'{' {
                return Err(Fault::new(format!("expected a JSON object, found {}", kind(scanner.first()?))));
            }
            read_object(&mut scanner, &mut self.record, &mut self.columns, row)?;
        } else {
            read_value(&mut scanner, &mut self.record.shapes[0], &mut self.columns[0])?;
        }
        scanner.end()?;
        Ok(true)
    }

    fn push_nulls(&mut self, row: usize) {
        for column in &mut self.columns {
            column.truncate(row);
            column.push_null();
        }
    }
}

impl RowDecoder for JsonDecoder {
    fn decode(&mut self, records: &[Option<&[u8]>]) -> Decoded {
        self.columns.iter_mut().for_each(|c| c.reserve(records.len()));
        let mut present = BooleanBufferBuilder::new(records.len());
        let mut errors: Vec<DecodeError> = Vec::new();
        let mut total = 0usize;
        for (row, record) in records.iter().enumerate() {
            let outcome = match record {
                None => Ok(false),
                Some(bytes) => {
                    total = total.saturating_add(bytes.len());
                    if total <= DECODE_BYTES_MAX {
                        self.decode_record(bytes, row)
                    } else {
                        Err(Fault::new(format!("the batch is larger than {DECODE_BYTES_MAX} bytes")))
                    }
                }
            };
            let read = matches!(outcome, Ok(true));
            present.append(read);
            if let Err(fault) = outcome {
                errors.push(fault.at_row(row));
            }
            if !read {
                self.push_nulls(row);
            }
        }
        let present: BooleanBuffer = present.finish();
        Decoded { columns: self.columns.iter_mut().map(ColumnBuilder::finish).collect(), present, errors }
    }
}

/// Reads an object into row `row` of the columns; those it does not name become NULL.
fn read_object(
    scanner: &mut Scanner<'_>,
    record: &mut Record,
    columns: &mut [ColumnBuilder],
    row: usize,
) -> Fallible<()> {
    scanner.expect(b'{')?;
    let mut place = 0;
    let mut ended = scanner.closes(b'}');
    while !ended {
        match record.fields.read_name(scanner, place)? {
            Target::Column(column) => read_field(scanner, record, columns, column, row)?,
            Target::Skip => scanner.skip_value()?,
            Target::Both(first, second) => {
                let value = scanner.position;
                read_field(scanner, record, columns, first, row)?;
                scanner.position = value;
                read_field(scanner, record, columns, second, row)?;
            }
        }
        place += 1;
        ended = scanner.ends(b'}')?;
    }
    for column in columns.iter_mut() {
        if column.len() == row {
            column.push_null();
        }
    }
    Ok(())
}

#[inline]
fn read_field(
    scanner: &mut Scanner<'_>,
    record: &mut Record,
    columns: &mut [ColumnBuilder],
    column: usize,
    row: usize,
) -> Fallible<()> {
    let builder = &mut columns[column];
    if builder.len() > row {
        builder.truncate(row);
    }
    read_value(scanner, &mut record.shapes[column], builder).map_err(|f| f.in_field(&record.names[column]))
}

/// Reads one value as the next row of a column.
fn read_value(scanner: &mut Scanner<'_>, shape: &mut Shape, column: &mut ColumnBuilder) -> Fallible<()> {
    let first = scanner.first()?;
    if first == b'n' {
        scanner.literal("null")?;
        column.push_null();
        return Ok(());
    }
    match &mut column.values {
        Values::Boolean(values) => values.push(read_boolean(scanner, first)?),
        Values::Integer(values) => values.push(read_integer(scanner, first, "INTEGER")? as i32),
        Values::Bigint(values) => values.push(read_integer(scanner, first, "BIGINT")?),
        Values::Double(values) => values.push(read_double(scanner, first)?),
        Values::String(values) => {
            read_string(scanner, first, values)?;
            column.end_valid();
            return Ok(());
        }
        Values::Decimal128 { precision, scale, values } => {
            let (precision, scale) = (*precision, *scale);
            values.push(read_decimal(
                scanner,
                first,
                |n| n.to_decimal128(precision, scale),
                precision,
                scale,
            )?);
        }
        Values::Decimal256 { precision, scale, values } => {
            let (precision, scale) = (*precision, *scale);
            values.push(read_decimal(
                scanner,
                first,
                |n| n.to_decimal256(precision, scale),
                precision,
                scale,
            )?);
        }
        Values::Bytes(values) => {
            read_bytes(scanner, first, values)?;
            column.end_valid();
            return Ok(());
        }
        Values::Date(values) => values.push(coerce::date(read_integer(scanner, first, "DATE")?)?),
        Values::Time(values) => values.push(coerce::time(read_integer(scanner, first, "TIME")?)?),
        Values::Timestamp(values) => values.push(read_integer(scanner, first, "TIMESTAMP")?),
        Values::Array { .. } | Values::Map { .. } | Values::Struct(_) => {
            return read_nested(scanner, first, shape, column);
        }
    }
    column.mark_valid();
    Ok(())
}

fn read_nested(
    scanner: &mut Scanner<'_>,
    first: u8,
    shape: &mut Shape,
    column: &mut ColumnBuilder,
) -> Fallible<()> {
    let row = column.len();
    match (&mut column.values, shape) {
        (Values::Array { element, .. }, Shape::Array(shape)) if first == b'[' => {
            read_array(scanner, shape, element)?;
        }
        (Values::Map { offsets, key, value }, Shape::Map(shape)) if first == b'{' => {
            read_map(scanner, shape, key, value, offsets[row] as usize)?;
        }
        (Values::Struct(fields), Shape::Struct(record)) if first == b'{' => {
            read_object(scanner, record, fields, row)?;
        }
        (Values::Array { .. }, _) => return Err(mismatch("ARRAY", first)),
        (Values::Map { .. }, _) => return Err(mismatch("MAP", first)),
        (_, _) => return Err(mismatch("STRUCT", first)),
    }
    column.end_valid();
    Ok(())
}

fn read_array(scanner: &mut Scanner<'_>, shape: &mut Shape, element: &mut ColumnBuilder) -> Fallible<()> {
    scanner.expect(b'[')?;
    let mut index = 0;
    let mut ended = scanner.closes(b']');
    while !ended {
        read_value(scanner, shape, element).map_err(|f| f.in_element(index))?;
        index += 1;
        ended = scanner.ends(b']')?;
    }
    Ok(())
}

/// Reads an object as the entries of a MAP. Of equal keys the last one counts: repeating a key is rare, so the object is
/// read as it comes, and read again without the superseded entries if there were any.
fn read_map(
    scanner: &mut Scanner<'_>,
    shape: &mut Shape,
    keys: &mut ColumnBuilder,
    values: &mut ColumnBuilder,
    start: usize,
) -> Fallible<()> {
    let open = scanner.position;
    let mut names: Vec<Cow<'_, str>> = Vec::new();
    read_entries(scanner, shape, keys, values, &mut names, &[])?;
    let superseded = superseded(&names);
    if !superseded.is_empty() {
        keys.truncate(start);
        values.truncate(start);
        scanner.position = open;
        read_entries(scanner, shape, keys, values, &mut Vec::new(), &superseded)?;
    }
    Ok(())
}

/// Reads all entries but those at the places `skipped` (ascending).
fn read_entries<'a>(
    scanner: &mut Scanner<'a>,
    shape: &mut Shape,
    keys: &mut ColumnBuilder,
    values: &mut ColumnBuilder,
    names: &mut Vec<Cow<'a, str>>,
    skipped: &[usize],
) -> Fallible<()> {
    scanner.expect(b'{')?;
    let mut place = 0;
    let mut ended = scanner.closes(b'}');
    while !ended {
        scanner.peek();
        let raw = scanner.string()?;
        scanner.expect(b':')?;
        if skipped.binary_search(&place).is_ok() {
            scanner.skip_value()?;
        } else {
            let name = if raw.escaped { Cow::Owned(unescape(&raw)?) } else { Cow::Borrowed(raw.text) };
            coerce::push_text(keys, &name).map_err(|f| f.in_field(&name))?;
            read_value(scanner, shape, values).map_err(|f| f.in_field(&name))?;
            names.push(name);
        }
        place += 1;
        ended = scanner.ends(b'}')?;
    }
    Ok(())
}

/// Places of names that come again later, ascending.
fn superseded(names: &[Cow<'_, str>]) -> Vec<usize> {
    if names.len() <= SMALL_MAP {
        return (0..names.len()).filter(|i| names[i + 1..].contains(&names[*i])).collect();
    }
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_key(|i| (&names[*i], *i));
    let mut places: Vec<usize> =
        order.windows(2).filter(|pair| names[pair[0]] == names[pair[1]]).map(|pair| pair[0]).collect();
    places.sort_unstable();
    places
}

fn read_boolean(scanner: &mut Scanner<'_>, first: u8) -> Fallible<bool> {
    match first {
        b't' => scanner.literal("true").map(|()| true),
        b'f' => scanner.literal("false").map(|()| false),
        other => Err(mismatch("BOOLEAN", other)),
    }
}

/// A number without its fraction, wrapped into 64 bits, or a string of an integer.
#[inline]
fn read_integer(scanner: &mut Scanner<'_>, first: u8, type_name: &'static str) -> Fallible<i64> {
    if let Some(value) = scanner.short_integer() {
        return Ok(value);
    }
    match first {
        b'-' | b'0'..=b'9' => Ok(scanner.number()?.wrapping_i64()),
        b'"' => {
            let text = unescaped(scanner)?;
            if type_name == "INTEGER" { coerce::integer(&text).map(i64::from) } else { coerce::bigint(&text) }
        }
        other => Err(mismatch(type_name, other)),
    }
}

fn read_double(scanner: &mut Scanner<'_>, first: u8) -> Fallible<f64> {
    match first {
        b'-' | b'0'..=b'9' => scanner.double(),
        b'"' => coerce::double(&unescaped(scanner)?),
        other => Err(mismatch("DOUBLE", other)),
    }
}

fn read_decimal<T>(
    scanner: &mut Scanner<'_>,
    first: u8,
    convert: impl Fn(&NumberParts<'_>) -> Result<T, crate::serde::text::DecimalFault>,
    precision: u8,
    scale: u8,
) -> Fallible<T> {
    let refuse = |e| Fault::new(format!("the number does not fit DECIMAL({precision}, {scale}): {e}"));
    match first {
        b'-' | b'0'..=b'9' => convert(&scanner.number()?).map_err(refuse),
        b'"' => {
            let text = unescaped(scanner)?;
            let parts = NumberParts::parse(text.as_bytes())
                .ok_or_else(|| Fault::new(format!("\"{text}\" is not a DECIMAL")))?;
            convert(&parts).map_err(refuse)
        }
        other => Err(mismatch("DECIMAL", other)),
    }
}

#[inline]
fn read_string(scanner: &mut Scanner<'_>, first: u8, values: &mut ByteValues) -> Fallible<()> {
    if first == b'"' {
        return scanner.string()?.append_to(&mut values.data);
    }
    stringify::append_text(scanner, &mut values.data, 0)
}

fn read_bytes(scanner: &mut Scanner<'_>, first: u8, values: &mut ByteValues) -> Fallible<()> {
    if first != b'"' {
        return Err(mismatch("BYTES", first));
    }
    let string = scanner.string()?;
    if string.escaped {
        let mut text = Vec::new();
        string.append_to(&mut text)?;
        return coerce::append_base64(&mut values.data, &text);
    }
    coerce::append_base64(&mut values.data, string.text.as_bytes())
}

/// The text of the string at the cursor.
fn unescaped(scanner: &mut Scanner<'_>) -> Fallible<String> {
    unescape(&scanner.string()?)
}

fn unescape(string: &RawString<'_>) -> Fallible<String> {
    let mut text = Vec::with_capacity(string.text.len());
    string.append_to(&mut text)?;
    String::from_utf8(text).map_err(|_| Fault::new("a string is not UTF-8"))
}

#[cold]
fn mismatch(type_name: &str, first: u8) -> Box<Fault> {
    Fault::new(format!("cannot read {type_name} from {}", kind(first)))
}

/// What a JSON value that begins with this byte is.
fn kind(first: u8) -> &'static str {
    match first {
        b'"' => "a string",
        b'{' => "an object",
        b'[' => "an array",
        b't' | b'f' => "a boolean",
        b'n' => "null",
        b'-' | b'0'..=b'9' => "a number",
        _ => "something that is not JSON",
    }
}
