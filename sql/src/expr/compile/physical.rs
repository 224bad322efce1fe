//! A compiled expression in DataFusion's terms: a physical expression for streams, a scalar UDF for pull queries.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion_physical_expr::PhysicalExpr;

use crate::expr::compile::CompileContext;
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
    /// Evaluates a batch, in slices if the whole of it needs too much memory.
    pub(crate) fn evaluate(
        &self,
        columns: Vec<ArrayRef>,
        rows: usize,
        overflow: Overflow,
    ) -> std::result::Result<Value, ArrowError> {
        let evaluation = Evaluation::new(&self.context);
        match self.attempt(columns.clone(), rows, &evaluation) {
            Err(ArrowError::MemoryError(_)) => sliced::evaluate(self, &columns, rows, overflow),
            result => {
                evaluation.flush(0);
                result
            }
        }
    }

    /// Evaluates all rows at once.
    ///
    /// Errors: a memory error if that exceeds the budget of the evaluation.
    pub(crate) fn attempt(
        &self,
        columns: Vec<ArrayRef>,
        rows: usize,
        evaluation: &Evaluation<'_>,
    ) -> std::result::Result<Value, ArrowError> {
        let value = self.node.caught(&Frame::new(columns, rows, evaluation))?;
        // The caller may write out a copy of it per row.
        evaluation.budget().charge(value.spread_bytes(rows))?;
        Ok(value)
    }
}

fn columnar(value: Value) -> Result<ColumnarValue> {
    if value.scalar {
        Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&value.array, 0)?))
    } else {
        Ok(ColumnarValue::Array(value.array))
    }
}

/// Evaluates a program over columns of the batch. Shape: `columns[i]` is the batch's column for input `i`.
#[derive(Clone, Debug)]
pub(crate) struct ProgramExpr {
    pub(crate) program: Arc<Program>,
    pub(crate) columns: Vec<usize>,
}

impl fmt::Display for ProgramExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program.text)
    }
}

impl PartialEq for ProgramExpr {
    fn eq(&self, other: &ProgramExpr) -> bool {
        Arc::ptr_eq(&self.program, &other.program) && self.columns == other.columns
    }
}

impl Eq for ProgramExpr {}

impl Hash for ProgramExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.program).hash(state);
        self.columns.hash(state);
    }
}

impl PhysicalExpr for ProgramExpr {
    fn return_field(&self, _input_schema: &Schema) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(&self.program.text, self.program.result.to_arrow(), true)))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let columns = self.columns.iter().map(|i| Arc::clone(batch.column(*i))).collect();
        columnar(self.program.evaluate(columns, batch.num_rows(), Overflow::FailRows)?)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        Vec::new()
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(self)
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program.text)
    }

    fn is_volatile_node(&self) -> bool {
        self.program.volatile
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
        match self.program.evaluate(columns, args.number_rows, Overflow::FailBatch) {
            Err(ArrowError::MemoryError(message)) => Err(DataFusionError::ResourcesExhausted(message)),
            result => columnar(result?),
        }
    }
}
