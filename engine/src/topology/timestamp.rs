//! Timestamps that come from a column.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Int64Type, TimestampMillisecondType};
use weir_sql::expr::compile::batch_budget::BatchBudget;
use weir_sql::expr::ir::{Argument, Expr, ExprKind};
use weir_sql::plan::physical::TimestampColumn;
use weir_sql::schema::LogicalSchema;
use weir_sql::types::SqlType;
use weir_sql::value::SqlValue;

use crate::batch::RowBatch;
use crate::batch::input_schema::InputSchema;
use crate::error::{EngineError, Result};
use crate::operator::BuildContext;
use crate::operator::evaluator::Evaluator;
use crate::processing_log::StepReporter;

/// Rows without a value, whose column holds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbsentRows {
    /// They have no timestamp either. Source: ksqlDB, streams.
    Invalid,
    /// Tombstones of tables, which would otherwise delete nothing, and what queries write.
    KeepTheirTime,
}

/// Replaces the timestamps of rows by the value of a BIGINT or TIMESTAMP column, or of a STRING column with a pattern.
#[derive(Debug)]
pub struct TimestampExtractor {
    column: String,
    value: Evaluator,
    reporter: StepReporter,
    /// `ksql.timestamp.throw.on.invalid`
    fatal: bool,
}

impl TimestampExtractor {
    pub fn new(
        timestamp: &TimestampColumn,
        schema: &LogicalSchema,
        windowed: bool,
        step: &str,
        build: &BuildContext,
    ) -> Result<TimestampExtractor> {
        let name = &timestamp.column;
        let column = schema.find(name).ok_or_else(|| EngineError::Plan {
            reason: format!("timestamp column \"{name}\" does not exist"),
        })?;
        let reference = Expr::column(name.clone(), column.sql_type.clone());
        let expression = match &timestamp.format {
            None => reference,
            Some(pattern) => Expr::new(
                ExprKind::Call {
                    function: "STRINGTOTIMESTAMP".to_owned(),
                    arguments: vec![
                        Argument::Value(reference),
                        Argument::Value(Expr::literal(SqlValue::String(pattern.clone()), SqlType::String)),
                    ],
                },
                SqlType::Bigint,
            ),
        };
        let input = InputSchema::new(schema, windowed, false);
        let value = Evaluator::new([&expression], input, step, build)?;
        Ok(TimestampExtractor {
            column: name.clone(),
            value,
            reporter: build.reporter(step),
            fatal: build.settings.fail_on_invalid_timestamp,
        })
    }

    /// Rows without a timestamp, or with a negative one, are reported and dropped.
    ///
    /// Errors: such a row, if it is to stop the query.
    pub fn apply(&self, batch: RowBatch, absent: AbsentRows) -> Result<RowBatch> {
        // A number per row.
        let budget = BatchBudget::unbounded(batch.len());
        let column = self.value.evaluate(&batch, &budget)?.remove(0);
        budget.report();
        let times = millis(&column)?;
        let keeps_time = |row: usize| absent == AbsentRows::KeepTheirTime && batch.is_absent(row);
        let is_valid = |row: usize| keeps_time(row) || (column.is_valid(row) && times[row] >= 0);
        let keep = BooleanBuffer::collect_bool(batch.len(), is_valid);
        let invalid = batch.len() - keep.count_set_bits();
        for _ in 0..invalid {
            self.reporter.record_error(format!("column \"{}\" holds no valid timestamp", self.column));
        }
        if self.fatal && invalid > 0 {
            let reason = format!("column \"{}\" holds no valid timestamp", self.column);
            return Err(EngineError::Timestamp { reason });
        }
        let rowtime: ScalarBuffer<i64> =
            (0..batch.len()).map(|i| if keeps_time(i) { batch.rowtime[i] } else { times[i] }).collect();
        RowBatch { rowtime, ..batch }.filter(&keep)
    }
}

fn millis(column: &ArrayRef) -> Result<&[i64]> {
    match column.data_type() {
        DataType::Int64 => Ok(column.as_primitive::<Int64Type>().values()),
        DataType::Timestamp(..) => Ok(column.as_primitive::<TimestampMillisecondType>().values()),
        other => Err(EngineError::Plan { reason: format!("columns of type {other} hold no timestamps") }),
    }
}
