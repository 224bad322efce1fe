//! Properties that requests may set.

mod known;

use indexmap::IndexMap;
use serde_json::{Value, json};
use weir_engine::settings::{self, QuerySettings};
use weir_sql::session::{self, Scope, Session};

use crate::config::ksql;
use crate::context::Context;
use crate::error::ApiError;
use crate::statement::properties::known::{
    CLIENT, CLIENT_PREFIXES, FIXED, KSQL_PREFIXES, STREAMS, WITHOUT_EFFECT,
};

/// Effect of a property that a request sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// It holds for the statements of the request.
    Request,
    /// It belongs to the node: a request does not change it.
    Node,
    /// Weir has nothing that it could change.
    Nothing,
}

impl Effect {
    /// The level in SHOW PROPERTIES.
    fn level(self) -> &'static str {
        match self {
            Effect::Request => "QUERY",
            Effect::Node => "SERVER",
            Effect::Nothing => "NO EFFECT",
        }
    }
}

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
    if ksql::Setting::named(name).is_some() || FIXED.iter().any(|(known, _)| *known == name) {
        return Some(Effect::Node);
    }
    match session::Setting::named(name).map(|setting| setting.scope) {
        Some(Scope::Node) => Some(Effect::Node),
        Some(Scope::Request) => Some(Effect::Request),
        None if settings::SETTINGS.iter().any(|setting| setting.name == name) => Some(Effect::Request),
        None => WITHOUT_EFFECT.contains(&name).then_some(Effect::Nothing),
    }
}

/// Errors: as [`check`], and a value that the property cannot have.
pub fn check_value(name: &str, value: &str) -> Result<(), ApiError> {
    check(name)?;
    QuerySettings::default().set(name, value).map_err(|e| ApiError::bad_request(e.to_string()))?;
    Session::default().set(name, value).map_err(|e| ApiError::bad_request(e.message))?;
    Ok(())
}

/// The value of a property as it is kept with queries and shown in lists. Credentials, which have no effect here, are
/// neither.
pub fn shown(name: &str, value: String) -> String {
    if SECRETS.iter().any(|part| name.contains(part)) { HIDDEN.to_owned() } else { value }
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

/// The rows of SHOW PROPERTIES: properties set by the request, then the rest with their values on this node.
pub fn list(context: &Context, set: &IndexMap<String, String>) -> (Vec<Value>, Vec<String>) {
    let overwritten: Vec<String> = set.keys().cloned().collect();
    let row = |name: &str, level: &str, value: &str| {
        json!({
            "name": name, "scope": "KSQL", "level": level, "value": value, "editable": check(name).is_ok(),
        })
    };
    let mut rows: Vec<Value> = set.iter().map(|(name, value)| row(name, "SESSION", value)).collect();
    for (name, effect, value) in properties(context) {
        if !set.contains_key(&name) {
            rows.push(row(&name, effect.level(), &value));
        }
    }
    (rows, overwritten)
}

/// Every property with its value on this node: those of ksqlDB by name, then those of Kafka Streams.
fn properties(context: &Context) -> Vec<(String, Effect, String)> {
    let of_node = ksql::SETTINGS.iter().map(|s| (s.name.to_owned(), s.value(context.config())));
    let of_sessions = session::SETTINGS.iter().filter(|s| ksql::Setting::named(s.name).is_none());
    let of_sessions = of_sessions.map(|s| (s.name.to_owned(), s.value(context.session())));
    let of_queries = settings::SETTINGS.iter().map(|s| (s.full_name(), query_default(context, s)));
    let fixed = FIXED.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let without_effect = WITHOUT_EFFECT.iter().map(|name| ((*name).to_owned(), String::new()));
    let named = of_node.chain(of_sessions).chain(of_queries).chain(fixed).chain(without_effect);
    let with_effect = |(name, value): (String, String)| {
        let effect = effect(&name).unwrap_or(Effect::Request);
        (name, effect, value)
    };
    let mut properties: Vec<_> = named.map(with_effect).collect();
    properties.sort_by_cached_key(|(name, ..)| (name.starts_with(STREAMS_PREFIX), name.clone()));
    properties
}

/// The value of queries whose statements do not set the property.
fn query_default(context: &Context, setting: &settings::Setting) -> String {
    let is_same = |name: &str| settings::Setting::named(name).is_some_and(|s| s.name == setting.name);
    let configured = context.config().query_defaults.iter().find(|(name, _)| is_same(name));
    match configured {
        Some((_, value)) => value.clone(),
        None if setting.name == "commit.interval.ms" => context.config().commit_interval_ms.to_string(),
        None => setting.default.to_owned(),
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
        assert!(FIXED.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(WITHOUT_EFFECT.windows(2).all(|pair| pair[0] < pair[1]));
        let has_setting = |name: &str| {
            ksql::Setting::named(name).is_some()
                || session::Setting::named(name).is_some()
                || settings::Setting::named(name).is_some()
        };
        let others = FIXED.iter().map(|(name, _)| name).chain(&WITHOUT_EFFECT);
        let twice: Vec<&&str> = others.filter(|name| has_setting(name)).collect();
        assert!(twice.is_empty(), "{twice:?}");
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
