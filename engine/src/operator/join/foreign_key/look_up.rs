//! The right side of a foreign-key join.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, UInt32Array};
use arrow::datatypes::{Int32Type, Int64Type};
use weir_sql::types::SqlType;

use crate::batch::RowBatch;
use crate::error::Result;
use crate::operator::join::foreign_key::Instruction;
use crate::operator::join::side::{SideTable, side_columns};
use crate::operator::keys::{batch_keys, null_keys};
use crate::operator::materialize::{add_values, table_row};
use crate::operator::{Operator, OperatorContext, Output};
use crate::state::backend::{KeyRange, StoreId};
use crate::state::column_reader::ColumnReader;
use crate::state::key_codec::{EncodedKeys, KeyDecoder, encode_key};
use crate::state::row_arena::NO_ROW;

/// Port 0 takes subscriptions, port 1 right changes; responses are emitted.
///
/// Shape of the subscription store: key is the foreign key and then the left key, value the hash of the left row.
#[derive(Debug)]
pub struct LookUpOperator {
    subscriptions: StoreId,
    left_key_types: Vec<SqlType>,
    right: SideTable,
    keys: EncodedKeys,
}

/// Responses to send. Shape: one entry per response.
#[derive(Default)]
struct Responses {
    /// The input row that brought it about.
    triggers: Vec<u32>,
    hashes: Vec<i64>,
    slots: Vec<u32>,
    rowtimes: Vec<i64>,
}

impl LookUpOperator {
    pub fn new(subscriptions: StoreId, left_key_types: Vec<SqlType>, right: SideTable) -> LookUpOperator {
        LookUpOperator { subscriptions, left_key_types, right, keys: EncodedKeys::default() }
    }

    fn subscribe(
        &mut self,
        batch: RowBatch,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<()> {
        batch_keys(&batch, &mut self.keys)?;
        let found = self.right.look_up(&self.keys, |_| false, context.state)?;
        let left_keys = batch.value.len() - 2;
        let readers = ColumnReader::all(&batch.value[..left_keys])?;
        let hashes = batch.value[left_keys].as_primitive::<Int64Type>();
        let codes = batch.value[left_keys + 1].as_primitive::<Int32Type>();
        let mut responses = Responses::default();
        for (row, right) in found.iter().enumerate() {
            let Some(instruction) = Instruction::from_code(codes.value(row)) else { continue };
            let mut key = self.keys.get(row).to_vec();
            encode_key(&readers, row, &mut key)?;
            let slot = match instruction {
                Instruction::Unsubscribe | Instruction::UnsubscribeAndAnswer => {
                    context.state.put(self.subscriptions, key, None);
                    NO_ROW
                }
                Instruction::SubscribeAndAnswer | Instruction::SubscribeAndAnswerIfPresent => {
                    let hash = hashes.value(row).to_le_bytes().to_vec();
                    context.state.put(self.subscriptions, key, Some(hash));
                    right.slot
                }
            };
            let answers = match instruction {
                Instruction::Unsubscribe => false,
                Instruction::UnsubscribeAndAnswer | Instruction::SubscribeAndAnswer => true,
                Instruction::SubscribeAndAnswerIfPresent => right.exists(),
            };
            if answers {
                responses.triggers.push(row as u32);
                responses.hashes.push(hashes.value(row));
                responses.slots.push(slot);
                responses.rowtimes.push(batch.rowtime[row].max(right.rowtime));
            }
        }
        let key = crate::batch::take_columns(
            &batch.value[..left_keys],
            &UInt32Array::from(responses.triggers.clone()),
        )?;
        self.emit(&batch, key, responses, out)
    }

    /// Tells every subscriber of the changed rows.
    fn change(&mut self, batch: RowBatch, context: &mut OperatorContext<'_>, out: &mut Output) -> Result<()> {
        let batch = match null_keys(&batch) {
            Some(nulls) => batch.filter(&!&nulls)?,
            None => batch,
        };
        batch_keys(&batch, &mut self.keys)?;
        self.right.rows.load(&self.keys, |_| false, context.state)?;
        let columns = RowBatch { value: side_columns(&batch), old: None, ..batch.clone() };
        let slots = add_values(&mut self.right.rows, &columns)?;
        let mut responses = Responses::default();
        let mut left_keys = KeyDecoder::new(&self.left_key_types);
        for row in 0..batch.len() {
            let key = self.keys.get(row);
            self.right.rows.replace(key, table_row(&batch, &slots, row));
            let mut failed = None;
            context.state.scan(self.subscriptions, &KeyRange::prefix(key), &mut |subscription, hash| {
                if let Err(error) = left_keys.push(&subscription[key.len()..]) {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
                responses.triggers.push(row as u32);
                responses.hashes.push(hash.first_chunk::<8>().map_or(0, |h| i64::from_le_bytes(*h)));
                responses.slots.push(slots[row]);
                responses.rowtimes.push(batch.rowtime[row]);
                ControlFlow::Continue(())
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
        }
        let key = left_keys.finish();
        self.emit(&batch, key, responses, out)?;
        self.right.rows.release()
    }

    fn emit(
        &self,
        batch: &RowBatch,
        key: Vec<ArrayRef>,
        responses: Responses,
        out: &mut Output,
    ) -> Result<()> {
        let mut value = self.right.rows.gather(&responses.slots)?;
        let found: BooleanArray = responses.slots.iter().map(|s| Some(*s != NO_ROW)).collect();
        value.push(Arc::new(Int64Array::from(responses.hashes)));
        value.push(Arc::new(found));
        debug_assert!(key.iter().all(|k| k.len() == responses.triggers.len()));
        out.emit(RowBatch {
            key,
            value,
            rowtime: responses.rowtimes.into(),
            absent: None,
            null_key: None,
            origin: None,
            old: None,
            ..batch.take_side(&responses.triggers)
        });
        Ok(())
    }
}

impl Operator for LookUpOperator {
    fn process(
        &mut self,
        port: usize,
        batch: RowBatch,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<()> {
        match port {
            0 => self.subscribe(batch, context, out),
            _ => self.change(batch, context, out),
        }
    }

    fn flush(&mut self, context: &mut OperatorContext<'_>, _out: &mut Output) -> Result<()> {
        self.right.rows.flush(context.state)
    }
}
