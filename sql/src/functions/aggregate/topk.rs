//! TOPK and TOPKDISTINCT.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef};

use crate::functions::aggregate::counted::CountedList;
use crate::functions::aggregate::extreme::COMPARABLE;
use crate::functions::aggregate::fold::{Applied, Fold, built};
use crate::functions::aggregate::{
    AggregateArguments, AggregateFunction, AggregateSignature, BuiltAggregate,
};
use crate::types::SqlType;
use crate::value::SqlValue;
use crate::value::convert::from_array;
use crate::value::order;

pub(crate) fn functions() -> Vec<AggregateFunction> {
    let mut topk = Vec::new();
    for t in ["INT", "BIGINT", "DOUBLE", "STRING"] {
        topk.push(AggregateSignature::new(&format!("({t}, INT) -> ARRAY<{t}>"), 1));
        // The result's element is a struct; see `top`.
        topk.push(AggregateSignature::new(&format!("({t}, ANY, ANY..., INT) -> ARRAY<ANY>"), 1));
    }
    vec![
        AggregateFunction {
            name: "TOPK",
            overview: "The k largest values, or the rows that have them.",
            signatures: topk,
            supports_undo: false,
            build: |call| top(call, false),
        },
        AggregateFunction {
            name: "TOPKDISTINCT",
            overview: "The k largest distinct values.",
            signatures: COMPARABLE
                .iter()
                .map(|t| AggregateSignature::new(&format!("({t}, INT) -> ARRAY<{t}>"), 1))
                .collect(),
            supports_undo: false,
            build: |call| top(call, true),
        },
    ]
}

/// Rows of more than one column become structs of `sort_col`, `col0`, `col1`, ….
fn top(call: AggregateArguments<'_>, distinct: bool) -> Result<BuiltAggregate, String> {
    let k = match call.constants.first().map(|c| &c.value) {
        Some(SqlValue::Integer(k)) => usize::try_from(*k).ok().filter(|k| *k > 0),
        _ => None,
    };
    let k = k.ok_or("k must be a positive INTEGER")?;
    let element = if call.types.len() == 1 {
        call.types[0].clone()
    } else {
        let others = call.types[1..].iter().enumerate().map(|(i, t)| (format!("col{i}"), t.clone()));
        SqlType::structure(std::iter::once(("sort_col".to_owned(), call.types[0].clone())).chain(others))
    };
    let list = SqlType::array(element);
    Ok(built(Top { k, distinct, types: call.types.to_vec() }, list.clone(), list))
}

#[derive(Debug)]
struct Top {
    k: usize,
    distinct: bool,
    types: Vec<SqlType>,
}

impl Top {
    fn key<'a>(&self, item: &'a SqlValue) -> &'a SqlValue {
        match item {
            SqlValue::Struct(fields) if self.types.len() > 1 => fields.first().unwrap_or(item),
            _ => item,
        }
    }

    /// Keeps the list descending; among equals the earlier stays in front.
    fn add(&self, list: &mut CountedList, item: SqlValue) {
        let smaller = |other: &SqlValue| order::compare(self.key(other), self.key(&item)) == Ordering::Less;
        let at = list.iter().position(smaller).unwrap_or(list.len());
        let present = at > 0 && order::compare(self.key(&list[at - 1]), self.key(&item)).is_eq();
        if at >= self.k || self.distinct && present {
            return;
        }
        list.insert(at, item);
        list.truncate(self.k);
    }
}

impl Fold for Top {
    type State = CountedList;
    const HOLDS_VALUES: bool = true;

    fn apply<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut Self::State, usize) -> Applied + 'a {
        move |list, row| {
            if arguments[0].is_null(row) {
                return Ok(());
            }
            let mut values = arguments.iter().zip(&self.types).map(|(array, t)| from_array(array, row, t));
            let item = if self.types.len() == 1 {
                values.next().unwrap_or(SqlValue::Null)
            } else {
                SqlValue::Struct(values.collect())
            };
            self.add(list, item);
            Ok(())
        }
    }

    fn merge(&self, into: &mut Self::State, older: &Self::State) {
        let newer = std::mem::replace(into, older.clone());
        for item in newer.into_items() {
            self.add(into, item);
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
