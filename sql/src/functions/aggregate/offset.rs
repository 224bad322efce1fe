//! EARLIEST_BY_OFFSET and LATEST_BY_OFFSET.

use std::cell::Cell;

use arrow::array::{Array, ArrayRef};

use crate::functions::aggregate::fold::{Applied, Fold, built, value_bytes};
use crate::functions::aggregate::{
    AggregateArguments, AggregateFunction, AggregateSignature, BuiltAggregate,
};
use crate::types::SqlType;
use crate::value::SqlValue;
use crate::value::convert::from_array;

pub(crate) fn functions() -> Vec<AggregateFunction> {
    let signatures = || {
        vec![
            AggregateSignature::new("(T) -> T", 0),
            AggregateSignature::new("(T, BOOLEAN) -> T", 1),
            AggregateSignature::new("(T, INT) -> ARRAY<T>", 1),
            AggregateSignature::new("(T, INT, BOOLEAN) -> ARRAY<T>", 2),
        ]
    };
    vec![
        AggregateFunction {
            name: "EARLIEST_BY_OFFSET",
            overview: "The first value, or the first n, in order of arrival.",
            signatures: signatures(),
            supports_undo: false,
            build: |call| by_offset(call, End::Earliest),
        },
        AggregateFunction {
            name: "LATEST_BY_OFFSET",
            overview: "The last value, or the last n, in order of arrival.",
            signatures: signatures(),
            supports_undo: false,
            build: |call| by_offset(call, End::Latest),
        },
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Earliest,
    Latest,
}

fn by_offset(call: AggregateArguments<'_>, end: End) -> Result<BuiltAggregate, String> {
    let mut count = None;
    let mut ignore_nulls = true;
    for constant in call.constants {
        match constant.value {
            SqlValue::Integer(n) => {
                let n = usize::try_from(n).ok().filter(|n| *n > 0);
                count = Some(n.ok_or("the number of values must be 1 or more")?);
            }
            SqlValue::Boolean(flag) => ignore_nulls = flag,
            _ => {
                return Err("the constants are the number of values and whether NULLs are ignored".to_owned());
            }
        }
    }
    let value = call.types[0].clone();
    let entry = SqlType::structure([("SEQ", SqlType::Bigint), ("VAL", value.clone())]);
    let return_type = if count.is_some() { SqlType::array(value.clone()) } else { value.clone() };
    let intermediate = if count.is_some() { SqlType::array(entry) } else { entry };
    let fold = ByOffset { end, count, ignore_nulls, sql_type: value, next: Cell::new(1) };
    Ok(built(fold, return_type, intermediate))
}

#[derive(Debug)]
struct ByOffset {
    end: End,
    /// None keeps one value and gives it without an array.
    count: Option<usize>,
    ignore_nulls: bool,
    sql_type: SqlType,
    /// The number of the next row, so that states of merged sessions can be put in order.
    next: Cell<i64>,
}

/// Values with the numbers of their rows, ascending.
type Numbered = Vec<(i64, SqlValue)>;

impl ByOffset {
    fn limit(&self) -> usize {
        self.count.unwrap_or(1)
    }

    fn trim(&self, list: &mut Numbered) {
        let limit = self.limit();
        if list.len() > limit {
            match self.end {
                End::Earliest => list.truncate(limit),
                End::Latest => drop(list.drain(..list.len() - limit)),
            }
        }
    }

    fn entry(seq: i64, value: SqlValue) -> SqlValue {
        SqlValue::Struct(vec![SqlValue::Bigint(seq), value])
    }
}

fn read_entry(value: &SqlValue) -> Option<(i64, SqlValue)> {
    match value {
        SqlValue::Struct(fields) => match fields.as_slice() {
            [SqlValue::Bigint(seq), value] => Some((*seq, value.clone())),
            _ => None,
        },
        _ => None,
    }
}

impl Fold for ByOffset {
    type State = Numbered;
    const HOLDS_VALUES: bool = true;

    fn apply<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut Numbered, usize) -> Applied + 'a {
        move |list, row| {
            let skipped = self.ignore_nulls && arguments[0].is_null(row);
            let full = self.end == End::Earliest && list.len() >= self.limit();
            if !skipped && !full {
                let seq = self.next.replace(self.next.get() + 1);
                list.push((seq, from_array(&arguments[0], row, &self.sql_type)));
                self.trim(list);
            }
            Ok(())
        }
    }

    fn merge(&self, into: &mut Numbered, older: &Numbered) {
        into.extend(older.iter().cloned());
        into.sort_by_key(|(seq, _)| *seq);
        self.trim(into);
    }

    fn result(&self, list: &Numbered) -> SqlValue {
        match self.count {
            Some(_) => SqlValue::Array(list.iter().map(|(_, value)| value.clone()).collect()),
            None => list.first().map_or(SqlValue::Null, |(_, value)| value.clone()),
        }
    }

    fn save(&self, list: &Numbered) -> SqlValue {
        let entries = || list.iter().map(|(seq, value)| ByOffset::entry(*seq, value.clone()));
        match self.count {
            Some(_) => SqlValue::Array(entries().collect()),
            None => entries().next().unwrap_or(SqlValue::Null),
        }
    }

    fn load(&self, value: &SqlValue) -> Numbered {
        let list: Numbered = match value {
            SqlValue::Array(items) => items.iter().filter_map(read_entry).collect(),
            other => read_entry(other).into_iter().collect(),
        };
        // Rows to come are newer than every row of the store.
        let newest = list.iter().map(|(seq, _)| seq + 1).max().unwrap_or(1);
        self.next.set(newest.max(self.next.get()));
        list
    }

    fn heap_bytes(list: &Numbered) -> usize {
        list.iter().map(|(_, value)| value_bytes(value) + 8).sum()
    }
}
