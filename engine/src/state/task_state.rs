//! The stores of a task with the updates that are not committed yet.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::cancellation::Cancellation;
use crate::error::Result;
use crate::state::backend::{
    CommitBatch, KeyRange, StateBackend, StateReader, StoreId, StoreSpec, StoreWrite, Visit,
};
use crate::state::changelog::{ChangelogRecord, ChangelogSink, Logged};
use crate::state::pending::PendingWrites;

/// Key under which an operator keeps what is not a row (stream time, sequence numbers). No encoded key is equal to it or
/// below it.
pub const META_KEY: &[u8] = &[0];

/// Stores of one task: committed bytes below, the updates of a commit under way over them, newer updates on top.
///
/// A commit has two halves: [`TaskState::log_changes`] while the transaction is open, and
/// [`TaskState::commit`] once it has succeeded. Between them the task may go on: what it puts belongs to the next commit.
#[derive(Debug)]
pub struct TaskState {
    specs: Vec<StoreSpec>,
    backend: Box<dyn StateBackend>,
    pending: Vec<PendingWrites>,
    /// Updates that were logged and whose transaction has not succeeded yet.
    committing: Option<Vec<PendingWrites>>,
    cancellation: Cancellation,
}

impl TaskState {
    pub fn new(specs: Vec<StoreSpec>, backend: Box<dyn StateBackend>) -> TaskState {
        let pending = no_writes(specs.len());
        TaskState { specs, backend, pending, committing: None, cancellation: Cancellation::default() }
    }

    /// Long reads, and the steps between them, end with [`EngineError::Interrupted`] once this is
    /// interrupted.
    pub fn interrupt_by(&mut self, cancellation: Cancellation) {
        self.cancellation = cancellation;
    }

    /// Errors: the task is interrupted.
    pub fn check_interrupted(&self) -> Result<()> {
        self.cancellation.check()
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
        let layers = self.layers(store);
        if layers.iter().all(|l| l.is_empty()) {
            return self.backend.multi_get(store, keys);
        }
        let mut found: Vec<Option<Vec<u8>>> = vec![None; keys.len()];
        let mut missing = Vec::new();
        for (i, key) in keys.iter().enumerate() {
            match layers.iter().find_map(|l| l.get(key)) {
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
        let [newer, older] = self.layers(store);
        let mut pending = overlay(newer.range(range), older.range(range)).peekable();
        let mut stopped = false;
        self.backend.scan(store, range, &mut |key, value| {
            if self.cancellation.is_interrupted() {
                return ControlFlow::Break(());
            }
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
        self.cancellation.check()?;
        if !stopped {
            for (key, value) in pending {
                if value.is_some_and(|v| visit(key, v).is_break()) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Uncommitted updates, newer ones first.
    fn layers(&self, store: StoreId) -> [&PendingWrites; 2] {
        static NONE: PendingWrites = PendingWrites::NONE;
        let committing = self.committing.as_ref().map_or(&NONE, |c| &c[store.index()]);
        [&self.pending[store.index()], committing]
    }

    /// Begins a commit: hands every update since the last one of a logged store to the changelog, sorted. An update that the
    /// changelog refuses is lost: the store keeps the old value.
    ///
    /// # Panics
    /// If the commit before has neither succeeded nor been given up.
    pub fn log_changes(&mut self, sink: &mut dyn ChangelogSink) -> Result<()> {
        assert!(self.committing.is_none(), "a task commits one transaction at a time");
        let changes = std::mem::replace(&mut self.pending, no_writes(self.specs.len()));
        let changes = self.committing.insert(changes);
        for (i, changes) in changes.iter_mut().enumerate().filter(|(i, _)| self.specs[*i].changelog) {
            let store = StoreId(i as u32);
            let mut refused = Vec::new();
            for (key, value) in changes.range(&KeyRange::all()) {
                if sink.append(ChangelogRecord { store, key, value })? == Logged::Refused {
                    refused.push(key.to_vec());
                }
            }
            refused.iter().for_each(|key| changes.remove(key));
        }
        Ok(())
    }

    /// Ends a commit: writes what was logged, with the changelog positions that contain it. Without a log: everything so far.
    pub fn commit(&mut self, positions: Vec<(StoreId, i64)>) -> Result<()> {
        let changes = self.committing.take();
        let mut changes =
            changes.unwrap_or_else(|| std::mem::replace(&mut self.pending, no_writes(self.specs.len())));
        let writes: Vec<(StoreId, Vec<StoreWrite>)> = changes
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

    /// Wall-clock time of the last commit. Units: ms since epoch. None: not known.
    pub fn written_at_ms(&self) -> Result<Option<i64>> {
        self.backend.written_at_ms()
    }

    /// Applies changelog records, as a restoring or standby task does. `position` is the offset after the last of them.
    pub fn restore(
        &mut self,
        store: StoreId,
        records: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
        position: i64,
    ) -> Result<()> {
        let mut latest: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        for (key, value) in records {
            self.cancellation.check()?;
            latest.insert(key, value);
        }
        let writes = vec![(store, latest.into_iter().collect())];
        self.backend.commit(CommitBatch { writes, positions: vec![(store, position)] })
    }

    /// Forgets a store, committed and not.
    pub fn clear(&mut self, store: StoreId) -> Result<()> {
        self.pending[store.index()].clear();
        if let Some(committing) = &mut self.committing {
            committing[store.index()].clear();
        }
        self.backend.clear(store)
    }
}

fn no_writes(stores: usize) -> Vec<PendingWrites> {
    (0..stores).map(|_| PendingWrites::default()).collect()
}

/// One update on its way to a store.
type Update<'a> = (&'a [u8], Option<&'a [u8]>);

/// Two sorted layers as one: of updates of the same key the newer hides the older.
fn overlay<'a>(
    newer: impl Iterator<Item = Update<'a>>,
    older: impl Iterator<Item = Update<'a>>,
) -> impl Iterator<Item = Update<'a>> {
    let (mut newer, mut older) = (newer.peekable(), older.peekable());
    std::iter::from_fn(move || {
        let take_older = match (newer.peek(), older.peek()) {
            (Some((a, _)), Some((b, _))) => b < a,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        if take_older {
            return older.next();
        }
        let update = newer.next()?;
        older.next_if(|(key, _)| *key == update.0);
        Some(update)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::EngineError;
    use crate::state::changelog::NoChangelog;
    use crate::state::memory::MemoryBackend;

    const STORE: StoreId = StoreId(0);

    fn state() -> TaskState {
        let spec = StoreSpec { name: "s".to_owned(), changelog: true };
        TaskState::new(vec![spec], Box::new(MemoryBackend::new(1)))
    }

    fn put(state: &mut TaskState, key: u8, value: Option<u8>) {
        state.put(STORE, vec![key], value.map(|v| vec![v]));
    }

    fn scan(state: &TaskState) -> Vec<(u8, u8)> {
        let mut found = Vec::new();
        let visited = state.scan(STORE, &KeyRange::all(), &mut |key, value| {
            found.push((key[0], value[0]));
            ControlFlow::Continue(())
        });
        visited.expect("memory");
        found
    }

    #[derive(Debug, Default)]
    struct Collected(Vec<(u8, Option<u8>)>);

    /// A value that the log does not take.
    const TOO_LARGE: u8 = 99;

    impl ChangelogSink for Collected {
        fn append(&mut self, record: ChangelogRecord<'_>) -> Result<Logged> {
            let value = record.value.map(|v| v[0]);
            if value == Some(TOO_LARGE) {
                return Ok(Logged::Refused);
            }
            self.0.push((record.key[0], value));
            Ok(Logged::Yes)
        }
    }

    #[test]
    fn an_update_that_the_changelog_refuses_leaves_the_old_value() {
        let mut state = state();
        put(&mut state, 1, Some(10));
        state.log_changes(&mut NoChangelog).expect("logged");
        state.commit(Vec::new()).expect("committed");
        put(&mut state, 1, Some(TOO_LARGE));
        put(&mut state, 2, Some(20));
        let mut logged = Collected::default();
        state.log_changes(&mut logged).expect("logged");
        state.commit(Vec::new()).expect("committed");
        assert_eq!(logged.0, [(2, Some(20))]);
        assert_eq!(scan(&state), [(1, 10), (2, 20)]);
    }

    #[test]
    fn reads_and_restores_end_when_they_are_interrupted() {
        let mut state = state();
        let cancellation = Cancellation::default();
        state.interrupt_by(cancellation.clone());
        let records = |upto: u8| (0..upto).map(|key| (vec![key], Some(vec![key])));
        state.restore(STORE, records(100), 100).expect("restored");
        let (at, during) = (cancellation.clone(), cancellation.clone());
        let mut seen = 0;
        let scanned = state.scan(STORE, &KeyRange::all(), &mut |_, _| {
            seen += 1;
            if seen == 10 {
                at.interrupt();
            }
            ControlFlow::Continue(())
        });
        assert!(matches!(scanned, Err(EngineError::Interrupted)));
        assert_eq!(seen, 10);
        let restored = state.restore(STORE, records(200).inspect(|_| during.interrupt()), 200);
        assert!(matches!(restored, Err(EngineError::Interrupted)));
        assert_eq!(state.position(STORE).expect("readable"), Some(100));
    }

    #[test]
    fn updates_during_a_commit_belong_to_the_next() {
        let mut state = state();
        for key in 1..=4 {
            put(&mut state, key, Some(0));
        }
        state.log_changes(&mut NoChangelog).expect("logged");
        state.commit(Vec::new()).expect("committed");

        put(&mut state, 2, Some(10));
        put(&mut state, 3, None);
        put(&mut state, 5, Some(10));
        let mut first = Collected::default();
        state.log_changes(&mut first).expect("logged");
        assert_eq!(first.0, [(2, Some(10)), (3, None), (5, Some(10))]);

        put(&mut state, 2, None);
        put(&mut state, 3, Some(20));
        put(&mut state, 4, Some(20));
        let seen = [(1, 0), (3, 20), (4, 20), (5, 10)];
        assert_eq!(scan(&state), seen);
        let keys: Vec<Vec<u8>> = (1..=6).map(|k| vec![k]).collect();
        let asked: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let found = state.multi_get(STORE, &asked).expect("memory");
        let found: Vec<Option<u8>> = found.into_iter().map(|v| v.map(|v| v[0])).collect();
        assert_eq!(found, [Some(0), None, Some(20), Some(20), Some(10), None]);

        state.commit(vec![(STORE, 7)]).expect("committed");
        let committed = state.reader().multi_get(STORE, &asked).expect("memory");
        let committed: Vec<Option<u8>> = committed.into_iter().map(|v| v.map(|v| v[0])).collect();
        assert_eq!(committed, [Some(0), Some(10), None, Some(0), Some(10), None], "the first commit only");
        assert_eq!(scan(&state), seen);

        let mut second = Collected::default();
        state.log_changes(&mut second).expect("logged");
        assert_eq!(second.0, [(2, None), (3, Some(20)), (4, Some(20))]);
        state.commit(Vec::new()).expect("committed");
        assert_eq!(scan(&state), seen);
    }
}
