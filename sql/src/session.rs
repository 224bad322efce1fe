//! What analysis depends on besides the statement and the metastore: settings, topics, registered schemas.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{Result, SqlError};
use crate::format::Format;
use crate::functions::registry::FunctionRegistry;
use crate::metastore::Metastore;
use crate::schema::Column;
use crate::span::Span;

/// Settings that change what a statement means. Names in brackets are ksqlDB's properties.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// `ksql.persistence.default.format.key`
    pub default_key_format: Format,
    /// `ksql.persistence.default.format.value`; None: statements must say.
    pub default_value_format: Option<Format>,
    /// `ksql.persistence.wrap.single.values`; None: as the format prefers.
    pub wrap_single_values: Option<bool>,
    /// `ksql.output.topic.name.prefix`
    pub output_topic_prefix: String,
    /// `ksql.service.id`
    pub service_id: String,
    /// `ksql.headers.columns.enabled`
    pub header_columns_enabled: bool,
    /// `ksql.create.or.replace.enabled`
    pub create_or_replace_enabled: bool,
    /// `ksql.insert.into.values.enabled`
    pub insert_values_enabled: bool,
    /// `ksql.query.pull.enable.standby.reads` and the like are the server's; this is `ksql.pull.queries.enable`.
    pub pull_queries_enabled: bool,
    /// `ksql.query.pull.stream.enabled`
    pub pull_stream_enabled: bool,
    /// `ksql.query.pull.limit.clause.enabled`
    pub pull_limit_enabled: bool,
    /// `ksql.query.pull.table.scan.enabled`
    pub pull_table_scan_enabled: bool,
    /// `ksql.query.pull.range.scan.enabled`
    pub pull_range_scan_enabled: bool,
    /// `ksql.suppress.enabled`
    pub suppress_enabled: bool,
    /// `ksql.source.table.materialization.enabled`
    pub source_table_materialization_enabled: bool,
    /// `ksql.new.query.planner.enabled`: streams made without their key in the projection have no key.
    pub keys_optional: bool,
}

impl Default for Session {
    fn default() -> Session {
        Session {
            default_key_format: Format::Kafka,
            default_value_format: None,
            wrap_single_values: None,
            output_topic_prefix: String::new(),
            service_id: "default_".to_owned(),
            header_columns_enabled: true,
            create_or_replace_enabled: true,
            insert_values_enabled: true,
            pull_queries_enabled: true,
            pull_stream_enabled: true,
            pull_limit_enabled: true,
            pull_table_scan_enabled: true,
            pull_range_scan_enabled: true,
            suppress_enabled: true,
            source_table_materialization_enabled: true,
            keys_optional: false,
        }
    }
}

impl Session {
    /// Takes the properties that matter here; others are ignored.
    ///
    /// Errors: a value that the property cannot have.
    pub fn with_properties(mut self, properties: &BTreeMap<String, String>) -> Result<Session> {
        for (name, value) in properties {
            self.set(name, value)?;
        }
        Ok(self)
    }

    /// Sets one property; false if it does not concern analysis.
    ///
    /// Errors: a value that the property cannot have.
    pub fn set(&mut self, name: &str, value: &str) -> Result<bool> {
        match name {
            "ksql.persistence.default.format.key" => self.default_key_format = parse_format(value)?,
            "ksql.persistence.default.format.value" => self.default_value_format = Some(parse_format(value)?),
            "ksql.persistence.wrap.single.values" => self.wrap_single_values = Some(parse_bool(name, value)?),
            "ksql.output.topic.name.prefix" => self.output_topic_prefix = value.to_owned(),
            "ksql.service.id" => self.service_id = value.to_owned(),
            "ksql.headers.columns.enabled" => self.header_columns_enabled = parse_bool(name, value)?,
            "ksql.create.or.replace.enabled" => self.create_or_replace_enabled = parse_bool(name, value)?,
            "ksql.insert.into.values.enabled" => self.insert_values_enabled = parse_bool(name, value)?,
            "ksql.pull.queries.enable" => self.pull_queries_enabled = parse_bool(name, value)?,
            "ksql.query.pull.stream.enabled" => self.pull_stream_enabled = parse_bool(name, value)?,
            "ksql.query.pull.limit.clause.enabled" => self.pull_limit_enabled = parse_bool(name, value)?,
            "ksql.query.pull.table.scan.enabled" => self.pull_table_scan_enabled = parse_bool(name, value)?,
            "ksql.query.pull.range.scan.enabled" => self.pull_range_scan_enabled = parse_bool(name, value)?,
            "ksql.suppress.enabled" => self.suppress_enabled = parse_bool(name, value)?,
            "ksql.source.table.materialization.enabled" => {
                self.source_table_materialization_enabled = parse_bool(name, value)?;
            }
            "ksql.new.query.planner.enabled" => self.keys_optional = parse_bool(name, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn parse_format(value: &str) -> Result<Format> {
    Format::from_name(value).ok_or_else(|| {
        SqlError::analysis(format!("Unknown format: {}", value.to_ascii_uppercase()), Span::default())
    })
}

fn parse_bool(name: &str, value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(SqlError::analysis(
            format!("Invalid value \"{value}\" for property '{name}': true or false expected"),
            Span::default(),
        )),
    }
}

/// What is known of a topic that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    pub partitions: u32,
    pub replicas: Option<u16>,
    /// ms
    pub retention_ms: Option<i64>,
}

/// The topics of the cluster, as far as statements depend on them.
pub trait TopicCatalog: fmt::Debug {
    /// None if there is no such topic.
    fn topic(&self, name: &str) -> Option<TopicInfo>;

    /// True for topics that statements may read but not write.
    fn is_read_only(&self, _name: &str) -> bool {
        false
    }

    /// Replicas that a new topic may have at most; None: unknown.
    fn replicas_max(&self) -> Option<u16> {
        None
    }
}

/// Topics kept in memory: those of a sandbox, which statements of the same batch create.
#[derive(Clone, Debug, Default)]
pub struct MemoryTopics {
    topics: BTreeMap<String, TopicInfo>,
}

impl MemoryTopics {
    pub fn insert(&mut self, name: impl Into<String>, info: TopicInfo) {
        self.topics.insert(name.into(), info);
    }

    pub fn remove(&mut self, name: &str) {
        self.topics.remove(name);
    }
}

impl TopicCatalog for MemoryTopics {
    fn topic(&self, name: &str) -> Option<TopicInfo> {
        self.topics.get(name).copied()
    }
}

/// Which side of a record a schema describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordSide {
    Key,
    Value,
}

impl RecordSide {
    /// The prefix of the side's properties: `KEY` or `VALUE`.
    pub fn property_prefix(self) -> &'static str {
        match self {
            RecordSide::Key => "KEY",
            RecordSide::Value => "VALUE",
        }
    }

    pub fn noun(self) -> &'static str {
        match self {
            RecordSide::Key => "key",
            RecordSide::Value => "value",
        }
    }
}

/// A question to the registry: the columns that a registered schema stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaRequest<'a> {
    pub topic: &'a str,
    pub side: RecordSide,
    pub format: Format,
    /// None: the latest version of the topic's subject.
    pub schema_id: Option<i32>,
    /// The message or record to take of a schema with several.
    pub full_name: Option<&'a str>,
    /// False: the schema is a bare value, whose column is ROWKEY or ROWVAL.
    pub wrapped: bool,
}

/// Registered schemas as columns. Implemented over the schema registry.
pub trait SchemaCatalog: fmt::Debug {
    /// The columns, None if no such schema is registered.
    ///
    /// Errors: a message for a schema that has no SQL form.
    fn columns(&self, request: &SchemaRequest<'_>) -> std::result::Result<Option<Vec<Column>>, String>;

    /// True if sources and sinks may have the format.
    fn supports(&self, _format: Format) -> bool {
        true
    }
}

/// No registry is configured: formats that need one cannot be used.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRegistry;

impl SchemaCatalog for NoRegistry {
    fn columns(&self, _: &SchemaRequest<'_>) -> std::result::Result<Option<Vec<Column>>, String> {
        Ok(None)
    }

    fn supports(&self, format: Format) -> bool {
        Format::BUILT_IN.contains(&format)
    }
}

/// A registry without schemas.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSchemas;

impl SchemaCatalog for NoSchemas {
    fn columns(&self, _: &SchemaRequest<'_>) -> std::result::Result<Option<Vec<Column>>, String> {
        Ok(None)
    }
}

/// Everything a statement is analysed against.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub metastore: &'a Metastore,
    pub session: &'a Session,
    pub topics: &'a dyn TopicCatalog,
    pub schemas: &'a dyn SchemaCatalog,
    pub functions: &'a FunctionRegistry,
}
