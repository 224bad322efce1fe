//! The expressions of a step, compiled.

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::DataType;
use weir_sql::expr::compile::batch_budget::BatchBudget;
use weir_sql::expr::compile::compile;
use weir_sql::expr::compile::physical::CompiledExpr;
use weir_sql::expr::ir::Expr;

use crate::batch::RowBatch;
use crate::batch::input_schema::InputSchema;
use crate::error::{EngineError, Result};
use crate::operator::BuildContext;
use crate::operator::pieces::Pieces;

/// Computes columns from the rows of a batch, for the new and for the old values of tables.
#[derive(Debug)]
pub struct Evaluator {
    step: String,
    schema: InputSchema,
    types: Vec<DataType>,
    new: Vec<CompiledExpr>,
    old: Vec<CompiledExpr>,
}

impl Evaluator {
    pub fn new<'a>(
        expressions: impl IntoIterator<Item = &'a Expr>,
        schema: InputSchema,
        step: &str,
        build: &BuildContext,
    ) -> Result<Evaluator> {
        let (reported, silent) = (build.compile_context(step), build.silent_context());
        let mut evaluator =
            Evaluator { step: step.to_owned(), schema, types: Vec::new(), new: Vec::new(), old: Vec::new() };
        for expression in expressions {
            let compiled = |context| {
                compile(expression, evaluator.schema.arrow(), context)
                    .map_err(|source| EngineError::Compile { step: step.to_owned(), source })
            };
            let (new, old) = (compiled(&reported)?, compiled(&silent)?);
            evaluator.types.push(expression.sql_type.to_arrow());
            evaluator.new.push(new);
            evaluator.old.push(old);
        }
        Ok(evaluator)
    }

    pub fn len(&self) -> usize {
        self.types.len()
    }

    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    /// One column per expression, NULL where the row has no value.
    pub fn evaluate(&self, batch: &RowBatch, budget: &BatchBudget) -> Result<Vec<ArrayRef>> {
        self.run(&self.new, batch, &batch.value, batch.absent.as_ref(), budget)
    }

    /// One column per expression, computed for rows without a value as well: their value columns are NULL.
    pub fn evaluate_present(&self, batch: &RowBatch, budget: &BatchBudget) -> Result<Vec<ArrayRef>> {
        self.run(&self.old, batch, &batch.value, None, budget)
    }

    /// The same over the old values; NULL where there was no row.
    pub fn evaluate_old(&self, batch: &RowBatch, budget: &BatchBudget) -> Result<Option<Vec<ArrayRef>>> {
        match &batch.old {
            None => Ok(None),
            Some(old) => self.run(&self.old, batch, &old.value, old.absent.as_ref(), budget).map(Some),
        }
    }

    /// As [`Evaluator::evaluate_old`], for a step that can no longer be given fewer rows.
    pub fn evaluate_old_apart(&self, batch: &RowBatch) -> Result<Option<Vec<ArrayRef>>> {
        if batch.old.is_none() {
            return Ok(None);
        }
        let mut pieces = Pieces::new(batch.clone());
        let mut parts: Vec<Vec<ArrayRef>> = Vec::new();
        while let Some(piece) = pieces.next()? {
            let budget = BatchBudget::for_rows(piece.len());
            match self.evaluate_old(&piece, &budget) {
                Err(error) if error.exceeds_memory() && piece.len() > 1 => pieces.cut(),
                columns => {
                    parts.extend(columns?);
                    pieces.taken(&budget);
                }
            }
        }
        if parts.len() == 1 {
            return Ok(parts.pop());
        }
        let column = |at: usize| -> Result<ArrayRef> {
            let parts: Vec<&dyn Array> = parts.iter().map(|part| part[at].as_ref()).collect();
            Ok(arrow::compute::concat(&parts)?)
        };
        (0..self.types.len()).map(column).collect::<Result<_>>().map(Some)
    }

    fn run(
        &self,
        expressions: &[CompiledExpr],
        batch: &RowBatch,
        value: &[ArrayRef],
        absent: Option<&BooleanBuffer>,
        budget: &BatchBudget,
    ) -> Result<Vec<ArrayRef>> {
        let rows = batch.len();
        if rows == 0 {
            return Ok(self.types.iter().map(|t| new_null_array(t, 0)).collect());
        }
        let record_batch = self.schema.record_batch(batch, value)?;
        let absent = absent.filter(|a| a.count_set_bits() > 0);
        let Some(absent) = absent else {
            return expressions.iter().map(|e| self.evaluate_one(e, &record_batch, budget)).collect();
        };
        if absent.count_set_bits() == rows {
            return Ok(self.types.iter().map(|t| new_null_array(t, rows)).collect());
        }
        // Rows without a value must not reach the expressions: they could fail, or give something.
        let present: Vec<u32> = (0..rows as u32).filter(|i| !absent.value(*i as usize)).collect();
        let mut place = vec![None; rows];
        present.iter().enumerate().for_each(|(to, from)| place[*from as usize] = Some(to as u32));
        let place = UInt32Array::from(place);
        let dense = arrow::compute::take_record_batch(&record_batch, &UInt32Array::from(present))?;
        expressions
            .iter()
            .map(|e| Ok(arrow::compute::take(&self.evaluate_one(e, &dense, budget)?, &place, None)?))
            .collect()
    }

    fn evaluate_one(
        &self,
        expression: &CompiledExpr,
        batch: &RecordBatch,
        budget: &BatchBudget,
    ) -> Result<ArrayRef> {
        let failed = |source| EngineError::Evaluate { step: self.step.clone(), source };
        expression.evaluate(batch, budget).map_err(failed)
    }
}
