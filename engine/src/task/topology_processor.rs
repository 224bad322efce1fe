//! Topologies as what tasks run.

use std::sync::Arc;

use arrow::buffer::ScalarBuffer;
use weir_broker::ids::Offset;
use weir_sql::functions::registry::FunctionRegistry;
use weir_sql::plan::physical::{QueryPlan, ResultKind};

use crate::batch::RowBatch;
use crate::cancellation::Cancellation;
use crate::error::{EngineError, Result};
use crate::operator::BuildContext;
use crate::processing_log::{CountingLog, ProcessingLog};
use crate::query::naming::changelog_topic;
use crate::state::backend::{StateBackend, StateReader, StoreId};
use crate::state::changelog::ChangelogSink;
use crate::state::resident_budget::ResidentBudget;
use crate::task::processor::{
    ChangelogTopic, CompileRequest, Processor, SourceRows, SourceTopic, SubTopologySpec, TargetTopic,
};
use crate::topology::builder::build;
use crate::topology::describe::describe;
use crate::topology::emit::Emit;
use crate::topology::materialization::{Materialization, MaterializedReader};
use crate::topology::records::RecordColumns;
use crate::topology::sub_topology::{SubTopology, TopicName, TopicReader};
use crate::topology::task_topology::TaskTopology;
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

impl TopologyCompiler {
    pub fn compile(&self, request: &CompileRequest<'_>) -> Result<Arc<TopologyFactory>> {
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

/// Builds a plan's topology anew for every task. Threads: any; each task then belongs to one worker.
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

    /// Topic names are complete: those of internal topics begin with the application id.
    pub fn sub_topologies(&self) -> &[SubTopologySpec] {
        &self.specs
    }

    /// True if the outcome is the same for every cut into batches only if each record runs through all sub-topologies before
    /// the next.
    pub fn record_at_a_time(&self) -> bool {
        self.record_at_a_time
    }

    /// Where the query reports rows that fail.
    pub fn processing_log(&self) -> Arc<dyn ProcessingLog> {
        self.context.log.clone()
    }

    /// The topology as text.
    pub fn describe(&self) -> Result<String> {
        Ok(describe(&self.topology()?))
    }

    /// Where pull queries find the result, if it is a table.
    pub fn materialization(&self) -> Option<&Materialization> {
        self.materialization.as_ref()
    }

    /// Reads entries of the store that [`TopologyFactory::materialization`] names.
    pub fn materialized_reader(&self) -> Result<MaterializedReader> {
        let materialization = self.materialization.as_ref().ok_or_else(|| EngineError::Plan {
            reason: format!("query {} keeps no table", self.plan.query_id),
        })?;
        MaterializedReader::new(materialization, &self.context)
    }

    /// Shape: `backend` has the stores of the sub-topology, in order.
    pub fn create(
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
        Ok(Box::new(TaskTopology::new(sub, partition, backend)))
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

impl Processor for TaskTopology {
    fn decode(&mut self, source: usize, records: RecordColumns<'_>) -> Result<SourceRows> {
        let rows = self.decode_records(source, &records)?;
        let offsets: ScalarBuffer<Offset> = match &rows.origin {
            Some(origin) => origin.offset.clone(),
            None => records.offsets.into(),
        };
        if offsets.len() != rows.len() {
            return Err(EngineError::Plan { reason: "rows of an internal topic were left out".to_owned() });
        }
        Ok(SourceRows { rows, offsets })
    }

    fn interrupt_by(&mut self, cancellation: Cancellation) {
        self.state_mut().interrupt_by(cancellation);
    }

    fn rows_per_row(&self) -> usize {
        self.operator_rows_per_row()
    }

    fn uncommitted_bytes(&self) -> usize {
        self.operator_bytes()
    }

    fn process(&mut self, source: usize, rows: RowBatch, out: &mut dyn Emit) -> Result<()> {
        self.process_rows(source, rows, out)
    }

    fn flush(&mut self, out: &mut dyn Emit) -> Result<()> {
        self.flush_operators(out)
    }

    fn log_changes(&mut self, sink: &mut dyn ChangelogSink) -> Result<()> {
        self.state_mut().log_changes(sink)
    }

    fn committed(&mut self, positions: Vec<(StoreId, Offset)>) -> Result<()> {
        self.state_mut().commit(positions)
    }

    fn is_stateless(&self) -> bool {
        self.topology().stores.is_empty()
    }

    fn position(&self, store: StoreId) -> Result<Option<Offset>> {
        self.state().position(store)
    }

    fn written_at_ms(&self) -> Result<Option<i64>> {
        self.state().written_at_ms()
    }

    fn restore(&mut self, store: StoreId, records: &RecordColumns<'_>, next: Offset) -> Result<()> {
        let keyed = records.keys.iter().zip(&records.values);
        let records = keyed.filter_map(|(key, value)| Some(((*key)?.to_vec(), value.map(<[u8]>::to_vec))));
        self.state_mut().restore(store, records, next)
    }

    fn clear(&mut self, store: StoreId) -> Result<()> {
        self.state_mut().clear(store)
    }

    fn restored(&mut self) -> Result<()> {
        Ok(())
    }

    fn reader(&self) -> Option<Arc<dyn StateReader>> {
        (!self.is_stateless()).then(|| self.state().reader())
    }
}
