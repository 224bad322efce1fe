//! SELECT lists: key columns are renamed, value columns computed.

use crate::batch::{OldRows, RowBatch};
use crate::error::Result;
use crate::operator::evaluator::Evaluator;
use crate::operator::{Operator, OperatorContext, Output};

/// Computes the value columns. Key columns stay as they are: names live in schemas, not in batches.
#[derive(Debug)]
pub struct ProjectOperator {
    pub values: Evaluator,
}

impl Operator for ProjectOperator {
    fn process(
        &mut self,
        _port: usize,
        batch: RowBatch,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<()> {
        let value = self.values.evaluate(&batch, context.budget)?;
        let old_value = self.values.evaluate_old(&batch, context.budget)?;
        let old = match (batch.old, old_value) {
            (Some(old), Some(value)) => Some(OldRows { value, absent: old.absent }),
            _ => None,
        };
        out.emit(RowBatch { value, old, ..batch });
        Ok(())
    }
}
