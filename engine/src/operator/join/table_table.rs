//! Table-table join on the primary key.

use arrow::array::ArrayRef;
use weir_sql::plan::physical::JoinKind;

use crate::batch::{OldRows, RowBatch, some_bits};
use crate::error::Result;
use crate::operator::join::side::SideTable;
use crate::operator::keys::{batch_keys, null_keys};
use crate::operator::materialize::table_row;
use crate::operator::pieces::charge_result;
use crate::operator::{Operator, OperatorContext, Output};
use crate::state::key_codec::EncodedKeys;
use crate::state::row_arena::NO_ROW;
use crate::state::table_store::TableRow;

/// A change on either side changes the result under its key. Where there was a result and is none any more a tombstone is
/// emitted; where there was none and is none, nothing.
#[derive(Debug)]
pub struct TableTableJoinOperator {
    kind: JoinKind,
    /// Left, right.
    sides: [SideTable; 2],
    emit_old: bool,
    keys: EncodedKeys,
}

/// What a batch changes. Shape: one entry per emitted row.
#[derive(Default)]
struct Changes {
    rows: Vec<u32>,
    /// Slots of the side that changed, now and before, and of the other side.
    new: Vec<u32>,
    old: Vec<u32>,
    other: Vec<u32>,
    rowtimes: Vec<i64>,
    absent: Vec<bool>,
    old_absent: Vec<bool>,
}

impl TableTableJoinOperator {
    pub fn new(kind: JoinKind, sides: [SideTable; 2], emit_old: bool) -> TableTableJoinOperator {
        TableTableJoinOperator { kind, sides, emit_old, keys: EncodedKeys::default() }
    }

    fn is_result(&self, left: bool, right: bool) -> bool {
        match self.kind {
            JoinKind::Inner => left && right,
            JoinKind::Left => left,
            JoinKind::Right => right,
            JoinKind::Outer => left || right,
        }
    }

    /// Bytes of the rows that changes of a side become, about, before anything is changed.
    fn result_bytes(&self, port: usize, batch: &RowBatch) -> usize {
        let bytes = |port: usize, row: usize| {
            let rows = &self.sides[port].rows;
            rows.row_bytes(rows.find(self.keys.get(row)).slot)
        };
        let others = (0..batch.len()).map(|row| bytes(1 - port, row)).fold(0, usize::saturating_add);
        let new = others.saturating_add(batch.bytes());
        if !self.emit_old {
            return new;
        }
        let replaced = (0..batch.len()).map(|row| bytes(port, row)).fold(0, usize::saturating_add);
        new.saturating_mul(2).saturating_add(replaced)
    }

    fn changes(&mut self, port: usize, batch: &RowBatch, slots: &[u32]) -> Changes {
        let mut changes = Changes::default();
        for row in 0..batch.len() {
            let key = self.keys.get(row);
            let new = table_row(batch, slots, row);
            let old = self.sides[port].rows.replace(key, new);
            let other = self.sides[1 - port].rows.find(key);
            let exists = |this: TableRow| match port {
                0 => self.is_result(this.exists(), other.exists()),
                _ => self.is_result(other.exists(), this.exists()),
            };
            let (is, was) = (exists(new), exists(old));
            if !is && !was {
                continue;
            }
            changes.rows.push(row as u32);
            changes.new.push(if is { new.slot } else { NO_ROW });
            changes.old.push(old.slot);
            changes.other.push(other.slot);
            changes.rowtimes.push(batch.rowtime[row].max(other.rowtime));
            changes.absent.push(!is);
            changes.old_absent.push(!was);
        }
        changes
    }

    /// The value columns of the result: left, then right.
    fn columns(&self, port: usize, this: &[u32], other: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut this = self.sides[port].rows.gather(this)?;
        let mut other = self.sides[1 - port].rows.gather(other)?;
        Ok(match port {
            0 => {
                this.append(&mut other);
                this
            }
            _ => {
                other.append(&mut this);
                other
            }
        })
    }
}

impl Operator for TableTableJoinOperator {
    fn process(
        &mut self,
        port: usize,
        batch: RowBatch,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<()> {
        let batch = match null_keys(&batch) {
            Some(nulls) => batch.filter(&!&nulls)?,
            None => batch,
        };
        batch_keys(&batch, &mut self.keys)?;
        for side in &mut self.sides {
            side.rows.load(&self.keys, |_| false, context.state)?;
        }
        charge_result(context.budget, self.result_bytes(port, &batch))?;
        let slots = self.sides[port].add(&batch)?;
        let changes = self.changes(port, &batch, &slots);
        let value = self.columns(port, &changes.new, &changes.other)?;
        let old = match self.emit_old {
            true => Some(OldRows {
                value: self.columns(port, &changes.old, &changes.other)?,
                absent: some_bits(changes.old_absent.into_iter().collect()),
            }),
            false => None,
        };
        let indices = arrow::array::UInt32Array::from(changes.rows.clone());
        out.emit(RowBatch {
            key: crate::batch::take_columns(&batch.key, &indices)?,
            value,
            rowtime: changes.rowtimes.into(),
            absent: some_bits(changes.absent.into_iter().collect()),
            null_key: None,
            origin: None,
            old,
            ..batch.take_side(&changes.rows)
        });
        self.sides[port].rows.release()
    }

    fn uncommitted_bytes(&self) -> usize {
        self.sides.iter().map(|s| s.rows.uncommitted_bytes()).sum()
    }

    fn flush(&mut self, context: &mut OperatorContext<'_>, _out: &mut Output) -> Result<()> {
        self.sides.iter_mut().try_for_each(|s| s.rows.flush(context.state))
    }
}
