use std::sync::Arc;

use proptest::prelude::*;
use weir_broker::client::consumer::reader::PartitionRecords;
use weir_broker::record::batch::BatchIter;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};

use super::*;
use crate::batch::RowBatch;
use crate::error::Result as EngineResult;
use crate::state::backend::{StateReader, StoreId};
use crate::state::changelog::ChangelogSink;
use crate::task::processor::SourceRows;
use crate::topology::emit::OutputRecord;
use crate::topology::records::RecordColumns;

/// Notes which rows it is given: source and timestamp. Keeps so many bytes of each.
#[derive(Debug)]
struct Order(Arc<parking_lot::Mutex<Vec<(usize, i64)>>>, usize);

impl Processor for Order {
    fn decode(&mut self, _source: usize, records: RecordColumns<'_>) -> EngineResult<SourceRows> {
        let rows = RowBatch::new(Vec::new(), Vec::new(), records.timestamps.into());
        Ok(SourceRows { rows, offsets: records.offsets.into() })
    }

    fn uncommitted_bytes(&self) -> usize {
        self.0.lock().len() * self.1
    }

    fn process(&mut self, source: usize, rows: RowBatch, _out: &mut dyn Emit) -> EngineResult<()> {
        self.0.lock().extend(rows.rowtime.iter().map(|time| (source, *time)));
        Ok(())
    }

    fn interrupt_by(&mut self, _cancellation: Cancellation) {}

    fn flush(&mut self, _out: &mut dyn Emit) -> EngineResult<()> {
        Ok(())
    }

    fn log_changes(&mut self, _sink: &mut dyn ChangelogSink) -> EngineResult<()> {
        Ok(())
    }

    fn committed(&mut self, _positions: Vec<(StoreId, Offset)>) -> EngineResult<()> {
        Ok(())
    }

    fn is_stateless(&self) -> bool {
        true
    }

    fn position(&self, _store: StoreId) -> EngineResult<Option<Offset>> {
        Ok(None)
    }

    fn written_at_ms(&self) -> EngineResult<Option<i64>> {
        Ok(None)
    }

    fn restore(&mut self, _: StoreId, _: &RecordColumns<'_>, _: Offset) -> EngineResult<()> {
        Ok(())
    }

    fn clear(&mut self, _store: StoreId) -> EngineResult<()> {
        Ok(())
    }

    fn restored(&mut self) -> EngineResult<()> {
        Ok(())
    }

    fn reader(&self) -> Option<Arc<dyn StateReader>> {
        None
    }
}

#[derive(Debug)]
struct NoOutput;

impl Emit for NoOutput {
    fn record(&mut self, _target: usize, _record: OutputRecord<'_>) {}

    fn rows(&mut self, _batch: RowBatch) {}

    fn bytes(&self) -> usize {
        0
    }

    fn begin_run(&mut self, _rows: usize, _bytes_max: usize) {}

    fn is_overrun(&self) -> bool {
        false
    }
}

/// Takes no more.
#[derive(Debug)]
struct Overrun;

impl Emit for Overrun {
    fn record(&mut self, _target: usize, _record: OutputRecord<'_>) {}

    fn rows(&mut self, _batch: RowBatch) {}

    fn bytes(&self) -> usize {
        0
    }

    fn begin_run(&mut self, _rows: usize, _bytes_max: usize) {}

    fn is_overrun(&self) -> bool {
        true
    }
}

/// An input: whether it is a table, and the timestamps of its rows.
type Input = (bool, Vec<i64>);

fn fetched(source: usize, times: &[i64]) -> PartitionRecords {
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    times.iter().for_each(|time| builder.append(*time, None, Some(b"v"), &[]));
    let batches = match times.is_empty() {
        true => Vec::new(),
        false => BatchIter::new(builder.build().expect("builds")).map(|b| b.expect("valid")).collect(),
    };
    let end = times.len() as i64;
    PartitionRecords {
        partition: TopicPartition::new(format!("t{source}"), 0),
        batches,
        next_offset: end,
        high_watermark: end,
        last_stable_offset: end,
        log_start_offset: 0,
    }
}

/// The rows in the order in which a task processes them, `rows_max` in one go.
fn order(inputs: &[Input], rows_max: usize) -> Vec<(usize, i64)> {
    let seen = Arc::default();
    let id = TaskId { sub_topology: 0, partition: 0 };
    let made = inputs.iter().enumerate().map(|(source, (table, times))| {
        let mut input = PartitionInput::new(source, *table, TopicPartition::new(format!("t{source}"), 0), 0);
        input.push(fetched(source, times));
        input
    });
    let mut task = StreamTask::new(id, Box::new(Order(Arc::clone(&seen), 1)), made.collect());
    while task.process(rows_max, usize::MAX, &Cancellation::default(), &mut NoOutput).expect("processes") > 0
    {
    }
    assert!(task.is_drained());
    seen.lock().clone()
}

#[test]
fn the_earliest_row_is_next_and_of_equal_ones_that_of_the_table() {
    let inputs = [(false, vec![1, 5]), (true, vec![5])];
    assert_eq!(order(&inputs, 100), [(0, 1), (1, 5), (0, 5)]);
    let inputs = [(true, vec![5, 6]), (false, vec![5, 5])];
    assert_eq!(order(&inputs, 100), [(0, 5), (1, 5), (1, 5), (0, 6)]);
}

#[test]
fn of_equal_rows_of_streams_that_of_the_lower_source_is_next() {
    let inputs = [(false, vec![3, 3, 4]), (false, vec![3, 4])];
    assert_eq!(order(&inputs, 100), [(0, 3), (0, 3), (1, 3), (0, 4), (1, 4)]);
}

#[test]
fn an_input_that_may_have_earlier_rows_is_waited_for() {
    let seen = Arc::default();
    let id = TaskId { sub_topology: 0, partition: 0 };
    let mut ready = PartitionInput::new(0, false, TopicPartition::new("t0", 0), 0);
    ready.push(fetched(0, &[7]));
    let unknown = PartitionInput::new(1, true, TopicPartition::new("t1", 0), 0);
    let mut task = StreamTask::new(id, Box::new(Order(Arc::clone(&seen), 1)), vec![ready, unknown]);
    let go = |task: &mut StreamTask| {
        task.process(10, usize::MAX, &Cancellation::default(), &mut NoOutput).expect("processes")
    };
    assert_eq!(go(&mut task), 0);
    task.inputs_mut()[1].push(fetched(1, &[9]));
    assert_eq!(go(&mut task), 2);
    assert_eq!(*seen.lock(), [(0, 7), (1, 9)]);
}

#[test]
fn a_cancelled_task_ends_its_turn_after_one_run() {
    let seen = Arc::default();
    let id = TaskId { sub_topology: 0, partition: 0 };
    let inputs = [[1, 3], [2, 4]].iter().enumerate().map(|(source, times)| {
        let mut input = PartitionInput::new(source, false, TopicPartition::new(format!("t{source}"), 0), 0);
        input.push(fetched(source, times));
        input
    });
    let mut task = StreamTask::new(id, Box::new(Order(Arc::clone(&seen), 1)), inputs.collect());
    let cancellation = Cancellation::default();
    cancellation.cancel();
    assert_eq!(task.process(100, usize::MAX, &cancellation, &mut NoOutput).expect("processes"), 1);
    assert_eq!(*seen.lock(), [(0, 1)]);
}

proptest! {
    #[test]
    fn sorted_inputs_are_merged_by_time_then_tables_then_source(
        mut inputs in prop::collection::vec((any::<bool>(), prop::collection::vec(0_i64..6, 0..8)), 1..5),
        rows_max in 1_usize..10,
    ) {
        inputs.iter_mut().for_each(|(_, times)| times.sort_unstable());
        let mut expected: Vec<(i64, bool, usize)> = inputs
            .iter()
            .enumerate()
            .flat_map(|(source, (table, times))| times.iter().map(move |time| (*time, !table, source)))
            .collect();
        expected.sort_unstable();
        let expected: Vec<(usize, i64)> = expected.into_iter().map(|(time, _, source)| (source, time)).collect();
        prop_assert_eq!(order(&inputs, rows_max), expected);
    }
}

#[test]
fn a_task_ends_its_turn_when_its_rows_have_become_many_bytes() {
    const ROW_BYTES: usize = 1 << 20;
    let id = TaskId { sub_topology: 0, partition: 0 };
    let mut input = PartitionInput::new(0, false, TopicPartition::new("t0", 0), 0);
    input.push(fetched(0, &(0..500).collect::<Vec<i64>>()));
    let mut task = StreamTask::new(id, Box::new(Order(Arc::default(), ROW_BYTES)), vec![input]);
    let cancellation = Cancellation::default();
    let mut turn = || task.process(400, 32 * ROW_BYTES, &cancellation, &mut NoOutput).expect("processes");
    let turns: Vec<usize> = (0..5).map(|_| turn()).collect();
    // The first run finds out, and the others are short.
    assert!(turns[0] <= 64, "{turns:?}");
    assert!(turns[1..].iter().all(|rows| (32..=40).contains(rows)), "{turns:?}");
}

#[test]
fn rows_that_become_too_much_at_a_time_are_repeated() {
    let id = TaskId { sub_topology: 0, partition: 0 };
    let mut input = PartitionInput::new(0, false, TopicPartition::new("t0", 0), 0);
    input.push(fetched(0, &[1, 2, 3]));
    let mut task = StreamTask::new(id, Box::new(Order(Arc::default(), 1)), vec![input]);
    let error = task.process(10, usize::MAX, &Cancellation::default(), &mut Overrun).expect_err("too much");
    assert_eq!(error.retry(), crate::error::query::Retry::Backoff, "{error}");
}
