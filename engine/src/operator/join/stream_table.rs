//! Stream-table join: each stream row meets the table row of its key, as the table is at that moment.

use arrow::buffer::BooleanBuffer;
use weir_sql::plan::physical::JoinKind;

use crate::batch::RowBatch;
use crate::error::Result;
use crate::operator::join::side::{SideTable, side_columns};
use crate::operator::keys::{NULL_KEY, batch_keys, null_keys};
use crate::operator::pieces::charge_result;
use crate::operator::{Operator, OperatorContext, Output};
use crate::processing_log::StepReporter;
use crate::state::key_codec::EncodedKeys;

/// Port 0 is the stream, port 1 the table. Stream rows without a value are dropped; those with a null key match nothing.
#[derive(Debug)]
pub struct StreamTableJoinOperator {
    kind: JoinKind,
    table: SideTable,
    keys: EncodedKeys,
    reporter: StepReporter,
}

impl StreamTableJoinOperator {
    /// `kind` is Inner or Left.
    pub fn new(kind: JoinKind, table: SideTable, reporter: StepReporter) -> StreamTableJoinOperator {
        StreamTableJoinOperator { kind, table, keys: EncodedKeys::default(), reporter }
    }

    fn join(&mut self, batch: RowBatch, context: &OperatorContext<'_>, out: &mut Output) -> Result<()> {
        let batch = match &batch.absent {
            Some(absent) => {
                let present = !absent;
                batch.filter(&present)?
            }
            None => batch,
        };
        batch_keys(&batch, &mut self.keys)?;
        let nulls = null_keys(&batch);
        let skip = |row: usize| nulls.as_ref().is_some_and(|n| n.value(row));
        let found = self.table.look_up(&self.keys, skip, context.state)?;
        let mut slots: Vec<u32> = found.iter().map(|r| r.slot).collect();
        charge_result(context.budget, self.table.bytes(&slots))?;
        if let (JoinKind::Inner, Some(nulls)) = (self.kind, &nulls) {
            nulls.set_indices().for_each(|_| self.reporter.record_error(NULL_KEY));
        }
        let batch = if self.kind == JoinKind::Inner && found.iter().any(|r| !r.exists()) {
            slots.retain(|s| *s != crate::state::row_arena::NO_ROW);
            batch.filter(&BooleanBuffer::collect_bool(found.len(), |i| found[i].exists()))?
        } else {
            batch
        };
        let mut value = side_columns(&batch);
        value.extend(self.table.rows.gather(&slots)?);
        out.emit(RowBatch { value, old: None, origin: None, absent: None, ..batch });
        Ok(())
    }
}

impl Operator for StreamTableJoinOperator {
    fn process(
        &mut self,
        port: usize,
        batch: RowBatch,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<()> {
        match port {
            0 => self.join(batch, context, out),
            _ => self.table.put(batch, context.state),
        }
    }

    fn uncommitted_bytes(&self) -> usize {
        self.table.rows.uncommitted_bytes()
    }

    fn flush(&mut self, context: &mut OperatorContext<'_>, _out: &mut Output) -> Result<()> {
        self.table.rows.flush(context.state)
    }
}
