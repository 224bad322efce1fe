//! Typed access to the entries of a WITH clause.

use std::str::FromStr;

use crate::ast::statement::Properties;
use crate::error::{Result, SqlError};
use crate::format::Format;
use crate::format_props::WithUse;
use crate::span::Span;
use crate::suggest::did_you_mean;
use crate::value::SqlValue;

/// Properties of both CREATE … and CREATE … AS SELECT.
const COMMON: [&str; 20] = [
    "KAFKA_TOPIC",
    "PARTITIONS",
    "REPLICAS",
    "RETENTION_MS",
    "CLEANUP_POLICY",
    "FORMAT",
    "KEY_FORMAT",
    "VALUE_FORMAT",
    "KEY_DELIMITER",
    "VALUE_DELIMITER",
    "KEY_SCHEMA_ID",
    "VALUE_SCHEMA_ID",
    "KEY_SCHEMA_FULL_NAME",
    "VALUE_SCHEMA_FULL_NAME",
    "VALUE_AVRO_SCHEMA_FULL_NAME",
    "KEY_PROTOBUF_NULLABLE_REPRESENTATION",
    "VALUE_PROTOBUF_NULLABLE_REPRESENTATION",
    "WRAP_SINGLE_VALUE",
    "TIMESTAMP",
    "TIMESTAMP_FORMAT",
];

/// Properties of CREATE over a topic only.
const CREATE_ONLY: [&str; 4] = ["WINDOW_TYPE", "WINDOW_SIZE", "SOURCED_BY_CONNECTOR", "SOURCE_CONNECTOR"];

pub(super) struct Reader<'a> {
    properties: &'a Properties,
}

impl<'a> Reader<'a> {
    pub(super) fn new(properties: &'a Properties) -> Reader<'a> {
        Reader { properties }
    }

    pub(super) fn refuse_unknown(&self, used: WithUse) -> Result<()> {
        let known = |name: &str| {
            let name = name.to_ascii_uppercase();
            COMMON.contains(&name.as_str())
                || (used == WithUse::CreateSource && CREATE_ONLY.contains(&name.as_str()))
        };
        let unknown: Vec<&str> =
            self.properties.entries.iter().map(|p| p.name.as_str()).filter(|n| !known(n)).collect();
        if let Some(first) = unknown.first() {
            let place = self.properties.get(first).map(|p| p.name_place.span());
            let error = SqlError::analysis(
                format!("Invalid config variable(s) in the WITH clause: {}", unknown.join(", ")),
                place.unwrap_or_else(|| self.properties.span()),
            );
            return Err(match name_hint(first, used) {
                Some(hint) => error.with_hint(hint),
                None => error,
            });
        }
        if self.properties.get("CLEANUP_POLICY").is_some() {
            return Err(SqlError::analysis(
                "Invalid config variable in the WITH clause: CLEANUP_POLICY. The cleanup policy follows from the kind \
                 of the statement and cannot be set",
                self.span("CLEANUP_POLICY"),
            ));
        }
        Ok(())
    }

    /// Where the value of a property stands.
    pub(super) fn span(&self, name: &str) -> Span {
        self.properties.get(name).map_or_else(|| self.properties.span(), |p| p.value_place.span())
    }

    pub(super) fn invalid(&self, name: &str, why: &str) -> SqlError {
        SqlError::analysis(format!("Configuration {name} is invalid: {why}"), self.span(name))
    }

    /// The value as text; numbers and booleans count as their text.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>> {
        let Some(property) = self.properties.get(name) else { return Ok(None) };
        let text = match &property.value.value {
            SqlValue::String(text) => text.clone(),
            SqlValue::Integer(number) => number.to_string(),
            SqlValue::Bigint(number) => number.to_string(),
            SqlValue::Decimal(number) => number.to_string(),
            SqlValue::Double(number) => number.to_string(),
            SqlValue::Boolean(flag) => flag.to_string(),
            _ => return Err(self.invalid(name, "a string, number or boolean is expected")),
        };
        Ok(Some(text))
    }

    pub(super) fn integer<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.trim().parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(self.invalid(name, &format!("'{text}' is not a whole number in its range"))),
        }
    }

    pub(super) fn positive<T: FromStr + PartialOrd + Default>(&self, name: &str) -> Result<Option<T>> {
        match self.integer::<T>(name)? {
            Some(number) if number <= T::default() => Err(self.invalid(name, "it must be positive")),
            other => Ok(other),
        }
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.to_ascii_lowercase().as_str() {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(self.invalid(name, "true or false expected")),
        }
    }

    pub(super) fn format(&self, name: &str) -> Result<Option<Format>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match Format::from_name(&text) {
            Some(format) => Ok(Some(format)),
            None => Err(SqlError::analysis(
                format!("Unknown format: {}", text.to_ascii_uppercase()),
                self.span(name),
            )
            .with_hint({
                let similar = did_you_mean(&text, Format::BUILT_IN.iter().map(Format::name));
                let similar = similar.map_or_else(String::new, |s| format!("{s} "));
                format!("{similar}Formats are {}.", Format::built_in_names())
            })),
        }
    }
}

/// The property that was probably meant.
fn name_hint(name: &str, used: WithUse) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    match upper.as_str() {
        "TOPIC" | "TOPIC_NAME" => return Some("Did you mean KAFKA_TOPIC?".to_owned()),
        "KEY" => {
            return Some(
                "The key is declared with its column: id INT KEY, or PRIMARY KEY in a table.".to_owned(),
            );
        }
        "REPLICATION" | "REPLICATION_FACTOR" => return Some("Did you mean REPLICAS?".to_owned()),
        "RETENTION" => return Some("Did you mean RETENTION_MS?".to_owned()),
        _ => {}
    }
    let known = COMMON.iter().chain(if used == WithUse::CreateSource { &CREATE_ONLY[..] } else { &[] });
    did_you_mean(name, known.copied().filter(|known| *known != "CLEANUP_POLICY"))
}
