//! The aggregate calls of a step with their state for all groups.

use arrow::array::ArrayRef;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use weir_sql::expr::compile::batch_budget::rows_bytes;
use weir_sql::functions::aggregate::{GroupsAccumulator, RowError};
use weir_sql::plan::physical::AggregateCall;
use weir_sql::types::SqlType;
use weir_sql::value::SqlValue;

use crate::error::{EngineError, Result};
use crate::operator::BuildContext;
use crate::processing_log::StepReporter;

/// Bytes of states that are turned into columns at a time, about.
const COLUMN_BYTES_MAX: usize = 16 << 20;
/// Bytes of a value besides its text.
const VALUE_BYTES: usize = size_of::<SqlValue>();

/// Accumulators that share slots. Shape: call `i` reads the argument columns `arguments[i]` of a grouped batch.
#[derive(Debug)]
pub struct AggregateCalls {
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    arguments: Vec<std::ops::Range<usize>>,
    state_types: Vec<SqlType>,
    reporter: StepReporter,
    capacity: usize,
}

impl AggregateCalls {
    pub fn build(calls: &[AggregateCall], step: &str, build: &BuildContext) -> Result<AggregateCalls> {
        let mut parts = Vec::with_capacity(calls.len());
        for call in calls {
            let types: Vec<SqlType> = call.arguments.iter().map(|a| a.sql_type.clone()).collect();
            let failed = |source| EngineError::Function { step: step.to_owned(), source };
            let resolved = build
                .registry
                .describe_aggregate_call(&call.function, &types, &call.constants)
                .map_err(failed)?;
            let accumulator = build.registry.accumulator_with_options(
                &call.function,
                &types,
                &call.constants,
                build.settings.aggregates,
            );
            let accumulator = accumulator.map_err(failed)?;
            parts.push((accumulator, types.len(), resolved.intermediate_type));
        }
        Ok(AggregateCalls::new(parts, build.reporter(step)))
    }

    /// From accumulators, each with the number of its arguments and the type of its state.
    pub fn new(
        parts: Vec<(Box<dyn GroupsAccumulator>, usize, SqlType)>,
        reporter: StepReporter,
    ) -> AggregateCalls {
        let mut calls = AggregateCalls {
            accumulators: Vec::new(),
            arguments: Vec::new(),
            state_types: Vec::new(),
            reporter,
            capacity: 0,
        };
        let mut next = 0;
        for (accumulator, arguments, state_type) in parts {
            calls.accumulators.push(accumulator);
            calls.arguments.push(next..next + arguments);
            calls.state_types.push(state_type);
            next += arguments;
        }
        calls
    }

    /// Where failing rows of the step are reported.
    pub fn reporter(&self) -> &StepReporter {
        &self.reporter
    }

    /// One per call: the columns of stored rows.
    pub fn state_types(&self) -> &[SqlType] {
        &self.state_types
    }

    /// Makes slots below `slots` addressable.
    pub fn reserve(&mut self, slots: usize) {
        if slots > self.capacity {
            self.capacity = slots.next_power_of_two().max(16);
            self.accumulators.iter_mut().for_each(|a| a.resize(self.capacity));
        }
    }

    pub fn reset(&mut self, slot: u32) {
        self.accumulators.iter_mut().for_each(|a| a.reset(slot));
    }

    pub fn update(&mut self, slots: &[u32], arguments: &[ArrayRef]) {
        for (accumulator, range) in self.accumulators.iter_mut().zip(&self.arguments) {
            report(&self.reporter, &accumulator.update(slots, &arguments[range.clone()]));
        }
    }

    /// Shape: one column per call, one row per slot given.
    pub fn update_and_evaluate(&mut self, slots: &[u32], arguments: &[ArrayRef]) -> Vec<ArrayRef> {
        let mut results = Vec::with_capacity(self.accumulators.len());
        for (accumulator, range) in self.accumulators.iter_mut().zip(&self.arguments) {
            let (result, errors) = accumulator.update_and_evaluate(slots, &arguments[range.clone()]);
            report(&self.reporter, &errors);
            results.push(result);
        }
        results
    }

    pub fn undo(&mut self, slots: &[u32], arguments: &[ArrayRef]) {
        for (accumulator, range) in self.accumulators.iter_mut().zip(&self.arguments) {
            report(&self.reporter, &accumulator.undo(slots, &arguments[range.clone()]));
        }
    }

    pub fn merge(&mut self, into: u32, from: u32) {
        self.accumulators.iter_mut().for_each(|a| a.merge(into, from));
    }

    pub fn evaluate(&self, slots: &[u32]) -> Vec<ArrayRef> {
        self.accumulators.iter().map(|a| a.evaluate(slots)).collect()
    }

    /// Shape: one column per call, of [`AggregateCalls::state_types`].
    pub fn save(&self, slots: &[u32]) -> Vec<ArrayRef> {
        self.accumulators.iter().map(|a| a.save_batch(slots)).collect()
    }

    pub fn load(&mut self, slots: &[u32], states: &[ArrayRef]) {
        for (accumulator, state) in self.accumulators.iter_mut().zip(states) {
            accumulator.load_batch(slots, state);
        }
    }

    /// Bytes that the states of all slots hold besides their places, roughly.
    pub fn heap_bytes(&self) -> usize {
        self.accumulators.iter().map(|a| a.heap_bytes()).sum()
    }

    /// The part of [`AggregateCalls::heap_bytes`] that one slot holds.
    pub fn slot_bytes(&self, slot: u32) -> usize {
        self.accumulators.iter().map(|a| a.slot_bytes(slot)).sum()
    }

    /// True if results grow with the values of rows.
    pub fn holds_values(&self) -> bool {
        self.accumulators.iter().any(|a| a.holds_values())
    }

    /// How many of these slots, from the first on, are turned into columns at a time: one at least.
    pub fn fitting(&self, slots: &[u32]) -> usize {
        if self.heap_bytes() <= COLUMN_BYTES_MAX {
            return slots.len();
        }
        let mut bytes = 0;
        let exceeding = slots.iter().position(|slot| {
            bytes += self.slot_bytes(*slot);
            bytes > COLUMN_BYTES_MAX
        });
        exceeding.map_or(slots.len(), |at| at.max(1))
    }
}

/// How large the results become that are emitted after every row of a batch: no smaller than they will be.
#[derive(Debug)]
pub struct GrowingResults<'a> {
    arguments: &'a [ArrayRef],
    /// Bytes of the result of each group, by the hash of the group.
    sizes: HashMap<u64, usize, FixedState>,
}

impl<'a> GrowingResults<'a> {
    pub fn of(arguments: &'a [ArrayRef]) -> GrowingResults<'a> {
        GrowingResults { arguments, sizes: HashMap::default() }
    }

    /// Bytes of the result after this row. `before` gives the bytes of the group's state before the batch.
    pub fn after(&mut self, row: usize, group: u64, before: impl FnOnce() -> usize) -> usize {
        let of_row: usize = self.arguments.iter().map(|a| rows_bytes(a, row, 1) + VALUE_BYTES).sum();
        let size = self.sizes.entry(group).or_insert_with(before);
        *size = size.saturating_add(of_row);
        *size
    }
}

fn report(reporter: &StepReporter, errors: &[RowError]) {
    errors.iter().for_each(|e| reporter.record_error(e.message.as_str()));
}
