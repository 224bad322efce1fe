//! The right side of a foreign-key join.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, UInt32Array};
use arrow::datatypes::{Int32Type, Int64Type};
use weir_sql::types::SqlType;

use crate::batch::RowBatch;
use crate::error::{EngineError, Result};
use crate::operator::join::foreign_key::Instruction;
use crate::operator::join::side::{SideTable, side_columns};
use crate::operator::keys::{batch_keys, null_keys};
use crate::operator::materialize::{add_values, table_row};
use crate::operator::pieces::{PieceLimit, charge_result};
use crate::operator::{Operator, OperatorContext, Output};
use crate::state::backend::{KeyRange, StoreId};
use crate::state::column_reader::ColumnReader;
use crate::state::key_codec::{EncodedKeys, KeyDecoder, encode_key};
use crate::state::row_arena::NO_ROW;

/// Port 0 takes subscriptions, port 1 right changes; responses are emitted.
///
/// Shape of the subscription store: key is the foreign key and then the left key, value a [`Subscription`].
#[derive(Debug)]
pub struct LookUpOperator {
    subscriptions: StoreId,
    left_key_types: Vec<SqlType>,
    right: SideTable,
    keys: EncodedKeys,
    changes: Option<Changes>,
    limit: PieceLimit,
}

/// Changes of right rows whose subscribers are being answered. Shape: `slots` has one entry per row; rows before `row` are put
/// and answered, that row only if `from` is set.
#[derive(Debug)]
struct Changes {
    batch: RowBatch,
    slots: Vec<u32>,
    row: usize,
    /// The next subscriber of the row.
    from: Option<Vec<u8>>,
}

/// Responses to send. Shape: one entry per response.
#[derive(Default)]
struct Responses {
    /// The input row that brought it about.
    triggers: Vec<u32>,
    subscriptions: Vec<Subscription>,
    slots: Vec<u32>,
    rowtimes: Vec<i64>,
}

/// A subscription as the store has it.
///
/// | length | what |
/// |---|---|
/// | 1 | version, [`Subscription::VERSION`] |
/// | 8 | hash of the left row, little-endian |
/// | 4 | partition of the left row, little-endian |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Subscription {
    hash: i64,
    partition: i32,
}

impl Subscription {
    /// Version 1 was the hash alone.
    const VERSION: u8 = 2;

    fn encode(self) -> Vec<u8> {
        let mut bytes = vec![Subscription::VERSION];
        bytes.extend_from_slice(&self.hash.to_le_bytes());
        bytes.extend_from_slice(&self.partition.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Subscription> {
        let fields = || -> Option<Subscription> {
            let (version, rest) = bytes.split_first()?;
            let (hash, rest) = rest.split_first_chunk::<8>()?;
            let partition = <[u8; 4]>::try_from(rest).ok()?;
            (*version == Subscription::VERSION).then(|| Subscription {
                hash: i64::from_le_bytes(*hash),
                partition: i32::from_le_bytes(partition),
            })
        };
        fields().ok_or_else(|| corrupt("it is of another version: drop the query and create it again"))
    }
}

fn corrupt(reason: &str) -> EngineError {
    EngineError::CorruptRow {
        store: "subscriptions of a foreign-key join".to_owned(),
        reason: reason.to_owned(),
    }
}

impl LookUpOperator {
    pub fn new(subscriptions: StoreId, left_key_types: Vec<SqlType>, right: SideTable) -> LookUpOperator {
        let (keys, limit) = (EncodedKeys::default(), PieceLimit::default());
        LookUpOperator { subscriptions, left_key_types, right, keys, changes: None, limit }
    }

    /// Bounds the responses emitted at a time: each has the columns of its right row.
    #[must_use]
    pub fn with_piece(self, limit: PieceLimit) -> LookUpOperator {
        LookUpOperator { limit, ..self }
    }

    fn subscribe(
        &mut self,
        batch: RowBatch,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<()> {
        batch_keys(&batch, &mut self.keys)?;
        let found = self.right.look_up(&self.keys, |_| false, context.state)?;
        let slots: Vec<u32> = found.iter().map(|right| right.slot).collect();
        charge_result(context.budget, self.right.bytes(&slots).saturating_add(batch.bytes()))?;
        let left_keys = batch.value.len() - 3;
        let readers = ColumnReader::all(&batch.value[..left_keys])?;
        let hashes = batch.value[left_keys].as_primitive::<Int64Type>();
        let codes = batch.value[left_keys + 1].as_primitive::<Int32Type>();
        let partitions = batch.value[left_keys + 2].as_primitive::<Int32Type>();
        if partitions.null_count() > 0 {
            return Err(corrupt("it names no partition to answer to: drop the query and create it again"));
        }
        let mut responses = Responses::default();
        for (row, right) in found.iter().enumerate() {
            let instruction = Instruction::from_code(codes.value(row))
                .ok_or_else(|| corrupt("its instruction is of another version"))?;
            let subscription = Subscription { hash: hashes.value(row), partition: partitions.value(row) };
            let mut key = self.keys.get(row).to_vec();
            encode_key(&readers, row, &mut key)?;
            let slot = match instruction {
                Instruction::Unsubscribe | Instruction::UnsubscribeAndAnswer => {
                    context.state.put(self.subscriptions, key, None);
                    NO_ROW
                }
                Instruction::SubscribeAndAnswer => {
                    context.state.put(self.subscriptions, key, Some(subscription.encode()));
                    right.slot
                }
            };
            if instruction != Instruction::Unsubscribe {
                responses.triggers.push(row as u32);
                responses.subscriptions.push(subscription);
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

    /// Puts right rows one after another and answers the subscribers of each.
    fn change(&mut self, batch: RowBatch, context: &mut OperatorContext<'_>, out: &mut Output) -> Result<()> {
        let batch = match null_keys(&batch) {
            Some(nulls) => batch.filter(&!&nulls)?,
            None => batch,
        };
        batch_keys(&batch, &mut self.keys)?;
        self.right.rows.load(&self.keys, |_| false, context.state)?;
        let columns = RowBatch { value: side_columns(&batch), old: None, ..batch.clone() };
        let slots = add_values(&mut self.right.rows, &columns)?;
        self.changes = Some(Changes { batch, slots, row: 0, from: None });
        self.answer_changes(context, out)?;
        Ok(())
    }

    /// Answers some subscribers of changed rows. False: there are none left.
    fn answer_changes(&mut self, context: &OperatorContext<'_>, out: &mut Output) -> Result<bool> {
        let Some(mut changes) = self.changes.take() else { return Ok(false) };
        let mut responses = Responses::default();
        let mut left_keys = KeyDecoder::new(&self.left_key_types);
        let PieceLimit { rows_max, bytes_max } = self.limit;
        let mut bytes = 0_usize;
        while changes.row < changes.batch.len() && responses.triggers.len() < rows_max && bytes < bytes_max {
            let (row, key) = (changes.row, self.keys.get(changes.row));
            let row_bytes = self.right.rows.row_bytes(changes.slots[row]);
            let range = match changes.from.take() {
                None => {
                    self.right.rows.replace(key, table_row(&changes.batch, &changes.slots, row));
                    KeyRange::prefix(key)
                }
                Some(from) => KeyRange { from: Bound::Included(from), ..KeyRange::prefix(key) },
            };
            let mut failed = None;
            context.state.scan(self.subscriptions, &range, &mut |subscriber, stored| {
                if responses.triggers.len() == rows_max || bytes >= bytes_max {
                    changes.from = Some(subscriber.to_vec());
                    return ControlFlow::Break(());
                }
                let pushed = left_keys.push(&subscriber[key.len()..]);
                let subscription = match pushed.and_then(|_| Subscription::decode(stored)) {
                    Ok(subscription) => subscription,
                    Err(error) => {
                        failed = Some(error);
                        return ControlFlow::Break(());
                    }
                };
                responses.triggers.push(row as u32);
                responses.subscriptions.push(subscription);
                responses.slots.push(changes.slots[row]);
                responses.rowtimes.push(changes.batch.rowtime[row]);
                bytes = bytes.saturating_add(subscriber.len() + row_bytes);
                ControlFlow::Continue(())
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
            if changes.from.is_none() {
                changes.row += 1;
            }
        }
        let key = left_keys.finish();
        self.emit(&changes.batch, key, responses, out)?;
        if changes.row < changes.batch.len() {
            self.changes = Some(changes);
            return Ok(true);
        }
        self.right.rows.release()?;
        Ok(true)
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
        let subscriptions = &responses.subscriptions;
        value.push(Arc::new(subscriptions.iter().map(|s| s.hash).collect::<Int64Array>()));
        value.push(Arc::new(found));
        value.push(Arc::new(subscriptions.iter().map(|s| s.partition).collect::<Int32Array>()));
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

    fn resume(&mut self, context: &mut OperatorContext<'_>, out: &mut Output) -> Result<bool> {
        self.answer_changes(context, out)
    }

    fn uncommitted_bytes(&self) -> usize {
        self.right.rows.uncommitted_bytes()
    }

    fn flush(&mut self, context: &mut OperatorContext<'_>, _out: &mut Output) -> Result<()> {
        self.right.rows.flush(context.state)
    }
}
