//! Runs pull queries.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::execute_stream;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::{SessionConfig, SessionContext};
use parking_lot::Mutex;
use weir_sql::expr::compile::CompileContext;
use weir_sql::metastore::Metastore;
use weir_sql::plan::physical::ResultKind;
use weir_sql::plan::pull::{PullPlan, PullScan};

use crate::engine::Engine;
use crate::error::query::RuntimeError;
use crate::pull::access::store_access;
use crate::pull::planner::{PullPlanner, scans};
use crate::pull::source::{StreamPartition, source_plan};
use crate::pull::store_scan::{StorePartition, StoreScan, scan_schema};
use crate::query::handle::QueryHandle;
use crate::query::status::QueryState;
use crate::settings::QueryOptions;

/// How long a pull query waits for the state of a query that was started just now.
const READY_WITHIN: Duration = Duration::from_secs(10);
const READY_POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Why a pull query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    #[error("source \"{source_name}\" does not exist")]
    UnknownSource { source_name: String },
    #[error("table \"{table}\" is not materialized by a running query")]
    NotMaterialized { table: String },
    #[error("state of table \"{table}\" is not available while its query is {state}")]
    NotReady { table: String, state: &'static str },
    #[error("topic of a stream cannot be read")]
    Stream(#[from] RuntimeError),
    #[error("state cannot be read")]
    State(#[from] crate::error::EngineError),
    #[error("query cannot be run")]
    Run(#[from] DataFusionError),
}

/// Plans and runs pull queries with DataFusion, one thread each.
pub struct PullExecutor {
    session: SessionContext,
    context: CompileContext,
}

impl fmt::Debug for PullExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullExecutor").finish_non_exhaustive()
    }
}

impl PullExecutor {
    /// `context` is what the expressions of queries are compiled with.
    pub fn new(context: CompileContext) -> PullExecutor {
        let config = SessionConfig::new().with_target_partitions(1).with_information_schema(false);
        PullExecutor { session: SessionContext::new_with_config(config), context }
    }

    /// Starts a pull query. Its rows come as [`PullPlan::columns`] says; nothing more is read than the stream is asked for.
    ///
    /// Threads: within a tokio runtime.
    pub async fn run(
        &self,
        plan: &PullPlan,
        engine: &Engine,
        metastore: &Metastore,
    ) -> Result<SendableRecordBatchStream, PullError> {
        let mut tables: VecDeque<Arc<dyn TableProvider>> = VecDeque::new();
        for scan in scans(&plan.root) {
            let partition = open(scan, engine, metastore).await?;
            let schema = partition.schema().clone();
            tables.push_back(Arc::new(StreamingTable::try_new(schema, vec![partition])?));
        }
        let logical = PullPlanner::new(&self.context, tables).plan(&plan.root)?;
        let state = self.session.state();
        let physical = state.create_physical_plan(&logical).await?;
        Ok(execute_stream(physical, self.session.task_ctx())?)
    }
}

async fn open(
    scan: &PullScan,
    engine: &Engine,
    metastore: &Metastore,
) -> Result<Arc<dyn PartitionStream>, PullError> {
    match scan.kind {
        ResultKind::Table => open_table(scan, engine).await,
        ResultKind::Stream => {
            let source = metastore
                .source(&scan.source)
                .ok_or_else(|| PullError::UnknownSource { source_name: scan.source.clone() })?;
            let plan = source_plan(source, format!("pull_{}", scan.source));
            let rows = engine.scan_query(plan, QueryOptions::default(), None).await?;
            Ok(Arc::new(StreamPartition {
                schema: scan_schema(&scan.columns),
                columns: scan.columns.clone(),
                rows: Mutex::new(Some(rows)),
            }))
        }
    }
}

async fn open_table(scan: &PullScan, engine: &Engine) -> Result<Arc<dyn PartitionStream>, PullError> {
    let missing = || PullError::NotMaterialized { table: scan.source.clone() };
    let query = materializing_query(engine, &scan.source).ok_or_else(missing)?;
    let materialization = query.factory.materialization().cloned().ok_or_else(missing)?;
    wait_until_ready(&scan.source, &query).await?;
    let access = store_access(&materialization, &scan.columns, scan.filter.as_ref())?;
    Ok(Arc::new(StorePartition(Arc::new(StoreScan {
        schema: scan_schema(&scan.columns),
        columns: scan.columns.clone(),
        table: materialization.schema.clone(),
        query,
        sub_topology: materialization.sub_topology as u32,
        store: materialization.store,
        access,
    }))))
}

/// A query that starts or restores has its state soon: waits for it, for a while.
async fn wait_until_ready(table: &str, query: &QueryHandle) -> Result<(), PullError> {
    let deadline = tokio::time::Instant::now() + READY_WITHIN;
    loop {
        match query.state() {
            QueryState::Running | QueryState::Paused => return Ok(()),
            QueryState::Restoring | QueryState::Starting | QueryState::Restarting
                if tokio::time::Instant::now() < deadline =>
            {
                tokio::time::sleep(READY_POLL_INTERVAL).await;
            }
            state @ (QueryState::Restoring
            | QueryState::Starting
            | QueryState::Restarting
            | QueryState::Error) => {
                return Err(PullError::NotReady { table: table.to_owned(), state: state.name() });
            }
        }
    }
}

/// The query whose state a table is: the one that writes it, or that of a SOURCE TABLE.
pub(crate) fn materializing_query(engine: &Engine, table: &str) -> Option<Arc<QueryHandle>> {
    engine.query_of_sink(table).or_else(|| engine.query_of_source_table(table))
}
