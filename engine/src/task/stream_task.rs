//! A task: takes rows from its inputs in the order of their timestamps and runs them through its sub-topology.

use std::fmt;

use weir_broker::ids::{Offset, TopicPartition};

use crate::cancellation::Cancellation;
use crate::error::EngineError;
use crate::error::query::{Result, RuntimeError};
use crate::task::input::PartitionInput;
use crate::task::processor::Processor;
use crate::task::run_size::{RUN_BYTES_MAX, RunSize};
use crate::topology::emit::Emit;

/// A sub-topology and a partition. Displays as `0_3`, the name of the task's state directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    pub sub_topology: u32,
    pub partition: i32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.sub_topology, self.partition)
    }
}

/// One sub-topology at work on one partition.
///
/// Invariant: which row is next depends on the inputs' rows only, not on how they were cut into batches: it is the row with
/// the lowest timestamp among the inputs' first rows, of tables before streams, of earlier sources before later ones. An
/// input without rows holds the task up unless it is known to have none.
#[derive(Debug)]
pub struct StreamTask {
    pub id: TaskId,
    processor: Box<dyn Processor>,
    inputs: Vec<PartitionInput>,
    /// Rows were processed since the last commit was asked for.
    dirty: bool,
    /// Rows of a stream were.
    fed: bool,
    stream_time: i64,
    run_size: RunSize,
}

impl StreamTask {
    pub fn new(id: TaskId, processor: Box<dyn Processor>, inputs: Vec<PartitionInput>) -> StreamTask {
        let run_size = RunSize::new();
        StreamTask { id, processor, inputs, dirty: false, fed: false, stream_time: 0, run_size }
    }

    /// The same task, taking all the rows that there are from the beginning.
    pub fn with_whole_runs(self) -> StreamTask {
        StreamTask { run_size: RunSize::whole(), ..self }
    }

    pub fn processor(&self) -> &dyn Processor {
        self.processor.as_ref()
    }

    pub fn processor_mut(&mut self) -> &mut dyn Processor {
        self.processor.as_mut()
    }

    pub fn inputs(&self) -> &[PartitionInput] {
        &self.inputs
    }

    pub fn inputs_mut(&mut self) -> &mut [PartitionInput] {
        &mut self.inputs
    }

    pub fn set_inputs(&mut self, inputs: Vec<PartitionInput>) {
        self.inputs = inputs;
    }

    /// The highest timestamp seen since the task was made. Units: ms since epoch.
    pub fn stream_time(&self) -> i64 {
        self.stream_time
    }

    /// Everything before these offsets of its input partitions is processed.
    pub fn source_positions(&self) -> Vec<(TopicPartition, Offset)> {
        self.inputs.iter().map(|i| (i.partition().clone(), i.position())).collect()
    }

    /// Bytes by which the state has grown since the last commit, roughly.
    pub fn uncommitted_bytes(&self) -> usize {
        self.processor.uncommitted_bytes()
    }

    /// True if rows were processed, or offsets passed, since the last commit was asked for.
    pub fn needs_commit(&self) -> bool {
        self.dirty || self.inputs.iter().any(PartitionInput::has_uncommitted)
    }

    /// The commit that was asked for has succeeded.
    pub fn confirm_commit(&mut self) {
        self.inputs.iter_mut().for_each(PartitionInput::confirm_commit);
    }

    /// The next commit has the offsets of all inputs, as if all were new.
    pub fn renew_offsets(&mut self) {
        self.inputs.iter_mut().for_each(PartitionInput::renew_offset);
    }

    /// True if rows of a stream were processed since the last commit was asked for: rows of a table alone may be no more than
    /// the other side of a join.
    pub fn is_fed(&self) -> bool {
        self.fed
    }

    /// True if inputs that read the same partition have read it equally far, so that one offset says where to go on.
    pub fn is_aligned(&self) -> bool {
        let twin = |a: &PartitionInput, b: &PartitionInput| {
            a.partition() != b.partition() || a.position() == b.position()
        };
        (1..self.inputs.len()).all(|i| self.inputs[..i].iter().all(|other| twin(other, &self.inputs[i])))
    }

    /// True if every input is read to its end and processed.
    pub fn is_drained(&self) -> bool {
        self.inputs.iter().all(|i| i.is_caught_up() && !i.has_rows() && i.buffered_bytes() == 0)
    }

    pub fn is_finished(&self) -> bool {
        self.inputs.iter().all(PartitionInput::is_finished)
    }

    /// Processes up to about `rows_max` rows, fewer if it is cancelled or if they become more than `bytes_max` bytes of output and
    /// state; gives how many.
    pub fn process(
        &mut self,
        rows_max: usize,
        bytes_max: usize,
        cancellation: &Cancellation,
        out: &mut dyn Emit,
    ) -> Result<usize> {
        let mut rows = 0;
        let made = |processor: &dyn Processor, out: &dyn Emit| out.bytes() + processor.uncommitted_bytes();
        let before = made(self.processor.as_ref(), &*out);
        let (decoded_max, rows_max) = (rows_max, (rows_max / self.processor.rows_per_row()).max(1));
        while rows < rows_max {
            for input in &mut self.inputs {
                input.decode(self.processor.as_mut(), decoded_max)?;
            }
            let Some((next, limit)) = self.choose() else { break };
            let input = &mut self.inputs[next];
            let source = input.source;
            let run_max = self.run_size.rows().min(rows_max - rows);
            let Some(run) = input.take_run(limit, run_max) else { break };
            let (count, before_run) = (run.len(), made(self.processor.as_ref(), &*out));
            rows += count;
            self.dirty = true;
            self.fed |= !input.table;
            self.stream_time = run.rowtime.iter().fold(self.stream_time, |time, t| time.max(*t));
            out.begin_run(count, RUN_BYTES_MAX);
            let processed = self.processor.process(source, run, out);
            let overrun = EngineError::RunTooLarge { bytes_max: RUN_BYTES_MAX };
            let processed = processed.and(if out.is_overrun() { Err(overrun) } else { Ok(()) });
            processed.map_err(RuntimeError::task("process rows"))?;
            let after = made(self.processor.as_ref(), &*out);
            self.run_size.observe(count, after.saturating_sub(before_run));
            // At least one run, so that inputs get to where they can be committed.
            if cancellation.is_cancelled() || after.saturating_sub(before) >= bytes_max {
                break;
            }
        }
        Ok(rows)
    }

    /// The input whose row is next, and the highest timestamp up to which its rows remain next.
    fn choose(&self) -> Option<(usize, i64)> {
        if self.inputs.iter().any(|i| !i.has_rows() && !i.is_caught_up()) {
            return None;
        }
        let rank = |i: &usize| (self.inputs[*i].head_time(), !self.inputs[*i].table, *i);
        let with_rows = || (0..self.inputs.len()).filter(|i| self.inputs[*i].has_rows());
        let next = with_rows().min_by_key(rank)?;
        let rival = with_rows().filter(|i| *i != next).min_by_key(rank);
        let limit = match rival.and_then(|r| Some((r, self.inputs[r].head_time()?))) {
            None => i64::MAX,
            Some((rival, time)) => {
                let wins_ties = (!self.inputs[next].table, next) < (!self.inputs[rival].table, rival);
                if wins_ties { time.min(i64::MAX - 1) } else { time.saturating_sub(1) }
            }
        };
        Some((next, limit))
    }

    /// Before a commit: emits what was held back.
    pub fn flush(&mut self, out: &mut dyn Emit) -> Result<()> {
        self.processor.flush(out).map_err(RuntimeError::task("flush state"))
    }

    /// The source offsets to commit, and marks everything so far as asked for.
    pub fn take_offsets(&mut self, offsets: &mut Vec<(TopicPartition, Offset)>) {
        self.dirty = false;
        self.fed = false;
        for input in &mut self.inputs {
            if let Some(position) = input.take_uncommitted() {
                offsets.push((input.partition().clone(), position));
            }
        }
    }
}

#[cfg(test)]
mod tests;
