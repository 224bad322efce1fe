//! A stream's topic, from its beginning to its present end, as a DataFusion table.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use parking_lot::Mutex;
use weir_sql::metastore::source::Source;
use weir_sql::plan::physical::{PLAN_VERSION, QueryPlan, QueryRole, SourceStep, Step};
use weir_sql::plan::pull::ScanColumn;

use crate::pull::store_scan::scan_batch;
use crate::push::subscription::PushSubscription;

/// The plan of a transient query that reads a source as it is.
pub fn source_plan(source: &Source, query_id: String) -> QueryPlan {
    QueryPlan {
        version: PLAN_VERSION,
        query_id,
        sources: vec![source.name.clone()],
        sink: None,
        role: QueryRole::Transient,
        root: Step::Source(SourceStep::from(source)),
    }
}

/// A running scan. Read once.
#[derive(Debug)]
pub struct StreamPartition {
    pub schema: SchemaRef,
    pub columns: Vec<ScanColumn>,
    pub rows: Mutex<Option<PushSubscription>>,
}

impl PartitionStream for StreamPartition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let subscription = self.rows.lock().take();
        let (schema, columns) = (self.schema.clone(), self.columns.clone());
        let batches = futures::stream::unfold(subscription, move |subscription| {
            let (schema, columns) = (schema.clone(), columns.clone());
            async move {
                let mut subscription = subscription?;
                let Some(rows) = subscription.next().await else {
                    let failure = subscription.failure()?;
                    return Some((Err(DataFusionError::Execution(failure)), None));
                };
                // Records without a value are no rows of a stream.
                let rows = match &rows.absent {
                    None => Ok(rows),
                    Some(absent) => {
                        let present = !absent;
                        rows.filter(&present)
                    }
                };
                let batch = rows
                    .and_then(|rows| scan_batch(&rows, subscription.schema(), &columns, &schema))
                    .map_err(|e| DataFusionError::External(Box::new(e)));
                Some((batch, Some(subscription)))
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches))
    }
}
