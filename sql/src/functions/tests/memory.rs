//! Memory of functions over whole batches: it is bounded, whatever the rows ask for.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::error::ArrowError;

use super::{Reports, check};
use super::{batch, context, evaluate, typed};
use crate::expr::compile::batch_budget::BatchBudget;
use crate::expr::compile::{compile, to_datafusion};
use crate::types::SqlType;
use crate::value::SqlValue;

/// Enough rows for the examples to exceed the memory of one evaluation.
const ROWS: usize = 600;

fn ids(rows: usize) -> Vec<Vec<SqlValue>> {
    (0..rows).map(|i| vec![SqlValue::String(format!("id-{i}"))]).collect()
}

fn columns() -> [(&'static str, SqlType); 1] {
    [("ID", SqlType::String)]
}

#[test]
fn long_intermediate_values_are_computed_in_slices() {
    let rows = ids(ROWS);
    let batch = batch(&columns(), &rows);
    for (text, expected) in [
        ("LEN(LPAD(id, 1000000, 'xy'))", 1_000_000),
        ("ARRAY_LENGTH(GENERATE_SERIES(1, LEN(id) * 8000))", 0),
        ("LEN(RPAD('', 1000000, 'x') + id)", 0),
    ] {
        let expr = typed(text, &columns()).expect("valid");
        let (values, reports) = evaluate(&expr, &batch);
        assert_eq!(reports.len(), 0, "{text}: {:?}", reports.first());
        for (row, value) in values.iter().enumerate() {
            let length = format!("id-{row}").len() as i32;
            let expected = match text {
                _ if expected > 0 => expected,
                _ if text.contains("SERIES") => length * 8_000,
                _ => 1_000_000 + length,
            };
            assert_eq!(*value, SqlValue::Integer(expected), "{text} of row {row}");
        }
    }
}

#[test]
fn a_batch_whose_values_need_too_much_memory_is_to_be_cut() {
    let rows = ids(ROWS);
    let whole = batch(&columns(), &rows);
    let reports = Arc::new(Reports::default());
    let compiled = |text: &str| {
        let expr = typed(text, &columns()).expect("valid");
        compile(&expr, &whole.schema(), &context(&reports)).expect("compiles")
    };
    // Each of the three would fit alone, on top of the others it does not.
    let texts = ["LPAD(id, 50000, 'x')", "RPAD(id, 50000, 'x') + '-'", "LPAD(id, 50000, 'y')"];
    let budget = BatchBudget::for_rows(ROWS);
    let results = texts.map(|text| compiled(text).evaluate(&whole, &budget));
    assert!(results[0].is_ok() && results[1].is_ok());
    assert!(
        matches!(results[2], Err(ArrowError::MemoryError(_))),
        "{:?}",
        results[2].as_ref().map(|a| a.len())
    );
    drop(budget);
    let third = whole.slice(200, 200);
    let budget = BatchBudget::for_rows(200);
    for text in texts {
        let values = compiled(text).evaluate(&third, &budget).expect("fewer rows fit");
        assert_eq!(values.null_count(), 0);
        assert!(values.as_string::<i32>().value(0).contains("id-200"));
    }
    budget.report();
    assert_eq!(reports.take(), []);
}

#[test]
fn a_row_that_exceeds_the_memory_of_a_step_alone_fails() {
    let rows = ids(1);
    let batch = batch(&columns(), &rows);
    let reports = Arc::new(Reports::default());
    let budget = BatchBudget::for_rows(1);
    let expr = typed("LPAD(id, 60000000, 'x')", &columns()).expect("valid");
    let compiled = compile(&expr, &batch.schema(), &context(&reports)).expect("compiles");
    let kept: Vec<bool> = (0..6)
        .map(|_| compiled.evaluate(&batch, &budget).expect("a row alone is no error").is_valid(0))
        .collect();
    assert_eq!(kept, [true, true, true, true, false, false], "four values of 60 MB fit into 256 MiB");
    assert_eq!(reports.take(), [], "reports are held back until the batch is done");
    budget.report();
    let reports = reports.take();
    assert_eq!(reports.len(), 2);
    assert!(reports[0].1.contains("the row needs more than 268435456 bytes"), "{}", reports[0].1);
}

#[test]
fn failures_are_reported_once_and_for_their_row_when_a_batch_is_cut() {
    let rows = ids(ROWS);
    let batch = batch(&columns(), &rows);
    let text = "LEN(LPAD(id, 1000000, 'x')) / (LEN(id) - 4)";
    let (values, reports) = evaluate(&typed(text, &columns()).expect("valid"), &batch);
    let failed: Vec<usize> = reports.iter().map(|(row, _)| *row).collect();
    assert_eq!(failed, (0..10).collect::<Vec<_>>(), "rows whose id has one digit");
    assert!(values[..10].iter().all(SqlValue::is_null));
    assert_eq!(values[10], SqlValue::Integer(1_000_000));
    assert_eq!(values[ROWS - 1], SqlValue::Integer(500_000));
}

#[test]
fn pull_queries_fail_where_streams_lose_rows() {
    let rows = ids(ROWS);
    let expr = typed("LPAD(id, 600000, 'x')", &columns()).expect("valid");
    let reports = Arc::new(Reports::default());
    let logical = to_datafusion(&expr, &context(&reports)).expect("compiles");
    let datafusion_expr::Expr::ScalarFunction(call) = logical else { panic!("{logical:?}") };
    let array = batch(&columns(), &rows).column(0).clone();
    let result = call.func.invoke_with_args(datafusion_expr::ScalarFunctionArgs {
        arg_fields: vec![Arc::new(arrow::datatypes::Field::new("ID", array.data_type().clone(), true))],
        args: vec![datafusion_expr::ColumnarValue::Array(array)],
        number_rows: ROWS,
        return_field: Arc::new(arrow::datatypes::Field::new("r", SqlType::String.to_arrow(), true)),
        config_options: Arc::default(),
    });
    let message = result.expect_err("too much").to_string();
    assert!(message.contains("the values of this expression for 600 rows"), "{message}");
}

#[test]
fn operands_give_their_memory_back() {
    // Together the operands of the additions would take more than one evaluation may.
    let text = vec!["LEN(LPAD(id, 2000000, 'x'))"; 70].join(" + ");
    let (values, reports) = evaluate(&typed(&text, &columns()).expect("valid"), &batch(&columns(), &ids(1)));
    assert_eq!(reports, []);
    assert_eq!(values, [SqlValue::Integer(140_000_000)]);
}

#[test]
fn one_value_is_bounded() {
    check("LEN(LPAD('a', 67108864, 'x'))", "67108864");
    for text in [
        "LPAD('a', 67108865, 'x')",
        "LPAD('a', 67108864, 'é')",
        "REPLACE(RPAD('a', 1000000, 'a'), 'a', RPAD('b', 1000, 'b'))",
        "REPLACE(RPAD('a', 1000000, 'a'), '', RPAD('b', 1000, 'b'))",
        "CONCAT(RPAD('a', 40000000, 'a'), RPAD('a', 40000000, 'a'))",
        "CONCAT_WS(RPAD('a', 40000000, 'a'), 'a', 'b')",
        "RPAD('a', 40000000, 'a') + RPAD('a', 40000000, 'a')",
        "ARRAY_JOIN(GENERATE_SERIES(1, 100000), RPAD('b', 1000, 'b'))",
        "REGEXP_REPLACE(RPAD('a', 1000000, 'a'), 'a', RPAD('b', 1000, 'b'))",
    ] {
        check(text, "ERROR");
    }
    check("LEN(REPLACE(RPAD('a', 1000000, 'a'), 'a', 'bb'))", "2000000");
}

#[test]
fn elements_of_lambdas_are_counted() {
    // Every element would carry a copy of the long text.
    let text =
        "ARRAY_LENGTH(TRANSFORM(GENERATE_SERIES(1, 1000000), x => CONCAT(RPAD(id, 100000, 'x'), 'y')))";
    let rows = ids(1);
    let (values, reports) = evaluate(&typed(text, &columns()).expect("valid"), &batch(&columns(), &rows));
    assert!(values.iter().all(SqlValue::is_null));
    assert_eq!(reports.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [0]);
    assert!(reports[0].1.contains("the row needs more than"), "{}", reports[0].1);
    check("REDUCE(GENERATE_SERIES(1, 1000), 0, (s, x) => s + x)", "500500");
}

#[test]
fn long_arguments_take_linear_time() {
    // Each of these would compare every element or unit with every other.
    check("INSTR(RPAD('', 400000, 'a'), CONCAT(RPAD('', 200000, 'a'), 'b'))", "0");
    check("INSTR('aaaa', 'aa', -1)", "3");
    check("INSTR('aaaa', 'aa', 1, 3)", "3");
    check("INSTR('abcabcabc', 'abc', -4)", "4");
    let keys = "TRANSFORM(GENERATE_SERIES(1, 60000), x => CAST(x AS STRING))";
    let map = format!("AS_MAP({keys}, GENERATE_SERIES(1, 60000))");
    check(&format!("ARRAY_LENGTH(MAP_KEYS({map}))"), "60000");
    check(&format!("MAP_UNION({map}, {map})['59999']"), "59999");
}
