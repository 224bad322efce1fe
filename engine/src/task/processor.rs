//! What a task runs, as the task sees it.

use std::fmt;
use std::sync::Arc;

use arrow::buffer::ScalarBuffer;
use weir_broker::ids::Offset;
use weir_sql::plan::physical::QueryPlan;

use crate::batch::RowBatch;
use crate::cancellation::Cancellation;
use crate::error::Result;
use crate::metrics::QueryMetrics;
use crate::settings::QuerySettings;
use crate::state::backend::{StateReader, StoreId, StoreSpec};
use crate::state::changelog::ChangelogSink;
use crate::topology::emit::Emit;
use crate::topology::records::RecordColumns;

/// A topic that a sub-topology reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceTopic {
    pub topic: Arc<str>,
    /// Tables are read from the beginning whatever `auto.offset.reset` says, and before streams of the same time.
    pub table: bool,
    /// A repartition topic of the query itself.
    pub internal: bool,
}

/// A topic that a sub-topology writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetTopic {
    pub topic: Arc<str>,
    /// A repartition topic of the query itself.
    pub internal: bool,
}

/// A topic that holds the updates of a store, from which it is restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangelogTopic {
    pub store: StoreId,
    pub topic: Arc<str>,
}

/// Decoded rows. Shape: one offset per row.
#[derive(Clone, Debug)]
pub struct SourceRows {
    pub rows: RowBatch,
    pub offsets: ScalarBuffer<Offset>,
}

/// A sub-topology for one partition: decodes, computes, keeps state. Threads: owned by one worker.
pub trait Processor: Send + fmt::Debug {
    /// Rows of source `source`. Records that cannot be read are reported and left out.
    fn decode(&mut self, source: usize, records: RecordColumns<'_>) -> Result<SourceRows>;

    /// Long steps end with [`EngineError::Interrupted`](crate::error::EngineError) once this is
    /// interrupted.
    fn interrupt_by(&mut self, cancellation: Cancellation);

    /// Rows that one row may become, as far as that is known: [`Processor::process`] takes fewer rows at a time then.
    fn rows_per_row(&self) -> usize {
        1
    }

    /// Bytes by which the state has grown since the last commit, roughly.
    fn uncommitted_bytes(&self) -> usize {
        0
    }

    /// Processes rows of source `source`, which come in the order of the task.
    fn process(&mut self, source: usize, rows: RowBatch, out: &mut dyn Emit) -> Result<()>;

    /// Called before each commit: emits what was held back, makes bytes of changed state.
    fn flush(&mut self, out: &mut dyn Emit) -> Result<()>;

    /// Hands every uncommitted update of a logged store to the changelog.
    fn log_changes(&mut self, sink: &mut dyn ChangelogSink) -> Result<()>;

    /// The transaction has succeeded: uncommitted updates become committed, at these changelog positions.
    fn committed(&mut self, positions: Vec<(StoreId, Offset)>) -> Result<()>;

    /// True if the task keeps nothing between batches, so that it may go on while a commit is under way.
    fn is_stateless(&self) -> bool;

    /// Offset from which a store must be restored. None: from the beginning.
    fn position(&self, store: StoreId) -> Result<Option<Offset>>;

    /// Wall-clock time of the last commit in the stores. Units: ms since epoch. None: not known.
    fn written_at_ms(&self) -> Result<Option<i64>>;

    /// Applies changelog records; `next` is the offset after the last of them.
    fn restore(&mut self, store: StoreId, records: &RecordColumns<'_>, next: Offset) -> Result<()>;

    /// Forgets a store, before it is restored from the beginning.
    fn clear(&mut self, store: StoreId) -> Result<()>;

    /// Every store is restored; processing begins.
    fn restored(&mut self) -> Result<()>;

    /// Committed content for pull queries; None if there is no store.
    fn reader(&self) -> Option<Arc<dyn StateReader>>;
}

/// A sub-topology before it is given a partition.
#[derive(Clone, Debug, Default)]
pub struct SubTopologySpec {
    pub sources: Vec<SourceTopic>,
    pub targets: Vec<TargetTopic>,
    pub stores: Vec<StoreSpec>,
    pub changelogs: Vec<ChangelogTopic>,
}

/// A query to compile.
#[derive(Clone, Debug)]
pub struct CompileRequest<'a> {
    pub plan: &'a QueryPlan,
    /// Names of internal topics begin with it.
    pub application_id: &'a str,
    pub settings: QuerySettings,
    /// Where failing rows are counted.
    pub metrics: Arc<QueryMetrics>,
}
