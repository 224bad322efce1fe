//! CREATE STREAM and TABLE over topics, DROP, ALTER, types, and what ends or pauses queries.

use std::sync::Arc;

use crate::ast::ident::Ident;
use crate::ast::statement::{
    AlterSource, ColumnDefinition, ColumnRole, CreateSource, DropSource, QueryTarget,
};
use crate::ast::types::{TypeKind, TypeName};
use crate::catalog::SchemaRequest;
use crate::context::Context;
use crate::error::{Result, SqlError};
use crate::format::{FormatInfo, RecordSide};
use crate::format_props::capability::supports_inference;
use crate::format_props::{SideProperties, WithProperties, WithUse, format_info};
use crate::metastore::source::{QueryKind, Source, kind_noun};
use crate::plan::command::{CreateSourceCommand, DdlCommand};
use crate::plan::physical::{PLAN_VERSION, QueryPlan, QueryRole, ResultKind, SourceStep, Step};
use crate::plan::statement::{
    CleanupPolicy, PersistentQuery, PreparedCommand, PreparedStatement, QueryAction, unknown_query,
};
use crate::plan::upgrade;
use crate::planner::create_as::result_kind;
use crate::planner::formats::check_available;
use crate::planner::target::{
    check_timestamp, default_value_format, kind_word, settle_formats, topic_spec, unknown_source, value_span,
};
use crate::schema::{Column, HeaderColumn, LogicalSchema, SYSTEM_COLUMNS};
use crate::span::Span;
use crate::suggest::did_you_mean;
use crate::types::{SqlType, quote_identifier};

pub(crate) fn create_source(
    context: &Context<'_>,
    create: &CreateSource,
    sql: &str,
    number: u64,
) -> Result<PreparedStatement> {
    let kind = result_kind(create.kind);
    check_roles(kind, &create.columns)?;
    let with = WithProperties::read(&create.properties, WithUse::CreateSource)?;
    let existing = existing_source(context, &create.name, kind, create.or_replace, create.read_only)?;
    if let Some(skipped) =
        skip_existing(existing.as_deref(), &create.name, kind, create.or_replace, create.if_not_exists)?
    {
        return Ok(skipped);
    }
    let Some(topic_name) = with.topic.clone() else {
        return Err(SqlError::analysis(
            "Missing required property \"KAFKA_TOPIC\" which has no default value.",
            create.name.span(),
        ));
    };
    let key_format = format_info(
        RecordSide::Key,
        with.key.format.unwrap_or(context.session.default_key_format),
        &with.key.format_properties,
    )?;
    let value_format = match with.value.format {
        Some(format) => format,
        None => default_value_format(context, with.span)?,
    };
    let mut value_format = format_info(RecordSide::Value, value_format, &with.value.format_properties)?;
    check_available(context, &create.properties, key_format.format, value_format.format)?;
    let schema = source_schema(context, create, &with, &topic_name, &key_format, &value_format)?;
    if schema.value.is_empty() && schema.key.is_empty() && schema.headers.is_empty() {
        return Err(SqlError::analysis(
            "The statement does not define any columns. No columns supplied.",
            create.name.span(),
        ));
    }
    if kind == ResultKind::Table && schema.key.is_empty() {
        return Err(SqlError::analysis(
            "Tables require a PRIMARY KEY. Please define the PRIMARY KEY.",
            create.name.span(),
        ));
    }
    if with.window.is_some() && schema.key.is_empty() {
        return Err(SqlError::analysis("Windowed sources require a key column.", create.name.span()));
    }
    settle_formats(context, &with, &schema, &key_format, &mut value_format)?;
    check_timestamp(with.timestamp.as_ref(), &schema)
        .map_err(|e| e.at(value_span(&create.properties, "TIMESTAMP")))?;
    let cleanup = match (kind, with.window) {
        (ResultKind::Stream, _) => CleanupPolicy::Delete,
        (ResultKind::Table, None) => CleanupPolicy::Compact,
        (ResultKind::Table, Some(_)) => CleanupPolicy::CompactDelete,
    };
    let topic = topic_spec(context, &with, &topic_name, None, cleanup, None)?;
    let ddl = CreateSourceCommand {
        name: create.name.name.clone(),
        kind,
        topic: topic_name,
        schema,
        key_format,
        value_format,
        window: with.window,
        timestamp: with.timestamp,
        read_only: create.read_only,
        or_replace: create.or_replace,
        from_query: false,
        sql: sql.to_owned(),
    };
    if let Some(existing) = &existing {
        upgrade::check_source(existing, &ddl)?;
    }
    let query = materialising_query(context, &ddl, number);
    Ok(PreparedStatement::Command(Box::new(PreparedCommand {
        query,
        topic: Some(topic),
        ..PreparedCommand::ddl(DdlCommand::CreateSource(ddl))
    })))
}

/// SOURCE tables are kept in a state store by a query of their own, so that they can be asked.
fn materialising_query(
    context: &Context<'_>,
    ddl: &CreateSourceCommand,
    number: u64,
) -> Option<PersistentQuery> {
    if !(ddl.read_only
        && ddl.kind == ResultKind::Table
        && context.session.source_table_materialization_enabled)
    {
        return None;
    }
    let root = Step::Source(SourceStep::from(&Source::from(ddl)));
    let plan = QueryPlan {
        version: PLAN_VERSION,
        query_id: format!("CST_{}_{number}", ddl.name.to_uppercase()),
        sources: vec![ddl.name.clone()],
        sink: None,
        role: QueryRole::SourceTable,
        root,
    };
    Some(PersistentQuery { kind: QueryKind::SourceTable, plan, replaces: false })
}

/// The source of that name, if a statement may replace or skip it.
///
/// Errors: it exists and the statement does not say what to do then; SOURCE streams and tables cannot be replaced.
pub(crate) fn existing_source(
    context: &Context<'_>,
    name: &Ident,
    kind: ResultKind,
    or_replace: bool,
    read_only: bool,
) -> Result<Option<Arc<Source>>> {
    let existing = context.metastore.source(&name.name).cloned();
    let refuse = |why: String| {
        Err(SqlError::analysis(format!("Cannot add {} '{}': {why}", kind_noun(kind), name.name), name.span()))
    };
    if or_replace && (read_only || existing.as_ref().is_some_and(|s| s.read_only)) {
        return refuse(format!("CREATE OR REPLACE is not supported on source {}s.", kind_noun(kind)));
    }
    if or_replace && !context.session.create_or_replace_enabled {
        return refuse("CREATE OR REPLACE is disabled by ksql.create.or.replace.enabled".to_owned());
    }
    Ok(existing)
}

/// What a statement that makes a source does about one of the same name: nothing if it may go on.
///
/// Errors: the source exists and the statement says neither OR REPLACE nor IF NOT EXISTS.
pub(crate) fn skip_existing(
    existing: Option<&Source>,
    name: &Ident,
    kind: ResultKind,
    or_replace: bool,
    if_not_exists: bool,
) -> Result<Option<PreparedStatement>> {
    let Some(existing) = existing.filter(|_| !or_replace) else { return Ok(None) };
    let exists = format!("A {} with the same name already exists", kind_noun(existing.kind));
    if if_not_exists {
        let message = format!("Cannot add {} {}: {exists}.", kind_noun(kind), quote_identifier(&name.name));
        return Ok(Some(PreparedStatement::Skipped { message }));
    }
    let message = format!("Cannot add {} '{}': {exists}", kind_noun(kind), name.name);
    Err(SqlError::analysis(message, name.span()))
}

fn check_roles(kind: ResultKind, columns: &[ColumnDefinition]) -> Result<()> {
    for column in columns {
        let wrong = match (kind, &column.role) {
            (ResultKind::Table, ColumnRole::Key) => Some(("KEY", "PRIMARY KEY", "tables")),
            (ResultKind::Stream, ColumnRole::PrimaryKey) => Some(("PRIMARY KEY", "KEY", "streams")),
            _ => None,
        };
        if let Some((has, wants, what)) = wrong {
            return Err(SqlError::analysis(
                format!(
                    "Column {} is a '{has}' column: please use '{wants}' for {what}.",
                    quote_identifier(&column.name.name)
                ),
                column.place.span(),
            ));
        }
        if SYSTEM_COLUMNS.contains(&column.name.name.as_str()) {
            return Err(SqlError::analysis(
                format!(
                    "'{}' is a reserved column name. You cannot use it as a name for a column.",
                    column.name.name
                ),
                column.name.span(),
            ));
        }
    }
    Ok(())
}

/// The declared columns, completed by registered schemas where a side has none.
fn source_schema(
    context: &Context<'_>,
    create: &CreateSource,
    with: &WithProperties,
    topic: &str,
    key_format: &FormatInfo,
    value_format: &FormatInfo,
) -> Result<LogicalSchema> {
    let mut schema = declared_schema(context, &create.columns)?;
    for (side, given, format, columns) in [
        (RecordSide::Key, &with.key, key_format, &mut schema.key),
        (RecordSide::Value, &with.value, value_format, &mut schema.value),
    ] {
        let prefix = side.property_prefix();
        if given.schema_id().is_some() {
            if !supports_inference(format.format) {
                return Err(SqlError::analysis(
                    format!(
                        "{prefix}_FORMAT should support schema inference when {prefix}_SCHEMA_ID is provided. Current \
                         format is {}.",
                        format.format
                    ),
                    with.span,
                ));
            }
            if !columns.is_empty() {
                return Err(SqlError::analysis(
                    format!("Table elements and {prefix}_SCHEMA_ID cannot both exist for create statement."),
                    with.span,
                ));
            }
        }
        if columns.is_empty()
            && supports_inference(format.format)
            && let Some(found) =
                supplied_columns(context, topic, side, format, given, inference_required(side, given))?
        {
            *columns = found;
        }
    }
    refuse_repeated_names(&schema)?;
    Ok(schema)
}

/// A value without columns must be in the registry; a key may be absent.
fn inference_required(side: RecordSide, given: &SideProperties) -> bool {
    side == RecordSide::Value || given.schema_id().is_some()
}

/// The columns of a registered schema. None if there is none and it is not `required`.
pub(crate) fn supplied_columns(
    context: &Context<'_>,
    topic: &str,
    side: RecordSide,
    format: &FormatInfo,
    given: &SideProperties,
    required: bool,
) -> Result<Option<Vec<Column>>> {
    let request = SchemaRequest {
        topic,
        side,
        format: format.format,
        schema_id: given.schema_id(),
        full_name: given.full_schema_name(),
        wrapped: format.wrap_single,
    };
    match context.schemas.columns(&request) {
        Ok(Some(columns)) => Ok(Some(columns)),
        Ok(None) if !required => Ok(None),
        Ok(None) => {
            let what = match given.schema_id() {
                Some(id) => format!("Schema with id {id} for message {}s", side.noun()),
                None => format!("Schema for message {}s", side.noun()),
            };
            Err(SqlError::analysis(
                format!("{what} on topic '{topic}' does not exist in the Schema Registry."),
                Span::default(),
            )
            .with_hint("Register it, or list the columns in the statement."))
        }
        Err(message) => Err(SqlError::analysis(message, Span::default())),
    }
}

fn declared_schema(context: &Context<'_>, definitions: &[ColumnDefinition]) -> Result<LogicalSchema> {
    let mut schema = LogicalSchema::default();
    for definition in definitions {
        let sql_type = resolve_type(context, &definition.type_name)?;
        let column = Column::new(definition.name.name.clone(), sql_type);
        match &definition.role {
            ColumnRole::Value => schema.value.push(column),
            ColumnRole::Key | ColumnRole::PrimaryKey => schema.key.push(column),
            ColumnRole::Headers => push_header(context, &mut schema, column, None, definition.place.span())?,
            ColumnRole::Header(key) => {
                push_header(context, &mut schema, column, Some(key.clone()), definition.place.span())?;
            }
        }
    }
    Ok(schema)
}

fn push_header(
    context: &Context<'_>,
    schema: &mut LogicalSchema,
    column: Column,
    key: Option<String>,
    span: Span,
) -> Result<()> {
    if !context.session.header_columns_enabled {
        return Err(SqlError::analysis(
            "Cannot create a stream or table with header columns while ksql.headers.columns.enabled is false.",
            span,
        ));
    }
    let (wanted, what) = match &key {
        None => (
            SqlType::array(SqlType::structure([("KEY", SqlType::String), ("VALUE", SqlType::Bytes)])),
            "HEADERS".to_owned(),
        ),
        Some(key) => (SqlType::Bytes, format!("HEADER('{key}')")),
    };
    if column.sql_type != wanted {
        return Err(SqlError::analysis(
            format!("Invalid type for {what} column: expected {wanted}, got {}", column.sql_type),
            span,
        ));
    }
    let clash = match &key {
        None => schema.headers.iter().any(|h| h.key.is_none()),
        Some(_) => schema.headers.iter().any(|h| h.key.is_none() || h.key == key),
    };
    if clash {
        let has = if schema.headers.iter().any(|h| h.key.is_none()) { "HEADERS".to_owned() } else { what };
        return Err(SqlError::analysis(format!("Schema already contains a {has} column."), span));
    }
    schema.headers.push(HeaderColumn { column, key });
    Ok(())
}

fn refuse_repeated_names(schema: &LogicalSchema) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    for (role, columns) in [("key", &schema.key), ("value", &schema.value)] {
        for column in columns {
            if !seen.insert(column.name.as_str()) {
                return Err(SqlError::analysis(
                    format!(
                        "Duplicate {role} columns found in schema: {} {}",
                        quote_identifier(&column.name),
                        column.sql_type
                    ),
                    Span::default(),
                ));
            }
        }
    }
    Ok(())
}

fn resolve_type(context: &Context<'_>, type_name: &TypeName) -> Result<SqlType> {
    let resolved = type_name.resolve(&|name| context.metastore.custom_type(name).cloned());
    resolved.map_err(|error| {
        let TypeKind::Custom(name) = &type_name.kind else { return error };
        let known = context.metastore.custom_types().map(|(known, _)| known);
        match did_you_mean(&name.name, known) {
            Some(hint) if error.hint.is_none() => error.with_hint(hint),
            _ => error,
        }
    })
}

pub(crate) fn drop_source(context: &Context<'_>, drop: &DropSource) -> Result<PreparedStatement> {
    let kind = result_kind(drop.kind);
    let word = if kind == ResultKind::Stream { "Stream" } else { "Table" };
    let Some(source) = context.metastore.source(&drop.name.name) else {
        if drop.if_exists {
            let message = format!("Source {} does not exist.", quote_identifier(&drop.name.name));
            return Ok(PreparedStatement::Skipped { message });
        }
        let message = format!("{word} {} does not exist", drop.name.name);
        return Err(unknown_source(context, message, &drop.name.name, drop.name.span()));
    };
    let name = &source.name;
    if source.kind != kind {
        return Err(SqlError::analysis(
            format!(
                "Incompatible data source type is {}, but statement was DROP {}",
                kind_word(source.kind),
                kind_word(kind)
            ),
            drop.name.span(),
        ));
    }
    if drop.delete_topic && source.read_only {
        return Err(SqlError::analysis(
            format!("Cannot delete topic for read-only source: {name}"),
            drop.name.span(),
        ));
    }
    if drop.delete_topic && context.topics.is_read_only(&source.topic) {
        return Err(SqlError::analysis(
            format!("Cannot delete read-only topic: {}", source.topic),
            drop.name.span(),
        ));
    }
    let mut derived = Vec::new();
    let mut reading = Vec::new();
    let mut own = Vec::new();
    for query in context.metastore.readers(name) {
        match (query.kind, &query.plan.sink) {
            (QueryKind::CreateAsSelect, Some(sink)) => derived.push(sink.clone()),
            (QueryKind::SourceTable, _) => own.push(query.plan.query_id.clone()),
            _ => reading.push(query.plan.query_id.clone()),
        }
    }
    let mut writing = Vec::new();
    for query in context.metastore.writers(name) {
        match query.kind {
            QueryKind::CreateAsSelect => own.push(query.plan.query_id.clone()),
            QueryKind::InsertSelect | QueryKind::SourceTable => writing.push(query.plan.query_id.clone()),
        }
    }
    if !derived.is_empty() {
        return Err(SqlError::analysis(
            format!(
                "Cannot drop {name}.\nThe following streams and/or tables read from this source: [{0}].\nYou need to \
                 drop them before dropping {name}.",
                derived.join(", ")
            ),
            drop.name.span(),
        ));
    }
    if !reading.is_empty() || !writing.is_empty() {
        return Err(SqlError::analysis(
            format!(
                "Cannot drop {name}.\nThe following queries read from this source: [{}].\nThe following queries write \
                 into this source: [{}].\nYou need to terminate them before dropping {name}.",
                reading.join(", "),
                writing.join(", ")
            ),
            drop.name.span(),
        ));
    }
    Ok(PreparedStatement::Command(Box::new(PreparedCommand {
        delete_topic: drop.delete_topic.then(|| source.topic.clone()),
        terminates: own,
        ..PreparedCommand::ddl(DdlCommand::DropSource { name: name.clone() })
    })))
}

pub(crate) fn alter_source(
    context: &Context<'_>,
    alter: &AlterSource,
    sql: &str,
) -> Result<PreparedStatement> {
    let name = &alter.name;
    let kind = result_kind(alter.kind);
    let Some(source) = context.metastore.source(&name.name) else {
        let message = format!("Source {} does not exist.", name.name);
        return Err(unknown_source(context, message, &name.name, name.span()));
    };
    let refuse = |message: String| Err(SqlError::analysis(message, name.span()));
    if source.kind != kind {
        return refuse(format!(
            "Incompatible data source type is {}, but statement was ALTER {}",
            kind_word(source.kind),
            kind_word(kind)
        ));
    }
    if source.read_only {
        return refuse(format!(
            "Cannot alter {0} '{1}': ALTER operations are not supported on source {0}s.",
            kind_noun(kind),
            source.name
        ));
    }
    if source.from_query {
        return refuse("ALTER command is not supported for CREATE ... AS statements.".to_owned());
    }
    let mut columns: Vec<Column> = Vec::with_capacity(alter.columns.len());
    for (column, type_name) in &alter.columns {
        let known =
            source.schema.find(&column.name).is_some() || columns.iter().any(|c| c.name == column.name);
        if known {
            return Err(SqlError::analysis(
                format!(
                    "Cannot add column {} to schema. A column with the same name already exists.",
                    quote_identifier(&column.name)
                ),
                column.span(),
            ));
        }
        columns.push(Column::new(column.name.clone(), resolve_type(context, type_name)?));
    }
    let value: Vec<Column> = source.schema.value.iter().chain(&columns).cloned().collect();
    crate::format_props::capability::check_columns(RecordSide::Value, source.value_format.format, &value)?;
    let ddl = DdlCommand::AlterSource { name: source.name.clone(), columns, sql: sql.to_owned() };
    Ok(PreparedStatement::Command(Box::new(PreparedCommand::ddl(ddl))))
}

pub(crate) fn create_type(
    context: &Context<'_>,
    name: &Ident,
    definition: &TypeName,
    if_not_exists: bool,
) -> Result<PreparedStatement> {
    if let Some(existing) = context.metastore.custom_type(&name.name) {
        return if if_not_exists {
            let message = format!("{} is already registered with type {existing}", name.name);
            Ok(PreparedStatement::Skipped { message })
        } else {
            let message = format!(
                "Cannot register custom type '{}' since it is already registered with type: {existing}",
                name.name
            );
            Err(SqlError::analysis(message, name.span()))
        };
    }
    let sql_type = resolve_type(context, definition)?;
    let ddl = DdlCommand::RegisterType { name: name.name.clone(), sql_type };
    Ok(PreparedStatement::Command(Box::new(PreparedCommand::ddl(ddl))))
}

pub(crate) fn drop_type(context: &Context<'_>, name: &Ident, if_exists: bool) -> Result<PreparedStatement> {
    if context.metastore.custom_type(&name.name).is_some() {
        let ddl = DdlCommand::DropType { name: name.name.clone() };
        return Ok(PreparedStatement::Command(Box::new(PreparedCommand::ddl(ddl))));
    }
    if if_exists {
        return Ok(PreparedStatement::Skipped { message: format!("Type '{}' does not exist.", name.name) });
    }
    let error = SqlError::analysis(format!("Type {} does not exist.", name.name), name.span());
    match did_you_mean(&name.name, context.metastore.custom_types().map(|(known, _)| known)) {
        Some(hint) => Err(error.with_hint(hint)),
        None => Err(error),
    }
}

/// TERMINATE, PAUSE, RESUME of persistent queries. TERMINATE of another id is passed through: it may be a running
/// push query, which cannot be paused.
pub(crate) fn queries(
    context: &Context<'_>,
    target: &QueryTarget,
    action: QueryAction,
) -> Result<PreparedStatement> {
    let verb = match action {
        QueryAction::Terminate => "terminate",
        QueryAction::Pause => "pause",
        QueryAction::Resume => "resume",
    };
    let ids = match target {
        QueryTarget::All => context
            .metastore
            .queries()
            .filter(|q| q.kind != QueryKind::SourceTable)
            .map(|q| q.plan.query_id.clone())
            .collect(),
        QueryTarget::Query(id) => {
            // Query ids are upper case, except those of push queries, which keep their own.
            let known = context
                .metastore
                .query(&id.name)
                .or_else(|| context.metastore.query(&id.name.to_uppercase()));
            match known {
                Some(query) if query.kind == QueryKind::SourceTable => {
                    return Err(SqlError::analysis(
                        format!(
                            "Cannot {verb} query '{}' because it is linked to a source table.",
                            query.plan.query_id
                        ),
                        id.span(),
                    ));
                }
                Some(query) => vec![query.plan.query_id.clone()],
                None if action == QueryAction::Terminate => {
                    return Ok(PreparedStatement::TerminateTransient {
                        id: id.name.clone(),
                        place: id.span(),
                    });
                }
                None => {
                    let known = context.metastore.queries().map(|q| q.plan.query_id.as_str());
                    return Err(unknown_query(&id.name, id.span(), known));
                }
            }
        }
    };
    Ok(PreparedStatement::Queries { action, ids })
}
