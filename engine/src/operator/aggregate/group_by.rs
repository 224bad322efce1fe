//! Grouping: rows get the grouping expressions as key and the arguments of the aggregates as value.

use arrow::array::ArrayRef;
use arrow::buffer::BooleanBuffer;
use weir_sql::expr::compile::batch_budget::BatchBudget;
use weir_sql::plan::physical::ResultKind;

use crate::batch::{OldRows, RowBatch, some_bits};
use crate::error::Result;
use crate::operator::evaluator::Evaluator;
use crate::operator::keys::rows_with_null;
use crate::operator::{Operator, OperatorContext, Output};
use crate::processing_log::StepReporter;
use crate::state::key_codec::EncodedKeys;

/// Rows without a value, and rows in which a grouping expression is NULL, are left out. A change of a table that moves a row to
/// another group becomes two: out of the old group, then into the new one.
#[derive(Debug)]
pub struct GroupByOperator {
    pub kind: ResultKind,
    pub keys: Evaluator,
    pub arguments: Evaluator,
    pub reporter: StepReporter,
}

impl Operator for GroupByOperator {
    fn process(
        &mut self,
        _port: usize,
        batch: RowBatch,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<()> {
        let grouped = match self.kind {
            ResultKind::Stream => self.group_stream(batch, context.budget)?,
            ResultKind::Table => self.group_table(batch, context.budget)?,
        };
        out.emit(grouped);
        Ok(())
    }
}

impl GroupByOperator {
    fn group_stream(&mut self, batch: RowBatch, budget: &BatchBudget) -> Result<RowBatch> {
        let batch = match &batch.absent {
            Some(absent) => {
                let present = !absent;
                batch.filter(&present)?
            }
            None => batch,
        };
        let key = self.keys.evaluate(&batch, budget)?;
        let value = self.arguments.evaluate(&batch, budget)?;
        let nulls = rows_with_null(&key, batch.len());
        if let Some(nulls) = &nulls {
            self.report_nulls(nulls, &batch);
        }
        let grouped = RowBatch { key, value, old: None, ..ungrouped(batch) };
        match nulls {
            None => Ok(grouped),
            Some(nulls) => grouped.filter(&!&nulls),
        }
    }

    fn report_nulls(&self, nulls: &BooleanBuffer, batch: &RowBatch) {
        for row in nulls.set_indices() {
            self.reporter.row_error("a grouping expression is NULL: the row is left out", batch, row);
        }
    }

    fn group_table(&mut self, batch: RowBatch, budget: &BatchBudget) -> Result<RowBatch> {
        let new = Side {
            key: self.keys.evaluate(&batch, budget)?,
            value: self.arguments.evaluate(&batch, budget)?,
            absent: batch.absent.clone(),
        };
        let (Some(old_key), Some(old_value)) =
            (self.keys.evaluate_old(&batch, budget)?, self.arguments.evaluate_old(&batch, budget)?)
        else {
            return self.combine(batch, new, None);
        };
        let old_absent = batch.old.as_ref().and_then(|o| o.absent.clone());
        let old = Side { key: old_key, value: old_value, absent: old_absent };
        self.combine(batch, new, Some(old))
    }

    /// Each input row becomes no, one or two rows of one combined batch in which the new sides come first and the old after them.
    fn combine(&self, batch: RowBatch, new: Side, old: Option<Side>) -> Result<RowBatch> {
        let rows = batch.len();
        let (new_in, new_nulls) = new.groupable(rows);
        if let Some(nulls) = &new_nulls {
            self.report_nulls(nulls, &batch);
        }
        let Some(old) = old else {
            let absent = some_bits(!&new_in);
            return RowBatch { key: new.key, value: new.value, absent, old: None, ..ungrouped(batch) }
                .filter(&new_in);
        };
        let (old_in, _) = old.groupable(rows);
        let (mut new_keys, mut old_keys) = (EncodedKeys::default(), EncodedKeys::default());
        new_keys.encode(&new.key, rows)?;
        old_keys.encode(&old.key, rows)?;
        let mut plan = ChangePlan::default();
        for row in 0..rows {
            let (has_new, has_old) = (new_in.value(row), old_in.value(row));
            if has_new && has_old && new_keys.get(row) == old_keys.get(row) {
                plan.push(row, false, true, true);
            } else {
                if has_old {
                    plan.push(row, true, false, true);
                }
                if has_new {
                    plan.push(row, false, true, false);
                }
            }
        }
        let both = RowBatch::concat(&[
            RowBatch {
                key: new.key,
                value: new.value.clone(),
                absent: None,
                old: None,
                ..ungrouped(batch.clone())
            },
            RowBatch { key: old.key, value: old.value.clone(), absent: None, old: None, ..ungrouped(batch) },
        ])?
        .expect("two batches");
        let keyed: Vec<u32> = plan
            .rows
            .iter()
            .zip(&plan.old_key)
            .map(|(r, old)| if *old { r + rows as u32 } else { *r })
            .collect();
        let keyed = both.take(&keyed)?;
        let indices = arrow::array::UInt32Array::from(plan.rows.clone());
        Ok(RowBatch {
            value: crate::batch::take_columns(&new.value, &indices)?,
            absent: some_bits(plan.has_new.iter().map(|b| !b).collect()),
            old: Some(OldRows {
                value: crate::batch::take_columns(&old.value, &indices)?,
                absent: some_bits(plan.has_old.iter().map(|b| !b).collect()),
            }),
            ..keyed
        })
    }
}

/// Grouped rows are no longer rows of a source, and windows of the source do not survive grouping.
fn ungrouped(batch: RowBatch) -> RowBatch {
    RowBatch { window: None, null_key: None, origin: None, ..batch }
}

/// The new or the old side of changes, grouped.
struct Side {
    key: Vec<ArrayRef>,
    value: Vec<ArrayRef>,
    absent: Option<BooleanBuffer>,
}

impl Side {
    /// Rows that exist and belong to a group, and rows that exist but have a NULL in their group.
    fn groupable(&self, rows: usize) -> (BooleanBuffer, Option<BooleanBuffer>) {
        let present = match &self.absent {
            Some(absent) => !absent,
            None => BooleanBuffer::new_set(rows),
        };
        match rows_with_null(&self.key, rows) {
            None => (present, None),
            Some(nulls) => (&present & &!&nulls, some_bits(&present & &nulls)),
        }
    }
}

/// The rows to emit: which input row, under its old or new key, with which sides.
#[derive(Default)]
struct ChangePlan {
    rows: Vec<u32>,
    old_key: Vec<bool>,
    has_new: Vec<bool>,
    has_old: Vec<bool>,
}

impl ChangePlan {
    fn push(&mut self, row: usize, old_key: bool, has_new: bool, has_old: bool) {
        self.rows.push(row as u32);
        self.old_key.push(old_key);
        self.has_new.push(has_new);
        self.has_old.push(has_old);
    }
}
