//! Aggregations and joins of a plan as nodes.

use weir_sql::format::FormatInfo;
use weir_sql::plan::physical::{
    AggregateStep, ForeignKeyJoinStep, JoinKind, ResultKind, Step, StreamStreamJoinStep, StreamTableJoinStep,
    TableTableJoinStep,
};
use weir_sql::schema::{Column, LogicalSchema};
use weir_sql::types::SqlType;
use weir_sql::window::{WindowBounds, WindowSpec};

use crate::error::Result;
use crate::operator::Operator;
use crate::operator::aggregate::calls::AggregateCalls;
use crate::operator::aggregate::group_by::GroupByOperator;
use crate::operator::aggregate::session::{SessionAggregateOperator, SessionWindows};
use crate::operator::aggregate::slots::Slots;
use crate::operator::aggregate::table::TableAggregateOperator;
use crate::operator::aggregate::time::AggregateOperator;
use crate::operator::aggregate::time_windows::TimeWindows;
use crate::operator::aggregate::{Emission, EmissionConfig};
use crate::operator::evaluator::Evaluator;
use crate::operator::join::foreign_key::look_up::LookUpOperator;
use crate::operator::join::foreign_key::subscribe::{SUBSCRIPTIONS, SubscribeOperator};
use crate::operator::join::foreign_key::{response_schema, subscription_schema};
use crate::operator::join::side::{SideTable, side_types};
use crate::operator::join::stream_stream::unmatched::UnmatchedRows;
use crate::operator::join::stream_stream::window_buffer::WindowBuffer;
use crate::operator::join::stream_stream::{JoinWindow, StreamStreamJoinOperator};
use crate::operator::join::stream_table::StreamTableJoinOperator;
use crate::operator::join::table_table::TableTableJoinOperator;
use crate::operator::materialize::{MaterializeOperator, NeedlessTombstones};
use crate::topology::OutputCaching;
use crate::topology::builder::{AggregateStore, InternalTopic, Outlet, TopologyBuilder, input_schema};
use crate::topology::internal_topic::OldValues;
use crate::topology::sub_topology::{Edge, Partitioning};

impl TopologyBuilder<'_> {
    pub(crate) fn build_aggregate(&mut self, step: &AggregateStep, sub: usize, old: bool) -> Result<Outlet> {
        let is_table = step.input_kind == ResultKind::Table;
        let upstream = if step.regroup { self.add_sub_topology() } else { sub };
        let input = self.build_step(&step.input, upstream, is_table)?;
        let schema = input_schema(&step.input);
        let name = self.unique_name("Aggregate");
        let keys = step.keys.iter().map(|(_, e)| e);
        let arguments = step.calls.iter().flat_map(|c| &c.arguments);
        let group = GroupByOperator {
            kind: step.input_kind,
            keys: Evaluator::new(keys, schema.clone(), &name, self.context)?,
            arguments: Evaluator::new(arguments, schema, &name, self.context)?,
            reporter: self.context.reporter(&name),
        };
        let mut grouped = self.add_node(upstream, &format!("{name}-GroupBy"), Box::new(group), &[input]);
        if step.regroup {
            let old = if is_table { OldValues::Carried } else { OldValues::Dropped };
            let topic = InternalTopic {
                name: "Aggregate-GroupBy",
                key_format: &step.key_format,
                schema: &grouped_schema(step),
                old_values: old,
                partitioning: Partitioning::Key,
            };
            grouped = self.add_internal_topic(&topic, (upstream, grouped), sub)?;
        }
        let store = self.add_store(sub, "Aggregate-Aggregate-Materialize");
        self.aggregate = Some(AggregateStore { sub, store });
        let calls = AggregateCalls::build(&step.calls, &name, self.context)?;
        let key_types = step.schema.key.iter().map(|c| c.sql_type.clone()).collect();
        let slots = Slots::new(store, step.window.is_some(), key_types, calls)
            .with_share(self.context.resident.share());
        let operator: Box<dyn Operator> = match (&step.window, is_table) {
            (_, true) => Box::new(
                TableAggregateOperator::new(slots, old).with_resident_max(self.config.resident_rows_max),
            ),
            (window, false) => self.stream_aggregate(slots, window.as_ref(), old),
        };
        Ok(self.add_node(sub, &name, operator, &[grouped]))
    }

    fn stream_aggregate(
        &self,
        slots: Slots,
        window: Option<&WindowSpec>,
        old_values: bool,
    ) -> Box<dyn Operator> {
        let emission = match (window, self.config.caching) {
            (Some(w), _) if w.emit_final => Emission::Final(self.config.expired_finals),
            (_, OutputCaching::On) => Emission::OnCommit,
            (_, OutputCaching::Off) => Emission::EveryChange,
        };
        let config = EmissionConfig { emission, old_values };
        let time_aggregate = |slots, windows| {
            AggregateOperator::new(slots, windows, config).with_resident_max(self.config.resident_rows_max)
        };
        let Some(window) = window else { return Box::new(time_aggregate(slots, None)) };
        let grace_ms = window.effective_grace_ms();
        let least = window.size_ms().saturating_add(grace_ms);
        let retention_ms = window.retention_ms.unwrap_or(least).max(least);
        let time = |size_ms, advance_ms| TimeWindows { size_ms, advance_ms, grace_ms, retention_ms };
        match window.bounds {
            WindowBounds::Tumbling { size_ms } => {
                Box::new(time_aggregate(slots, Some(time(size_ms, size_ms))))
            }
            WindowBounds::Hopping { size_ms, advance_ms } => {
                Box::new(time_aggregate(slots, Some(time(size_ms, advance_ms))))
            }
            WindowBounds::Session { gap_ms } => {
                let windows = SessionWindows { gap_ms, grace_ms, retention_ms };
                let operator = SessionAggregateOperator::new(slots, windows, config);
                Box::new(operator.with_resident_max(self.config.resident_rows_max))
            }
        }
    }

    fn side_table(&mut self, sub: usize, name: &str, schema: &LogicalSchema) -> SideTable {
        let store = self.add_store(sub, name);
        SideTable::new(self.table_store(store, side_types(schema)))
    }

    pub(crate) fn build_stream_stream(&mut self, step: &StreamStreamJoinStep, sub: usize) -> Result<Outlet> {
        let left = self.build_step(&step.left, sub, false)?;
        let right = self.build_step(&step.right, sub, false)?;
        let window =
            JoinWindow { before_ms: step.before_ms, after_ms: step.after_ms, grace_ms: step.grace_ms };
        let retention = window.retention_ms();
        let buffer = |builder: &mut Self, name: &str, schema: &LogicalSchema| {
            WindowBuffer::new(builder.add_store(sub, name), side_types(schema), retention)
                .with_resident_max(builder.config.resident_rows_max)
                .with_share(builder.context.resident.share())
        };
        let buffers = [
            buffer(self, "KSTREAM-JOINTHIS-store", step.left.schema()),
            buffer(self, "KSTREAM-JOINOTHER-store", step.right.schema()),
        ];
        let unmatched = UnmatchedRows::new(self.add_store(sub, "KSTREAM-OUTERSHARED-store"))
            .with_resident_max(self.config.resident_rows_max)
            .with_share(self.context.resident.share());
        let name = self.unique_name("Join");
        let reporter = self.context.reporter(&name);
        let operator = StreamStreamJoinOperator::new(step.kind, window, buffers, unmatched, reporter)
            .with_piece(self.config.piece);
        Ok(self.add_node(sub, &name, Box::new(operator), &[left, right]))
    }

    pub(crate) fn build_stream_table(&mut self, step: &StreamTableJoinStep, sub: usize) -> Result<Outlet> {
        let left = self.build_step(&step.left, sub, false)?;
        let right = self.build_step(&step.right, sub, false)?;
        let table = self.side_table(sub, "KafkaTopic_Right-Reduce", step.right.schema());
        let name = self.unique_name("Join");
        let operator = StreamTableJoinOperator::new(step.kind, table, self.context.reporter(&name));
        Ok(self.add_node(sub, &name, Box::new(operator), &[left, right]))
    }

    pub(crate) fn build_table_table(
        &mut self,
        step: &TableTableJoinStep,
        sub: usize,
        old: bool,
    ) -> Result<Outlet> {
        let left = self.build_step(&step.left, sub, false)?;
        let right = self.build_step(&step.right, sub, false)?;
        let sides = [
            self.side_table(sub, "KafkaTopic_Left-Reduce", step.left.schema()),
            self.side_table(sub, "KafkaTopic_Right-Reduce", step.right.schema()),
        ];
        let operator = TableTableJoinOperator::new(step.kind, sides, old);
        let name = self.unique_name("Join");
        Ok(self.add_node(sub, &name, Box::new(operator), &[left, right]))
    }

    pub(crate) fn build_foreign_key(
        &mut self,
        step: &ForeignKeyJoinStep,
        sub: usize,
        old: bool,
    ) -> Result<Outlet> {
        self.record_at_a_time = true;
        let (left_schema, right_schema) = (step.left.schema(), step.right.schema());
        let left = self.build_step(&step.left, sub, false)?;
        let name = self.unique_name("ForeignKeyJoin");
        let left_types = side_types(left_schema).split_off(left_schema.key.len());
        let left_store = self.add_store(sub, "KafkaTopic_Left-Reduce");
        let foreign_key = Evaluator::new([&step.foreign_key], input_schema(&step.left), &name, self.context)?;
        let right_types: Vec<SqlType> = side_types(right_schema);
        let subscribe = SubscribeOperator::new(
            step.kind,
            self.table_store(left_store, left_types),
            foreign_key,
            right_types.iter().map(SqlType::to_arrow).collect(),
            self.context.reporter(&name),
        );
        let joined = self.add_node(sub, &name, Box::new(subscribe), &[left]);
        let Outlet::Node { node: subscriber, .. } = joined else { unreachable!("a node was added") };

        let side = self.add_sub_topology();
        let schema = subscription_schema(left_schema, &step.foreign_key.sql_type);
        let outlet = Outlet::Node { node: subscriber, output: SUBSCRIPTIONS };
        let topic = InternalTopic {
            name: "KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION",
            key_format: &key_format(&step.right),
            schema: &schema,
            old_values: OldValues::Dropped,
            partitioning: Partitioning::Key,
        };
        let subscriptions = self.add_internal_topic(&topic, (sub, outlet), side)?;
        let right = self.build_step(&step.right, side, false)?;
        let subscription_store = self.add_store(side, "KTABLE-FK-JOIN-SUBSCRIPTION-STATE-STORE");
        let right_table = self.side_table(side, "KafkaTopic_Right-Reduce", right_schema);
        let left_keys = left_schema.key.iter().map(|c| c.sql_type.clone()).collect();
        let look_up =
            LookUpOperator::new(subscription_store, left_keys, right_table).with_piece(self.config.piece);
        let answers = self.add_node(side, "LookUp", Box::new(look_up), &[subscriptions, right]);

        let schema = response_schema(left_schema, right_schema);
        // Producers of the left topic may use any partitioner: the partition of a row does not follow from its key.
        let topic = InternalTopic {
            name: "KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE",
            key_format: &key_format(&step.left),
            schema: &schema,
            old_values: OldValues::Dropped,
            partitioning: Partitioning::Column(schema.value.len() - 1),
        };
        let responses = self.add_internal_topic(&topic, (side, answers), sub)?;
        self.connect(sub, responses, Edge::Node { node: subscriber, port: 1 });
        debug_assert!(matches!(step.kind, JoinKind::Inner | JoinKind::Left));
        if !old {
            return Ok(joined);
        }
        let store = self.add_store(sub, "ForeignKeyJoin-Materialize");
        let types = side_types(&step.schema).split_off(step.schema.key.len());
        let operator =
            MaterializeOperator::new(self.table_store(store, types), NeedlessTombstones::Forward, true);
        Ok(self.add_node(sub, "Materialize", Box::new(operator), &[joined]))
    }
}

/// Rows between grouping and aggregating: the new key, and the arguments of all calls.
fn grouped_schema(step: &AggregateStep) -> LogicalSchema {
    let arguments = step.calls.iter().flat_map(|c| &c.arguments).enumerate();
    let value = arguments.map(|(i, a)| Column::new(format!("ARGUMENT_{i}"), a.sql_type.clone())).collect();
    LogicalSchema::new(step.schema.key.clone(), value)
}

/// The format in which the keys of a step's rows decide their partition.
fn key_format(step: &Step) -> FormatInfo {
    match step {
        Step::Source(s) => s.key_format.clone(),
        Step::Filter(s) => key_format(&s.input),
        Step::Project(s) => key_format(&s.input),
        Step::FlatMap(s) => key_format(&s.input),
        Step::PartitionBy(s) => key_format(&s.input),
        Step::Repartition(s) => s.key_format.clone(),
        Step::Aggregate(s) => s.key_format.clone(),
        Step::StreamStreamJoin(s) => key_format(&s.left),
        Step::StreamTableJoin(s) => key_format(&s.left),
        Step::TableTableJoin(s) => key_format(&s.left),
        Step::ForeignKeyJoin(s) => key_format(&s.left),
        Step::Sink(s) => s.key_format.clone(),
    }
}
