//! Bodies of requests. Unknown members are ignored, as ksqlDB does.

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Bytes a request body may have, but for `/inserts-stream`, which is read line by line.
pub const BODY_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Body of `/ksql` and `/query`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatementRequest {
    pub ksql: String,
    #[serde(alias = "properties", alias = "configOverrides")]
    pub streams_properties: Option<Map<String, Value>>,
    pub request_properties: Option<Map<String, Value>>,
    pub session_variables: Option<IndexMap<String, Value>>,
    /// Wait until this command is applied.
    pub command_sequence_number: Option<i64>,
}

/// Body of `/query-stream`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryStreamRequest {
    #[serde(alias = "ksql")]
    pub sql: String,
    #[serde(alias = "streamsProperties")]
    pub properties: Option<Map<String, Value>>,
    pub request_properties: Option<Map<String, Value>>,
    pub session_variables: Option<IndexMap<String, Value>>,
}

/// Body of `/ksql/terminate`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TerminateRequest {
    /// Names or patterns of the topics to delete.
    pub delete_topic_list: Vec<String>,
}

/// First line of `/inserts-stream`.
#[derive(Clone, Debug, Deserialize)]
pub struct InsertsTarget {
    pub target: String,
    #[serde(default)]
    pub properties: Option<Map<String, Value>>,
}

/// Body of `/close-query`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CloseQueryRequest {
    pub query_id: String,
}

/// Property values as the engine takes them: text.
pub fn property_texts(properties: Option<&Map<String, Value>>) -> IndexMap<String, String> {
    properties
        .into_iter()
        .flatten()
        .map(|(name, value)| {
            let text = match value {
                Value::String(s) => s.clone(),
                other => other.to_string(),
            };
            (name.clone(), text)
        })
        .collect()
}
