//! ASSERT TOPIC: waits for a topic to be, or not to be.

use std::time::Duration;

use serde_json::{Value, json};
use weir_sql::ast::statement::Assert;
use weir_sql::value::SqlValue;

use crate::context::Context;
use crate::error::{ApiError, ErrorCode};
use crate::statement::entity::entity;
use crate::statement::topics;

const TIMEOUT_DEFAULT: Duration = Duration::from_millis(1_000);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

pub async fn assert(context: &Context, what: &Assert, text: &str) -> Result<Value, ApiError> {
    if let Assert::Schema { .. } = what {
        let message =
            "ASSERT SCHEMA needs a Schema Registry, and none is configured (ksql.schema.registry.url)";
        return Err(ApiError::new(ErrorCode::AssertionFailed, message));
    }
    let Assert::Topic { exists, topic, properties, timeout } = what else {
        return Err(ApiError::statement("only ASSERT TOPIC is available on a server", text));
    };
    let mut expected: Vec<(&str, i64)> = Vec::new();
    for property in &properties.entries {
        let value = match property.value.value {
            SqlValue::Integer(v) => i64::from(v),
            SqlValue::Bigint(v) => v,
            _ => -1,
        };
        expected.push((property.name.as_str(), value));
    }
    let timeout = timeout.as_ref().map_or(TIMEOUT_DEFAULT, |t| {
        Duration::from_millis(t.amount.saturating_mul(t.unit.millis()).unsigned_abs())
    });
    let deadline = tokio::time::Instant::now() + timeout;
    loop {
        let failure = match topics::list(context).await?.iter().find(|t| t.name == *topic) {
            None if *exists => Some(format!("Topic {topic} does not exist")),
            Some(_) if !*exists => Some(format!("Topic {topic} exists")),
            None => None,
            Some(found) => {
                expected.iter().find_map(|(name, value)| match name.to_ascii_uppercase().as_str() {
                    "PARTITIONS" => mismatch(topic, "partitions", *value, i64::from(found.partitions)),
                    "REPLICAS" => mismatch(topic, "replicas", *value, i64::from(found.replicas)),
                    other => Some(format!("Cannot assert unknown topic property: {other}")),
                })
            }
        };
        let Some(failure) = failure else {
            return Ok(entity("assert_topic", text, json!({"topicName": topic, "exists": exists})));
        };
        if tokio::time::Instant::now() >= deadline {
            return Err(ApiError::new(ErrorCode::AssertionFailed, failure));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn mismatch(topic: &str, what: &str, expected: i64, actual: i64) -> Option<String> {
    (expected != actual)
        .then(|| format!("Mismatched {what} for topic {topic}: expected {expected}, got {actual}"))
}
