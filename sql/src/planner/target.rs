//! What the statements that make or fill a stream or table check in common.

use crate::analyzer::scope::did_you_mean;
use crate::ast::statement::Properties;
use crate::context::Context;
use crate::error::{ErrorKind, Result, SqlError};
use crate::format::{Format, FormatInfo, RecordSide};
use crate::format_props::WithProperties;
use crate::format_props::capability::{check_columns, resolve_wrapping};
use crate::plan::physical::{ResultKind, TimestampColumn};
use crate::plan::statement::{CleanupPolicy, TopicSpec};
use crate::schema::LogicalSchema;
use crate::span::Span;
use crate::types::{SqlType, quote_identifier};

/// "STREAM" or "TABLE".
pub(crate) fn kind_word(kind: ResultKind) -> &'static str {
    match kind {
        ResultKind::Stream => "STREAM",
        ResultKind::Table => "TABLE",
    }
}

/// Checks that the formats can carry the schema, and settles whether a single value column is wrapped.
pub(crate) fn settle_formats(
    context: &Context<'_>,
    with: &WithProperties,
    schema: &LogicalSchema,
    key_format: &FormatInfo,
    value_format: &mut FormatInfo,
) -> Result<()> {
    check_columns(RecordSide::Key, key_format.format, &schema.key)?;
    value_format.wrap_single = resolve_wrapping(
        value_format.format,
        with.wrap_single_value,
        context.session.wrap_single_values,
        schema.value.len(),
        with.span,
    )?;
    check_columns(RecordSide::Value, value_format.format, &schema.value)
}

/// Where the value of a property of the WITH clause stands.
pub(crate) fn value_span(properties: &Properties, name: &str) -> Span {
    properties.get(name).map_or_else(|| properties.span(), |property| property.value_place.span())
}

/// Checks the column of WITH (TIMESTAMP = …).
pub(crate) fn check_timestamp(timestamp: Option<&TimestampColumn>, schema: &LogicalSchema) -> Result<()> {
    let Some(timestamp) = timestamp else { return Ok(()) };
    let Some(column) = schema.find(&timestamp.column) else {
        return Err(SqlError::analysis(
            format!(
                "The TIMESTAMP column set in the WITH clause does not exist in the schema: '{}'",
                timestamp.column
            ),
            Span::default(),
        ));
    };
    match (&column.sql_type, &timestamp.format) {
        (SqlType::Bigint | SqlType::Timestamp, None) | (SqlType::String, Some(_)) => Ok(()),
        (_, Some(_)) => Err(SqlError::analysis(
            format!(
                "A timestamp_format was given, which is for STRING columns; {} is {}",
                quote_identifier(&column.name),
                column.sql_type
            ),
            Span::default(),
        )),
        (_, None) => Err(SqlError::analysis(
            format!(
                "Timestamp column, {}, should be LONG(INT64), TIMESTAMP, or a String with a timestamp_format specified",
                quote_identifier(&column.name)
            ),
            Span::default(),
        )),
    }
}

/// The topic that a statement needs: as it is, or as it would be made.
///
/// Errors: a topic that exists and differs from what the statement asks for, or that does not exist while the
/// statement does not say how many partitions to make.
pub(crate) fn topic_spec(
    context: &Context<'_>,
    with: &WithProperties,
    name: &str,
    default_partitions: Option<u32>,
    cleanup: CleanupPolicy,
    default_retention_ms: Option<i64>,
) -> Result<TopicSpec> {
    let span = with.span;
    if with.retention_ms.is_some() && cleanup == CleanupPolicy::Compact {
        return Err(SqlError::analysis(
            "Invalid config variable in the WITH clause: RETENTION_MS. Non-windowed tables do not support retention.",
            span,
        ));
    }
    let retention_ms = with.retention_ms.or(default_retention_ms);
    let Some(existing) = context.topics.topic(name) else {
        if context.topics.is_read_only(name) {
            return Err(SqlError::analysis(format!("Cannot create read-only topic: {name}"), span));
        }
        if let (Some(replicas), Some(most)) = (with.replicas, context.topics.replicas_max())
            && replicas > most
        {
            let message =
                format!("Cannot create topic '{name}' with {replicas} replicas: brokers available: {most}");
            return Err(SqlError::analysis(message, span).with_hint("Leave REPLICAS out, or give 1 or -1."));
        }
        let Some(partitions) = with.partitions.or(default_partitions) else {
            return Err(SqlError::analysis(format!("Topic '{name}' does not exist."), span)
                .of_kind(ErrorKind::Missing)
                .with_hint(
                    "To create it, give the number of PARTITIONS (and of REPLICAS) in the WITH clause.",
                ));
        };
        return Ok(TopicSpec {
            name: name.to_owned(),
            partitions,
            replicas: with.replicas,
            cleanup,
            retention_ms,
        });
    };
    let conflict = |what: &str, asked: String, has: String| {
        SqlError::analysis(
            format!(
                "A Kafka topic with the name '{name}' already exists, with different {what} configuration than \
                 required. Expected {asked} {what}, but has {has}."
            ),
            span,
        )
    };
    if let Some(partitions) = with.partitions
        && partitions != existing.partitions
    {
        return Err(conflict("partition", partitions.to_string(), existing.partitions.to_string()));
    }
    if let (Some(replicas), Some(has)) = (with.replicas, existing.replicas)
        && replicas != has
    {
        return Err(conflict("replica", replicas.to_string(), has.to_string()));
    }
    if let (Some(retention), Some(has)) = (with.retention_ms, existing.retention_ms)
        && retention != has
    {
        return Err(conflict("retention", retention.to_string(), has.to_string()));
    }
    Ok(TopicSpec {
        name: name.to_owned(),
        partitions: existing.partitions,
        replicas: existing.replicas,
        cleanup,
        retention_ms: existing.retention_ms,
    })
}

/// A name that must be a stream or table.
pub(crate) fn unknown_source(context: &Context<'_>, message: String, name: &str, span: Span) -> SqlError {
    let error = SqlError::analysis(message, span);
    match did_you_mean(context, name) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// The format of values when the statement is silent.
///
/// Errors: no default is configured.
pub(crate) fn default_value_format(context: &Context<'_>, span: Span) -> Result<Format> {
    context.session.default_value_format.ok_or_else(|| {
        SqlError::analysis(
            "Statement is missing the 'VALUE_FORMAT' property from the WITH clause. Either provide one or set a \
             default via the 'ksql.persistence.default.format.value' config.",
            span,
        )
    })
}
