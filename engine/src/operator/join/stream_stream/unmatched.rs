//! Rows of outer joins that have found no partner yet.

use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow};

use crate::error::Result;
use crate::state::backend::{KeyRange, StoreId};
use crate::state::key_codec::{encode_window_start, split_window_start};
use crate::state::resident_budget::ResidentShare;
use crate::state::table_store::RESIDENT_ROWS_MAX;
use crate::state::task_state::TaskState;

/// A row by its place in its buffer. The order is that of emission: by time, secondary side first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unmatched {
    pub time: i64,
    pub is_primary: bool,
    pub key: Box<[u8]>,
    pub sequence: i64,
}

/// The first rows are in memory, all of them are in the store.
///
/// Shape of store keys: time, side (0 secondary, 1 primary), key, sequence number; values are empty.
#[derive(Debug)]
pub struct UnmatchedRows {
    store: StoreId,
    /// All rows before `stored_from`.
    rows: BTreeSet<Unmatched>,
    /// From here on rows are in the store only, or among those added. None: there are none.
    stored_from: Option<Unmatched>,
    added: BTreeSet<Unmatched>,
    removed: BTreeSet<Unmatched>,
    resident_max: usize,
    share: ResidentShare,
    /// Bytes of the keys in memory.
    key_bytes: usize,
}

/// Bytes of a row in memory besides its key.
const ROW_BYTES: usize = 96;
/// Rows read back at a time.
const READ_ROWS: usize = 1_024;

impl UnmatchedRows {
    pub fn new(store: StoreId) -> UnmatchedRows {
        UnmatchedRows {
            store,
            rows: BTreeSet::new(),
            stored_from: None,
            added: BTreeSet::new(),
            removed: BTreeSet::new(),
            resident_max: RESIDENT_ROWS_MAX,
            share: ResidentShare::default(),
            key_bytes: 0,
        }
    }

    /// Shares a bound of memory with other stores.
    #[must_use]
    pub fn with_share(self, share: ResidentShare) -> UnmatchedRows {
        UnmatchedRows { share, ..self }
    }

    /// Bounds the number of rows kept in memory after a commit.
    #[must_use]
    pub fn with_resident_max(self, rows: usize) -> UnmatchedRows {
        UnmatchedRows { resident_max: rows.max(1), ..self }
    }

    pub fn store(&self) -> StoreId {
        self.store
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.stored_from.is_none()
    }

    /// No row is older.
    pub fn first_time(&self) -> Option<i64> {
        self.rows.first().or(self.stored_from.as_ref()).map(|row| row.time)
    }

    /// The row that follows another in order, or the first one, if it is wanted. All rows before a wanted one are, too.
    pub fn next_after(
        &mut self,
        after: Option<&Unmatched>,
        wanted: impl Fn(&Unmatched) -> bool,
        state: &TaskState,
    ) -> Result<Option<Unmatched>> {
        loop {
            let next = match after {
                None => self.rows.first(),
                Some(after) => {
                    self.rows.range::<Unmatched, _>((Bound::Excluded(after), Bound::Unbounded)).next()
                }
            };
            match next {
                Some(row) => return Ok(wanted(row).then(|| row.clone())),
                None if self.stored_from.as_ref().is_some_and(&wanted) => self.read_back(READ_ROWS, state)?,
                None => return Ok(None),
            }
        }
    }

    pub fn add(&mut self, row: Unmatched) {
        if self.is_in_memory(&row) {
            self.insert(row.clone());
        }
        self.added.insert(row);
    }

    /// Removes a row if it is here.
    pub fn remove(&mut self, row: &Unmatched, state: &TaskState) -> Result<()> {
        let is_stored = if self.is_in_memory(row) {
            if !self.rows.remove(row) {
                return Ok(());
            }
            self.key_bytes -= row.key.len();
            !self.added.remove(row)
        } else {
            !self.added.remove(row)
                && !self.removed.contains(row)
                && state.get(self.store, &encode(row))?.is_some()
        };
        if is_stored {
            self.removed.insert(row.clone());
        }
        Ok(())
    }

    fn is_in_memory(&self, row: &Unmatched) -> bool {
        self.stored_from.as_ref().is_none_or(|from| row < from)
    }

    fn insert(&mut self, row: Unmatched) {
        let bytes = row.key.len();
        if self.rows.insert(row) {
            self.key_bytes += bytes;
        }
    }

    /// Reads the next rows back into memory.
    fn read_back(&mut self, rows_max: usize, state: &TaskState) -> Result<()> {
        let Some(from) = self.stored_from.take() else { return Ok(()) };
        let range = KeyRange { from: Bound::Included(encode(&from)), to: Bound::Unbounded };
        let mut next: BTreeSet<Unmatched> =
            self.added.range::<Unmatched, _>(&from..).take(rows_max + 1).cloned().collect();
        let (mut read, removed) = (0, &self.removed);
        state.scan(self.store, &range, &mut |key, _| {
            if let Some(row) = decode(key).filter(|row| !removed.contains(row)) {
                read += 1;
                next.insert(row);
            }
            if read > rows_max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        for row in next.iter().take(rows_max) {
            self.insert(row.clone());
        }
        self.stored_from = next.into_iter().nth(rows_max);
        Ok(())
    }

    /// Reads rows back for as long as there is room for them.
    pub fn open(&mut self, state: &TaskState) -> Result<()> {
        self.stored_from =
            Some(Unmatched { time: i64::MIN, is_primary: false, key: Box::default(), sequence: i64::MIN });
        let room = self.share.room();
        loop {
            self.read_back(READ_ROWS.min(self.resident_max), state)?;
            let is_full = self.rows.len() >= self.resident_max || self.bytes() > room;
            if self.stored_from.is_none() || is_full {
                self.share.hold(self.bytes());
                return Ok(());
            }
        }
    }

    /// Hands changes to the store, then forgets in memory the last rows beyond the bounds.
    pub fn flush(&mut self, state: &mut TaskState) {
        for row in std::mem::take(&mut self.removed) {
            state.put(self.store, encode(&row), None);
        }
        for row in std::mem::take(&mut self.added) {
            state.put(self.store, encode(&row), Some(Vec::new()));
        }
        self.share.hold(self.bytes());
        let rows = self.rows.len();
        let kept = if rows > self.resident_max { self.resident_max - self.resident_max / 4 } else { rows };
        let kept = kept.min(self.share.entries_max(rows));
        if kept == rows {
            return;
        }
        while self.rows.len() > kept {
            self.stored_from = self.rows.pop_last();
            self.key_bytes -= self.stored_from.as_ref().map_or(0, |row| row.key.len());
        }
        self.share.hold(self.bytes());
    }

    fn bytes(&self) -> usize {
        self.rows.len() * ROW_BYTES + self.key_bytes
    }
}

/// Begins with a marker, so that no key is that of other data in the store.
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
