//! ksqlDB's aggregate functions for DataFusion.

use std::hash::{Hash, Hasher};

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, TypeSignature, Volatility};
use datafusion::scalar::ScalarValue;
use parking_lot::Mutex;
use weir_sql::functions::aggregate::GroupsAccumulator;
use weir_sql::functions::registry::FunctionRegistry;
use weir_sql::plan::physical::AggregateCall;
use weir_sql::types::SqlType;

/// One call of an aggregate function.
#[derive(Debug)]
pub struct CallUdaf {
    call: AggregateCall,
    types: Vec<SqlType>,
    state: DataType,
    signature: Signature,
}

impl CallUdaf {
    /// Errors: the function does not exist for these arguments.
    pub fn new(call: &AggregateCall) -> Result<CallUdaf> {
        let types: Vec<SqlType> = call.arguments.iter().map(|a| a.sql_type.clone()).collect();
        let resolved = FunctionRegistry::standard()
            .describe_aggregate_call(&call.function, &types, &call.constants)
            .map_err(|e| DataFusionError::External(Box::new(e)))?;
        let inputs = types.iter().map(SqlType::to_arrow).collect();
        Ok(CallUdaf {
            call: call.clone(),
            types,
            state: resolved.intermediate_type.to_arrow(),
            signature: Signature::new(TypeSignature::Exact(inputs), Volatility::Immutable),
        })
    }

    fn build(&self) -> Result<Box<dyn GroupsAccumulator>> {
        FunctionRegistry::standard()
            .accumulator(&self.call.function, &self.types, &self.call.constants)
            .map_err(|e| DataFusionError::External(Box::new(e)))
    }
}

impl PartialEq for CallUdaf {
    fn eq(&self, other: &CallUdaf) -> bool {
        self.call == other.call
    }
}

impl Eq for CallUdaf {}

impl Hash for CallUdaf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.call.function.hash(state);
        self.call.output.hash(state);
    }
}

impl AggregateUDFImpl for CallUdaf {
    fn name(&self) -> &str {
        &self.call.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.call.output.sql_type.to_arrow())
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let mut groups = self.build()?;
        // Slot 0 is the group, slot 1 takes states that are merged into it.
        groups.resize(2);
        groups.reset(0);
        groups.reset(1);
        Ok(Box::new(CallAccumulator { groups: Mutex::new(groups), slots: Vec::new() }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Field::new(format!("{}_state", args.name), self.state.clone(), true).into()])
    }
}

/// The state of one group.
#[derive(Debug)]
struct CallAccumulator {
    /// Never contended: DataFusion wants accumulators that can be shared, and does not share them.
    groups: Mutex<Box<dyn GroupsAccumulator>>,
    slots: Vec<u32>,
}

impl Accumulator for CallAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = values.first().map_or(0, |v| v.len());
        self.slots.resize(rows, 0);
        match self.groups.get_mut().update(&self.slots, values).into_iter().next() {
            None => Ok(()),
            Some(error) => Err(DataFusionError::Execution(error.message)),
        }
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.groups.get_mut().evaluate(&[0]), 0)
    }

    fn size(&self) -> usize {
        size_of::<CallAccumulator>() + self.groups.lock().memory_bytes()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::try_from_array(&self.groups.get_mut().save_batch(&[0]), 0)?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(states) = states.first() else { return Ok(()) };
        let groups = self.groups.get_mut();
        for row in 0..states.len() {
            groups.reset(1);
            groups.load_batch(&[1], &states.slice(row, 1));
            groups.merge(0, 1);
        }
        Ok(())
    }
}
