//! Table functions: one row in, any number of rows out.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;

use crate::functions::aggregate::RowError;
use crate::functions::signature::Signature;
use crate::types::SqlType;
use crate::value::convert::list_array;

/// Computes, per row, the list of rows to emit. Shape: one ARRAY value per input row, whose elements have the call's
/// return type; NULL or empty emits nothing. Failing rows are NULL in the result and listed in the second part.
pub type TableKernel = fn(arguments: &[ArrayRef], return_type: &SqlType) -> (ArrayRef, Vec<RowError>);

/// A table function with its overload chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedTable {
    /// Types the arguments must be cast to.
    pub argument_types: Vec<SqlType>,
    /// Type of one emitted row.
    pub return_type: SqlType,
}

#[derive(Debug)]
pub(crate) struct TableFunction {
    pub(crate) name: &'static str,
    pub(crate) overview: &'static str,
    pub(crate) overloads: Vec<TableOverload>,
}

#[derive(Debug)]
pub(crate) struct TableOverload {
    pub(crate) signature: Signature,
    pub(crate) kernel: TableKernel,
}

/// Every table function.
pub(crate) fn all() -> Vec<TableFunction> {
    vec![
        TableFunction {
            name: "EXPLODE",
            overview: "One row per element of an array.",
            overloads: vec![TableOverload {
                signature: Signature::parse("(ARRAY<T>) -> T"),
                kernel: |arguments, _| (Arc::clone(&arguments[0]), Vec::new()),
            }],
        },
        TableFunction {
            name: "CUBE_EXPLODE",
            overview: "One row per way of replacing elements of an array by NULL.",
            overloads: vec![TableOverload {
                signature: Signature::parse("(ARRAY<T>) -> ARRAY<T>"),
                kernel: cube_explode,
            }],
        },
    ]
}

/// 2^20 rows per input row are enough.
const CUBE_ELEMENTS_MAX: usize = 20;

/// Elements that the rows made of one batch may have together.
const CUBE_BATCH_ELEMENTS_MAX: usize = 1 << 25;

fn cube_explode(arguments: &[ArrayRef], return_type: &SqlType) -> (ArrayRef, Vec<RowError>) {
    let input: &ListArray = arguments[0].as_list::<i32>();
    let mut errors = Vec::new();
    let mut picks: Vec<Option<u32>> = Vec::new();
    let mut inner_offsets = vec![0_i32];
    let mut outer_offsets = vec![0_i32];
    let mut valid = Vec::with_capacity(input.len());
    for row in 0..input.len() {
        let range = input.value_offsets()[row] as usize..input.value_offsets()[row + 1] as usize;
        // Elements that are NULL already are not doubled.
        let present: Vec<usize> = range.clone().filter(|i| input.values().is_valid(*i)).collect();
        let mut fits = present.len() <= CUBE_ELEMENTS_MAX;
        if input.is_valid(row) && !fits {
            let message =
                format!("CUBE_EXPLODE takes up to {CUBE_ELEMENTS_MAX} elements, not {}", present.len());
            errors.push(RowError { row, message });
        } else if input.is_valid(row)
            && picks.len() + (range.len() << present.len()) > CUBE_BATCH_ELEMENTS_MAX
        {
            fits = false;
            let message = format!(
                "CUBE_EXPLODE makes more than {CUBE_BATCH_ELEMENTS_MAX} elements of one batch of rows"
            );
            errors.push(RowError { row, message });
        }
        valid.push(input.is_valid(row) && fits);
        if input.is_valid(row) && fits {
            for kept in 0..1_u32 << present.len() {
                for i in range.clone() {
                    let place = present.iter().position(|p| *p == i);
                    let bit = place.map(|p| present.len() - 1 - p);
                    picks.push(bit.filter(|b| kept >> b & 1 == 1).map(|_| i as u32));
                }
                inner_offsets.push(picks.len() as i32);
            }
        }
        outer_offsets.push(inner_offsets.len() as i32 - 1);
    }
    let elements =
        take(input.values(), &UInt32Array::from(picks), None).expect("indices are within the array");
    let rows = list_array(return_type, inner_offsets, elements, None);
    let list = SqlType::array(return_type.clone());
    (list_array(&list, outer_offsets, rows, Some(NullBuffer::from(valid))), errors)
}
