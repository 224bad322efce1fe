//! Rows of outer joins that have found no partner yet.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::error::Result;
use crate::state::backend::{KeyRange, StoreId};
use crate::state::key_codec::{encode_window_start, split_window_start};
use crate::state::task_state::{META_KEY, TaskState};

/// A row by its place in its buffer. The order is that of emission: by time, secondary side first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unmatched {
    pub time: i64,
    pub is_primary: bool,
    pub key: Box<[u8]>,
    pub sequence: i64,
}

/// Shape of store keys: time, side (0 secondary, 1 primary), key, sequence number; values are empty.
#[derive(Debug)]
pub struct UnmatchedRows {
    store: StoreId,
    rows: BTreeSet<Unmatched>,
    added: BTreeSet<Unmatched>,
    removed: BTreeSet<Unmatched>,
}

impl UnmatchedRows {
    pub fn new(store: StoreId) -> UnmatchedRows {
        UnmatchedRows { store, rows: BTreeSet::new(), added: BTreeSet::new(), removed: BTreeSet::new() }
    }

    pub fn store(&self) -> StoreId {
        self.store
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn first_time(&self) -> Option<i64> {
        self.rows.first().map(|r| r.time)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Unmatched> {
        self.rows.iter()
    }

    pub fn add(&mut self, row: Unmatched) {
        self.added.insert(row.clone());
        self.rows.insert(row);
    }

    pub fn remove(&mut self, row: &Unmatched) {
        if self.rows.remove(row) && !self.added.remove(row) {
            self.removed.insert(row.clone());
        }
    }

    pub fn open(&mut self, state: &TaskState) -> Result<()> {
        let rows = &mut self.rows;
        state.scan(self.store, &KeyRange::all(), &mut |key, _| {
            if key != META_KEY
                && let Some(row) = decode(key)
            {
                rows.insert(row);
            }
            ControlFlow::Continue(())
        })
    }

    pub fn flush(&mut self, state: &mut TaskState) {
        for row in std::mem::take(&mut self.removed) {
            state.put(self.store, encode(&row), None);
        }
        for row in std::mem::take(&mut self.added) {
            state.put(self.store, encode(&row), Some(Vec::new()));
        }
    }
}

/// Begins with a marker, so that no key is [`META_KEY`].
fn encode(row: &Unmatched) -> Vec<u8> {
    let mut bytes = vec![1];
    encode_window_start(row.time, &mut bytes);
    bytes.push(u8::from(row.is_primary));
    bytes.extend_from_slice(&row.key);
    encode_window_start(row.sequence, &mut bytes);
    bytes
}

fn decode(bytes: &[u8]) -> Option<Unmatched> {
    let (rest, sequence) = split_window_start(bytes.get(1..)?)?;
    let (time, rest) = rest.split_first_chunk::<8>()?;
    let (side, key) = rest.split_first()?;
    Some(Unmatched {
        time: i64::from_be_bytes(*time) ^ i64::MIN,
        is_primary: *side == 1,
        key: key.into(),
        sequence,
    })
}
