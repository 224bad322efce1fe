//! The rows of one stream that a row of the other may still join.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{Bound, ControlFlow};

use arrow::array::ArrayRef;
use weir_sql::types::SqlType;

use crate::error::Result;
use crate::operator::pieces::PieceLimit;
use crate::state::backend::{KeyRange, StoreId};
use crate::state::column_reader::ColumnReader;
use crate::state::evicted_entries::EvictedEntries;
use crate::state::key_codec::{encode_window_start, split_window_start};
use crate::state::resident_budget::ResidentShare;
use crate::state::row_arena::{NO_ROW, RowArena};
use crate::state::row_codec::{RowDecoder, encode_row, row_header};
use crate::state::table_store::RESIDENT_ROWS_MAX;
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

/// The order of the rows of a key: time, sequence number.
pub type Place = (i64, i64);

/// Which rows of a key are looked for.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Rows up to this place are left out.
    pub after: Place,
    /// The last time.
    pub to: i64,
    /// Bytes that each row is joined with.
    pub other_bytes: usize,
    pub limit: PieceLimit,
}

/// Some rows of a key, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct Matches<'a> {
    pub rows: &'a [BufferedRow],
    /// Bytes of the joined rows, about.
    pub bytes: usize,
    /// False if more rows follow.
    pub is_last: bool,
}

/// Rows by key and time, for as long as the buffer retains them. The store has all of them; the newest are in memory, too.
///
/// Rows are looked for with [`WindowBuffer::matches`] and [`WindowBuffer::find`], then gathered; [`WindowBuffer::release`]
/// follows.
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
    /// Rows up to this time are in memory only until they are written.
    evicted_until: i64,
    evicted: EvictedEntries,
    /// Rows read back for what is gathered next, their bytes, and where their columns are once they are decoded.
    read: RowDecoder,
    read_bytes: Vec<u32>,
    read_slots: Vec<u32>,
    resident_max: usize,
    share: ResidentShare,
    /// Bytes of the keys in memory.
    key_bytes: usize,
}

/// Bytes of a buffered row besides its key and its columns: its places in the indexes.
const BUFFERED_BYTES: usize = 120;
/// Decoded rows are about so many times as large as their bytes in the store.
const DECODED_FACTOR: usize = 3;
/// Marks the slot of a row that was read back for a batch; the rest is its number.
const READ: u32 = 1 << 31;

impl WindowBuffer {
    pub fn new(store: StoreId, types: Vec<SqlType>, retention_ms: i64) -> WindowBuffer {
        let arena = RowArena::new(types.iter().map(SqlType::to_arrow).collect());
        let read = RowDecoder::new(&types);
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
            evicted_until: i64::MIN,
            evicted: EvictedEntries::new(store),
            read,
            read_bytes: Vec::new(),
            read_slots: Vec::new(),
            resident_max: RESIDENT_ROWS_MAX,
            share: ResidentShare::default(),
            key_bytes: 0,
        }
    }

    /// Shares a bound of memory with other stores.
    #[must_use]
    pub fn with_share(self, share: ResidentShare) -> WindowBuffer {
        WindowBuffer { share, ..self }
    }

    /// Bounds the number of rows kept in memory after a commit.
    #[must_use]
    pub fn with_resident_max(self, rows: usize) -> WindowBuffer {
        WindowBuffer { resident_max: rows.max(1), ..self }
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

    /// Bytes of the columns of a row that was added or found, about.
    pub fn row_bytes(&self, slot: u32) -> usize {
        match slot {
            NO_ROW => 0,
            slot if slot & READ == 0 => self.arena.row_bytes(slot),
            read => self.read_bytes[(read & !READ) as usize] as usize,
        }
    }

    /// The columns of rows that were added or found.
    pub fn gather(&mut self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        if !self.read.is_empty() {
            let rows = self.read.finish();
            let all: Vec<u32> = (0..rows.rowtimes.len() as u32).collect();
            self.read_slots.extend(self.arena.insert(&rows.columns, &all)?);
        }
        if self.read_slots.is_empty() {
            return self.arena.gather(slots);
        }
        let place = |slot: &u32| match *slot {
            NO_ROW => NO_ROW,
            slot if slot & READ == 0 => slot,
            read => self.read_slots[(read & !READ) as usize],
        };
        self.arena.gather(&slots.iter().map(place).collect::<Vec<u32>>())
    }

    /// Forgets the rows that were read back.
    pub fn release(&mut self) -> Result<()> {
        if self.read_slots.is_empty() && self.read.is_empty() {
            return Ok(());
        }
        self.read = RowDecoder::new(&self.types);
        self.read_bytes.clear();
        for slot in self.read_slots.drain(..) {
            self.arena.remove(slot);
        }
        self.arena.compact()
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
        self.key_bytes += key.len();
    }

    fn is_retained(&self, time: i64) -> bool {
        time > self.observed.saturating_sub(self.retention_ms)
    }

    /// Rows of a key that are still retained: as many as the limit takes, and at least one if there is any. `found` is room for
    /// them.
    pub fn matches<'a>(
        &'a mut self,
        key: &[u8],
        search: &Search,
        state: &TaskState,
        found: &'a mut Vec<BufferedRow>,
    ) -> Result<Matches<'a>> {
        let first = self.observed.saturating_sub(self.retention_ms).saturating_add(1);
        let after = search.after.max((first, i64::MIN));
        let to = (search.to, i64::MAX);
        if after.0 > self.evicted_until {
            let rows = self.in_memory(key, after, to);
            return Ok(self.fitting(rows, search, true));
        }
        found.clear();
        let stored_to = to.min((self.evicted_until, i64::MAX));
        let is_read = self.read_back(key, (after, stored_to), search.limit, state, found)?;
        // Rows that are not written yet may be older than what was read.
        let to = if is_read { to } else { found.last().map_or(to, |row| (row.time, row.sequence)) };
        let in_memory = self.in_memory(key, after, to);
        let taken = &in_memory[..in_memory.len().min(search.limit.rows_max)];
        found.extend_from_slice(taken);
        found.sort_by_key(|row| (row.time, row.sequence));
        let is_last = is_read && taken.len() == in_memory.len();
        Ok(self.fitting(found.as_slice(), search, is_last))
    }

    /// The first of these rows that the limit takes. `is_last`: all rows are among them.
    fn fitting<'a>(&self, rows: &'a [BufferedRow], search: &Search, is_last: bool) -> Matches<'a> {
        let Search { limit, other_bytes, .. } = *search;
        let (mut count, mut bytes) = (0, 0_usize);
        while count < rows.len().min(limit.rows_max) && bytes < limit.bytes_max {
            bytes = bytes.saturating_add(other_bytes + self.row_bytes(rows[count].slot));
            count += 1;
        }
        Matches { rows: &rows[..count], bytes, is_last: is_last && count == rows.len() }
    }

    fn in_memory(&self, key: &[u8], after: Place, to: Place) -> &[BufferedRow] {
        let Some(list) = self.rows.get(key) else { return &[] };
        let start = list.partition_point(|r| (r.time, r.sequence) <= after);
        let end = list.partition_point(|r| (r.time, r.sequence) <= to);
        &list[start.min(end)..end]
    }

    /// Reads rows of a key that are written, in order. They must not be in memory. False if the limit left some out.
    fn read_back(
        &mut self,
        key: &[u8],
        (after, to): (Place, Place),
        limit: PieceLimit,
        state: &TaskState,
        found: &mut Vec<BufferedRow>,
    ) -> Result<bool> {
        if after >= to {
            return Ok(true);
        }
        let range = KeyRange {
            from: Bound::Excluded(buffer_key(key, after)),
            to: Bound::Included(buffer_key(key, to)),
        };
        let (mut rows, mut bytes, mut is_last) = (0, 0_usize, true);
        let mut failed = None;
        state.scan(self.store, &range, &mut |key, value| {
            let Some((_, time, sequence)) = split_key(key) else { return ControlFlow::Continue(()) };
            if rows == limit.rows_max || bytes >= limit.bytes_max {
                is_last = false;
                return ControlFlow::Break(());
            }
            let slot = READ | (self.read_slots.len() + self.read.len()) as u32;
            if let Err(error) = self.read.push(value) {
                failed = Some(error);
                return ControlFlow::Break(());
            }
            let row_bytes = DECODED_FACTOR * value.len();
            self.read_bytes.push(u32::try_from(row_bytes).unwrap_or(u32::MAX));
            (rows, bytes) = (rows + 1, bytes.saturating_add(row_bytes));
            let window_end = row_header(value).map_or(0, |(_, end)| end);
            found.push(BufferedRow { time, sequence, slot, window_end, stored: true });
            ControlFlow::Continue(())
        })?;
        failed.map_or(Ok(is_last), Err)
    }

    /// The row at this place.
    pub fn find(&mut self, key: &[u8], place: Place, state: &TaskState) -> Result<Option<BufferedRow>> {
        if let Some(row) = self.find_in_memory(key, place) {
            return Ok(Some(row));
        }
        let (time, sequence) = place;
        if time > self.evicted_until {
            return Ok(None);
        }
        let mut found = Vec::new();
        let before = (time, sequence.saturating_sub(1));
        self.read_back(key, (before, place), PieceLimit::default(), state, &mut found)?;
        Ok(found.into_iter().next())
    }

    fn find_in_memory(&self, key: &[u8], place: Place) -> Option<BufferedRow> {
        let list = self.rows.get(key)?;
        position(list, place).map(|at| list[at])
    }

    /// The number that the last pushed row got.
    pub fn last_sequence(&self) -> i64 {
        self.sequence
    }

    /// Reads everything back from the store if there is room for it, and nothing otherwise.
    pub fn open(&mut self, state: &TaskState) -> Result<()> {
        let (mut bytes, bytes_max) = (0, self.share.room());
        let mut keys = Vec::new();
        let mut decoder = Some(RowDecoder::new(&self.types));
        let mut failed = None;
        state.scan(self.store, &KeyRange::all(), &mut |key, value| {
            if key == META_KEY {
                if let Some((observed, rest)) = value.split_first_chunk::<8>() {
                    self.observed = i64::from_le_bytes(*observed);
                    self.sequence = rest.first_chunk::<8>().map_or(0, |s| i64::from_le_bytes(*s));
                }
                return ControlFlow::Continue(());
            }
            let Some((_, time, _)) = split_key(key) else { return ControlFlow::Continue(()) };
            self.evicted.add(time);
            self.evicted_until = self.evicted_until.max(time);
            bytes += BUFFERED_BYTES + 2 * key.len() + DECODED_FACTOR * value.len();
            if bytes > bytes_max || keys.len() == self.resident_max {
                (decoder, keys) = (None, Vec::new());
            }
            let Some(decoder) = &mut decoder else { return ControlFlow::Continue(()) };
            if let Err(error) = decoder.push(value) {
                failed = Some(error);
                return ControlFlow::Break(());
            }
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        })?;
        match (failed, decoder) {
            (Some(error), _) => Err(error),
            (None, Some(decoder)) => self.fill(&keys, decoder),
            (None, None) => Ok(()),
        }
    }

    /// Takes all rows of the store into memory.
    fn fill(&mut self, keys: &[Vec<u8>], mut decoder: RowDecoder) -> Result<()> {
        let rows = decoder.finish();
        let all: Vec<u32> = (0..keys.len() as u32).collect();
        let slots = self.arena.insert(&rows.columns, &all)?;
        for (i, key) in keys.iter().enumerate() {
            let Some((key, time, sequence)) = split_key(key) else { continue };
            let (slot, window_end) = (slots[i], rows.extras[i]);
            self.insert(key, BufferedRow { time, sequence, slot, window_end, stored: true });
        }
        (self.evicted, self.evicted_until) = (EvictedEntries::new(self.store), i64::MIN);
        self.hold();
        Ok(())
    }

    /// Hands new rows to the store, forgets expired ones, and in memory those beyond the bounds. Rows from `keep_from` on stay:
    /// they may still come out unmatched.
    pub fn flush(&mut self, keep_from: Option<i64>, state: &mut TaskState) -> Result<()> {
        let expired = self.observed.saturating_sub(self.retention_ms);
        let expired = keep_from.map_or(expired, |from| expired.min(from.saturating_sub(1)));
        let added = std::mem::take(&mut self.added);
        let rows: Vec<_> =
            added.iter().filter_map(|(k, t, s)| Some((k, self.find_in_memory(k, (*t, *s))?))).collect();
        let slots: Vec<u32> = rows.iter().map(|(_, r)| r.slot).collect();
        let columns = self.arena.gather(&slots)?;
        let readers = ColumnReader::all(&columns)?;
        let mut written = Vec::new();
        for (i, (key, row)) in rows.iter().enumerate() {
            if row.time > expired {
                let mut bytes = Vec::new();
                encode_row(&readers, i, row.time, row.window_end, &mut bytes);
                state.put(self.store, buffer_key(key, (row.time, row.sequence)), Some(bytes));
                written.push(((*key).clone(), row.time, row.sequence));
            }
        }
        for (key, time, sequence) in written {
            let list = self.rows.get_mut(&key).expect("rows just written are buffered");
            if let Some(at) = position(list, (time, sequence)) {
                list[at].stored = true;
            }
        }
        if !added.is_empty() {
            let mut meta = self.observed.to_le_bytes().to_vec();
            meta.extend_from_slice(&self.sequence.to_le_bytes());
            state.put(self.store, META_KEY.to_vec(), Some(meta));
        }
        self.expire(expired, state);
        self.evicted.expire(expired, added.len(), state, |key, _| Some(split_key(key)?.1))?;
        if self.evicted.is_empty() {
            self.evicted_until = i64::MIN;
        }
        self.evict()
    }

    /// Forgets rows up to a time.
    fn expire(&mut self, expired: i64, state: &mut TaskState) {
        let store = self.store;
        self.take_until(expired, |key, row| {
            if row.stored {
                state.put(store, buffer_key(key, (row.time, row.sequence)), None);
            }
        });
    }

    /// Forgets rows in memory, oldest first: those beyond the bounds, and those older than rows that were forgotten before.
    fn evict(&mut self) -> Result<()> {
        self.arena.compact()?;
        self.hold();
        let rows = self.arena.len();
        let kept = if rows > self.resident_max { self.resident_max - self.resident_max / 4 } else { rows };
        let excess = rows - kept.min(self.share.entries_max(rows));
        let mut counted = 0;
        let last = self.by_time.iter().take_while(|(_, keys)| {
            let is_excess = counted < excess;
            counted += keys.len();
            is_excess
        });
        let until = last.last().map_or(i64::MIN, |(time, _)| *time).max(self.evicted_until);
        if until == i64::MIN {
            return Ok(());
        }
        self.evicted_until = until;
        let mut times = Vec::new();
        self.take_until(until, |_, row| {
            debug_assert!(row.stored, "only rows that were written can be forgotten");
            times.push(row.time);
        });
        times.into_iter().for_each(|time| self.evicted.add(time));
        self.arena.compact()?;
        self.hold();
        Ok(())
    }

    /// Takes rows up to a time out of memory.
    fn take_until(&mut self, until: i64, mut take: impl FnMut(&[u8], BufferedRow)) {
        if self.by_time.first_key_value().is_none_or(|(first, _)| *first > until) {
            return;
        }
        let later = match until.checked_add(1) {
            Some(first) => self.by_time.split_off(&first),
            None => BTreeMap::new(),
        };
        let keys: BTreeSet<Box<[u8]>> =
            std::mem::replace(&mut self.by_time, later).into_values().flatten().collect();
        for key in keys {
            let Some(list) = self.rows.get_mut(&key) else { continue };
            let end = list.partition_point(|r| r.time <= until);
            for row in list.drain(..end) {
                self.arena.remove(row.slot);
                self.key_bytes -= key.len();
                take(&key, row);
            }
            if list.is_empty() {
                self.rows.remove(&key);
            }
        }
    }

    /// Notes what the rows in memory take.
    fn hold(&mut self) {
        let bytes = self.arena.memory_bytes() + self.arena.len() * BUFFERED_BYTES + 2 * self.key_bytes;
        self.share.hold(bytes);
    }
}

/// Where the row at this place is in a list of one key.
fn position(list: &[BufferedRow], place: Place) -> Option<usize> {
    list.binary_search_by_key(&place, |r| (r.time, r.sequence)).ok()
}

fn buffer_key(key: &[u8], (time, sequence): Place) -> Vec<u8> {
    let mut bytes = key.to_vec();
    encode_window_start(time, &mut bytes);
    encode_window_start(sequence, &mut bytes);
    bytes
}

/// The parts of a [`buffer_key`].
fn split_key(key: &[u8]) -> Option<(&[u8], i64, i64)> {
    let (key, sequence) = split_window_start(key)?;
    let (key, time) = split_window_start(key)?;
    Some((key, time, sequence))
}
