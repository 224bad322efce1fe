//! Rows per second inside the hot operators: `cargo bench -p weir-engine --bench operators`.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use weir_engine::batch::RowBatch;
use weir_engine::operator::aggregate::calls::AggregateCalls;
use weir_engine::operator::aggregate::slots::Slots;
use weir_engine::operator::aggregate::time::AggregateOperator;
use weir_engine::operator::aggregate::time_windows::TimeWindows;
use weir_engine::operator::aggregate::{Emission, EmissionConfig};
use weir_engine::operator::join::side::{SideTable, side_types};
use weir_engine::operator::join::stream_table::StreamTableJoinOperator;
use weir_engine::operator::{Operator, OperatorContext, Output};
use weir_engine::processing_log::{DiscardLog, StepReporter};
use weir_engine::state::backend::{StoreId, StoreSpec};
use weir_engine::state::memory::MemoryBackend;
use weir_engine::state::table_store::TableStore;
use weir_engine::state::task_state::TaskState;
use weir_sql::expr::compile::batch_budget::BatchBudget;
use weir_sql::functions::registry::FunctionRegistry;
use weir_sql::plan::physical::JoinKind;
use weir_sql::schema::{Column, LogicalSchema};
use weir_sql::types::SqlType;

const KEYS: usize = 10_000;
const BATCH_ROWS: usize = 4_096;
const BATCHES: usize = 2_048;
/// So a group gets sixty rows per window.
const ROWS_PER_MS: i64 = 10;
/// Batches between commits.
const COMMIT_BATCHES: usize = 256;

fn state() -> TaskState {
    let specs = vec![StoreSpec { name: "store".to_owned(), changelog: true }];
    TaskState::new(specs, Box::new(MemoryBackend::new(1)))
}

fn key(row: usize) -> String {
    let mixed = (row as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
    format!("key-{:05}", mixed as usize % KEYS)
}

fn batches() -> Vec<RowBatch> {
    (0..256)
        .map(|b| {
            let rows = b * BATCH_ROWS..(b + 1) * BATCH_ROWS;
            let keys: ArrayRef = Arc::new(StringArray::from_iter_values(rows.clone().map(key)));
            let values: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.clone().map(|r| r as i64)));
            let times: Vec<i64> = rows.map(|r| r as i64 / ROWS_PER_MS).collect();
            RowBatch::new(vec![keys], vec![values.clone(), values], times.into())
        })
        .collect()
}

/// Time that this thread has spent on a CPU: other load on the machine does not count.
fn cpu_seconds() -> f64 {
    let stat =
        std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux keeps scheduler statistics");
    let nanos: u64 =
        stat.split(' ').next().and_then(|n| n.parse().ok()).expect("the first field is a number");
    nanos as f64 / 1e9
}

fn run(name: &str, operator: &mut dyn Operator, batches: &[RowBatch], state: &mut TaskState) {
    let start = cpu_seconds();
    let mut emitted = 0;
    for i in 0..BATCHES {
        let mut out = Output::default();
        let budget = BatchBudget::for_rows(BATCH_ROWS);
        operator
            .process(
                0,
                batches[i % batches.len()].clone(),
                &mut OperatorContext { state, partition: 0, budget: &budget },
                &mut out,
            )
            .expect("processes");
        if (i + 1) % COMMIT_BATCHES == 0 {
            let mut context = OperatorContext { state, partition: 0, budget: &budget };
            operator.flush(&mut context, &mut out).expect("flushes");
            state.commit(Vec::new()).expect("commits");
        }
        emitted += black_box(out.take()).iter().map(|(_, b)| b.len()).sum::<usize>();
    }
    let seconds = cpu_seconds() - start;
    let rows = (BATCHES * BATCH_ROWS) as f64;
    println!("{name}: {:.2} M rows per CPU second, {emitted} rows emitted", rows / seconds / 1e6);
}

fn aggregate(emission: Emission) -> AggregateOperator {
    let registry = FunctionRegistry::standard();
    let parts = ["COUNT", "SUM"].map(|name| {
        let types = [SqlType::Bigint];
        let resolved = registry.describe_aggregate_call(name, &types, &[]).expect("exists");
        let accumulator = registry.accumulator(name, &types, &[]).expect("exists");
        (accumulator, 1, resolved.intermediate_type)
    });
    let reporter = StepReporter { logger: "bench".into(), log: Arc::new(DiscardLog) };
    let calls = AggregateCalls::new(parts.into(), reporter);
    let slots = Slots::new(StoreId(0), true, vec![SqlType::String], calls);
    let minute = 60_000;
    let windows =
        TimeWindows { size_ms: minute, advance_ms: minute, grace_ms: 10 * minute, retention_ms: 11 * minute };
    AggregateOperator::new(slots, Some(windows), EmissionConfig { emission, old_values: false })
}

fn main() {
    let batches = batches();
    let mut state_of_run = state();
    run(
        "tumbling COUNT, SUM, emitted at commit",
        &mut aggregate(Emission::OnCommit),
        &batches,
        &mut state_of_run,
    );
    let mut state_of_run = state();
    run(
        "tumbling COUNT, SUM, every change",
        &mut aggregate(Emission::EveryChange),
        &batches,
        &mut state_of_run,
    );

    let mut state_of_run = state();
    let schema = LogicalSchema::new(
        vec![Column::new("K", SqlType::String)],
        vec![Column::new("A", SqlType::Bigint), Column::new("B", SqlType::Bigint)],
    );
    let mut join = StreamTableJoinOperator::new(
        JoinKind::Left,
        SideTable::new(TableStore::new(StoreId(0), side_types(&schema))),
        StepReporter { logger: "bench".into(), log: Arc::new(DiscardLog) },
    );
    for batch in &batches {
        let budget = BatchBudget::for_rows(batch.len());
        let mut context = OperatorContext { state: &mut state_of_run, partition: 0, budget: &budget };
        join.process(1, batch.clone(), &mut context, &mut Output::default()).expect("loads");
    }
    run("stream-table join", &mut join, &batches, &mut state_of_run);
}
