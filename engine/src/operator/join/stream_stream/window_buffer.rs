//! The rows of one stream that a row of the other may still join.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

use arrow::array::ArrayRef;
use weir_sql::types::SqlType;

use crate::error::Result;
use crate::state::backend::{KeyRange, StoreId};
use crate::state::column_reader::ColumnReader;
use crate::state::key_codec::{encode_window_start, split_window_start};
use crate::state::resident_budget::ResidentShare;
use crate::state::row_arena::RowArena;
use crate::state::row_codec::{RowDecoder, encode_row};
use crate::state::task_state::{META_KEY, TaskState};

/// A buffered row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferedRow {
    pub time: i64,
    /// Number of the row in its buffer: rows of equal time keep their order.
    pub sequence: i64,
    /// Where its columns are.
    pub slot: u32,
    /// End of the window of its key, if keys are windowed.
    pub window_end: i64,
    stored: bool,
}

/// Rows by key and time, for as long as the buffer retains them. All are held in memory; the store has them for restarts.
///
/// Store keys are the row's key, its time and its sequence number.
#[derive(Debug)]
pub struct WindowBuffer {
    store: StoreId,
    types: Vec<SqlType>,
    retention_ms: i64,
    arena: RowArena,
    rows: HashMap<Box<[u8]>, Vec<BufferedRow>, foldhash::fast::FixedState>,
    by_time: BTreeMap<i64, Vec<Box<[u8]>>>,
    added: Vec<(Box<[u8]>, i64, i64)>,
    /// Largest time buffered.
    observed: i64,
    sequence: i64,
    share: ResidentShare,
}

/// Bytes of a buffered row besides its columns: its key, twice, and its places in the indexes.
const BUFFERED_BYTES: usize = 160;

impl WindowBuffer {
    pub fn new(store: StoreId, types: Vec<SqlType>, retention_ms: i64) -> WindowBuffer {
        let arena = RowArena::new(types.iter().map(SqlType::to_arrow).collect());
        WindowBuffer {
            store,
            types,
            retention_ms,
            arena,
            rows: HashMap::default(),
            by_time: BTreeMap::new(),
            added: Vec::new(),
            observed: i64::MIN,
            sequence: 0,
            share: ResidentShare::default(),
        }
    }

    /// Shares a bound of memory with other stores.
    #[must_use]
    pub fn with_share(self, share: ResidentShare) -> WindowBuffer {
        WindowBuffer { share, ..self }
    }

    pub fn store(&self) -> StoreId {
        self.store
    }

    /// Copies columns in. Shape: one slot per entry of `rows`.
    pub fn add_columns(&mut self, columns: &[ArrayRef], rows: &[u32]) -> Result<Vec<u32>> {
        self.arena.insert(columns, rows)
    }

    /// Frees a slot that was not buffered.
    pub fn drop_columns(&mut self, slot: u32) {
        self.arena.remove(slot);
    }

    pub fn gather(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        self.arena.gather(slots)
    }

    /// Buffers a row. Gives false if it is older than what is retained.
    pub fn push(&mut self, key: &[u8], time: i64, window_end: i64, slot: u32) -> bool {
        self.observed = self.observed.max(time);
        if !self.is_retained(time) {
            return false;
        }
        self.sequence += 1;
        let row = BufferedRow { time, sequence: self.sequence, slot, window_end, stored: false };
        self.added.push((key.into(), time, self.sequence));
        self.insert(key, row);
        true
    }

    fn insert(&mut self, key: &[u8], row: BufferedRow) {
        let list = self.rows.entry(key.into()).or_default();
        let at = list.partition_point(|r| (r.time, r.sequence) < (row.time, row.sequence));
        list.insert(at, row);
        self.by_time.entry(row.time).or_default().push(key.into());
    }

    fn is_retained(&self, time: i64) -> bool {
        time > self.observed.saturating_sub(self.retention_ms)
    }

    /// Rows of a key with times `from..=to` that are still retained, oldest first.
    pub fn matches(&self, key: &[u8], from: i64, to: i64) -> &[BufferedRow] {
        let Some(list) = self.rows.get(key) else { return &[] };
        let from = from.max(self.observed.saturating_sub(self.retention_ms).saturating_add(1));
        let start = list.partition_point(|r| r.time < from);
        let end = list.partition_point(|r| r.time <= to);
        &list[start.min(end)..end]
    }

    /// The row of this time and sequence number.
    pub fn find(&self, key: &[u8], time: i64, sequence: i64) -> Option<BufferedRow> {
        let list = self.rows.get(key)?;
        position(list, time, sequence).map(|at| list[at])
    }

    /// The number that the last pushed row got.
    pub fn last_sequence(&self) -> i64 {
        self.sequence
    }

    /// Reads everything back from the store.
    pub fn open(&mut self, state: &TaskState) -> Result<()> {
        let mut keys = Vec::new();
        let mut decoder = RowDecoder::new(&self.types);
        let mut failed = None;
        state.scan(self.store, &KeyRange::all(), &mut |key, value| {
            if key == META_KEY {
                if let Some((observed, rest)) = value.split_first_chunk::<8>() {
                    self.observed = i64::from_le_bytes(*observed);
                    self.sequence = rest.first_chunk::<8>().map_or(0, |s| i64::from_le_bytes(*s));
                }
                return ControlFlow::Continue(());
            }
            if let Err(error) = decoder.push(value) {
                failed = Some(error);
                return ControlFlow::Break(());
            }
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        let rows = decoder.finish();
        let all: Vec<u32> = (0..keys.len() as u32).collect();
        let slots = self.arena.insert(&rows.columns, &all)?;
        for (i, key) in keys.iter().enumerate() {
            let Some((key, sequence)) = split_window_start(key) else { continue };
            let Some((key, time)) = split_window_start(key) else { continue };
            let (slot, window_end) = (slots[i], rows.extras[i]);
            self.insert(key, BufferedRow { time, sequence, slot, window_end, stored: true });
        }
        Ok(())
    }

    /// Hands new rows to the store, forgets expired ones. Rows from `keep_from` on stay: they may still come out unmatched.
    pub fn flush(&mut self, keep_from: Option<i64>, state: &mut TaskState) -> Result<()> {
        let expired = self.observed.saturating_sub(self.retention_ms);
        let expired = keep_from.map_or(expired, |from| expired.min(from.saturating_sub(1)));
        let added = std::mem::take(&mut self.added);
        let changed = !added.is_empty();
        let rows: Vec<_> = added.iter().filter_map(|(k, t, s)| Some((k, self.find(k, *t, *s)?))).collect();
        let slots: Vec<u32> = rows.iter().map(|(_, r)| r.slot).collect();
        let columns = self.arena.gather(&slots)?;
        let readers = ColumnReader::all(&columns)?;
        let mut written = Vec::new();
        for (i, (key, row)) in rows.iter().enumerate() {
            if row.time > expired {
                let mut bytes = Vec::new();
                encode_row(&readers, i, row.time, row.window_end, &mut bytes);
                state.put(self.store, buffer_key(key, row.time, row.sequence), Some(bytes));
                written.push(((*key).clone(), row.time, row.sequence));
            }
        }
        for (key, time, sequence) in written {
            let list = self.rows.get_mut(&key).expect("rows just written are buffered");
            if let Some(at) = position(list, time, sequence) {
                list[at].stored = true;
            }
        }
        if changed {
            let mut meta = self.observed.to_le_bytes().to_vec();
            meta.extend_from_slice(&self.sequence.to_le_bytes());
            state.put(self.store, META_KEY.to_vec(), Some(meta));
        }
        self.expire(expired, state);
        self.arena.compact()?;
        // Buffered rows stay in memory whatever they take; they count.
        self.share.hold(self.arena.memory_bytes() + self.arena.len() * BUFFERED_BYTES);
        Ok(())
    }

    /// Forgets rows up to a time.
    fn expire(&mut self, expired: i64, state: &mut TaskState) {
        let later = match expired.checked_add(1) {
            Some(first) => self.by_time.split_off(&first),
            None => BTreeMap::new(),
        };
        let keys: BTreeSet<Box<[u8]>> =
            std::mem::replace(&mut self.by_time, later).into_values().flatten().collect();
        for key in keys {
            let Some(list) = self.rows.get_mut(&key) else { continue };
            let end = list.partition_point(|r| r.time <= expired);
            for row in list.drain(..end) {
                self.arena.remove(row.slot);
                if row.stored {
                    state.put(self.store, buffer_key(&key, row.time, row.sequence), None);
                }
            }
            if list.is_empty() {
                self.rows.remove(&key);
            }
        }
    }
}

/// Where the row of this time and sequence number is in a list of one key.
fn position(list: &[BufferedRow], time: i64, sequence: i64) -> Option<usize> {
    list.binary_search_by_key(&(time, sequence), |r| (r.time, r.sequence)).ok()
}

fn buffer_key(key: &[u8], time: i64, sequence: i64) -> Vec<u8> {
    let mut bytes = key.to_vec();
    encode_window_start(time, &mut bytes);
    encode_window_start(sequence, &mut bytes);
    bytes
}
