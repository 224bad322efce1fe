//! Groups of any aggregate that folds rows into one state per group.

use std::fmt::Debug;

use arrow::array::ArrayRef;

use crate::functions::aggregate::{BuiltAggregate, GroupsAccumulator, RowError};
use crate::types::SqlType;
use crate::value::SqlValue;
use crate::value::convert::{from_array, to_array};

/// What to do with a row: it changes the state, or says why it cannot, leaving it unchanged.
pub(crate) type Applied = Result<(), String>;

/// An aggregate as a fold. The default state is that of no rows.
pub(crate) trait Fold: Debug + Send + 'static {
    type State: Debug + Clone + Default + Send;

    /// True if results are made of the values of rows. See [`GroupsAccumulator::holds_values`].
    const HOLDS_VALUES: bool = false;

    /// Binds to the arguments of a batch; what it gives applies row after row.
    fn apply<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut Self::State, usize) -> Applied + 'a;

    /// As [`Fold::apply`], taking rows back.
    fn undo<'a>(&'a self, _arguments: &'a [ArrayRef]) -> impl FnMut(&mut Self::State, usize) -> Applied + 'a {
        |_, _| Err("this aggregate cannot take rows back".to_owned())
    }

    /// Adds the state of an older session.
    fn merge(&self, into: &mut Self::State, older: &Self::State);

    fn result(&self, state: &Self::State) -> SqlValue;

    fn save(&self, state: &Self::State) -> SqlValue;

    /// A saved value of another shape gives the state of no rows.
    fn load(&self, value: &SqlValue) -> Self::State;

    /// Bytes a state holds on the heap. Called twice for every row.
    fn heap_bytes(_state: &Self::State) -> usize {
        0
    }
}

/// One state per slot.
#[derive(Debug)]
pub(crate) struct Groups<F: Fold> {
    fold: F,
    states: Vec<F::State>,
    /// The sum of what all states hold.
    heap_bytes: usize,
    return_type: SqlType,
    intermediate_type: SqlType,
}

/// The groups of a fold, with its types.
pub(crate) fn built<F: Fold>(fold: F, return_type: SqlType, intermediate_type: SqlType) -> BuiltAggregate {
    BuiltAggregate {
        return_type: return_type.clone(),
        intermediate_type: intermediate_type.clone(),
        accumulator: Box::new(Groups {
            fold,
            states: Vec::new(),
            heap_bytes: 0,
            return_type,
            intermediate_type,
        }),
    }
}

impl<F: Fold> Groups<F> {
    fn replace(&mut self, slot: u32, state: F::State) {
        let place = &mut self.states[slot as usize];
        self.heap_bytes = self.heap_bytes + F::heap_bytes(&state) - F::heap_bytes(place);
        *place = state;
    }
}

/// Changes a state, and what all states hold with it.
#[inline]
fn counted<F: Fold, T>(
    heap_bytes: &mut usize,
    state: &mut F::State,
    change: impl FnOnce(&mut F::State) -> T,
) -> T {
    let before = F::heap_bytes(state);
    let result = change(state);
    *heap_bytes = *heap_bytes + F::heap_bytes(state) - before;
    result
}

impl<F: Fold> GroupsAccumulator for Groups<F> {
    fn resize(&mut self, slots: usize) {
        for removed in self.states.get(slots..).unwrap_or_default() {
            self.heap_bytes -= F::heap_bytes(removed);
        }
        self.states.resize_with(slots, F::State::default);
    }

    fn reset(&mut self, slot: u32) {
        self.replace(slot, F::State::default());
    }

    fn update(&mut self, slots: &[u32], arguments: &[ArrayRef]) -> Vec<RowError> {
        let mut errors = Vec::new();
        let mut apply = self.fold.apply(arguments);
        for (row, slot) in slots.iter().enumerate() {
            let state = &mut self.states[*slot as usize];
            if let Err(message) = counted::<F, _>(&mut self.heap_bytes, state, |s| apply(s, row)) {
                errors.push(RowError { row, message });
            }
        }
        errors
    }

    fn update_and_evaluate(&mut self, slots: &[u32], arguments: &[ArrayRef]) -> (ArrayRef, Vec<RowError>) {
        let mut errors = Vec::new();
        let mut results = Vec::with_capacity(slots.len());
        let mut apply = self.fold.apply(arguments);
        for (row, slot) in slots.iter().enumerate() {
            let state = &mut self.states[*slot as usize];
            if let Err(message) = counted::<F, _>(&mut self.heap_bytes, state, |s| apply(s, row)) {
                errors.push(RowError { row, message });
            }
            results.push(self.fold.result(state));
        }
        (to_array(&self.return_type, results.iter()), errors)
    }

    fn undo(&mut self, slots: &[u32], arguments: &[ArrayRef]) -> Vec<RowError> {
        let mut errors = Vec::new();
        let mut undo = self.fold.undo(arguments);
        for (row, slot) in slots.iter().enumerate() {
            let state = &mut self.states[*slot as usize];
            if let Err(message) = counted::<F, _>(&mut self.heap_bytes, state, |s| undo(s, row)) {
                errors.push(RowError { row, message });
            }
        }
        errors
    }

    fn merge(&mut self, into: u32, from: u32) {
        if into == from {
            return;
        }
        let older = self.states[from as usize].clone();
        let state = &mut self.states[into as usize];
        counted::<F, _>(&mut self.heap_bytes, state, |s| self.fold.merge(s, &older));
    }

    fn evaluate(&self, slots: &[u32]) -> ArrayRef {
        let results: Vec<SqlValue> =
            slots.iter().map(|s| self.fold.result(&self.states[*s as usize])).collect();
        to_array(&self.return_type, results.iter())
    }

    fn save(&self, slot: u32) -> SqlValue {
        self.fold.save(&self.states[slot as usize])
    }

    fn load(&mut self, slot: u32, state: &SqlValue) {
        let state = self.fold.load(state);
        self.replace(slot, state);
    }

    fn save_batch(&self, slots: &[u32]) -> ArrayRef {
        let saved: Vec<SqlValue> = slots.iter().map(|s| self.save(*s)).collect();
        to_array(&self.intermediate_type, saved.iter())
    }

    fn load_batch(&mut self, slots: &[u32], states: &ArrayRef) {
        for (row, slot) in slots.iter().enumerate() {
            let state = from_array(states, row, &self.intermediate_type);
            self.load(*slot, &state);
        }
    }

    fn memory_bytes(&self) -> usize {
        self.states.capacity() * size_of::<F::State>() + self.heap_bytes
    }

    fn heap_bytes(&self) -> usize {
        self.heap_bytes
    }

    fn slot_bytes(&self, slot: u32) -> usize {
        F::heap_bytes(&self.states[slot as usize])
    }

    fn holds_values(&self) -> bool {
        F::HOLDS_VALUES
    }
}

/// Bytes a value holds, roughly.
pub(crate) fn value_bytes(value: &SqlValue) -> usize {
    let heap = match value {
        SqlValue::String(text) => text.len(),
        SqlValue::Bytes(bytes) => bytes.len(),
        SqlValue::Array(items) | SqlValue::Struct(items) => items.iter().map(value_bytes).sum(),
        SqlValue::Map(entries) => entries.iter().map(|(k, v)| value_bytes(k) + value_bytes(v)).sum(),
        _ => 0,
    };
    size_of::<SqlValue>() + heap
}
