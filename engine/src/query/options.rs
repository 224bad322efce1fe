//! What can be chosen per query.

use std::collections::BTreeMap;

/// Where a stream is read from when the query has no committed offset. Tables are always read from the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetReset {
    Earliest,
    #[default]
    Latest,
}

impl OffsetReset {
    /// The value of `auto.offset.reset` with this name, in any case.
    pub fn named(name: &str) -> Option<OffsetReset> {
        match name.to_ascii_lowercase().as_str() {
            "earliest" => Some(OffsetReset::Earliest),
            "latest" => Some(OffsetReset::Latest),
            _ => None,
        }
    }
}

/// Options of a query.
#[derive(Clone, Debug, Default)]
pub struct QueryOptions {
    pub auto_offset_reset: OffsetReset,
    /// ksqlDB's and Kafka Streams' properties as set by the statement: [`crate::query::settings::QuerySettings`] says which
    /// matter.
    pub properties: BTreeMap<String, String>,
    /// Start paused.
    pub paused: bool,
}
