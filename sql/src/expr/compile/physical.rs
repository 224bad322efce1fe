//! A compiled expression: over the columns of a batch for streams, as one of DataFusion's scalar UDFs for pull queries.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use crate::expr::compile::CompileContext;
use crate::expr::compile::batch_budget::BatchBudget;
use crate::expr::compile::frame::{Evaluation, Frame};
use crate::expr::compile::node::Node;
use crate::expr::compile::sliced::{self, Overflow};
use crate::functions::call::Value;
use crate::types::SqlType;

/// A compiled expression over its own list of columns.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) text: String,
    pub(crate) node: Node,
    pub(crate) inputs: Vec<DataType>,
    pub(crate) result: SqlType,
    pub(crate) volatile: bool,
    pub(crate) context: CompileContext,
}

impl Program {
    /// Evaluates rows of a batch, in slices if all of them need too much memory. Shape: columns have `rows` rows.
    ///
    /// Errors: as [`sliced::evaluate`].
    pub(crate) fn evaluate(
        &self,
        columns: Vec<ArrayRef>,
        rows: usize,
        batch: &BatchBudget,
        overflow: Overflow,
    ) -> std::result::Result<Value, ArrowError> {
        let budget = batch.budget();
        let before = budget.used();
        let evaluation = Evaluation::new(&self.context, batch);
        let whole = self.attempt(columns.clone(), rows, &evaluation).and_then(|value| {
            // The caller writes out a copy of it per row.
            budget.charge(value.spread_bytes(rows))?;
            evaluation.flush(0)?;
            Ok(value)
        });
        match whole {
            Err(ArrowError::MemoryError(_)) => {
                budget.restore(before);
                sliced::evaluate(self, &columns, rows, batch, overflow)
            }
            result => result,
        }
    }

    /// Evaluates all rows at once.
    ///
    /// Errors: a memory error if that exceeds the budget of the batch.
    pub(crate) fn attempt(
        &self,
        columns: Vec<ArrayRef>,
        rows: usize,
        evaluation: &Evaluation<'_>,
    ) -> std::result::Result<Value, ArrowError> {
        self.node.caught(&Frame::new(columns, rows, evaluation))
    }
}

fn columnar(value: Value) -> Result<ColumnarValue> {
    if value.scalar {
        Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&value.array, 0)?))
    } else {
        Ok(ColumnarValue::Array(value.array))
    }
}

/// An expression compiled for the columns of a schema. Shape: `columns[i]` is the schema's column for input `i`.
#[derive(Clone, Debug)]
pub struct CompiledExpr {
    pub(crate) program: Arc<Program>,
    pub(crate) columns: Vec<usize>,
}

impl CompiledExpr {
    /// One value per row. Rows that cannot be computed are NULL, and reported by `budget`. Rows of the batch that have no value
    /// may be missing.
    ///
    /// Errors: [`ArrowError::MemoryError`] if a batch of several rows needs more memory than the budget has left; others are
    /// defects.
    pub fn evaluate(
        &self,
        rows: &RecordBatch,
        budget: &BatchBudget,
    ) -> std::result::Result<ArrayRef, ArrowError> {
        let count = rows.num_rows();
        debug_assert!(count <= budget.rows());
        let columns = self.columns.iter().map(|i| Arc::clone(rows.column(*i))).collect();
        self.program.evaluate(columns, count, budget, Overflow::FailRow)?.spread(count)
    }
}

/// A program as a scalar function of its input columns.
#[derive(Debug)]
pub(crate) struct ProgramUdf {
    program: Arc<Program>,
    signature: Signature,
}

impl ProgramUdf {
    pub(crate) fn new(program: Program) -> ProgramUdf {
        let volatility = if program.volatile { Volatility::Volatile } else { Volatility::Immutable };
        let types = if program.inputs.is_empty() {
            TypeSignature::Nullary
        } else {
            TypeSignature::Exact(program.inputs.clone())
        };
        ProgramUdf { program: Arc::new(program), signature: Signature::new(types, volatility) }
    }
}

impl PartialEq for ProgramUdf {
    fn eq(&self, other: &ProgramUdf) -> bool {
        Arc::ptr_eq(&self.program, &other.program)
    }
}

impl Eq for ProgramUdf {}

impl Hash for ProgramUdf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.program).hash(state);
    }
}

impl ScalarUDFImpl for ProgramUdf {
    fn name(&self) -> &str {
        &self.program.text
    }

    fn schema_name(&self, _args: &[datafusion_expr::Expr]) -> Result<String> {
        Ok(self.program.text.clone())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.program.result.to_arrow())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(&self.program.text, self.program.result.to_arrow(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns =
            args.args.iter().map(|arg| arg.to_array(args.number_rows)).collect::<Result<Vec<_>>>()?;
        let budget = BatchBudget::for_whole(args.number_rows);
        match self.program.evaluate(columns, args.number_rows, &budget, Overflow::FailBatch) {
            Err(ArrowError::MemoryError(message)) => Err(DataFusionError::ResourcesExhausted(message)),
            result => {
                let value = columnar(result?)?;
                budget.report();
                Ok(value)
            }
        }
    }
}
