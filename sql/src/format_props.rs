//! The WITH clause: which properties there are, and what they mean.

pub mod capability;
mod read;
#[cfg(test)]
mod tests_support;

use std::collections::BTreeMap;

use crate::ast::statement::Properties;
use crate::error::{Result, SqlError};
use crate::format::{Format, FormatInfo, RecordSide};
use crate::format_props::read::Reader;
use crate::plan::physical::TimestampColumn;
use crate::span::Span;
use crate::suggest::did_you_mean;
use crate::window::{WindowInfo, WindowKind};

/// Names of format properties in [`FormatInfo::properties`].
pub const DELIMITER: &str = "delimiter";
pub const FULL_SCHEMA_NAME: &str = "fullSchemaName";
pub const SCHEMA_ID: &str = "schemaId";
pub const NULLABLE_REPRESENTATION: &str = "nullableRepresentation";

/// Which statement the properties belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithUse {
    /// CREATE STREAM/TABLE over a topic.
    CreateSource,
    /// CREATE … AS SELECT.
    CreateAsSelect,
}

/// One side's format as far as the statement gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SideProperties {
    pub format: Option<Format>,
    /// Properties of the format, by the names that [`FormatInfo`] uses.
    pub format_properties: BTreeMap<String, String>,
}

impl SideProperties {
    pub fn schema_id(&self) -> Option<i32> {
        self.format_properties.get(SCHEMA_ID).and_then(|id| id.parse().ok())
    }

    pub fn full_schema_name(&self) -> Option<&str> {
        self.format_properties.get(FULL_SCHEMA_NAME).map(String::as_str)
    }
}

/// The properties of a WITH clause, checked one by one; how they fit the statement is checked by its analysis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WithProperties {
    pub topic: Option<String>,
    pub partitions: Option<u32>,
    pub replicas: Option<u16>,
    /// ms
    pub retention_ms: Option<i64>,
    pub key: SideProperties,
    pub value: SideProperties,
    pub wrap_single_value: Option<bool>,
    pub timestamp: Option<TimestampColumn>,
    pub window: Option<WindowInfo>,
    pub span: Span,
}

impl WithProperties {
    /// Reads a WITH clause.
    ///
    /// Errors: unknown properties, values out of range, properties that exclude each other.
    pub fn read(properties: &Properties, used: WithUse) -> Result<WithProperties> {
        let reader = Reader::new(properties);
        reader.refuse_unknown(used)?;
        let mut with = WithProperties { span: properties.span(), ..WithProperties::default() };
        with.topic = reader.text("KAFKA_TOPIC")?;
        if with.topic.as_deref().is_some_and(|t| t.trim().is_empty()) {
            return Err(reader.invalid("KAFKA_TOPIC", "a topic name must not be empty"));
        }
        with.partitions = reader.positive("PARTITIONS")?;
        // -1 is the broker's default, as in Kafka's requests.
        with.replicas = match reader.integer::<i32>("REPLICAS")? {
            Some(-1) => None,
            _ => reader.positive("REPLICAS")?,
        };
        with.retention_ms = reader.integer("RETENTION_MS")?;
        with.wrap_single_value = reader.boolean("WRAP_SINGLE_VALUE")?;
        let both = reader.format("FORMAT")?;
        for side in [RecordSide::Key, RecordSide::Value] {
            let name = format!("{}_FORMAT", side.property_prefix());
            let own = reader.format(&name)?;
            if own.is_some() && both.is_some() {
                return Err(SqlError::analysis(
                    format!(
                        "Cannot supply both '{name}' and 'FORMAT' properties, as 'FORMAT' sets both key and value \
                         formats."
                    ),
                    reader.span(&name),
                )
                .with_hint("Use 'FORMAT' alone, or 'KEY_FORMAT' and 'VALUE_FORMAT'."));
            }
            let properties = SideProperties {
                format: own.or(both),
                format_properties: read_format_properties(&reader, side)?,
            };
            match side {
                RecordSide::Key => with.key = properties,
                RecordSide::Value => with.value = properties,
            }
        }
        with.timestamp = read_timestamp(&reader)?;
        with.window = read_window(&reader)?;
        Ok(with)
    }
}

fn read_format_properties(reader: &Reader<'_>, side: RecordSide) -> Result<BTreeMap<String, String>> {
    let prefix = side.property_prefix();
    let mut out = BTreeMap::new();
    let name = format!("{prefix}_DELIMITER");
    if let Some(delimiter) = reader.text(&name)? {
        check_delimiter(reader, &name, &delimiter)?;
        out.insert(DELIMITER.to_owned(), delimiter);
    }
    let mut full_name = reader.text(&format!("{prefix}_SCHEMA_FULL_NAME"))?;
    if side == RecordSide::Value
        && let Some(avro_name) = reader.text("VALUE_AVRO_SCHEMA_FULL_NAME")?
    {
        if full_name.is_some() {
            return Err(SqlError::analysis(
                "Cannot supply both 'VALUE_AVRO_SCHEMA_FULL_NAME' and 'VALUE_SCHEMA_FULL_NAME' properties",
                reader.span("VALUE_AVRO_SCHEMA_FULL_NAME"),
            ));
        }
        full_name = Some(avro_name);
    }
    if let Some(full_name) = full_name {
        if full_name.trim().is_empty() {
            return Err(SqlError::analysis(
                format!(
                    "fullSchemaName cannot be empty. Format configuration: {{fullSchemaName={full_name}}}"
                ),
                reader.span(&format!("{prefix}_SCHEMA_FULL_NAME")),
            ));
        }
        out.insert(FULL_SCHEMA_NAME.to_owned(), full_name);
    }
    if let Some(id) = reader.positive::<i32>(&format!("{prefix}_SCHEMA_ID"))? {
        out.insert(SCHEMA_ID.to_owned(), id.to_string());
    }
    let name = format!("{prefix}_PROTOBUF_NULLABLE_REPRESENTATION");
    if let Some(representation) = reader.text(&name)? {
        let upper = representation.to_ascii_uppercase();
        if !["OPTIONAL", "WRAPPER"].contains(&upper.as_str()) {
            return Err(reader.invalid(&name, "OPTIONAL or WRAPPER expected"));
        }
        out.insert(NULLABLE_REPRESENTATION.to_owned(), upper);
    }
    Ok(out)
}

fn check_delimiter(reader: &Reader<'_>, name: &str, delimiter: &str) -> Result<()> {
    if ["TAB", "SPACE"].contains(&delimiter) {
        return Ok(());
    }
    if delimiter.trim().is_empty() {
        return Err(reader.invalid(
            name,
            "Delimiter cannot be empty, if you meant to have a tab or space for delimiter, please use the special \
             values 'TAB' or 'SPACE'",
        ));
    }
    if delimiter.chars().count() != 1 {
        return Err(reader.invalid(
            name,
            &format!(
                "Invalid delimiter value: '{delimiter}'. Delimiter must be a single character or TAB,SPACE"
            ),
        ));
    }
    Ok(())
}

fn read_timestamp(reader: &Reader<'_>) -> Result<Option<TimestampColumn>> {
    let format = reader.text("TIMESTAMP_FORMAT")?;
    let Some(column) = reader.text("TIMESTAMP")? else {
        return match format {
            None => Ok(None),
            Some(_) => Err(reader.invalid("TIMESTAMP_FORMAT", "it needs the property 'TIMESTAMP'")),
        };
    };
    if format.as_deref().is_some_and(str::is_empty) {
        return Err(reader.invalid("TIMESTAMP_FORMAT", "a pattern must not be empty"));
    }
    Ok(Some(TimestampColumn { column: column_name(&column), format }))
}

/// A column name inside a string property: upper-cased unless quoted.
fn column_name(text: &str) -> String {
    let text = text.trim();
    for quote in ['`', '"'] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)) {
            return inner.replace(&format!("{quote}{quote}"), &quote.to_string());
        }
    }
    text.to_uppercase()
}

fn read_window(reader: &Reader<'_>) -> Result<Option<WindowInfo>> {
    let size = reader.text("WINDOW_SIZE")?;
    let Some(kind) = reader.text("WINDOW_TYPE")? else {
        return match size {
            None => Ok(None),
            Some(_) => Err(reader.invalid("WINDOW_SIZE", "it needs the property 'WINDOW_TYPE'")),
        };
    };
    let kind = match kind.to_ascii_uppercase().as_str() {
        "TUMBLING" => WindowKind::Tumbling,
        "HOPPING" => WindowKind::Hopping,
        "SESSION" => WindowKind::Session,
        other => {
            let error = reader.invalid("WINDOW_TYPE", "SESSION, HOPPING or TUMBLING expected");
            return Err(match did_you_mean(other, ["SESSION", "HOPPING", "TUMBLING"].into_iter()) {
                Some(hint) => error.with_hint(hint),
                None => error,
            });
        }
    };
    let size_ms =
        size.map(|text| parse_duration(&text).map_err(|e| reader.invalid("WINDOW_SIZE", &e))).transpose()?;
    match (kind, size_ms) {
        (WindowKind::Session, Some(_)) => Err(SqlError::analysis(
            "'WINDOW_SIZE' should not be set for SESSION windows.",
            reader.span("WINDOW_SIZE"),
        )),
        (WindowKind::Tumbling | WindowKind::Hopping, None) => Err(SqlError::analysis(
            "'WINDOW_SIZE' must be provided for HOPPING and TUMBLING windows",
            reader.span("WINDOW_TYPE"),
        )),
        (kind, size_ms) => Ok(Some(WindowInfo { kind, size_ms })),
    }
}

/// `30 seconds` in ms; any unit of time that has a fixed length.
fn parse_duration(text: &str) -> std::result::Result<i64, String> {
    let invalid = |why: &str| format!("Invalid duration: '{text}'. {why}");
    let mut parts = text.split_whitespace();
    let (Some(amount), Some(unit), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(invalid("Expected a number and a unit, such as '10 SECONDS'"));
    };
    let amount: i64 = amount.parse().map_err(|_| invalid(&format!("Not a number: '{amount}'")))?;
    let upper = unit.to_ascii_uppercase();
    let millis: i64 = match upper.strip_suffix('S').unwrap_or(&upper) {
        "MILLISECOND" => 1,
        "SECOND" => 1_000,
        "MINUTE" => 60_000,
        "HOUR" => 3_600_000,
        "DAY" => 86_400_000,
        _ => return Err(invalid(&format!("Unknown time unit: '{upper}'"))),
    };
    match amount.checked_mul(millis) {
        Some(total) if total > 0 => Ok(total),
        Some(_) => Err(invalid("It must be positive")),
        None => Err(invalid("It is too long")),
    }
}

/// The format of one side with its properties, `wrap_single` as the format prefers.
///
/// Errors: a property that the format does not have.
pub fn format_info(
    side: RecordSide,
    format: Format,
    properties: &BTreeMap<String, String>,
) -> Result<FormatInfo> {
    let known: &[&str] = match format {
        Format::Delimited => &[DELIMITER],
        Format::Avro | Format::JsonSr => &[FULL_SCHEMA_NAME, SCHEMA_ID],
        Format::Protobuf => &[FULL_SCHEMA_NAME, SCHEMA_ID, NULLABLE_REPRESENTATION],
        Format::ProtobufNosr => &[NULLABLE_REPRESENTATION],
        Format::None | Format::Kafka | Format::Json => &[],
    };
    let foreign: Vec<&str> =
        properties.keys().map(String::as_str).filter(|name| !known.contains(name)).collect();
    // Asking for an id means asking for inference, which is checked with its own message.
    if !foreign.is_empty() && foreign != [SCHEMA_ID] {
        return Err(SqlError::analysis(
            format!("{format} does not support the following configs: [{}]", foreign.join(", ")),
            Span::default(),
        ));
    }
    let mut info = match side {
        RecordSide::Key => FormatInfo::key(format),
        RecordSide::Value => FormatInfo::new(format),
    };
    if side == RecordSide::Key && format == Format::Protobuf {
        info.wrap_single = true;
    }
    info.properties = properties.clone();
    Ok(info)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format_props::tests_support::{properties, text};

    fn read(entries: &[(&str, &str)]) -> Result<WithProperties> {
        let entries: Vec<_> = entries.iter().map(|(n, v)| (*n, text(v))).collect();
        WithProperties::read(&properties(&entries), WithUse::CreateSource)
    }

    #[test]
    fn windows_need_a_size_unless_sessions() {
        let read = |entries: &[(&str, &str)]| read(entries).map(|w| w.window).map_err(|e| e.message);
        let hour = Some(WindowInfo { kind: WindowKind::Hopping, size_ms: Some(3_600_000) });
        assert_eq!(read(&[("WINDOW_TYPE", "Hopping"), ("WINDOW_SIZE", "1 HOUR")]), Ok(hour));
        let message = read(&[("WINDOW_TYPE", "Hopping"), ("WINDOW_SIZE", "30 bobs")]).unwrap_err();
        assert!(message.contains("Invalid duration: '30 bobs'. Unknown time unit: 'BOBS'"), "{message}");
        assert!(read(&[("WINDOW_TYPE", "Session"), ("WINDOW_SIZE", "1 HOUR")]).is_err());
        assert!(read(&[("WINDOW_TYPE", "Tumbling")]).is_err());
    }

    #[test]
    fn format_sets_both_sides_and_excludes_the_others() {
        let with = read(&[("FORMAT", "json")]).expect("valid");
        assert_eq!((with.key.format, with.value.format), (Some(Format::Json), Some(Format::Json)));
        assert!(read(&[("FORMAT", "JSON"), ("KEY_FORMAT", "JSON")]).is_err());
        assert_eq!(read(&[("FORMAT", "FOO")]).unwrap_err().message, "Unknown format: FOO");
    }

    #[test]
    fn timestamp_columns_are_names() {
        let column =
            |value: &str| read(&[("TIMESTAMP", value)]).expect("valid").timestamp.expect("given").column;
        assert_eq!(column("event_ts"), "EVENT_TS");
        assert_eq!(column("`event_ts`"), "event_ts");
    }

    #[test]
    fn properties_of_other_formats_are_refused() {
        let properties = BTreeMap::from([(DELIMITER.to_owned(), "|".to_owned())]);
        let error = format_info(RecordSide::Value, Format::Json, &properties).unwrap_err();
        assert_eq!(error.message, "JSON does not support the following configs: [delimiter]");
        assert!(format_info(RecordSide::Value, Format::Delimited, &properties).is_ok());
    }
}
