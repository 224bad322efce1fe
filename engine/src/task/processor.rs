//! What a task runs, as the task sees it.

use std::fmt;
use std::sync::Arc;

use arrow::buffer::ScalarBuffer;
use weir_broker::ids::Offset;
use weir_broker::record::reader::Header;
use weir_sql::plan::physical::QueryPlan;

use crate::batch::RowBatch;
use crate::cancellation::Cancellation;
use crate::error::Result;
use crate::processing_log::ProcessingLog;
use crate::query::metrics::QueryMetrics;
use crate::query::settings::QuerySettings;
use crate::state::backend::{StateBackend, StateReader, StoreId, StoreSpec};
use crate::state::changelog::ChangelogSink;
use crate::task::records::RecordColumns;
use crate::topology::materialization::{Materialization, MaterializedReader};

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

/// One record on its way to a topic.
#[derive(Clone, Copy, Debug)]
pub struct OutputRecord<'a> {
    /// Units: ms since epoch.
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    /// Bytes at the end of the key that are a window's bounds: all windows of a key go to one partition.
    pub window_bytes: usize,
    /// None: the key decides.
    pub partition: Option<i32>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [Header<'a>],
}

/// Decoded rows. Shape: one offset per row.
#[derive(Clone, Debug)]
pub struct SourceRows {
    pub rows: RowBatch,
    pub offsets: ScalarBuffer<Offset>,
}

/// Takes what a sub-topology emits.
pub trait Output: fmt::Debug {
    /// A record for target `target`, to the partition of its key.
    fn record(&mut self, target: usize, record: OutputRecord<'_>);

    /// Rows for the client of a query without a sink.
    fn rows(&mut self, batch: RowBatch);

    /// Bytes of everything taken so far, roughly.
    fn bytes(&self) -> usize;

    /// What comes next was made of so many rows. Of several rows no more than so many bytes are taken.
    fn begin_run(&mut self, rows: usize, bytes_max: usize);

    /// True if the rows of a run became more than is taken. The rest is lost, and the run has to be repeated.
    fn is_overrun(&self) -> bool;
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
    fn process(&mut self, source: usize, rows: RowBatch, out: &mut dyn Output) -> Result<()>;

    /// Called before each commit: emits what was held back, makes bytes of changed state.
    fn flush(&mut self, out: &mut dyn Output) -> Result<()>;

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

/// Makes the processors of a query. Threads: any; each processor then belongs to one worker.
pub trait ProcessorFactory: Send + Sync + fmt::Debug {
    /// Topic names are complete: those of internal topics begin with the application id.
    fn sub_topologies(&self) -> &[SubTopologySpec];

    /// True if the outcome is the same for every cut into batches only if each record runs through all sub-topologies before
    /// the next.
    fn record_at_a_time(&self) -> bool;

    /// Where the query reports rows that fail.
    fn processing_log(&self) -> Arc<dyn ProcessingLog>;

    /// The topology as text.
    fn describe(&self) -> Result<String>;

    /// Where pull queries find the result, if it is a table.
    fn materialization(&self) -> Option<&Materialization>;

    /// Reads entries of the store that [`ProcessorFactory::materialization`] names.
    fn materialized_reader(&self) -> Result<MaterializedReader>;

    /// Shape: `backend` has the stores of the sub-topology, in order.
    fn create(
        &self,
        sub_topology: u32,
        partition: i32,
        backend: Box<dyn StateBackend>,
    ) -> Result<Box<dyn Processor>>;
}

/// Turns plans into what tasks run.
pub trait PlanCompiler: Send + Sync + fmt::Debug {
    fn compile(&self, request: &CompileRequest<'_>) -> Result<Arc<dyn ProcessorFactory>>;
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
