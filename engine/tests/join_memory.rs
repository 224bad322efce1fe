//! Joined rows are emitted in pieces that are bounded in bytes, however many partners a row has and however long they are.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray};
use weir_engine::batch::RowBatch;
use weir_engine::driver::DriverConfig;
use weir_engine::error::Result;
use weir_engine::operator::join::foreign_key::look_up::LookUpOperator;
use weir_engine::operator::join::side::SideTable;
use weir_engine::operator::join::stream_stream::unmatched::UnmatchedRows;
use weir_engine::operator::join::stream_stream::window_buffer::WindowBuffer;
use weir_engine::operator::join::stream_stream::{JoinWindow, StreamStreamJoinOperator};
use weir_engine::operator::join::stream_table::StreamTableJoinOperator;
use weir_engine::operator::join::table_table::TableTableJoinOperator;
use weir_engine::operator::{Operator, OperatorContext, Output};
use weir_engine::processing_log::{DiscardLog, StepReporter};
use weir_engine::state::backend::{StoreId, StoreSpec};
use weir_engine::state::memory::MemoryBackend;
use weir_engine::state::table_store::TableStore;
use weir_engine::state::task_state::TaskState;
use weir_sql::expr::compile::batch_budget::BatchBudget;
use weir_sql::plan::physical::JoinKind;
use weir_sql::types::SqlType;

use crate::driver_harness::{Input, input, run};

const MIB: usize = 1 << 20;
/// A piece of 16 MiB, and the row that fills it.
const PIECE_BYTES_MAX: usize = 17 * MIB;
/// Bytes that a step may hold for a batch of several rows.
const BATCH_BYTES_MAX: usize = 64 * MIB;

/// Three stores of a task.
fn state() -> TaskState {
    let spec = |name: &str| StoreSpec { name: name.to_owned(), changelog: true };
    TaskState::new(vec![spec("a"), spec("b"), spec("c")], Box::new(MemoryBackend::new(3)))
}

/// The columns of a side: key and value.
fn types() -> Vec<SqlType> {
    vec![SqlType::String, SqlType::String]
}

fn table(store: u32) -> SideTable {
    SideTable::new(TableStore::new(StoreId(store), types()))
}

fn reporter() -> StepReporter {
    StepReporter { logger: "test".into(), log: Arc::new(DiscardLog) }
}

fn texts(texts: Vec<String>) -> ArrayRef {
    Arc::new(StringArray::from(texts))
}

/// `rows` values of `bytes` bytes under one key, at `time`.
fn values(rows: usize, bytes: usize, time: i64) -> RowBatch {
    let value = texts(vec!["v".repeat(bytes); rows]);
    RowBatch::new(vec![texts(vec!["k".to_owned(); rows])], vec![value], vec![time; rows].into())
}

/// Rows and bytes of each piece that an operator makes of a batch.
fn pieces(
    operator: &mut dyn Operator,
    state: &mut TaskState,
    port: usize,
    batch: RowBatch,
) -> Result<Vec<(usize, usize)>> {
    let mut pieces = Vec::new();
    let budget = BatchBudget::for_rows(batch.len());
    let mut context = OperatorContext { state, partition: 0, budget: &budget };
    let mut out = Output::default();
    operator.process(port, batch, &mut context, &mut out)?;
    loop {
        pieces.extend(out.take().into_iter().map(|(_, piece)| (piece.len(), piece.bytes())));
        if !operator.resume(&mut context, &mut out)? {
            return Ok(pieces);
        }
    }
}

fn flush(operator: &mut dyn Operator, state: &mut TaskState) {
    let budget = BatchBudget::for_rows(0);
    let mut context = OperatorContext { state, partition: 0, budget: &budget };
    operator.flush(&mut context, &mut Output::default()).expect("state is kept");
}

fn totals(pieces: &[(usize, usize)]) -> (usize, usize) {
    pieces.iter().fold((0, 0), |(rows, bytes), piece| (rows + piece.0, bytes + piece.1))
}

fn stream_stream(kind: JoinKind, resident_max: usize) -> StreamStreamJoinOperator {
    let window = JoinWindow { before_ms: 1_000, after_ms: 1_000, grace_ms: Some(0) };
    let buffer = |store| {
        let buffer = WindowBuffer::new(StoreId(store), types(), window.retention_ms());
        buffer.with_resident_max(resident_max)
    };
    let unmatched = UnmatchedRows::new(StoreId(2)).with_resident_max(resident_max);
    StreamStreamJoinOperator::new(kind, window, [buffer(0), buffer(1)], unmatched, reporter())
}

#[test]
fn streams_with_many_partners_are_joined_in_pieces() {
    // In memory, and read back from the store.
    for resident_max in [1_000, 1] {
        let (mut operator, mut state) = (stream_stream(JoinKind::Inner, resident_max), state());
        let left = pieces(&mut operator, &mut state, 0, values(200, 10_000, 7)).expect("buffered");
        assert!(left.is_empty(), "{left:?}");
        flush(&mut operator, &mut state);
        let joined = pieces(&mut operator, &mut state, 1, values(200, 10_000, 8)).expect("joined");
        let (rows, bytes) = totals(&joined);
        assert_eq!(rows, 200 * 200);
        assert!(bytes > 700 * MIB, "{bytes}");
        let largest = joined.iter().map(|piece| piece.1).max();
        assert!(largest < Some(PIECE_BYTES_MAX), "{largest:?}, {resident_max} rows in memory");
    }
}

#[test]
fn unmatched_rows_come_out_in_pieces_when_their_windows_close() {
    for resident_max in [1_000, 1] {
        let (mut operator, mut state) = (stream_stream(JoinKind::Left, resident_max), state());
        for time in 0..8 {
            let none = pieces(&mut operator, &mut state, 0, values(40, 500_000, time)).expect("buffered");
            assert!(none.is_empty(), "{none:?}");
            flush(&mut operator, &mut state);
        }
        let closed = pieces(&mut operator, &mut state, 1, values(1, 10, 5_000)).expect("joined");
        let (rows, bytes) = totals(&closed);
        assert_eq!(rows, 8 * 40);
        assert!(bytes > 150 * MIB, "{bytes}");
        let largest = closed.iter().map(|piece| piece.1).max();
        assert!(largest < Some(PIECE_BYTES_MAX), "{largest:?}, {resident_max} rows in memory");
    }
}

#[test]
fn a_long_table_row_meets_as_many_stream_rows_as_fit() {
    let mut operator = StreamTableJoinOperator::new(JoinKind::Inner, table(0), reporter());
    let mut state = state();
    pieces(&mut operator, &mut state, 1, values(1, MIB, 7)).expect("put");
    let error = pieces(&mut operator, &mut state, 0, values(100, 10, 8)).expect_err("too much");
    assert!(error.exceeds_memory(), "{error}");
    let joined = totals(&pieces(&mut operator, &mut state, 0, values(60, 10, 8)).expect("fits"));
    assert_eq!(joined.0, 60);
    assert!(joined.1 < BATCH_BYTES_MAX, "{}", joined.1);
}

#[test]
fn changes_of_a_joined_table_are_refused_before_anything_changes() {
    let mut operator = TableTableJoinOperator::new(JoinKind::Left, [table(0), table(1)], true);
    let mut state = state();
    pieces(&mut operator, &mut state, 1, values(1, MIB, 7)).expect("put");
    // Each change carries the row before it.
    let error = pieces(&mut operator, &mut state, 0, values(40, 10, 8)).expect_err("too much");
    assert!(error.exceeds_memory(), "{error}");
    let budget = BatchBudget::for_rows(20);
    let mut context = OperatorContext { state: &mut state, partition: 0, budget: &budget };
    let mut out = Output::default();
    operator.process(0, values(20, 10, 8), &mut context, &mut out).expect("fits");
    let (_, first) = out.take().remove(0);
    assert!(first.is_old_absent(0), "the changes that were refused left nothing behind");
    assert!(!first.is_old_absent(1));
    assert!(first.bytes() < BATCH_BYTES_MAX, "{}", first.bytes());
}

/// Subscriptions of `rows` left rows to the right row "k".
fn subscriptions(rows: usize) -> RowBatch {
    const SUBSCRIBE_AND_ANSWER: i32 = 2;
    let left_keys = texts((0..rows).map(|n| format!("{n:05}")).collect());
    let value: Vec<ArrayRef> = vec![
        left_keys,
        Arc::new(Int64Array::from(vec![1; rows])),
        Arc::new(Int32Array::from(vec![SUBSCRIBE_AND_ANSWER; rows])),
        Arc::new(Int32Array::from(vec![0; rows])),
    ];
    RowBatch::new(vec![texts(vec!["k".to_owned(); rows])], value, vec![7; rows].into())
}

#[test]
fn subscribers_of_a_long_row_are_answered_in_pieces() {
    const SUBSCRIBERS: usize = 500;
    let mut operator = LookUpOperator::new(StoreId(0), vec![SqlType::String], table(1));
    let mut state = state();
    let answers = pieces(&mut operator, &mut state, 0, subscriptions(SUBSCRIBERS)).expect("small");
    assert_eq!(totals(&answers).0, SUBSCRIBERS);
    let answers = pieces(&mut operator, &mut state, 1, values(1, MIB, 8)).expect("answered");
    let (rows, bytes) = totals(&answers);
    assert_eq!(rows, SUBSCRIBERS);
    assert!(bytes > SUBSCRIBERS * MIB, "{bytes}");
    let largest = answers.iter().map(|piece| piece.1).max();
    assert!(largest < Some(PIECE_BYTES_MAX + MIB), "{largest:?}");
    let error = pieces(&mut operator, &mut state, 0, subscriptions(100)).expect_err("too much");
    assert!(error.exceeds_memory(), "{error}");
}

const SOURCES: &str = "
    CREATE STREAM l (k STRING KEY, v STRING) WITH (kafka_topic='left', value_format='DELIMITED', partitions=1);
    CREATE STREAM r (k STRING KEY, v STRING) WITH (kafka_topic='right', value_format='DELIMITED', partitions=1);
    CREATE TABLE t (k STRING PRIMARY KEY, v STRING) WITH (kafka_topic='table', value_format='DELIMITED', partitions=1);";

#[test]
fn long_joined_rows_come_out_complete_and_in_order() {
    const ROWS: usize = 100;
    let statements = format!(
        "{SOURCES} CREATE STREAM o AS SELECT l.k AS k, LEN(l.v) AS a, LEN(r.v) AS b FROM l
             JOIN r WITHIN 1 SECOND GRACE PERIOD 0 SECONDS ON l.k = r.k;"
    );
    let row = |topic, n: usize| input(topic, "k", &"x".repeat(25_000 + n), 7);
    let mut inputs: Vec<Input> = (0..ROWS).map(|n| row("left", n)).collect();
    inputs.extend((0..ROWS).map(|n| row("right", n)));
    let out = run(&statements, &inputs, "O", DriverConfig::default());
    assert_eq!(out.len(), ROWS * ROWS);
    for (at, line) in out.iter().enumerate() {
        let (left, right) = (25_000 + at % ROWS, 25_000 + at / ROWS);
        assert_eq!(*line, format!("k => {left},{right} @ 7"));
    }
}

#[test]
fn a_long_table_row_joins_every_row_of_a_batch() {
    const ROWS: usize = 1_000;
    let statements = format!(
        "{SOURCES} CREATE STREAM o AS SELECT l.k AS k, l.v AS v, LEN(t.v) AS n FROM l LEFT JOIN t ON l.k = t.k;"
    );
    let mut inputs = vec![input("table", "k", &"x".repeat(400_000), 1)];
    inputs.extend((0..ROWS).map(|n| input("left", "k", &format!("v{n}"), 7)));
    let out = run(&statements, &inputs, "O", DriverConfig::default());
    let expected: Vec<String> = (0..ROWS).map(|n| format!("k => v{n},400000 @ 7")).collect();
    assert_eq!(out, expected);
}
