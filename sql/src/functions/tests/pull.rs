//! The logical form that pull queries are planned with.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use datafusion_common::DFSchema;
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_physical_expr::create_physical_expr;

use crate::expr::compile::to_datafusion;
use crate::functions::tests::{Reports, batch, context, typed};
use crate::types::SqlType;
use crate::value::SqlValue;

#[test]
fn comparisons_stay_visible_and_the_rest_becomes_functions() {
    let columns = [("ID", SqlType::Integer), ("NAME", SqlType::String)];
    let row = |id, name: &str| vec![id, SqlValue::String(name.to_owned())];
    let rows = [row(SqlValue::Integer(1), "a"), row(SqlValue::Integer(1), "b"), row(SqlValue::Null, "b")];
    let batch = batch(&columns, &rows);
    let check = |text: &str, logical: &str, expected: [bool; 3], reported: usize| {
        let reports = Arc::new(Reports::default());
        let expr = typed(text, &columns).expect("valid");
        let expr = to_datafusion(&expr, &context(&reports)).expect("compiles");
        assert_eq!(expr.to_string(), logical);
        let schema = DFSchema::try_from(batch.schema()).expect("names are unique");
        let planning = PhysicalPlanningContext::default();
        let physical =
            create_physical_expr(&expr, &schema, &ExecutionProps::new(), &planning).expect("plans");
        let result =
            physical.evaluate(&batch).expect("bad rows are no errors").into_array(3).expect("3 rows");
        let result = result.as_boolean();
        let passed: Vec<bool> = (0..3).map(|i| result.is_valid(i) && result.value(i)).collect();
        assert_eq!(passed, expected, "{text}");
        assert_eq!(reports.take().len(), reported, "{text}");
    };
    check("ID = 1", "ID = Int32(1) IS TRUE", [true, true, false], 0);
    check(
        "ID = 1 AND UCASE(NAME) = 'B'",
        "ID = Int32(1) IS TRUE AND (UCASE(NAME) = 'B')(NAME)",
        [false, true, false],
        0,
    );
    check("1 / (ID - 1) = 0", "((1 / (ID - 1)) = 0)(ID)", [false, false, false], 2);
}
