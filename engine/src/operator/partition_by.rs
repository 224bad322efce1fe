//! PARTITION BY: stream rows get a new key.

use crate::batch::RowBatch;
use crate::error::Result;
use crate::operator::evaluator::Evaluator;
use crate::operator::keys::rows_all_null;
use crate::operator::{Operator, OperatorContext, Output};

/// Computes key and value columns afresh. Where a row has no value, expressions that read the value are NULL and those that
/// read the key alone are not. A row whose single new key column is NULL keeps going with a null key; with several key
/// columns the key stays a row of NULLs.
#[derive(Debug)]
pub struct PartitionByOperator {
    pub keys: Evaluator,
    /// Shape: one per key; true if it reads nothing of the value.
    pub of_key: Vec<bool>,
    pub values: Evaluator,
}

impl Operator for PartitionByOperator {
    fn process(
        &mut self,
        _port: usize,
        batch: RowBatch,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<()> {
        let mut key = self.keys.evaluate(&batch, context.budget)?;
        if batch.absent.is_some() && self.of_key.contains(&true) {
            let whole = self.keys.evaluate_present(&batch, context.budget)?;
            for (i, column) in whole.into_iter().enumerate().filter(|(i, _)| self.of_key[*i]) {
                key[i] = column;
            }
        }
        let value = self.values.evaluate(&batch, context.budget)?;
        let null_key = match key.len() {
            0 | 1 => rows_all_null(&key),
            _ => None,
        };
        out.emit(RowBatch { key, value, null_key, window: None, origin: None, old: None, ..batch });
        Ok(())
    }
}
