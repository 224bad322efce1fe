//! The bytes of stores at rest.

use std::fmt;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use crate::error::Result;

/// A store of a task, by its place in the task's list of stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreId(pub u32);

impl StoreId {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a store is called and where its updates are logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSpec {
    /// `Aggregate-Aggregate-Materialize`, `KafkaTopic_Left-Reduce`, …
    pub name: String,
    /// The changelog topic is `<application id>-<name>-changelog`.
    pub changelog: bool,
}

/// A range of store keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    pub from: Bound<Vec<u8>>,
    pub to: Bound<Vec<u8>>,
}

impl KeyRange {
    pub fn all() -> KeyRange {
        KeyRange { from: Bound::Unbounded, to: Bound::Unbounded }
    }

    /// Every key that begins with these bytes.
    pub fn prefix(prefix: &[u8]) -> KeyRange {
        let mut end = prefix.to_vec();
        while let Some(last) = end.last_mut() {
            if *last < u8::MAX {
                *last += 1;
                return KeyRange { from: Bound::Included(prefix.to_vec()), to: Bound::Excluded(end) };
            }
            end.pop();
        }
        KeyRange { from: Bound::Included(prefix.to_vec()), to: Bound::Unbounded }
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        let after = match &self.from {
            Bound::Included(from) => key >= from.as_slice(),
            Bound::Excluded(from) => key > from.as_slice(),
            Bound::Unbounded => true,
        };
        let before = match &self.to {
            Bound::Included(to) => key <= to.as_slice(),
            Bound::Excluded(to) => key < to.as_slice(),
            Bound::Unbounded => true,
        };
        after && before
    }

    /// True if no key can be in it.
    pub fn is_empty(&self) -> bool {
        match (&self.from, &self.to) {
            (Bound::Included(from), Bound::Included(to)) => from > to,
            (Bound::Included(from), Bound::Excluded(to))
            | (Bound::Excluded(from), Bound::Included(to))
            | (Bound::Excluded(from), Bound::Excluded(to)) => from >= to,
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        }
    }
}

/// What a scan calls for each entry, in key order.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Reads what was committed. Threads: any; pull queries read while the task writes. One call sees one commit, never half.
pub trait StateReader: Send + Sync + fmt::Debug {
    /// Shape: one answer per key, in their order. Fastest if keys are sorted.
    fn multi_get(&self, store: StoreId, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>>;

    /// Visits the entries of a range in key order, until told to stop.
    fn scan(&self, store: StoreId, range: &KeyRange, visit: &mut Visit<'_>) -> Result<()>;

    /// Offset of the first changelog record that the store does not contain yet. None: nothing was ever written.
    fn position(&self, store: StoreId) -> Result<Option<i64>>;

    /// Errors: a call of any reader has failed, so the content is not to be trusted any more.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// One update of a store: None deletes.
pub type StoreWrite = (Vec<u8>, Option<Vec<u8>>);

/// What one commit writes, atomically.
#[derive(Clone, Debug, Default)]
pub struct CommitBatch {
    /// Shape: at most one entry per store, its writes sorted by key, keys unique.
    pub writes: Vec<(StoreId, Vec<StoreWrite>)>,
    /// New changelog positions.
    pub positions: Vec<(StoreId, i64)>,
}

/// The stores of one task. Threads: owned by the task's thread; [`StateBackend::reader`] is for others.
pub trait StateBackend: StateReader {
    /// Writes all of the batch or nothing.
    fn commit(&mut self, batch: CommitBatch) -> Result<()>;

    /// Forgets the content and position of a store (its changelog is behind, or was truncated).
    fn clear(&mut self, store: StoreId) -> Result<()>;

    /// Wall-clock time of the last commit that is here. Units: ms since epoch. None: not known.
    fn written_at_ms(&self) -> Result<Option<i64>> {
        Ok(None)
    }

    fn reader(&self) -> Arc<dyn StateReader>;
}
