//! CREATE … AS SELECT, INSERT INTO … SELECT and push queries.

use crate::analyzer::projection::Purpose;
use crate::analyzer::query::{analyze, refuse_clashes};
use crate::ast::query::Query;
use crate::ast::statement::{CreateAsSelect, InsertSelect, SourceKind};
use crate::context::Context;
use crate::error::{Result, SqlError};
use crate::format::{Format, FormatInfo, RecordSide};
use crate::format_props::{WithProperties, WithUse, format_info};
use crate::metastore::source::{QueryKind, Source, kind_noun};
use crate::plan::command::{CreateSourceCommand, DdlCommand};
use crate::plan::logical::{Body, LogicalQuery};
use crate::plan::physical::{PLAN_VERSION, QueryPlan, QueryRole, ResultKind, SinkStep, Step};
use crate::plan::statement::{
    CleanupPolicy, OutputColumn, PersistentQuery, PreparedCommand, PreparedStatement, PushQuery,
};
use crate::plan::upgrade;
use crate::planner::ddl::{existing_source, skip_existing, supplied_columns};
use crate::planner::formats::{check_available, sink_format};
use crate::planner::steps;
use crate::planner::target::{
    check_timestamp, default_value_format, kind_word, settle_formats, topic_spec, unknown_source, value_span,
};
use crate::schema::LogicalSchema;
use crate::span::Span;
use crate::value::SqlValue;

/// Prefixes that generated query ids have.
const GENERATED_ID_PREFIXES: [&str; 4] = ["INSERTQUERY_", "CTAS_", "CSAS_", "CST_"];

pub(crate) fn create_as_select(
    context: &Context<'_>,
    create: &CreateAsSelect,
    sql: &str,
    number: u64,
) -> Result<PreparedStatement> {
    let with = WithProperties::read(&create.properties, WithUse::CreateAsSelect)?;
    let kind = result_kind(create.kind);
    let existing = existing_source(context, &create.name, kind, create.or_replace, false)?;
    if let Some(skipped) =
        skip_existing(existing.as_deref(), &create.name, kind, create.or_replace, create.if_not_exists)?
    {
        return Ok(skipped);
    }
    refuse_limit(&create.query, &format!("CREATE {} AS SELECT", kind_word(kind)))?;
    let logical = analyze(*context, &create.query, Purpose::Persistent { sink: &create.name.name })?;
    if logical.kind != kind {
        return Err(SqlError::analysis(
            format!(
                "Invalid result type. Your SELECT query produces a {0}. Please use CREATE {0} AS SELECT statement instead.",
                kind_word(logical.kind)
            ),
            create.name.span(),
        ));
    }
    let input = steps::build(context, &logical)?;
    let schema = input.schema().clone();
    check_columns(&schema)?;
    let (key_format, mut value_format) = formats(context, &with, create, &logical, &schema)?;
    for source in &logical.sources {
        let source = &source.source;
        check_available(context, &create.properties, source.key_format.format, source.value_format.format)?;
    }
    check_available(context, &create.properties, key_format.format, value_format.format)?;
    settle_formats(context, &with, &schema, &key_format, &mut value_format)?;
    check_registered(context, &with, &key_format, &value_format, &schema)?;
    check_timestamp(with.timestamp.as_ref(), &schema)
        .map_err(|e| e.at(value_span(&create.properties, "TIMESTAMP")))?;
    let topic_name = with
        .topic
        .clone()
        .unwrap_or_else(|| format!("{}{}", context.session.output_topic_prefix, create.name.name));
    let window = input.window();
    let (cleanup, retention_ms) = match (kind, &logical.body) {
        (ResultKind::Table, Body::Aggregate(body)) if body.window.is_some() => {
            let window = body.window.expect("checked by the guard");
            let kept = window.size_ms().saturating_add(window.effective_grace_ms());
            (CleanupPolicy::CompactDelete, Some(window.retention_ms.unwrap_or(kept)))
        }
        (ResultKind::Table, _) => (CleanupPolicy::Compact, None),
        (ResultKind::Stream, _) => (CleanupPolicy::Delete, None),
    };
    let source_topic = context.topics.topic(&logical.sources[0].source.topic);
    let topic = topic_spec(
        context,
        &with,
        &topic_name,
        source_topic.map(|t| t.partitions).or(Some(1)),
        cleanup,
        retention_ms.or_else(|| {
            source_topic.and_then(|t| t.retention_ms).filter(|_| cleanup == CleanupPolicy::Delete)
        }),
    )?;
    if context.topics.is_read_only(&topic.name) {
        return Err(SqlError::analysis(
            format!("Cannot write to read-only topic: {}", topic.name),
            with.span,
        ));
    }
    let ddl = CreateSourceCommand {
        name: create.name.name.clone(),
        kind,
        topic: topic.name.clone(),
        schema: schema.clone(),
        key_format: key_format.clone(),
        value_format: value_format.clone(),
        window,
        timestamp: with.timestamp.clone(),
        read_only: false,
        or_replace: create.or_replace,
        from_query: true,
        sql: sql.to_owned(),
    };
    let root = Step::Sink(SinkStep {
        input: Box::new(input),
        kind,
        topic: topic.name.clone(),
        key_format,
        value_format,
        window,
        timestamp: with.timestamp,
        schema,
    });
    let prefix = match kind {
        ResultKind::Stream => "CSAS",
        ResultKind::Table => "CTAS",
    };
    let mut plan = query_plan(
        format!("{prefix}_{}_{number}", create.name.name.to_uppercase()),
        &logical,
        Some(create.name.name.clone()),
        root,
    );
    let mut replaces = false;
    if let Some(existing) = existing {
        upgrade::check_source(&existing, &ddl)?;
        if let Some(running) = upgrade::running_query(context.metastore, &existing)? {
            upgrade::check_query(&running.plan, &plan)?;
            plan.query_id.clone_from(&running.plan.query_id);
            replaces = true;
        }
    }
    Ok(PreparedStatement::Command(Box::new(PreparedCommand {
        ddl: Some(DdlCommand::CreateSource(ddl)),
        query: Some(PersistentQuery { kind: QueryKind::CreateAsSelect, plan, replaces }),
        topic: Some(topic),
        delete_topic: None,
        terminates: Vec::new(),
    })))
}

pub(crate) fn insert_select(
    context: &Context<'_>,
    insert: &InsertSelect,
    number: u64,
) -> Result<PreparedStatement> {
    let name = &insert.target;
    let Some(target) = context.metastore.source(&name.name) else {
        let message = format!("Source `{}` does not exist.", name.name);
        return Err(unknown_source(context, message, &name.name, name.span()));
    };
    refuse_insert_target(context, target, name.span())?;
    let query_id = query_id(context, insert, number)?;
    refuse_limit(&insert.query, "INSERT INTO")?;
    let logical = analyze(*context, &insert.query, Purpose::Persistent { sink: &name.name })?;
    if logical.kind != ResultKind::Stream {
        return Err(SqlError::analysis(
            "Incompatible result: the query produces a TABLE, INSERT INTO needs a STREAM",
            name.span(),
        ));
    }
    let input = steps::build(context, &logical)?;
    let schema = input.schema().clone();
    check_columns(&schema)?;
    if schema.key != target.schema.key || schema.value != target.schema.value {
        return Err(SqlError::analysis(
            format!(
                "Incompatible schema between results and sink.\nResult schema is {schema}\nSink schema is {}",
                target.schema
            ),
            name.span(),
        ));
    }
    let root = Step::Sink(SinkStep {
        input: Box::new(input),
        kind: ResultKind::Stream,
        topic: target.topic.clone(),
        key_format: target.key_format.clone(),
        value_format: target.value_format.clone(),
        window: target.window,
        timestamp: target.timestamp.clone(),
        schema,
    });
    let plan = query_plan(query_id, &logical, Some(name.name.clone()), root);
    Ok(PreparedStatement::Command(Box::new(PreparedCommand {
        ddl: None,
        query: Some(PersistentQuery { kind: QueryKind::InsertSelect, plan, replaces: false }),
        topic: None,
        delete_topic: None,
        terminates: Vec::new(),
    })))
}

pub(crate) fn push(context: &Context<'_>, query: &Query, number: u64) -> Result<PushQuery> {
    let logical = analyze(*context, query, Purpose::Push)?;
    let root = steps::build(context, &logical)?;
    let schema = root.schema();
    let columns = logical
        .output
        .iter()
        .map(|output| {
            let column = schema.find(&output.column).expect("the projection makes every output column");
            OutputColumn {
                name: output.label.clone(),
                sql_type: column.sql_type.clone(),
                column: output.column.clone(),
                is_key: schema.is_key(&output.column),
            }
        })
        .collect();
    let id = format!("transient_{}_{number}", logical.sources[0].source.name);
    Ok(PushQuery { plan: query_plan(id, &logical, None, root), columns, limit: query.limit })
}

fn query_plan(query_id: String, logical: &LogicalQuery, sink: Option<String>, root: Step) -> QueryPlan {
    let sources = logical.sources.iter().map(|s| s.source.name.clone()).collect();
    let role = if sink.is_some() { QueryRole::Persistent } else { QueryRole::Transient };
    QueryPlan { version: PLAN_VERSION, query_id, sources, sink, role, root }
}

pub(crate) fn result_kind(kind: SourceKind) -> ResultKind {
    match kind {
        SourceKind::Stream => ResultKind::Stream,
        SourceKind::Table => ResultKind::Table,
    }
}

fn refuse_limit(query: &Query, statement: &str) -> Result<()> {
    match query.limit {
        None => Ok(()),
        Some(_) => Err(SqlError::analysis(
            format!("{statement} statements don't support LIMIT clause."),
            query.span(),
        )),
    }
}

fn check_columns(schema: &LogicalSchema) -> Result<()> {
    if schema.value.is_empty() {
        return Err(SqlError::analysis("The projection contains no value columns.", Span::default()));
    }
    refuse_clashes(&schema.key, &schema.value)
}

fn formats(
    context: &Context<'_>,
    with: &WithProperties,
    create: &CreateAsSelect,
    logical: &LogicalQuery,
    schema: &LogicalSchema,
) -> Result<(FormatInfo, FormatInfo)> {
    let first = &logical.sources[0].source;
    let key_format = if schema.key.is_empty() {
        let explicit = create.properties.get("KEY_FORMAT").is_some();
        if explicit && with.key.format != Some(Format::None) {
            return Err(SqlError::analysis(
                format!("Key format specified for {} without key columns.", kind_noun(logical.kind)),
                with.span,
            ));
        }
        // PARTITION BY NULL drops the key; a source without a key passes its format on.
        let dropped = matches!(&logical.body, Body::PartitionBy { keys, .. } if keys.is_empty());
        let inherited = if first.key_format.format == Format::None { None } else { Some(&first.key_format) };
        match inherited.filter(|_| !dropped && with.key.format != Some(Format::None)) {
            Some(source) => {
                let default = context.session.default_key_format;
                sink_format(RecordSide::Key, &with.key, source, default)?
            }
            None => format_info(RecordSide::Key, Format::None, &Default::default())?,
        }
    } else {
        sink_format(RecordSide::Key, &with.key, &first.key_format, context.session.default_key_format)?
    };
    let default = match first.value_format.format {
        Format::None if with.value.format.is_none() => default_value_format(context, with.span)?,
        other => other,
    };
    let value_format = sink_format(RecordSide::Value, &with.value, &first.value_format, default)?;
    Ok((key_format, value_format))
}

/// With *_SCHEMA_ID: the columns must be those of the registered schema, in its order; it may have more.
fn check_registered(
    context: &Context<'_>,
    with: &WithProperties,
    key_format: &FormatInfo,
    value_format: &FormatInfo,
    schema: &LogicalSchema,
) -> Result<()> {
    for (side, given, format, columns) in [
        (RecordSide::Key, &with.key, key_format, &schema.key),
        (RecordSide::Value, &with.value, value_format, &schema.value),
    ] {
        if given.schema_id().is_none() {
            continue;
        }
        let Some(registered) = supplied_columns(context, "", side, format, given, true)? else { continue };
        let changed: Vec<String> = columns
            .iter()
            .enumerate()
            .filter(|(i, column)| registered.get(*i) != Some(column))
            .map(|(_, c)| format!("`{}` {}", c.name, c.sql_type))
            .collect();
        if !changed.is_empty() {
            let known: Vec<String> =
                registered.iter().map(|c| format!("`{}` {}", c.name, c.sql_type)).collect();
            return Err(SqlError::analysis(
                format!(
                    "The following {} columns are changed, missing or reordered: [{}]. Schema from schema registry is \
                     [{}]",
                    side.noun(),
                    changed.join(", "),
                    known.join(", ")
                ),
                with.span,
            ));
        }
    }
    Ok(())
}

/// What INSERT INTO … SELECT cannot write.
fn refuse_insert_target(context: &Context<'_>, target: &Source, span: Span) -> Result<()> {
    let message = if target.is_table() {
        format!("INSERT INTO can only be used to insert into a stream. {} is a table.", target.name)
    } else if target.read_only {
        format!("Cannot insert into read-only {}: {}", kind_noun(target.kind), target.name)
    } else if !target.schema.headers.is_empty() {
        format!("Cannot insert into {} because it has header columns", target.name)
    } else if context.topics.is_read_only(&target.topic) {
        format!("Cannot insert into read-only topic: {}", target.topic)
    } else {
        return Ok(());
    };
    Err(SqlError::analysis(message, span))
}

fn query_id(context: &Context<'_>, insert: &InsertSelect, number: u64) -> Result<String> {
    for property in &insert.properties.entries {
        if !property.name.eq_ignore_ascii_case("QUERY_ID") {
            return Err(SqlError::analysis(
                format!("Invalid config variable(s) in the WITH clause: {}", property.name),
                property.name_place.span(),
            ));
        }
    }
    let Some(property) = insert.properties.get("QUERY_ID") else {
        return Ok(format!("INSERTQUERY_{number}"));
    };
    let invalid = |why: String| Err(SqlError::analysis(why, property.value_place.span()));
    let SqlValue::String(text) = &property.value.value else {
        return invalid("QUERY_ID must be a string".to_owned());
    };
    let id = text.to_uppercase();
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return invalid(format!("Query IDs may contain only alphanumeric characters and '_'. Got: '{text}'"));
    }
    if GENERATED_ID_PREFIXES.iter().any(|prefix| id.starts_with(prefix)) {
        return invalid(format!(
            "Query IDs must not start with {}. Got: '{text}'",
            GENERATED_ID_PREFIXES.join(", ")
        ));
    }
    if context.metastore.query(&id).is_some() {
        return invalid(format!("Query ID '{id}' already exists."));
    }
    Ok(id)
}
