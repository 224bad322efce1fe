//! The stores of a task with the updates that are not committed yet.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::error::Result;
use crate::state::backend::{
    CommitBatch, KeyRange, StateBackend, StateReader, StoreId, StoreSpec, StoreWrite, Visit,
};
use crate::state::changelog::{ChangelogRecord, ChangelogSink};
use crate::state::pending::PendingWrites;

/// Key under which an operator keeps what is not a row (stream time, sequence numbers). No encoded key is equal to it or
/// below it.
pub const META_KEY: &[u8] = &[0];

/// Stores of one task: committed bytes below, uncommitted updates above.
///
/// A commit has two halves: [`TaskState::log_changes`] while the transaction is open, and
/// [`TaskState::commit`] once it has succeeded.
#[derive(Debug)]
pub struct TaskState {
    specs: Vec<StoreSpec>,
    backend: Box<dyn StateBackend>,
    pending: Vec<PendingWrites>,
}

impl TaskState {
    pub fn new(specs: Vec<StoreSpec>, backend: Box<dyn StateBackend>) -> TaskState {
        let pending = specs.iter().map(|_| PendingWrites::default()).collect();
        TaskState { specs, backend, pending }
    }

    pub fn specs(&self) -> &[StoreSpec] {
        &self.specs
    }

    pub fn spec(&self, store: StoreId) -> &StoreSpec {
        &self.specs[store.index()]
    }

    /// Committed content, for pull queries.
    pub fn reader(&self) -> Arc<dyn StateReader> {
        self.backend.reader()
    }

    pub fn get(&self, store: StoreId, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.multi_get(store, &[key])?.pop().flatten())
    }

    /// Shape: one answer per key, uncommitted updates included.
    pub fn multi_get(&self, store: StoreId, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        let pending = &self.pending[store.index()];
        if pending.is_empty() {
            return self.backend.multi_get(store, keys);
        }
        let mut found: Vec<Option<Vec<u8>>> = vec![None; keys.len()];
        let mut missing = Vec::new();
        for (i, key) in keys.iter().enumerate() {
            match pending.get(key) {
                Some(value) => found[i] = value.map(<[u8]>::to_vec),
                None => missing.push(i),
            }
        }
        let asked: Vec<&[u8]> = missing.iter().map(|i| keys[*i]).collect();
        for (i, value) in missing.into_iter().zip(self.backend.multi_get(store, &asked)?) {
            found[i] = value;
        }
        Ok(found)
    }

    pub fn put(&mut self, store: StoreId, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.pending[store.index()].put(key, value);
    }

    /// Puts many updates at once, sorted by key, keys unique.
    pub fn put_run(&mut self, store: StoreId, writes: Vec<StoreWrite>) {
        self.pending[store.index()].put_run(writes);
    }

    /// Visits a range in key order, uncommitted updates included.
    pub fn scan(&self, store: StoreId, range: &KeyRange, visit: &mut Visit<'_>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let mut pending = self.pending[store.index()].range(range).peekable();
        let mut stopped = false;
        self.backend.scan(store, range, &mut |key, value| {
            while let Some((k, v)) = pending.next_if(|(k, _)| *k < key) {
                if v.is_some_and(|v| visit(k, v).is_break()) {
                    stopped = true;
                    return ControlFlow::Break(());
                }
            }
            let flow = match pending.next_if(|(k, _)| *k == key) {
                Some((_, None)) => ControlFlow::Continue(()),
                Some((k, Some(v))) => visit(k, v),
                None => visit(key, value),
            };
            stopped = flow.is_break();
            flow
        })?;
        if !stopped {
            for (key, value) in pending {
                if value.is_some_and(|v| visit(key, v).is_break()) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Hands every uncommitted update of a logged store to the changelog, sorted.
    pub fn log_changes(&self, sink: &mut dyn ChangelogSink) -> Result<()> {
        for (i, pending) in self.pending.iter().enumerate().filter(|(i, _)| self.specs[*i].changelog) {
            let store = StoreId(i as u32);
            for (key, value) in pending.range(&KeyRange::all()) {
                sink.append(ChangelogRecord { store, key, value })?;
            }
        }
        Ok(())
    }

    /// Writes the uncommitted updates with the changelog positions that contain them.
    pub fn commit(&mut self, positions: Vec<(StoreId, i64)>) -> Result<()> {
        let writes: Vec<(StoreId, Vec<StoreWrite>)> = self
            .pending
            .iter_mut()
            .enumerate()
            .filter(|(_, p)| !p.is_empty())
            .map(|(i, p)| (StoreId(i as u32), p.take()))
            .collect();
        if writes.is_empty() && positions.is_empty() {
            return Ok(());
        }
        self.backend.commit(CommitBatch { writes, positions })
    }

    /// Offset in the changelog from which a store must be restored.
    pub fn position(&self, store: StoreId) -> Result<Option<i64>> {
        self.backend.position(store)
    }

    /// Applies changelog records, as a restoring or standby task does. `position` is the offset after the last of them.
    pub fn restore(
        &mut self,
        store: StoreId,
        records: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
        position: i64,
    ) -> Result<()> {
        let latest: BTreeMap<Vec<u8>, Option<Vec<u8>>> = records.into_iter().collect();
        let writes = vec![(store, latest.into_iter().collect())];
        self.backend.commit(CommitBatch { writes, positions: vec![(store, position)] })
    }

    /// Forgets a store, committed and not.
    pub fn clear(&mut self, store: StoreId) -> Result<()> {
        self.pending[store.index()].clear();
        self.backend.clear(store)
    }
}
