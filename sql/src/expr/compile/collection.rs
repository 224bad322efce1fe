//! Constructors of arrays and maps, and access to their elements.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array, make_comparator};
use arrow::compute::{SortOptions, interleave, take};
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;

use crate::expr::compile::node::NodeResult;
use crate::functions::call::{Environment, Value};
use crate::types::SqlType;
use crate::value::convert::{list_array, map_array};

/// The values of all items, row by row: row 0 of every item, then row 1, ….
fn row_major(items: &[Value], rows: usize) -> Result<ArrayRef, ArrowError> {
    let arrays: Vec<&dyn Array> = items.iter().map(|v| v.array.as_ref()).collect();
    let picks: Vec<(usize, usize)> = (0..rows)
        .flat_map(|row| items.iter().enumerate().map(move |(i, v)| (i, if v.scalar { 0 } else { row })))
        .collect();
    interleave(&arrays, &picks)
}

/// `ARRAY[a, b, …]`.
pub(crate) fn array(items: &[Value], result: &SqlType, rows: usize) -> NodeResult {
    let elements = row_major(items, rows)?;
    let offsets = (0..=rows).map(|row| (row * items.len()) as i32).collect();
    Ok(Value::column(list_array(result, offsets, elements, None)))
}

/// `MAP(k := v, …)`: of equal keys the last wins, at the place of the first; a NULL key loses its entry.
pub(crate) fn map(
    keys: &[Value],
    values: &[Value],
    result: &SqlType,
    environment: &(impl Environment + RowCount),
) -> NodeResult {
    let rows = environment.row_count();
    let keys_array = row_major(keys, rows)?;
    let values_array = row_major(values, rows)?;
    let same = make_comparator(&keys_array, &keys_array, SortOptions::default())?;
    let mut offsets = vec![0_i32];
    let mut kept_keys: Vec<u32> = Vec::new();
    let mut kept_values: Vec<u32> = Vec::new();
    for row in 0..rows {
        let from = kept_keys.len();
        for i in row * keys.len()..(row + 1) * keys.len() {
            if keys_array.is_null(i) {
                environment.fail(row, "a key of a map is null");
                continue;
            }
            match kept_keys[from..].iter().position(|k| same(*k as usize, i) == Ordering::Equal) {
                Some(at) => kept_values[from + at] = i as u32,
                None => {
                    kept_keys.push(i as u32);
                    kept_values.push(i as u32);
                }
            }
        }
        offsets.push(kept_keys.len() as i32);
    }
    let keys_array = take(&keys_array, &UInt32Array::from(kept_keys), None)?;
    let values_array = take(&values_array, &UInt32Array::from(kept_values), None)?;
    Ok(Value::column(map_array(result, offsets, keys_array, values_array, None)))
}

/// How many rows are being evaluated.
pub(crate) trait RowCount {
    fn row_count(&self) -> usize;
}

impl RowCount for crate::expr::compile::frame::Frame<'_> {
    fn row_count(&self) -> usize {
        self.rows
    }
}

/// `array[index]` or `map[key]`; NULL where there is no such element.
pub(crate) fn subscript(base: &Value, base_type: &SqlType, index: &Value, rows: usize) -> NodeResult {
    let scalar = base.scalar && index.scalar;
    let rows = if scalar { 1 } else { rows };
    let (base_step, index_step) = (usize::from(!base.scalar), usize::from(!index.scalar));
    let array = match base_type {
        SqlType::Map(..) => {
            let map = base.array.as_map();
            let same = make_comparator(map.keys(), &index.array, SortOptions::default())?;
            let find = |row: usize| {
                let (base_row, key_row) = (row * base_step, row * index_step);
                if map.is_null(base_row) || index.array.is_null(key_row) {
                    return None;
                }
                let (from, to) = (map.value_offsets()[base_row], map.value_offsets()[base_row + 1]);
                (from..to).find(|i| same(*i as usize, key_row) == Ordering::Equal).map(|i| i as u32)
            };
            take(map.values(), &(0..rows).map(find).collect::<UInt32Array>(), None)?
        }
        _ => {
            let list = base.array.as_list::<i32>();
            let indices = index.array.as_primitive::<Int32Type>();
            let find = |row: usize| {
                let (base_row, index_row) = (row * base_step, row * index_step);
                if list.is_null(base_row) || indices.is_null(index_row) {
                    return None;
                }
                let (from, to) = (
                    i64::from(list.value_offsets()[base_row]),
                    i64::from(list.value_offsets()[base_row + 1]),
                );
                let index = i64::from(indices.value(index_row));
                let at = match index.cmp(&0) {
                    Ordering::Greater => from + index - 1,
                    Ordering::Less => to + index,
                    Ordering::Equal => return None,
                };
                (from <= at && at < to).then_some(at as u32)
            };
            take(list.values(), &(0..rows).map(find).collect::<UInt32Array>(), None)?
        }
    };
    Ok(Value { array: Arc::clone(&array), scalar })
}
