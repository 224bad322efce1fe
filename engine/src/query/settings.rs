//! What a query does with the properties of its statement.

use weir_sql::functions::aggregate::AggregateOptions;

use crate::query::options::OffsetReset;

/// A property that a query cannot take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid value \"{value}\" for property '{name}': {expected} expected")]
pub struct PropertyError {
    pub name: String,
    pub value: String,
    /// What would be right, as a noun.
    pub expected: &'static str,
}

/// What ksqlDB's and Kafka Streams' properties say about one query. None: as the engine is configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuerySettings {
    /// `auto.offset.reset`
    pub auto_offset_reset: Option<OffsetReset>,
    /// `commit.interval.ms`: the longest time between two commits while rows keep coming.
    pub commit_interval_ms: Option<u64>,
    /// `statestore.cache.max.bytes`, formerly `cache.max.bytes.buffering`. With 0 tables emit every update; otherwise the
    /// updates of a key between two commits are one.
    pub cache_bytes: Option<u64>,
    /// `ksql.timestamp.throw.on.invalid`: a record without a valid timestamp stops the query.
    pub fail_on_invalid_timestamp: bool,
    /// `ksql.fail.on.deserialization.error`: a record that cannot be read stops the query.
    pub fail_on_unreadable_record: bool,
    /// `ksql.fail.on.production.error`: a record that can never be written stops the query. Otherwise it is reported and
    /// left out.
    pub fail_on_production_error: bool,
    /// `ksql.functions.<aggregate>.limit`
    pub aggregates: AggregateOptions,
}

impl QuerySettings {
    /// Takes the properties that matter to a query; others are ignored.
    ///
    /// Errors: a value that a property cannot have.
    pub fn from_properties<'a>(
        properties: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Result<QuerySettings, PropertyError> {
        let mut settings = QuerySettings::default();
        for (name, value) in properties {
            settings.set(name, value)?;
        }
        Ok(settings)
    }

    /// Sets one property; false if it does not concern queries. Properties of Kafka Streams may carry the prefix
    /// `ksql.streams.`, those of its consumers `consumer.` as well.
    ///
    /// Errors: a value that the property cannot have.
    pub fn set(&mut self, name: &str, value: &str) -> Result<bool, PropertyError> {
        let short = name.strip_prefix("ksql.streams.").unwrap_or(name);
        let short = short.strip_prefix("consumer.").unwrap_or(short);
        match short {
            "auto.offset.reset" => self.auto_offset_reset = Some(offset_reset(name, value)?),
            "commit.interval.ms" => {
                self.commit_interval_ms = Some(unsigned(name, value, "a number of milliseconds")?);
            }
            "cache.max.bytes.buffering" | "statestore.cache.max.bytes" => {
                self.cache_bytes = Some(unsigned(name, value, "a number of bytes")?);
            }
            "processing.guarantee" => guarantee(name, value)?,
            "ksql.timestamp.throw.on.invalid" => self.fail_on_invalid_timestamp = boolean(name, value)?,
            "ksql.fail.on.deserialization.error" => self.fail_on_unreadable_record = boolean(name, value)?,
            "ksql.fail.on.production.error" => self.fail_on_production_error = boolean(name, value)?,
            "ksql.functions.collect_list.limit" => self.aggregates.collect_list_limit = limit(name, value)?,
            "ksql.functions.collect_set.limit" => self.aggregates.collect_set_limit = limit(name, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn invalid(name: &str, value: &str, expected: &'static str) -> PropertyError {
    PropertyError { name: name.to_owned(), value: value.to_owned(), expected }
}

fn offset_reset(name: &str, value: &str) -> Result<OffsetReset, PropertyError> {
    match value.to_ascii_lowercase().as_str() {
        "earliest" => Ok(OffsetReset::Earliest),
        "latest" => Ok(OffsetReset::Latest),
        _ => Err(invalid(name, value, "earliest or latest")),
    }
}

/// Queries are exactly-once whatever is asked for, which is at least once too.
fn guarantee(name: &str, value: &str) -> Result<(), PropertyError> {
    match value.to_ascii_lowercase().as_str() {
        "at_least_once" | "exactly_once" | "exactly_once_beta" | "exactly_once_v2" => Ok(()),
        _ => Err(invalid(name, value, "at_least_once or exactly_once_v2")),
    }
}

fn unsigned(name: &str, value: &str, expected: &'static str) -> Result<u64, PropertyError> {
    value.trim().parse().map_err(|_| invalid(name, value, expected))
}

fn boolean(name: &str, value: &str) -> Result<bool, PropertyError> {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(invalid(name, value, "true or false")),
    }
}

/// Negative: unlimited.
fn limit(name: &str, value: &str) -> Result<Option<usize>, PropertyError> {
    let number: i64 = value.trim().parse().map_err(|_| invalid(name, value, "a whole number"))?;
    Ok(usize::try_from(number).ok())
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
            auto_offset_reset: Some(OffsetReset::Earliest),
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
}
