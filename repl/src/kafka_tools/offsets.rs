//! Places in topics as people write them: `beginning`, `end`, `-10`, `42`, `@TIME`.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use weir_broker::ids::{Offset, TopicPartition};
use weir_broker::log::access::{Isolation, OffsetSpec};

use crate::kafka_tools::connection::Connection;
use crate::kafka_tools::error::{Result, ToolError};

/// A place in every partition of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Earliest,
    Latest,
    /// This many records before the end.
    BeforeEnd(i64),
    At(Offset),
    /// The first record at or after this time. Units: ms since epoch.
    Since(i64),
}

/// Reads a place: `beginning|earliest|start|oldest`, `end|latest|newest`, `-N`, `N`, `@MS`, `@2024-01-31[T12:00:00Z]`.
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
    match text.parse::<i64>() {
        Ok(offset @ 0..) => Ok(Place::At(offset)),
        Ok(before) => Ok(Place::BeforeEnd(before.saturating_neg())),
        Err(_) => parse_time(&text).map(Place::Since).map_err(|_| {
            format!("\"{text}\" is none of beginning, end, -N, OFFSET, @MILLISECONDS, @2024-01-31T12:00:00Z")
        }),
    }
}

/// Reads a time: ms since epoch, a date, a date and time with or without zone (UTC then).
pub fn parse_time(text: &str) -> Result<i64, String> {
    if let Ok(ms) = text.parse::<i64>()
        && ms >= 0
    {
        return Ok(ms);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
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
    fn places_are_written_in_many_ways() {
        for (text, place) in [
            ("beginning", Place::Earliest),
            ("END", Place::Latest),
            ("-10", Place::BeforeEnd(10)),
            ("42", Place::At(42)),
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
    }
}
