//! MAP functions.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray, UInt32Array, make_comparator};
use arrow::buffer::NullBuffer;
use arrow::compute::{SortOptions, take};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::functions::budget::bytes_of;
use crate::functions::call::{Call, KernelResult};
use crate::functions::scalar::ScalarFunction;
use crate::functions::scalar::array::element_type;
use crate::functions::scalar::elements::Identities;
use crate::functions::scalar::gather::Gather;
use crate::types::SqlType;
use crate::value::convert::list_array;

const CATEGORY: &str = "MAP";

pub(crate) fn functions() -> Vec<ScalarFunction> {
    let function = |name, overview| ScalarFunction::new(name, CATEGORY, overview);
    let mut entries =
        function("ENTRIES", "The entries as structs of K and V, in order of the keys if asked.");
    for value in ["INT", "BIGINT", "DOUBLE", "BOOLEAN", "STRING"] {
        let signature = format!("(MAP<STRING, {value}>, BOOLEAN) -> ARRAY<ANY>");
        entries = entries.with_type(&signature, entry_list, entries_kernel);
    }
    vec![
        entries,
        function("MAP_KEYS", "The keys of a map.").with("(MAP<K, V>) -> ARRAY<K>", |c| parts(c, Part::Keys)),
        function("MAP_VALUES", "The values of a map.")
            .with("(MAP<K, V>) -> ARRAY<V>", |c| parts(c, Part::Values)),
        function("MAP_UNION", "The entries of both maps; of equal keys the second map's wins.")
            .with("(MAP<K, V>, MAP<K, V>) -> MAP<K, V>", union),
        function("AS_MAP", "A map of keys and values from two arrays.")
            .with("(ARRAY<STRING>, ARRAY<T>) -> MAP<STRING, T>", as_map),
    ]
}

fn entry_list(types: &[Option<SqlType>]) -> Option<SqlType> {
    let Some(SqlType::Map(key, value)) = &types[0] else { return None };
    Some(SqlType::array(SqlType::structure([("K", key.as_ref().clone()), ("V", value.as_ref().clone())])))
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Keys,
    Values,
}

fn parts(call: &Call<'_>, part: Part) -> KernelResult {
    let array = call.array(0)?;
    let map = array.as_map();
    let elements = match part {
        Part::Keys => map.keys(),
        Part::Values => map.values(),
    };
    Ok(list_array(call.return_type, map.value_offsets().to_vec(), Arc::clone(elements), map.nulls().cloned()))
}

fn entries_kernel(call: &Call<'_>) -> KernelResult {
    let (maps, sorted) = (call.maps(0), call.booleans(1));
    let (keys, values) = (maps.array().keys(), maps.array().values());
    let compare = make_comparator(keys, keys, SortOptions::default())?;
    let mut picks: Vec<u32> = Vec::new();
    let mut offsets = vec![0_i32];
    let mut valid = Vec::with_capacity(call.rows);
    for i in 0..call.rows {
        let row = maps.range(i).zip(sorted.get(i));
        if let Some(((from, to), sorted)) = row {
            call.budget().charge((to - from) * size_of::<u32>())?;
            let mut entries: Vec<usize> = (from..to).collect();
            if sorted {
                entries.sort_by(|a, b| compare(*a, *b));
            }
            picks.extend(entries.iter().map(|e| *e as u32));
        }
        offsets.push(picks.len() as i32);
        valid.push(row.is_some());
    }
    let mean = bytes_of(maps.array().entries(), 0, keys.len()) / keys.len().max(1) + size_of::<u32>();
    call.budget().charge(picks.len().saturating_mul(mean))?;
    let picks = UInt32Array::from(picks);
    let SqlType::Array(element) = call.return_type else {
        return Err(ArrowError::ComputeError("ENTRIES gives an array".to_owned()));
    };
    let DataType::Struct(fields) = element.to_arrow() else {
        return Err(ArrowError::ComputeError("ENTRIES gives structs".to_owned()));
    };
    let columns = vec![take(keys, &picks, None)?, take(values, &picks, None)?];
    let entries: ArrayRef = Arc::new(StructArray::try_new(fields, columns, None)?);
    Ok(list_array(call.return_type, offsets, entries, Some(NullBuffer::from(valid))))
}

fn union(call: &Call<'_>) -> KernelResult {
    let (left, right) = (call.maps(0), call.maps(1));
    let SqlType::Map(key_type, _) = call.return_type else {
        return Err(ArrowError::ComputeError("MAP_UNION gives a map".to_owned()));
    };
    let identities = Identities::new(key_type)?;
    let (left_keys, right_keys) =
        (identities.keys(left.array().keys())?, identities.keys(right.array().keys())?);
    let mut gather = Gather::new(call);
    for i in 0..call.rows {
        let (l, r) = (left.range(i), right.range(i));
        let (left_entries, right_entries) = (l.unwrap_or((0, 0)), r.unwrap_or((0, 0)));
        let mut taken = vec![false; right_entries.1 - right_entries.0];
        let places: HashMap<&[u8], usize> =
            (right_entries.0..right_entries.1).map(|o| (right_keys.get(o), o)).collect();
        for e in left_entries.0..left_entries.1 {
            // The second map's value stands at the place of the first map's key.
            match places.get(left_keys.get(e)) {
                Some(&other) => {
                    taken[other - right_entries.0] = true;
                    gather.push(1, other);
                }
                None => gather.push(0, e),
            }
        }
        let rest = taken.iter().enumerate().filter(|(_, taken)| !**taken);
        gather.extend(1, rest.map(|(place, _)| right_entries.0 + place));
        gather.finish_row(l.is_some() || r.is_some());
    }
    gather.into_maps(
        &[left.array().keys(), right.array().keys()],
        &[left.array().values(), right.array().values()],
        call.return_type,
    )
}

fn as_map(call: &Call<'_>) -> KernelResult {
    let (key_lists, value_lists) = (call.lists(0), call.lists(1));
    let keys = key_lists.array().values();
    let values = value_lists.array().values();
    let null = arrow::array::new_null_array(&element_type(call, 1).to_arrow(), 1);
    let texts = keys.as_string::<i32>();
    let mut key_picks: Vec<u32> = Vec::new();
    let mut value_picks: Vec<(usize, usize)> = Vec::new();
    let mut offsets = vec![0_i32];
    let mut valid = Vec::with_capacity(call.rows);
    for i in 0..call.rows {
        let row = key_lists.range(i).zip(value_lists.range(i));
        let count = row.map_or(0, |((from, to), _)| to - from);
        call.budget().charge(count.saturating_mul(size_of::<u32>() + size_of::<(usize, usize)>()))?;
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (n, key) in row.iter().flat_map(|((from, to), _)| *from..*to).enumerate() {
            let (_, (value_from, value_to)) = row.expect("there is a key");
            if keys.is_null(key) {
                call.environment.fail(i, "a key of a map is null");
                continue;
            }
            let value = if value_from + n < value_to { (0, value_from + n) } else { (1, 0) };
            match places.entry(texts.value(key)) {
                Entry::Occupied(known) => value_picks[*known.get()] = value,
                Entry::Vacant(new) => {
                    new.insert(value_picks.len());
                    key_picks.push(key as u32);
                    value_picks.push(value);
                }
            }
        }
        offsets.push(key_picks.len() as i32);
        valid.push(row.is_some());
    }
    let mean = |array: &ArrayRef| bytes_of(array.as_ref(), 0, array.len()) / array.len().max(1) + 16;
    call.budget().charge(key_picks.len().saturating_mul(mean(keys) + mean(values)))?;
    let keys = take(keys, &UInt32Array::from(key_picks), None)?;
    let sources: [&dyn Array; 2] = [values.as_ref(), null.as_ref()];
    let values = if value_picks.is_empty() {
        values.slice(0, 0)
    } else {
        arrow::compute::interleave(&sources, &value_picks)?
    };
    let nulls = Some(NullBuffer::from(valid));
    Ok(crate::value::convert::map_array(call.return_type, offsets, keys, values, nulls))
}
