//! CREATE OR REPLACE: which changes of a source and of its query a running query survives.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Result, SqlError};
use crate::metastore::Metastore;
use crate::metastore::source::{QueryEntry, QueryKind, Source};
use crate::plan::command::CreateSourceCommand;
use crate::plan::physical::{AggregateStep, QueryPlan, ResultKind, Step};
use crate::schema::Column;
use crate::span::Span;
use crate::types::quote_identifier;

/// Checks that the new definition of a source can take the place of the old one.
///
/// Errors: another kind, topic, format or timestamp column; changed keys; value columns that are gone, changed or moved.
pub fn check_source(old: &Source, new: &CreateSourceCommand) -> Result<()> {
    let differs = |what: &str, old: String, new: String| {
        refuse(format!(
            "Cannot upgrade data source: {what} must stay the same. It was {old}, and would become {new}."
        ))
    };
    if old.kind != new.kind {
        return differs("the kind", kind_name(old.kind).to_owned(), kind_name(new.kind).to_owned());
    }
    if old.topic != new.topic {
        return differs("the topic", old.topic.clone(), new.topic.clone());
    }
    if old.key_format != new.key_format {
        return differs(
            "the key format",
            old.key_format.format.to_string(),
            new.key_format.format.to_string(),
        );
    }
    if old.value_format != new.value_format {
        return differs(
            "the value format",
            old.value_format.format.to_string(),
            new.value_format.format.to_string(),
        );
    }
    if old.timestamp != new.timestamp {
        let name = |t: &Option<crate::plan::physical::TimestampColumn>| {
            t.as_ref().map_or_else(|| "none".to_owned(), |t| t.column.clone())
        };
        return differs("the timestamp column", name(&old.timestamp), name(&new.timestamp));
    }
    if old.schema.key != new.schema.key {
        return refuse(format!(
            "Key columns must be identical. The following key columns are changed, missing or reordered: [{}]",
            show_changed(&old.schema.key, &new.schema.key, " KEY")
        ));
    }
    let prefix = new.schema.value.get(..old.schema.value.len());
    if prefix != Some(old.schema.value.as_slice()) {
        return refuse(format!(
            "The following columns are changed, missing or reordered: [{}]",
            show_changed(&old.schema.value, &new.schema.value, "")
        ));
    }
    Ok(())
}

fn show_changed(old: &[Column], new: &[Column], suffix: &str) -> String {
    let changed: Vec<String> = old
        .iter()
        .enumerate()
        .filter(|(i, column)| new.get(*i) != Some(column))
        .map(|(_, c)| format!("{} {}{suffix}", quote_identifier(&c.name), c.sql_type))
        .collect();
    changed.join(", ")
}

fn kind_name(kind: ResultKind) -> &'static str {
    match kind {
        ResultKind::Stream => "a stream",
        ResultKind::Table => "a table",
    }
}

fn refuse<T>(message: String) -> Result<T> {
    Err(SqlError::analysis(message, Span::default()).with_hint(
        "Filters and added columns can be replaced. For any other change DROP it and create it again, or create another \
         one beside it.",
    ))
}

/// The query that fills the source and goes on with a new plan. None if no query does.
///
/// Errors: several queries write the source.
pub fn running_query(metastore: &Metastore, source: &Source) -> Result<Option<Arc<QueryEntry>>> {
    let writers: Vec<&Arc<QueryEntry>> = metastore.writers(&source.name).collect();
    match writers.as_slice() {
        [] => Ok(None),
        [one] if one.kind == QueryKind::CreateAsSelect => Ok(Some(Arc::clone(one))),
        several => {
            let ids: Vec<&str> = several.iter().map(|q| q.plan.query_id.as_str()).collect();
            refuse(format!(
                "Cannot replace {}: only the query that created it may write it, but these do: {}",
                quote_identifier(&source.name),
                ids.join(", ")
            ))
        }
    }
}

/// Checks that a running query can go on with the new plan: filters and projections may change, everything that
/// has state or decides keys may not.
///
/// Errors: the first step that differs, or that no upgrade is known for.
pub fn check_query(old: &QueryPlan, new: &QueryPlan) -> Result<()> {
    if old.root == new.root {
        return Ok(());
    }
    check_step(&old.root, &new.root)
}

fn check_step(old: &Step, new: &Step) -> Result<()> {
    let (old, new) = (below_passive(old), below_passive(new));
    for step in [old, new] {
        if let Some(name) = unsupported(step) {
            return refuse(format!("Upgrades not yet supported for {name}"));
        }
    }
    let same = match (old, new) {
        (Step::Sink(a), Step::Sink(b)) => {
            a.kind == b.kind
                && a.topic == b.topic
                && a.key_format == b.key_format
                && a.value_format == b.value_format
                && a.timestamp == b.timestamp
        }
        (Step::Source(a), Step::Source(b)) => {
            a.source == b.source && a.kind == b.kind && a.topic == b.topic && a.timestamp == b.timestamp
        }
        (Step::PartitionBy(a), Step::PartitionBy(b)) => a.keys == b.keys,
        (Step::Aggregate(a), Step::Aggregate(b)) => {
            check_aggregate(a, b)?;
            true
        }
        _ => false,
    };
    if !same {
        return refuse(format!(
            "Query is not upgradeable. Plan step {} is not the same as {}",
            name(old),
            name(new)
        ));
    }
    match (old.inputs().as_slice(), new.inputs().as_slice()) {
        ([a], [b]) => check_step(a, b),
        _ => Ok(()),
    }
}

fn check_aggregate(old: &AggregateStep, new: &AggregateStep) -> Result<()> {
    if old.keys != new.keys {
        return refuse("StreamAggregate must have the same grouping expressions".to_owned());
    }
    if old.calls != new.calls {
        return refuse("StreamAggregate must have the same aggregate functions".to_owned());
    }
    let (a, b) = (columns_read(old), columns_read(new));
    if a != b {
        let show = |columns: &BTreeSet<String>| columns.iter().cloned().collect::<Vec<_>>().join(", ");
        return refuse(format!(
            "StreamAggregate must have matching columns not part of aggregate. Values differ: [{}] vs. [{}]",
            show(&a),
            show(&b)
        ));
    }
    Ok(())
}

/// Columns of the source that the aggregation and the filters below it read.
fn columns_read(step: &AggregateStep) -> BTreeSet<String> {
    let mut out: BTreeSet<String> = BTreeSet::new();
    let exprs = step.keys.iter().map(|(_, e)| e).chain(step.calls.iter().flat_map(|c| &c.arguments));
    for expr in exprs {
        out.extend(expr.columns().into_iter().map(str::to_owned));
    }
    let mut input = step.input.as_ref();
    while let Step::Filter(filter) = input {
        out.extend(filter.predicate.columns().into_iter().map(str::to_owned));
        input = &filter.input;
    }
    out
}

/// The next step that matters: filters and projections come and go.
fn below_passive(step: &Step) -> &Step {
    match step {
        Step::Filter(s) => below_passive(&s.input),
        Step::Project(s) => below_passive(&s.input),
        other => other,
    }
}

fn unsupported(step: &Step) -> Option<&'static str> {
    match step {
        Step::StreamStreamJoin(_) => Some("StreamStreamJoin"),
        Step::StreamTableJoin(_) => Some("StreamTableJoin"),
        Step::TableTableJoin(_) => Some("TableTableJoin"),
        Step::ForeignKeyJoin(_) => Some("ForeignKeyTableTableJoin"),
        Step::FlatMap(_) => Some("StreamFlatMap"),
        Step::Aggregate(s) if s.window.is_some() => Some("StreamWindowedAggregate"),
        Step::Aggregate(s) if s.input_kind == ResultKind::Table => Some("TableAggregate"),
        Step::Repartition(_) => Some("Repartition"),
        Step::Aggregate(_)
        | Step::Source(_)
        | Step::Filter(_)
        | Step::Project(_)
        | Step::PartitionBy(_)
        | Step::Sink(_) => None,
    }
}

fn name(step: &Step) -> &'static str {
    match step {
        Step::Source(_) => "source",
        Step::Filter(_) => "filter",
        Step::Project(_) => "project",
        Step::FlatMap(_) => "flat map",
        Step::PartitionBy(_) => "partition by",
        Step::Repartition(_) => "repartition",
        Step::Aggregate(_) => "aggregate",
        Step::StreamStreamJoin(_) => "stream-stream join",
        Step::StreamTableJoin(_) => "stream-table join",
        Step::TableTableJoin(_) => "table-table join",
        Step::ForeignKeyJoin(_) => "foreign-key join",
        Step::Sink(_) => "sink",
    }
}
