//! FILTER, REDUCE and TRANSFORM: functions that take a lambda. Its body is evaluated over the elements of all rows at once.

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::{interleave, take};
use arrow::error::ArrowError;

use crate::functions::budget::bytes_of;
use crate::functions::call::{Call, KernelResult};
use crate::functions::scalar::ScalarFunction;
use crate::functions::scalar::elements::Identities;
use crate::functions::scalar::gather::Gather;
use crate::types::SqlType;
use crate::value::convert::{list_array, map_array};

const CATEGORY: &str = "LAMBDA";

pub(crate) fn functions() -> Vec<ScalarFunction> {
    let function = |name, overview| ScalarFunction::new(name, CATEGORY, overview);
    vec![
        function("FILTER", "The elements or entries for which a lambda is true.")
            .with("(ARRAY<T>, LAMBDA<T, BOOLEAN>) -> ARRAY<T>", filter)
            .with("(MAP<K, V>, LAMBDA<K, V, BOOLEAN>) -> MAP<K, V>", filter),
        function("REDUCE", "One value from a start and a lambda that takes in element after element.")
            .with("(ARRAY<T>, S, LAMBDA<S, T, S>) -> S", reduce)
            .with("(MAP<K, V>, S, LAMBDA<S, K, V, S>) -> S", reduce),
        function("TRANSFORM", "What a lambda makes of each element, or two of each key and value.")
            .with("(ARRAY<T>, LAMBDA<T, R>) -> ARRAY<R>", transform_array)
            .with("(MAP<K, V>, LAMBDA<K, V, R>, LAMBDA<K, V, S>) -> MAP<R, S>", transform_map),
    ]
}

/// The elements of an ARRAY column or the entries of a MAP column, without those under NULL rows.
struct Flat {
    /// Start and end of each row's elements in `columns`.
    offsets: Vec<i32>,
    /// The row that each element belongs to.
    rows: Vec<u32>,
    /// The elements, or keys and values.
    columns: Vec<ArrayRef>,
    nulls: Option<NullBuffer>,
}

impl Flat {
    fn new(call: &Call<'_>) -> Result<Flat, ArrowError> {
        let array = call.array(0)?;
        let (offsets, columns) = match array.as_map_opt() {
            Some(map) => (map.value_offsets(), vec![map.keys().clone(), map.values().clone()]),
            None => {
                let list = array.as_list::<i32>();
                (list.value_offsets(), vec![list.values().clone()])
            }
        };
        let mut flat =
            Flat { offsets: vec![0], rows: Vec::new(), columns: Vec::new(), nulls: array.nulls().cloned() };
        let mut picks: Vec<u32> = Vec::new();
        for row in 0..array.len() {
            if array.is_valid(row) {
                let count = (offsets[row + 1] - offsets[row]) as usize;
                call.budget().charge(count * 2 * size_of::<u32>())?;
                picks.extend((offsets[row]..offsets[row + 1]).map(|e| e as u32));
                flat.rows.resize(picks.len(), row as u32);
            }
            flat.offsets.push(picks.len() as i32);
        }
        call.budget().charge(bytes_of(array.as_ref(), 0, array.len()))?;
        let picks = UInt32Array::from(picks);
        flat.columns = columns.iter().map(|c| take(c, &picks, None)).collect::<Result<_, _>>()?;
        Ok(flat)
    }

    fn range(&self, row: usize) -> std::ops::Range<usize> {
        self.offsets[row] as usize..self.offsets[row + 1] as usize
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|n| n.is_null(row))
    }
}

fn filter(call: &Call<'_>) -> KernelResult {
    let flat = Flat::new(call)?;
    let kept = call.lambda(1).evaluate(&flat.rows, flat.columns.clone())?;
    let kept = kept.as_boolean();
    let mut gather = Gather::new(call);
    for row in 0..call.rows {
        gather.extend(0, flat.range(row).filter(|e| kept.is_valid(*e) && kept.value(*e)));
        gather.finish_row(!flat.is_null(row));
    }
    match flat.columns.as_slice() {
        [keys, values] => gather.into_maps(&[keys], &[values], call.return_type),
        [elements] => gather.into_lists(&[elements], call.return_type),
        _ => unreachable!("elements, or keys and values"),
    }
}

fn transform_array(call: &Call<'_>) -> KernelResult {
    let flat = Flat::new(call)?;
    let elements = call.lambda(1).evaluate(&flat.rows, flat.columns)?;
    Ok(list_array(call.return_type, flat.offsets, elements, flat.nulls))
}

fn transform_map(call: &Call<'_>) -> KernelResult {
    let flat = Flat::new(call)?;
    let keys = call.lambda(1).evaluate(&flat.rows, flat.columns.clone())?;
    let values = call.lambda(2).evaluate(&flat.rows, flat.columns.clone())?;
    let SqlType::Map(key_type, _) = call.return_type else {
        return Err(ArrowError::ComputeError("TRANSFORM of a map gives a map".to_owned()));
    };
    let identities = Identities::new(key_type)?.keys(&keys)?;
    let mut picks: Vec<u32> = Vec::new();
    let mut offsets = vec![0_i32];
    let mut valid = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let mut seen = hashbrown::HashSet::new();
        let mut problem = None;
        for e in flat.range(row) {
            if keys.is_null(e) {
                problem = Some("TRANSFORM gave a null key");
            } else if !seen.insert(identities.get(e)) {
                problem = Some("TRANSFORM gave the same key twice");
            }
        }
        if let Some(message) = problem {
            call.environment.fail(row, message);
        } else {
            picks.extend(flat.range(row).map(|e| e as u32));
        }
        offsets.push(picks.len() as i32);
        valid.push(problem.is_none() && !flat.is_null(row));
    }
    let picks = UInt32Array::from(picks);
    let (keys, values) = (take(&keys, &picks, None)?, take(&values, &picks, None)?);
    Ok(map_array(call.return_type, offsets, keys, values, Some(NullBuffer::from(valid))))
}

/// Takes in the first elements of all rows, then the second ones, and so on.
fn reduce(call: &Call<'_>) -> KernelResult {
    let flat = Flat::new(call)?;
    let mut states = call.array(1)?;
    let start_is_null: Vec<bool> = (0..call.rows).map(|row| states.is_null(row)).collect();
    let longest = (0..call.rows).map(|row| flat.range(row).len()).max().unwrap_or(0);
    let budget = call.budget();
    let charged = budget.used();
    for step in 0..longest {
        // Each step replaces the states of the one before.
        budget.restore(charged);
        budget.charge(bytes_of(states.as_ref(), 0, states.len()))?;
        let active: Vec<u32> = (0..call.rows)
            .filter(|row| !start_is_null[*row] && step < flat.range(*row).len())
            .map(|row| row as u32)
            .collect();
        if active.is_empty() {
            break;
        }
        let elements: Vec<u32> =
            active.iter().map(|row| (flat.range(*row as usize).start + step) as u32).collect();
        let elements = UInt32Array::from(elements);
        let mut parameters = vec![take(&states, &UInt32Array::from(active.clone()), None)?];
        for column in &flat.columns {
            parameters.push(take(column, &elements, None)?);
        }
        let next = call.lambda(2).evaluate(&active, parameters)?;
        let mut picks: Vec<(usize, usize)> = (0..call.rows).map(|row| (0, row)).collect();
        for (i, row) in active.iter().enumerate() {
            picks[*row as usize] = (1, i);
        }
        let sources: [&dyn Array; 2] = [states.as_ref(), next.as_ref()];
        states = interleave(&sources, &picks)?;
    }
    Ok(states)
}
