//! Plan steps to sub-topologies.

use std::collections::HashMap;

use weir_sql::format::FormatInfo;
use weir_sql::plan::physical::{
    QueryPlan, QueryRole, RepartitionStep, ResultKind, SinkStep, SourceStep, Step,
};
use weir_sql::schema::LogicalSchema;
use weir_sql::types::SqlType;
use weir_sql::window::WindowInfo;

use crate::batch::input_schema::InputSchema;
use crate::error::{EngineError, Result};
use crate::operator::evaluator::Evaluator;
use crate::operator::filter::FilterOperator;
use crate::operator::flat_map::{FlatMapOperator, TableCall};
use crate::operator::join::side::side_types;
use crate::operator::materialize::{MaterializeOperator, NeedlessTombstones};
use crate::operator::partition_by::PartitionByOperator;
use crate::operator::project::ProjectOperator;
use crate::operator::{BuildContext, Operator};
use crate::state::backend::{StoreId, StoreSpec};
use crate::state::table_store::TableStore;
use crate::topology::internal_topic::{InternalReader, InternalWriter, OldValues};
use crate::topology::materialization::{Materialization, StoredRows};
use crate::topology::sink::SinkWriter;
use crate::topology::source::SourceReader;
use crate::topology::sub_topology::{
    Edge, InternalTarget, Node, Partitioning, SourceNode, SubTopology, Target, TopicName, TopicReader,
};
use crate::topology::{Topology, TopologyConfig};

/// Builds a plan's topology. Built again for every task: operators are not shared.
pub fn build(plan: &QueryPlan, config: TopologyConfig, context: &BuildContext) -> Result<Topology> {
    let mut builder = TopologyBuilder {
        context,
        config,
        exact_tombstones: plan.sink.is_none(),
        subs: vec![SubTopology::default()],
        names: HashMap::new(),
        topics: HashMap::new(),
        record_at_a_time: false,
        aggregate: None,
        materialization: None,
    };
    match &plan.root {
        Step::Sink(sink) => builder.build_sink(sink)?,
        Step::Source(source) if plan.role == QueryRole::SourceTable => {
            let from = builder.build_step(&plan.root, 0, false)?;
            let from = builder.keep_rows(&source.schema, source.window, NeedlessTombstones::Forward, from);
            builder.add_target(0, from, Target::Nowhere);
        }
        root => {
            let from = builder.build_step(root, 0, false)?;
            builder.add_target(0, from, Target::Result);
        }
    }
    let read_twice = builder.topics.values().any(|readers| *readers > 1);
    Ok(Topology {
        query_id: plan.query_id.clone(),
        sub_topologies: builder.subs,
        kind: plan.root.kind(),
        schema: plan.root.schema().clone(),
        materialization: builder.materialization,
        record_at_a_time: builder.record_at_a_time || read_twice,
    })
}

/// Where rows come from inside a sub-topology.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outlet {
    Source(usize),
    Node { node: usize, output: usize },
}

/// An internal topic to add.
#[derive(Debug)]
pub(crate) struct InternalTopic<'a> {
    /// Without `-repartition`.
    pub(crate) name: &'a str,
    pub(crate) key_format: &'a FormatInfo,
    pub(crate) schema: &'a LogicalSchema,
    pub(crate) old_values: OldValues,
    pub(crate) partitioning: Partitioning,
}

/// The store of an aggregation, as pull queries could use it.
#[derive(Clone, Debug)]
pub(crate) struct AggregateStore {
    pub(crate) sub: usize,
    pub(crate) store: StoreId,
}

#[derive(Debug)]
pub(crate) struct TopologyBuilder<'a> {
    pub(crate) context: &'a BuildContext,
    pub(crate) config: TopologyConfig,
    /// True if every tombstone reaches a client: filters then always need old values.
    exact_tombstones: bool,
    subs: Vec<SubTopology>,
    names: HashMap<String, usize>,
    /// How many sources read each topic.
    topics: HashMap<String, usize>,
    pub(crate) record_at_a_time: bool,
    pub(crate) aggregate: Option<AggregateStore>,
    materialization: Option<Materialization>,
}

impl TopologyBuilder<'_> {
    /// Builds a step so that its rows appear in sub-topology `sub`. `old`: its consumer needs what rows were before.
    pub(crate) fn build_step(&mut self, step: &Step, sub: usize, old: bool) -> Result<Outlet> {
        match step {
            Step::Source(s) => self.build_source(s, sub, old),
            Step::Filter(s) => {
                let input_old = old
                    || (step.kind() == ResultKind::Table
                        && (self.exact_tombstones || knows_old_values(&s.input)));
                let input = self.build_step(&s.input, sub, input_old)?;
                self.add_stateless(step, sub, input)
            }
            Step::Project(s) => {
                let input = self.build_step(&s.input, sub, old)?;
                self.add_stateless(step, sub, input)
            }
            Step::FlatMap(s) => {
                let input = self.build_step(&s.input, sub, false)?;
                self.add_stateless(step, sub, input)
            }
            Step::PartitionBy(s) => {
                let input = self.build_step(&s.input, sub, false)?;
                self.add_stateless(step, sub, input)
            }
            Step::Repartition(s) => self.build_repartition(s, sub, old),
            Step::Aggregate(s) => self.build_aggregate(s, sub, old),
            Step::StreamStreamJoin(s) => self.build_stream_stream(s, sub),
            Step::StreamTableJoin(s) => self.build_stream_table(s, sub),
            Step::TableTableJoin(s) => self.build_table_table(s, sub, old),
            Step::ForeignKeyJoin(s) => self.build_foreign_key(s, sub, old),
            Step::Sink(_) => {
                Err(EngineError::Plan { reason: "a sink is not the root of the plan".to_owned() })
            }
        }
    }

    fn build_sink(&mut self, step: &SinkStep) -> Result<()> {
        let mut from = self.build_step(&step.input, 0, false)?;
        if step.kind == ResultKind::Table {
            from = self.materialize_result(step, from)?;
        }
        let writer = SinkWriter::new(step, "Sink", self.context)?;
        self.add_target(0, from, Target::Sink(writer));
        Ok(())
    }

    /// Decides which store serves pull queries: that of the last aggregation, else one of the result's own.
    fn materialize_result(&mut self, sink: &SinkStep, from: Outlet) -> Result<Outlet> {
        let (suffix, below) = stateless_suffix(&sink.input);
        if let (Step::Aggregate(step), Some(aggregate)) = (below, self.aggregate.clone()) {
            self.materialization = Some(Materialization {
                sub_topology: aggregate.sub,
                store: aggregate.store,
                key: step.schema.key.clone(),
                window: below.window(),
                rows: StoredRows::Aggregates(step.calls.clone()),
                suffix: suffix.into_iter().cloned().collect(),
                schema: sink.input.schema().clone(),
            });
            return Ok(from);
        }
        let schema = sink.input.schema();
        let filtered = suffix.iter().any(|s| matches!(s, Step::Filter(_))) && !knows_old_values(below);
        let tombstones = if filtered { NeedlessTombstones::Drop } else { NeedlessTombstones::Forward };
        Ok(self.keep_rows(schema, sink.input.window(), tombstones, from))
    }

    /// Keeps rows in a store of their own, which serves pull queries.
    fn keep_rows(
        &mut self,
        schema: &LogicalSchema,
        window: Option<WindowInfo>,
        tombstones: NeedlessTombstones,
        from: Outlet,
    ) -> Outlet {
        let store = self.add_store(0, "Result-Materialize");
        let types = side_types(schema).split_off(schema.key.len());
        let operator = MaterializeOperator::new(self.table_store(store, types), tombstones, false);
        self.materialization = Some(Materialization {
            sub_topology: 0,
            store,
            key: schema.key.clone(),
            window,
            rows: StoredRows::Values(schema.columns().skip(schema.key.len()).cloned().collect()),
            suffix: Vec::new(),
            schema: schema.clone(),
        });
        self.add_node(0, "Materialize", Box::new(operator), &[from])
    }

    fn build_source(&mut self, step: &SourceStep, sub: usize, old: bool) -> Result<Outlet> {
        let name = self.unique_name("Source");
        let reader = TopicReader::External(SourceReader::new(step, &name, self.context)?);
        *self.topics.entry(step.topic.clone()).or_default() += 1;
        let from = self.add_source(sub, TopicName::External(step.topic.clone()), reader);
        if step.kind == ResultKind::Stream || !old {
            return Ok(from);
        }
        let store = self.add_store(sub, "KsqlTopic-Reduce");
        let types = side_types(&step.schema).split_off(step.schema.key.len());
        let operator =
            MaterializeOperator::new(self.table_store(store, types), NeedlessTombstones::Forward, true);
        Ok(self.add_node(sub, "Materialize", Box::new(operator), &[from]))
    }

    fn build_repartition(&mut self, step: &RepartitionStep, sub: usize, old: bool) -> Result<Outlet> {
        let upstream = self.add_sub_topology();
        let from = self.build_step(&step.input, upstream, old)?;
        let old_values = if old { OldValues::Carried } else { OldValues::Dropped };
        let topic = InternalTopic {
            name: &step.name,
            key_format: &step.key_format,
            schema: &step.schema,
            old_values,
            partitioning: Partitioning::Key,
        };
        self.add_internal_topic(&topic, (upstream, from), sub)
    }

    /// Sends rows through an internal topic into another sub-topology.
    pub(crate) fn add_internal_topic(
        &mut self,
        spec: &InternalTopic<'_>,
        (upstream, from): (usize, Outlet),
        sub: usize,
    ) -> Result<Outlet> {
        let name = format!("{}-repartition", self.unique_name(spec.name));
        let writer = InternalWriter::new(&name, spec.key_format, spec.schema)?;
        let topic = TopicName::Internal(name.clone());
        let target = InternalTarget {
            topic: topic.clone(),
            writer,
            key_format: spec.key_format.clone(),
            partitioning: spec.partitioning,
        };
        self.add_target(upstream, from, Target::Internal(target));
        let reader = TopicReader::Internal(InternalReader::new(&name, spec.schema, spec.old_values));
        Ok(self.add_source(sub, topic, reader))
    }

    fn add_stateless(&mut self, step: &Step, sub: usize, input: Outlet) -> Result<Outlet> {
        let (kind, operator) = stateless_operator(step, self.context)?;
        let name = self.unique_name(kind);
        Ok(self.add_node(sub, &name, operator, &[input]))
    }

    pub(crate) fn add_sub_topology(&mut self) -> usize {
        self.subs.push(SubTopology::default());
        self.subs.len() - 1
    }

    pub(crate) fn add_store(&mut self, sub: usize, name: &str) -> StoreId {
        let name = self.unique_name(name);
        let stores = &mut self.subs[sub].stores;
        stores.push(StoreSpec { name, changelog: true });
        StoreId((stores.len() - 1) as u32)
    }

    pub(crate) fn table_store(&self, store: StoreId, types: Vec<SqlType>) -> TableStore {
        TableStore::new(store, types)
            .with_resident_max(self.config.resident_rows_max)
            .with_share(self.context.resident.share())
    }

    fn add_source(&mut self, sub: usize, topic: TopicName, reader: TopicReader) -> Outlet {
        let sources = &mut self.subs[sub].sources;
        // Replaced as soon as the consumer is added.
        sources.push(SourceNode { topic, reader, edge: Edge::Target(usize::MAX) });
        Outlet::Source(sources.len() - 1)
    }

    /// Adds an operator with one output. Shape: `inputs[i]` feeds port `i`.
    pub(crate) fn add_node(
        &mut self,
        sub: usize,
        name: &str,
        operator: Box<dyn Operator>,
        inputs: &[Outlet],
    ) -> Outlet {
        let nodes = &mut self.subs[sub].nodes;
        let node = nodes.len();
        nodes.push(Node { name: name.to_owned(), operator, outputs: vec![Edge::Target(usize::MAX)] });
        for (port, from) in inputs.iter().enumerate() {
            self.connect(sub, *from, Edge::Node { node, port });
        }
        Outlet::Node { node, output: 0 }
    }

    pub(crate) fn add_target(&mut self, sub: usize, from: Outlet, target: Target) {
        let targets = &mut self.subs[sub].targets;
        targets.push(target);
        let edge = Edge::Target(targets.len() - 1);
        self.connect(sub, from, edge);
    }

    /// Leads rows to an input or a target.
    pub(crate) fn connect(&mut self, sub: usize, from: Outlet, edge: Edge) {
        let sub = &mut self.subs[sub];
        match from {
            Outlet::Source(source) => sub.sources[source].edge = edge,
            Outlet::Node { node, output } => {
                let outputs = &mut sub.nodes[node].outputs;
                outputs.resize(outputs.len().max(output + 1), Edge::Target(usize::MAX));
                outputs[output] = edge;
            }
        }
    }

    pub(crate) fn unique_name(&mut self, name: &str) -> String {
        let used = self.names.entry(name.to_owned()).or_default();
        *used += 1;
        if *used == 1 { name.to_owned() } else { format!("{name}-{used}") }
    }
}

/// What the expressions above a step may read.
pub(crate) fn input_schema(input: &Step) -> InputSchema {
    InputSchema::new(input.schema(), input.window().is_some(), is_source_row(input))
}

/// True as long as rows are those of a source.
fn is_source_row(step: &Step) -> bool {
    match step {
        Step::Source(_) => true,
        Step::Filter(s) => is_source_row(&s.input),
        Step::Project(s) => is_source_row(&s.input),
        Step::FlatMap(s) => is_source_row(&s.input),
        Step::PartitionBy(_)
        | Step::Repartition(_)
        | Step::Aggregate(_)
        | Step::StreamStreamJoin(_)
        | Step::StreamTableJoin(_)
        | Step::TableTableJoin(_)
        | Step::ForeignKeyJoin(_)
        | Step::Sink(_) => false,
    }
}

/// True if the changes of a step carry old values without a store for them alone.
fn knows_old_values(step: &Step) -> bool {
    match step {
        Step::Aggregate(_) | Step::TableTableJoin(_) => true,
        Step::Filter(s) => knows_old_values(&s.input),
        Step::Project(s) => knows_old_values(&s.input),
        Step::Source(_)
        | Step::FlatMap(_)
        | Step::PartitionBy(_)
        | Step::Repartition(_)
        | Step::StreamStreamJoin(_)
        | Step::StreamTableJoin(_)
        | Step::ForeignKeyJoin(_)
        | Step::Sink(_) => false,
    }
}

/// The filters and projections at the end of a plan, first applied first, and the step below them.
fn stateless_suffix(step: &Step) -> (Vec<&Step>, &Step) {
    let mut suffix = Vec::new();
    let mut current = step;
    loop {
        let input = match current {
            Step::Filter(s) => &s.input,
            Step::Project(s) => &s.input,
            _ => break,
        };
        suffix.push(current);
        current = input;
    }
    suffix.reverse();
    (suffix, current)
}

/// The operator of a step without state, with its name.
pub(crate) fn stateless_operator(
    step: &Step,
    context: &BuildContext,
) -> Result<(&'static str, Box<dyn Operator>)> {
    Ok(match step {
        Step::Filter(s) => {
            let predicate = Evaluator::new([&s.predicate], input_schema(&s.input), "Filter", context)?;
            ("Filter", Box::new(FilterOperator { predicate, kind: s.input.kind() }))
        }
        Step::Project(s) => {
            let expressions = s.values.iter().map(|(_, e)| e);
            let values = Evaluator::new(expressions, input_schema(&s.input), "Project", context)?;
            ("Project", Box::new(ProjectOperator { values }))
        }
        Step::FlatMap(s) => {
            let mut calls = Vec::new();
            for call in &s.functions {
                let types: Vec<_> = call.arguments.iter().map(|a| a.sql_type.clone()).collect();
                let kernel = context
                    .registry
                    .table_function(&call.function, &types)
                    .map_err(|source| EngineError::Function { step: "FlatMap".to_owned(), source })?;
                let arguments = Evaluator::new(&call.arguments, input_schema(&s.input), "FlatMap", context)?;
                calls.push(TableCall { kernel, arguments, return_type: call.output.sql_type.clone() });
            }
            ("FlatMap", Box::new(FlatMapOperator::new(calls, context.reporter("FlatMap"))))
        }
        Step::PartitionBy(s) => {
            let schema = input_schema(&s.input);
            let keys = Evaluator::new(s.keys.iter().map(|(_, e)| e), schema.clone(), "PartitionBy", context)?;
            let values = Evaluator::new(s.values.iter().map(|(_, e)| e), schema, "PartitionBy", context)?;
            let input = s.input.schema();
            // System columns belong to the value: a row without one has none.
            let of_key =
                s.keys.iter().map(|(_, e)| e.columns().into_iter().all(|c| input.is_key(c))).collect();
            ("PartitionBy", Box::new(PartitionByOperator { keys, of_key, values }))
        }
        other => {
            let reason = format!("{} is not a stateless step", step_name(other));
            return Err(EngineError::Plan { reason });
        }
    })
}

fn step_name(step: &Step) -> &'static str {
    match step {
        Step::Source(_) => "Source",
        Step::Filter(_) => "Filter",
        Step::Project(_) => "Project",
        Step::FlatMap(_) => "FlatMap",
        Step::PartitionBy(_) => "PartitionBy",
        Step::Repartition(_) => "Repartition",
        Step::Aggregate(_) => "Aggregate",
        Step::StreamStreamJoin(_) => "StreamStreamJoin",
        Step::StreamTableJoin(_) => "StreamTableJoin",
        Step::TableTableJoin(_) => "TableTableJoin",
        Step::ForeignKeyJoin(_) => "ForeignKeyJoin",
        Step::Sink(_) => "Sink",
    }
}
