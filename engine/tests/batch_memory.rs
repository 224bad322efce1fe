//! What a step holds for one batch is bounded, whatever its rows ask for: the batch is cut, and results are as if each row came
//! alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use weir_engine::batch::RowBatch;
use weir_engine::driver::{BatchRows, DriverConfig};
use weir_engine::operator::aggregate::calls::AggregateCalls;
use weir_engine::operator::aggregate::slots::Slots;
use weir_engine::operator::aggregate::time::AggregateOperator;
use weir_engine::operator::aggregate::{Emission, EmissionConfig};
use weir_engine::operator::{Operator, OperatorContext, Output};
use weir_engine::processing_log::{DiscardLog, StepReporter};
use weir_engine::state::backend::{StoreId, StoreSpec};
use weir_engine::state::memory::MemoryBackend;
use weir_engine::state::task_state::TaskState;
use weir_sql::expr::compile::batch_budget::BatchBudget;
use weir_sql::functions::registry::FunctionRegistry;
use weir_sql::types::SqlType;

use crate::driver_harness::{Fixture, Input, input};

/// As many as a task takes at a time.
const ROWS: usize = 8_192;

const STREAM: &str = "CREATE STREAM s (k STRING KEY, n INT, v STRING) WITH (kafka_topic='in', value_format='JSON', partitions=1);";

fn row(key: &str, n: usize) -> Input {
    input("in", key, &format!(r#"{{"N":{n},"V":"v{n}"}}"#), 7)
}

/// The output of queries over the rows, in one batch unless configured otherwise, and the reports.
fn run(config: DriverConfig, queries: &str, inputs: &[Input], topic: &str) -> (Vec<String>, Vec<String>) {
    let mut fixture = Fixture::new(&format!("{STREAM}{queries}"), config);
    fixture.produce(inputs);
    fixture.driver.run().expect("queries run");
    (fixture.outputs(topic), fixture.reports())
}

#[test]
fn arguments_that_need_much_memory_together_are_computed_in_pieces() {
    // 320 MB for the batch.
    let queries = "CREATE TABLE o AS SELECT k, COUNT(LPAD(v, 40000, 'm')) AS c, COUNT(*) AS n FROM s
        WHERE LEN(LPAD(v, 20000, '-')) > 5 GROUP BY k;";
    let inputs: Vec<Input> = (0..ROWS).map(|n| row("k", n)).collect();
    let (out, reports) = run(DriverConfig::default(), queries, &inputs, "O");
    assert_eq!(reports, [] as [String; 0]);
    assert_eq!(out.len(), ROWS);
    for (n, line) in out.iter().enumerate() {
        assert_eq!(*line, format!(r#"k => {{"C":{0},"N":{0}}} @ 7"#, n + 1));
    }
}

#[test]
fn long_values_of_several_columns_come_out_whole_and_in_order() {
    let queries = "CREATE STREAM o AS SELECT k, LPAD(v, 20000, 'a') AS a, LPAD(v, 20000, 'b') AS b,
        LPAD(v, 20000, 'c') AS c, LPAD(v, 20000, 'd') AS d FROM s;";
    let inputs: Vec<Input> = (0..1_000).map(|n| row("k", n)).collect();
    let (out, reports) = run(DriverConfig::default(), queries, &inputs, "O");
    assert_eq!(reports, [] as [String; 0]);
    assert_eq!(out.len(), 1_000);
    for (n, line) in out.iter().enumerate() {
        assert!(line.ends_with(&format!("dv{n}\"}} @ 7")), "row {n}");
        assert_eq!(line.matches(&format!("v{n}\"")).count(), 4, "row {n}");
    }
}

#[test]
fn a_row_that_needs_too_much_fails_alone() {
    let queries = "CREATE STREAM o AS SELECT k, n, LEN(LPAD(v, n, 'x')) AS l,
        ARRAY_LENGTH(TRANSFORM(GENERATE_SERIES(1, n), x => LPAD(v, n / 60, 'x'))) AS a FROM s;";
    let inputs: Vec<Input> = (0..200).map(|n| row("k", if n == 77 { 200_000 } else { n })).collect();
    for batch_rows in [BatchRows::Whole, BatchRows::Rows(1)] {
        let config = DriverConfig { batch_rows, ..DriverConfig::default() };
        let (out, reports) = run(config, queries, &inputs, "O");
        assert_eq!(out.len(), 200);
        assert_eq!(out[77], r#"k => {"N":200000,"L":200000,"A":null} @ 7"#);
        assert_eq!(out[78], r#"k => {"N":78,"L":78,"A":78} @ 7"#);
        assert_eq!(out[199], r#"k => {"N":199,"L":199,"A":199} @ 7"#);
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert!(reports[0].contains("the row needs more than 268435456 bytes"), "{reports:?}");
        assert!(reports[0].contains("first_offset: 77, last_offset: 77"), "{reports:?}");
    }
}

#[test]
fn rows_made_by_table_functions_are_made_in_pieces() {
    let queries = "CREATE STREAM o AS SELECT k, n,
        EXPLODE(TRANSFORM(GENERATE_SERIES(1, 100), x => LPAD(v, 12500, 'x'))) AS e FROM s;
        CREATE STREAM c AS SELECT k, n, LEN(e) AS l FROM o;";
    let inputs: Vec<Input> = (0..60).map(|n| row("k", n)).collect();
    let (out, reports) = run(DriverConfig::default(), queries, &inputs, "C");
    assert_eq!(reports, [] as [String; 0]);
    assert_eq!(out.len(), 60 * 100);
    for (at, line) in out.iter().enumerate() {
        assert_eq!(*line, format!(r#"k => {{"N":{},"L":12500}} @ 7"#, at / 100));
    }
}

#[test]
fn cubes_of_several_rows_are_made_in_pieces_and_one_that_is_too_large_is_left_out() {
    let queries = "CREATE STREAM o AS SELECT k, n,
        CUBE_EXPLODE(TRANSFORM(GENERATE_SERIES(1, 10), x => LPAD(v, n, 'x'))) AS e FROM s;
        CREATE TABLE c AS SELECT CAST(n AS STRING) AS g, COUNT(*) AS c FROM o GROUP BY CAST(n AS STRING);";
    // Of the second row: 1,024 lists with half of ten values of 100 kB each.
    let inputs = [row("k", 300), row("k", 100_000), row("k", 301), row("k", 302)];
    let (out, reports) = run(DriverConfig::default(), queries, &inputs, "C");
    let last: BTreeMap<&str, &str> = out.iter().filter_map(|line| line.split_once(" => ")).collect();
    assert!(last.values().all(|value| *value == r#"{"C":1024} @ 7"#), "{last:?}");
    assert_eq!(last.len(), 3);
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("first_offset: 1, last_offset: 1"), "{reports:?}");
}

#[test]
fn long_group_keys_are_computed_in_pieces() {
    let queries = "CREATE TABLE o AS SELECT LPAD(v, 40000, 'k') AS g, COUNT(LPAD(v, 40000, 'm')) AS c FROM s
        GROUP BY LPAD(v, 40000, 'k');";
    let inputs: Vec<Input> = (0..1_200).map(|n| row("k", n % 600)).collect();
    let (out, reports) = run(DriverConfig::default(), queries, &inputs, "O");
    assert_eq!(reports, [] as [String; 0]);
    assert_eq!(out.len(), 1_200);
    let last: BTreeMap<&str, &str> = out.iter().filter_map(|line| line.split_once(" => ")).collect();
    assert_eq!(last.len(), 600);
    assert!(last.values().all(|value| *value == r#"{"C":2} @ 7"#));
}

#[test]
fn growing_lists_are_emitted_in_pieces() {
    const LIST_ROWS: usize = 3_000;
    let queries = "CREATE TABLE o AS SELECT k, COLLECT_LIST(v) AS l, COUNT(*) AS c FROM s GROUP BY k;
        CREATE TABLE n AS SELECT k, ARRAY_LENGTH(l) AS n, c FROM o;";
    let inputs: Vec<Input> = (0..LIST_ROWS).map(|n| row(if n % 2 == 0 { "a" } else { "b" }, n)).collect();
    let (out, reports) = run(DriverConfig::default(), queries, &inputs, "N");
    assert_eq!(reports, [] as [String; 0]);
    assert_eq!(out.len(), LIST_ROWS);
    for (n, line) in out.iter().enumerate() {
        let (key, rows) = (if n % 2 == 0 { "a" } else { "b" }, n / 2 + 1);
        assert_eq!(*line, format!(r#"{key} => {{"N":{rows},"C":{rows}}} @ 7"#));
    }
}

/// Collects the texts of each key, and emits every change.
fn collecting() -> AggregateOperator {
    let registry = FunctionRegistry::standard();
    let types = [SqlType::String];
    let resolved = registry.describe_aggregate_call("COLLECT_LIST", &types, &[]).expect("exists");
    let accumulator = registry.accumulator("COLLECT_LIST", &types, &[]).expect("exists");
    let reporter = StepReporter { logger: "test".into(), log: Arc::new(DiscardLog) };
    let calls = AggregateCalls::new(vec![(accumulator, 1, resolved.intermediate_type)], reporter);
    let slots = Slots::new(StoreId(0), false, vec![SqlType::String], calls);
    AggregateOperator::new(slots, None, EmissionConfig { emission: Emission::EveryChange, old_values: false })
}

/// `rows` texts of a kilobyte under one key.
fn texts(rows: usize) -> RowBatch {
    let key: ArrayRef = Arc::new(StringArray::from(vec!["k"; rows]));
    let value: ArrayRef = Arc::new(StringArray::from(vec!["v".repeat(1_000); rows]));
    RowBatch::new(vec![key], vec![value], vec![7; rows].into())
}

#[test]
fn changes_that_exceed_the_budget_are_refused_before_anything_changes() {
    let specs = vec![StoreSpec { name: "store".to_owned(), changelog: true }];
    let mut state = TaskState::new(specs, Box::new(MemoryBackend::new(1)));
    let mut operator = collecting();
    let mut process = |rows: usize| {
        let (budget, mut out) = (BatchBudget::for_rows(rows), Output::default());
        let mut context = OperatorContext { state: &mut state, partition: 0, budget: &budget };
        let outcome = operator.process(0, texts(rows), &mut context, &mut out);
        let emitted = out.take().into_iter().map(|(_, batch)| batch);
        let lengths: Vec<usize> =
            emitted.flat_map(|b| (0..b.len()).map(move |row| row_length(&b, row))).collect();
        outcome.map(|()| lengths)
    };
    // The lists after each of the rows would have 500 MB.
    let error = process(1_000).expect_err("too much");
    assert!(error.exceeds_memory(), "{error}");
    assert_eq!(process(300).expect("fits"), (1..=300).collect::<Vec<_>>());
    assert!(process(300).expect_err("too much").exceeds_memory(), "what the list holds already counts");
    assert_eq!(process(100).expect("fits"), (301..=400).collect::<Vec<_>>());
    assert_eq!(process(1).expect("a row alone"), [401]);
}

/// Elements of the list in a row.
fn row_length(batch: &RowBatch, row: usize) -> usize {
    use arrow::array::AsArray;
    batch.value[0].as_list::<i32>().value_length(row) as usize
}
