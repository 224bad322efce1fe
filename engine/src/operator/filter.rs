//! WHERE and HAVING.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::BooleanBuffer;
use weir_sql::plan::physical::ResultKind;

use crate::batch::{OldRows, RowBatch, some_bits};
use crate::error::Result;
use crate::operator::evaluator::Evaluator;
use crate::operator::{Operator, OperatorContext, Output};

/// Keeps rows for which the predicate is TRUE.
///
/// Stream rows without a value are dropped. On a table a row that is not kept becomes a tombstone: only where the row was kept
/// before, if the batch carries old values, else always.
#[derive(Debug)]
pub struct FilterOperator {
    pub predicate: Evaluator,
    pub kind: ResultKind,
}

impl Operator for FilterOperator {
    fn process(
        &mut self,
        _port: usize,
        batch: RowBatch,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<()> {
        let passes = passing(&self.predicate.evaluate(&batch, context.budget)?[0], batch.absent.as_ref());
        let filtered = match self.kind {
            ResultKind::Stream => batch.filter(&passes)?,
            ResultKind::Table => match self.predicate.evaluate_old(&batch, context.budget)? {
                None => RowBatch { absent: some_bits(!&passes), ..batch },
                Some(old) => {
                    let absent = batch.old.as_ref().and_then(|o| o.absent.as_ref());
                    let passed = passing(&old[0], absent);
                    let value = batch.old.as_ref().map(|o| o.value.clone()).unwrap_or_default();
                    let either = &passes | &passed;
                    RowBatch {
                        absent: some_bits(!&passes),
                        old: Some(OldRows { value, absent: some_bits(!&passed) }),
                        ..batch
                    }
                    .filter(&either)?
                }
            },
        };
        out.emit(filtered);
        Ok(())
    }
}

/// Rows with a value for which the predicate is TRUE.
fn passing(predicate: &ArrayRef, absent: Option<&BooleanBuffer>) -> BooleanBuffer {
    let predicate = predicate.as_boolean();
    let mut passes = predicate.values().clone();
    if let Some(nulls) = predicate.nulls() {
        passes = &passes & nulls.inner();
    }
    match absent {
        Some(absent) => &passes & &!absent,
        None => passes,
    }
}
