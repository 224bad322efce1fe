//! Column builders that can take back a row.
//!
//! Decoders push values as they find them. A failing record, or a repeated field, makes them go back to the start of
//! the row, which Arrow's own builders cannot.

use std::sync::Arc;

use arrow::array::builder::NullBufferBuilder;
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float64Array,
    Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray, Time32MillisecondArray,
    TimestampMillisecondArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, i256};
use weir_sql::types::SqlType;

/// A column under construction, of any SQL type.
#[derive(Debug)]
pub(crate) struct ColumnBuilder {
    validity: NullBufferBuilder,
    data_type: DataType,
    pub(crate) values: Values,
}

/// Shape: as many entries as the column has rows; offsets have one more.
#[derive(Debug)]
pub(crate) enum Values {
    Boolean(Vec<bool>),
    Integer(Vec<i32>),
    Bigint(Vec<i64>),
    Double(Vec<f64>),
    Decimal128 { precision: u8, scale: u8, values: Vec<i128> },
    Decimal256 { precision: u8, scale: u8, values: Vec<i256> },
    String(ByteValues),
    Bytes(ByteValues),
    Date(Vec<i32>),
    Time(Vec<i32>),
    Timestamp(Vec<i64>),
    Array { offsets: Vec<i32>, element: Box<ColumnBuilder> },
    Map { offsets: Vec<i32>, key: Box<ColumnBuilder>, value: Box<ColumnBuilder> },
    Struct(Vec<ColumnBuilder>),
}

/// Bytes of all rows, and where each row ends.
#[derive(Debug)]
pub(crate) struct ByteValues {
    offsets: Vec<i32>,
    pub(crate) data: Vec<u8>,
}

impl ByteValues {
    fn new() -> ByteValues {
        ByteValues { offsets: vec![0], data: Vec::new() }
    }

    /// Ends the current row after what was appended to `data`.
    fn end_row(&mut self) {
        self.offsets.push(offset(self.data.len()));
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.data.truncate(self.offsets[rows] as usize);
    }

    fn finish(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let capacity = self.data.len();
        let data = std::mem::replace(&mut self.data, Vec::with_capacity(capacity));
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(data))
    }
}

fn offset(length: usize) -> i32 {
    i32::try_from(length).expect("the bytes of a batch are bounded")
}

impl ColumnBuilder {
    pub(crate) fn new(sql_type: &SqlType) -> ColumnBuilder {
        let values = match sql_type {
            SqlType::Boolean => Values::Boolean(Vec::new()),
            SqlType::Integer => Values::Integer(Vec::new()),
            SqlType::Bigint => Values::Bigint(Vec::new()),
            SqlType::Double => Values::Double(Vec::new()),
            SqlType::Decimal { precision, scale } if *precision <= 38 => {
                Values::Decimal128 { precision: *precision, scale: *scale, values: Vec::new() }
            }
            SqlType::Decimal { precision, scale } => {
                Values::Decimal256 { precision: *precision, scale: *scale, values: Vec::new() }
            }
            SqlType::String => Values::String(ByteValues::new()),
            SqlType::Bytes => Values::Bytes(ByteValues::new()),
            SqlType::Date => Values::Date(Vec::new()),
            SqlType::Time => Values::Time(Vec::new()),
            SqlType::Timestamp => Values::Timestamp(Vec::new()),
            SqlType::Array(element) => {
                Values::Array { offsets: vec![0], element: Box::new(ColumnBuilder::new(element)) }
            }
            SqlType::Map(key, value) => Values::Map {
                offsets: vec![0],
                key: Box::new(ColumnBuilder::new(key)),
                value: Box::new(ColumnBuilder::new(value)),
            },
            SqlType::Struct(fields) => {
                Values::Struct(fields.iter().map(|f| ColumnBuilder::new(&f.sql_type)).collect())
            }
        };
        ColumnBuilder { validity: NullBufferBuilder::new(0), data_type: sql_type.to_arrow(), values }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.validity.len()
    }

    /// Ends a row whose value was pushed to `values` by the caller (for nested types: to the children).
    #[inline]
    pub(crate) fn end_valid(&mut self) {
        match &mut self.values {
            Values::String(bytes) | Values::Bytes(bytes) => bytes.end_row(),
            Values::Array { offsets, element } => offsets.push(offset(element.len())),
            Values::Map { offsets, key, .. } => offsets.push(offset(key.len())),
            Values::Boolean(_)
            | Values::Integer(_)
            | Values::Bigint(_)
            | Values::Double(_)
            | Values::Decimal128 { .. }
            | Values::Decimal256 { .. }
            | Values::Date(_)
            | Values::Time(_)
            | Values::Timestamp(_)
            | Values::Struct(_) => {}
        }
        self.validity.append_non_null();
    }

    /// Only marks the row valid: for primitives, whose value the caller has pushed.
    #[inline]
    pub(crate) fn mark_valid(&mut self) {
        self.validity.append_non_null();
    }

    pub(crate) fn push_null(&mut self) {
        match &mut self.values {
            Values::Boolean(v) => v.push(false),
            Values::Integer(v) | Values::Date(v) | Values::Time(v) => v.push(0),
            Values::Bigint(v) | Values::Timestamp(v) => v.push(0),
            Values::Double(v) => v.push(0.0),
            Values::Decimal128 { values, .. } => values.push(0),
            Values::Decimal256 { values, .. } => values.push(i256::ZERO),
            Values::String(bytes) | Values::Bytes(bytes) => bytes.end_row(),
            Values::Array { offsets, element } => offsets.push(offset(element.len())),
            Values::Map { offsets, key, .. } => offsets.push(offset(key.len())),
            Values::Struct(fields) => fields.iter_mut().for_each(ColumnBuilder::push_null),
        }
        self.validity.append_null();
    }

    /// Goes back to the first `rows` rows, and drops a row that was begun after them.
    pub(crate) fn truncate(&mut self, rows: usize) {
        match &mut self.values {
            Values::Boolean(v) => v.truncate(rows),
            Values::Integer(v) | Values::Date(v) | Values::Time(v) => v.truncate(rows),
            Values::Bigint(v) | Values::Timestamp(v) => v.truncate(rows),
            Values::Double(v) => v.truncate(rows),
            Values::Decimal128 { values, .. } => values.truncate(rows),
            Values::Decimal256 { values, .. } => values.truncate(rows),
            Values::String(bytes) | Values::Bytes(bytes) => bytes.truncate(rows),
            Values::Array { offsets, element } => {
                offsets.truncate(rows + 1);
                element.truncate(offsets[rows] as usize);
            }
            Values::Map { offsets, key, value } => {
                offsets.truncate(rows + 1);
                key.truncate(offsets[rows] as usize);
                value.truncate(offsets[rows] as usize);
            }
            Values::Struct(fields) => fields.iter_mut().for_each(|f| f.truncate(rows)),
        }
        self.validity.truncate(rows);
    }

    pub(crate) fn reserve(&mut self, rows: usize) {
        match &mut self.values {
            Values::Boolean(v) => v.reserve(rows),
            Values::Integer(v) | Values::Date(v) | Values::Time(v) => v.reserve(rows),
            Values::Bigint(v) | Values::Timestamp(v) => v.reserve(rows),
            Values::Double(v) => v.reserve(rows),
            Values::Decimal128 { values, .. } => values.reserve(rows),
            Values::Decimal256 { values, .. } => values.reserve(rows),
            Values::String(bytes) | Values::Bytes(bytes) => bytes.offsets.reserve(rows),
            Values::Array { offsets, .. } | Values::Map { offsets, .. } => offsets.reserve(rows),
            Values::Struct(fields) => fields.iter_mut().for_each(|f| f.reserve(rows)),
        }
    }

    /// The column of everything pushed; the builder is empty afterwards.
    pub(crate) fn finish(&mut self) -> ArrayRef {
        let rows = self.len();
        let nulls = self.validity.finish();
        const CHECKED: &str = "values were checked when they were pushed";
        match &mut self.values {
            Values::Boolean(v) => Arc::new(BooleanArray::new(std::mem::take(v).into(), nulls)),
            Values::Integer(v) => Arc::new(Int32Array::new(std::mem::take(v).into(), nulls)),
            Values::Bigint(v) => Arc::new(Int64Array::new(std::mem::take(v).into(), nulls)),
            Values::Double(v) => Arc::new(Float64Array::new(std::mem::take(v).into(), nulls)),
            Values::Decimal128 { precision, scale, values } => Arc::new(
                Decimal128Array::new(std::mem::take(values).into(), nulls)
                    .with_precision_and_scale(*precision, *scale as i8)
                    .expect(CHECKED),
            ),
            Values::Decimal256 { precision, scale, values } => Arc::new(
                Decimal256Array::new(std::mem::take(values).into(), nulls)
                    .with_precision_and_scale(*precision, *scale as i8)
                    .expect(CHECKED),
            ),
            Values::String(bytes) => {
                let (offsets, data) = bytes.finish();
                Arc::new(StringArray::try_new(offsets, data, nulls).expect(CHECKED))
            }
            Values::Bytes(bytes) => {
                let (offsets, data) = bytes.finish();
                Arc::new(BinaryArray::try_new(offsets, data, nulls).expect(CHECKED))
            }
            Values::Date(v) => Arc::new(Date32Array::new(std::mem::take(v).into(), nulls)),
            Values::Time(v) => Arc::new(Time32MillisecondArray::new(std::mem::take(v).into(), nulls)),
            Values::Timestamp(v) => Arc::new(TimestampMillisecondArray::new(std::mem::take(v).into(), nulls)),
            Values::Array { offsets, element } => {
                let DataType::List(field) = &self.data_type else { unreachable!("ARRAY is a list") };
                Arc::new(ListArray::new(field.clone(), take_offsets(offsets), element.finish(), nulls))
            }
            Values::Map { offsets, key, value } => {
                let offsets = take_offsets(offsets);
                finish_map(&self.data_type, offsets, [key.finish(), value.finish()], nulls)
            }
            Values::Struct(fields) => {
                let DataType::Struct(names) = &self.data_type else { unreachable!("STRUCT is a struct") };
                let columns = fields.iter_mut().map(ColumnBuilder::finish).collect();
                let array = StructArray::try_new_with_length(names.clone(), columns, nulls, rows);
                Arc::new(array.expect("fields have as many rows as the struct"))
            }
        }
    }
}

fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(offsets, vec![0])))
}

fn finish_map(
    data_type: &DataType,
    offsets: OffsetBuffer<i32>,
    columns: [ArrayRef; 2],
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    let DataType::Map(entries, sorted) = data_type else { unreachable!("MAP is a map") };
    let DataType::Struct(fields) = entries.data_type() else { unreachable!("map entries are structs") };
    let rows = columns[0].len();
    let structs = StructArray::try_new_with_length(fields.clone(), columns.to_vec(), None, rows)
        .expect("keys are not null and as many as values");
    Arc::new(MapArray::new(entries.clone(), offsets, structs, nulls, *sorted))
}
