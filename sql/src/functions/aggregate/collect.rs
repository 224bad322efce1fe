//! COLLECT_LIST, COLLECT_SET, HISTOGRAM and ATTR.

use arrow::array::{Array, ArrayRef, AsArray};
use indexmap::IndexMap;

use crate::functions::aggregate::counted::CountedList;
use crate::functions::aggregate::fold::{Applied, Fold, built, value_bytes};
use crate::functions::aggregate::{AggregateFunction, AggregateSignature};
use crate::types::SqlType;
use crate::value::SqlValue;
use crate::value::convert::from_array;
use crate::value::order;

pub(crate) fn functions() -> Vec<AggregateFunction> {
    vec![
        AggregateFunction {
            name: "COLLECT_LIST",
            overview: "All values in order of arrival.",
            signatures: vec![AggregateSignature::new("(T) -> ARRAY<T>", 0)],
            supports_undo: true,
            build: |call| {
                let list = SqlType::array(call.types[0].clone());
                let fold =
                    CollectList { element: call.types[0].clone(), limit: call.options.collect_list_limit };
                Ok(built(fold, list.clone(), list))
            },
        },
        AggregateFunction {
            name: "COLLECT_SET",
            overview: "The distinct values in order of arrival.",
            signatures: vec![AggregateSignature::new("(T) -> ARRAY<T>", 0)],
            supports_undo: false,
            build: |call| {
                let list = SqlType::array(call.types[0].clone());
                let fold =
                    CollectSet { element: call.types[0].clone(), limit: call.options.collect_set_limit };
                Ok(built(fold, list.clone(), list))
            },
        },
        AggregateFunction {
            name: "HISTOGRAM",
            overview: "How often each value occurs, for up to 1000 values.",
            signatures: vec![AggregateSignature::new("(STRING) -> MAP<STRING, BIGINT>", 0)],
            supports_undo: true,
            build: |_| {
                let counts = SqlType::map(SqlType::String, SqlType::Bigint);
                Ok(built(Histogram, counts.clone(), counts))
            },
        },
        AggregateFunction {
            name: "ATTR",
            overview: "The one value that all rows share, or NULL.",
            signatures: vec![AggregateSignature::new("(T) -> T", 0)],
            supports_undo: true,
            build: |call| {
                let value = call.types[0].clone();
                let entry = SqlType::structure([("VALUE", value.clone()), ("COUNT", SqlType::Integer)]);
                Ok(built(Attr { sql_type: value.clone() }, value, SqlType::array(entry)))
            },
        },
    ]
}

fn same(left: &SqlValue, right: &SqlValue) -> bool {
    order::compare(left, right).is_eq()
}

fn load_array(value: &SqlValue) -> Vec<SqlValue> {
    match value {
        SqlValue::Array(items) => items.clone(),
        _ => Vec::new(),
    }
}

#[derive(Debug)]
struct CollectList {
    element: SqlType,
    limit: Option<usize>,
}

impl Fold for CollectList {
    type State = CountedList;
    const HOLDS_VALUES: bool = true;

    fn apply<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut Self::State, usize) -> Applied + 'a {
        move |list, row| {
            if self.limit.is_none_or(|limit| list.len() < limit) {
                list.push(from_array(&arguments[0], row, &self.element));
            }
            Ok(())
        }
    }

    fn undo<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut Self::State, usize) -> Applied + 'a {
        move |list, row| {
            let value = from_array(&arguments[0], row, &self.element);
            if let Some(at) = list.iter().rposition(|v| same(v, &value)) {
                list.remove(at);
            }
            Ok(())
        }
    }

    fn merge(&self, into: &mut Self::State, older: &Self::State) {
        let newer = std::mem::replace(into, older.clone());
        newer.into_items().into_iter().for_each(|value| into.push(value));
        if let Some(limit) = self.limit {
            into.truncate(limit);
        }
    }

    fn result(&self, list: &Self::State) -> SqlValue {
        list.to_value()
    }

    fn save(&self, list: &Self::State) -> SqlValue {
        list.to_value()
    }

    fn load(&self, value: &SqlValue) -> Self::State {
        CountedList::load(value)
    }

    fn heap_bytes(list: &Self::State) -> usize {
        list.bytes()
    }
}

#[derive(Debug)]
struct CollectSet {
    element: SqlType,
    limit: Option<usize>,
}

impl CollectSet {
    fn add(&self, set: &mut CountedList, value: SqlValue) {
        let room = self.limit.is_none_or(|limit| set.len() < limit);
        if room && !set.iter().any(|v| same(v, &value)) {
            set.push(value);
        }
    }
}

impl Fold for CollectSet {
    type State = CountedList;
    const HOLDS_VALUES: bool = true;

    fn apply<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut Self::State, usize) -> Applied + 'a {
        move |set, row| {
            self.add(set, from_array(&arguments[0], row, &self.element));
            Ok(())
        }
    }

    fn merge(&self, into: &mut Self::State, older: &Self::State) {
        let newer = std::mem::replace(into, older.clone());
        for value in newer.into_items() {
            self.add(into, value);
        }
    }

    fn result(&self, set: &Self::State) -> SqlValue {
        set.to_value()
    }

    fn save(&self, set: &Self::State) -> SqlValue {
        set.to_value()
    }

    fn load(&self, value: &SqlValue) -> Self::State {
        CountedList::load(value)
    }

    fn heap_bytes(set: &Self::State) -> usize {
        set.bytes()
    }
}

/// Values that a histogram counts; further ones are ignored.
const HISTOGRAM_VALUES_MAX: usize = 1000;

/// The key that NULL is counted under: a map has no NULL keys.
const HISTOGRAM_NULL_KEY: &str = "null";

/// Bytes of an entry of a histogram besides its text, about.
const HISTOGRAM_ENTRY_BYTES: usize = 48;

#[derive(Debug)]
struct Histogram;

/// How often each text occurs, and the bytes that this takes.
#[derive(Clone, Debug, Default)]
struct Occurrences {
    counts: IndexMap<String, i64>,
    bytes: usize,
}

impl Occurrences {
    /// Texts beyond those that a histogram counts are left out.
    fn add(&mut self, text: &str, count: i64) {
        if let Some(sum) = self.counts.get_mut(text) {
            *sum = sum.wrapping_add(count);
        } else if self.counts.len() < HISTOGRAM_VALUES_MAX {
            self.counts.insert(text.to_owned(), count);
            self.bytes += text.len() + HISTOGRAM_ENTRY_BYTES;
        }
    }

    fn take_back(&mut self, text: &str) {
        let Some(count) = self.counts.get_mut(text) else { return };
        *count -= 1;
        if *count < 1 {
            self.counts.shift_remove(text);
            self.bytes -= text.len() + HISTOGRAM_ENTRY_BYTES;
        }
    }
}

impl Fold for Histogram {
    type State = Occurrences;
    const HOLDS_VALUES: bool = true;

    fn apply<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut Self::State, usize) -> Applied + 'a {
        let values = arguments[0].as_string::<i32>();
        move |state, row| {
            let value = if values.is_valid(row) { values.value(row) } else { HISTOGRAM_NULL_KEY };
            state.add(value, 1);
            Ok(())
        }
    }

    fn undo<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut Self::State, usize) -> Applied + 'a {
        let values = arguments[0].as_string::<i32>();
        move |state, row| {
            let value = if values.is_valid(row) { values.value(row) } else { HISTOGRAM_NULL_KEY };
            state.take_back(value);
            Ok(())
        }
    }

    fn merge(&self, into: &mut Self::State, older: &Self::State) {
        let newer = std::mem::replace(into, older.clone());
        newer.counts.iter().for_each(|(value, count)| into.add(value, *count));
    }

    fn result(&self, state: &Self::State) -> SqlValue {
        let entry =
            |(value, count): (&String, &i64)| (SqlValue::String(value.clone()), SqlValue::Bigint(*count));
        SqlValue::Map(state.counts.iter().map(entry).collect())
    }

    fn save(&self, state: &Self::State) -> SqlValue {
        self.result(state)
    }

    fn load(&self, value: &SqlValue) -> Self::State {
        let mut state = Occurrences::default();
        let SqlValue::Map(entries) = value else { return state };
        for entry in entries {
            if let (SqlValue::String(value), SqlValue::Bigint(count)) = entry {
                state.add(value, *count);
            }
        }
        state
    }

    fn heap_bytes(state: &Self::State) -> usize {
        state.bytes
    }
}

/// Counts the distinct values, of which NULL is one.
#[derive(Debug)]
struct Attr {
    sql_type: SqlType,
}

impl Fold for Attr {
    type State = Vec<(SqlValue, i32)>;
    const HOLDS_VALUES: bool = true;

    fn apply<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut Self::State, usize) -> Applied + 'a {
        move |counts, row| {
            let value = from_array(&arguments[0], row, &self.sql_type);
            add(counts, value, 1);
            Ok(())
        }
    }

    fn undo<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut Self::State, usize) -> Applied + 'a {
        move |counts, row| {
            let value = from_array(&arguments[0], row, &self.sql_type);
            if let Some(at) = counts.iter().position(|(v, _)| same(v, &value)) {
                counts[at].1 -= 1;
                if counts[at].1 < 1 {
                    counts.remove(at);
                }
            }
            Ok(())
        }
    }

    fn merge(&self, into: &mut Self::State, older: &Self::State) {
        for (value, count) in older {
            add(into, value.clone(), *count);
        }
    }

    fn result(&self, counts: &Self::State) -> SqlValue {
        match counts.as_slice() {
            [(value, _)] => value.clone(),
            _ => SqlValue::Null,
        }
    }

    fn save(&self, counts: &Self::State) -> SqlValue {
        let entry = |(value, count): &(SqlValue, i32)| {
            SqlValue::Struct(vec![value.clone(), SqlValue::Integer(*count)])
        };
        SqlValue::Array(counts.iter().map(entry).collect())
    }

    fn load(&self, value: &SqlValue) -> Self::State {
        load_array(value)
            .into_iter()
            .filter_map(|entry| match entry {
                SqlValue::Struct(mut fields) if fields.len() == 2 => match fields.pop() {
                    Some(SqlValue::Integer(count)) => Some((fields.pop()?, count)),
                    _ => None,
                },
                _ => None,
            })
            .collect()
    }

    fn heap_bytes(counts: &Self::State) -> usize {
        counts.iter().map(|(v, _)| value_bytes(v)).sum()
    }
}

fn add(counts: &mut Vec<(SqlValue, i32)>, value: SqlValue, count: i32) {
    match counts.iter_mut().find(|(v, _)| same(v, &value)) {
        Some((_, present)) => *present += count,
        None => counts.push((value, count)),
    }
}
