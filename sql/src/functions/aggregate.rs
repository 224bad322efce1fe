//! What the engine asks of aggregate functions.

pub(crate) mod collect;
pub(crate) mod count_distinct;
pub(crate) mod counted;
pub(crate) mod extreme;
pub(crate) mod fold;
pub(crate) mod numeric;
pub(crate) mod offset;
pub(crate) mod statistics;
pub(crate) mod topk;

use std::fmt;

use arrow::array::ArrayRef;

use crate::functions::error::FunctionError;
use crate::functions::signature::Signature;
use crate::types::SqlType;
use crate::value::{Literal, SqlValue};

/// A row that an aggregate could not take: the row keeps its group as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct RowError {
    /// Index into the arguments of the call.
    pub row: usize,
    pub message: String,
}

/// The state of one aggregate call (`SUM(x)`) for many groups, each addressed by a dense slot number.
///
/// The engine owns the slots: it maps (key, window) to a slot, loads a slot from the store on a miss, reads it back
/// with [`GroupsAccumulator::save`] at commit, and reuses it with [`GroupsAccumulator::reset`].
///
/// Invariant: rows are applied in order, so that order-sensitive functions (LATEST_BY_OFFSET, COLLECT_LIST) see arrival order,
/// and the result does not depend on how rows were cut into calls.
pub trait GroupsAccumulator: Send + fmt::Debug {
    /// Makes slots `0..slots` addressable; new ones are empty.
    fn resize(&mut self, slots: usize);

    /// Empties a slot for reuse.
    fn reset(&mut self, slot: u32);

    /// Applies row `i` of `arguments` to `slots[i]`, in order. Shape: every argument has `slots.len()` rows.
    /// Errors: rows that could not be applied (overflow of a DECIMAL sum), their slots unchanged.
    fn update(&mut self, slots: &[u32], arguments: &[ArrayRef]) -> Vec<RowError>;

    /// As [`GroupsAccumulator::update`], and gives the result of `slots[i]` right after row `i` was applied.
    /// Used when every change is emitted.
    fn update_and_evaluate(&mut self, slots: &[u32], arguments: &[ArrayRef]) -> (ArrayRef, Vec<RowError>);

    /// Takes rows back (aggregations of tables). Only called if the function supports it.
    fn undo(&mut self, slots: &[u32], arguments: &[ArrayRef]) -> Vec<RowError>;

    /// Adds the state of slot `from` to slot `into` (`from` is the older session).
    fn merge(&mut self, into: u32, from: u32);

    /// The current results of these slots. Shape: one row per slot, of the call's return type.
    fn evaluate(&self, slots: &[u32]) -> ArrayRef;

    /// The state as a value of the call's intermediate type.
    fn save(&self, slot: u32) -> SqlValue;

    /// Replaces the state of a slot by one that `save` gave.
    fn load(&mut self, slot: u32, state: &SqlValue);

    /// The state of many slots as a column of the intermediate type, for batched commits. Shape: one row per slot.
    fn save_batch(&self, slots: &[u32]) -> ArrayRef;

    /// The inverse of `save_batch`: row `i` becomes the state of `slots[i]`.
    fn load_batch(&mut self, slots: &[u32], states: &ArrayRef);

    /// Bytes of memory held, roughly.
    fn memory_bytes(&self) -> usize;

    /// Bytes that the states of all slots hold besides their places, roughly.
    fn heap_bytes(&self) -> usize;

    /// The part of [`GroupsAccumulator::heap_bytes`] that one slot holds.
    fn slot_bytes(&self, slot: u32) -> usize;

    /// True if results are made of the values of rows: a result is then about as large as its state, and a row adds to it no
    /// more than its arguments.
    fn holds_values(&self) -> bool;
}

/// An aggregate function with its overload chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedAggregate {
    /// Types the arguments must be cast to (same length as the arguments given, without the constants).
    pub argument_types: Vec<SqlType>,
    pub return_type: SqlType,
    /// What is kept in the store, and must be expressible in the query's value format.
    pub intermediate_type: SqlType,
    /// True if rows can be taken back, which sources that are tables need.
    pub supports_undo: bool,
}

/// One way to call an aggregate: the trailing `constants` parameters must be literals.
#[derive(Clone, Debug)]
pub(crate) struct AggregateSignature {
    pub(crate) signature: Signature,
    pub(crate) constants: usize,
}

impl AggregateSignature {
    pub(crate) fn new(signature: &str, constants: usize) -> AggregateSignature {
        AggregateSignature { signature: Signature::parse(signature), constants }
    }
}

/// Limits of a session, from its properties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AggregateOptions {
    /// `ksql.functions.collect_list.limit`; None is unlimited.
    pub collect_list_limit: Option<usize>,
    /// `ksql.functions.collect_set.limit`; None is unlimited.
    pub collect_set_limit: Option<usize>,
}

/// What a call is made of, once its overload is chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AggregateArguments<'a> {
    pub(crate) types: &'a [SqlType],
    pub(crate) constants: &'a [Literal],
    pub(crate) options: AggregateOptions,
}

/// An aggregate function of the registry.
#[derive(Debug)]
pub(crate) struct AggregateFunction {
    pub(crate) name: &'static str,
    pub(crate) overview: &'static str,
    pub(crate) signatures: Vec<AggregateSignature>,
    pub(crate) supports_undo: bool,
    /// The accumulator for arguments that fit one of the signatures, with result and state types.
    pub(crate) build: fn(AggregateArguments<'_>) -> Result<BuiltAggregate, String>,
}

#[derive(Debug)]
pub(crate) struct BuiltAggregate {
    pub(crate) return_type: SqlType,
    pub(crate) intermediate_type: SqlType,
    pub(crate) accumulator: Box<dyn GroupsAccumulator>,
}

impl AggregateFunction {
    pub(crate) fn build(
        &self,
        types: &[SqlType],
        constants: &[Literal],
        options: AggregateOptions,
    ) -> Result<BuiltAggregate, FunctionError> {
        (self.build)(AggregateArguments { types, constants, options })
            .map_err(|message| FunctionError::InvalidConstant { name: self.name.to_owned(), message })
    }
}

/// Every aggregate function.
pub(crate) fn all() -> Vec<AggregateFunction> {
    [
        collect::functions(),
        count_distinct::functions(),
        extreme::functions(),
        numeric::functions(),
        offset::functions(),
        statistics::functions(),
        topk::functions(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
