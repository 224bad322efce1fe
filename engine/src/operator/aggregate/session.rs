//! Aggregation over session windows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::ops::ControlFlow;

use arrow::array::{ArrayRef, UInt32Array};
use weir_sql::expr::compile::batch_budget::BatchBudget;

use crate::batch::windows::{WindowColumns, WindowEnds};
use crate::batch::{OldRows, RowBatch, some_bits, take_columns};
use crate::error::Result;
use crate::operator::aggregate::calls::GrowingResults;
use crate::operator::aggregate::slots::{RESIDENT_GROUPS_MAX, Slots};
use crate::operator::aggregate::{Emission, EmissionConfig};
use crate::operator::{Operator, OperatorContext, Output};
use crate::state::backend::KeyRange;
use crate::state::evicted_entries::EvictedEntries;
use crate::state::key_codec::{EncodedKeys, split_window_start};
use crate::state::row_codec::row_header;
use crate::state::task_state::{META_KEY, TaskState};

/// Bytes of a session in the indexes by key and by end, about, besides its key.
const SESSION_BYTES: usize = 96;
/// Bytes of the key of a session that is not in memory, about, besides the key itself.
const UNFINISHED_BYTES: usize = 64;

/// The start of a session in its store key.
const START_BYTES: usize = 8;

/// Units: ms. Session bounds are both inclusive: the times of the first and the last row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionWindows {
    pub gap_ms: i64,
    pub grace_ms: i64,
    /// Sessions are kept until stream time reaches their end plus this.
    pub retention_ms: i64,
}

impl SessionWindows {
    /// Sessions that end before this take no more rows.
    fn close_time(&self, stream_time: i64) -> i64 {
        stream_time.saturating_sub(self.grace_ms).saturating_sub(self.gap_ms)
    }

    /// False if the session of the time alone would close after the last timestamp there is.
    fn takes(&self, time: i64) -> bool {
        time <= i64::MAX - self.gap_ms
    }
}

/// Aggregates grouped rows of a stream. A row joins every session of its key that is no further away than the gap; they become
/// one, and a tombstone takes back each session whose bounds no longer exist.
#[derive(Debug)]
pub struct SessionAggregateOperator {
    slots: Slots,
    windows: SessionWindows,
    config: EmissionConfig,
    stream_time: i64,
    /// Largest end of a session so far: sessions that ended by the retention before it take no more rows.
    observed_end: i64,
    /// Both as the store has them.
    stored: (i64, i64),
    /// The final rows of sessions that end before this were emitted. What was stored with a stream time was emitted for that
    /// stream time, so that a restart knows it.
    emitted_end: i64,
    /// Sessions of each key, sorted by start. Keys are encoded key columns. Of a key all sessions are in memory, or none.
    sessions: HashMap<Box<[u8]>, Vec<u32>, foldhash::fast::FixedState>,
    /// Slots by the end of their session.
    by_end: BTreeMap<i64, BTreeSet<u32>>,
    /// Sessions that are not in memory, by their ends.
    evicted: EvictedEntries,
    /// End and store key of those whose final row is still to come.
    unfinished: BTreeSet<(i64, Box<[u8]>)>,
    /// Bytes of the keys of the indexes, and of unfinished sessions.
    key_bytes: usize,
    unfinished_bytes: usize,
    resident_max: usize,
    /// Rows since the last commit.
    rows: usize,
    /// Sessions emitted since the last commit that no longer exist, with the time of their last row (deferred emission).
    removed: Vec<Removed>,
    opened: bool,
    keys: EncodedKeys,
}

#[derive(Clone, Debug)]
struct Removed {
    key: Box<[u8]>,
    start: i64,
    end: i64,
}

/// What a row emits, in order.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// The session of these bounds is gone. Source row, start, end.
    Gone(u32, i64, i64),
    /// The pending update of this number gave a new result. Source row, number, start, end.
    Updated(u32, u32, i64, i64),
}

/// Rows assigned to slots but not yet applied to the accumulators.
#[derive(Debug, Default)]
struct Pending {
    rows: Vec<u32>,
    slots: Vec<u32>,
    changes: Vec<Change>,
    /// Results of the sessions that the one pending row joined, if consumers need old values.
    old: Option<Vec<ArrayRef>>,
    /// True if that row left the bounds of its session as they were.
    kept: bool,
    /// Rows of the batch so far that no open session takes.
    late: u64,
}

impl SessionAggregateOperator {
    pub fn new(slots: Slots, windows: SessionWindows, config: EmissionConfig) -> SessionAggregateOperator {
        SessionAggregateOperator {
            evicted: EvictedEntries::new(slots.store()),
            slots: slots.of_sessions(),
            windows,
            config,
            stream_time: i64::MIN,
            stored: (i64::MIN, i64::MIN),
            emitted_end: i64::MIN,
            observed_end: i64::MIN,
            sessions: HashMap::default(),
            by_end: BTreeMap::new(),
            unfinished: BTreeSet::new(),
            key_bytes: 0,
            unfinished_bytes: 0,
            resident_max: RESIDENT_GROUPS_MAX,
            rows: 0,
            removed: Vec::new(),
            opened: false,
            keys: EncodedKeys::default(),
        }
    }

    /// Bounds the number of sessions kept in memory after a commit.
    #[must_use]
    pub fn with_resident_max(self, sessions: usize) -> SessionAggregateOperator {
        SessionAggregateOperator { resident_max: sessions.max(1), ..self }
    }

    /// Reads every session of the store if there is room for all, and none otherwise.
    fn open(&mut self, state: &TaskState) -> Result<()> {
        if self.opened {
            return Ok(());
        }
        self.opened = true;
        let store = self.slots.store();
        if let Some(meta) = state.get(store, META_KEY)?
            && let Some((time, end)) = meta.split_first_chunk::<8>()
        {
            self.stream_time = i64::from_le_bytes(*time);
            self.observed_end = end.first_chunk::<8>().map_or(i64::MIN, |e| i64::from_le_bytes(*e));
        }
        self.stored = (self.stream_time, self.observed_end);
        self.emitted_end = self.windows.close_time(self.stream_time);
        let (mut bytes, bytes_max) = (0, self.slots.room());
        let mut stored = Some(Vec::new());
        state.scan(store, &KeyRange::all(), &mut |stored_key, value| {
            let (Some((key, start)), Some((_, end))) = (split_window_start(stored_key), row_header(value))
            else {
                return ControlFlow::Continue(());
            };
            self.note_evicted(stored_key.into(), end);
            bytes += SESSION_BYTES + key.len() + Slots::bytes_of(key, value);
            match &mut stored {
                Some(all) if bytes <= bytes_max && all.len() < self.resident_max => {
                    all.push((key.to_vec(), start, end, value.to_vec()));
                }
                _ => stored = None,
            }
            ControlFlow::Continue(())
        })?;
        if let Some(stored) = stored {
            self.load(stored)?;
        }
        self.slots.hold(self.index_bytes());
        Ok(())
    }

    /// Takes sessions that were evicted back into memory: key, start, end, stored row.
    fn load(&mut self, sessions: Vec<(Vec<u8>, i64, i64, Vec<u8>)>) -> Result<()> {
        if sessions.is_empty() {
            return Ok(());
        }
        let (mut slots, mut rows) = (Vec::new(), Vec::new());
        for (key, start, end, bytes) in sessions {
            let slot = self.create(&key, start, end);
            if !self.unfinished.is_empty() {
                let stored_key: Box<[u8]> = self.slots.store_key(slot).into();
                if self.unfinished.remove(&(end, stored_key)) {
                    self.unfinished_bytes -= UNFINISHED_BYTES + key.len();
                }
            }
            slots.push(slot);
            rows.push(bytes);
        }
        self.evicted.loaded(slots.len());
        self.slots.load(&slots, &rows)
    }

    /// A session is in the store and not in memory.
    fn note_evicted(&mut self, stored_key: Box<[u8]>, end: i64) {
        self.evicted.add(end);
        if matches!(self.config.emission, Emission::Final(_)) && end >= self.emitted_end {
            self.unfinished_bytes += UNFINISHED_BYTES + stored_key.len().saturating_sub(START_BYTES);
            self.unfinished.insert((end, stored_key));
        }
    }

    /// Reads all sessions of these keys, of which none is in memory.
    fn read_back(&mut self, keys: BTreeSet<Box<[u8]>>, state: &TaskState) -> Result<()> {
        let mut found = Vec::new();
        for key in keys {
            state.scan(self.slots.store(), &KeyRange::prefix(&key), &mut |stored_key, value| {
                if let (Some((_, start)), Some((_, end))) =
                    (split_window_start(stored_key), row_header(value))
                {
                    found.push((key.to_vec(), start, end, value.to_vec()));
                }
                ControlFlow::Continue(())
            })?;
        }
        self.load(found)
    }

    /// Reads the sessions of a batch's keys back.
    fn load_missing(&mut self, batch: &RowBatch, state: &TaskState) -> Result<()> {
        if self.evicted.is_empty() {
            return Ok(());
        }
        let keys = (0..batch.len()).map(|row| self.keys.get(row));
        let missing = keys.filter(|key| !self.sessions.contains_key(*key)).map(Box::from).collect();
        self.read_back(missing, state)
    }

    fn create(&mut self, key: &[u8], start: i64, end: i64) -> u32 {
        let slot = self.slots.create(0, key, start, end);
        self.link(slot);
        slot
    }

    /// Puts a session into the indexes.
    fn link(&mut self, slot: u32) {
        let slots = &self.slots;
        let entry = slots.get(slot);
        let list = match self.sessions.get_mut(&entry.key) {
            Some(list) => list,
            None => {
                self.key_bytes += entry.key.len();
                self.sessions.entry(entry.key.clone()).or_default()
            }
        };
        let at = list.partition_point(|s| slots.get(*s).window_start < entry.window_start);
        list.insert(at, slot);
        self.by_end.entry(entry.window_end).or_default().insert(slot);
    }

    /// Takes a session out of the indexes; its slot stays.
    fn unlink(&mut self, slot: u32) {
        let entry = self.slots.get(slot);
        let end = entry.window_end;
        if let Some(list) = self.sessions.get_mut(entry.key.as_ref()) {
            let from = list.partition_point(|s| self.slots.get(*s).window_start < entry.window_start);
            if let Some(at) = list[from..].iter().position(|s| *s == slot) {
                list.remove(from + at);
            }
            if list.is_empty() {
                self.sessions.remove(&entry.key);
                self.key_bytes -= entry.key.len();
            }
        }
        if let Some(set) = self.by_end.get_mut(&end) {
            set.remove(&slot);
            if set.is_empty() {
                self.by_end.remove(&end);
            }
        }
    }

    /// Removes a session everywhere.
    fn forget(&mut self, slot: u32, state: &mut TaskState) {
        state.put(self.slots.store(), self.slots.store_key(slot), None);
        self.unlink(slot);
        self.slots.release(slot);
    }

    /// Sessions of the key that a row at this time joins, in order of their start.
    fn neighbours(&self, key: &[u8], time: i64) -> Vec<u32> {
        let Some(list) = self.sessions.get(key) else { return Vec::new() };
        let expired = self.observed_end.saturating_sub(self.windows.retention_ms);
        let earliest = time.saturating_sub(self.windows.gap_ms).max(expired.saturating_add(1));
        let latest = time.saturating_add(self.windows.gap_ms);
        // Sessions of a key do not overlap: their ends are sorted as well.
        let from = list.partition_point(|s| self.slots.get(*s).window_end < earliest);
        list[from..].iter().copied().take_while(|s| self.slots.get(*s).window_start <= latest).collect()
    }

    /// Charges the rows that are emitted if every change is: a row joins no more than the sessions of its key.
    ///
    /// Errors: a memory error if that is too much for one batch.
    fn charge_results(&self, batch: &RowBatch, budget: &BatchBudget) -> Result<()> {
        if self.config.emission != Emission::EveryChange || !self.slots.calls.holds_values() {
            return Ok(());
        }
        let times = if self.config.old_values { 2 } else { 1 };
        let mut results = GrowingResults::of(&batch.value);
        let bytes =
            |slots: &[u32]| -> usize { slots.iter().map(|slot| self.slots.calls.slot_bytes(*slot)).sum() };
        for row in 0..batch.len() {
            let key = self.keys.get(row);
            let before = || match budget.rows() {
                1 => bytes(&self.neighbours(key, batch.rowtime[row])),
                _ => self.sessions.get(key).map_or(0, |sessions| bytes(sessions)),
            };
            let size = results.after(row, self.sessions.hasher().hash_one(key), before);
            budget.charge(size.saturating_mul(times))?;
        }
        Ok(())
    }

    fn process_row(
        &mut self,
        batch: &RowBatch,
        row: usize,
        pending: &mut Pending,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<()> {
        let time = batch.rowtime[row];
        if !self.windows.takes(time) {
            // Such a row does not move stream time: every later row would be late.
            self.slots.calls.reporter().unwindowed_row(time);
            return Ok(());
        }
        if time > self.stream_time {
            self.stream_time = time;
            self.emit_closed(batch, pending, context.state, out)?;
        }
        let close_time = self.windows.close_time(self.stream_time);
        let key = self.keys.get(row).to_vec();
        let joined = self.neighbours(&key, time);
        let bounds = joined.iter().map(|s| self.slots.get(*s)).map(|s| (s.window_start, s.window_end));
        let (start, end) = bounds.fold((time, time), |(a, b), (start, end)| (a.min(start), b.max(end)));
        if end < close_time {
            pending.late += 1;
            return Ok(());
        }
        let slot = match joined.split_last() {
            None => self.create(&key, time, time),
            Some((last, others)) => {
                if self.config.old_values && self.config.emission == Emission::EveryChange {
                    self.apply(batch, pending, out)?;
                    pending.old = Some(self.slots.calls.evaluate(&joined));
                    pending.kept = (start, end) == (time, time);
                }
                if (start, end) != (time, time) {
                    for slot in &joined {
                        let old = self.slots.get(*slot);
                        pending.changes.push(Change::Gone(row as u32, old.window_start, old.window_end));
                        self.note_removed(*slot);
                    }
                }
                if !others.is_empty() {
                    self.apply(batch, pending, out)?;
                }
                for pair in joined.windows(2) {
                    self.slots.calls.merge(pair[1], pair[0]);
                }
                others.iter().for_each(|slot| self.forget(*slot, context.state));
                self.move_session(*last, start, end, context.state);
                *last
            }
        };
        self.observed_end = self.observed_end.max(end);
        self.slots.touch(slot);
        self.slots.get_mut(slot).rowtime = end;
        pending.changes.push(Change::Updated(row as u32, pending.rows.len() as u32, start, end));
        pending.rows.push(row as u32);
        pending.slots.push(slot);
        if pending.old.is_some() {
            self.apply(batch, pending, out)?;
        }
        Ok(())
    }

    fn note_removed(&mut self, slot: u32) {
        if self.config.emission == Emission::OnCommit {
            let entry = self.slots.get(slot);
            self.removed.push(Removed {
                key: entry.key.clone(),
                start: entry.window_start,
                end: entry.window_end,
            });
        }
    }

    /// Gives a session new bounds.
    fn move_session(&mut self, slot: u32, start: i64, end: i64, state: &mut TaskState) {
        let entry = self.slots.get(slot);
        if (entry.window_start, entry.window_end) == (start, end) {
            return;
        }
        if entry.window_start != start {
            state.put(self.slots.store(), self.slots.store_key(slot), None);
        }
        self.unlink(slot);
        let entry = self.slots.get_mut(slot);
        entry.window_start = start;
        entry.window_end = end;
        self.link(slot);
    }

    /// Applies pending rows to the accumulators and emits what they changed.
    fn apply(&mut self, batch: &RowBatch, pending: &mut Pending, out: &mut Output) -> Result<()> {
        if pending.rows.is_empty() {
            return Ok(());
        }
        let late = pending.late;
        let Pending { rows, slots, changes, old, kept, .. } =
            std::mem::replace(pending, Pending { late, ..Pending::default() });
        let arguments = take_columns(&batch.value, &UInt32Array::from(rows))?;
        if self.config.emission != Emission::EveryChange {
            self.slots.calls.update(&slots, &arguments);
            return Ok(());
        }
        let results = self.slots.calls.update_and_evaluate(&slots, &arguments);
        let mut emitted = emitted(batch, &changes, &results)?;
        if self.config.old_values {
            emitted.old = Some(old_rows(&changes, old.as_deref(), kept, &results)?);
        }
        out.emit(emitted);
        Ok(())
    }

    /// Emits the final rows of sessions that stream time has closed: at once, since a later row may still extend them. They stay
    /// in the store until they expire.
    fn emit_closed(
        &mut self,
        batch: &RowBatch,
        pending: &mut Pending,
        state: &TaskState,
        out: &mut Output,
    ) -> Result<()> {
        let close_time = self.windows.close_time(self.stream_time);
        if !matches!(self.config.emission, Emission::Final(_)) || close_time <= self.emitted_end {
            return Ok(());
        }
        let to_come = self.unfinished.iter().take_while(|(end, _)| *end < close_time);
        let keys: BTreeSet<Box<[u8]>> =
            to_come.filter_map(|(_, key)| Some(split_window_start(key)?.0.into())).collect();
        self.read_back(keys, state)?;
        let ended = self.by_end.range(self.emitted_end..close_time);
        let mut closed: Vec<u32> = ended.flat_map(|(_, s)| s.iter().copied()).collect();
        self.emitted_end = close_time;
        closed.sort_by(|a, b| {
            let (a, b) = (self.slots.get(*a), self.slots.get(*b));
            (a.window_end, a.window_start, &a.key).cmp(&(b.window_end, b.window_start, &b.key))
        });
        if closed.is_empty() {
            return Ok(());
        }
        self.apply(batch, pending, out)?;
        let value = self.slots.calls.evaluate(&closed);
        let mut rows = self.slots.rows(&closed, value)?;
        if self.config.old_values {
            let old =
                rows.value.iter().map(|v| arrow::array::new_null_array(v.data_type(), v.len())).collect();
            rows.old =
                Some(OldRows { value: old, absent: Some(arrow::buffer::BooleanBuffer::new_set(rows.len())) });
        }
        out.emit(rows);
        Ok(())
    }

    /// Forgets sessions beyond retention, but none whose final row is still to come.
    fn expire(&mut self, state: &mut TaskState) -> Result<()> {
        let oldest = self.stream_time.saturating_sub(self.windows.retention_ms);
        let oldest = match self.config.emission {
            Emission::Final(_) => oldest.min(self.emitted_end.saturating_sub(1)),
            Emission::EveryChange | Emission::OnCommit => oldest,
        };
        let expired: Vec<u32> = self.by_end.range(..=oldest).flat_map(|(_, s)| s.iter().copied()).collect();
        expired.into_iter().for_each(|slot| self.forget(slot, state));
        let rows = std::mem::take(&mut self.rows);
        self.evicted.expire(oldest, rows, state, |_, value| Some(row_header(value)?.1))
    }

    /// Forgets in memory the sessions of keys beyond the bounds, those that ended first before others. All are clean.
    fn evict(&mut self) {
        let Some(kept) = self.slots.groups_kept(self.resident_max, self.index_bytes()) else { return };
        while self.slots.len() > kept {
            let first = self.by_end.first_key_value().and_then(|(_, slots)| slots.first());
            let Some(key) = first.map(|slot| self.slots.get(*slot).key.clone()) else { return };
            for slot in self.sessions.get(&key).cloned().unwrap_or_default() {
                self.note_evicted(self.slots.store_key(slot).into(), self.slots.get(slot).window_end);
                self.unlink(slot);
                self.slots.release(slot);
            }
        }
        self.slots.hold(self.index_bytes());
    }

    fn index_bytes(&self) -> usize {
        self.slots.len() * SESSION_BYTES + self.key_bytes + self.unfinished_bytes
    }
}

/// The changes as rows, in order.
fn emitted(batch: &RowBatch, changes: &[Change], results: &[ArrayRef]) -> Result<RowBatch> {
    let parts = |c: &Change| match *c {
        Change::Gone(row, start, end) => (row, None, start, end),
        Change::Updated(row, number, start, end) => (row, Some(number), start, end),
    };
    let rows: Vec<u32> = changes.iter().map(|c| parts(c).0).collect();
    let numbers: UInt32Array = changes.iter().map(|c| parts(c).1).collect();
    let value = take_columns(results, &numbers)?;
    let absent: Vec<bool> = changes.iter().map(|c| parts(c).1.is_none()).collect();
    Ok(RowBatch {
        key: take_columns(&batch.key, &UInt32Array::from(rows.clone()))?,
        value,
        rowtime: changes.iter().map(|c| parts(c).3).collect(),
        window: Some(WindowColumns {
            start: changes.iter().map(|c| parts(c).2).collect(),
            end: changes.iter().map(|c| parts(c).3).collect(),
            kind: WindowEnds::OfSession,
        }),
        absent: some_bits(absent.into_iter().collect()),
        null_key: None,
        origin: None,
        old: None,
        ..batch.take_side(&rows)
    })
}

/// What was before the changes of one row: the sessions it joined, in order, then the session it is in now, if its bounds are
/// as they were.
fn old_rows(
    changes: &[Change],
    joined: Option<&[ArrayRef]>,
    kept: bool,
    results: &[ArrayRef],
) -> Result<OldRows> {
    let mut gone = 0..;
    let places: UInt32Array = changes
        .iter()
        .map(|c| match c {
            Change::Gone(..) => gone.next(),
            Change::Updated(..) => (kept && joined.is_some()).then_some(0),
        })
        .collect();
    let value = match joined {
        Some(joined) => take_columns(joined, &places)?,
        None => results.iter().map(|r| arrow::array::new_null_array(r.data_type(), changes.len())).collect(),
    };
    let absent = places.iter().map(|p| p.is_none()).collect();
    Ok(OldRows { value, absent: some_bits(absent) })
}

impl Operator for SessionAggregateOperator {
    fn process(
        &mut self,
        _port: usize,
        batch: RowBatch,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<()> {
        self.open(context.state)?;
        self.keys.encode(&batch.key, batch.len())?;
        self.load_missing(&batch, context.state)?;
        match self.charge_results(&batch, context.budget) {
            // No smaller batch is left to try.
            Err(error) if error.exceeds_memory() && context.budget.rows() == 1 => {
                self.slots.calls.reporter().row_error(context.budget.row_message(), &batch, 0);
                return Ok(());
            }
            charged => charged?,
        }
        self.rows += batch.len();
        let mut pending = Pending::default();
        for row in 0..batch.len() {
            self.process_row(&batch, row, &mut pending, context, out)?;
        }
        self.apply(&batch, &mut pending, out)?;
        self.slots.calls.reporter().late_rows(pending.late, self.stream_time);
        Ok(())
    }

    fn uncommitted_bytes(&self) -> usize {
        self.slots.uncommitted_bytes()
    }

    fn flush(&mut self, context: &mut OperatorContext<'_>, out: &mut Output) -> Result<()> {
        self.open(context.state)?;
        if self.config.emission == Emission::OnCommit {
            self.emit_deferred(out)?;
        }
        self.slots.flush(context.state)?;
        if (self.stream_time, self.observed_end) > self.stored {
            self.stored = (self.stream_time, self.observed_end);
            let meta = [self.stream_time.to_le_bytes(), self.observed_end.to_le_bytes()].concat();
            context.state.put(self.slots.store(), META_KEY.to_vec(), Some(meta));
        }
        self.expire(context.state)?;
        self.evict();
        Ok(())
    }
}

impl SessionAggregateOperator {
    /// Tombstones for sessions that are gone, then the sessions that changed.
    fn emit_deferred(&mut self, out: &mut Output) -> Result<()> {
        let dirty = self.slots.dirty();
        let value = self.slots.calls.evaluate(&dirty);
        let types: Vec<_> = value.iter().map(|v| v.data_type().clone()).collect();
        let mut seen = BTreeSet::new();
        let removed: Vec<Removed> = std::mem::take(&mut self.removed)
            .into_iter()
            .filter(|r| seen.insert((r.key.clone(), r.start, r.end)))
            .filter(|r| {
                !self.sessions.get(&r.key).is_some_and(|list| {
                    list.iter()
                        .map(|s| self.slots.get(*s))
                        .any(|s| (s.window_start, s.window_end) == (r.start, r.end))
                })
            })
            .collect();
        if !removed.is_empty() {
            out.emit(
                self.slots.tombstones(removed.iter().map(|r| (r.key.as_ref(), r.start, r.end)), &types)?,
            );
        }
        // Without old values: a filter above emits a tombstone for every session it does not keep.
        out.emit(self.slots.rows(&dirty, value)?);
        Ok(())
    }
}
