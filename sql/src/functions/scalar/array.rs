//! ARRAY functions.

use std::cmp::Ordering;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, UInt32Array, make_comparator};
use arrow::buffer::NullBuffer;
use arrow::compute::{SortOptions, take};
use arrow::datatypes::{Int32Type, Int64Type};
use hashbrown::HashSet;

use crate::functions::budget::{bytes_of, check_value};
use crate::functions::call::{Call, KernelResult};
use crate::functions::scalar::ScalarFunction;
use crate::functions::scalar::elements::{Equality, Identities};
use crate::functions::scalar::gather::Gather;
use crate::types::SqlType;
use crate::value::convert::{from_array, list_array};
use crate::value::text::format_value;

const CATEGORY: &str = "ARRAY";

pub(crate) fn functions() -> Vec<ScalarFunction> {
    let function = |name, overview| ScalarFunction::new(name, CATEGORY, overview);
    let pair =
        |name, overview, kernel| function(name, overview).with("(ARRAY<T>, ARRAY<T>) -> ARRAY<T>", kernel);
    vec![
        function("ARRAY_LENGTH", "The number of elements.").with("(ARRAY<T>) -> INT", |c| {
            let lists = c.lists(0);
            c.build_ints(|i| Ok(lists.range(i).map(|(from, to)| (to - from) as i32)))
        }),
        function("ARRAY_CONTAINS", "True if a value is among the elements.")
            .with("(ARRAY<T>, T) -> BOOLEAN", contains),
        function("ARRAY_DISTINCT", "The distinct elements, in order of first occurrence.")
            .with("(ARRAY<T>) -> ARRAY<T>", |c| set(c, |_, _| true)),
        pair("ARRAY_EXCEPT", "The distinct elements that the second array lacks.", |c| {
            set(c, |key, other| !other.contains(key))
        }),
        pair("ARRAY_INTERSECT", "The distinct elements of the first array that the second has, too.", |c| {
            set(c, |key, other| other.contains(key))
        }),
        pair("ARRAY_UNION", "The distinct elements of both arrays.", union),
        pair("ARRAY_CONCAT", "The elements of both arrays.", concat),
        function("ARRAY_JOIN", "The elements as one text, with a delimiter between them.")
            .with("(ARRAY<T>) -> STRING", join)
            .with("(ARRAY<T>, STRING) -> STRING", join),
        function("ARRAY_MAX", "The largest element; NULLs are ignored.")
            .with("(ARRAY<T>) -> T", |c| extreme(c, Ordering::Greater)),
        function("ARRAY_MIN", "The smallest element; NULLs are ignored.")
            .with("(ARRAY<T>) -> T", |c| extreme(c, Ordering::Less)),
        function("ARRAY_REMOVE", "The array without the elements that equal a value.")
            .with("(ARRAY<T>, T) -> ARRAY<T>", remove),
        function("ARRAY_SORT", "The elements in order, ascending or descending; NULLs last.")
            .with("(ARRAY<T>) -> ARRAY<T>", sort)
            .with("(ARRAY<T>, STRING) -> ARRAY<T>", sort),
        function("SLICE", "The elements from one place to another, both included.")
            .with("(ARRAY<T>, INT, INT) -> ARRAY<T>", slice),
        function("GENERATE_SERIES", "The numbers from one to another, both included.")
            .with("(INT, INT) -> ARRAY<INT>", series_int)
            .with("(INT, INT, INT) -> ARRAY<INT>", series_int)
            .with("(BIGINT, BIGINT) -> ARRAY<BIGINT>", series_long)
            .with("(BIGINT, BIGINT, INT) -> ARRAY<BIGINT>", series_long),
    ]
}

pub(crate) fn element_type<'a>(call: &Call<'a>, index: usize) -> &'a SqlType {
    match call.argument_type(index) {
        SqlType::Array(element) => element,
        other => other,
    }
}

fn range((from, to): (usize, usize)) -> Range<usize> {
    from..to
}

/// The row of an argument that holds row `row` of the call.
fn place(call: &Call<'_>, index: usize, row: usize) -> usize {
    if call.value(index).scalar { 0 } else { row }
}

fn contains(call: &Call<'_>) -> KernelResult {
    let lists = call.lists(0);
    let equality = Equality::new(lists.array().values(), &call.value(1).array, element_type(call, 0))?;
    call.build_booleans(|i| {
        let Some(elements) = lists.range(i).map(range) else { return Ok(Some(false)) };
        let wanted = place(call, 1, i);
        Ok(Some(elements.into_iter().any(|e| equality.equal(e, wanted))))
    })
}

/// Distinct elements of the first array for which `keep(element, elements of the second array)` holds.
fn set(call: &Call<'_>, keep: fn(&[u8], &HashSet<&[u8]>) -> bool) -> KernelResult {
    let lists = call.lists(0);
    let identities = Identities::new(element_type(call, 0))?;
    let keys = identities.keys(lists.array().values())?;
    let others = (call.count() > 1).then(|| call.lists(1));
    let other_keys = others.map(|o| identities.keys(o.array().values())).transpose()?;
    let mut gather = Gather::new(call);
    for i in 0..call.rows {
        let mut other: HashSet<&[u8]> = HashSet::new();
        if let (Some(others), Some(keys)) = (&others, &other_keys) {
            let Some(elements) = others.range(i).map(range) else {
                gather.finish_row(false);
                continue;
            };
            other.extend(elements.map(|e| keys.get(e)));
        }
        let Some(elements) = lists.range(i).map(range) else {
            gather.finish_row(false);
            continue;
        };
        let mut seen: HashSet<&[u8]> = HashSet::new();
        for e in elements {
            let key = keys.get(e);
            if keep(key, &other) && seen.insert(key) {
                gather.push(0, e);
            }
        }
        gather.finish_row(true);
    }
    gather.into_lists(&[lists.array().values()], call.return_type)
}

fn union(call: &Call<'_>) -> KernelResult {
    let (left, right) = (call.lists(0), call.lists(1));
    let identities = Identities::new(element_type(call, 0))?;
    let keys = [identities.keys(left.array().values())?, identities.keys(right.array().values())?];
    let mut gather = Gather::new(call);
    for i in 0..call.rows {
        let (Some(l), Some(r)) = (left.range(i), right.range(i)) else {
            gather.finish_row(false);
            continue;
        };
        let mut seen: HashSet<&[u8]> = HashSet::new();
        for (source, elements) in [range(l), range(r)].into_iter().enumerate() {
            for e in elements {
                if seen.insert(keys[source].get(e)) {
                    gather.push(source, e);
                }
            }
        }
        gather.finish_row(true);
    }
    gather.into_lists(&[left.array().values(), right.array().values()], call.return_type)
}

fn concat(call: &Call<'_>) -> KernelResult {
    let (left, right) = (call.lists(0), call.lists(1));
    let mut gather = Gather::new(call);
    for i in 0..call.rows {
        let (l, r) = (left.range(i), right.range(i));
        gather.extend(0, l.map(range).into_iter().flatten());
        gather.extend(1, r.map(range).into_iter().flatten());
        gather.finish_row(l.is_some() || r.is_some());
    }
    gather.into_lists(&[left.array().values(), right.array().values()], call.return_type)
}

fn join(call: &Call<'_>) -> KernelResult {
    let lists = call.lists(0);
    let delimiters = (call.count() > 1).then(|| call.strings(1));
    let element = element_type(call, 0);
    let printable = element.is_numeric() || matches!(element, SqlType::Boolean | SqlType::String);
    call.build_strings(|i| {
        let Some(elements) = lists.range(i).map(range) else { return Ok(None) };
        if !printable {
            return Err(format!("ARRAY_JOIN does not take elements of type {element}"));
        }
        let delimiter = delimiters.as_ref().map_or(",", |d| d.get(i).unwrap_or(""));
        let text =
            |e| format_value(&from_array(lists.array().values(), e, element), element).unwrap_or_default();
        check_value(elements.len().saturating_mul(delimiter.len()))?;
        Ok(Some(elements.map(text).collect::<Vec<_>>().join(delimiter)))
    })
}

fn extreme(call: &Call<'_>, wanted: Ordering) -> KernelResult {
    let lists = call.lists(0);
    let values = lists.array().values();
    let compare = make_comparator(values, values, SortOptions::default())?;
    let best = |i: usize| -> Option<u32> {
        let mut present = lists.range(i).map(range)?.filter(|e| values.is_valid(*e));
        let first = present.next()?;
        Some(present.fold(first, |best, e| if compare(e, best) == wanted { e } else { best }) as u32)
    };
    if call.value(0).scalar {
        call.budget().charge(bytes_of(values.as_ref(), 0, values.len()).saturating_mul(call.rows))?;
    }
    take(values, &(0..call.rows).map(best).collect::<UInt32Array>(), None)
}

fn remove(call: &Call<'_>) -> KernelResult {
    let lists = call.lists(0);
    let equality = Equality::new(lists.array().values(), &call.value(1).array, element_type(call, 0))?;
    let mut gather = Gather::new(call);
    for i in 0..call.rows {
        let elements = lists.range(i).map(range);
        let victim = place(call, 1, i);
        let valid = elements.is_some();
        gather.extend(0, elements.into_iter().flatten().filter(|e| !equality.equal(*e, victim)));
        gather.finish_row(valid);
    }
    gather.into_lists(&[lists.array().values()], call.return_type)
}

fn sort(call: &Call<'_>) -> KernelResult {
    let lists = call.lists(0);
    let directions = (call.count() > 1).then(|| call.strings(1));
    let values = lists.array().values();
    let ascending = make_comparator(values, values, SortOptions { descending: false, nulls_first: false })?;
    let descending = make_comparator(values, values, SortOptions { descending: true, nulls_first: false })?;
    let mut gather = Gather::new(call);
    for i in 0..call.rows {
        let direction = directions.as_ref().map_or(Some("ASC"), |d| d.get(i)).unwrap_or("");
        let compare = match direction.trim().to_ascii_uppercase().as_str() {
            "ASC" | "ASCENDING" => Some(&ascending),
            "DESC" | "DESCENDING" => Some(&descending),
            _ => None,
        };
        let (Some(compare), Some(elements)) = (compare, lists.range(i).map(range)) else {
            gather.finish_row(false);
            continue;
        };
        let mut elements: Vec<usize> = elements.collect();
        elements.sort_by(|a, b| compare(*a, *b));
        gather.extend(0, elements.into_iter());
        gather.finish_row(true);
    }
    gather.into_lists(&[values], call.return_type)
}

fn slice(call: &Call<'_>) -> KernelResult {
    let (lists, froms, tos) = (call.lists(0), call.ints(1), call.ints(2));
    let mut gather = Gather::new(call);
    for i in 0..call.rows {
        let Some((start, end)) = lists.range(i) else {
            gather.finish_row(false);
            continue;
        };
        let length = (end - start) as i64;
        let from = froms.get(i).map_or(0, |f| i64::from(f) - 1);
        let to = tos.get(i).map_or(length, i64::from);
        let valid = 0 <= from && from <= to && to <= length;
        if valid {
            gather.extend(0, start + from as usize..start + to as usize);
        }
        gather.finish_row(valid);
    }
    gather.into_lists(&[lists.array().values()], call.return_type)
}

/// Elements that one series may have.
const SERIES_LENGTH_MAX: i128 = 10_000_000;

/// First value, step and count of a series.
fn series(from: i64, to: i64, step: Option<i32>) -> Result<(i64, i64, usize), String> {
    let step = step.map_or(if from > to { -1 } else { 1 }, i64::from);
    if step == 0 {
        return Err("GENERATE_SERIES needs a step other than 0".to_owned());
    }
    if (from < to && step < 0) || (from > to && step > 0) {
        return Err(format!("GENERATE_SERIES from {from} to {to} cannot have the step {step}"));
    }
    let count = (i128::from(to) - i128::from(from)) / i128::from(step) + 1;
    if count > SERIES_LENGTH_MAX {
        return Err(format!("GENERATE_SERIES of {count} elements is too long"));
    }
    Ok((from, step, count as usize))
}

fn build_series(
    call: &Call<'_>,
    bounds: impl Fn(usize) -> Option<(i64, i64)>,
    build: impl Fn(Vec<i64>) -> ArrayRef,
) -> KernelResult {
    let steps = (call.count() > 2).then(|| call.ints(2));
    let mut values: Vec<i64> = Vec::new();
    let mut offsets = vec![0_i32];
    let mut valid = Vec::with_capacity(call.rows);
    for i in 0..call.rows {
        let step = match &steps {
            None => Some(None),
            Some(steps) => steps.get(i).map(Some),
        };
        let series = bounds(i).zip(step).map(|((from, to), step)| series(from, to, step));
        match &series {
            Some(Ok((first, step, count))) => {
                // The numbers once as they are made, and once in the column.
                call.budget().charge(count.saturating_mul(2 * size_of::<i64>()))?;
                values.extend((0..*count as i64).map(|n| first + n * step));
            }
            Some(Err(message)) => call.environment.fail(i, message),
            None => {}
        }
        offsets.push(values.len() as i32);
        valid.push(matches!(series, Some(Ok(_))));
    }
    Ok(list_array(call.return_type, offsets, build(values), Some(NullBuffer::from(valid))))
}

fn series_int(call: &Call<'_>) -> KernelResult {
    let (froms, tos) = (call.ints(0), call.ints(1));
    let bounds = |i| Some((i64::from(froms.get(i)?), i64::from(tos.get(i)?)));
    build_series(call, bounds, |values| {
        let array: arrow::array::PrimitiveArray<Int32Type> =
            values.into_iter().map(|v| Some(v as i32)).collect();
        std::sync::Arc::new(array)
    })
}

fn series_long(call: &Call<'_>) -> KernelResult {
    let (froms, tos) = (call.longs(0), call.longs(1));
    let bounds = |i| Some((froms.get(i)?, tos.get(i)?));
    build_series(call, bounds, |values| {
        std::sync::Arc::new(arrow::array::PrimitiveArray::<Int64Type>::from_iter_values(values))
    })
}
