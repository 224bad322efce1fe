//! From a logical query to physical steps.

use crate::context::Context;
use crate::error::{Result, SqlError};
use crate::expr::ir::{Expr, ExprKind};
use crate::format::{Format, FormatInfo, RecordSide};
use crate::format_props::capability::carries;
use crate::plan::logical::{
    AggregateBody, Body, JoinPair, JoinSide, LogicalJoin, LogicalQuery, LogicalSource,
};
use crate::plan::physical::{
    AggregateStep, FilterStep, FlatMapStep, ForeignKeyJoinStep, JoinKind, PartitionByStep, ProjectStep,
    RepartitionStep, ResultKind, SourceStep, Step, StreamStreamJoinStep, StreamTableJoinStep,
    TableTableJoinStep,
};
use crate::planner::formats::internal_format;
use crate::schema::{Column, LogicalSchema, system_column_type};
use crate::span::Span;

/// Builds the steps of a query up to its projection; a sink, if any, goes on top.
///
/// Errors: topics with different numbers of partitions; aggregates whose state the value format cannot carry.
pub(crate) fn build(context: &Context<'_>, query: &LogicalQuery) -> Result<Step> {
    let builder = Builder { context, query };
    let mut step =
        if query.joins.is_empty() { builder.source(&query.sources[0]) } else { builder.joined()? };
    if let Some(predicate) = &query.filter {
        let schema = step.schema().clone();
        step = Step::Filter(FilterStep { input: Box::new(step), predicate: predicate.clone(), schema });
    }
    if !query.table_functions.is_empty() {
        let mut schema = step.schema().clone();
        schema.value.extend(query.table_functions.iter().map(|f| f.output.clone()));
        let functions = query.table_functions.clone();
        step = Step::FlatMap(FlatMapStep { input: Box::new(step), functions, schema });
    }
    match &query.body {
        Body::Project { key_names, values } => Ok(project(step, key_names, values)),
        Body::PartitionBy { keys, values } => Ok(partition_by(step, keys, values.clone())),
        Body::Aggregate(body) => builder.aggregate(step, body),
    }
}

/// Rows on their way through the joins.
struct Side {
    step: Step,
    key_format: FormatInfo,
    value_format: FormatInfo,
    /// Of the topic that the rows come from, for the co-partitioning check.
    partitions: Option<u32>,
    name: String,
}

struct Builder<'a> {
    context: &'a Context<'a>,
    query: &'a LogicalQuery,
}

impl Builder<'_> {
    fn source(&self, logical: &LogicalSource) -> Step {
        Step::Source(SourceStep::from(logical.source.as_ref()))
    }

    /// A source of a join: every column under `ALIAS_NAME`, system columns that are asked for among them.
    fn prefixed(&self, logical: &LogicalSource) -> Side {
        let source = &logical.source;
        let prefixed = |name: &str| format!("{}_{name}", logical.alias);
        let key_names: Vec<String> = source.schema.key.iter().map(|c| prefixed(&c.name)).collect();
        let declared =
            source.schema.value.iter().chain(source.schema.headers.iter().map(|h| &h.column)).cloned();
        let carried = logical.carried.iter().filter_map(|name| {
            let sql_type = system_column_type(name)?;
            Some(Column::new(name.clone(), sql_type))
        });
        let values: Vec<(String, Expr)> = declared
            .chain(carried)
            .map(|c| (prefixed(&c.name), Expr::column(c.name.clone(), c.sql_type)))
            .collect();
        Side {
            step: project(self.source(logical), &key_names, &values),
            key_format: source.key_format.clone(),
            value_format: source.value_format.clone(),
            partitions: self.context.topics.topic(&source.topic).map(|t| t.partitions),
            name: logical.alias.clone(),
        }
    }

    fn joined(&self) -> Result<Step> {
        let mut left = self.prefixed(&self.query.sources[0]);
        for (i, join) in self.query.joins.iter().enumerate() {
            let right = self.prefixed(&self.query.sources[i + 1]);
            let last = i + 1 == self.query.joins.len();
            let prefix = if last { "Join".to_owned() } else { format!("Join-{}", i + 1) };
            left = self.join(left, right, join, &prefix)?;
        }
        Ok(left.step)
    }

    fn join(&self, left: Side, right: Side, join: &LogicalJoin, prefix: &str) -> Result<Side> {
        if join.pair == JoinPair::ForeignKey {
            return Ok(foreign_key_join(left, right, join));
        }
        let key_column = [Column::new(join.key_name.clone(), join.left.on.sql_type.clone())];
        let key_format = self.join_key_format(&left, &right, join, &key_column);
        let left_moves = moves(&left, &join.left, &key_format);
        let right_moves = moves(&right, &join.right, &key_format);
        if !left_moves && !right_moves {
            check_partitions(&left, &right)?;
        }
        let partitions = match (left_moves, right_moves) {
            (true, false) => right.partitions,
            _ => left.partitions,
        };
        let (value_format, name) = (left.value_format.clone(), left.name.clone());
        let left = self.rekeyed(left, &join.left, left_moves, &key_format, format!("{prefix}-left"));
        let right = self.rekeyed(right, &join.right, right_moves, &key_format, format!("{prefix}-right"));
        let step = join_step(left, right, join);
        Ok(Side { step, key_format, value_format, partitions, name })
    }

    /// The format in which keys of both sides meet: that of the side that stays where it is, tables first.
    fn join_key_format(&self, left: &Side, right: &Side, join: &LogicalJoin, key: &[Column]) -> FormatInfo {
        let source = match join.pair {
            JoinPair::StreamTable => &right.key_format,
            JoinPair::TableTable | JoinPair::ForeignKey => &left.key_format,
            JoinPair::StreamStream { .. } if !join.left.is_key && join.right.is_key => &right.key_format,
            JoinPair::StreamStream { .. } => &left.key_format,
        };
        let stays = match join.pair {
            JoinPair::StreamTable => true,
            _ => join.left.is_key || join.right.is_key,
        };
        if stays {
            return source.clone();
        }
        internal_format(RecordSide::Key, source, self.context.session.default_key_format, key)
    }

    /// The side keyed by its expression of ON, sent through a topic if it must.
    fn rekeyed(&self, side: Side, on: &JoinSide, moves: bool, key_format: &FormatInfo, name: String) -> Step {
        if !moves {
            return side.step;
        }
        let step = if on.is_key { side.step } else { key_by(side.step, &on.on, &name) };
        let schema = step.schema().clone();
        let value_format =
            internal_format(RecordSide::Value, &side.value_format, Format::Json, &schema.value);
        Step::Repartition(RepartitionStep {
            input: Box::new(step),
            name,
            key_format: key_format.clone(),
            value_format,
            schema,
        })
    }

    fn aggregate(&self, input: Step, body: &AggregateBody) -> Result<Step> {
        let first = &self.query.sources[0].source;
        let keys: Vec<Column> =
            body.keys.iter().map(|(name, e)| Column::new(name.clone(), e.sql_type.clone())).collect();
        let states: Vec<Column> = body
            .state_types
            .iter()
            .enumerate()
            .map(|(i, t)| Column::new(format!("KSQL_AGG_VARIABLE_{i}"), t.clone()))
            .collect();
        if first.value_format.format != Format::None
            && !states.iter().all(|s| fits_state(first.value_format.format, s))
        {
            return Err(SqlError::analysis(
                "One of the functions used in the statement has an intermediate type that the value format can not \
                 handle. Please remove the function or change the format.",
                Span::default(),
            ));
        }
        let key_format = internal_format(
            RecordSide::Key,
            &first.key_format,
            self.context.session.default_key_format,
            &keys,
        );
        let value_format = internal_format(RecordSide::Value, &first.value_format, Format::Json, &states);
        let calls = body.calls.iter().map(|c| c.output.clone()).collect();
        let mut step = Step::Aggregate(AggregateStep {
            input_kind: input.kind(),
            input: Box::new(input),
            keys: body.keys.clone(),
            regroup: body.regroup,
            calls: body.calls.clone(),
            window: body.window,
            key_format,
            value_format,
            schema: LogicalSchema::new(keys, calls),
        });
        if let Some(having) = &body.having {
            let schema = step.schema().clone();
            step = Step::Filter(FilterStep { input: Box::new(step), predicate: having.clone(), schema });
        }
        Ok(project(step, &body.key_names, &body.values))
    }
}

/// Formats of records refuse a nested state; how many columns there are does not matter.
fn fits_state(format: Format, state: &Column) -> bool {
    carries(RecordSide::Value, format, std::slice::from_ref(state))
}

fn project(input: Step, key_names: &[String], values: &[(String, Expr)]) -> Step {
    let key = input
        .schema()
        .key
        .iter()
        .zip(key_names)
        .map(|(column, name)| Column::new(name.clone(), column.sql_type.clone()))
        .collect();
    Step::Project(ProjectStep {
        input: Box::new(input),
        key_names: key_names.to_vec(),
        values: values.to_vec(),
        schema: LogicalSchema::new(key, columns_of(values)),
    })
}

fn columns_of(exprs: &[(String, Expr)]) -> Vec<Column> {
    exprs.iter().map(|(name, e)| Column::new(name.clone(), e.sql_type.clone())).collect()
}

fn partition_by(input: Step, keys: &[(String, Expr)], values: Vec<(String, Expr)>) -> Step {
    let schema = LogicalSchema::new(columns_of(keys), columns_of(&values));
    Step::PartitionBy(PartitionByStep { input: Box::new(input), keys: keys.to_vec(), values, schema })
}

/// Keys the rows by an expression; a column that becomes the key is no value any more.
fn key_by(input: Step, on: &Expr, name: &str) -> Step {
    let key_name = match &on.kind {
        ExprKind::Column(column) => column.clone(),
        _ => format!("KSQL_{}_KEY", name.replace('-', "_").to_uppercase()),
    };
    let values: Vec<(String, Expr)> = input
        .schema()
        .columns()
        .filter(|c| c.name != key_name && !c.name.starts_with("KSQL_JOIN_KEY_"))
        .map(|c| (c.name.clone(), Expr::column(c.name.clone(), c.sql_type.clone())))
        .collect();
    partition_by(input, &[(key_name, on.clone())], values)
}

/// True if the side must go through a topic: it has another key, or its keys are written otherwise.
fn moves(side: &Side, on: &JoinSide, key_format: &FormatInfo) -> bool {
    if side.step.window().is_some() {
        return false;
    }
    !on.is_key
        || side.key_format.format != key_format.format
        || side.key_format.properties != key_format.properties
}

fn check_partitions(left: &Side, right: &Side) -> Result<()> {
    let (Some(l), Some(r)) = (left.partitions, right.partitions) else { return Ok(()) };
    if l == r {
        return Ok(());
    }
    Err(SqlError::analysis(
        format!(
            "Can't join `{0}` with `{1}` since the number of partitions don't match. `{0}` partitions = {l}; `{1}` \
             partitions = {r}. Please repartition either one so that the number of partitions match.",
            left.name, right.name
        ),
        Span::default(),
    ))
}

fn join_step(left: Step, right: Step, join: &LogicalJoin) -> Step {
    let key = vec![Column::new(join.key_name.clone(), join.left.on.sql_type.clone())];
    let value = left.schema().columns().chain(right.schema().columns()).cloned().collect();
    let schema = LogicalSchema::new(key, value);
    let (left, right) = (Box::new(left), Box::new(right));
    let (kind, key_name) = (join.kind, join.key_name.clone());
    match join.pair {
        JoinPair::StreamStream { before_ms, after_ms, grace_ms } => {
            Step::StreamStreamJoin(StreamStreamJoinStep {
                left,
                right,
                kind,
                key_name,
                before_ms,
                after_ms,
                grace_ms,
                schema,
            })
        }
        JoinPair::StreamTable => {
            Step::StreamTableJoin(StreamTableJoinStep { left, right, kind, key_name, schema })
        }
        JoinPair::TableTable | JoinPair::ForeignKey => {
            Step::TableTableJoin(TableTableJoinStep { left, right, kind, key_name, schema })
        }
    }
}

fn foreign_key_join(left: Side, right: Side, join: &LogicalJoin) -> Side {
    debug_assert!(matches!(join.kind, JoinKind::Inner | JoinKind::Left));
    debug_assert_eq!(left.step.kind(), ResultKind::Table);
    let key = left.step.schema().key.clone();
    let value = left.step.schema().value.iter().chain(right.step.schema().columns()).cloned().collect();
    let step = Step::ForeignKeyJoin(ForeignKeyJoinStep {
        left: Box::new(left.step),
        right: Box::new(right.step),
        kind: join.kind,
        foreign_key: join.left.on.clone(),
        schema: LogicalSchema::new(key, value),
    });
    Side { step, ..left }
}
