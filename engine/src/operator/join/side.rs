//! The rows of one side of a join, kept in a table.

use arrow::array::ArrayRef;
use weir_sql::schema::LogicalSchema;
use weir_sql::types::SqlType;

use crate::batch::RowBatch;
use crate::error::Result;
use crate::operator::keys::{batch_keys, null_keys};
use crate::operator::materialize::{add_values, table_row};
use crate::state::key_codec::EncodedKeys;
use crate::state::table_store::{TableRow, TableStore};
use crate::state::task_state::TaskState;

/// Types of the columns that a side contributes: key, value and header columns.
pub fn side_types(schema: &LogicalSchema) -> Vec<SqlType> {
    schema.columns().map(|c| c.sql_type.clone()).collect()
}

/// The columns that a side contributes.
pub fn side_columns(batch: &RowBatch) -> Vec<ArrayRef> {
    batch.key.iter().chain(&batch.value).cloned().collect()
}

/// A table of joinable rows.
#[derive(Debug)]
pub struct SideTable {
    pub rows: TableStore,
}

impl SideTable {
    /// `rows` has the columns of [`side_types`].
    pub fn new(rows: TableStore) -> SideTable {
        SideTable { rows }
    }

    /// Adds the rows of a batch to the table's columns. Shape: one slot per row, NO_ROW for tombstones.
    pub fn add(&mut self, batch: &RowBatch) -> Result<Vec<u32>> {
        let columns = RowBatch { value: side_columns(batch), old: None, ..batch.clone() };
        add_values(&mut self.rows, &columns)
    }

    /// Puts the changes of a batch. Rows with a NULL in their key are left out.
    pub fn put(&mut self, batch: RowBatch, state: &TaskState) -> Result<()> {
        let batch = match null_keys(&batch) {
            Some(nulls) => batch.filter(&!&nulls)?,
            None => batch,
        };
        let mut keys = EncodedKeys::default();
        batch_keys(&batch, &mut keys)?;
        self.rows.load(&keys, |_| false, state)?;
        let slots = self.add(&batch)?;
        for row in 0..batch.len() {
            self.rows.replace(keys.get(row), table_row(&batch, &slots, row));
        }
        self.rows.release()
    }

    /// Bytes of the columns of these rows.
    pub fn bytes(&self, slots: &[u32]) -> usize {
        slots.iter().map(|slot| self.rows.row_bytes(*slot)).fold(0, usize::saturating_add)
    }

    /// The row under each key. Rows that `skip` gives are absent.
    pub fn look_up(
        &mut self,
        keys: &EncodedKeys,
        skip: impl Fn(usize) -> bool,
        state: &TaskState,
    ) -> Result<Vec<TableRow>> {
        self.rows.load(keys, &skip, state)?;
        let find = |row| if skip(row) { TableRow::ABSENT } else { self.rows.find(keys.get(row)) };
        Ok((0..keys.len()).map(find).collect())
    }
}
