//! What exists: streams, tables, custom types, and the queries between them.
//!
//! A clone is cheap (entries are shared), so a sandbox is a clone.

pub mod apply;
pub mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::metastore::source::{QueryEntry, Source};
use crate::types::SqlType;

#[derive(Clone, Debug, Default)]
pub struct Metastore {
    sources: BTreeMap<String, Arc<Source>>,
    types: BTreeMap<String, SqlType>,
    queries: BTreeMap<String, Arc<QueryEntry>>,
}

impl Metastore {
    pub fn new() -> Metastore {
        Metastore::default()
    }

    pub fn source(&self, name: &str) -> Option<&Arc<Source>> {
        self.sources.get(name)
    }

    /// All streams and tables, by name.
    pub fn sources(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.sources.values()
    }

    pub fn custom_type(&self, name: &str) -> Option<&SqlType> {
        self.types.get(name)
    }

    /// Custom types by name.
    pub fn custom_types(&self) -> impl Iterator<Item = (&str, &SqlType)> {
        self.types.iter().map(|(name, sql_type)| (name.as_str(), sql_type))
    }

    pub fn query(&self, id: &str) -> Option<&Arc<QueryEntry>> {
        self.queries.get(id)
    }

    /// Persistent queries, by id.
    pub fn queries(&self) -> impl Iterator<Item = &Arc<QueryEntry>> {
        self.queries.values()
    }

    /// Queries that read the source, by id.
    pub fn readers(&self, source: &str) -> impl Iterator<Item = &Arc<QueryEntry>> {
        self.queries.values().filter(move |query| query.plan.sources.iter().any(|s| s == source))
    }

    /// Queries that write the source, by id.
    pub fn writers(&self, source: &str) -> impl Iterator<Item = &Arc<QueryEntry>> {
        self.queries.values().filter(move |query| query.plan.sink.as_deref() == Some(source))
    }

    /// Records a persistent query; one of the same id is replaced and returned.
    pub fn add_query(&mut self, query: QueryEntry) -> Option<Arc<QueryEntry>> {
        self.queries.insert(query.plan.query_id.clone(), Arc::new(query))
    }

    /// Forgets a query that was terminated.
    pub fn remove_query(&mut self, id: &str) -> Option<Arc<QueryEntry>> {
        self.queries.remove(id)
    }

    /// The name in the metastore that differs from this one in case only.
    pub fn similar_source(&self, name: &str) -> Option<&str> {
        self.sources
            .keys()
            .map(String::as_str)
            .find(|known| *known != name && known.eq_ignore_ascii_case(name))
    }
}
