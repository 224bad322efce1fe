//! The current rows of a table: hot ones decoded in memory, all of them in the store.

use arrow::array::ArrayRef;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use weir_sql::types::SqlType;

use crate::error::{EngineError, Result};
use crate::state::backend::{KeyRange, StoreId, StoreWrite};
use crate::state::column_reader::ColumnReader;
use crate::state::key_codec::EncodedKeys;
use crate::state::resident_budget::ResidentShare;
use crate::state::row_arena::{NO_ROW, RowArena};
use crate::state::row_codec::{RowDecoder, encode_row};
use crate::state::task_state::{META_KEY, TaskState};

/// Rows read from the store at a time.
const LOADED_MAX: usize = 1_024;
/// Bytes by which rows may grow before a commit: a query commits much earlier, unless its rows suddenly read large ones.
const LOADED_BYTES_MAX: usize = 512 << 20;

/// Rows kept decoded unless configured otherwise.
pub const RESIDENT_ROWS_MAX: usize = 1 << 20;

/// A row of the table, or its absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableRow {
    /// Slot in the arena, [`NO_ROW`] if the row does not exist.
    pub slot: u32,
    /// Timestamp of the last change.
    pub rowtime: i64,
    /// The store's own number: the window end of windowed tables.
    pub extra: i64,
}

impl TableRow {
    pub const ABSENT: TableRow = TableRow { slot: NO_ROW, rowtime: i64::MIN, extra: 0 };

    pub fn exists(&self) -> bool {
        self.slot != NO_ROW
    }
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    key: Box<[u8]>,
    row: TableRow,
    dirty: bool,
}

/// Rows by key. Call [`TableStore::load`] for the keys of a batch, then [`TableStore::find`] and [`TableStore::replace`]
/// row by row, then [`TableStore::gather`]; [`TableStore::release`] ends the batch.
#[derive(Debug)]
pub struct TableStore {
    store: StoreId,
    types: Vec<SqlType>,
    hasher: FixedState,
    index: HashTable<u32>,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    dirty: Vec<u32>,
    arena: RowArena,
    /// Rows that were replaced in this batch and may still be gathered.
    replaced: Vec<u32>,
    /// True if every row of the store is in memory: a miss is then an absence.
    complete: bool,
    opened: bool,
    resident_max: usize,
    evict_from: usize,
    /// Bytes of the keys in memory.
    key_bytes: usize,
    /// [`TableStore::bytes`] after the last commit.
    committed_bytes: usize,
    share: ResidentShare,
}

/// Bytes of a row besides its key and its columns: its entry and its place in the index. It stays when the row is forgotten.
const ENTRY_BYTES: usize = 96;

impl TableStore {
    pub fn new(store: StoreId, types: Vec<SqlType>) -> TableStore {
        let arena = RowArena::new(types.iter().map(SqlType::to_arrow).collect());
        TableStore {
            store,
            types,
            hasher: FixedState::default(),
            index: HashTable::new(),
            entries: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            arena,
            replaced: Vec::new(),
            complete: false,
            opened: false,
            resident_max: RESIDENT_ROWS_MAX,
            evict_from: 0,
            key_bytes: 0,
            committed_bytes: 0,
            share: ResidentShare::default(),
        }
    }

    /// Shares a bound of memory with other stores.
    #[must_use]
    pub fn with_share(self, share: ResidentShare) -> TableStore {
        TableStore { share, ..self }
    }

    /// Bounds the number of rows kept decoded after a commit.
    #[must_use]
    pub fn with_resident_max(mut self, rows: usize) -> TableStore {
        self.resident_max = rows.max(1);
        self
    }

    /// Reads the rows of these keys from the store unless they are in memory. Rows for which `skip` is true are left out.
    ///
    /// Errors: they take too much memory together.
    pub fn load(
        &mut self,
        keys: &EncodedKeys,
        skip: impl Fn(usize) -> bool,
        state: &TaskState,
    ) -> Result<()> {
        self.open(state)?;
        if self.complete {
            return Ok(());
        }
        let mut missing: Vec<&[u8]> = (0..keys.len())
            .filter(|row| !skip(*row) && self.position(keys.get(*row)).is_none())
            .map(|row| keys.get(row))
            .collect();
        missing.sort_unstable();
        missing.dedup();
        for missing in missing.chunks(LOADED_MAX) {
            if self.uncommitted_bytes() > LOADED_BYTES_MAX {
                return Err(EngineError::RunTooLarge { bytes_max: LOADED_BYTES_MAX });
            }
            self.read_back(missing, state)?;
        }
        Ok(())
    }

    /// Takes the rows of these keys into memory.
    fn read_back(&mut self, missing: &[&[u8]], state: &TaskState) -> Result<()> {
        let found = state.multi_get(self.store, missing)?;
        let mut decoder = RowDecoder::new(&self.types);
        let mut present = Vec::new();
        for (key, bytes) in missing.iter().zip(&found) {
            match bytes {
                Some(bytes) => {
                    decoder.push(bytes)?;
                    present.push(*key);
                }
                None => self.insert(key, TableRow::ABSENT, false),
            }
        }
        let rows = decoder.finish();
        let all: Vec<u32> = (0..present.len() as u32).collect();
        let slots = self.arena.insert(&rows.columns, &all)?;
        for (i, key) in present.into_iter().enumerate() {
            let row = TableRow { slot: slots[i], rowtime: rows.rowtimes[i], extra: rows.extras[i] };
            self.insert(key, row, false);
        }
        Ok(())
    }

    /// The current row under a key that was loaded.
    #[inline]
    pub fn find(&self, key: &[u8]) -> TableRow {
        self.position(key)
            .and_then(|entry| self.entries[entry as usize].as_ref())
            .map_or(TableRow::ABSENT, |e| e.row)
    }

    /// Copies rows in, to be put under keys with [`TableStore::replace`].
    pub fn add_rows(&mut self, columns: &[ArrayRef], rows: &[u32]) -> Result<Vec<u32>> {
        self.arena.insert(columns, rows)
    }

    /// Puts a row, or its absence, under a key that was loaded and gives the row it replaces, which can be gathered until
    /// [`TableStore::release`].
    pub fn replace(&mut self, key: &[u8], row: TableRow) -> TableRow {
        let Some(position) = self.position(key) else {
            self.insert(key, row, true);
            return TableRow::ABSENT;
        };
        let entry = self.entries[position as usize].as_mut().expect("indexed entries exist");
        let old = std::mem::replace(&mut entry.row, row);
        if !entry.dirty {
            entry.dirty = true;
            self.dirty.push(position);
        }
        if old.exists() {
            self.replaced.push(old.slot);
        }
        old
    }

    /// Changes the store's own number of a row that exists.
    pub fn set_extra(&mut self, key: &[u8], extra: i64) {
        let Some(position) = self.position(key) else { return };
        let entry = self.entries[position as usize].as_mut().expect("indexed entries exist");
        if !entry.row.exists() || entry.row.extra == extra {
            return;
        }
        entry.row.extra = extra;
        if !entry.dirty {
            entry.dirty = true;
            self.dirty.push(position);
        }
    }

    /// Bytes of the columns of a row. [`NO_ROW`] has none.
    pub fn row_bytes(&self, slot: u32) -> usize {
        self.arena.row_bytes(slot)
    }

    /// Value columns of rows. Shape: one row per entry of `slots`, NULLs for [`NO_ROW`].
    pub fn gather(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        self.arena.gather(slots)
    }

    /// Ends a batch: frees the rows it replaced.
    pub fn release(&mut self) -> Result<()> {
        for slot in self.replaced.drain(..) {
            self.arena.remove(slot);
        }
        self.arena.compact()
    }

    /// Writes what changed since the last commit, then forgets rows beyond the bound.
    pub fn flush(&mut self, state: &mut TaskState) -> Result<()> {
        let slots: Vec<u32> = self
            .dirty
            .iter()
            .filter_map(|d| self.entries[*d as usize].as_ref())
            .map(|e| e.row.slot)
            .collect();
        let columns = self.arena.gather(&slots)?;
        let readers = ColumnReader::all(&columns)?;
        let mut writes = Vec::with_capacity(slots.len());
        for (i, position) in self.dirty.iter().enumerate() {
            let entry = self.entries[*position as usize].as_mut().expect("dirty entries exist");
            entry.dirty = false;
            let value = entry.row.exists().then(|| {
                let mut bytes = Vec::new();
                encode_row(&readers, i, entry.row.rowtime, entry.row.extra, &mut bytes);
                bytes
            });
            writes.push((entry.key.to_vec(), value));
        }
        writes.sort_unstable_by(|a: &StoreWrite, b| a.0.cmp(&b.0));
        state.put_run(self.store, writes);
        self.dirty.clear();
        self.evict()
    }

    /// Bytes that the rows in memory hold, roughly.
    fn bytes(&self) -> usize {
        self.entries.len() * ENTRY_BYTES + self.key_bytes + self.arena.memory_bytes()
    }

    /// Bytes by which the rows have grown since the last commit, roughly: they cannot be forgotten before the next.
    pub fn uncommitted_bytes(&self) -> usize {
        self.bytes().saturating_sub(self.committed_bytes)
    }

    fn evict(&mut self) -> Result<()> {
        let rows = self.index.len();
        self.committed_bytes = self.bytes();
        self.share.hold(self.committed_bytes);
        let target = if rows > self.resident_max { self.resident_max - self.resident_max / 4 } else { rows };
        let target = target.min(self.share.entries_max(rows));
        if target == rows {
            return Ok(());
        }
        while self.index.len() > target {
            let position = self.evict_from % self.entries.len();
            self.evict_from = position + 1;
            let Some(entry) = self.entries[position].take() else { continue };
            if let Ok(found) = self.index.find_entry(entry.hash, |e| *e == position as u32) {
                found.remove();
            }
            if entry.row.exists() {
                self.arena.remove(entry.row.slot);
            }
            self.key_bytes -= entry.key.len();
            self.free.push(position as u32);
        }
        self.complete = false;
        self.arena.compact()?;
        self.committed_bytes = self.bytes();
        self.share.hold(self.committed_bytes);
        Ok(())
    }

    fn open(&mut self, state: &TaskState) -> Result<()> {
        if self.opened {
            return Ok(());
        }
        self.opened = true;
        let mut empty = true;
        state.scan(self.store, &KeyRange::all(), &mut |key, _| {
            if key == META_KEY {
                return std::ops::ControlFlow::Continue(());
            }
            empty = false;
            std::ops::ControlFlow::Break(())
        })?;
        self.complete = empty;
        Ok(())
    }

    #[inline]
    fn position(&self, key: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.index
            .find(hash, |e| {
                self.entries[*e as usize].as_ref().is_some_and(|e| e.hash == hash && e.key.as_ref() == key)
            })
            .copied()
    }

    fn insert(&mut self, key: &[u8], row: TableRow, dirty: bool) {
        let hash = self.hasher.hash_one(key);
        let entry = Some(Entry { hash, key: key.into(), row, dirty });
        self.key_bytes += key.len();
        let position = match self.free.pop() {
            Some(position) => {
                self.entries[position as usize] = entry;
                position
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        if dirty {
            self.dirty.push(position);
        }
        let entries = &self.entries;
        self.index.insert_unique(hash, position, |e| entries[*e as usize].as_ref().map_or(0, |e| e.hash));
    }
}
