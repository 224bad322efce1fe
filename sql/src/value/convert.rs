//! Values to columns and back.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanBuilder, Date32Builder, Float64Builder, Int32Builder,
    Int64Builder, ListArray, MapArray, StringBuilder, StructArray, Time32MillisecondBuilder,
    TimestampMillisecondBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float64Type, Int32Type, Int64Type,
    Time32MillisecondType, TimestampMillisecondType, i256,
};

use crate::types::SqlType;
use crate::value::decimal_builder::DecimalBuilder;
use crate::value::{DecimalValue, SqlValue};

/// Row `row` of a column of that type. A column whose Arrow type is not that of `sql_type` gives NULL.
pub fn from_array(array: &ArrayRef, row: usize, sql_type: &SqlType) -> SqlValue {
    if array.is_null(row) {
        return SqlValue::Null;
    }
    read(array, row, sql_type).unwrap_or_else(|| {
        debug_assert!(false, "a column of {} was read as {sql_type}", array.data_type());
        SqlValue::Null
    })
}

fn read(array: &ArrayRef, row: usize, sql_type: &SqlType) -> Option<SqlValue> {
    Some(match sql_type {
        SqlType::Boolean => SqlValue::Boolean(array.as_boolean_opt()?.value(row)),
        SqlType::Integer => SqlValue::Integer(array.as_primitive_opt::<Int32Type>()?.value(row)),
        SqlType::Bigint => SqlValue::Bigint(array.as_primitive_opt::<Int64Type>()?.value(row)),
        SqlType::Double => SqlValue::Double(array.as_primitive_opt::<Float64Type>()?.value(row)),
        SqlType::Decimal { scale, .. } => {
            let unscaled = match array.data_type() {
                DataType::Decimal128(..) => {
                    i256::from_i128(array.as_primitive_opt::<Decimal128Type>()?.value(row))
                }
                _ => array.as_primitive_opt::<Decimal256Type>()?.value(row),
            };
            SqlValue::Decimal(DecimalValue { unscaled, scale: *scale })
        }
        SqlType::String => SqlValue::String(array.as_string_opt::<i32>()?.value(row).to_owned()),
        SqlType::Bytes => SqlValue::Bytes(array.as_binary_opt::<i32>()?.value(row).to_vec()),
        SqlType::Date => SqlValue::Date(array.as_primitive_opt::<Date32Type>()?.value(row)),
        SqlType::Time => SqlValue::Time(array.as_primitive_opt::<Time32MillisecondType>()?.value(row)),
        SqlType::Timestamp => {
            SqlValue::Timestamp(array.as_primitive_opt::<TimestampMillisecondType>()?.value(row))
        }
        SqlType::Array(element) => {
            let list = array.as_list_opt::<i32>()?;
            let (from, to) = (list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize);
            SqlValue::Array((from..to).map(|i| from_array(list.values(), i, element)).collect())
        }
        SqlType::Map(key, value) => {
            let map = array.as_map_opt()?;
            let (from, to) = (map.value_offsets()[row] as usize, map.value_offsets()[row + 1] as usize);
            let entry = |i| (from_array(map.keys(), i, key), from_array(map.values(), i, value));
            SqlValue::Map((from..to).map(entry).collect())
        }
        SqlType::Struct(fields) => {
            let structure = array.as_struct_opt()?;
            SqlValue::Struct(
                structure
                    .columns()
                    .iter()
                    .zip(fields)
                    .map(|(column, field)| from_array(column, row, &field.sql_type))
                    .collect(),
            )
        }
    })
}

/// Appends each value that matches the pattern, NULL for every other one.
macro_rules! fill {
    ($builder:expr, $values:expr, $pattern:pat => $value:expr) => {{
        let mut builder = $builder;
        for value in $values {
            match value {
                $pattern => builder.append_value($value),
                other => {
                    debug_assert!(other.is_null(), "{other:?} has another type than its column");
                    builder.append_null();
                }
            }
        }
        Arc::new(builder.finish()) as ArrayRef
    }};
}

/// A column of that type. Values of another type become NULL.
pub fn to_array<'a>(sql_type: &SqlType, values: impl Iterator<Item = &'a SqlValue>) -> ArrayRef {
    let values: Vec<&SqlValue> = values.collect();
    build(sql_type, &values)
}

fn build(sql_type: &SqlType, values: &[&SqlValue]) -> ArrayRef {
    match sql_type {
        SqlType::Boolean => fill!(BooleanBuilder::new(), values, SqlValue::Boolean(v) => *v),
        SqlType::Integer => fill!(Int32Builder::new(), values, SqlValue::Integer(v) => *v),
        SqlType::Bigint => fill!(Int64Builder::new(), values, SqlValue::Bigint(v) => *v),
        SqlType::Double => fill!(Float64Builder::new(), values, SqlValue::Double(v) => *v),
        SqlType::String => fill!(StringBuilder::new(), values, SqlValue::String(v) => v),
        SqlType::Bytes => fill!(BinaryBuilder::new(), values, SqlValue::Bytes(v) => v),
        SqlType::Date => fill!(Date32Builder::new(), values, SqlValue::Date(v) => *v),
        SqlType::Time => fill!(Time32MillisecondBuilder::new(), values, SqlValue::Time(v) => *v),
        SqlType::Timestamp => fill!(TimestampMillisecondBuilder::new(), values, SqlValue::Timestamp(v) => *v),
        SqlType::Decimal { precision, scale } => {
            let mut builder = DecimalBuilder::new(*precision, *scale, values.len());
            for value in values {
                let unscaled = match value {
                    SqlValue::Decimal(v) => v.rescale(*scale, crate::value::decimal::Rounding::HalfUp),
                    _ => None,
                };
                // A value that does not fit was appended as NULL.
                let _ = builder.append(unscaled);
            }
            builder.finish().expect("the builder has the type's precision and scale")
        }
        SqlType::Array(element) => build_list(sql_type, element, values),
        SqlType::Map(key, value) => build_map(sql_type, key, value, values),
        SqlType::Struct(fields) => {
            let DataType::Struct(arrow_fields) = sql_type.to_arrow() else {
                unreachable!("STRUCT is a struct in Arrow");
            };
            let columns: Vec<ArrayRef> = fields
                .iter()
                .enumerate()
                .map(|(i, field)| {
                    let column: Vec<&SqlValue> = values
                        .iter()
                        .map(|v| match v {
                            SqlValue::Struct(items) => items.get(i).unwrap_or(&SqlValue::Null),
                            _ => &SqlValue::Null,
                        })
                        .collect();
                    build(&field.sql_type, &column)
                })
                .collect();
            let nulls: NullBuffer = values.iter().map(|v| matches!(v, SqlValue::Struct(_))).collect();
            if columns.is_empty() {
                return Arc::new(StructArray::new_empty_fields(values.len(), Some(nulls)));
            }
            Arc::new(StructArray::new(arrow_fields, columns, Some(nulls)))
        }
    }
}

fn build_list(sql_type: &SqlType, element: &SqlType, values: &[&SqlValue]) -> ArrayRef {
    let DataType::List(field) = sql_type.to_arrow() else {
        unreachable!("ARRAY is a list in Arrow");
    };
    let mut children = Vec::new();
    let mut offsets = vec![0_i32];
    for value in values {
        if let SqlValue::Array(items) = value {
            children.extend(items);
        }
        offsets.push(children.len() as i32);
    }
    let nulls: NullBuffer = values.iter().map(|v| matches!(v, SqlValue::Array(_))).collect();
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Arc::new(ListArray::new(field, offsets, build(element, &children), Some(nulls)))
}

fn build_map(sql_type: &SqlType, key: &SqlType, value: &SqlType, values: &[&SqlValue]) -> ArrayRef {
    let mut keys = Vec::new();
    let mut items = Vec::new();
    let mut offsets = vec![0_i32];
    for row in values {
        if let SqlValue::Map(entries) = row {
            for (k, v) in entries {
                // A map cannot hold a NULL key in Arrow.
                if !k.is_null() {
                    keys.push(k);
                    items.push(v);
                }
            }
        }
        offsets.push(keys.len() as i32);
    }
    let nulls: NullBuffer = values.iter().map(|v| matches!(v, SqlValue::Map(_))).collect();
    map_array(sql_type, offsets, build(key, &keys), build(value, &items), Some(nulls))
}

/// A MAP column from its parts. Shape: row `i` has the entries `offsets[i]..offsets[i + 1]`.
pub(crate) fn map_array(
    sql_type: &SqlType,
    offsets: Vec<i32>,
    keys: ArrayRef,
    values: ArrayRef,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    let DataType::Map(entries_field, _) = sql_type.to_arrow() else {
        unreachable!("MAP is a map in Arrow");
    };
    let DataType::Struct(fields) = entries_field.data_type() else {
        unreachable!("entries are structs in Arrow");
    };
    let entries = StructArray::new(fields.clone(), vec![keys, values], None);
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Arc::new(MapArray::new(entries_field, offsets, entries, nulls, false))
}

/// An ARRAY column from its parts. Shape: row `i` has the elements `offsets[i]..offsets[i + 1]`.
pub(crate) fn list_array(
    sql_type: &SqlType,
    offsets: Vec<i32>,
    elements: ArrayRef,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    let DataType::List(field) = sql_type.to_arrow() else {
        unreachable!("ARRAY is a list in Arrow");
    };
    Arc::new(ListArray::new(field, OffsetBuffer::new(ScalarBuffer::from(offsets)), elements, nulls))
}
