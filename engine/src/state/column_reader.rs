//! Columns of any SQL type, read row by row.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    Float64Array, Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray,
    Time32MillisecondArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, TimeUnit};

use crate::error::{EngineError, Result};

/// A column whose type has been looked up once. Shape: as [`weir_sql::types::SqlType::to_arrow`].
#[derive(Debug)]
pub enum ColumnReader<'a> {
    Boolean(&'a BooleanArray),
    Integer(&'a Int32Array),
    Bigint(&'a Int64Array),
    Double(&'a Float64Array),
    Decimal128(&'a Decimal128Array),
    Decimal256(&'a Decimal256Array),
    String(&'a StringArray),
    Bytes(&'a BinaryArray),
    Date(&'a Date32Array),
    Time(&'a Time32MillisecondArray),
    Timestamp(&'a TimestampMillisecondArray),
    Array(&'a ListArray, Box<ColumnReader<'a>>),
    Map(&'a MapArray, Box<[ColumnReader<'a>; 2]>),
    Struct(&'a StructArray, Vec<ColumnReader<'a>>),
}

impl<'a> ColumnReader<'a> {
    /// Errors: the array has no SQL type.
    pub fn new(array: &'a ArrayRef) -> Result<ColumnReader<'a>> {
        use arrow::datatypes as t;
        let column = array.as_ref();
        Ok(match column.data_type() {
            DataType::Boolean => ColumnReader::Boolean(column.as_boolean()),
            DataType::Int32 => ColumnReader::Integer(column.as_primitive::<t::Int32Type>()),
            DataType::Int64 => ColumnReader::Bigint(column.as_primitive::<t::Int64Type>()),
            DataType::Float64 => ColumnReader::Double(column.as_primitive::<t::Float64Type>()),
            DataType::Decimal128(..) => ColumnReader::Decimal128(column.as_primitive::<t::Decimal128Type>()),
            DataType::Decimal256(..) => ColumnReader::Decimal256(column.as_primitive::<t::Decimal256Type>()),
            DataType::Utf8 => ColumnReader::String(column.as_string::<i32>()),
            DataType::Binary => ColumnReader::Bytes(column.as_binary::<i32>()),
            DataType::Date32 => ColumnReader::Date(column.as_primitive::<t::Date32Type>()),
            DataType::Time32(TimeUnit::Millisecond) => {
                ColumnReader::Time(column.as_primitive::<t::Time32MillisecondType>())
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                ColumnReader::Timestamp(column.as_primitive::<t::TimestampMillisecondType>())
            }
            DataType::List(_) => {
                let list = column.as_list::<i32>();
                ColumnReader::Array(list, Box::new(ColumnReader::new(list.values())?))
            }
            DataType::Map(..) => {
                let map = column.as_map();
                let entries = [ColumnReader::new(map.keys())?, ColumnReader::new(map.values())?];
                ColumnReader::Map(map, Box::new(entries))
            }
            DataType::Struct(_) => {
                let structure = column.as_struct();
                let fields = structure.columns().iter().map(ColumnReader::new).collect::<Result<_>>()?;
                ColumnReader::Struct(structure, fields)
            }
            other => {
                return Err(EngineError::Plan {
                    reason: format!("columns of type {other} have no SQL type"),
                });
            }
        })
    }

    pub fn all(columns: &'a [ArrayRef]) -> Result<Vec<ColumnReader<'a>>> {
        columns.iter().map(ColumnReader::new).collect()
    }

    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        match self {
            ColumnReader::Boolean(a) => a.is_null(row),
            ColumnReader::Integer(a) => a.is_null(row),
            ColumnReader::Bigint(a) => a.is_null(row),
            ColumnReader::Double(a) => a.is_null(row),
            ColumnReader::Decimal128(a) => a.is_null(row),
            ColumnReader::Decimal256(a) => a.is_null(row),
            ColumnReader::String(a) => a.is_null(row),
            ColumnReader::Bytes(a) => a.is_null(row),
            ColumnReader::Date(a) => a.is_null(row),
            ColumnReader::Time(a) => a.is_null(row),
            ColumnReader::Timestamp(a) => a.is_null(row),
            ColumnReader::Array(a, _) => a.is_null(row),
            ColumnReader::Map(a, _) => a.is_null(row),
            ColumnReader::Struct(a, _) => a.is_null(row),
        }
    }
}

/// The range of a list's or map's child that row `row` covers.
pub(crate) fn child_range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}
