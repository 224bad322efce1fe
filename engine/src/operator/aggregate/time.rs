//! Aggregation without windows, and over tumbling and hopping windows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{Bound, ControlFlow};

use arrow::array::{ArrayRef, UInt32Array};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use weir_sql::expr::compile::batch_budget::BatchBudget;

use crate::batch::windows::{WindowColumns, WindowEnds};
use crate::batch::{OldRows, RowBatch, some_bits, take_columns};
use crate::error::{EngineError, Result};
use crate::operator::aggregate::calls::GrowingResults;
use crate::operator::aggregate::slots::{RESIDENT_GROUPS_MAX, Slots, store_key};
use crate::operator::aggregate::time_windows::TimeWindows;
use crate::operator::aggregate::{Emission, EmissionConfig, ExpiredFinals};
use crate::operator::{Operator, OperatorContext, Output};
use crate::state::backend::KeyRange;
use crate::state::key_codec::{EncodedKeys, split_window_start};
use crate::state::row_arena::{NO_ROW, RowArena};
use crate::state::task_state::{META_KEY, TaskState};

/// Bytes of the key of a window that is not in memory, about.
const EVICTED_BYTES: usize = 96;

/// Groups read from the store at a time.
const LOADED_MAX: usize = 512;
/// Bytes by which groups may grow before a commit: a query commits much earlier, unless its rows suddenly read large groups.
const LOADED_BYTES_MAX: usize = 512 << 20;

/// Windows that the rows of one step are assigned to, about: larger batches are processed in pieces.
const ASSIGNED_MAX: usize = 1 << 17;

/// Aggregates grouped rows of a stream.
#[derive(Debug)]
pub struct AggregateOperator {
    slots: Slots,
    index: HashTable<u32>,
    hasher: FixedState,
    windows: Option<TimeWindows>,
    config: EmissionConfig,
    /// Largest timestamp seen.
    stream_time: i64,
    /// Stream time as the store has it.
    stored_time: i64,
    /// The final rows of windows that start no later than this were emitted. What was stored with a stream time was emitted for
    /// that stream time, so that a restart knows it.
    emitted_start: i64,
    /// Windows by start: those in memory, and the store keys of those that are not.
    by_start: BTreeMap<i64, Vec<u32>>,
    evicted: BTreeMap<i64, BTreeSet<Vec<u8>>>,
    /// True if every group of the store is in memory.
    complete: bool,
    opened: bool,
    resident_max: usize,
    /// Results of dirty groups as they were emitted last, for consumers that need old values of deferred rows.
    before: BTreeMap<u32, u32>,
    before_rows: Option<RowArena>,
    /// Changed groups that a flush has yet to emit.
    unsent: VecDeque<u32>,
    keys: EncodedKeys,
}

/// Input rows with the windows they fall into. Shape: entry `i` is row `rows[i]` in the window that starts at `starts[i]`.
#[derive(Debug, Default)]
struct Assignment {
    rows: Vec<u32>,
    starts: Vec<i64>,
    hashes: Vec<u64>,
    /// Stream time and largest window start, each time stream time rises. Only kept for [`ExpiredFinals::Lose`].
    advances: Vec<(i64, i64)>,
    /// Stream time after the rows.
    stream_time: i64,
    /// Rows whose windows have closed.
    late: u64,
    /// Timestamps that no window can hold.
    unwindowed: Vec<i64>,
}

impl AggregateOperator {
    pub fn new(slots: Slots, windows: Option<TimeWindows>, config: EmissionConfig) -> AggregateOperator {
        AggregateOperator {
            slots,
            index: HashTable::new(),
            hasher: FixedState::default(),
            windows,
            config,
            stream_time: i64::MIN,
            stored_time: i64::MIN,
            emitted_start: i64::MIN,
            by_start: BTreeMap::new(),
            evicted: BTreeMap::new(),
            complete: false,
            opened: false,
            resident_max: RESIDENT_GROUPS_MAX,
            before: BTreeMap::new(),
            before_rows: None,
            unsent: VecDeque::new(),
            keys: EncodedKeys::default(),
        }
    }

    /// Bounds the number of groups kept in memory after a commit.
    #[must_use]
    pub fn with_resident_max(mut self, groups: usize) -> AggregateOperator {
        self.resident_max = groups.max(1);
        self
    }

    fn open(&mut self, state: &TaskState) -> Result<()> {
        if self.opened {
            return Ok(());
        }
        self.opened = true;
        let store = self.slots.store();
        if let Some(meta) = state.get(store, META_KEY)?
            && let Some(bytes) = meta.first_chunk::<8>()
        {
            self.stream_time = i64::from_le_bytes(*bytes);
            self.stored_time = self.stream_time;
            self.emitted_start = self.windows.map_or(i64::MIN, |w| w.last_closed_start(self.stream_time));
        }
        let mut groups = 0_usize;
        let windowed = self.windows.is_some();
        let evicted = &mut self.evicted;
        state.scan(store, &KeyRange::all(), &mut |key, _| {
            if key == META_KEY {
                return ControlFlow::Continue(());
            }
            groups += 1;
            if !windowed {
                return ControlFlow::Break(());
            }
            if let Some((_, start)) = split_window_start(key) {
                evicted.entry(start).or_default().insert(key.to_vec());
            }
            ControlFlow::Continue(())
        })?;
        self.complete = groups == 0;
        Ok(())
    }

    /// Finds the windows of each row, advancing stream time row by row, and drops what is late. Changes nothing yet.
    fn assign(&self, batch: &RowBatch) -> Assignment {
        let rows = batch.len();
        let mut assignment = Assignment {
            rows: Vec::with_capacity(rows),
            starts: Vec::with_capacity(rows),
            hashes: Vec::with_capacity(rows),
            advances: Vec::new(),
            stream_time: self.stream_time,
            late: 0,
            unwindowed: Vec::new(),
        };
        let Some(windows) = self.windows else {
            assignment.rows.extend(0..rows as u32);
            assignment.starts.resize(rows, 0);
            assignment.hashes.extend((0..rows).map(|row| self.hasher.hash_one(self.keys.get(row))));
            return assignment;
        };
        let keep_advances = self.config.emission == Emission::Final(ExpiredFinals::Lose);
        let mut last_start = i64::MIN;
        for row in 0..rows {
            let assigned = assignment.rows.len();
            let time = batch.rowtime[row];
            // Such a row does not move stream time: every later row would be late.
            let Some(starts) = windows.starts(time) else {
                assignment.unwindowed.push(time);
                continue;
            };
            let advanced = time > assignment.stream_time;
            assignment.stream_time = assignment.stream_time.max(time);
            let closed = windows.last_closed_start(assignment.stream_time);
            let key_hash = self.hasher.hash_one(self.keys.get(row));
            for start in starts.filter(|start| *start > closed) {
                assignment.rows.push(row as u32);
                assignment.starts.push(start);
                assignment.hashes.push(window_hash(key_hash, start));
                last_start = last_start.max(start);
            }
            assignment.late += u64::from(assignment.rows.len() == assigned);
            if keep_advances && advanced {
                assignment.advances.push((assignment.stream_time, last_start));
            }
        }
        assignment
    }

    /// Moves stream time on, and reports the rows that were left out.
    fn advance(&mut self, assignment: &Assignment) {
        self.stream_time = assignment.stream_time;
        let reporter = self.slots.calls.reporter();
        assignment.unwindowed.iter().for_each(|time| reporter.unwindowed_row(*time));
        reporter.late_rows(assignment.late, self.stream_time);
    }

    /// Charges the rows that are emitted if every change is.
    ///
    /// Errors: a memory error if that is too much for one batch.
    fn charge_results(&self, batch: &RowBatch, assignment: &Assignment, budget: &BatchBudget) -> Result<()> {
        if self.config.emission != Emission::EveryChange || !self.slots.calls.holds_values() {
            return Ok(());
        }
        // With old values every result is emitted twice.
        let times = if self.config.old_values { 2 } else { 1 };
        let mut results = GrowingResults::of(&batch.value);
        for (i, row) in assignment.rows.iter().enumerate() {
            let (row, hash, start) = (*row as usize, assignment.hashes[i], assignment.starts[i]);
            let slot = || self.find(hash, self.keys.get(row), start);
            let before = || slot().map_or(0, |slot| self.slots.calls.slot_bytes(slot));
            budget.charge(results.after(row, hash, before).saturating_mul(times))?;
        }
        Ok(())
    }

    #[inline]
    fn find(&self, hash: u64, key: &[u8], start: i64) -> Option<u32> {
        self.index
            .find(hash, |slot| {
                let entry = self.slots.get(*slot);
                entry.hash == hash && entry.window_start == start && entry.key.as_ref() == key
            })
            .copied()
    }

    fn create(&mut self, hash: u64, key: &[u8], start: i64) -> u32 {
        let end = self.windows.map_or(0, |w| w.end(start));
        let slot = self.slots.create(hash, key, start, end);
        let slots = &self.slots;
        self.index.insert_unique(hash, slot, |s| slots.get(*s).hash);
        if self.windows.is_some() {
            self.by_start.entry(start).or_default().push(slot);
        }
        slot
    }

    /// Reads groups that are in the store but not in memory.
    fn load_missing(&mut self, assignment: &Assignment, state: &TaskState) -> Result<()> {
        if self.complete {
            return Ok(());
        }
        let windowed = self.windows.is_some();
        let mut missing: Vec<(Vec<u8>, u64, u32, i64)> = Vec::new();
        for (i, row) in assignment.rows.iter().enumerate() {
            let (hash, start) = (assignment.hashes[i], assignment.starts[i]);
            let key = self.keys.get(*row as usize);
            if self.find(hash, key, start).is_none() {
                missing.push((store_key(key, windowed.then_some(start)), hash, *row, start));
            }
        }
        missing.sort_unstable();
        missing.dedup_by(|a, b| a.0 == b.0);
        for missing in missing.chunks(LOADED_MAX) {
            if self.slots.uncommitted_bytes() > LOADED_BYTES_MAX {
                return Err(EngineError::RunTooLarge { bytes_max: LOADED_BYTES_MAX });
            }
            let asked: Vec<&[u8]> = missing.iter().map(|m| m.0.as_slice()).collect();
            let found = state.multi_get(self.slots.store(), &asked)?;
            let (mut slots, mut rows) = (Vec::new(), Vec::new());
            for ((stored_key, hash, row, start), bytes) in missing.iter().zip(found) {
                let Some(bytes) = bytes else { continue };
                let key = self.keys.get(*row as usize).to_vec();
                slots.push(self.create(*hash, &key, *start));
                rows.push(bytes);
                if let Some(evicted) = self.evicted.get_mut(start) {
                    evicted.remove(stored_key);
                }
            }
            self.slots.load(&slots, &rows)?;
        }
        Ok(())
    }

    /// The slot of every assigned row. New groups are created; `existed` says which were there.
    fn resolve(&mut self, assignment: &Assignment, rowtime: &ScalarBuffer<i64>) -> Resolved {
        let count = assignment.rows.len();
        let mut resolved = Resolved {
            slots: Vec::with_capacity(count),
            rowtimes: Vec::new(),
            first_rows: Vec::new(),
            touched: Vec::new(),
        };
        let per_row = self.config.emission == Emission::EveryChange;
        for i in 0..count {
            let row = assignment.rows[i] as usize;
            let (hash, start) = (assignment.hashes[i], assignment.starts[i]);
            let key = self.keys.get(row);
            let slot = match self.find(hash, key, start) {
                Some(slot) => slot,
                None => {
                    let key = key.to_vec();
                    resolved.first_rows.push(i as u32);
                    self.create(hash, &key, start)
                }
            };
            if self.slots.touch(slot) {
                resolved.touched.push(slot);
            }
            let entry = self.slots.get_mut(slot);
            entry.rowtime = entry.rowtime.max(rowtime[row]);
            if per_row {
                resolved.rowtimes.push(entry.rowtime);
            }
            resolved.slots.push(slot);
        }
        resolved
    }

    fn emit_changes(
        &mut self,
        batch: &RowBatch,
        assignment: &Assignment,
        resolved: Resolved,
        arguments: &[ArrayRef],
        out: &mut Output,
    ) -> Result<()> {
        let windows = self.windows.map(|w| WindowColumns {
            start: assignment.starts.clone().into(),
            end: assignment.starts.iter().map(|s| w.end(*s)).collect(),
            kind: WindowEnds::Fixed,
        });
        let prior = self.config.old_values.then(|| {
            let mut distinct = resolved.slots.clone();
            distinct.sort_unstable();
            distinct.dedup();
            let values = self.slots.calls.evaluate(&distinct);
            (distinct, values)
        });
        let value = self.slots.calls.update_and_evaluate(&resolved.slots, arguments);
        let old = match prior {
            None => None,
            Some((distinct, before)) => Some(old_rows(&resolved, &distinct, &before, &value)?),
        };
        let side =
            RowBatch { origin: None, null_key: None, absent: None, ..batch.take_side(&assignment.rows) };
        let key = take_columns(&batch.key, &UInt32Array::from(assignment.rows.clone()))?;
        out.emit(RowBatch { key, value, rowtime: resolved.rowtimes.into(), window: windows, old, ..side });
        Ok(())
    }

    /// Remembers what groups were when they were emitted last.
    fn remember_old(&mut self, resolved: &Resolved, created: &[u32]) -> Result<()> {
        let existing: Vec<u32> =
            resolved.touched.iter().copied().filter(|s| created.binary_search(s).is_err()).collect();
        let values = self.slots.calls.evaluate(&existing);
        let arena = self
            .before_rows
            .get_or_insert_with(|| RowArena::new(values.iter().map(|v| v.data_type().clone()).collect()));
        let all: Vec<u32> = (0..existing.len() as u32).collect();
        let rows = arena.insert(&values, &all)?;
        self.before.extend(existing.into_iter().zip(rows));
        Ok(())
    }

    /// Windows that stream time has closed, as final rows. They stay in the store until they expire.
    fn emit_closed(
        &mut self,
        advances: &[(i64, i64)],
        lose: bool,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<()> {
        let Some(windows) = self.windows else { return Ok(()) };
        let last_start = windows.last_closed_start(self.stream_time);
        if last_start <= self.emitted_start {
            return Ok(());
        }
        let range = (Bound::Excluded(self.emitted_start), Bound::Included(last_start));
        self.emitted_start = last_start;
        self.load_evicted(range, context.state)?;
        let mut closed: Vec<u32> = Vec::new();
        let mut lost: Vec<i64> = Vec::new();
        for (start, slots) in self.by_start.range(range) {
            if lose && windows.is_lost(*start, advances) {
                lost.push(*start);
                continue;
            }
            let from = closed.len();
            closed.extend_from_slice(slots);
            closed[from..].sort_by(|a, b| self.slots.get(*a).key.cmp(&self.slots.get(*b).key));
        }
        for slot in lost.iter().filter_map(|start| self.by_start.remove(start)).flatten().collect::<Vec<_>>()
        {
            self.forget(slot, context.state);
        }
        if closed.is_empty() {
            return Ok(());
        }
        let value = self.slots.calls.evaluate(&closed);
        let mut rows = self.slots.rows(&closed, value)?;
        if self.config.old_values {
            let old =
                rows.value.iter().map(|v| arrow::array::new_null_array(v.data_type(), v.len())).collect();
            rows.old = Some(OldRows { value: old, absent: Some(BooleanBuffer::new_set(rows.len())) });
        }
        out.emit(rows);
        Ok(())
    }

    /// Removes a group from memory and store.
    fn forget(&mut self, slot: u32, state: &mut TaskState) {
        state.put(self.slots.store(), self.slots.store_key(slot), None);
        self.unlink(slot);
    }

    /// Removes a group from memory.
    fn unlink(&mut self, slot: u32) {
        let hash = self.slots.get(slot).hash;
        if let Ok(entry) = self.index.find_entry(hash, |s| *s == slot) {
            entry.remove();
        }
        self.slots.release(slot);
    }

    /// Reads windows of these starts back from the store.
    fn load_evicted(&mut self, range: (Bound<i64>, Bound<i64>), state: &TaskState) -> Result<()> {
        let starts: Vec<i64> = self.evicted.range(range).map(|(start, _)| *start).collect();
        for start in starts {
            let keys = self.evicted.remove(&start).unwrap_or_default();
            let asked: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            let found = state.multi_get(self.slots.store(), &asked)?;
            let (mut slots, mut rows) = (Vec::new(), Vec::new());
            for (key, bytes) in keys.iter().zip(found) {
                let (Some((key, _)), Some(bytes)) = (split_window_start(key), bytes) else { continue };
                let hash = window_hash(self.hasher.hash_one(key), start);
                slots.push(self.create(hash, key, start));
                rows.push(bytes);
            }
            self.slots.load(&slots, &rows)?;
        }
        Ok(())
    }

    /// Drops windows beyond retention.
    fn expire(&mut self, state: &mut TaskState) {
        let Some(windows) = self.windows else { return };
        let last_start = windows.last_expired_start(self.stream_time);
        while let Some(entry) = self.by_start.first_entry() {
            if *entry.key() > last_start {
                break;
            }
            for slot in entry.remove() {
                self.forget(slot, state);
            }
        }
        while let Some(entry) = self.evicted.first_entry() {
            if *entry.key() > last_start {
                break;
            }
            for key in entry.remove() {
                state.put(self.slots.store(), key, None);
            }
        }
    }

    /// Forgets groups beyond the bounds, oldest windows first. All are clean.
    fn evict(&mut self) {
        let evicted_bytes = self.evicted_bytes();
        let Some(kept) = self.slots.groups_kept(self.resident_max, evicted_bytes) else { return };
        self.complete = false;
        let excess = self.slots.len() - kept;
        match self.windows {
            None => {
                let victims: Vec<u32> = self.slots.live().take(excess).collect();
                victims.into_iter().for_each(|slot| self.unlink(slot));
            }
            Some(_) => self.evict_windows(excess),
        }
        self.slots.hold(self.evicted_bytes());
    }

    fn evict_windows(&mut self, mut excess: usize) {
        while excess > 0 {
            let Some((start, slots)) = self.by_start.pop_first() else { return };
            excess = excess.saturating_sub(slots.len());
            for slot in slots {
                let key = self.slots.store_key(slot);
                self.evicted.entry(start).or_default().insert(key);
                self.unlink(slot);
            }
        }
    }

    /// Bytes of the keys of windows that are not in memory.
    fn evicted_bytes(&self) -> usize {
        self.evicted.values().map(BTreeSet::len).sum::<usize>() * EVICTED_BYTES
    }
}

/// Where assigned rows go.
struct Resolved {
    slots: Vec<u32>,
    /// Timestamp of the group after each row. Empty unless every change is emitted.
    rowtimes: Vec<i64>,
    /// Entries that created their group.
    first_rows: Vec<u32>,
    /// Groups that were clean before.
    touched: Vec<u32>,
}

impl Resolved {
    /// Groups created, sorted.
    fn created(&self) -> Vec<u32> {
        let mut created: Vec<u32> = self.first_rows.iter().map(|i| self.slots[*i as usize]).collect();
        created.sort_unstable();
        created
    }
}

/// What each group was before each row: the result of the row before in the same group, or what it was before the batch.
fn old_rows(
    resolved: &Resolved,
    distinct: &[u32],
    before: &[ArrayRef],
    after: &[ArrayRef],
) -> Result<OldRows> {
    let mut last: Vec<(usize, usize)> = (0..distinct.len()).map(|i| (0, i)).collect();
    let created = resolved.created();
    let mut places = Vec::with_capacity(resolved.slots.len());
    let mut absent = Vec::with_capacity(resolved.slots.len());
    for (i, slot) in resolved.slots.iter().enumerate() {
        let place = distinct.binary_search(slot).expect("distinct holds every slot");
        absent.push(last[place].0 == 0 && created.binary_search(slot).is_ok());
        places.push(last[place]);
        last[place] = (1, i);
    }
    let value = before
        .iter()
        .zip(after)
        .map(|(b, a)| Ok(arrow::compute::interleave(&[b.as_ref(), a.as_ref()], &places)?))
        .collect::<Result<_>>()?;
    Ok(OldRows { value, absent: some_bits(absent.into_iter().collect()) })
}

#[inline]
fn window_hash(key_hash: u64, start: i64) -> u64 {
    (key_hash ^ start as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23)
}

impl Operator for AggregateOperator {
    fn rows_per_row(&self) -> usize {
        self.windows.map_or(1, |w| w.per_row())
    }

    fn process(
        &mut self,
        _port: usize,
        batch: RowBatch,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<()> {
        self.open(context.state)?;
        let rows_max = (ASSIGNED_MAX / self.rows_per_row()).max(1);
        if batch.len() > rows_max {
            // Too many windows at a time: nothing is changed yet, and fewer rows come.
            context.budget.charge(usize::MAX)?;
        }
        context.state.check_interrupted()?;
        self.process_piece(batch, context, out)
    }

    fn resume(&mut self, context: &mut OperatorContext<'_>, out: &mut Output) -> Result<bool> {
        if self.unsent.is_empty() {
            return Ok(false);
        }
        self.emit_unsent(context, out)?;
        Ok(true)
    }

    fn uncommitted_bytes(&self) -> usize {
        self.slots.uncommitted_bytes()
    }

    fn flush(&mut self, context: &mut OperatorContext<'_>, out: &mut Output) -> Result<()> {
        self.open(context.state)?;
        match self.config.emission {
            Emission::OnCommit => {
                self.unsent = self.slots.dirty().into();
                self.emit_unsent(context, out)
            }
            Emission::EveryChange | Emission::Final(_) => self.finish_flush(context),
        }
    }
}

impl AggregateOperator {
    /// Emits changed groups, as many as are turned into columns at a time. After the last the commit may follow.
    fn emit_unsent(&mut self, context: &mut OperatorContext<'_>, out: &mut Output) -> Result<()> {
        let fitting = self.slots.calls.fitting(self.unsent.make_contiguous());
        let dirty: Vec<u32> = self.unsent.drain(..fitting).collect();
        let value = self.slots.calls.evaluate(&dirty);
        let mut rows = self.slots.rows(&dirty, value)?;
        if self.config.old_values {
            rows.old = Some(self.old_of(&dirty, &rows.value)?);
        }
        out.emit(rows);
        if self.unsent.is_empty() { self.finish_flush(context) } else { Ok(()) }
    }

    fn finish_flush(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.before.clear();
        self.before_rows = None;
        self.slots.flush(context.state)?;
        if self.windows.is_some() && self.stream_time > self.stored_time {
            self.stored_time = self.stream_time;
            let meta = self.stream_time.to_le_bytes().to_vec();
            context.state.put(self.slots.store(), META_KEY.to_vec(), Some(meta));
        }
        self.expire(context.state);
        self.evict();
        Ok(())
    }

    fn process_piece(
        &mut self,
        batch: RowBatch,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<()> {
        self.keys.encode(&batch.key, batch.len())?;
        let assignment = self.assign(&batch);
        self.load_missing(&assignment, context.state)?;
        match self.charge_results(&batch, &assignment, context.budget) {
            // No smaller batch is left to try.
            Err(error) if error.exceeds_memory() && context.budget.rows() == 1 => {
                self.slots.calls.reporter().row_error(context.budget.row_message(), &batch, 0);
                return Ok(());
            }
            charged => charged?,
        }
        self.advance(&assignment);
        let resolved = self.resolve(&assignment, &batch.rowtime);
        let identity = assignment.rows.len() == batch.len()
            && assignment.rows.iter().enumerate().all(|(i, row)| i == *row as usize);
        let arguments = if identity {
            batch.value.clone()
        } else {
            take_columns(&batch.value, &UInt32Array::from(assignment.rows.clone()))?
        };
        match self.config.emission {
            Emission::EveryChange => self.emit_changes(&batch, &assignment, resolved, &arguments, out),
            Emission::OnCommit => {
                if self.config.old_values {
                    let created = resolved.created();
                    self.remember_old(&resolved, &created)?;
                }
                self.slots.calls.update(&resolved.slots, &arguments);
                Ok(())
            }
            Emission::Final(expired) => {
                self.slots.calls.update(&resolved.slots, &arguments);
                self.emit_closed(&assignment.advances, expired == ExpiredFinals::Lose, context, out)
            }
        }
    }

    /// The values of changed groups at the last commit.
    fn old_of(&self, dirty: &[u32], value: &[ArrayRef]) -> Result<OldRows> {
        let rows: Vec<u32> = dirty.iter().map(|s| self.before.get(s).copied().unwrap_or(NO_ROW)).collect();
        let absent = rows.iter().map(|r| *r == NO_ROW).collect();
        let old = match &self.before_rows {
            Some(arena) => arena.gather(&rows)?,
            None => value.iter().map(|v| arrow::array::new_null_array(v.data_type(), v.len())).collect(),
        };
        Ok(OldRows { value: old, absent: some_bits(absent) })
    }
}
