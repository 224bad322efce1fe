//! Groups in memory: each has a slot in the accumulators, and a row in the store.

use arrow::array::{ArrayRef, new_null_array};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use weir_sql::types::SqlType;

use crate::batch::RowBatch;
use crate::batch::windows::{WindowColumns, WindowEnds};
use crate::error::Result;
use crate::operator::aggregate::calls::AggregateCalls;
use crate::state::backend::{StoreId, StoreWrite};
use crate::state::column_reader::ColumnReader;
use crate::state::key_codec::{KeyDecoder, encode_window_start};
use crate::state::resident_budget::ResidentShare;
use crate::state::row_codec::{RowDecoder, encode_row};
use crate::state::task_state::TaskState;

/// Groups kept in memory after a commit unless configured otherwise.
pub const RESIDENT_GROUPS_MAX: usize = 1 << 20;

/// A group, or one window of a group.
#[derive(Clone, Debug)]
pub struct Slot {
    pub hash: u64,
    /// Encoded key columns, without the window.
    pub key: Box<[u8]>,
    /// Units: ms. 0 if not windowed.
    pub window_start: i64,
    pub window_end: i64,
    /// Largest timestamp of the rows in the group.
    pub rowtime: i64,
    live: bool,
    dirty: bool,
}

/// Bytes of a slot besides its key and its state: with its place in the index and in the accumulators. It stays when the slot is
/// released.
const SLOT_BYTES: usize = 128;
/// The state of a group in memory is about so many times as large as its bytes in the store.
const DECODED_FACTOR: usize = 3;

/// Slots with the accumulators they address.
#[derive(Debug)]
pub struct Slots {
    store: StoreId,
    windowed: bool,
    window_ends: WindowEnds,
    key_types: Vec<SqlType>,
    pub calls: AggregateCalls,
    slots: Vec<Slot>,
    free: Vec<u32>,
    dirty: Vec<u32>,
    /// Bytes of the keys of all slots in use.
    key_bytes: usize,
    /// [`Slots::bytes`] after the last commit.
    committed_bytes: usize,
    share: ResidentShare,
}

impl Slots {
    pub fn new(store: StoreId, windowed: bool, key_types: Vec<SqlType>, calls: AggregateCalls) -> Slots {
        Slots {
            store,
            windowed,
            window_ends: WindowEnds::Fixed,
            key_types,
            calls,
            slots: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            key_bytes: 0,
            committed_bytes: 0,
            share: ResidentShare::default(),
        }
    }

    /// Shares a bound of memory with other stores.
    #[must_use]
    pub fn with_share(self, share: ResidentShare) -> Slots {
        Slots { share, ..self }
    }

    /// Notes what the groups hold after a commit, and `others` bytes with them.
    pub fn hold(&mut self, others: usize) {
        self.committed_bytes = self.bytes();
        self.share.hold(self.committed_bytes + others);
    }

    /// Bytes that the groups hold, roughly.
    fn bytes(&self) -> usize {
        self.slots.len() * SLOT_BYTES + self.key_bytes + self.calls.heap_bytes()
    }

    /// Bytes by which the groups have grown since the last commit, roughly: they cannot be forgotten before the next.
    pub fn uncommitted_bytes(&self) -> usize {
        self.bytes().saturating_sub(self.committed_bytes)
    }

    /// Bytes that no store of the node holds yet.
    pub fn room(&self) -> usize {
        self.share.room()
    }

    /// Bytes that a group of this key and stored state takes, about.
    pub fn bytes_of(key: &[u8], state: &[u8]) -> usize {
        SLOT_BYTES + key.len() + DECODED_FACTOR * state.len()
    }

    /// Notes the same, and gives how many groups are to stay in memory, if that is not all:
    /// there are more than `groups_max`, or the stores of the node hold too much.
    pub fn groups_kept(&mut self, groups_max: usize, others: usize) -> Option<usize> {
        self.hold(others);
        let groups = self.len();
        let kept = if groups > groups_max { groups_max - groups_max / 4 } else { groups };
        Some(kept.min(self.share.entries_max(groups))).filter(|kept| *kept < groups)
    }

    /// For sessions, whose ends grow.
    #[must_use]
    pub fn of_sessions(self) -> Slots {
        Slots { window_ends: WindowEnds::OfSession, ..self }
    }

    pub fn store(&self) -> StoreId {
        self.store
    }

    #[inline]
    pub fn get(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    #[inline]
    pub fn get_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot as usize]
    }

    /// Slots in use.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Slots in use, in no particular order.
    pub fn live(&self) -> impl Iterator<Item = u32> {
        self.slots.iter().enumerate().filter(|(_, s)| s.live).map(|(i, _)| i as u32)
    }

    pub fn is_dirty(&self, slot: u32) -> bool {
        self.slots[slot as usize].dirty
    }

    /// An empty group.
    pub fn create(&mut self, hash: u64, key: &[u8], window_start: i64, window_end: i64) -> u32 {
        let slot = Slot {
            hash,
            key: key.into(),
            window_start,
            window_end,
            rowtime: i64::MIN,
            live: true,
            dirty: false,
        };
        self.key_bytes += key.len();
        match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                self.calls.reserve(self.slots.len());
                (self.slots.len() - 1) as u32
            }
        }
    }

    /// Forgets a group in memory only.
    pub fn release(&mut self, slot: u32) {
        let entry = &mut self.slots[slot as usize];
        debug_assert!(entry.live);
        entry.live = false;
        entry.dirty = false;
        self.key_bytes -= entry.key.len();
        entry.key = Box::default();
        self.calls.reset(slot);
        self.free.push(slot);
    }

    /// Marks a group as changed since the last commit. Gives true if it was not yet.
    #[inline]
    pub fn touch(&mut self, slot: u32) -> bool {
        let entry = &mut self.slots[slot as usize];
        if entry.dirty {
            return false;
        }
        entry.dirty = true;
        self.dirty.push(slot);
        true
    }

    /// The key of a group in the store.
    pub fn store_key(&self, slot: u32) -> Vec<u8> {
        let entry = self.get(slot);
        store_key(&entry.key, self.windowed.then_some(entry.window_start))
    }

    /// Groups changed since the last commit, in the order in which they first changed.
    pub fn dirty(&self) -> Vec<u32> {
        // A slot that was released while dirty and then reused is listed twice.
        let mut seen = vec![false; self.slots.len()];
        self.dirty
            .iter()
            .copied()
            .filter(|s| self.slots[*s as usize].dirty && !std::mem::replace(&mut seen[*s as usize], true))
            .collect()
    }

    /// Hands changed groups to the store.
    pub fn flush(&mut self, state: &mut TaskState) -> Result<()> {
        let dirty = self.dirty();
        self.dirty.clear();
        let mut writes: Vec<StoreWrite> = Vec::with_capacity(dirty.len());
        let mut left = dirty.as_slice();
        while !left.is_empty() {
            let (piece, rest) = left.split_at(self.calls.fitting(left));
            let columns = self.calls.save(piece);
            let readers = ColumnReader::all(&columns)?;
            for (row, slot) in piece.iter().enumerate() {
                let entry = &mut self.slots[*slot as usize];
                entry.dirty = false;
                let mut bytes = Vec::new();
                encode_row(&readers, row, entry.rowtime, entry.window_end, &mut bytes);
                let key = store_key(&entry.key, self.windowed.then_some(entry.window_start));
                writes.push((key, Some(bytes)));
            }
            left = rest;
        }
        writes.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        state.put_run(self.store, writes);
        Ok(())
    }

    /// Reads groups from stored rows. Shape: `slots[i]` is an empty group that becomes `rows[i]`.
    pub fn load(&mut self, slots: &[u32], rows: &[Vec<u8>]) -> Result<()> {
        let mut decoder = RowDecoder::new(self.calls.state_types());
        rows.iter().try_for_each(|r| decoder.push(r))?;
        let decoded = decoder.finish();
        self.calls.load(slots, &decoded.columns);
        for (i, slot) in slots.iter().enumerate() {
            let entry = &mut self.slots[*slot as usize];
            entry.rowtime = decoded.rowtimes[i];
            entry.window_end = decoded.extras[i];
        }
        Ok(())
    }

    /// The groups as rows: keys read back from their bytes, values as given.
    pub fn rows(&self, slots: &[u32], value: Vec<ArrayRef>) -> Result<RowBatch> {
        let mut keys = KeyDecoder::new(&self.key_types);
        for slot in slots {
            keys.push(&self.get(*slot).key)?;
        }
        let rowtime: ScalarBuffer<i64> = slots.iter().map(|s| self.get(*s).rowtime).collect();
        let window = self.windowed.then(|| self.windows(slots));
        Ok(RowBatch { window, ..RowBatch::new(keys.finish(), value, rowtime) })
    }

    /// Rows without a value under these keys and windows (key, start, end); the end is the time of the row.
    pub fn tombstones<'a>(
        &self,
        gone: impl Iterator<Item = (&'a [u8], i64, i64)> + Clone,
        types: &[DataType],
    ) -> Result<RowBatch> {
        let mut keys = KeyDecoder::new(&self.key_types);
        for (key, _, _) in gone.clone() {
            keys.push(key)?;
        }
        let end: ScalarBuffer<i64> = gone.clone().map(|(_, _, end)| end).collect();
        let rows = end.len();
        let value: Vec<ArrayRef> = types.iter().map(|t| new_null_array(t, rows)).collect();
        let window = WindowColumns {
            start: gone.map(|(_, start, _)| start).collect(),
            end: end.clone(),
            kind: WindowEnds::OfSession,
        };
        Ok(RowBatch {
            window: Some(window),
            absent: Some(BooleanBuffer::new_set(rows)),
            ..RowBatch::new(keys.finish(), value, end)
        })
    }

    pub fn windows(&self, slots: &[u32]) -> WindowColumns {
        WindowColumns {
            start: slots.iter().map(|s| self.get(*s).window_start).collect(),
            end: slots.iter().map(|s| self.get(*s).window_end).collect(),
            kind: self.window_ends,
        }
    }
}

/// Encoded key columns and the window start, if there is one.
pub fn store_key(key: &[u8], window_start: Option<i64>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.len() + 8);
    bytes.extend_from_slice(key);
    if let Some(start) = window_start {
        encode_window_start(start, &mut bytes);
    }
    bytes
}
