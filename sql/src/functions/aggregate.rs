//! What the engine asks of aggregate functions.

use std::fmt;
use std::sync::Arc;

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

/// An aggregate function of the registry.
pub(crate) trait AggregateFunction: fmt::Debug + Send + Sync {
    fn name(&self) -> &'static str;

    fn overview(&self) -> &'static str;

    fn signatures(&self) -> Vec<AggregateSignature>;

    /// Result, state and abilities for arguments that fit one of the signatures.
    fn resolve(
        &self,
        argument_types: Vec<SqlType>,
        constants: &[Literal],
    ) -> Result<ResolvedAggregate, FunctionError>;

    fn accumulator(
        &self,
        argument_types: &[SqlType],
        constants: &[Literal],
    ) -> Result<Box<dyn GroupsAccumulator>, FunctionError>;
}

/// Every aggregate function.
pub(crate) fn all() -> Vec<Arc<dyn AggregateFunction>> {
    Vec::new()
}
