//! PARTITION BY: stream rows get a new key.

use crate::batch::RowBatch;
use crate::error::Result;
use crate::operator::evaluator::Evaluator;
use crate::operator::keys::rows_all_null;
use crate::operator::{Operator, OperatorContext, Output};

/// Computes key and value columns afresh. A row whose single new key column is NULL, or that has no value, keeps going with a
/// null key; with several key columns the key stays a row of NULLs.
#[derive(Debug)]
pub struct PartitionByOperator {
    pub keys: Evaluator,
    pub values: Evaluator,
}

impl Operator for PartitionByOperator {
    fn process(
        &mut self,
        _port: usize,
        batch: RowBatch,
        _context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<()> {
        let key = self.keys.evaluate(&batch)?;
        let value = self.values.evaluate(&batch)?;
        let null_key = match key.len() {
            0 | 1 => rows_all_null(&key),
            _ => None,
        };
        out.emit(RowBatch { key, value, null_key, window: None, origin: None, old: None, ..batch });
        Ok(())
    }
}
