//! Topics and registered schemas as far as statements depend on them. The node, the sandbox and tests have their own.

use std::collections::BTreeMap;
use std::fmt;

use crate::format::{Format, RecordSide};
use crate::schema::Column;

/// Properties of a topic that exists.
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
