//! COUNT, SUM, AVG and SUM_LIST.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Decimal128Type, Decimal256Type, Float64Type, Int32Type, Int64Type, i256};

use crate::functions::aggregate::fold::{Applied, Fold, built};
use crate::functions::aggregate::{
    AggregateArguments, AggregateFunction, AggregateSignature, BuiltAggregate,
};
use crate::types::SqlType;
use crate::value::decimal::power_of_ten_i256;
use crate::value::{DecimalValue, SqlValue};

pub(crate) fn functions() -> Vec<AggregateFunction> {
    let numbers = |extra: &[&str], result: fn(&str) -> String| {
        ["INT", "BIGINT", "DOUBLE"]
            .iter()
            .chain(extra)
            .map(|t| AggregateSignature::new(&format!("({t}) -> {}", result(t)), 0))
            .collect::<Vec<_>>()
    };
    vec![
        AggregateFunction {
            name: "COUNT",
            overview: "The number of rows, or of values that are not NULL.",
            signatures: vec![
                AggregateSignature::new("(T) -> BIGINT", 0),
                AggregateSignature::new("() -> BIGINT", 0),
            ],
            supports_undo: true,
            build: |_| Ok(built(Count, SqlType::Bigint, SqlType::Bigint)),
        },
        AggregateFunction {
            name: "SUM",
            overview: "The sum of the values.",
            signatures: numbers(&["DECIMAL"], str::to_owned),
            supports_undo: true,
            build: sum,
        },
        AggregateFunction {
            name: "AVG",
            overview: "The average of the values.",
            signatures: numbers(&[], |_| "DOUBLE".to_owned()),
            supports_undo: true,
            build: average,
        },
        AggregateFunction {
            name: "SUM_LIST",
            overview: "The sum of all elements of all arrays.",
            signatures: ["INT", "BIGINT", "DOUBLE"]
                .iter()
                .map(|t| AggregateSignature::new(&format!("(ARRAY<{t}>) -> {t}"), 0))
                .collect(),
            supports_undo: true,
            build: sum_list,
        },
    ]
}

#[derive(Debug)]
struct Count;

impl Fold for Count {
    type State = i64;

    fn apply<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut i64, usize) -> Applied + 'a {
        let argument = arguments.first();
        move |count, row| {
            *count += i64::from(argument.is_none_or(|a| a.is_valid(row)));
            Ok(())
        }
    }

    fn undo<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut i64, usize) -> Applied + 'a {
        let argument = arguments.first();
        move |count, row| {
            *count -= i64::from(argument.is_none_or(|a| a.is_valid(row)));
            Ok(())
        }
    }

    fn merge(&self, into: &mut i64, older: &i64) {
        *into += older;
    }

    fn result(&self, count: &i64) -> SqlValue {
        SqlValue::Bigint(*count)
    }

    fn save(&self, count: &i64) -> SqlValue {
        SqlValue::Bigint(*count)
    }

    fn load(&self, value: &SqlValue) -> i64 {
        match value {
            SqlValue::Bigint(count) => *count,
            _ => 0,
        }
    }
}

fn sum(call: AggregateArguments<'_>) -> Result<BuiltAggregate, String> {
    let sql_type = call.types[0].clone();
    Ok(match &sql_type {
        SqlType::Integer => built(Sum::<i32>::default(), SqlType::Integer, SqlType::Integer),
        SqlType::Bigint => built(Sum::<i64>::default(), SqlType::Bigint, SqlType::Bigint),
        SqlType::Double => built(Sum::<f64>::default(), SqlType::Double, SqlType::Double),
        SqlType::Decimal { precision, scale } => {
            let limit = power_of_ten_i256(u32::from(*precision)).unwrap_or(i256::MAX);
            built(
                DecimalSum { limit, precision: *precision, scale: *scale },
                sql_type.clone(),
                sql_type.clone(),
            )
        }
        other => return Err(format!("SUM does not take {other}")),
    })
}

fn sum_list(call: AggregateArguments<'_>) -> Result<BuiltAggregate, String> {
    let SqlType::Array(element) = &call.types[0] else { return Err("SUM_LIST takes arrays".to_owned()) };
    let element = element.as_ref().clone();
    Ok(match element {
        SqlType::Integer => built(SumList::<i32>::default(), element.clone(), element),
        SqlType::Bigint => built(SumList::<i64>::default(), element.clone(), element),
        _ => built(SumList::<f64>::default(), SqlType::Double, SqlType::Double),
    })
}

/// Numbers that add up: integers wrap.
trait Addend: Copy + Default + std::fmt::Debug + Send + Sync + 'static {
    type Arrow: arrow::array::ArrowPrimitiveType<Native = Self>;
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn to_value(self) -> SqlValue;
    fn from_value(value: &SqlValue) -> Self;
}

impl Addend for i32 {
    type Arrow = Int32Type;
    fn plus(self, other: i32) -> i32 {
        self.wrapping_add(other)
    }
    fn minus(self, other: i32) -> i32 {
        self.wrapping_sub(other)
    }
    fn to_value(self) -> SqlValue {
        SqlValue::Integer(self)
    }
    fn from_value(value: &SqlValue) -> i32 {
        if let SqlValue::Integer(v) = value { *v } else { 0 }
    }
}

impl Addend for i64 {
    type Arrow = Int64Type;
    fn plus(self, other: i64) -> i64 {
        self.wrapping_add(other)
    }
    fn minus(self, other: i64) -> i64 {
        self.wrapping_sub(other)
    }
    fn to_value(self) -> SqlValue {
        SqlValue::Bigint(self)
    }
    fn from_value(value: &SqlValue) -> i64 {
        if let SqlValue::Bigint(v) = value { *v } else { 0 }
    }
}

impl Addend for f64 {
    type Arrow = Float64Type;
    fn plus(self, other: f64) -> f64 {
        self + other
    }
    fn minus(self, other: f64) -> f64 {
        self - other
    }
    fn to_value(self) -> SqlValue {
        SqlValue::Double(self)
    }
    fn from_value(value: &SqlValue) -> f64 {
        if let SqlValue::Double(v) = value { *v } else { 0.0 }
    }
}

#[derive(Debug, Default)]
struct Sum<T>(std::marker::PhantomData<T>);

impl<T: Addend> Fold for Sum<T> {
    type State = T;

    fn apply<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut T, usize) -> Applied + 'a {
        let values = arguments[0].as_primitive::<T::Arrow>();
        move |sum, row| {
            if values.is_valid(row) {
                *sum = sum.plus(values.value(row));
            }
            Ok(())
        }
    }

    fn undo<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut T, usize) -> Applied + 'a {
        let values = arguments[0].as_primitive::<T::Arrow>();
        move |sum, row| {
            if values.is_valid(row) {
                *sum = sum.minus(values.value(row));
            }
            Ok(())
        }
    }

    fn merge(&self, into: &mut T, older: &T) {
        *into = older.plus(*into);
    }

    fn result(&self, sum: &T) -> SqlValue {
        sum.to_value()
    }

    fn save(&self, sum: &T) -> SqlValue {
        sum.to_value()
    }

    fn load(&self, value: &SqlValue) -> T {
        T::from_value(value)
    }
}

#[derive(Debug, Default)]
struct SumList<T>(std::marker::PhantomData<T>);

/// The sum of the elements of one row's array; zero if it is NULL.
fn list_sum<T: Addend>(array: &ArrayRef, row: usize) -> T {
    let list = array.as_list::<i32>();
    if list.is_null(row) {
        return T::default();
    }
    let elements = list.values().as_primitive::<T::Arrow>();
    let range = list.value_offsets()[row] as usize..list.value_offsets()[row + 1] as usize;
    range.filter(|i| elements.is_valid(*i)).fold(T::default(), |sum, i| sum.plus(elements.value(i)))
}

impl<T: Addend> Fold for SumList<T> {
    type State = T;

    fn apply<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut T, usize) -> Applied + 'a {
        move |sum, row| {
            *sum = sum.plus(list_sum(&arguments[0], row));
            Ok(())
        }
    }

    fn undo<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut T, usize) -> Applied + 'a {
        move |sum, row| {
            *sum = sum.minus(list_sum(&arguments[0], row));
            Ok(())
        }
    }

    fn merge(&self, into: &mut T, older: &T) {
        *into = older.plus(*into);
    }

    fn result(&self, sum: &T) -> SqlValue {
        sum.to_value()
    }

    fn save(&self, sum: &T) -> SqlValue {
        sum.to_value()
    }

    fn load(&self, value: &SqlValue) -> T {
        T::from_value(value)
    }
}

/// A sum that may not outgrow the precision of its type: the row that would is refused.
#[derive(Debug)]
struct DecimalSum {
    limit: i256,
    precision: u8,
    scale: u8,
}

/// Row `row` of a decimal column of either width.
fn unscaled(array: &ArrayRef, row: usize) -> Option<i256> {
    if array.is_null(row) {
        return None;
    }
    match array.as_primitive_opt::<Decimal128Type>() {
        Some(narrow) => Some(i256::from_i128(narrow.value(row))),
        None => Some(array.as_primitive::<Decimal256Type>().value(row)),
    }
}

impl DecimalSum {
    fn checked(&self, sum: Option<i256>) -> Result<i256, String> {
        sum.filter(|s| *s < self.limit && *s > self.limit.wrapping_neg()).ok_or_else(|| {
            format!(
                "numeric field overflow: the sum does not fit DECIMAL({}, {})",
                self.precision, self.scale
            )
        })
    }
}

impl Fold for DecimalSum {
    type State = I256;

    fn apply<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut I256, usize) -> Applied + 'a {
        move |sum, row| {
            if let Some(value) = unscaled(&arguments[0], row) {
                sum.0 = self.checked(sum.0.checked_add(value))?;
            }
            Ok(())
        }
    }

    fn undo<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut I256, usize) -> Applied + 'a {
        move |sum, row| {
            if let Some(value) = unscaled(&arguments[0], row) {
                sum.0 = self.checked(sum.0.checked_sub(value))?;
            }
            Ok(())
        }
    }

    fn merge(&self, into: &mut I256, older: &I256) {
        // Past the precision the sum of two sessions stays that of the newer one.
        if let Ok(sum) = self.checked(older.0.checked_add(into.0)) {
            into.0 = sum;
        }
    }

    fn result(&self, sum: &I256) -> SqlValue {
        SqlValue::Decimal(DecimalValue { unscaled: sum.0, scale: self.scale })
    }

    fn save(&self, sum: &I256) -> SqlValue {
        self.result(sum)
    }

    fn load(&self, value: &SqlValue) -> I256 {
        match value {
            SqlValue::Decimal(v) => I256(v.unscaled),
            _ => I256::default(),
        }
    }
}

/// An unscaled sum, zero at first.
#[derive(Clone, Copy, Debug)]
struct I256(i256);

impl Default for I256 {
    fn default() -> I256 {
        I256(i256::ZERO)
    }
}

fn average(call: AggregateArguments<'_>) -> Result<BuiltAggregate, String> {
    let state = |sum| SqlType::structure([("SUM", sum), ("COUNT", SqlType::Bigint)]);
    Ok(match call.types[0] {
        SqlType::Integer => built(Average::<i32>::default(), SqlType::Double, state(SqlType::Bigint)),
        SqlType::Bigint => built(Average::<i64>::default(), SqlType::Double, state(SqlType::Bigint)),
        _ => built(Average::<f64>::default(), SqlType::Double, state(SqlType::Double)),
    })
}

/// A number that is averaged, and the number its values are summed in.
trait Averaged: Copy + Default + std::fmt::Debug + Send + Sync + 'static {
    type Arrow: arrow::array::ArrowPrimitiveType<Native = Self>;
    type Total: Addend;
    fn widen(self) -> Self::Total;
    fn to_f64(total: Self::Total) -> f64;
}

impl Averaged for i32 {
    type Arrow = Int32Type;
    type Total = i64;
    fn widen(self) -> i64 {
        i64::from(self)
    }
    fn to_f64(total: i64) -> f64 {
        total as f64
    }
}

impl Averaged for i64 {
    type Arrow = Int64Type;
    type Total = i64;
    fn widen(self) -> i64 {
        self
    }
    fn to_f64(total: i64) -> f64 {
        total as f64
    }
}

impl Averaged for f64 {
    type Arrow = Float64Type;
    type Total = f64;
    fn widen(self) -> f64 {
        self
    }
    fn to_f64(total: f64) -> f64 {
        total
    }
}

#[derive(Debug, Default)]
struct Average<T>(std::marker::PhantomData<T>);

impl<T: Averaged> Fold for Average<T> {
    /// Sum and count.
    type State = (T::Total, i64);

    fn apply<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut Self::State, usize) -> Applied + 'a {
        let values = arguments[0].as_primitive::<T::Arrow>();
        move |(sum, count), row| {
            if values.is_valid(row) {
                *sum = sum.plus(values.value(row).widen());
                *count += 1;
            }
            Ok(())
        }
    }

    fn undo<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut Self::State, usize) -> Applied + 'a {
        let values = arguments[0].as_primitive::<T::Arrow>();
        move |(sum, count), row| {
            if values.is_valid(row) {
                *sum = sum.minus(values.value(row).widen());
                *count -= 1;
            }
            Ok(())
        }
    }

    fn merge(&self, into: &mut Self::State, older: &Self::State) {
        *into = (older.0.plus(into.0), older.1 + into.1);
    }

    fn result(&self, (sum, count): &Self::State) -> SqlValue {
        SqlValue::Double(if *count == 0 { 0.0 } else { T::to_f64(*sum) / *count as f64 })
    }

    fn save(&self, (sum, count): &Self::State) -> SqlValue {
        SqlValue::Struct(vec![sum.to_value(), SqlValue::Bigint(*count)])
    }

    fn load(&self, value: &SqlValue) -> Self::State {
        match value {
            SqlValue::Struct(fields) if fields.len() == 2 => {
                (T::Total::from_value(&fields[0]), i64::from_value(&fields[1]))
            }
            _ => Self::State::default(),
        }
    }
}
