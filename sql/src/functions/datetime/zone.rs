//! Time zones: fixed offsets and the named zones of the IANA database.

use std::str::FromStr;

use chrono::{LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::{OffsetName, Tz};

use crate::value::time::parse_offset;

/// A time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Milliseconds east of UTC.
    Fixed(i64),
    Named(Tz),
}

impl Zone {
    pub const UTC: Zone = Zone::Fixed(0);

    /// `UTC`, `Z`, `+02:00`, `GMT+2`, `Europe/London`.
    pub fn parse(id: &str) -> Option<Zone> {
        for prefix in ["UTC", "GMT", "UT"] {
            if let Some(rest) = id.strip_prefix(prefix) {
                return if rest.is_empty() { Some(Zone::UTC) } else { fixed(rest) };
            }
        }
        if id == "Z" {
            return Some(Zone::UTC);
        }
        if id.starts_with(['+', '-']) {
            return fixed(id);
        }
        Tz::from_str(id).ok().map(Zone::Named)
    }

    /// Milliseconds east of UTC at an instant.
    pub fn offset_at(self, instant_ms: i64) -> i64 {
        match self {
            Zone::Fixed(offset) => offset,
            Zone::Named(tz) => naive(instant_ms)
                .map_or(0, |utc| i64::from(tz.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * 1000),
        }
    }

    /// The instant at which clocks of the zone show a local time. A time that occurs twice is the earlier one; one that is
    /// skipped is as much later as clocks were put forward.
    pub fn to_instant(self, local_ms: i64) -> i64 {
        let tz = match self {
            Zone::Fixed(offset) => return local_ms - offset,
            Zone::Named(tz) => tz,
        };
        let Some(local) = naive(local_ms) else { return local_ms };
        let offset = |found: &chrono_tz::TzOffset| i64::from(found.fix().local_minus_utc()) * 1000;
        match tz.offset_from_local_datetime(&local) {
            LocalResult::Single(found) => local_ms - offset(&found),
            LocalResult::Ambiguous(earlier, _) => local_ms - offset(&earlier),
            LocalResult::None => {
                let before = local - TimeDelta::hours(24);
                match tz.offset_from_local_datetime(&before) {
                    LocalResult::Single(found) | LocalResult::Ambiguous(found, _) => {
                        local_ms - offset(&found)
                    }
                    LocalResult::None => local_ms,
                }
            }
        }
    }

    /// The id, as pattern letter V prints it.
    pub fn id(self) -> String {
        match self {
            Zone::Fixed(0) => "Z".to_owned(),
            Zone::Fixed(offset) => format_offset(offset, ':'),
            Zone::Named(tz) => tz.name().to_owned(),
        }
    }

    /// `PST` or `PDT`, as pattern letter z prints it.
    pub fn abbreviation(self, instant_ms: i64) -> String {
        match self {
            Zone::Fixed(0) => "UTC".to_owned(),
            Zone::Fixed(_) => self.id(),
            Zone::Named(tz) => naive(instant_ms)
                .and_then(|utc| tz.offset_from_utc_datetime(&utc).abbreviation().map(str::to_owned))
                .unwrap_or_else(|| tz.name().to_owned()),
        }
    }
}

fn naive(ms: i64) -> Option<NaiveDateTime> {
    chrono::DateTime::from_timestamp_millis(ms).map(|utc| utc.naive_utc())
}

/// `+2`, `+02`, `+0200` or `+02:00`.
fn fixed(text: &str) -> Option<Zone> {
    let padded = if text.len() == 2 { format!("{}0{}", &text[..1], &text[1..]) } else { text.to_owned() };
    parse_offset(&padded).map(Zone::Fixed)
}

/// `+02:00`; seconds are not shown.
pub(crate) fn format_offset(offset_ms: i64, separator: char) -> String {
    let sign = if offset_ms < 0 { '-' } else { '+' };
    let minutes = offset_ms.abs() / 60_000;
    let separator = if separator == '\0' { String::new() } else { separator.to_string() };
    format!("{sign}{:02}{separator}{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_know_summer_time() {
        let zone = Zone::parse("America/Los_Angeles").expect("a zone");
        assert_eq!(zone.offset_at(1_526_075_913_000), -7 * 3_600_000);
        assert_eq!(zone.offset_at(100), -8 * 3_600_000);
        assert_eq!(zone.abbreviation(1_526_075_913_000), "PDT");
        assert_eq!(Zone::parse("+02:30"), Some(Zone::Fixed(9_000_000)));
        assert_eq!(Zone::parse("GMT+2"), Some(Zone::Fixed(7_200_000)));
        assert_eq!(Zone::parse("Nowhere/City"), None);
        // 2020-03-29T02:30 does not exist in Berlin: it becomes 03:30 summer time.
        let berlin = Zone::parse("Europe/Berlin").expect("a zone");
        assert_eq!(berlin.to_instant(1_585_449_000_000), 1_585_445_400_000);
    }
}
