//! Topologies as what tasks run.

use std::sync::Arc;

use arrow::array::Int32Array;
use arrow::buffer::ScalarBuffer;
use weir_broker::ids::Offset;
use weir_broker::record::reader::{Header, Headers};
use weir_sql::functions::registry::FunctionRegistry;
use weir_sql::plan::physical::{QueryPlan, ResultKind};

use crate::batch::{RecordHeaders, RowBatch};
use crate::cancellation::Cancellation;
use crate::error::{EngineError, Result};
use crate::operator::BuildContext;
use crate::processing_log::{CountingLog, ProcessingLog};
use crate::query::naming::changelog_topic;
use crate::serde::encoded::EncodedRows;
use crate::state::backend::{StateBackend, StateReader, StoreId};
use crate::state::changelog::ChangelogSink;
use crate::state::resident_budget::ResidentBudget;
use crate::task::processor::{
    ChangelogTopic, CompileRequest, Output, OutputRecord, PlanCompiler, Processor, ProcessorFactory,
    SourceRows, SourceTopic, SubTopologySpec, TargetTopic,
};
use crate::task::records::RecordColumns;
use crate::topology::builder::build;
use crate::topology::describe::describe;
use crate::topology::materialization::{Materialization, MaterializedReader};
use crate::topology::sink::SinkRecords;
use crate::topology::source::RecordSlice;
use crate::topology::sub_topology::{SubTopology, TopicName, TopicReader};
use crate::topology::task_topology::{InternalRecords, TaskOutput, TaskTopology};
use crate::topology::{OutputCaching, Topology, TopologyConfig};

/// What plans are compiled with.
#[derive(Clone)]
pub struct TopologyCompiler {
    pub config: TopologyConfig,
    /// The memory budget that the stores of all queries share.
    pub resident: Arc<ResidentBudget>,
    pub log: Arc<dyn ProcessingLog>,
    /// Units: ms since epoch, UTC.
    pub now_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
    pub random: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl std::fmt::Debug for TopologyCompiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopologyCompiler").field("config", &self.config).finish_non_exhaustive()
    }
}

impl PlanCompiler for TopologyCompiler {
    fn compile(&self, request: &CompileRequest<'_>) -> Result<Arc<dyn ProcessorFactory>> {
        let CompileRequest { plan, application_id, settings, metrics } = request;
        let context = BuildContext {
            query_id: plan.query_id.clone(),
            settings: *settings,
            registry: FunctionRegistry::standard(),
            resident: self.resident.clone(),
            log: Arc::new(CountingLog { metrics: metrics.clone(), log: self.log.clone() }),
            now_ms: self.now_ms.clone(),
            random: self.random.clone(),
        };
        let caching = match settings.cache_bytes {
            None => self.config.caching,
            Some(0) => OutputCaching::Off,
            Some(_) => OutputCaching::On,
        };
        let config = TopologyConfig { caching, ..self.config };
        let topology = build(plan, config, &context)?;
        let specs = topology.sub_topologies.iter().map(|s| spec(s, application_id)).collect();
        let Topology { materialization, record_at_a_time, .. } = topology;
        let plan = (*plan).clone();
        Ok(Arc::new(TopologyFactory { plan, config, context, specs, materialization, record_at_a_time }))
    }
}

/// Builds a plan's topology anew for every task.
#[derive(Debug)]
pub struct TopologyFactory {
    plan: QueryPlan,
    config: TopologyConfig,
    context: BuildContext,
    specs: Vec<SubTopologySpec>,
    materialization: Option<Materialization>,
    record_at_a_time: bool,
}

impl TopologyFactory {
    fn topology(&self) -> Result<Topology> {
        build(&self.plan, self.config, &self.context)
    }
}

impl ProcessorFactory for TopologyFactory {
    fn sub_topologies(&self) -> &[SubTopologySpec] {
        &self.specs
    }

    fn record_at_a_time(&self) -> bool {
        self.record_at_a_time
    }

    fn processing_log(&self) -> Arc<dyn ProcessingLog> {
        self.context.log.clone()
    }

    fn describe(&self) -> Result<String> {
        Ok(describe(&self.topology()?))
    }

    fn materialization(&self) -> Option<&Materialization> {
        self.materialization.as_ref()
    }

    fn materialized_reader(&self) -> Result<MaterializedReader> {
        let materialization = self.materialization.as_ref().ok_or_else(|| EngineError::Plan {
            reason: format!("query {} keeps no table", self.plan.query_id),
        })?;
        MaterializedReader::new(materialization, &self.context)
    }

    fn create(
        &self,
        sub_topology: u32,
        partition: i32,
        backend: Box<dyn StateBackend>,
    ) -> Result<Box<dyn Processor>> {
        let mut topology = self.topology()?;
        let index = sub_topology as usize;
        if index >= topology.sub_topologies.len() {
            return Err(EngineError::Plan { reason: format!("there is no sub-topology {index}") });
        }
        let sub = topology.sub_topologies.swap_remove(index);
        Ok(Box::new(TopologyProcessor::new(sub, partition, backend)))
    }
}

fn full_name(topic: &TopicName, application_id: &str) -> Arc<str> {
    match topic {
        TopicName::External(name) => name.as_str().into(),
        TopicName::Internal(name) => format!("{application_id}-{name}").into(),
    }
}

fn spec(sub: &SubTopology, application_id: &str) -> SubTopologySpec {
    let sources = sub.sources.iter().map(|node| SourceTopic {
        topic: full_name(&node.topic, application_id),
        table: matches!(&node.reader, TopicReader::External(r) if r.kind() == ResultKind::Table),
        internal: matches!(node.topic, TopicName::Internal(_)),
    });
    let targets = sub.targets.iter().filter_map(|t| t.topic()).map(|topic| TargetTopic {
        topic: full_name(&topic, application_id),
        internal: matches!(topic, TopicName::Internal(_)),
    });
    let changelogs =
        sub.stores.iter().enumerate().filter(|(_, s)| s.changelog).map(|(at, store)| ChangelogTopic {
            store: StoreId(at as u32),
            topic: changelog_topic(application_id, &store.name).into(),
        });
    SubTopologySpec {
        sources: sources.collect(),
        targets: targets.collect(),
        stores: sub.stores.clone(),
        changelogs: changelogs.collect(),
    }
}

/// A sub-topology of operators in a task.
#[derive(Debug)]
pub struct TopologyProcessor {
    task: TaskTopology,
    /// The topics written, by their place among the targets that are topics.
    targets: Vec<TopicName>,
    stateless: bool,
}

impl TopologyProcessor {
    fn new(sub: SubTopology, partition: i32, backend: Box<dyn StateBackend>) -> TopologyProcessor {
        let targets = sub.targets.iter().filter_map(|t| t.topic()).collect();
        let stateless = sub.stores.is_empty();
        TopologyProcessor { task: TaskTopology::new(sub, partition, backend), targets, stateless }
    }
}

/// How records get their partitions.
struct Placement {
    /// Bytes at the end of each key that do not count.
    window_bytes: usize,
    /// One per record; None: the keys decide.
    partitions: Option<Int32Array>,
}

/// Hands what operators emit to the task's collector.
struct Emitter<'a> {
    targets: &'a [TopicName],
    out: &'a mut dyn Output,
}

impl Emitter<'_> {
    fn records(
        &mut self,
        topic: &TopicName,
        keys: &EncodedRows,
        values: &EncodedRows,
        batch: &RowBatch,
        placement: &Placement,
    ) -> Result<()> {
        let target = self.targets.iter().position(|t| t == topic).ok_or_else(|| EngineError::Plan {
            reason: format!("{topic:?} is not a target of the sub-topology"),
        })?;
        let mut headers: Vec<Header<'_>> = Vec::new();
        for row in 0..batch.len() {
            headers.clear();
            if let Some(row_headers) = batch.row_headers(row) {
                headers
                    .extend(row_headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }));
            }
            self.out.record(
                target,
                OutputRecord {
                    timestamp: batch.rowtime[row],
                    key: keys.get(row),
                    window_bytes: placement.window_bytes,
                    partition: placement.partitions.as_ref().map(|p| p.value(row)),
                    value: values.get(row),
                    headers: &headers,
                },
            );
        }
        Ok(())
    }
}

impl TaskOutput for Emitter<'_> {
    fn sink(&mut self, topic: &str, records: SinkRecords) -> Result<()> {
        let topic = TopicName::External(topic.to_owned());
        let placement = Placement { window_bytes: records.window_bytes, partitions: None };
        self.records(&topic, &records.keys, &records.values, &records.batch, &placement)
    }

    fn internal(&mut self, topic: &TopicName, records: InternalRecords) -> Result<()> {
        let placement = Placement { window_bytes: 0, partitions: records.partitions };
        self.records(topic, &records.keys, &records.values, &records.batch, &placement)
    }

    fn result(&mut self, batch: RowBatch) -> Result<()> {
        self.out.rows(batch);
        Ok(())
    }
}

fn owned_headers(headers: &Headers<'_>) -> Option<Arc<RecordHeaders>> {
    if headers.is_empty() {
        return None;
    }
    let owned = headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec)));
    Some(Arc::new(owned.collect()))
}

impl Processor for TopologyProcessor {
    fn decode(&mut self, source: usize, records: RecordColumns<'_>) -> Result<SourceRows> {
        let slice = RecordSlice {
            partition: records.partition,
            keys: records.keys,
            values: records.values,
            timestamps: records.timestamps,
            offsets: records.offsets,
            headers: records.headers.iter().map(owned_headers).collect(),
        };
        let rows = self.task.decode(source, &slice)?;
        let offsets: ScalarBuffer<Offset> = match &rows.origin {
            Some(origin) => origin.offset.clone(),
            None => slice.offsets.into(),
        };
        if offsets.len() != rows.len() {
            return Err(EngineError::Plan { reason: "rows of an internal topic were left out".to_owned() });
        }
        Ok(SourceRows { rows, offsets })
    }

    fn interrupt_by(&mut self, cancellation: Cancellation) {
        self.task.state_mut().interrupt_by(cancellation);
    }

    fn rows_per_row(&self) -> usize {
        self.task.rows_per_row()
    }

    fn uncommitted_bytes(&self) -> usize {
        self.task.uncommitted_bytes()
    }

    fn process(&mut self, source: usize, rows: RowBatch, out: &mut dyn Output) -> Result<()> {
        self.task.process_rows(source, rows, &mut Emitter { targets: &self.targets, out })
    }

    fn flush(&mut self, out: &mut dyn Output) -> Result<()> {
        self.task.flush(&mut Emitter { targets: &self.targets, out })
    }

    fn log_changes(&mut self, sink: &mut dyn ChangelogSink) -> Result<()> {
        self.task.state_mut().log_changes(sink)
    }

    fn committed(&mut self, positions: Vec<(StoreId, Offset)>) -> Result<()> {
        self.task.state_mut().commit(positions)
    }

    fn is_stateless(&self) -> bool {
        self.stateless
    }

    fn position(&self, store: StoreId) -> Result<Option<Offset>> {
        self.task.state().position(store)
    }

    fn written_at_ms(&self) -> Result<Option<i64>> {
        self.task.state().written_at_ms()
    }

    fn restore(&mut self, store: StoreId, records: &RecordColumns<'_>, next: Offset) -> Result<()> {
        let keyed = records.keys.iter().zip(&records.values);
        let records = keyed.filter_map(|(key, value)| Some(((*key)?.to_vec(), value.map(<[u8]>::to_vec))));
        self.task.state_mut().restore(store, records, next)
    }

    fn clear(&mut self, store: StoreId) -> Result<()> {
        self.task.state_mut().clear(store)
    }

    fn restored(&mut self) -> Result<()> {
        Ok(())
    }

    fn reader(&self) -> Option<Arc<dyn StateReader>> {
        (!self.stateless).then(|| self.task.state().reader())
    }
}
