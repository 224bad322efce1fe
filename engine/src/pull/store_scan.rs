//! Reads rows of a table out of the stores of its query's tasks.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use tokio::sync::mpsc;
use weir_sql::plan::pull::ScanColumn;
use weir_sql::schema::{LogicalSchema, ROWOFFSET, ROWPARTITION, ROWTIME, WINDOWEND, WINDOWSTART};

use crate::batch::RowBatch;
use crate::error::{EngineError, Result};
use crate::pull::access::StoreAccess;
use crate::query::handle::QueryHandle;
use crate::state::backend::{StateReader, StoreId};
use crate::topology::materialization::MaterializedReader;

/// Entries read and decoded at a time.
const CHUNK_ROWS: usize = 4_096;
/// Bytes of entries read at a time, about.
const CHUNK_BYTES: usize = 4 << 20;
/// Chunks that wait for their reader. Policy when full: the scan waits.
const CHUNKS_WAITING: usize = 2;

/// A read of a table's state. One store after the other, each as it was at one commit.
#[derive(Debug)]
pub struct StoreScan {
    pub schema: SchemaRef,
    pub columns: Vec<ScanColumn>,
    /// The columns of the table.
    pub table: LogicalSchema,
    pub query: Arc<QueryHandle>,
    pub sub_topology: u32,
    pub store: StoreId,
    pub access: StoreAccess,
}

/// The Arrow schema of a scan's columns, under the names of the query.
pub fn scan_schema(columns: &[ScanColumn]) -> SchemaRef {
    let fields = columns.iter().map(|c| Field::new(&c.name, c.sql_type.to_arrow(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Rows as the columns of a scan.
pub fn scan_batch(
    rows: &RowBatch,
    table: &LogicalSchema,
    columns: &[ScanColumn],
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let arrays = columns.iter().map(|c| column(rows, table, &c.column)).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?)
}

fn column(rows: &RowBatch, table: &LogicalSchema, name: &str) -> Result<ArrayRef> {
    if let Some(at) = table.columns().position(|c| c.name == name) {
        let keys = rows.key.len();
        return Ok(if at < keys { rows.key[at].clone() } else { rows.value[at - keys].clone() });
    }
    let missing = || EngineError::Plan { reason: format!("rows have no column {name}") };
    Ok(match name {
        ROWTIME => Arc::new(Int64Array::new(rows.rowtime.clone(), None)),
        WINDOWSTART => {
            Arc::new(Int64Array::new(rows.window.as_ref().ok_or_else(missing)?.start.clone(), None))
        }
        WINDOWEND => Arc::new(Int64Array::new(rows.window.as_ref().ok_or_else(missing)?.end.clone(), None)),
        ROWPARTITION => {
            let origin = rows.origin.as_ref().ok_or_else(missing)?;
            Arc::new(arrow::array::Int32Array::new(origin.partition.clone(), None))
        }
        ROWOFFSET => {
            Arc::new(Int64Array::new(rows.origin.as_ref().ok_or_else(missing)?.offset.clone(), None))
        }
        _ => return Err(missing()),
    })
}

impl StoreScan {
    /// The readers of all tasks. A task that has just failed has none: without its rows an answer would be wrong.
    fn readers(&self) -> Result<Vec<Arc<dyn StateReader>>> {
        let readers = self.query.readers();
        let of_table = readers.into_iter().filter(|(task, _)| task.sub_topology == self.sub_topology);
        let readers: Vec<_> = of_table.map(|(_, r)| r).collect();
        let expected = self.query.task_count(self.sub_topology);
        if readers.len() < expected {
            let reason = format!("{} of {expected} tasks can be read just now", readers.len());
            return Err(EngineError::Store { store: self.query.query_id.clone(), reason });
        }
        Ok(readers)
    }

    fn decode(
        &self,
        reader: &mut MaterializedReader,
        entries: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<Option<RecordBatch>> {
        let rows = reader.read(entries.iter().map(|(k, v)| (k.as_slice(), v.as_slice())))?;
        if rows.is_empty() {
            return Ok(None);
        }
        scan_batch(&rows, &self.table, &self.columns, &self.schema).map(Some)
    }

    /// The rows of these keys, at once.
    pub fn look_up(&self, keys: &[Vec<u8>]) -> Result<Vec<RecordBatch>> {
        let mut decoder = self.query.factory.materialized_reader()?;
        let asked: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let mut entries = Vec::new();
        for reader in self.readers()? {
            let found = reader.multi_get(self.store, &asked)?;
            entries.extend(keys.iter().zip(found).filter_map(|(key, value)| Some((key.clone(), value?))));
        }
        let chunks = entries.chunks(CHUNK_ROWS).map(|chunk| self.decode(&mut decoder, chunk));
        chunks.filter_map(Result::transpose).collect()
    }

    /// Sends the rows of the ranges, until the receiver is gone or the query is dropped.
    fn scan(&self, chunks: &mpsc::Sender<datafusion::error::Result<RecordBatch>>) -> Result<()> {
        let StoreAccess::Ranges(ranges) = &self.access else { return Ok(()) };
        let mut decoder = self.query.factory.materialized_reader()?;
        for reader in self.readers()? {
            for range in ranges {
                if chunks.is_closed() {
                    return Ok(());
                }
                self.query.cancellation().check()?;
                let (mut entries, mut bytes) = (Vec::new(), 0);
                let mut outcome = Ok(());
                let mut closed = false;
                let mut send = |entries: &mut Vec<(Vec<u8>, Vec<u8>)>, outcome: &mut Result<()>| {
                    let decoded = self.decode(&mut decoder, entries);
                    entries.clear();
                    match decoded {
                        Ok(None) => ControlFlow::Continue(()),
                        Ok(Some(batch)) => match chunks.blocking_send(Ok(batch)) {
                            Ok(()) => ControlFlow::Continue(()),
                            Err(_) => {
                                closed = true;
                                ControlFlow::Break(())
                            }
                        },
                        Err(error) => {
                            *outcome = Err(error);
                            ControlFlow::Break(())
                        }
                    }
                };
                reader.scan(self.store, range, &mut |key, value| {
                    entries.push((key.to_vec(), value.to_vec()));
                    bytes += key.len() + value.len();
                    if entries.len() < CHUNK_ROWS && bytes < CHUNK_BYTES {
                        return ControlFlow::Continue(());
                    }
                    if let Err(error) = self.query.cancellation().check() {
                        outcome = Err(error);
                        return ControlFlow::Break(());
                    }
                    if chunks.is_closed() {
                        // Also if none of the rows is sent.
                        entries.clear();
                        return ControlFlow::Break(());
                    }
                    bytes = 0;
                    send(&mut entries, &mut outcome)
                })?;
                if outcome.is_ok() && !entries.is_empty() {
                    let _ = send(&mut entries, &mut outcome);
                }
                outcome?;
                if closed {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn external(error: EngineError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// A scan as a partition of a DataFusion table.
#[derive(Clone, Debug)]
pub struct StorePartition(pub Arc<StoreScan>);

impl PartitionStream for StorePartition {
    fn schema(&self) -> &SchemaRef {
        &self.0.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = self.0.schema.clone();
        if let StoreAccess::Keys(keys) = &self.0.access {
            let found = match self.0.look_up(keys) {
                Ok(batches) => batches.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(external(error))],
            };
            return Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(found)));
        }
        let (sender, mut chunks) = mpsc::channel(CHUNKS_WAITING);
        let scan = self.0.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = scan.scan(&sender) {
                let _ = sender.blocking_send(Err(external(error)));
            }
        });
        let stream = futures::stream::poll_fn(move |context| chunks.poll_recv(context));
        Box::pin(RecordBatchStreamAdapter::new(schema, stream))
    }
}
