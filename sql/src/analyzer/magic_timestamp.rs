//! String literals that are compared with ROWTIME, WINDOWSTART or WINDOWEND: dates and times, possibly cut short.

use chrono::{FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};

/// `2020`, `2020-05`, `2020-05-26`, `2020-05-26T23`, `…T23:59`, `…T23:59:58`, `…T23:59:58.123`, each with an optional
/// zone `Z`, `+hhmm` or `-hhmm` after the time; what is missing is the lowest value, the zone UTC. Result in ms.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let (date_text, time_text) = match text.split_once(['T', 't']) {
        Some((date, time)) => (date, time),
        None => (text, ""),
    };
    let date = parse_date(date_text)?;
    let (time_text, offset) = split_zone(time_text)?;
    let local = match time_text {
        // The end of the day.
        "24" | "24:00" | "24:00:00" => NaiveDateTime::new(date.succ_opt()?, NaiveTime::MIN),
        _ => NaiveDateTime::new(date, parse_time(time_text)?),
    };
    Some(offset.from_local_datetime(&local).single()?.timestamp_millis())
}

fn parse_date(text: &str) -> Option<NaiveDate> {
    let mut parts = text.split('-');
    let year = digits(parts.next()?, 4)? as i32;
    let month = parts.next().map_or(Some(1), |t| digits(t, 2))?;
    let day = parts.next().map_or(Some(1), |t| digits(t, 2))?;
    if parts.next().is_some() {
        return None;
    }
    NaiveDate::from_ymd_opt(year, month, day)
}

fn parse_time(text: &str) -> Option<NaiveTime> {
    if text.is_empty() {
        return NaiveTime::from_hms_opt(0, 0, 0);
    }
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.split(':');
    let hour = digits(parts.next()?, 2)?;
    let minute = parts.next().map_or(Some(0), |t| digits(t, 2))?;
    let second = parts.next().map_or(Some(0), |t| digits(t, 2))?;
    if parts.next().is_some() || fraction.len() > 3 {
        return None;
    }
    let millis = if fraction.is_empty() { 0 } else { digits(&format!("{fraction:0<3}"), 3)? };
    NaiveTime::from_hms_milli_opt(hour, minute, second, millis)
}

fn split_zone(text: &str) -> Option<(&str, FixedOffset)> {
    let utc = FixedOffset::east_opt(0)?;
    if let Some(time) = text.strip_suffix(['Z', 'z']) {
        return Some((time, utc));
    }
    let Some(at) = text.find(['+', '-']) else { return Some((text, utc)) };
    let (time, zone) = text.split_at(at);
    let zone_digits = zone[1..].replace(':', "");
    let packed = digits(&zone_digits, 4)? as i32;
    let seconds = (packed / 100) * 3600 + (packed % 100) * 60;
    let offset = FixedOffset::east_opt(if zone.starts_with('-') { -seconds } else { seconds })?;
    Some((time, offset))
}

fn digits(text: &str, width: usize) -> Option<u32> {
    if text.len() != width || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_timestamps_start_at_their_lowest_value() {
        for (text, expected) in [
            ("1970", Some(0)),
            ("1970-01-01T00:00:00.5", Some(500)),
            ("1970-01-01T01", Some(3_600_000)),
            ("1970-01-01T24", Some(86_400_000)),
            ("1970-01-01T24:01", None),
            ("1970-01-01T01:00+0100", Some(0)),
            ("1970-01-01T00:00:01Z", Some(1_000)),
            ("2020-02", Some(1_580_515_200_000)),
            ("2020-13", None),
            ("not a time", None),
            ("1970-01-01Tx", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
