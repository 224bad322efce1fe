//! MAX and MIN.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::datatypes::{
    Date32Type, Float64Type, Int32Type, Int64Type, Time32MillisecondType, TimestampMillisecondType,
};

use crate::functions::aggregate::fold::{Applied, Fold, built, value_bytes};
use crate::functions::aggregate::{
    AggregateArguments, AggregateFunction, AggregateSignature, BuiltAggregate,
};
use crate::types::SqlType;
use crate::value::SqlValue;
use crate::value::convert::from_array;
use crate::value::order;

pub(crate) const COMPARABLE: [&str; 9] =
    ["INT", "BIGINT", "DOUBLE", "DECIMAL", "DATE", "TIME", "TIMESTAMP", "STRING", "BYTES"];

pub(crate) fn functions() -> Vec<AggregateFunction> {
    let signatures = || {
        COMPARABLE.iter().map(|t| AggregateSignature::new(&format!("({t}) -> {t}"), 0)).collect::<Vec<_>>()
    };
    vec![
        AggregateFunction {
            name: "MAX",
            overview: "The largest value.",
            signatures: signatures(),
            supports_undo: false,
            build: |call| Ok(extreme(call, Ordering::Greater)),
        },
        AggregateFunction {
            name: "MIN",
            overview: "The smallest value.",
            signatures: signatures(),
            supports_undo: false,
            build: |call| Ok(extreme(call, Ordering::Less)),
        },
    ]
}

fn extreme(call: AggregateArguments<'_>, wanted: Ordering) -> BuiltAggregate {
    let t = call.types[0].clone();
    match t {
        SqlType::Integer => {
            built(PrimitiveExtreme::<Int32Type> { wanted, to_value: SqlValue::Integer }, t.clone(), t)
        }
        SqlType::Bigint => {
            built(PrimitiveExtreme::<Int64Type> { wanted, to_value: SqlValue::Bigint }, t.clone(), t)
        }
        SqlType::Double => {
            built(PrimitiveExtreme::<Float64Type> { wanted, to_value: SqlValue::Double }, t.clone(), t)
        }
        SqlType::Date => {
            built(PrimitiveExtreme::<Date32Type> { wanted, to_value: SqlValue::Date }, t.clone(), t)
        }
        SqlType::Time => built(
            PrimitiveExtreme::<Time32MillisecondType> { wanted, to_value: SqlValue::Time },
            t.clone(),
            t,
        ),
        SqlType::Timestamp => {
            let to_value = SqlValue::Timestamp;
            built(PrimitiveExtreme::<TimestampMillisecondType> { wanted, to_value }, t.clone(), t)
        }
        _ => built(ValueExtreme { wanted, sql_type: t.clone() }, t.clone(), t),
    }
}

/// Over columns of plain numbers. NaN is larger than every number.
#[derive(Debug)]
struct PrimitiveExtreme<T: ArrowPrimitiveType> {
    wanted: Ordering,
    to_value: fn(T::Native) -> SqlValue,
}

/// An order of all values, NaN included.
trait TotalOrder: Copy {
    fn order(self, other: Self) -> Ordering;
    fn from_value(value: &SqlValue) -> Option<Self>;
}

impl TotalOrder for i32 {
    fn order(self, other: i32) -> Ordering {
        self.cmp(&other)
    }
    fn from_value(value: &SqlValue) -> Option<i32> {
        match value {
            SqlValue::Integer(v) | SqlValue::Date(v) | SqlValue::Time(v) => Some(*v),
            _ => None,
        }
    }
}

impl TotalOrder for i64 {
    fn order(self, other: i64) -> Ordering {
        self.cmp(&other)
    }
    fn from_value(value: &SqlValue) -> Option<i64> {
        match value {
            SqlValue::Bigint(v) | SqlValue::Timestamp(v) => Some(*v),
            _ => None,
        }
    }
}

impl TotalOrder for f64 {
    fn order(self, other: f64) -> Ordering {
        self.total_cmp(&other)
    }
    fn from_value(value: &SqlValue) -> Option<f64> {
        if let SqlValue::Double(v) = value { Some(*v) } else { None }
    }
}

impl<T> Fold for PrimitiveExtreme<T>
where
    T: ArrowPrimitiveType + std::fmt::Debug,
    T::Native: TotalOrder,
{
    type State = Option<T::Native>;

    fn apply<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut Self::State, usize) -> Applied + 'a {
        let values = arguments[0].as_primitive::<T>();
        move |best, row| {
            if values.is_valid(row) {
                let value = values.value(row);
                if best.is_none_or(|b| value.order(b) == self.wanted) {
                    *best = Some(value);
                }
            }
            Ok(())
        }
    }

    fn merge(&self, into: &mut Self::State, older: &Self::State) {
        if let Some(older) = older
            && into.is_none_or(|b| older.order(b) == self.wanted)
        {
            *into = Some(*older);
        }
    }

    fn result(&self, best: &Self::State) -> SqlValue {
        best.map_or(SqlValue::Null, self.to_value)
    }

    fn save(&self, best: &Self::State) -> SqlValue {
        self.result(best)
    }

    fn load(&self, value: &SqlValue) -> Self::State {
        T::Native::from_value(value)
    }
}

/// Over any comparable type.
#[derive(Debug)]
struct ValueExtreme {
    wanted: Ordering,
    sql_type: SqlType,
}

impl Fold for ValueExtreme {
    type State = Option<SqlValue>;
    const HOLDS_VALUES: bool = true;

    fn apply<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut Self::State, usize) -> Applied + 'a {
        move |best, row| {
            if arguments[0].is_valid(row) {
                let value = from_array(&arguments[0], row, &self.sql_type);
                if best.as_ref().is_none_or(|b| order::compare(&value, b) == self.wanted) {
                    *best = Some(value);
                }
            }
            Ok(())
        }
    }

    fn merge(&self, into: &mut Self::State, older: &Self::State) {
        if let Some(older) = older
            && into.as_ref().is_none_or(|b| order::compare(older, b) == self.wanted)
        {
            *into = Some(older.clone());
        }
    }

    fn result(&self, best: &Self::State) -> SqlValue {
        best.clone().unwrap_or(SqlValue::Null)
    }

    fn save(&self, best: &Self::State) -> SqlValue {
        self.result(best)
    }

    fn load(&self, value: &SqlValue) -> Self::State {
        (!value.is_null()).then(|| value.clone())
    }

    fn heap_bytes(best: &Self::State) -> usize {
        best.as_ref().map_or(0, value_bytes)
    }
}
