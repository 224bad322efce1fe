//! Stores on disk: one RocksDB per task, a column family per store.
//!
//! The write-ahead log is off: the changelog is the log. All column families are flushed together, so that after a crash the stores
//! and their changelog positions are those of one earlier commit, and restoring goes on from there.

use std::fmt;
use std::ops::{Bound, ControlFlow};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, FlushOptions, IteratorMode, Options,
    ReadOptions, WriteBatch, WriteBufferManager, WriteOptions,
};

use weir_broker::env::clock::{Clock, SystemClock};

use crate::error::{EngineError, Result};
use crate::state::backend::{CommitBatch, KeyRange, StateBackend, StateReader, StoreId, StoreSpec, Visit};

/// Holds the changelog position of each store under the store's name, 8 bytes little-endian.
const POSITIONS: &str = "changelog-positions";
/// Key in [`POSITIONS`] of the wall-clock time of the last commit, 8 bytes little-endian. No store has this name.
const WRITTEN_AT: &[u8] = b"\0written-at-ms";

/// What an entry takes beside its key and value, about.
const ENTRY_BYTES: usize = 32;
/// State on disk that is older is written anew at the next checkpoint. Far below the shortest
/// `delete.retention.ms` in use, after which it would have to be rebuilt.
const DURABLE_AGE_MAX_MS: i64 = 60 * 60 * 1_000;

/// Memory that all stores of a node share.
#[derive(Clone)]
pub struct RocksMemory {
    block_cache: Cache,
    write_buffers: WriteBufferManager,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for RocksMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksMemory").finish_non_exhaustive()
    }
}

impl RocksMemory {
    /// `cache_bytes` bounds blocks and write buffers together, `write_buffer_bytes` the latter alone.
    pub fn new(cache_bytes: usize, write_buffer_bytes: usize) -> RocksMemory {
        let block_cache = Cache::new_lru_cache(cache_bytes);
        let write_buffers = WriteBufferManager::new_write_buffer_manager_with_cache(
            write_buffer_bytes,
            false,
            block_cache.clone(),
        );
        RocksMemory { block_cache, write_buffers, clock: Arc::new(SystemClock::new()) }
    }

    /// Stores note when they were written; by this clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> RocksMemory {
        RocksMemory { clock, ..self }
    }
}

/// An open database. Shared between the task that writes and pull queries that read.
struct Database {
    db: DB,
    clock: Arc<dyn Clock>,
    /// Bytes written since the last flush, about.
    unflushed_bytes: AtomicUsize,
    /// Time of the last commit that surely is on disk; `i64::MAX` if none is. Units: ms since epoch.
    durable_at_ms: AtomicI64,
    path: PathBuf,
    names: Vec<String>,
    /// Something could not be read or written.
    failed: AtomicBool,
    /// What is on disk is not what was written.
    damaged: AtomicBool,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("path", &self.path)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// The stores of a task on disk.
#[derive(Clone, Debug)]
pub struct RocksBackend {
    database: Arc<Database>,
}

impl RocksBackend {
    /// Opens the stores in a folder, creating what is missing. Stores on disk that `specs` does not name stay untouched.
    ///
    /// Errors: the folder cannot be used, another process has it open, or its content is damaged.
    pub fn open(path: &Path, specs: &[StoreSpec], memory: &RocksMemory) -> Result<RocksBackend> {
        let failed = |error: rocksdb::Error| EngineError::Store {
            store: path.display().to_string(),
            reason: error.to_string(),
        };
        // What is not flushed is in the changelog.
        let mut options =
            Options::default().get_options_from_string("avoid_flush_during_shutdown=true").map_err(failed)?;
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_atomic_flush(true);
        options.set_write_buffer_manager(&memory.write_buffers);
        options.set_max_open_files(256);
        options.set_keep_log_file_num(2);
        let names: Vec<String> = specs.iter().map(|s| s.name.clone()).collect();
        let mut families: Vec<String> = match DB::list_cf(&options, path) {
            Ok(existing) => existing,
            // Nothing there yet.
            Err(_) => vec!["default".to_owned()],
        };
        for name in names.iter().map(String::as_str).chain([POSITIONS]) {
            if !families.iter().any(|f| f == name) {
                families.push(name.to_owned());
            }
        }
        let descriptors =
            families.into_iter().map(|name| ColumnFamilyDescriptor::new(name, family_options(memory)));
        let db = DB::open_cf_descriptors(&options, path, descriptors).map_err(failed)?;
        let database = Database {
            db,
            clock: memory.clock.clone(),
            unflushed_bytes: AtomicUsize::new(0),
            durable_at_ms: AtomicI64::new(i64::MAX),
            path: path.to_owned(),
            names,
            failed: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
        };
        let backend = RocksBackend { database: Arc::new(database) };
        if let Some(at_ms) = backend.written_at_ms()? {
            backend.database.durable_at_ms.store(at_ms, Ordering::Release);
        }
        Ok(backend)
    }

    /// Whether a read or write has failed. Whoever failed, the task or a pull query, it concerns both.
    pub fn has_failed(&self) -> bool {
        self.database.failed.load(Ordering::Acquire)
    }

    /// Whether it failed because a checksum, size or format was wrong: opening it again would not help.
    pub fn is_damaged(&self) -> bool {
        self.database.damaged.load(Ordering::Acquire)
    }

    /// True if a restart would have to replay more than about `bytes_max` of the changelog, or
    /// state on disk is so old that it may soon be of no use (KIP-1259).
    pub fn needs_checkpoint(&self, bytes_max: usize) -> bool {
        let unflushed = self.database.unflushed_bytes.load(Ordering::Acquire);
        let durable_at_ms = self.database.durable_at_ms.load(Ordering::Acquire);
        let age_ms = self.database.clock.now_ms().saturating_sub(durable_at_ms);
        unflushed > bytes_max || (unflushed > 0 && age_ms > DURABLE_AGE_MAX_MS)
    }

    /// Makes everything committed so far survive a crash. Not needed for correctness: it bounds what a restart replays.
    pub fn checkpoint(&self) -> Result<()> {
        if self.database.unflushed_bytes.swap(0, Ordering::AcqRel) == 0 {
            return Ok(());
        }
        let now_ms = self.database.clock.now_ms();
        let families: Vec<&ColumnFamily> = self
            .database
            .names
            .iter()
            .map(|name| self.database.family(name))
            .chain([self.database.family(POSITIONS)])
            .collect::<Result<_>>()?;
        let mut options = FlushOptions::default();
        options.set_wait(true);
        drop(weir_broker::failpoint!("rocksdb.flush.before"));
        let flushed = self.database.db.flush_cfs_opt(&families, &options);
        drop(weir_broker::failpoint!("rocksdb.flush.after"));
        flushed.map_err(|e| self.database.failed(POSITIONS, e))?;
        self.database.durable_at_ms.store(now_ms, Ordering::Release);
        Ok(())
    }
}

fn family_options(memory: &RocksMemory) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&memory.block_cache);
    table.set_bloom_filter(10.0, false);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    options.set_write_buffer_size(16 << 20);
    options.set_level_compaction_dynamic_level_bytes(true);
    options
}

impl Database {
    fn family(&self, name: &str) -> Result<&ColumnFamily> {
        self.db.cf_handle(name).ok_or_else(|| EngineError::Store {
            store: name.to_owned(),
            reason: "it has no column family".to_owned(),
        })
    }

    fn store(&self, store: StoreId) -> Result<&ColumnFamily> {
        self.family(&self.names[store.index()])
    }

    fn failed(&self, store: &str, error: rocksdb::Error) -> EngineError {
        if error.kind() == rocksdb::ErrorKind::Corruption {
            self.damaged.store(true, Ordering::Release);
        }
        self.failed.store(true, Ordering::Release);
        EngineError::Store { store: format!("{store} in {}", self.path.display()), reason: error.to_string() }
    }
}

fn unlogged() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

impl StateReader for RocksBackend {
    fn multi_get(&self, store: StoreId, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        let database = &self.database;
        let family = database.store(store)?;
        let sorted = keys.is_sorted();
        database
            .db
            .batched_multi_get_cf(family, keys.iter().copied(), sorted)
            .into_iter()
            .map(|found| match found {
                Ok(value) => Ok(value.map(|v| v.to_vec())),
                Err(error) => Err(database.failed(&database.names[store.index()], error)),
            })
            .collect()
    }

    fn scan(&self, store: StoreId, range: &KeyRange, visit: &mut Visit<'_>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let database = &self.database;
        let family = database.store(store)?;
        let mut options = ReadOptions::default();
        let successor = |key: &[u8]| [key, &[0]].concat();
        match &range.from {
            Bound::Included(from) => options.set_iterate_lower_bound(from.as_slice()),
            Bound::Excluded(from) => options.set_iterate_lower_bound(successor(from)),
            Bound::Unbounded => {}
        }
        match &range.to {
            Bound::Included(to) => options.set_iterate_upper_bound(successor(to)),
            Bound::Excluded(to) => options.set_iterate_upper_bound(to.as_slice()),
            Bound::Unbounded => {}
        }
        for entry in database.db.iterator_cf_opt(family, options, IteratorMode::Start) {
            let (key, value) = entry.map_err(|e| database.failed(&database.names[store.index()], e))?;
            if let ControlFlow::Break(()) = visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    fn position(&self, store: StoreId) -> Result<Option<i64>> {
        let database = &self.database;
        let name = &database.names[store.index()];
        let found = database
            .db
            .get_cf(database.family(POSITIONS)?, name)
            .map_err(|e| database.failed(POSITIONS, e))?;
        match found {
            None => Ok(None),
            Some(bytes) => match bytes.first_chunk::<8>() {
                Some(position) if bytes.len() == 8 => Ok(Some(i64::from_le_bytes(*position))),
                Some(_) | None => Err(EngineError::CorruptRow {
                    store: name.clone(),
                    reason: "its changelog position is not 8 bytes".to_owned(),
                }),
            },
        }
    }

    fn check(&self) -> Result<()> {
        if !self.has_failed() {
            return Ok(());
        }
        let store = self.database.path.display().to_string();
        Err(EngineError::Store { store, reason: "a read or write has failed".to_owned() })
    }
}

impl StateBackend for RocksBackend {
    fn commit(&mut self, batch: CommitBatch) -> Result<()> {
        let database = &self.database;
        let mut writes = WriteBatch::default();
        let mut bytes = ENTRY_BYTES;
        for (store, entries) in &batch.writes {
            let family = database.store(*store)?;
            for (key, value) in entries {
                bytes += ENTRY_BYTES + key.len() + value.as_ref().map_or(0, Vec::len);
                match value {
                    Some(value) => writes.put_cf(family, key, value),
                    None => writes.delete_cf(family, key),
                }
            }
        }
        let positions = database.family(POSITIONS)?;
        for (store, position) in &batch.positions {
            writes.put_cf(positions, &database.names[store.index()], position.to_le_bytes());
        }
        writes.put_cf(positions, WRITTEN_AT, database.clock.now_ms().to_le_bytes());
        database.unflushed_bytes.fetch_add(bytes, Ordering::AcqRel);
        drop(weir_broker::failpoint!("rocksdb.write.before"));
        let written = database.db.write_opt(writes, &unlogged()).map_err(|e| database.failed(POSITIONS, e));
        drop(weir_broker::failpoint!("rocksdb.write.after"));
        written
    }

    fn clear(&mut self, store: StoreId) -> Result<()> {
        let database = &self.database;
        let name = &database.names[store.index()];
        let family = database.store(store)?;
        let last = database.db.iterator_cf(family, IteratorMode::End).next();
        let mut writes = WriteBatch::default();
        if let Some(entry) = last {
            let (last, _) = entry.map_err(|e| database.failed(name, e))?;
            writes.delete_range_cf(family, &[][..], &last[..]);
            writes.delete_cf(family, &last);
        }
        writes.delete_cf(database.family(POSITIONS)?, name);
        database.unflushed_bytes.fetch_add(ENTRY_BYTES, Ordering::AcqRel);
        database.db.write_opt(writes, &unlogged()).map_err(|e| database.failed(name, e))
    }

    fn written_at_ms(&self) -> Result<Option<i64>> {
        let database = &self.database;
        let found = database.db.get_cf(database.family(POSITIONS)?, WRITTEN_AT);
        let found = found.map_err(|e| database.failed(POSITIONS, e))?;
        Ok(found.and_then(|bytes| Some(i64::from_le_bytes(bytes.as_slice().try_into().ok()?))))
    }

    fn reader(&self) -> Arc<dyn StateReader> {
        Arc::new(self.clone())
    }
}
