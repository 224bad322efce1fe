//! Aggregation of tables: a change takes the old row out of its group and puts the new one in.

use arrow::array::ArrayRef;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use weir_sql::expr::compile::batch_budget::BatchBudget;

use crate::batch::{OldRows, RowBatch, some_bits};
use crate::error::Result;
use crate::operator::aggregate::calls::GrowingResults;
use crate::operator::aggregate::slots::{RESIDENT_GROUPS_MAX, Slots};
use crate::operator::{Operator, OperatorContext, Output};
use crate::state::key_codec::EncodedKeys;
use crate::state::task_state::TaskState;

/// Aggregates grouped changes. Every change is emitted.
#[derive(Debug)]
pub struct TableAggregateOperator {
    slots: Slots,
    index: HashTable<u32>,
    hasher: FixedState,
    old_values: bool,
    resident_max: usize,
    keys: EncodedKeys,
}

impl TableAggregateOperator {
    pub fn new(slots: Slots, old_values: bool) -> TableAggregateOperator {
        TableAggregateOperator {
            slots,
            index: HashTable::new(),
            hasher: FixedState::default(),
            old_values,
            resident_max: RESIDENT_GROUPS_MAX,
            keys: EncodedKeys::default(),
        }
    }

    /// Bounds the number of groups kept in memory after a commit.
    #[must_use]
    pub fn with_resident_max(mut self, groups: usize) -> TableAggregateOperator {
        self.resident_max = groups.max(1);
        self
    }

    /// Forgets groups beyond the bound. All are clean.
    fn evict(&mut self) {
        let Some(kept) = self.slots.groups_kept(self.resident_max, 0) else { return };
        let excess = self.slots.len() - kept;
        let victims: Vec<u32> = self.slots.live().take(excess).collect();
        for slot in victims {
            let hash = self.slots.get(slot).hash;
            if let Ok(entry) = self.index.find_entry(hash, |s| *s == slot) {
                entry.remove();
            }
            self.slots.release(slot);
        }
        self.slots.hold(0);
    }

    fn find(&self, key: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.index.find(hash, |s| self.slots.get(*s).key.as_ref() == key).copied()
    }

    fn create(&mut self, row: usize) -> u32 {
        let key = self.keys.get(row).to_vec();
        let hash = self.hasher.hash_one(key.as_slice());
        let slot = self.slots.create(hash, &key, 0, 0);
        let slots = &self.slots;
        self.index.insert_unique(hash, slot, |s| slots.get(*s).hash);
        slot
    }

    fn load_missing(&mut self, state: &TaskState) -> Result<()> {
        let mut missing: Vec<(&[u8], usize)> = (0..self.keys.len())
            .map(|row| (self.keys.get(row), row))
            .filter(|(key, _)| self.find(key).is_none())
            .collect();
        missing.sort_unstable();
        missing.dedup_by(|a, b| a.0 == b.0);
        if missing.is_empty() {
            return Ok(());
        }
        let asked: Vec<&[u8]> = missing.iter().map(|m| m.0).collect();
        let found = state.multi_get(self.slots.store(), &asked)?;
        let rows: Vec<usize> = missing.iter().map(|m| m.1).collect();
        let (mut slots, mut stored) = (Vec::new(), Vec::new());
        for (row, bytes) in rows.into_iter().zip(found) {
            if let Some(bytes) = bytes {
                slots.push(self.create(row));
                stored.push(bytes);
            }
        }
        self.slots.load(&slots, &stored)
    }

    /// Charges the rows that are emitted: one per change, and what it replaces.
    ///
    /// Errors: a memory error if that is too much for one batch.
    fn charge_results(&self, batch: &RowBatch, budget: &BatchBudget) -> Result<()> {
        if !self.slots.calls.holds_values() {
            return Ok(());
        }
        let times = if self.old_values { 2 } else { 1 };
        let mut results = GrowingResults::of(&batch.value);
        for row in 0..batch.len() {
            let key = self.keys.get(row);
            let before = || self.find(key).map_or(0, |slot| self.slots.calls.slot_bytes(slot));
            let bytes = results.after(row, self.hasher.hash_one(key), before);
            budget.charge(bytes.saturating_mul(times))?;
        }
        Ok(())
    }

    /// Applies one change. Gives the group, and whether it existed before; None if there is nothing to do.
    fn apply(&mut self, batch: &RowBatch, row: usize) -> Option<(u32, bool)> {
        let found = self.find(self.keys.get(row));
        let slice =
            |columns: &[ArrayRef]| -> Vec<ArrayRef> { columns.iter().map(|c| c.slice(row, 1)).collect() };
        let old = batch.old.as_ref().filter(|_| !batch.is_old_absent(row));
        if let (Some(slot), Some(old)) = (found, old) {
            self.slots.calls.undo(&[slot], &slice(&old.value));
        }
        let slot = match found {
            Some(slot) => slot,
            None if batch.is_absent(row) => return None,
            None => self.create(row),
        };
        if !batch.is_absent(row) {
            self.slots.calls.update(&[slot], &slice(&batch.value));
        }
        self.slots.touch(slot);
        let entry = self.slots.get_mut(slot);
        entry.rowtime = entry.rowtime.max(batch.rowtime[row]);
        Some((slot, found.is_some()))
    }
}

impl Operator for TableAggregateOperator {
    fn process(
        &mut self,
        _port: usize,
        batch: RowBatch,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<()> {
        self.keys.encode(&batch.key, batch.len())?;
        self.load_missing(context.state)?;
        match self.charge_results(&batch, context.budget) {
            // No smaller batch is left to try.
            Err(error) if error.exceeds_memory() && context.budget.rows() == 1 => {
                self.slots.calls.reporter().row_error(context.budget.row_message(), &batch, 0);
                return Ok(());
            }
            charged => charged?,
        }
        for row in 0..batch.len() {
            let before = match (self.old_values, self.find(self.keys.get(row))) {
                (true, Some(slot)) => Some(self.slots.calls.evaluate(&[slot])),
                (true, None) | (false, _) => None,
            };
            let Some((slot, existed)) = self.apply(&batch, row) else { continue };
            let value = self.slots.calls.evaluate(&[slot]);
            let old = self.old_values.then(|| OldRows {
                value: before.unwrap_or_else(|| {
                    value.iter().map(|v| arrow::array::new_null_array(v.data_type(), 1)).collect()
                }),
                absent: some_bits([!existed].into_iter().collect()),
            });
            let side = batch.take_side(&[row as u32]);
            out.emit(RowBatch {
                key: batch.key.iter().map(|c| c.slice(row, 1)).collect(),
                value,
                rowtime: vec![self.slots.get(slot).rowtime].into(),
                absent: None,
                null_key: None,
                old,
                ..side
            });
        }
        Ok(())
    }

    fn uncommitted_bytes(&self) -> usize {
        self.slots.uncommitted_bytes()
    }

    fn flush(&mut self, context: &mut OperatorContext<'_>, _out: &mut Output) -> Result<()> {
        self.slots.flush(context.state)?;
        self.evict();
        Ok(())
    }
}
