//! The aggregate calls of a step with their state for all groups.

use arrow::array::ArrayRef;
use weir_sql::functions::aggregate::{GroupsAccumulator, RowError};
use weir_sql::plan::physical::AggregateCall;
use weir_sql::types::SqlType;

use crate::error::{EngineError, Result};
use crate::operator::BuildContext;
use crate::processing_log::StepReporter;

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

    pub fn memory_bytes(&self) -> usize {
        self.accumulators.iter().map(|a| a.memory_bytes()).sum()
    }
}

fn report(reporter: &StepReporter, errors: &[RowError]) {
    errors.iter().for_each(|e| reporter.record_error(e.message.as_str()));
}
