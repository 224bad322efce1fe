//! The JSON layout of query translation tests.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

#[derive(Debug, Deserialize)]
pub struct Document {
    pub tests: Vec<Case>,
}

/// Statements, records to produce, and what must come of them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Case {
    pub name: String,
    pub statements: Vec<String>,
    #[serde(default)]
    pub properties: BTreeMap<String, Value>,
    #[serde(default)]
    pub topics: Vec<TopicSpec>,
    #[serde(default)]
    pub inputs: Vec<RecordSpec>,
    pub outputs: Option<Vec<RecordSpec>>,
    pub expected_exception: Option<ExpectedException>,
    #[serde(default)]
    pub post: Post,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicSpec {
    pub name: String,
    pub partitions: Option<u32>,
    pub replicas: Option<u16>,
    pub key_schema: Option<Value>,
    pub value_schema: Option<Value>,
}

/// A record. A field that is not given is not compared.
#[derive(Debug, Deserialize)]
pub struct RecordSpec {
    pub topic: String,
    /// None: not given; Some(Null): null.
    #[serde(default, deserialize_with = "given")]
    pub key: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    pub value: Option<Value>,
    pub timestamp: Option<i64>,
    pub window: Option<WindowSpec>,
    pub headers: Option<Vec<HeaderSpec>>,
}

#[derive(Debug, Deserialize)]
pub struct WindowSpec {
    pub start: i64,
    pub end: i64,
    /// `time` or `session`.
    #[serde(rename = "type")]
    pub kind: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub struct HeaderSpec {
    pub key: String,
    /// Base64.
    pub value: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpectedException {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub message: Option<String>,
    pub cause_message: Option<String>,
}

/// What must be there after the statements.
#[derive(Debug, Default, Deserialize)]
pub struct Post {
    #[serde(default)]
    pub sources: Vec<SourceSpec>,
    pub topics: Option<TopicsSpec>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceSpec {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub schema: Option<String>,
    pub key_format: Option<FormatSpec>,
    pub value_format: Option<FormatSpec>,
    pub key_features: Option<Vec<String>>,
    pub value_features: Option<Vec<String>>,
    pub is_source: Option<bool>,
}

/// A format by name, or with details.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum FormatSpec {
    Name(String),
    #[serde(rename_all = "camelCase")]
    Details {
        format: String,
        window_type: Option<String>,
        window_size: Option<u64>,
    },
}

#[derive(Debug, Deserialize)]
pub struct TopicsSpec {
    #[serde(default)]
    pub topics: Vec<PostTopic>,
    /// No topic may have a name of this pattern.
    pub blacklist: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PostTopic {
    pub name: String,
    pub key_format: Option<FormatSpec>,
    pub value_format: Option<FormatSpec>,
    pub partitions: Option<u32>,
}

/// Tells null from absent.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
