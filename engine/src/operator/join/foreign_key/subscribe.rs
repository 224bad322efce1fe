//! The left side of a foreign-key join.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Int64Type};
use foldhash::fast::FixedState;
use weir_sql::plan::physical::JoinKind;

use crate::batch::{OldRows, RowBatch, some_bits, take_columns};
use crate::error::Result;
use crate::operator::evaluator::Evaluator;
use crate::operator::join::foreign_key::Instruction;
use crate::operator::keys::batch_keys;
use crate::operator::materialize::{add_values, table_row};
use crate::operator::pieces::charge_result;
use crate::operator::{Operator, OperatorContext, Output};
use crate::processing_log::StepReporter;
use crate::state::column_reader::ColumnReader;
use crate::state::key_codec::{EncodedKeys, encode_key};
use crate::state::row_arena::NO_ROW;
use crate::state::row_codec::encode_row;
use crate::state::table_store::{TableRow, TableStore};

/// Output for subscriptions; results are on 0.
pub const SUBSCRIPTIONS: usize = 1;

/// Hash of a left row that does not exist.
const NO_HASH: i64 = 0;

/// Port 0 takes left changes, port 1 the responses.
///
/// A result must not outlive its rows, although a response to an older version of the left row is dropped. Therefore every
/// version with a foreign key is answered, and the result of an inner join is taken back here, at once, when its left row
/// goes or loses its foreign key. Left rows of an inner join remember in the store's own number whether they have a result
/// (0: no; else the time of the result plus 1 if it is later than that of the row, or 1), so that answers without a right
/// row take back results only, and no result is taken back by an older tombstone. As in Kafka Streams the time of that is
/// the later one of the left change and the right row.
#[derive(Debug)]
pub struct SubscribeOperator {
    kind: JoinKind,
    left: TableStore,
    foreign_key: Evaluator,
    right_columns: usize,
    right_types: Vec<DataType>,
    reporter: StepReporter,
    keys: EncodedKeys,
}

/// The number of a left row without a result.
const NO_RESULT: i64 = 0;

/// A change of a left row. `new` and `old`: None if there is no row, else whether its foreign key is not NULL.
struct Change {
    row: usize,
    new: Option<bool>,
    old: Option<bool>,
    /// Both foreign keys are there and equal.
    same: bool,
    hash: i64,
    had_result: bool,
}

/// The foreign key that a subscription goes under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Old,
    New,
}

/// Subscriptions to send. Shape: one entry per record.
#[derive(Default)]
struct Subscriptions {
    rows: Vec<u32>,
    keys: Vec<Key>,
    hashes: Vec<i64>,
    instructions: Vec<i32>,
}

impl Subscriptions {
    fn push(&mut self, change: &Change, key: Key, instruction: Instruction) {
        self.rows.push(change.row as u32);
        self.keys.push(key);
        self.hashes.push(change.hash);
        self.instructions.push(instruction.code());
    }
}

/// The result of a left row that has no right side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LocalRow {
    AsItIs,
    Tombstone,
}

/// Results that do not depend on the right side. Shape: one entry per row.
#[derive(Default)]
struct LocalRows {
    rows: Vec<u32>,
    kinds: Vec<LocalRow>,
}

impl LocalRows {
    fn push(&mut self, row: usize, kind: LocalRow) {
        self.rows.push(row as u32);
        self.kinds.push(kind);
    }
}

impl SubscribeOperator {
    /// `left` holds the left value columns; `kind` is Inner or Left.
    pub fn new(
        kind: JoinKind,
        left: TableStore,
        foreign_key: Evaluator,
        right_types: Vec<DataType>,
        reporter: StepReporter,
    ) -> SubscribeOperator {
        SubscribeOperator {
            kind,
            left,
            foreign_key,
            right_columns: right_types.len(),
            right_types,
            reporter,
            keys: EncodedKeys::default(),
        }
    }

    fn change(&mut self, batch: RowBatch, context: &OperatorContext<'_>, out: &mut Output) -> Result<()> {
        let batch = match &batch.null_key {
            Some(nulls) => {
                let keep = !nulls;
                batch.filter(&keep)?
            }
            None => batch,
        };
        let new_key = self.foreign_key.evaluate(&batch, context.budget)?.remove(0);
        batch_keys(&batch, &mut self.keys)?;
        self.left.load(&self.keys, |_| false, context.state)?;
        let olds = self.put(&batch, &new_key)?;
        let slots: Vec<u32> = olds.iter().map(|o| o.slot).collect();
        let old = OldRows {
            value: self.left.gather(&slots)?,
            absent: some_bits(olds.iter().map(|o| !o.exists()).collect()),
        };
        let batch = RowBatch { old: Some(old), ..batch };
        let old_key = self.foreign_key.evaluate_old_apart(&batch)?.map(|mut c| c.remove(0));
        let old_key =
            old_key.unwrap_or_else(|| arrow::array::new_null_array(new_key.data_type(), batch.len()));
        let time = |old: &TableRow| old.rowtime.max(old.extra.saturating_sub(1));
        let results: Vec<Option<i64>> =
            olds.iter().map(|old| (old.extra != NO_RESULT).then(|| time(old))).collect();
        self.send(&batch, &new_key, &old_key, &results, context.partition, out)?;
        self.left.release()
    }

    /// Puts left rows in order and gives what each replaced. A row takes over the result of the row it replaces, unless that
    /// is taken back.
    fn put(&mut self, batch: &RowBatch, new_key: &ArrayRef) -> Result<Vec<TableRow>> {
        let slots = add_values(&mut self.left, batch)?;
        let mut olds = Vec::with_capacity(batch.len());
        for row in 0..batch.len() {
            let key = self.keys.get(row);
            let result = if new_key.is_null(row) { NO_RESULT } else { self.left.find(key).extra };
            let new = TableRow { extra: result, ..table_row(batch, &slots, row) };
            olds.push(self.left.replace(key, if new.exists() { new } else { TableRow::ABSENT }));
        }
        Ok(olds)
    }

    /// Shape: `results` has the time of the result of each old row that has one.
    fn send(
        &self,
        batch: &RowBatch,
        new_key: &ArrayRef,
        old_key: &ArrayRef,
        results: &[Option<i64>],
        partition: i32,
        out: &mut Output,
    ) -> Result<()> {
        let hashes = row_hashes(batch)?;
        let (new_reader, old_reader) = (ColumnReader::new(new_key)?, ColumnReader::new(old_key)?);
        let mut subscriptions = Subscriptions::default();
        let mut local = LocalRows::default();
        for (row, row_hash) in hashes.iter().enumerate() {
            let new = (!batch.is_absent(row)).then(|| !new_key.is_null(row));
            let old = (!batch.is_old_absent(row)).then(|| !old_key.is_null(row));
            let same = || -> Result<bool> {
                let (mut a, mut b) = (Vec::new(), Vec::new());
                encode_key(std::slice::from_ref(&new_reader), row, &mut a)?;
                encode_key(std::slice::from_ref(&old_reader), row, &mut b)?;
                Ok(a == b)
            };
            let same = new == Some(true) && old == Some(true) && same()?;
            let change = Change { row, new, old, same, hash: *row_hash, had_result: results[row].is_some() };
            match self.kind {
                JoinKind::Inner => self.decide_inner(&change, &mut subscriptions, &mut local),
                JoinKind::Left | JoinKind::Right | JoinKind::Outer => {
                    decide_left(&change, &mut subscriptions, &mut local)
                }
            }
        }
        self.emit_local(batch, &local, results, out)?;
        let keys: Vec<u32> = subscriptions
            .rows
            .iter()
            .zip(&subscriptions.keys)
            .map(|(row, key)| if *key == Key::Old { row + batch.len() as u32 } else { *row })
            .collect();
        let both = arrow::compute::concat(&[new_key.as_ref(), old_key.as_ref()])?;
        let mut value = take_columns(&batch.key, &UInt32Array::from(subscriptions.rows.clone()))?;
        value.push(Arc::new(Int64Array::from(subscriptions.hashes)));
        value.push(Arc::new(Int32Array::from(subscriptions.instructions)));
        value.push(Arc::new(Int32Array::from(vec![partition; subscriptions.rows.len()])));
        let sent = RowBatch {
            key: take_columns(&[both], &UInt32Array::from(keys))?,
            value,
            absent: None,
            null_key: None,
            origin: None,
            ..batch.take_side(&subscriptions.rows)
        };
        out.emit_to(SUBSCRIPTIONS, sent);
        Ok(())
    }

    fn decide_inner(&self, change: &Change, subscriptions: &mut Subscriptions, local: &mut LocalRows) {
        if change.old == Some(true) && !change.same {
            subscriptions.push(change, Key::Old, Instruction::Unsubscribe);
        }
        match change.new {
            Some(true) => subscriptions.push(change, Key::New, Instruction::SubscribeAndAnswer),
            // As ksqlDB does, also if there was no result.
            None if change.old == Some(true) => local.push(change.row, LocalRow::Tombstone),
            Some(false) | None if change.had_result => local.push(change.row, LocalRow::Tombstone),
            Some(false) | None => {}
        }
        if change.new == Some(false) {
            self.reporter.record_error("the foreign key is NULL: the row is left out");
        }
    }

    /// Rows whose result does not depend on the right side.
    fn emit_local(
        &self,
        batch: &RowBatch,
        local: &LocalRows,
        results: &[Option<i64>],
        out: &mut Output,
    ) -> Result<()> {
        if local.rows.is_empty() {
            return Ok(());
        }
        let mut taken = RowBatch { old: None, ..batch.clone() }.take(&local.rows)?;
        taken
            .value
            .extend(self.right_types.iter().map(|t| arrow::array::new_null_array(t, local.rows.len())));
        let gone = |at: usize| local.kinds[at] == LocalRow::Tombstone || taken.is_absent(at);
        let absent = BooleanBuffer::collect_bool(taken.len(), gone);
        // A tombstone is no older than the result it takes back.
        let result_time = |row: u32| results[row as usize].unwrap_or(i64::MIN);
        let rowtime = taken.rowtime.iter().zip(&local.rows).map(|(time, row)| (*time).max(result_time(*row)));
        let rowtime = rowtime.collect();
        out.emit(RowBatch { origin: None, absent: some_bits(absent), rowtime, ..taken });
        Ok(())
    }

    /// A response joins the left row that asked, unless the row has changed since.
    fn answer(&mut self, batch: RowBatch, context: &OperatorContext<'_>, out: &mut Output) -> Result<()> {
        batch_keys(&batch, &mut self.keys)?;
        self.left.load(&self.keys, |_| false, context.state)?;
        let current: Vec<u32> = (0..batch.len()).map(|row| self.left.find(self.keys.get(row)).slot).collect();
        // Left rows are copied twice: to be compared, and into the result.
        let left_bytes = current.iter().map(|slot| self.left.row_bytes(*slot)).fold(0, usize::saturating_add);
        charge_result(context.budget, left_bytes.saturating_mul(2).saturating_add(batch.bytes()))?;
        let left = RowBatch {
            value: self.left.gather(&current)?,
            absent: some_bits(current.iter().map(|s| *s == NO_ROW).collect()),
            ..batch.clone()
        };
        let hashes = row_hashes(&left)?;
        let asked = batch.value[self.right_columns].as_primitive::<Int64Type>();
        let found = batch.value[self.right_columns + 1].as_boolean();
        let (mut keep, mut gone) = (Vec::new(), Vec::new());
        for (row, hash) in hashes.iter().enumerate() {
            if asked.value(row) != *hash {
                continue;
            }
            let is_gone = match self.kind {
                JoinKind::Inner => match self.note_result(row, found.value(row), batch.rowtime[row]) {
                    Noted::NoResult => continue,
                    Noted::TakenBack => true,
                    Noted::Result => false,
                },
                JoinKind::Left | JoinKind::Right | JoinKind::Outer => left.is_absent(row),
            };
            keep.push(row as u32);
            gone.push(is_gone);
        }
        let indices = UInt32Array::from(keep.clone());
        let mut value = take_columns(&left.value, &indices)?;
        value.extend(take_columns(&batch.value[..self.right_columns], &indices)?);
        out.emit(RowBatch {
            key: take_columns(&batch.key, &indices)?,
            value,
            absent: some_bits(gone.into_iter().collect()),
            old: None,
            ..batch.take_side(&keep)
        });
        self.left.release()
    }

    /// Notes with the left row of an answer whether it has a result now.
    fn note_result(&mut self, row: usize, found: bool, time: i64) -> Noted {
        let key = self.keys.get(row);
        let left = self.left.find(key);
        match (left.extra != NO_RESULT, found) {
            (false, false) => Noted::NoResult,
            (_, true) => {
                // Most results are as old as their left row, which then is not written once more.
                let later = if time > left.rowtime { time.max(0) } else { 0 };
                self.left.set_extra(key, later.saturating_add(1));
                Noted::Result
            }
            (true, false) => {
                self.left.set_extra(key, NO_RESULT);
                Noted::TakenBack
            }
        }
    }
}

/// The result of a left row after an answer.
enum Noted {
    Result,
    TakenBack,
    /// There was none and is none.
    NoResult,
}

fn decide_left(change: &Change, subscriptions: &mut Subscriptions, local: &mut LocalRows) {
    let (old, new) = (change.old, change.new);
    match (old, new) {
        (Some(true), None) => subscriptions.push(change, Key::Old, Instruction::UnsubscribeAndAnswer),
        (Some(true), Some(_)) if !change.same => {
            subscriptions.push(change, Key::Old, Instruction::Unsubscribe)
        }
        (None | Some(_), None | Some(_)) => {}
    }
    match (old, new) {
        (_, Some(true)) => subscriptions.push(change, Key::New, Instruction::SubscribeAndAnswer),
        (_, Some(false)) | (Some(false), None) => local.push(change.row, LocalRow::AsItIs),
        (Some(true) | None, None) => {}
    }
}

/// A hash of the value of each row, the same on every node. Rows without a value have [`NO_HASH`].
fn row_hashes(batch: &RowBatch) -> Result<Vec<i64>> {
    let readers = ColumnReader::all(&batch.value)?;
    let hasher = FixedState::default();
    let mut bytes = Vec::new();
    Ok((0..batch.len())
        .map(|row| {
            if batch.is_absent(row) {
                return NO_HASH;
            }
            bytes.clear();
            encode_row(&readers, row, 0, 0, &mut bytes);
            hasher.hash_one(bytes.as_slice()) as i64
        })
        .collect())
}

impl Operator for SubscribeOperator {
    fn process(
        &mut self,
        port: usize,
        batch: RowBatch,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<()> {
        match port {
            0 => self.change(batch, context, out),
            _ => self.answer(batch, context, out),
        }
    }

    fn uncommitted_bytes(&self) -> usize {
        self.left.uncommitted_bytes()
    }

    fn flush(&mut self, context: &mut OperatorContext<'_>, _out: &mut Output) -> Result<()> {
        self.left.flush(context.state)
    }
}
