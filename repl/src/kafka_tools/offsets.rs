//! Places in topics as people write them: `beginning`, `end`, `-10`, `42`, `@TIME`.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use weir_broker::env::clock::{Clock, SystemClock};
use weir_broker::ids::{Offset, TopicPartition};
use weir_broker::log::access::{Isolation, OffsetSpec};

use crate::kafka_tools::client_properties::ClientProperties;
use crate::kafka_tools::connection::Connection;
use crate::kafka_tools::error::{Result, ToolError};

/// A place in every partition of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Earliest,
    Latest,
    /// This many records before the end.
    BeforeEnd(i64),
    /// This many records after the beginning.
    AfterStart(i64),
    At(Offset),
    /// The first record at or after this time. Units: ms since epoch.
    Since(i64),
}

impl Place {
    /// The first record of the last `ms` milliseconds.
    pub fn ago(ms: i64) -> Place {
        Place::Since(SystemClock::new().now_ms().saturating_sub(ms).max(0))
    }
}

/// Place of a reader without a committed offset, by the words that Java's and librdkafka's consumers have for
/// `auto.offset.reset`. None: the property is not set.
///
/// Errors: usage, for any other word.
pub fn offset_reset(properties: &ClientProperties) -> Result<Option<Place>> {
    match properties.get("auto.offset.reset") {
        None => Ok(None),
        Some("earliest" | "smallest" | "beginning") => Ok(Some(Place::Earliest)),
        Some("latest" | "largest" | "end") => Ok(Some(Place::Latest)),
        Some(other) => {
            let message = format!("auto.offset.reset is \"{other}\": expected earliest or latest");
            Err(ToolError::Usage(message))
        }
    }
}

/// Reads a place: `beginning|earliest|start|oldest`, `end|latest|newest`, `-N`, `+N`, `N`, `@MS`, `@2024-01-31[T12:00:00Z]`,
/// `@-1h`.
pub fn parse_place(text: &str) -> Result<Place, String> {
    let text = text.strip_prefix("s@").map_or_else(|| text.to_owned(), |time| format!("@{time}"));
    match text.to_ascii_lowercase().as_str() {
        "beginning" | "earliest" | "start" | "oldest" => return Ok(Place::Earliest),
        "end" | "latest" | "newest" => return Ok(Place::Latest),
        _ => {}
    }
    if let Some(time) = text.strip_prefix('@') {
        return parse_time(time).map(Place::Since);
    }
    if let Some(after) = text.strip_prefix('+').and_then(|count| count.parse().ok()).filter(|n| *n >= 0) {
        return Ok(Place::AfterStart(after));
    }
    match text.parse::<i64>() {
        Ok(offset @ 0..) => Ok(Place::At(offset)),
        Ok(before) => Ok(Place::BeforeEnd(before.saturating_neg())),
        Err(_) => parse_time(&text).map(Place::Since).map_err(|_| {
            format!(
                "\"{text}\" is none of beginning, end, -N, OFFSET, @MILLISECONDS, @2024-01-31T12:00:00Z, @-1h"
            )
        }),
    }
}

/// Reads a time: ms since epoch, a date, a date and time with or without zone (UTC then), or how long ago (`-1h`).
pub fn parse_time(text: &str) -> Result<i64, String> {
    if let Ok(ms) = text.parse::<i64>()
        && ms >= 0
    {
        return Ok(ms);
    }
    if let Some(duration) = text.strip_prefix('-') {
        return parse_duration(duration).map(|ms| SystemClock::new().now_ms().saturating_sub(ms).max(0));
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.timestamp_millis());
    }
    // Kafka's own script writes zones without a colon.
    if let Ok(time) = DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z") {
        return Ok(time.timestamp_millis());
    }
    for form in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S%.f"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, form) {
            return Ok(time.and_utc().timestamp_millis());
        }
    }
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .ok()
        .and_then(|date| date.and_hms_opt(0, 0, 0))
        .map(|time| time.and_utc().timestamp_millis())
        .ok_or_else(|| format!("\"{text}\" is no time: milliseconds since 1970, or 2024-01-31T12:00:00Z"))
}

/// Reads a length of time: `90s`, `1h30m`, `7d`, `250ms`, or as Kafka's own script has it: `PT1H30M`, `P7D`. Units: ms.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let wrong = || format!("\"{text}\" is no length of time such as 90s, 1h30m, 7d or PT1H30M");
    let mut rest = text.to_ascii_lowercase();
    // In ISO form days stand before the T and everything else behind it; nothing is lost by not asking for that.
    if let Some(iso) = rest.strip_prefix('p') {
        rest = iso.replace('t', "");
    }
    let mut rest = rest.as_str();
    let mut total_ms: f64 = 0.0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit_end =
            rest[digits..].find(|c: char| !c.is_ascii_alphabetic()).map_or(rest.len(), |at| digits + at);
        let unit_ms = match &rest[digits..unit_end] {
            "ms" => 1.0,
            "s" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            "w" => 604_800_000.0,
            _ => return Err(wrong()),
        };
        total_ms += number * unit_ms;
        rest = &rest[unit_end..];
    }
    // Saturates, and a length without end reaches back to the first record.
    Ok(total_ms as i64)
}

/// Where reading begins, and where it ends if it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub begin: Option<Place>,
    /// Records at and after it are left out.
    pub until: Option<Place>,
}

/// Reads a range: a place to begin at, or two with a colon between (`10:20`, `:end`, `start:`, `@-2h:@-1h`), or kcat's `e@MS`
/// to end at.
pub fn parse_range(text: &str) -> Result<Range, String> {
    if let Some(time) = text.strip_prefix("e@") {
        return Ok(Range { begin: None, until: Some(Place::Since(parse_time(time)?)) });
    }
    // Times have colons themselves, so the whole is tried first.
    let whole = match parse_place(text) {
        Ok(place) => return Ok(Range { begin: Some(place), until: None }),
        Err(message) => message,
    };
    let part = |text: &str| match text {
        "" => Ok(None),
        text => parse_place(text).map(Some),
    };
    let after_time = text.starts_with('@');
    for (at, _) in text.match_indices(':') {
        let (begin, until) = (&text[..at], &text[at + 1..]);
        // rpk writes the second time without its @.
        let until_time = format!("@{until}");
        let until = match (part(until), after_time) {
            (Ok(Some(Place::At(_) | Place::BeforeEnd(_))) | Err(_), true) => part(&until_time),
            (until, _) => until,
        };
        if let (Ok(begin), Ok(until)) = (part(begin), until)
            && (begin.is_some() || until.is_some())
        {
            return Ok(Range { begin, until });
        }
    }
    Err(whole)
}

/// Where a partition begins and ends for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub start: Offset,
    pub end: Offset,
}

/// The bounds of partitions, in their order.
pub async fn bounds(
    connection: &Connection,
    partitions: &[TopicPartition],
    isolation: Isolation,
) -> Result<Vec<Bounds>> {
    let starts = look_up(connection, partitions, OffsetSpec::Earliest, isolation).await?;
    let ends = look_up(connection, partitions, OffsetSpec::Latest, isolation).await?;
    let pairs = starts.into_iter().zip(ends);
    Ok(pairs.map(|(start, end)| Bounds { start: start.unwrap_or(0), end: end.unwrap_or(0) }).collect())
}

/// A place in each of the partitions, within their bounds.
pub async fn resolve(
    connection: &Connection,
    place: Place,
    partitions: &[TopicPartition],
    isolation: Isolation,
) -> Result<Vec<Offset>> {
    let bounds = bounds(connection, partitions, isolation).await?;
    Ok(match place {
        Place::Earliest => bounds.iter().map(|b| b.start).collect(),
        Place::Latest => bounds.iter().map(|b| b.end).collect(),
        Place::BeforeEnd(count) => {
            bounds.iter().map(|b| (b.end.saturating_sub(count)).max(b.start)).collect()
        }
        Place::AfterStart(count) => {
            bounds.iter().map(|b| b.start.saturating_add(count).min(b.end.max(b.start))).collect()
        }
        Place::At(offset) => bounds.iter().map(|b| offset.clamp(b.start, b.end.max(b.start))).collect(),
        Place::Since(time) => {
            let found = look_up(connection, partitions, OffsetSpec::Timestamp(time), isolation).await?;
            found.into_iter().zip(&bounds).map(|(offset, b)| offset.unwrap_or(b.end)).collect()
        }
    })
}

async fn look_up(
    connection: &Connection,
    partitions: &[TopicPartition],
    spec: OffsetSpec,
    isolation: Isolation,
) -> Result<Vec<Option<Offset>>> {
    let wanted: Vec<_> = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
    let listed = connection.admin.list_offsets(&wanted, isolation).await?;
    Ok(listed.into_iter().map(|listed| listed.offset).collect())
}

/// The partitions of a topic that exist: all, or the one asked for.
pub async fn partitions(connection: &Connection, topic: &str, wanted: &[i32]) -> Result<Vec<TopicPartition>> {
    let count = connection.topic(topic).await?.partitions;
    if let Some(partition) = wanted.iter().copied().find(|p| !(0..count).contains(p)) {
        return Err(ToolError::NoPartition { topic: topic.to_owned(), partition, last: count - 1 });
    }
    let name: std::sync::Arc<str> = topic.into();
    let all: Vec<i32> = if wanted.is_empty() { (0..count).collect() } else { wanted.to_vec() };
    Ok(all.into_iter().map(|partition| TopicPartition::new(name.clone(), partition)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_reset_is_earliest_or_latest() {
        let reset = |value: &str| {
            let given = [format!("auto.offset.reset={value}")];
            offset_reset(&ClientProperties::read(None, &given).expect("known"))
        };
        assert_eq!(reset("smallest").expect("known"), Some(Place::Earliest));
        assert_eq!(reset("latest").expect("known"), Some(Place::Latest));
        for value in ["earlyest", "none", ""] {
            assert!(reset(value).expect_err(value).to_string().contains("expected earliest or latest"));
        }
        assert_eq!(offset_reset(&ClientProperties::default()).expect("nothing is wrong"), None);
    }

    #[test]
    fn places_are_written_in_many_ways() {
        for (text, place) in [
            ("beginning", Place::Earliest),
            ("END", Place::Latest),
            ("-10", Place::BeforeEnd(10)),
            ("42", Place::At(42)),
            ("+3", Place::AfterStart(3)),
            ("1970-01-01T01:00:00.000+0100", Place::Since(0)),
            ("@1700000000000", Place::Since(1_700_000_000_000)),
            ("s@5", Place::Since(5)),
            ("@1970-01-02", Place::Since(86_400_000)),
            ("1970-01-01T00:00:01Z", Place::Since(1_000)),
            ("@1970-01-01T01:00:00+01:00", Place::Since(0)),
        ] {
            assert_eq!(parse_place(text), Ok(place), "{text}");
        }
        assert!(parse_place("yesterday").is_err());
        assert!(parse_place("@").is_err());
        let Ok(Place::Since(hour_ago)) = parse_place("@-1h") else { panic!("a time ago") };
        assert!(hour_ago > 0 && hour_ago < SystemClock::new().now_ms());
    }

    #[test]
    fn lengths_of_time_are_written_shortly_or_as_iso_does() {
        for (text, ms) in [
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            ("PT1H30M", 5_400_000),
            ("P7D", 604_800_000),
            ("P1DT1S", 86_401_000),
            ("250ms", 250),
            ("PT0.5S", 500),
        ] {
            assert_eq!(parse_duration(text), Ok(ms), "{text}");
        }
        for wrong in ["", "P", "1", "1y", "h", "1.2.3s"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_have_a_place_on_each_side() {
        let range = |begin, until| Ok(Range { begin, until });
        for (text, expected) in [
            ("7", range(Some(Place::At(7)), None)),
            ("7:9", range(Some(Place::At(7)), Some(Place::At(9)))),
            ("start:", range(Some(Place::Earliest), None)),
            (":end", range(None, Some(Place::Latest))),
            ("-5:end", range(Some(Place::BeforeEnd(5)), Some(Place::Latest))),
            ("e@5", range(None, Some(Place::Since(5)))),
            ("@1000:2000", range(Some(Place::Since(1_000)), Some(Place::Since(2_000)))),
            ("@1000:end", range(Some(Place::Since(1_000)), Some(Place::Latest))),
            (
                "@1970-01-01T00:00:01Z:1970-01-01T00:00:02Z",
                range(Some(Place::Since(1_000)), Some(Place::Since(2_000))),
            ),
            ("@1970-01-01T00:00:01Z", range(Some(Place::Since(1_000)), None)),
        ] {
            assert_eq!(parse_range(text), expected, "{text}");
        }
        for wrong in [":", "a:b", "5:x", "e@soon"] {
            assert!(parse_range(wrong).is_err(), "{wrong}");
        }
    }
}
