//! Choosing among values: COALESCE, IFNULL, NULLIF, GREATEST, LEAST, AS_VALUE.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::interleave;

use crate::expr::kernels::cast::cast;
use crate::functions::budget::bytes_of;
use crate::functions::call::{Call, KernelResult};
use crate::functions::scalar::ScalarFunction;
use crate::functions::scalar::elements::Equality;
use crate::types::SqlType;
use crate::value::convert::from_array;
use crate::value::order;

const CATEGORY: &str = "CONDITIONAL";

pub(crate) fn functions() -> Vec<ScalarFunction> {
    let extreme = |name, overview, kernel| {
        let mut function = ScalarFunction::new(name, "MATHEMATICAL", overview);
        for sql_type in ["INT", "BIGINT", "DOUBLE", "STRING", "BYTES", "DATE", "TIME", "TIMESTAMP"] {
            function = function.with(&format!("({sql_type}, {sql_type}...) -> {sql_type}"), kernel);
        }
        function.with_type("(DECIMAL, DECIMAL...) -> DECIMAL", widest, kernel)
    };
    vec![
        ScalarFunction::new("COALESCE", CATEGORY, "The first argument that is not NULL.")
            .with("(T, T...) -> T", coalesce),
        ScalarFunction::new("IFNULL", CATEGORY, "The first argument, or the second if the first is NULL.")
            .with("(T, T) -> T", coalesce),
        ScalarFunction::new("NULLIF", CATEGORY, "NULL if both arguments are equal, else the first.")
            .with("(T, T) -> T", null_if),
        extreme("GREATEST", "The largest argument; NULLs are ignored.", |c| pick(c, Ordering::Greater)),
        extreme("LEAST", "The smallest argument; NULLs are ignored.", |c| pick(c, Ordering::Less)),
        ScalarFunction::new("AS_VALUE", "OTHER", "A copy of a key column, to be a value column.")
            .with("(T) -> T", |c| c.array(0)),
    ]
}

/// The DECIMAL that holds all arguments.
fn widest(types: &[Option<SqlType>]) -> Option<SqlType> {
    let mut widest: Option<(u8, u8)> = None;
    for sql_type in types.iter().flatten() {
        let SqlType::Decimal { precision, scale } = sql_type else { return None };
        // A NULL argument has the narrowest type.
        widest = Some(match widest {
            None => (precision - scale, *scale),
            Some((w, s)) => (w.max(precision - scale), s.max(*scale)),
        });
    }
    let (digits, scale) = widest?;
    Some(SqlType::decimal((digits + scale).min(crate::types::DECIMAL_PRECISION_MAX), scale))
}

/// Builds a column by choosing, for each row, one of the arguments or NULL.
fn choose(call: &Call<'_>, mut choice: impl FnMut(usize) -> Option<usize>) -> KernelResult {
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(call.count() + 1);
    for i in 0..call.count() {
        let array = &call.value(i).array;
        arrays.push(cast(array, call.argument_type(i), call.return_type, call.environment)?);
    }
    arrays.push(new_null_array(&call.return_type.to_arrow(), 1));
    let picks: Vec<(usize, usize)> = (0..call.rows)
        .map(|row| match choice(row) {
            Some(i) => (i, row_of(call, i, row)),
            None => (call.count(), 0),
        })
        .collect();
    // The array of NULLs behind the arguments costs nothing.
    for (i, array) in arrays.iter().take(call.count()).enumerate() {
        let value = call.value(i);
        let bytes = if value.scalar {
            value.spread_bytes(call.rows)
        } else {
            bytes_of(array.as_ref(), 0, array.len())
        };
        call.budget().charge(bytes)?;
    }
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    interleave(&arrays, &picks)
}

fn row_of(call: &Call<'_>, argument: usize, row: usize) -> usize {
    if call.value(argument).scalar { 0 } else { row }
}

fn coalesce(call: &Call<'_>) -> KernelResult {
    choose(call, |row| (0..call.count()).find(|i| call.value(*i).array.is_valid(row_of(call, *i, row))))
}

fn null_if(call: &Call<'_>) -> KernelResult {
    let equality = Equality::new(&call.value(0).array, &call.value(1).array, call.argument_type(0))?;
    choose(call, |row| {
        let (left, right) = (row_of(call, 0, row), row_of(call, 1, row));
        let same = call.value(0).array.is_valid(left)
            && call.value(1).array.is_valid(right)
            && equality.equal(left, right);
        (!same).then_some(0)
    })
}

fn pick(call: &Call<'_>, wanted: Ordering) -> KernelResult {
    let value =
        |i: usize, row: usize| from_array(&call.value(i).array, row_of(call, i, row), call.argument_type(i));
    choose(call, |row| {
        let mut best: Option<(usize, crate::value::SqlValue)> = None;
        for i in 0..call.count() {
            let candidate = value(i, row);
            if candidate.is_null() {
                continue;
            }
            let better = match &best {
                None => true,
                Some((_, current)) => order::compare(&candidate, current) == wanted,
            };
            if better {
                best = Some((i, candidate));
            }
        }
        best.map(|(i, _)| i)
    })
}
