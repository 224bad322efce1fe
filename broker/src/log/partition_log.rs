//! The log of one partition.
//!
//! ```text
//!  log start      last stable   high watermark   log end
//!     |----visible to read-committed--|---visible---|---in the page cache, not durable yet---|
//! ```
//!
//! Invariant: log start <= last stable <= high watermark <= log end; synced <= log end. With one replica and
//! [`Durability::Fsync`] the high watermark is the synced offset, so no reader sees records that a crash could lose.
//!
//! Threads: any. One lock per append, never per record; reads hold it only to learn the offsets.

pub(crate) mod maintenance;
pub(crate) mod read;

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use parking_lot::{Mutex, MutexGuard, RwLock};
use tokio::sync::Notify;

use crate::env::storage::{OpenMode, StorageFile, is_full};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::ids::{LeaderEpoch, Offset, ProducerId, TopicPartition};
use crate::log::access::{ActiveProducer, AppendOrigin, Appended, LogOffsets};
use crate::log::config::{Durability, LogConfig};
use crate::log::context::{FreshFiles, LoadedLog, LogContext};
use crate::log::files::{SNAPSHOT_SUFFIX, path_of};
use crate::log::flush_ticket::{DurableWatermark, FlushTicket};
use crate::log::flusher::Flush;
use crate::log::producer_state::ProducerStates;
use crate::log::segment::Segment;
use crate::log::segment_index::Indexes;
use crate::log::segment_manifest;
use crate::log::validate::{ValidatedBatches, validate};
use crate::record::batch::{BatchHeader, PREFIX_BYTES, RecordBatch, stamped_prefix};
use crate::record::control::MarkerKind;

/// The log of one partition.
#[derive(Debug)]
pub struct Log {
    tp: TopicPartition,
    dir: Arc<Path>,
    context: Arc<LogContext>,
    config: RwLock<Arc<LogConfig>>,
    state: Mutex<LogState>,
    watermark: Arc<DurableWatermark>,
    /// Held during a flush, so that an older one cannot finish after a newer one.
    flushing: Mutex<()>,
    /// Held while segments are deleted, replaced or cut; appends go on.
    maintenance: Mutex<()>,
    /// Held while the file of [`segment_manifest`] changes. Taken after the lock of the state.
    manifest: Mutex<()>,
    /// Woken when more records become visible.
    waiters: Mutex<Vec<Weak<Notify>>>,
}

#[derive(Debug)]
struct LogState {
    /// By base offset; the last is the active one. Never empty.
    segments: BTreeMap<Offset, Arc<Segment>>,
    log_start: Offset,
    log_end: Offset,
    synced: Offset,
    high_watermark: Offset,
    /// Since the log was opened.
    appended_bytes: u64,
    /// Of these, those below the high watermark.
    visible_bytes: u64,
    producers: ProducerStates,
    /// Files written since the last flush, held open.
    unsynced: Vec<Arc<dyn StorageFile>>,
    /// The active segment's file is among them.
    active_unsynced: bool,
    /// Directories in which files were made since the last flush.
    unsynced_dirs: Vec<Arc<Path>>,
    /// Files that the next flush syncs, but that need no flush of their own.
    fresh: Option<FreshFiles>,
    /// Whether indexes and producers are as the files of a clean shutdown say.
    as_closed: bool,
    flush_queued: bool,
    closed: bool,
}

impl LogState {
    fn active(&self) -> &Arc<Segment> {
        self.segments.last_key_value().expect("a log always has a segment").1
    }

    /// Records of an open transaction may have been deleted, but no reader may read before the log start.
    fn last_stable(&self) -> Offset {
        let first = self.producers.first_unstable_offset();
        first.map_or(self.high_watermark, |first| first.max(self.log_start).min(self.high_watermark))
    }

    /// Whether everything a reader may see is on disk, and a flush would have nothing to do.
    fn is_synced(&self) -> bool {
        self.synced == self.log_end && self.unsynced.is_empty() && self.unsynced_dirs.is_empty()
    }

    /// `appended_bytes` had been appended when the log end was at `offset`.
    fn raise_high_watermark(&mut self, offset: Offset, appended_bytes: u64) {
        if offset > self.high_watermark {
            self.high_watermark = offset;
            self.visible_bytes = appended_bytes;
            self.producers.on_high_watermark(offset);
        }
    }
}

impl Log {
    /// A log over what was loaded; everything loaded counts as synced.
    pub(crate) fn new(
        tp: TopicPartition,
        dir: Arc<Path>,
        context: Arc<LogContext>,
        config: Arc<LogConfig>,
        loaded: LoadedLog,
    ) -> Arc<Self> {
        let LoadedLog { segments, log_start, log_end, mut producers, fresh, as_closed } = loaded;
        producers.on_high_watermark(log_end);
        let state = LogState {
            segments,
            log_start,
            log_end,
            synced: log_end,
            high_watermark: log_end,
            appended_bytes: 0,
            visible_bytes: 0,
            producers,
            unsynced: Vec::new(),
            unsynced_dirs: Vec::new(),
            fresh,
            as_closed,
            active_unsynced: false,
            flush_queued: false,
            closed: false,
        };
        Arc::new(Log {
            tp,
            dir,
            context,
            config: RwLock::new(config),
            state: Mutex::new(state),
            watermark: DurableWatermark::new(log_end),
            flushing: Mutex::new(()),
            maintenance: Mutex::new(()),
            manifest: Mutex::new(()),
            waiters: Mutex::default(),
        })
    }

    pub fn topic_partition(&self) -> &TopicPartition {
        &self.tp
    }

    pub(crate) fn dir(&self) -> &Arc<Path> {
        &self.dir
    }

    pub(crate) fn context(&self) -> &LogContext {
        &self.context
    }

    pub fn config(&self) -> Arc<LogConfig> {
        Arc::clone(&self.config.read())
    }

    /// Changes the settings; what is stored already is not rewritten.
    pub fn set_config(&self, config: impl Into<Arc<LogConfig>>) {
        *self.config.write() = config.into();
    }

    /// The offsets, consistent with each other.
    pub fn offsets(&self) -> LogOffsets {
        let state = self.state.lock();
        LogOffsets {
            log_start: state.log_start,
            last_stable: state.last_stable(),
            high_watermark: state.high_watermark,
            durable: state.synced,
            log_end: state.log_end,
        }
    }

    /// Size of the segments on disk, indexes not counted.
    pub fn size_bytes(&self) -> u64 {
        self.state.lock().segments.values().map(|segment| segment.size_bytes()).sum()
    }

    /// Bytes that have become visible since the log was opened, by which a reader who waits for many knows without reading
    /// that there are not enough yet. `None` once the log is closed.
    pub fn visible_bytes(&self) -> Option<u64> {
        let state = self.state.lock();
        (!state.closed).then_some(state.visible_bytes)
    }

    /// First offset of the transaction which `producer_id` has open here. Source: KIP-890.
    pub fn ongoing_txn(&self, producer_id: ProducerId) -> Option<Offset> {
        self.state.lock().producers.ongoing_txn(producer_id)
    }

    /// The producers this log knows.
    pub fn producers(&self) -> Vec<ActiveProducer> {
        self.state.lock().producers.describe()
    }

    /// The last offset of data of each producer.
    pub(crate) fn last_data_offsets(&self) -> HashMap<ProducerId, Offset> {
        self.state.lock().producers.last_data_offsets()
    }

    /// Forgets producers silent for longer than `expiration_ms`.
    pub(crate) fn expire_producers(&self, now_ms: i64, expiration_ms: i64) {
        self.state.lock().producers.expire(now_ms, expiration_ms);
    }

    /// Asks for one notification when more becomes visible to readers, or the log closes. Read again after
    /// registering: what happened before is not told. A waiter that is dropped is forgotten.
    pub fn register_waiter(&self, waiter: &Arc<Notify>) {
        let mut waiters = self.waiters.lock();
        if waiters.len() == waiters.capacity() {
            waiters.retain(|waiter| waiter.strong_count() > 0);
            // A waiter for several logs registers again with all of them when one wakes it.
            waiters.sort_unstable_by_key(Weak::as_ptr);
            waiters.dedup_by(|a, b| a.ptr_eq(b));
            // Room for as many again, so that this is not done for every few that come.
            let kept = waiters.len();
            waiters.reserve(kept);
        }
        waiters.push(Arc::downgrade(waiter));
    }

    fn wake_waiters(&self) {
        let waiters = std::mem::take(&mut *self.waiters.lock());
        for waiter in waiters.into_iter().filter_map(|waiter| waiter.upgrade()) {
            waiter.notify_one();
        }
    }

    fn lock_open(&self) -> Result<MutexGuard<'_, LogState>> {
        let state = self.state.lock();
        if state.closed {
            return Err(Error::PartitionClosed(self.tp.clone()));
        }
        Ok(state)
    }

    /// Appends one or more whole batches at the end and gives them their offsets.
    ///
    /// The data is in the page cache when this returns: wait for [`Appended::flush`] before acknowledging it.
    ///
    /// # Errors
    /// Those of validation (nothing was appended); [`Error::OutOfOrderSequence`], [`Error::InvalidProducerEpoch`],
    /// [`Error::InvalidTxnState`], [`Error::TransactionCoordinatorFenced`]; [`Error::Io`] when the disk is full (worth
    /// a retry); [`Error::StorageFailed`] after any other failed write.
    pub fn append(
        self: &Arc<Self>,
        bytes: Bytes,
        origin: AppendOrigin,
        leader_epoch: LeaderEpoch,
    ) -> Result<Appended> {
        self.context.health.check()?;
        let config = self.config();
        let now_ms = self.context.clock.now_ms();
        let valid = validate(&self.tp, bytes, origin, &config, now_ms)?;
        let mut state = self.lock_open()?;
        if let Some(duplicate) = self.check_producers(&state, &valid, origin)? {
            return Ok(duplicate);
        }
        let size: usize = valid.batches.iter().map(|batch| batch.bytes().len()).sum();
        self.roll_if_needed(&mut state, &config, size as u64, &valid.batches)?;
        failpoint!("log.append.before")?;
        state.as_closed = false;
        let base_offset = state.log_end;
        let stamped = Stamped::new(valid.batches, base_offset, leader_epoch);
        let headers = &stamped.headers;
        let file = match state.active().append(&stamped.parts(), headers, config.index_interval_bytes) {
            Ok(file) => file,
            Err(error) => return Err(self.write_failed(state.active(), error)),
        };
        failpoint!("log.append.after").map_err(|error| self.fail(&error))?;
        for header in headers {
            match valid.marker {
                None if header.is_control() => {}
                None => state.producers.apply_data(header, now_ms),
                Some(marker) => {
                    let completed = state.producers.apply_marker(header, marker, now_ms);
                    if let Some(txn) = completed.filter(|txn| txn.kind == MarkerKind::Abort) {
                        let noted = state.active().append_txn(state.producers.txn_entry(&txn));
                        noted.map_err(|error| self.fail(&error))?;
                    }
                }
            }
        }
        let log_end = headers.last().map_or(base_offset, BatchHeader::next_offset);
        state.log_end = log_end;
        state.appended_bytes += size as u64;
        if !std::mem::replace(&mut state.active_unsynced, true) {
            state.unsynced.push(file);
        }
        let appended = Appended {
            base_offset,
            last_offset: log_end - 1,
            log_append_time: valid.log_append_time,
            log_start_offset: state.log_start,
            flush: self.ticket(log_end),
            duplicate: false,
        };
        self.after_append(state, size as u64);
        Ok(appended)
    }

    /// Lets readers and the flusher know, as the durability demands.
    fn after_append(self: &Arc<Self>, mut state: MutexGuard<'_, LogState>, bytes: u64) {
        let relaxed = self.context.durability == Durability::Relaxed;
        if relaxed {
            let (log_end, appended_bytes) = (state.log_end, state.appended_bytes);
            state.raise_high_watermark(log_end, appended_bytes);
        }
        let queued = std::mem::replace(&mut state.flush_queued, true);
        drop(state);
        self.context.flusher.queue((!queued).then(|| Arc::clone(self) as Arc<dyn Flush>), bytes);
        if relaxed {
            self.wake_waiters();
        }
    }

    /// A claim on the durability of everything appended so far.
    pub fn flush_ticket(&self) -> FlushTicket {
        self.ticket(self.offsets().log_end)
    }

    fn ticket(&self, offset: Offset) -> FlushTicket {
        let wait = self.context.durability == Durability::Fsync;
        FlushTicket::new(wait.then(|| Arc::clone(&self.watermark)), offset)
    }

    /// Checks sequences and epochs. Returns the answer of the first attempt if the batch is a duplicate.
    fn check_producers(
        &self,
        state: &LogState,
        valid: &ValidatedBatches,
        origin: AppendOrigin,
    ) -> Result<Option<Appended>> {
        for batch in &valid.batches {
            let header = batch.header();
            if origin == AppendOrigin::Client
                && let Some(original) = state.producers.duplicate_of(header)
            {
                return Ok(Some(Appended {
                    base_offset: original.base_offset,
                    last_offset: original.last_offset,
                    log_append_time: valid.log_append_time.map(|_| original.timestamp),
                    log_start_offset: state.log_start,
                    flush: self.ticket(original.last_offset + 1),
                    duplicate: true,
                }));
            }
            state.producers.check(&self.tp, header, origin)?;
            if let Some(marker) = valid.marker {
                state.producers.check_marker(&self.tp, header.producer_id, marker)?;
            }
        }
        Ok(None)
    }

    fn write_failed(&self, segment: &Segment, error: io::Error) -> Error {
        let full = is_full(&error);
        let error = Error::io("append to", segment.path(), error);
        if full && segment.cut_unpublished().is_ok() {
            return error;
        }
        self.fail(&error)
    }

    /// Takes the directory offline, and answers all waiters of this log.
    fn fail(&self, cause: &Error) -> Error {
        let error = self.context.health.fail(cause);
        self.watermark.fail(&error);
        error
    }

    // Rolling.

    fn roll_if_needed(
        &self,
        state: &mut LogState,
        config: &LogConfig,
        bytes: u64,
        batches: &[RecordBatch],
    ) -> Result<()> {
        let active = state.active();
        if active.is_empty() {
            return Ok(());
        }
        let offsets: i64 = batches.iter().map(|batch| i64::from(batch.header().last_offset_delta) + 1).sum();
        let full = active.size_bytes() + bytes > u64::from(config.segment_bytes)
            || state.log_end + offsets - active.base_offset() > i64::from(i32::MAX)
            || active.index_bytes() >= config.segment_index_bytes as usize;
        if full || self.is_old(active, config, batches)? {
            self.roll(state)?;
        }
        Ok(())
    }

    /// Whether the active segment has been written to for long enough: by the timestamps of the records, or by the
    /// clock if they have none. Source: `segment.ms`.
    fn is_old(&self, active: &Segment, config: &LogConfig, batches: &[RecordBatch]) -> Result<bool> {
        let newest = batches.iter().map(|batch| batch.header().max_timestamp).max().unwrap_or(-1);
        let age_ms = match active.first_timestamp()? {
            Some(first) if first >= 0 && newest >= 0 => newest.saturating_sub(first),
            _ => self.context.clock.now_ms().saturating_sub(active.created_ms()),
        };
        let compact = config.cleanup_policy.compact;
        let limit_ms =
            if compact { config.segment_ms.min(config.max_compaction_lag_ms) } else { config.segment_ms };
        Ok(age_ms > limit_ms - self.jitter_ms(active.base_offset(), config).min(limit_ms))
    }

    /// By how much a segment rolls earlier, so that the segments of many partitions do not roll at the same time. The
    /// same for a segment after a restart. Source: `segment.jitter.ms`.
    fn jitter_ms(&self, base_offset: Offset, config: &LogConfig) -> i64 {
        let range = config.segment_jitter_ms.min(config.segment_ms);
        if range == 0 {
            return 0;
        }
        let hash = FixedState::default().hash_one((&*self.tp.topic, self.tp.partition, base_offset));
        i64::try_from(hash % range.unsigned_abs()).expect("below an i64")
    }

    /// Seals the active segment and begins another.
    fn roll(&self, state: &mut LogState) -> Result<()> {
        let base_offset = state.log_end;
        // If one of these fails for want of space, the log goes on with the segment it has. The next segment's file is
        // made last: left behind, it would say where this one ends.
        let snapshot = self.write_snapshot(&state.producers, base_offset)?;
        failpoint!("log.roll.after_snapshot")?;
        let sealed = state.active().persist_indexes(Indexes::Seal)?;
        state.as_closed = false;
        state.unsynced.extend(sealed);
        failpoint!("log.roll.after_indexes")?;
        let now_ms = self.context.clock.now_ms();
        let segment = Segment::create(&self.context.files, &self.dir, base_offset, now_ms)?;
        failpoint!("log.roll.after_segment").map_err(|error| self.fail(&error))?;
        let sealed = Arc::clone(state.active());
        state.segments.insert(base_offset, Arc::new(segment));
        state.unsynced.push(snapshot);
        state.unsynced.extend(self.note_sealed(&sealed));
        state.active_unsynced = false;
        state.unsynced_dirs.push(Arc::clone(&self.dir));
        Ok(())
    }

    /// Writes the manifest entry of a complete segment. Returns the file, to be synced after that of the segment.
    pub(crate) fn note_sealed(&self, segment: &Segment) -> Option<Arc<dyn StorageFile>> {
        let _alone = self.manifest.lock();
        let noted = segment_manifest::append(self.context.storage(), &self.dir, &segment.seal());
        // Without the note the end of the segment is not checked; nothing else depends on it.
        noted.inspect_err(|error| tracing::warn!(tp = %self.tp, %error, "cannot note what was sealed")).ok()
    }

    fn write_snapshot(&self, producers: &ProducerStates, offset: Offset) -> Result<Arc<dyn StorageFile>> {
        let path = path_of(&self.dir, offset, SNAPSHOT_SUFFIX);
        let write = || {
            let file = self.context.storage().open(&path, OpenMode::Create)?;
            file.write_all_at(&producers.encode(), 0)?;
            Ok(file)
        };
        write().map_err(|error| Error::io("write producer snapshot", &path, error))
    }

    // Flushing.

    /// Makes everything appended so far durable and visible, and answers the waiters.
    ///
    /// # Errors
    /// [`Error::StorageFailed`].
    pub(crate) fn sync(&self) -> Result<()> {
        let _one_at_a_time = self.flushing.lock();
        let (files, dirs, fresh, log_end, appended_bytes) = {
            let mut state = self.state.lock();
            state.flush_queued = false;
            state.active_unsynced = false;
            let (files, dirs) =
                (std::mem::take(&mut state.unsynced), std::mem::take(&mut state.unsynced_dirs));
            (files, dirs, state.fresh.take(), state.log_end, state.appended_bytes)
        };
        let sync = |()| {
            failpoint!("log.flush.before")?;
            self.sync_files(&files, &dirs)?;
            fresh.as_ref().map_or(Ok(()), |fresh| self.sync_fresh(fresh))?;
            failpoint!("log.flush.after")
        };
        let synced = self.context.health.check().and_then(sync);
        if let Err(error) = synced {
            let error = self.fail(&error);
            self.wake_waiters();
            return Err(error);
        }
        let mut state = self.state.lock();
        state.synced = state.synced.max(log_end);
        if self.context.durability == Durability::Fsync {
            state.raise_high_watermark(log_end, appended_bytes);
        }
        drop(state);
        self.watermark.advance(log_end);
        self.wake_waiters();
        Ok(())
    }

    fn sync_files(&self, files: &[Arc<dyn StorageFile>], dirs: &[Arc<Path>]) -> Result<()> {
        let synced = files
            .iter()
            .try_for_each(|file| file.sync_data())
            .and_then(|()| dirs.iter().try_for_each(|dir| self.context.storage().sync_dir(dir)));
        synced.map_err(|error| Error::io("sync", &self.dir, error))
    }

    fn sync_fresh(&self, fresh: &FreshFiles) -> Result<()> {
        for path in &fresh.files {
            match self.context.storage().open(path, OpenMode::Write).and_then(|file| file.sync_data()) {
                // The replica manager, which knows the topic, writes a lost id again.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("sync", path, error));
                }
                _ => {}
            }
        }
        self.sync_files(&[], &fresh.dirs)
    }
}

impl Flush for Log {
    fn flush(&self) {
        // Those who wait have the error, and the directory is offline.
        let _ = self.sync();
    }
}

/// Batches with their place in the log. What is written of each is a prefix of its own and the rest of its bytes, which
/// the request it came with may still share: nothing is copied.
struct Stamped {
    headers: Vec<BatchHeader>,
    prefixes: Vec<[u8; PREFIX_BYTES]>,
    batches: Vec<RecordBatch>,
}

impl Stamped {
    fn new(batches: Vec<RecordBatch>, base_offset: Offset, leader_epoch: LeaderEpoch) -> Stamped {
        let mut headers = Vec::with_capacity(batches.len());
        let mut prefixes = Vec::with_capacity(batches.len());
        let mut offset = base_offset;
        for batch in &batches {
            let mut header = *batch.header();
            header.base_offset = offset;
            header.partition_leader_epoch = leader_epoch;
            offset = header.next_offset();
            headers.push(header);
            prefixes.push(stamped_prefix(batch, header.base_offset, leader_epoch));
        }
        Stamped { headers, prefixes, batches }
    }

    fn parts(&self) -> Vec<&[u8]> {
        let mut parts = Vec::with_capacity(2 * self.batches.len());
        for (prefix, batch) in self.prefixes.iter().zip(&self.batches) {
            parts.extend([prefix.as_slice(), &batch.bytes()[PREFIX_BYTES..]]);
        }
        parts
    }
}
