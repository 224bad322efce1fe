//! The JSON layout of query translation tests and of cases of the REST API.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A document of cases.
#[derive(Debug)]
pub enum Document {
    Queries(Vec<Case>),
    Rest(Vec<RestCase>),
}

#[derive(Deserialize)]
struct Tests<T> {
    tests: Vec<T>,
}

/// Members that only cases of the REST API have.
const REST_MEMBERS: [&str; 3] = ["responses", "expectedError", "inputConditions"];

impl Document {
    /// A document is of the REST API if one of its cases is. Errors: the text is neither.
    pub fn parse(text: &str) -> Result<Document, serde_json::Error> {
        let Tests { tests } = serde_json::from_str::<Tests<Value>>(text)?;
        let is_rest = tests.iter().any(|t| REST_MEMBERS.iter().any(|m| t.get(m).is_some()));
        Ok(if is_rest {
            Document::Rest(serde_json::from_str::<Tests<RestCase>>(text)?.tests)
        } else {
            Document::Queries(serde_json::from_str::<Tests<Case>>(text)?.tests)
        })
    }
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

/// A case of the REST API: statements and queries over HTTP, and what must be answered.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestCase {
    pub name: String,
    pub statements: Vec<String>,
    #[serde(default)]
    pub properties: BTreeMap<String, Value>,
    #[serde(default)]
    pub topics: Vec<TopicSpec>,
    #[serde(default)]
    pub inputs: Vec<RecordSpec>,
    #[serde(default)]
    pub input_conditions: InputConditions,
    pub outputs: Option<Vec<RecordSpec>>,
    /// In the order of the statements that answer.
    #[serde(default)]
    pub responses: Vec<ResponseSpec>,
    pub expected_error: Option<ExpectedError>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InputConditions {
    /// The records are produced after the push query has begun.
    pub wait_for_active_push_query: bool,
}

/// One of its members is given.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseSpec {
    pub admin: Option<Value>,
    /// Header, rows, errors and the final message.
    pub query: Option<Vec<Value>>,
    /// The same query answered in protobuf.
    pub query_proto: Option<Value>,
}

/// How the last statement must be refused.
#[derive(Debug, Deserialize)]
pub struct ExpectedError {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub message: Option<String>,
    pub status: Option<u64>,
}

/// Expected sources and topics after the statements.
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
