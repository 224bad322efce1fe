//! The left side of a foreign-key join.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, UInt32Array};
use arrow::datatypes::{DataType, Int64Type};
use foldhash::fast::FixedState;
use weir_sql::plan::physical::JoinKind;

use crate::batch::{OldRows, RowBatch, some_bits, take_columns};
use crate::error::Result;
use crate::operator::evaluator::Evaluator;
use crate::operator::join::foreign_key::Instruction;
use crate::operator::keys::batch_keys;
use crate::operator::materialize::put_changes;
use crate::operator::{Operator, OperatorContext, Output};
use crate::processing_log::StepReporter;
use crate::state::column_reader::ColumnReader;
use crate::state::key_codec::{EncodedKeys, encode_key};
use crate::state::row_arena::NO_ROW;
use crate::state::row_codec::encode_row;
use crate::state::table_store::TableStore;

/// Output for subscriptions; results are on 0.
pub const SUBSCRIPTIONS: usize = 1;

/// Hash of a left row that does not exist.
const NO_HASH: i64 = 0;

/// Port 0 takes left changes, port 1 the responses.
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

/// Subscriptions to send. Shape: one entry per record.
#[derive(Default)]
struct Subscriptions {
    rows: Vec<u32>,
    /// True: under the foreign key of the old row.
    old_key: Vec<bool>,
    hashes: Vec<i64>,
    instructions: Vec<i32>,
}

impl Subscriptions {
    fn push(&mut self, row: usize, old_key: bool, hash: i64, instruction: Instruction) {
        self.rows.push(row as u32);
        self.old_key.push(old_key);
        self.hashes.push(hash);
        self.instructions.push(instruction.code());
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
        batch_keys(&batch, &mut self.keys)?;
        self.left.load(&self.keys, |_| false, context.state)?;
        let olds = put_changes(&mut self.left, &self.keys, &batch)?;
        let slots: Vec<u32> = olds.iter().map(|o| o.slot).collect();
        let old = OldRows {
            value: self.left.gather(&slots)?,
            absent: some_bits(olds.iter().map(|o| !o.exists()).collect()),
        };
        let batch = RowBatch { old: Some(old), ..batch };
        let new_key = self.foreign_key.evaluate(&batch)?.remove(0);
        let old_key = self.foreign_key.evaluate_old(&batch)?.map(|mut c| c.remove(0));
        let old_key =
            old_key.unwrap_or_else(|| arrow::array::new_null_array(new_key.data_type(), batch.len()));
        self.send(&batch, &new_key, &old_key, out)?;
        self.left.release()
    }

    fn send(&self, batch: &RowBatch, new_key: &ArrayRef, old_key: &ArrayRef, out: &mut Output) -> Result<()> {
        let hashes = row_hashes(batch)?;
        let (new_reader, old_reader) = (ColumnReader::new(new_key)?, ColumnReader::new(old_key)?);
        let mut subscriptions = Subscriptions::default();
        let mut local = Vec::new();
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
            self.decide(row, new, old, same, *row_hash, &mut subscriptions, &mut local);
        }
        self.emit_local(batch, &local, out)?;
        let keys: Vec<u32> = subscriptions
            .rows
            .iter()
            .zip(&subscriptions.old_key)
            .map(|(row, old)| if *old { row + batch.len() as u32 } else { *row })
            .collect();
        let both = arrow::compute::concat(&[new_key.as_ref(), old_key.as_ref()])?;
        let mut value = take_columns(&batch.key, &UInt32Array::from(subscriptions.rows.clone()))?;
        value.push(Arc::new(Int64Array::from(subscriptions.hashes)));
        value.push(Arc::new(Int32Array::from(subscriptions.instructions)));
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

    /// `new` and `old`: None if there is no row, else whether its foreign key is not NULL. Rows whose result does not depend on the
    /// right side are pushed to `local`.
    #[allow(clippy::too_many_arguments)]
    fn decide(
        &self,
        row: usize,
        new: Option<bool>,
        old: Option<bool>,
        same: bool,
        hash: i64,
        subscriptions: &mut Subscriptions,
        local: &mut Vec<u32>,
    ) {
        let is_left = self.kind == JoinKind::Left;
        let answer =
            if is_left { Instruction::SubscribeAndAnswer } else { Instruction::SubscribeAndAnswerIfPresent };
        match (old, new) {
            (None, None) => {}
            (Some(true), Some(true)) if same => subscriptions.push(row, false, hash, answer),
            (Some(true), Some(true)) => {
                subscriptions.push(row, true, hash, Instruction::Unsubscribe);
                subscriptions.push(row, false, hash, Instruction::SubscribeAndAnswer);
            }
            (None | Some(false), Some(true)) => subscriptions.push(row, false, hash, answer),
            (Some(true), Some(false)) if is_left => {
                subscriptions.push(row, true, hash, Instruction::Unsubscribe);
                local.push(row as u32);
            }
            (Some(true), Some(false)) => {
                subscriptions.push(row, true, hash, Instruction::UnsubscribeAndAnswer);
            }
            (Some(true), None) => subscriptions.push(row, true, NO_HASH, Instruction::UnsubscribeAndAnswer),
            (None | Some(false), Some(false)) if is_left => local.push(row as u32),
            (None | Some(false), Some(false)) => {
                self.reporter.record_error("the foreign key is NULL: the row is left out");
            }
            (Some(false), None) if is_left => local.push(row as u32),
            (Some(false), None) => {}
        }
    }

    /// Left rows without a right side, and their tombstones.
    fn emit_local(&self, batch: &RowBatch, rows: &[u32], out: &mut Output) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut taken = RowBatch { old: None, ..batch.clone() }.take(rows)?;
        taken.value.extend(self.right_types.iter().map(|t| arrow::array::new_null_array(t, rows.len())));
        out.emit(RowBatch { origin: None, ..taken });
        Ok(())
    }

    /// A response joins the left row that asked, unless the row has changed since.
    fn answer(&mut self, batch: RowBatch, context: &OperatorContext<'_>, out: &mut Output) -> Result<()> {
        batch_keys(&batch, &mut self.keys)?;
        self.left.load(&self.keys, |_| false, context.state)?;
        let current: Vec<u32> = (0..batch.len()).map(|row| self.left.find(self.keys.get(row)).slot).collect();
        let left = RowBatch {
            value: self.left.gather(&current)?,
            absent: some_bits(current.iter().map(|s| *s == NO_ROW).collect()),
            ..batch.clone()
        };
        let hashes = row_hashes(&left)?;
        let asked = batch.value[self.right_columns].as_primitive::<Int64Type>();
        let found = batch.value[self.right_columns + 1].as_boolean();
        let keep: Vec<u32> = (0..batch.len() as u32)
            .filter(|row| asked.value(*row as usize) == hashes[*row as usize])
            .collect();
        let gone: Vec<bool> = keep
            .iter()
            .map(|row| {
                let row = *row as usize;
                left.is_absent(row) || (self.kind == JoinKind::Inner && !found.value(row))
            })
            .collect();
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

    fn flush(&mut self, context: &mut OperatorContext<'_>, _out: &mut Output) -> Result<()> {
        self.left.flush(context.state)
    }
}
