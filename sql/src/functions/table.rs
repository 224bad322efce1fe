//! Table functions: one row in, any number of rows out.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayBuilder, ArrayRef, AsArray, ListArray, UInt32Builder};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::error::ArrowError;

use crate::expr::compile::batch_budget::{BatchBudget, rows_bytes};
use crate::functions::aggregate::RowError;
use crate::functions::signature::Signature;
use crate::types::SqlType;
use crate::value::convert::list_array;

/// Computes, per row, the list of rows to emit. Shape: one ARRAY value per input row, whose elements have the call's
/// return type; NULL or empty emits nothing. Failing rows are NULL in the result and listed in the second part.
///
/// Errors: a memory error if several rows together exceed the budget.
pub type TableKernel = fn(
    arguments: &[ArrayRef],
    return_type: &SqlType,
    budget: &BatchBudget,
) -> Result<(ArrayRef, Vec<RowError>), ArrowError>;

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
                kernel: |arguments, _, _| Ok((Arc::clone(&arguments[0]), Vec::new())),
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

/// Bytes of the place of an element, or of a list, in a result.
const PLACE_BYTES: usize = 4;

fn cube_explode(
    arguments: &[ArrayRef],
    return_type: &SqlType,
    budget: &BatchBudget,
) -> Result<(ArrayRef, Vec<RowError>), ArrowError> {
    let input: &ListArray = arguments[0].as_list::<i32>();
    let mut errors = Vec::new();
    let mut picks = UInt32Builder::new();
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
            && let Err(error) = budget.try_charge(cube_bytes(input.values(), &range, present.len()))
        {
            if budget.rows() > 1 {
                return Err(error);
            }
            fits = false;
            errors.push(RowError { row, message: budget.row_message() });
        }
        valid.push(input.is_valid(row) && fits);
        if input.is_valid(row) && fits {
            for kept in 0..1_u32 << present.len() {
                for i in range.clone() {
                    let place = present.iter().position(|p| *p == i);
                    let bit = place.map(|p| present.len() - 1 - p);
                    picks.append_option(bit.filter(|b| kept >> b & 1 == 1).map(|_| i as u32));
                }
                inner_offsets.push(picks.len() as i32);
            }
        }
        outer_offsets.push(inner_offsets.len() as i32 - 1);
    }
    let elements = take(input.values(), &picks.finish(), None)?;
    let rows = list_array(return_type, inner_offsets, elements, None);
    let list = SqlType::array(return_type.clone());
    Ok((list_array(&list, outer_offsets, rows, Some(NullBuffer::from(valid))), errors))
}

/// The bytes of the rows made of one array: each of its elements that are not NULL is in half of them.
fn cube_bytes(elements: &ArrayRef, range: &Range<usize>, present: usize) -> usize {
    let made = 1_usize << present;
    let lists = (range.len() * PLACE_BYTES + PLACE_BYTES).saturating_mul(made);
    let values = rows_bytes(elements, range.start, range.len()).saturating_mul(made);
    lists.saturating_add(values / 2)
}
