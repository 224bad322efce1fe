//! Properties that requests may set.

use serde_json::{Value, json};
use weir_engine::query::settings::QuerySettings;
use weir_sql::ast::statement::SetProperty;
use weir_sql::session::Session;

use crate::error::ApiError;
use crate::statement::execute::RequestScope;

/// Properties of the server that no request may change.
const IMMUTABLE: [&str; 8] = [
    "bootstrap.servers",
    "ksql.extension.dir",
    "ksql.query.persistent.active.limit",
    "ksql.pull.queries.enable",
    "ksql.hidden.topics",
    "ksql.readonly.topics",
    "ksql.source.table.materialization.enabled",
    "ksql.headers.columns.enabled",
];

/// Known properties with their defaults, shown by SHOW PROPERTIES.
pub const KNOWN: [(&str, &str); 26] = [
    ("ksql.service.id", "default_"),
    ("ksql.output.topic.name.prefix", ""),
    ("ksql.persistence.default.format.key", "KAFKA"),
    ("ksql.persistence.default.format.value", ""),
    ("ksql.persistence.wrap.single.values", ""),
    ("ksql.create.or.replace.enabled", "true"),
    ("ksql.insert.into.values.enabled", "true"),
    ("ksql.pull.queries.enable", "true"),
    ("ksql.query.pull.table.scan.enabled", "true"),
    ("ksql.query.pull.range.scan.enabled", "true"),
    ("ksql.query.pull.stream.enabled", "true"),
    ("ksql.query.pull.limit.clause.enabled", "true"),
    ("ksql.suppress.enabled", "true"),
    ("ksql.headers.columns.enabled", "true"),
    ("ksql.source.table.materialization.enabled", "true"),
    ("ksql.lambdas.enabled", "true"),
    ("ksql.variable.substitution.enable", "true"),
    ("ksql.max.push.queries", "100"),
    ("ksql.fail.on.deserialization.error", "false"),
    ("ksql.timestamp.throw.on.invalid", "false"),
    ("ksql.streams.auto.offset.reset", "latest"),
    ("ksql.streams.commit.interval.ms", "100"),
    ("ksql.streams.cache.max.bytes.buffering", "10000000"),
    ("ksql.streams.num.stream.threads", "1 per core"),
    ("ksql.streams.num.standby.replicas", "0"),
    ("ksql.streams.processing.guarantee", "exactly_once_v2"),
];

/// Prefixes under which properties of Kafka's clients and Streams are accepted; without `ksql.streams.` too.
const STREAMS_NAMES: [&str; 16] = [
    "auto.offset.reset",
    "commit.interval.ms",
    "cache.max.bytes.buffering",
    "statestore.cache.max.bytes",
    "num.stream.threads",
    "num.standby.replicas",
    "processing.guarantee",
    "max.task.idle.ms",
    "buffered.records.per.partition",
    "task.timeout.ms",
    "replication.factor",
    "topology.optimization",
    "state.dir",
    "max.poll.records",
    "enable.idempotence",
    "retries",
];

/// Errors: the property is unknown, or belongs to the server.
pub fn check(name: &str) -> Result<(), ApiError> {
    if IMMUTABLE.contains(&name) || name.starts_with("ssl.") {
        return Err(ApiError::bad_request(format!("Cannot override property '{name}'")));
    }
    let short = name.strip_prefix("ksql.streams.").unwrap_or(name);
    let client = ["producer.", "consumer.", "ksql.functions.", "ksql.query.", "ksql.cast.", "ksql.nested."];
    let known = KNOWN.iter().any(|(known, _)| *known == name)
        || STREAMS_NAMES.contains(&short)
        || client.iter().any(|prefix| short.starts_with(prefix) || name.starts_with(prefix));
    if known {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "Not recognizable as ksql, streams, consumer, or producer property: '{name}'"
    )))
}

pub fn set(scope: &mut RequestScope, set: &SetProperty) -> Result<(), ApiError> {
    check(&set.name)?;
    let known = QuerySettings::default().set(&set.name, &set.value);
    known.map_err(|e| ApiError::bad_request(e.to_string()))?;
    scope.session.set(&set.name, &set.value).map_err(|e| ApiError::bad_request(e.message))?;
    scope.properties.insert(set.name.clone(), set.value.clone());
    Ok(())
}

/// Back to the server's value.
pub fn unset(scope: &mut RequestScope, base: &Session, name: &str) -> Result<(), ApiError> {
    scope.properties.shift_remove(name);
    let remaining = scope.properties.clone();
    *scope = RequestScope::new(&scope.caller.clone(), base, remaining, scope.variables.clone())?;
    Ok(())
}

/// The rows of SHOW PROPERTIES: what is set here, then the rest with its default.
pub fn list(scope: &RequestScope) -> (Vec<Value>, Vec<String>) {
    let overwritten: Vec<String> = scope.properties.keys().cloned().collect();
    let mut rows: Vec<Value> = scope
        .properties
        .iter()
        .map(|(name, value)| json!({"name": name, "scope": "KSQL", "level": "SESSION", "value": value, "editable": true}))
        .collect();
    for (name, value) in KNOWN {
        if !scope.properties.contains_key(name) {
            let editable = check(name).is_ok();
            rows.push(
                json!({"name": name, "scope": "KSQL", "level": "", "value": value, "editable": editable}),
            );
        }
    }
    (rows, overwritten)
}
