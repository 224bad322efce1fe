//! Operators: what a task does to rows.
//!
//! Operators are synchronous and belong to one task. Batches are for speed; the meaning is per record: what an operator
//! emits does not depend on where its input was cut.

pub mod aggregate;
pub mod evaluator;
pub mod filter;
pub mod flat_map;
pub mod join;
pub mod keys;
pub mod materialize;
pub mod partition_by;
pub mod pieces;
pub mod project;

use std::fmt;
use std::sync::Arc;

use weir_sql::expr::compile::batch_budget::BatchBudget;
use weir_sql::expr::compile::{CompileContext, IgnoreErrors};
use weir_sql::functions::registry::FunctionRegistry;

use crate::batch::RowBatch;
use crate::error::Result;
use crate::processing_log::{ProcessingLog, StepReporter};
use crate::settings::QuerySettings;
use crate::state::resident_budget::ResidentBudget;
use crate::state::task_state::TaskState;

/// What an operator may touch besides its own memory.
#[derive(Debug)]
pub struct OperatorContext<'a> {
    pub state: &'a mut TaskState,
    /// The partition that the task processes.
    pub partition: i32,
    /// The memory that the step may hold for its batch.
    pub budget: &'a BatchBudget,
}

/// Takes the batches that an operator emits, in order.
#[derive(Debug, Default)]
pub struct Output {
    batches: Vec<(usize, RowBatch)>,
}

impl Output {
    /// Empty batches are dropped.
    pub fn emit(&mut self, batch: RowBatch) {
        self.emit_to(0, batch);
    }

    /// Emits on another output than the first: an operator's internal topics.
    pub fn emit_to(&mut self, port: usize, batch: RowBatch) {
        if !batch.is_empty() {
            self.batches.push((port, batch));
        }
    }

    /// What was emitted, with the output it belongs to.
    pub fn take(&mut self) -> Vec<(usize, RowBatch)> {
        std::mem::take(&mut self.batches)
    }
}

/// One step of a task. Threads: owned by the task's thread.
pub trait Operator: Send + fmt::Debug {
    /// Processes rows that arrived at an input. `port` counts the inputs of the step, left first.
    ///
    /// Errors: one that [exceeds memory](crate::error::EngineError::exceeds_memory) if several rows exceed the budget of the context. Nothing is changed
    /// then: the same rows come again, fewer at a time.
    fn process(
        &mut self,
        port: usize,
        batch: RowBatch,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<()>;

    /// Goes on with input that becomes too many rows for one batch, or with a flush, once what was emitted has been passed on.
    /// Called until it gives false.
    fn resume(&mut self, _context: &mut OperatorContext<'_>, _out: &mut Output) -> Result<bool> {
        Ok(false)
    }

    /// Rows that one input row may become, as far as that follows from the plan: input is cut accordingly.
    fn rows_per_row(&self) -> usize {
        1
    }

    /// Bytes by which the state has grown since the last commit, as far as they cannot be forgotten before the next, roughly.
    fn uncommitted_bytes(&self) -> usize {
        0
    }

    /// Called at each commit, upstream operators first: emits what was withheld and hands changed state to the store. Both go
    /// on in [`Operator::resume`] if that is too much at once.
    fn flush(&mut self, _context: &mut OperatorContext<'_>, _out: &mut Output) -> Result<()> {
        Ok(())
    }
}

/// What operators are built from.
#[derive(Clone)]
pub struct BuildContext {
    pub query_id: String,
    pub settings: QuerySettings,
    pub registry: &'static FunctionRegistry,
    /// The memory budget that the stores of all queries share.
    pub resident: Arc<ResidentBudget>,
    pub log: Arc<dyn ProcessingLog>,
    /// Units: ms since epoch, UTC.
    pub now_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
    pub random: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl fmt::Debug for BuildContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildContext").field("query_id", &self.query_id).finish_non_exhaustive()
    }
}

impl BuildContext {
    /// Where failures of a step are reported.
    pub fn reporter(&self, step: &str) -> StepReporter {
        StepReporter { logger: format!("{}.{step}", self.query_id).into(), log: self.log.clone() }
    }

    pub fn compile_context(&self, step: &str) -> CompileContext {
        CompileContext {
            reporter: Arc::new(self.reporter(step)),
            now_ms: self.now_ms.clone(),
            random: self.random.clone(),
        }
    }

    /// For values that were reported when they were new.
    pub fn silent_context(&self) -> CompileContext {
        CompileContext {
            reporter: Arc::new(IgnoreErrors),
            now_ms: self.now_ms.clone(),
            random: self.random.clone(),
        }
    }
}
