//! Properties that requests may set.

mod known;

use indexmap::IndexMap;
use serde_json::{Value, json};
use weir_engine::query::settings::QuerySettings;
use weir_sql::ast::statement::SetProperty;
use weir_sql::session::Session;

use crate::error::ApiError;
use crate::node::Node;
use crate::statement::execute::RequestScope;
use crate::statement::properties::known::{
    CLIENT, CLIENT_PREFIXES, Effect, FOLLOWED_STREAMS, KSQL, KSQL_PREFIXES, STREAMS,
};

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

/// Parts of the names of properties whose values are credentials.
const SECRETS: [&str; 4] = ["jaas.config", "password", "secret", "user.info"];
/// Kafka's text in the place of such a value.
const HIDDEN: &str = "[hidden]";

/// Properties of Kafka Streams may have this prefix.
const STREAMS_PREFIX: &str = "ksql.streams.";

/// Errors: the property is unknown, or belongs to the server.
pub fn check(name: &str) -> Result<(), ApiError> {
    let short = name.strip_prefix(STREAMS_PREFIX).unwrap_or(name);
    if IMMUTABLE.contains(&name) || short == "bootstrap.servers" || name.starts_with("ssl.") {
        return Err(ApiError::bad_request(format!("Cannot override property '{name}'")));
    }
    if is_known(name, short) {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "Not recognizable as ksql, streams, consumer, or producer property: '{name}'"
    )))
}

fn is_known(name: &str, short: &str) -> bool {
    let client = CLIENT_PREFIXES.iter().find_map(|prefix| short.strip_prefix(prefix));
    effect(name).is_some()
        || KSQL_PREFIXES.iter().any(|prefix| name.len() > prefix.len() && name.starts_with(prefix))
        || STREAMS.contains(&short)
        || CLIENT.contains(&client.unwrap_or(short))
}

fn effect(name: &str) -> Option<Effect> {
    KSQL.iter().find(|(known, ..)| *known == name).map(|(_, _, effect)| *effect)
}

/// Errors: as [`check`], and a value that the property cannot have.
pub fn check_value(name: &str, value: &str) -> Result<(), ApiError> {
    check(name)?;
    QuerySettings::default().set(name, value).map_err(|e| ApiError::bad_request(e.to_string()))?;
    Session::default().set(name, value).map_err(|e| ApiError::bad_request(e.message))?;
    Ok(())
}

pub fn set(scope: &mut RequestScope, set: &SetProperty) -> Result<(), ApiError> {
    check_value(&set.name, &set.value)?;
    scope.session.set(&set.name, &set.value).map_err(|e| ApiError::bad_request(e.message))?;
    scope.properties.insert(set.name.clone(), shown(&set.name, set.value.clone()));
    Ok(())
}

/// The value of a property as it is kept with queries and shown in lists. Credentials, which have no effect here, are
/// neither.
pub fn shown(name: &str, value: String) -> String {
    if SECRETS.iter().any(|part| name.contains(part)) { HIDDEN.to_owned() } else { value }
}

/// Back to the server's value.
pub fn unset(scope: &mut RequestScope, base: &Session, name: &str) -> Result<(), ApiError> {
    scope.properties.shift_remove(name);
    let remaining = scope.properties.clone();
    *scope = RequestScope::new(&scope.caller.clone(), base, remaining, scope.variables.clone())?;
    Ok(())
}

/// A sentence for each property that changes nothing for the statements of its request.
pub fn warnings(properties: &IndexMap<String, String>) -> Vec<String> {
    properties.iter().filter_map(|(name, value)| without_effect(name, value)).collect()
}

/// Why a valid property changes nothing in a request; None: it does change something.
pub fn without_effect(name: &str, value: &str) -> Option<String> {
    let short = name.strip_prefix(STREAMS_PREFIX).unwrap_or(name);
    if short == "processing.guarantee" && value.eq_ignore_ascii_case("at_least_once") {
        return Some(format!(
            "Property '{name}' has no effect: queries are always exactly-once, which includes at-least-once"
        ));
    }
    let concerns_query = QuerySettings::default().set(name, value).unwrap_or(true);
    let concerns_analysis = Session::default().set(name, value).unwrap_or(true);
    match effect(name) {
        Some(Effect::Node) => Some(format!(
            "Property '{name}' has no effect: it is a setting of the node, which a request does not change"
        )),
        _ if concerns_query || concerns_analysis => None,
        Some(Effect::Request | Effect::Nothing) | None => {
            Some(format!("Property '{name}' has no effect in Weir"))
        }
    }
}

/// The rows of SHOW PROPERTIES: properties set by the request, then the rest with their defaults.
pub fn list(node: &Node, scope: &RequestScope) -> (Vec<Value>, Vec<String>) {
    let overwritten: Vec<String> = scope.properties.keys().cloned().collect();
    let row = |name: &str, level: &str, value: &str| {
        json!({
            "name": name, "scope": "KSQL", "level": level, "value": value, "editable": check(name).is_ok(),
        })
    };
    let mut rows: Vec<Value> =
        scope.properties.iter().map(|(name, value)| row(name, "SESSION", value)).collect();
    let streams = FOLLOWED_STREAMS.iter().map(|(name, default)| (*name, *default, Effect::Request));
    for (name, default, effect) in KSQL.iter().copied().chain(streams) {
        if scope.properties.contains_key(name) {
            continue;
        }
        let level = match effect {
            Effect::Request => "QUERY",
            Effect::Node => "SERVER",
            Effect::Nothing => "NO EFFECT",
        };
        let value = node.property_value(name).unwrap_or_else(|| default.to_owned());
        rows.push(row(name, level, &value));
    }
    (rows, overwritten)
}

impl Node {
    /// The value that a property has on this node; None: as by default.
    fn property_value(&self, name: &str) -> Option<String> {
        match name {
            "ksql.service.id" => Some(self.session().service_id.clone()),
            "ksql.max.push.queries" => Some(self.push_queries_max().to_string()),
            "ksql.streams.commit.interval.ms" => Some(self.engine().config().commit_interval_ms.to_string()),
            "ksql.streams.num.stream.threads" => Some(self.engine().config().worker_threads.to_string()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_by_their_prefixes() {
        for name in [
            "auto.offset.reset",
            "ksql.streams.auto.offset.reset",
            "ksql.streams.consumer.max.poll.records",
            "producer.linger.ms",
            "main.consumer.fetch.min.bytes",
            "ksql.streams.producer.compression.type",
            "ksql.functions.collect_list.limit",
            "ksql.suppress.enabled",
            "num.stream.threads",
        ] {
            assert!(check(name).is_ok(), "{name}");
        }
        for name in [
            "auto.offset.rest",
            "producer.nonsense",
            "consumer.",
            "ksql.query.nonsense",
            "ksql.functions.",
            "ksql.streams.ksql.suppress.enabled",
            "",
            "ksql.extension.dir",
            "ksql.streams.bootstrap.servers",
        ] {
            assert!(check(name).is_err(), "{name}");
        }
    }

    #[test]
    fn tables_are_sorted_and_free_of_duplicates() {
        assert!(KSQL.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(CLIENT.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn credentials_are_not_kept() {
        for name in ["sasl.jaas.config", "ksql.streams.producer.sasl.jaas.config", "x.password"] {
            assert_eq!(shown(name, "p4ss".to_owned()), HIDDEN, "{name}");
        }
        assert_eq!(shown("auto.offset.reset", "latest".to_owned()), "latest");
    }

    #[test]
    fn a_property_without_effect_is_named() {
        let properties: IndexMap<String, String> = [
            ("auto.offset.reset", "earliest"),
            ("ksql.streams.num.stream.threads", "4"),
            ("ksql.service.id", "x"),
            ("processing.guarantee", "at_least_once"),
            ("ksql.suppress.enabled", "true"),
            ("ksql.lambdas.enabled", "false"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect();
        let warnings = warnings(&properties);
        let named = |name: &str| warnings.iter().any(|w| w.contains(&format!("'{name}'")));
        assert!(named("ksql.streams.num.stream.threads") && named("ksql.service.id"));
        assert!(named("processing.guarantee") && named("ksql.lambdas.enabled"));
        assert_eq!(warnings.len(), 4, "{warnings:?}");
    }
}
