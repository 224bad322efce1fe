//! Settings of sessions. A setting is one row of [`SETTINGS`]; parsing, SHOW PROPERTIES and docs/configuration.md follow from
//! it.

use std::collections::BTreeMap;

use crate::error::{Result, SqlError};
use crate::format::Format;
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
