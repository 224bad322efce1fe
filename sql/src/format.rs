//! Serialization formats as names and properties; the bytes are the engine's business.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Format {
    None,
    Kafka,
    Json,
    JsonSr,
    Avro,
    Protobuf,
    ProtobufNosr,
    Delimited,
}

impl Format {
    pub const ALL: [Format; 8] = [
        Format::None,
        Format::Kafka,
        Format::Json,
        Format::JsonSr,
        Format::Avro,
        Format::Protobuf,
        Format::ProtobufNosr,
        Format::Delimited,
    ];

    /// Formats that work without a Schema Registry in this build.
    pub const BUILT_IN: [Format; 4] = [Format::None, Format::Kafka, Format::Json, Format::Delimited];

    /// True if schemas of this format live in a Schema Registry.
    pub fn needs_registry(&self) -> bool {
        match self {
            Format::Avro | Format::Protobuf | Format::JsonSr => true,
            Format::None | Format::Kafka | Format::Json | Format::ProtobufNosr | Format::Delimited => false,
        }
    }

    /// The names of [`Format::BUILT_IN`] as a list for messages.
    pub fn built_in_names() -> String {
        Format::BUILT_IN.map(|f| f.name()).join(", ")
    }

    pub fn name(&self) -> &'static str {
        match self {
            Format::None => "NONE",
            Format::Kafka => "KAFKA",
            Format::Json => "JSON",
            Format::JsonSr => "JSON_SR",
            Format::Avro => "AVRO",
            Format::Protobuf => "PROTOBUF",
            Format::ProtobufNosr => "PROTOBUF_NOSR",
            Format::Delimited => "DELIMITED",
        }
    }

    /// Case-insensitive.
    pub fn from_name(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|f| f.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The side of a record that a schema describes.
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

/// A format with its properties and whether a single column is wrapped in a record.
///
/// Property names are lower case: `delimiter`, `fullSchemaName`, `schemaId`, `nullableRepresentation`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FormatInfo {
    pub format: Format,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// True: one column is written as a record with one field; false: as the bare value. Resolved when planned
    /// (a key of one column is always bare, KAFKA and DELIMITED are always bare, others wrap by default).
    pub wrap_single: bool,
}

impl FormatInfo {
    pub fn new(format: Format) -> FormatInfo {
        let wrap_single = !matches!(format, Format::None | Format::Kafka | Format::Delimited);
        FormatInfo { format, properties: BTreeMap::new(), wrap_single }
    }

    /// The same format for a key: a single key column is never wrapped.
    pub fn key(format: Format) -> FormatInfo {
        FormatInfo { wrap_single: false, ..FormatInfo::new(format) }
    }
}
