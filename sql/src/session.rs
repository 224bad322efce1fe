//! What analysis depends on besides the statement and the metastore: settings, topics, registered schemas.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{Result, SqlError};
use crate::format::Format;
use crate::functions::registry::FunctionRegistry;
use crate::metastore::Metastore;
use crate::schema::Column;
use crate::span::Span;

/// Settings that change the meaning of a statement. [`SETTINGS`] has their names.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    pub default_key_format: Format,
    /// None: statements must name the format.
    pub default_value_format: Option<Format>,
    /// None: as the format prefers.
    pub wrap_single_values: Option<bool>,
    pub output_topic_prefix: String,
    pub service_id: String,
    pub header_columns_enabled: bool,
    pub create_or_replace_enabled: bool,
    pub insert_values_enabled: bool,
    pub pull_queries_enabled: bool,
    pub pull_stream_enabled: bool,
    pub pull_limit_enabled: bool,
    pub pull_table_scan_enabled: bool,
    pub pull_range_scan_enabled: bool,
    pub suppress_enabled: bool,
    pub source_table_materialization_enabled: bool,
    /// Streams made without their key in the projection have no key.
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

/// Who may change a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A request, for its own statements; the node's configuration has the value for all others.
    Request,
    /// The node's configuration.
    Node,
}

/// The field of a [`Session`] that a setting is kept in.
#[derive(Clone, Copy, Debug)]
enum Field {
    Bool(fn(&mut Session) -> &mut bool),
    OptionalBool(fn(&mut Session) -> &mut Option<bool>),
    Format(fn(&mut Session) -> &mut Format),
    OptionalFormat(fn(&mut Session) -> &mut Option<Format>),
    Text(fn(&mut Session) -> &mut String),
}

/// A setting of sessions, under ksqlDB's name.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub name: &'static str,
    pub scope: Scope,
    /// For people, in a sentence or two.
    pub documentation: &'static str,
    field: Field,
}

const fn of_request(name: &'static str, field: Field, documentation: &'static str) -> Setting {
    Setting { name, scope: Scope::Request, documentation, field }
}

const fn of_node(name: &'static str, field: Field, documentation: &'static str) -> Setting {
    Setting { name, scope: Scope::Node, documentation, field }
}

/// All settings of sessions, by name.
pub const SETTINGS: &[Setting] = &[
    of_request(
        "ksql.create.or.replace.enabled",
        Field::Bool(|session| &mut session.create_or_replace_enabled),
        "Allow CREATE OR REPLACE.",
    ),
    of_node(
        "ksql.headers.columns.enabled",
        Field::Bool(|session| &mut session.header_columns_enabled),
        "Allow columns of record headers: HEADERS and HEADER('key').",
    ),
    of_request(
        "ksql.insert.into.values.enabled",
        Field::Bool(|session| &mut session.insert_values_enabled),
        "Allow INSERT INTO ... VALUES.",
    ),
    of_request(
        "ksql.new.query.planner.enabled",
        Field::Bool(|session| &mut session.keys_optional),
        "Plan streams that are made without their key in the projection as streams without a key.",
    ),
    of_request(
        "ksql.output.topic.name.prefix",
        Field::Text(|session| &mut session.output_topic_prefix),
        "Beginning of the names of topics that statements do not name.",
    ),
    of_request(
        "ksql.persistence.default.format.key",
        Field::Format(|session| &mut session.default_key_format),
        "Format of keys without KEY_FORMAT.",
    ),
    of_request(
        "ksql.persistence.default.format.value",
        Field::OptionalFormat(|session| &mut session.default_value_format),
        "Format of values without VALUE_FORMAT; without a value the statement must name one.",
    ),
    of_request(
        "ksql.persistence.wrap.single.values",
        Field::OptionalBool(|session| &mut session.wrap_single_values),
        "Write a single value column as a record with one field; without a value as the format prefers.",
    ),
    of_node(
        "ksql.pull.queries.enable",
        Field::Bool(|session| &mut session.pull_queries_enabled),
        "Allow pull queries.",
    ),
    of_request(
        "ksql.query.pull.limit.clause.enabled",
        Field::Bool(|session| &mut session.pull_limit_enabled),
        "Allow LIMIT in pull queries.",
    ),
    of_request(
        "ksql.query.pull.range.scan.enabled",
        Field::Bool(|session| &mut session.pull_range_scan_enabled),
        "Answer pull queries with a range of keys from that range; otherwise they are scans of the table.",
    ),
    of_request(
        "ksql.query.pull.stream.enabled",
        Field::Bool(|session| &mut session.pull_stream_enabled),
        "Allow pull queries on streams.",
    ),
    of_request(
        "ksql.query.pull.table.scan.enabled",
        Field::Bool(|session| &mut session.pull_table_scan_enabled),
        "Allow pull queries that read a whole table.",
    ),
    of_node(
        "ksql.service.id",
        Field::Text(|session| &mut session.service_id),
        "Name of the node among others on the same broker: part of the names of its topics and queries.",
    ),
    of_node(
        "ksql.source.table.materialization.enabled",
        Field::Bool(|session| &mut session.source_table_materialization_enabled),
        "Materialize source tables, so that pull queries can read them.",
    ),
    of_request(
        "ksql.suppress.enabled",
        Field::Bool(|session| &mut session.suppress_enabled),
        "Allow EMIT FINAL.",
    ),
];

impl Setting {
    /// The setting of this name.
    pub fn named(name: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// The value that a session has; empty if it has none.
    pub fn value(&self, session: &Session) -> String {
        let mut session = session.clone();
        match self.field {
            Field::Bool(field) => field(&mut session).to_string(),
            Field::OptionalBool(field) => field(&mut session).map(|v| v.to_string()).unwrap_or_default(),
            Field::Format(field) => field(&mut session).to_string(),
            Field::OptionalFormat(field) => field(&mut session).map(|v| v.to_string()).unwrap_or_default(),
            Field::Text(field) => field(&mut session).clone(),
        }
    }

    /// The values that it takes.
    pub fn expected(&self) -> String {
        match self.field {
            Field::Bool(_) | Field::OptionalBool(_) => "true or false".to_owned(),
            Field::Format(_) | Field::OptionalFormat(_) => Format::ALL.map(|format| format.name()).join(", "),
            Field::Text(_) => "text".to_owned(),
        }
    }

    /// Errors: a value that it cannot have.
    fn set(&self, session: &mut Session, value: &str) -> Result<()> {
        match self.field {
            Field::Bool(field) => *field(session) = parse_bool(self.name, value)?,
            Field::OptionalBool(field) => *field(session) = Some(parse_bool(self.name, value)?),
            Field::Format(field) => *field(session) = parse_format(value)?,
            Field::OptionalFormat(field) => *field(session) = Some(parse_format(value)?),
            Field::Text(field) => value.clone_into(field(session)),
        }
        Ok(())
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
        match Setting::named(name) {
            Some(setting) => setting.set(self, value).map(|()| true),
            None => Ok(false),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_set_by_its_name_and_shown() {
        assert!(SETTINGS.windows(2).all(|pair| pair[0].name < pair[1].name));
        let mut session = Session::default();
        for setting in SETTINGS {
            let before = setting.value(&session);
            let value = match setting.field {
                Field::Bool(_) | Field::OptionalBool(_) if before == "true" => "false",
                Field::Bool(_) | Field::OptionalBool(_) => "true",
                Field::Format(_) | Field::OptionalFormat(_) => "AVRO",
                Field::Text(_) => "other",
            };
            assert_eq!(session.set(setting.name, value), Ok(true), "{}", setting.name);
            assert_eq!(setting.value(&session), value, "{}", setting.name);
            let takes_any = matches!(setting.field, Field::Text(_));
            assert_eq!(session.set(setting.name, "perhaps").is_ok(), takes_any, "{}", setting.name);
        }
        assert_eq!(session.set("ksql.no.such.name", "1"), Ok(false));
    }
}
