//! What a scalar function is given when it runs, and helpers to read arguments and build results row by row.

use std::fmt;
use std::sync::Arc;

use arrow::array::UInt32Array;
use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryBuilder, BooleanArray, BooleanBuilder, Decimal128Array,
    Decimal256Array, ListArray, MapArray, PrimitiveArray, PrimitiveBuilder, StringArray, StringBuilder,
};
use arrow::array::{ArrowPrimitiveType, AsArray};
use arrow::compute::take;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float64Type, Int32Type, Int64Type,
    Time32MillisecondType, TimestampMillisecondType, i256,
};
use arrow::error::ArrowError;

use crate::expr::ir::TimeUnit;
use crate::functions::budget::{Budget, bytes_of};
use crate::types::SqlType;
use crate::value::DecimalValue;
use crate::value::decimal_builder::DecimalBuilder;

/// What a kernel gives back. An `Err` is a defect of the program, never a bad row: those are reported and become NULL.
pub(crate) type KernelResult = Result<ArrayRef, ArrowError>;

/// One row's result: None is NULL; an error makes the row NULL and is reported.
pub(crate) type RowResult<T> = Result<Option<T>, String>;

/// The world outside: where failing rows are reported, the clock, and randomness.
pub(crate) trait Environment {
    /// Row `row` of the call could not be computed.
    fn fail(&self, row: usize, message: &str);
    fn now_ms(&self) -> i64;
    fn random(&self) -> u64;
    /// The memory budget of the evaluation.
    fn budget(&self) -> &Budget;
}

/// A column, or one value for all rows.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) array: ArrayRef,
    /// True if `array` has one row that stands for all.
    pub(crate) scalar: bool,
}

impl Value {
    pub(crate) fn column(array: ArrayRef) -> Value {
        Value { array, scalar: false }
    }

    pub(crate) fn scalar(array: ArrayRef) -> Value {
        debug_assert_eq!(array.len(), 1);
        Value { array, scalar: true }
    }

    /// All rows written out.
    ///
    /// Errors: the copies of one value exceed the budget.
    pub(crate) fn to_array(&self, rows: usize, budget: &Budget) -> KernelResult {
        if self.scalar && rows != 1 {
            budget.charge(self.spread_bytes(rows))?;
        }
        self.spread(rows)
    }

    /// As [`Value::to_array`], for copies that are charged already.
    pub(crate) fn spread(&self, rows: usize) -> KernelResult {
        if self.scalar && rows != 1 {
            take(&self.array, &UInt32Array::from(vec![0_u32; rows]), None)
        } else {
            Ok(Arc::clone(&self.array))
        }
    }

    /// The bytes of the copies of one value; 0 for a column.
    pub(crate) fn spread_bytes(&self, rows: usize) -> usize {
        if self.scalar { bytes_of(self.array.as_ref(), 0, 1).saturating_mul(rows) } else { 0 }
    }
}

/// The body of a lambda, able to run on any number of elements.
pub(crate) trait LambdaBody {
    /// Shape: element `i` belongs to row `rows[i]` of the call; every parameter has `rows.len()` values.
    fn evaluate(&self, rows: &[u32], parameters: Vec<ArrayRef>) -> KernelResult;
}

pub(crate) enum Operand<'a> {
    Value(Value),
    Lambda(Box<dyn LambdaBody + 'a>),
    Unit(TimeUnit),
}

impl fmt::Debug for Operand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Value(value) => value.fmt(f),
            Operand::Lambda(_) => f.write_str("Lambda"),
            Operand::Unit(unit) => unit.fmt(f),
        }
    }
}

/// One call over a batch. Shape: every value operand has `rows` rows or is scalar; operands have the types of the overload.
pub(crate) struct Call<'a> {
    pub(crate) rows: usize,
    pub(crate) operands: &'a [Operand<'a>],
    /// None for lambdas and units.
    pub(crate) argument_types: &'a [Option<SqlType>],
    pub(crate) return_type: &'a SqlType,
    pub(crate) environment: &'a dyn Environment,
}

impl<'a> Call<'a> {
    pub(crate) fn count(&self) -> usize {
        self.operands.len()
    }

    pub(crate) fn value(&self, index: usize) -> &'a Value {
        match &self.operands[index] {
            Operand::Value(value) => value,
            Operand::Lambda(_) | Operand::Unit(_) => panic!("argument {index} is a value by its signature"),
        }
    }

    pub(crate) fn lambda(&self, index: usize) -> &'a dyn LambdaBody {
        match &self.operands[index] {
            Operand::Lambda(lambda) => lambda.as_ref(),
            Operand::Value(_) | Operand::Unit(_) => panic!("argument {index} is a lambda by its signature"),
        }
    }

    pub(crate) fn unit(&self, index: usize) -> TimeUnit {
        match &self.operands[index] {
            Operand::Unit(unit) => *unit,
            Operand::Value(_) | Operand::Lambda(_) => panic!("argument {index} is a unit by its signature"),
        }
    }

    pub(crate) fn argument_type(&self, index: usize) -> &'a SqlType {
        self.argument_types[index].as_ref().expect("value arguments have a type")
    }

    pub(crate) fn budget(&self) -> &'a Budget {
        self.environment.budget()
    }

    /// The argument with all rows written out.
    pub(crate) fn array(&self, index: usize) -> KernelResult {
        self.value(index).to_array(self.rows, self.budget())
    }

    pub(crate) fn strings(&self, index: usize) -> Reader<'a, StringArray> {
        Reader::new(self.value(index), AsArray::as_string_opt::<i32>(&self.value(index).array))
    }

    pub(crate) fn bytes(&self, index: usize) -> Reader<'a, BinaryArray> {
        Reader::new(self.value(index), AsArray::as_binary_opt::<i32>(&self.value(index).array))
    }

    pub(crate) fn booleans(&self, index: usize) -> Reader<'a, BooleanArray> {
        Reader::new(self.value(index), AsArray::as_boolean_opt(&self.value(index).array))
    }

    pub(crate) fn primitives<T: ArrowPrimitiveType>(&self, index: usize) -> Reader<'a, PrimitiveArray<T>> {
        Reader::new(self.value(index), AsArray::as_primitive_opt::<T>(&self.value(index).array))
    }

    pub(crate) fn ints(&self, index: usize) -> Reader<'a, PrimitiveArray<Int32Type>> {
        self.primitives(index)
    }

    pub(crate) fn longs(&self, index: usize) -> Reader<'a, PrimitiveArray<Int64Type>> {
        self.primitives(index)
    }

    pub(crate) fn doubles(&self, index: usize) -> Reader<'a, PrimitiveArray<Float64Type>> {
        self.primitives(index)
    }

    pub(crate) fn dates(&self, index: usize) -> Reader<'a, PrimitiveArray<Date32Type>> {
        self.primitives(index)
    }

    pub(crate) fn times(&self, index: usize) -> Reader<'a, PrimitiveArray<Time32MillisecondType>> {
        self.primitives(index)
    }

    pub(crate) fn timestamps(&self, index: usize) -> Reader<'a, PrimitiveArray<TimestampMillisecondType>> {
        self.primitives(index)
    }

    pub(crate) fn lists(&self, index: usize) -> Reader<'a, ListArray> {
        Reader::new(self.value(index), AsArray::as_list_opt::<i32>(&self.value(index).array))
    }

    pub(crate) fn maps(&self, index: usize) -> Reader<'a, MapArray> {
        Reader::new(self.value(index), AsArray::as_map_opt(&self.value(index).array))
    }

    pub(crate) fn decimals(&self, index: usize) -> Decimals<'a> {
        Decimals::new(self.value(index))
    }

    fn row<T>(&self, row: usize, result: RowResult<T>) -> Option<T> {
        match result {
            Ok(value) => value,
            Err(message) => {
                self.environment.fail(row, &message);
                None
            }
        }
    }

    pub(crate) fn build_strings<S: AsRef<str>>(
        &self,
        mut row: impl FnMut(usize) -> RowResult<S>,
    ) -> KernelResult {
        let mut builder = StringBuilder::with_capacity(self.rows, self.rows * 8);
        let budget = self.budget();
        budget.charge(self.rows * 8)?;
        for i in 0..self.rows {
            let value = self.row(i, row(i));
            budget.charge(value.as_ref().map_or(0, |v| v.as_ref().len()))?;
            builder.append_option(value);
        }
        Ok(Arc::new(builder.finish()))
    }

    pub(crate) fn build_bytes<S: AsRef<[u8]>>(
        &self,
        mut row: impl FnMut(usize) -> RowResult<S>,
    ) -> KernelResult {
        let mut builder = BinaryBuilder::with_capacity(self.rows, self.rows * 8);
        let budget = self.budget();
        budget.charge(self.rows * 8)?;
        for i in 0..self.rows {
            let value = self.row(i, row(i));
            budget.charge(value.as_ref().map_or(0, |v| v.as_ref().len()))?;
            builder.append_option(value);
        }
        Ok(Arc::new(builder.finish()))
    }

    pub(crate) fn build_booleans(&self, mut row: impl FnMut(usize) -> RowResult<bool>) -> KernelResult {
        let mut builder = BooleanBuilder::with_capacity(self.rows);
        for i in 0..self.rows {
            builder.append_option(self.row(i, row(i)));
        }
        Ok(Arc::new(builder.finish()))
    }

    pub(crate) fn build<T: ArrowPrimitiveType>(
        &self,
        mut row: impl FnMut(usize) -> RowResult<T::Native>,
    ) -> KernelResult {
        self.budget().charge(self.rows * size_of::<T::Native>())?;
        let mut builder = PrimitiveBuilder::<T>::with_capacity(self.rows);
        for i in 0..self.rows {
            builder.append_option(self.row(i, row(i)));
        }
        Ok(Arc::new(builder.finish()))
    }

    pub(crate) fn build_ints(&self, row: impl FnMut(usize) -> RowResult<i32>) -> KernelResult {
        self.build::<Int32Type>(row)
    }

    pub(crate) fn build_longs(&self, row: impl FnMut(usize) -> RowResult<i64>) -> KernelResult {
        self.build::<Int64Type>(row)
    }

    pub(crate) fn build_doubles(&self, row: impl FnMut(usize) -> RowResult<f64>) -> KernelResult {
        self.build::<Float64Type>(row)
    }

    pub(crate) fn build_dates(&self, row: impl FnMut(usize) -> RowResult<i32>) -> KernelResult {
        self.build::<Date32Type>(row)
    }

    pub(crate) fn build_times(&self, row: impl FnMut(usize) -> RowResult<i32>) -> KernelResult {
        self.build::<Time32MillisecondType>(row)
    }

    pub(crate) fn build_timestamps(&self, row: impl FnMut(usize) -> RowResult<i64>) -> KernelResult {
        self.build::<TimestampMillisecondType>(row)
    }

    /// Builds the call's DECIMAL result from unscaled values of its scale; values of too many digits are errors.
    pub(crate) fn build_decimals(&self, row: impl FnMut(usize) -> RowResult<i256>) -> KernelResult {
        self.decimals_by(row, DecimalBuilder::append)
    }

    /// As [`Call::build_decimals`]; a value that rounding has carried into a further digit is kept, as ksqlDB does.
    pub(crate) fn build_rounded_decimals(&self, row: impl FnMut(usize) -> RowResult<i256>) -> KernelResult {
        self.decimals_by(row, DecimalBuilder::append_carried)
    }

    fn decimals_by(
        &self,
        mut row: impl FnMut(usize) -> RowResult<i256>,
        append: fn(&mut DecimalBuilder, Option<i256>) -> Result<(), String>,
    ) -> KernelResult {
        let SqlType::Decimal { precision, scale } = *self.return_type else {
            panic!("the result of this call is a decimal by its signature");
        };
        self.budget().charge(self.rows * size_of::<i256>())?;
        let mut builder = DecimalBuilder::new(precision, scale, self.rows);
        for i in 0..self.rows {
            let value = self.row(i, row(i));
            if let Err(message) = append(&mut builder, value) {
                self.environment.fail(i, &message);
            }
        }
        builder.finish()
    }
}

/// Reads an argument row by row, whether it is a column or one value.
#[derive(Debug)]
pub(crate) struct Reader<'a, A> {
    array: &'a A,
    step: usize,
}

impl<A> Clone for Reader<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Reader<'_, A> {}

impl<'a, A: Array> Reader<'a, A> {
    fn new(value: &'a Value, array: Option<&'a A>) -> Reader<'a, A> {
        let array = array.expect("arguments have the types of the overload");
        Reader { array, step: usize::from(!value.scalar) }
    }

    /// The row of the array that holds row `row` of the call; None if it is NULL.
    pub(crate) fn index(&self, row: usize) -> Option<usize> {
        let index = row * self.step;
        self.array.is_valid(index).then_some(index)
    }

    pub(crate) fn array(&self) -> &'a A {
        self.array
    }
}

impl<'a> Reader<'a, StringArray> {
    pub(crate) fn get(&self, row: usize) -> Option<&'a str> {
        self.index(row).map(|i| self.array.value(i))
    }
}

impl<'a> Reader<'a, BinaryArray> {
    pub(crate) fn get(&self, row: usize) -> Option<&'a [u8]> {
        self.index(row).map(|i| self.array.value(i))
    }
}

impl Reader<'_, BooleanArray> {
    pub(crate) fn get(&self, row: usize) -> Option<bool> {
        self.index(row).map(|i| self.array.value(i))
    }
}

impl<T: ArrowPrimitiveType> Reader<'_, PrimitiveArray<T>> {
    pub(crate) fn get(&self, row: usize) -> Option<T::Native> {
        self.index(row).map(|i| self.array.value(i))
    }
}

impl Reader<'_, ListArray> {
    /// Start and end of the row's elements in the child array.
    pub(crate) fn range(&self, row: usize) -> Option<(usize, usize)> {
        let i = self.index(row)?;
        let offsets = self.array.value_offsets();
        Some((offsets[i] as usize, offsets[i + 1] as usize))
    }
}

impl Reader<'_, MapArray> {
    /// Start and end of the row's entries.
    pub(crate) fn range(&self, row: usize) -> Option<(usize, usize)> {
        let i = self.index(row)?;
        let offsets = self.array.value_offsets();
        Some((offsets[i] as usize, offsets[i + 1] as usize))
    }
}

/// Reads a DECIMAL argument of either Arrow width.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Decimals<'a> {
    Narrow(Reader<'a, Decimal128Array>, u8),
    Wide(Reader<'a, Decimal256Array>, u8),
}

impl<'a> Decimals<'a> {
    pub(crate) fn new(value: &'a Value) -> Decimals<'a> {
        match value.array.data_type() {
            DataType::Decimal128(_, scale) => Decimals::Narrow(
                Reader::new(value, value.array.as_primitive_opt::<Decimal128Type>()),
                *scale as u8,
            ),
            DataType::Decimal256(_, scale) => Decimals::Wide(
                Reader::new(value, value.array.as_primitive_opt::<Decimal256Type>()),
                *scale as u8,
            ),
            other => panic!("the argument is a decimal by its signature, not {other}"),
        }
    }

    pub(crate) fn get(&self, row: usize) -> Option<DecimalValue> {
        match self {
            Decimals::Narrow(reader, scale) => {
                reader.get(row).map(|v| DecimalValue { unscaled: i256::from_i128(v), scale: *scale })
            }
            Decimals::Wide(reader, scale) => {
                reader.get(row).map(|unscaled| DecimalValue { unscaled, scale: *scale })
            }
        }
    }
}
