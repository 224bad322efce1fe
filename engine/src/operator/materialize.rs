//! A table kept in a store: gives changes their old values, and serves pull queries.

use arrow::buffer::BooleanBuffer;

use crate::batch::{OldRows, RowBatch, some_bits};
use crate::error::Result;
use crate::operator::keys::batch_keys;
use crate::operator::{Operator, OperatorContext, Output};
use crate::state::key_codec::EncodedKeys;
use crate::state::row_arena::NO_ROW;
use crate::state::table_store::{TableRow, TableStore};

/// What becomes of a tombstone for a row that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeedlessTombstones {
    Drop,
    Forward,
}

/// Puts changes into a store and forwards them.
#[derive(Debug)]
pub struct MaterializeOperator {
    table: TableStore,
    tombstones: NeedlessTombstones,
    emit_old: bool,
    keys: EncodedKeys,
}

impl MaterializeOperator {
    pub fn new(table: TableStore, tombstones: NeedlessTombstones, emit_old: bool) -> MaterializeOperator {
        MaterializeOperator { table, tombstones, emit_old, keys: EncodedKeys::default() }
    }
}

impl Operator for MaterializeOperator {
    fn process(
        &mut self,
        _port: usize,
        batch: RowBatch,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<()> {
        batch_keys(&batch, &mut self.keys)?;
        self.table.load(&self.keys, |_| false, context.state)?;
        let olds = put_changes(&mut self.table, &self.keys, &batch)?;
        let was_absent = BooleanBuffer::collect_bool(batch.len(), |i| !olds[i].exists());
        let keep = match (self.tombstones, &batch.absent) {
            (NeedlessTombstones::Drop, Some(absent)) => !&(absent & &was_absent),
            (NeedlessTombstones::Forward, _) | (_, None) => BooleanBuffer::new_set(batch.len()),
        };
        let old = match self.emit_old {
            true => {
                let slots: Vec<u32> = olds.iter().map(|o| o.slot).collect();
                Some(OldRows { value: self.table.gather(&slots)?, absent: some_bits(was_absent) })
            }
            false => None,
        };
        out.emit(RowBatch { old, ..batch }.filter(&keep)?);
        self.table.release()
    }

    fn uncommitted_bytes(&self) -> usize {
        self.table.uncommitted_bytes()
    }

    fn flush(&mut self, context: &mut OperatorContext<'_>, _out: &mut Output) -> Result<()> {
        self.table.flush(context.state)
    }
}

/// Puts the changes of a batch under their keys, in order, and gives what each replaced. The keys must be loaded; what was
/// replaced can be gathered until the table is released.
pub fn put_changes(table: &mut TableStore, keys: &EncodedKeys, batch: &RowBatch) -> Result<Vec<TableRow>> {
    let slots = add_values(table, batch)?;
    let mut olds = Vec::with_capacity(batch.len());
    for row in 0..batch.len() {
        olds.push(table.replace(keys.get(row), table_row(batch, &slots, row)));
    }
    Ok(olds)
}

/// Copies the values of a batch into the table. Shape: one slot per row, NO_ROW for tombstones.
pub fn add_values(table: &mut TableStore, batch: &RowBatch) -> Result<Vec<u32>> {
    match &batch.absent {
        None => {
            let rows: Vec<u32> = (0..batch.len() as u32).collect();
            table.add_rows(&batch.value, &rows)
        }
        Some(absent) => {
            let rows: Vec<u32> = (0..batch.len() as u32).filter(|i| !absent.value(*i as usize)).collect();
            let mut slots = vec![NO_ROW; batch.len()];
            for (row, slot) in rows.iter().zip(table.add_rows(&batch.value, &rows)?) {
                slots[*row as usize] = slot;
            }
            Ok(slots)
        }
    }
}

/// The row of a batch as a row of the table.
pub fn table_row(batch: &RowBatch, slots: &[u32], row: usize) -> TableRow {
    if slots[row] == NO_ROW {
        return TableRow::ABSENT;
    }
    let extra = batch.window.as_ref().map_or(0, |w| w.end[row]);
    TableRow { slot: slots[row], rowtime: batch.rowtime[row], extra }
}
