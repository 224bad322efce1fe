//! Properties of statements that their queries follow. A property is one row of [`SETTINGS`]; parsing, SHOW PROPERTIES and
//! docs/configuration.md follow from it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use weir_sql::functions::aggregate::AggregateOptions;

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

/// How a query is started.
#[derive(Clone, Debug, Default)]
pub struct QueryOptions {
    /// ksqlDB's and Kafka Streams' properties as set by the statement: [`QuerySettings`] says which matter.
    pub properties: BTreeMap<String, String>,
    /// Start paused.
    pub paused: bool,
}

/// A property that a query cannot take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid value \"{value}\" for property '{name}': {expected} expected")]
pub struct PropertyError {
    pub name: String,
    pub value: String,
    /// Valid values, as a noun.
    pub expected: &'static str,
}

/// The properties of a query, as [`SETTINGS`] names them. None: as the engine is configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuerySettings {
    pub auto_offset_reset: OffsetReset,
    /// Longest time between two commits while rows keep coming.
    pub commit_interval_ms: Option<u64>,
    /// With 0 tables emit every update; otherwise the updates of a key between two commits are one.
    pub cache_bytes: Option<u64>,
    /// A record without a valid timestamp stops the query.
    pub fail_on_invalid_timestamp: bool,
    /// A record that cannot be read stops the query.
    pub fail_on_unreadable_record: bool,
    /// A record that can never be written stops the query. Otherwise it is reported and left out.
    pub fail_on_production_error: bool,
    pub aggregates: AggregateOptions,
}

/// A property that queries follow.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Name without a prefix.
    pub name: &'static str,
    /// Another name of the same property.
    pub other_name: Option<&'static str>,
    /// Value of queries without the property.
    pub default: &'static str,
    /// Valid values, as a noun.
    pub expected: &'static str,
    /// For people, in a sentence or two.
    pub documentation: &'static str,
    /// None: the property cannot have the value.
    set: fn(&mut QuerySettings, &str) -> Option<()>,
}

/// All properties that queries follow. Those without "ksql." belong to Kafka Streams: they may have the prefix
/// `ksql.streams.`, those of its consumers `consumer.` as well.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "auto.offset.reset",
        other_name: None,
        default: "latest",
        expected: "earliest or latest",
        documentation: "Where a new query begins to read its streams. Tables are always read from the beginning.",
        set: |settings, value| OffsetReset::named(value).map(|reset| settings.auto_offset_reset = reset),
    },
    Setting {
        name: "cache.max.bytes.buffering",
        other_name: Some("statestore.cache.max.bytes"),
        default: "10000000",
        expected: "a number of bytes",
        documentation: "With 0 a table emits every update; with any other value the updates of a key between two \
                        commits are emitted as one.",
        set: |settings, value| unsigned(value).map(|bytes| settings.cache_bytes = Some(bytes)),
    },
    Setting {
        name: "commit.interval.ms",
        other_name: None,
        default: "100",
        expected: "a number of milliseconds",
        documentation: "Longest time between two commits of a busy query; a query that has caught up commits at once.",
        set: |settings, value| unsigned(value).map(|ms| settings.commit_interval_ms = Some(ms)),
    },
    Setting {
        name: "processing.guarantee",
        other_name: None,
        default: "exactly_once_v2",
        expected: "at_least_once or exactly_once_v2",
        documentation: "Accepted; queries are always exactly-once, which includes at-least-once.",
        set: |_, value| GUARANTEES.iter().any(|known| value.eq_ignore_ascii_case(known)).then_some(()),
    },
    Setting {
        name: "ksql.fail.on.deserialization.error",
        other_name: None,
        default: "false",
        expected: "true or false",
        documentation: "A record that cannot be read stops the query; otherwise it is reported and left out.",
        set: |settings, value| boolean(value).map(|fails| settings.fail_on_unreadable_record = fails),
    },
    Setting {
        name: "ksql.fail.on.production.error",
        other_name: None,
        default: "false",
        expected: "true or false",
        documentation: "A record that can never be written stops the query; otherwise it is reported and left out.",
        set: |settings, value| boolean(value).map(|fails| settings.fail_on_production_error = fails),
    },
    Setting {
        name: "ksql.functions.collect_list.limit",
        other_name: None,
        default: "-1",
        expected: "a whole number",
        documentation: "Values that COLLECT_LIST keeps; further ones are ignored. Negative: no limit.",
        set: |settings, value| limit(value).map(|limit| settings.aggregates.collect_list_limit = limit),
    },
    Setting {
        name: "ksql.functions.collect_set.limit",
        other_name: None,
        default: "-1",
        expected: "a whole number",
        documentation: "Values that COLLECT_SET keeps; further ones are ignored. Negative: no limit.",
        set: |settings, value| limit(value).map(|limit| settings.aggregates.collect_set_limit = limit),
    },
    Setting {
        name: "ksql.timestamp.throw.on.invalid",
        other_name: None,
        default: "false",
        expected: "true or false",
        documentation: "A record without a valid timestamp stops the query; otherwise it is reported and left out.",
        set: |settings, value| boolean(value).map(|fails| settings.fail_on_invalid_timestamp = fails),
    },
];

/// Kafka Streams' names of what queries give in any case.
const GUARANTEES: [&str; 4] = ["at_least_once", "exactly_once", "exactly_once_beta", "exactly_once_v2"];

/// Prefix of the properties of Kafka Streams.
const STREAMS_PREFIX: &str = "ksql.streams.";

impl Setting {
    /// The setting of this name, with or without a prefix.
    pub fn named(name: &str) -> Option<&'static Setting> {
        let short = name.strip_prefix(STREAMS_PREFIX).unwrap_or(name);
        let short = short.strip_prefix("consumer.").unwrap_or(short);
        SETTINGS.iter().find(|setting| setting.name == short || setting.other_name == Some(short))
    }

    /// The name in lists of properties: with the prefix, if it belongs to Kafka Streams.
    pub fn full_name(&self) -> String {
        let prefix = if self.name.starts_with("ksql.") { "" } else { STREAMS_PREFIX };
        format!("{prefix}{}", self.name)
    }
}

impl QuerySettings {
    /// Takes the properties that matter to a query; others are ignored. Of the names of a property the shortest wins.
    ///
    /// Errors: a value that a property cannot have.
    pub fn from_properties<'a>(
        properties: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Result<QuerySettings, PropertyError> {
        let mut properties: Vec<(&String, &String)> = properties.into_iter().collect();
        properties.sort_by_key(|(name, _)| Reverse(name.len()));
        let mut settings = QuerySettings::default();
        for (name, value) in properties {
            settings.set(name, value)?;
        }
        Ok(settings)
    }

    /// Sets one property; false if it does not concern queries.
    ///
    /// Errors: a value that the property cannot have.
    pub fn set(&mut self, name: &str, value: &str) -> Result<bool, PropertyError> {
        let Some(setting) = Setting::named(name) else { return Ok(false) };
        let wrong =
            || PropertyError { name: name.to_owned(), value: value.to_owned(), expected: setting.expected };
        (setting.set)(self, value).ok_or_else(wrong).map(|()| true)
    }
}

fn unsigned(value: &str) -> Option<u64> {
    value.trim().parse().ok()
}

fn boolean(value: &str) -> Option<bool> {
    value.trim().to_ascii_lowercase().parse().ok()
}

/// Negative: unlimited.
fn limit(value: &str) -> Option<Option<usize>> {
    let number: i64 = value.trim().parse().ok()?;
    Some(usize::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_known_by_their_short_and_their_long_names() {
        let mut settings = QuerySettings::default();
        for (name, value) in [
            ("ksql.streams.auto.offset.reset", "Earliest"),
            ("commit.interval.ms", "2000"),
            ("ksql.streams.statestore.cache.max.bytes", "0"),
            ("processing.guarantee", "exactly_once_v2"),
            ("ksql.timestamp.throw.on.invalid", "true"),
            ("ksql.functions.collect_list.limit", "3"),
            ("ksql.functions.collect_set.limit", "-1"),
        ] {
            assert_eq!(settings.set(name, value), Ok(true), "{name}");
        }
        let expected = QuerySettings {
            auto_offset_reset: OffsetReset::Earliest,
            commit_interval_ms: Some(2_000),
            cache_bytes: Some(0),
            fail_on_invalid_timestamp: true,
            fail_on_unreadable_record: false,
            fail_on_production_error: false,
            aggregates: AggregateOptions { collect_list_limit: Some(3), collect_set_limit: None },
        };
        assert_eq!(settings, expected);
        assert_eq!(settings.set("ksql.service.id", "x"), Ok(false));
    }

    #[test]
    fn the_short_name_of_a_property_wins() {
        let names = ["auto.offset.reset", "ksql.streams.auto.offset.reset"];
        for (short, long) in [("earliest", "latest"), ("latest", "earliest")] {
            let pairs = names.iter().zip([short, long]);
            let properties: BTreeMap<String, String> =
                pairs.map(|(name, value)| ((*name).to_owned(), value.to_owned())).collect();
            let settings = QuerySettings::from_properties(&properties).expect("valid");
            assert_eq!(settings.auto_offset_reset == OffsetReset::Earliest, short == "earliest");
        }
    }

    #[test]
    fn impossible_values_are_refused_with_what_would_be_right() {
        for (name, value) in [
            ("auto.offset.reset", "none"),
            ("ksql.streams.commit.interval.ms", "-1"),
            ("cache.max.bytes.buffering", "much"),
            ("processing.guarantee", "mostly"),
            ("ksql.timestamp.throw.on.invalid", "1"),
            ("ksql.functions.collect_set.limit", "few"),
        ] {
            let error = QuerySettings::default().set(name, value).expect_err(name);
            let text = error.to_string();
            assert!(text.contains(name) && text.contains(value) && text.ends_with(" expected"), "{text}");
        }
    }

    #[test]
    fn defaults_are_valid_and_change_nothing() {
        for setting in SETTINGS {
            let mut settings = QuerySettings::default();
            assert_eq!(settings.set(setting.name, setting.default), Ok(true), "{}", setting.name);
            assert_eq!(settings.set(&setting.full_name(), setting.default), Ok(true), "{}", setting.name);
            if setting.expected == "true or false" || setting.expected == "a whole number" {
                assert_eq!(settings, QuerySettings::default(), "{}", setting.name);
            }
        }
    }
}
