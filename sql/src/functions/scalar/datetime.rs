//! Dates and times: arithmetic, zones, text.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use arrow::array::{ArrowPrimitiveType, StringArray};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};

use crate::functions::call::{Call, KernelResult, Reader};
use crate::functions::datetime::pattern::TimePattern;
use crate::functions::datetime::zone::Zone;
use crate::functions::scalar::ScalarFunction;
use crate::value::time::{DAY_MS, civil_from_days};

const CATEGORY: &str = "DATE / TIME";

pub(crate) fn functions() -> Vec<ScalarFunction> {
    let mut all = arithmetic();
    all.extend(formatting());
    all.extend(parsing());
    all.extend(deprecated());
    all
}

fn function(name: &'static str, overview: &'static str) -> ScalarFunction {
    ScalarFunction::new(name, CATEGORY, overview)
}

fn arithmetic() -> Vec<ScalarFunction> {
    vec![
        function("DATEADD", "A date some time later.")
            .with("(UNIT, INT, DATE) -> DATE", |c| add_to_date(c, 1)),
        function("DATESUB", "A date some time earlier.")
            .with("(UNIT, INT, DATE) -> DATE", |c| add_to_date(c, -1)),
        function("TIMEADD", "A time of day some time later.")
            .with("(UNIT, INT, TIME) -> TIME", |c| add_to_time(c, 1)),
        function("TIMESUB", "A time of day some time earlier.")
            .with("(UNIT, INT, TIME) -> TIME", |c| add_to_time(c, -1)),
        function("TIMESTAMPADD", "A timestamp some time later.")
            .with("(UNIT, INT, TIMESTAMP) -> TIMESTAMP", |c| add_to_timestamp(c, 1)),
        function("TIMESTAMPSUB", "A timestamp some time earlier.")
            .with("(UNIT, INT, TIMESTAMP) -> TIMESTAMP", |c| add_to_timestamp(c, -1)),
        function("CONVERT_TZ", "What clocks in one zone show when those in another show a time.")
            .with("(TIMESTAMP, STRING, STRING) -> TIMESTAMP", convert_tz),
        function("FROM_DAYS", "The date some days after the epoch.").with("(INT) -> DATE", |c| {
            let days = c.ints(0);
            c.build_dates(|i| Ok(days.get(i)))
        }),
        function("FROM_UNIXTIME", "The timestamp some milliseconds after the epoch.").with(
            "(BIGINT) -> TIMESTAMP",
            |c| {
                let ms = c.longs(0);
                c.build_timestamps(|i| Ok(ms.get(i)))
            },
        ),
        function("UNIX_DATE", "Days since the epoch: today's, or a date's.")
            .with("() -> INT", |c| {
                let today = c.environment.now_ms().div_euclid(DAY_MS) as i32;
                c.build_ints(|_| Ok(Some(today)))
            })
            .with("(DATE) -> INT", |c| {
                let dates = c.dates(0);
                c.build_ints(|i| Ok(dates.get(i)))
            }),
        function("UNIX_TIMESTAMP", "Milliseconds since the epoch: now, or of a timestamp.")
            .with("() -> BIGINT", |c| {
                let now = c.environment.now_ms();
                c.build_longs(|_| Ok(Some(now)))
            })
            .with("(TIMESTAMP) -> BIGINT", |c| {
                let timestamps = c.timestamps(0);
                c.build_longs(|i| Ok(timestamps.get(i)))
            }),
    ]
}

fn formatting() -> Vec<ScalarFunction> {
    vec![
        function("FORMAT_DATE", "A date as text under a pattern.").with("(DATE, STRING) -> STRING", |c| {
            let (dates, patterns) = (c.dates(0), c.strings(1));
            c.build_strings(|i| match (dates.get(i), patterns.get(i)) {
                (Some(date), Some(pattern)) => compiled(pattern)?.format_date(date).map(Some).map_err(text),
                _ => Ok(None),
            })
        }),
        function("FORMAT_TIME", "A time of day as text under a pattern.").with(
            "(TIME, STRING) -> STRING",
            |c| {
                let (times, patterns) = (c.times(0), c.strings(1));
                c.build_strings(|i| match (times.get(i), patterns.get(i)) {
                    (Some(time), Some(pattern)) => {
                        let time = within_day(time)?;
                        compiled(pattern)?.format_time(time).map(Some).map_err(text)
                    }
                    _ => Ok(None),
                })
            },
        ),
        function("FORMAT_TIMESTAMP", "A timestamp as text under a pattern, in UTC or another zone.")
            .with("(TIMESTAMP, STRING) -> STRING", format_timestamp)
            .with("(TIMESTAMP, STRING, STRING) -> STRING", format_timestamp),
    ]
}

fn parsing() -> Vec<ScalarFunction> {
    vec![
        function("PARSE_DATE", "The date in a text under a pattern.").with("(STRING, STRING) -> DATE", |c| {
            let (texts, patterns) = (c.strings(0), c.strings(1));
            // Two-digit years lie up to 80 years back.
            let century_start = civil_from_days(c.environment.now_ms().div_euclid(DAY_MS)).0 - 80;
            c.build_dates(|i| match (texts.get(i), patterns.get(i)) {
                (Some(date), Some(pattern)) => {
                    compiled(pattern)?.parse_date_leniently(date, century_start).map(Some).map_err(text)
                }
                _ => Ok(None),
            })
        }),
        function("PARSE_TIME", "The time of day in a text under a pattern.").with(
            "(STRING, STRING) -> TIME",
            |c| {
                let (texts, patterns) = (c.strings(0), c.strings(1));
                c.build_times(|i| match (texts.get(i), patterns.get(i)) {
                    (Some(time), Some(pattern)) => {
                        compiled(pattern)?.parse_time(time).map(Some).map_err(text)
                    }
                    _ => Ok(None),
                })
            },
        ),
        function("PARSE_TIMESTAMP", "The timestamp in a text under a pattern, in UTC or another zone.")
            .with("(STRING, STRING) -> TIMESTAMP", parse_timestamp::<TimestampMillisecondType>)
            .with("(STRING, STRING, STRING) -> TIMESTAMP", parse_timestamp::<TimestampMillisecondType>),
    ]
}

fn deprecated() -> Vec<ScalarFunction> {
    vec![
        function("STRINGTODATE", "Days since the epoch of a date in text. PARSE_DATE gives a DATE.").with(
            "(STRING, STRING) -> INT",
            |c| {
                let (texts, patterns) = (c.strings(0), c.strings(1));
                c.build_ints(|i| match (texts.get(i), patterns.get(i)) {
                    (Some(date), Some(pattern)) => {
                        compiled(pattern)?.parse_date(date).map(Some).map_err(text)
                    }
                    _ => Ok(None),
                })
            },
        ),
        function("DATETOSTRING", "A date, as days since the epoch, as text. FORMAT_DATE takes a DATE.").with(
            "(INT, STRING) -> STRING",
            |c| {
                let (days, patterns) = (c.ints(0), c.strings(1));
                c.build_strings(|i| match (days.get(i), patterns.get(i)) {
                    (Some(days), Some(pattern)) => {
                        compiled(pattern)?.format_date(days).map(Some).map_err(text)
                    }
                    _ => Ok(None),
                })
            },
        ),
        function("STRINGTOTIMESTAMP", "Milliseconds since the epoch of a time in text. See PARSE_TIMESTAMP.")
            .with("(STRING, STRING) -> BIGINT", parse_timestamp::<Int64Type>)
            .with("(STRING, STRING, STRING) -> BIGINT", parse_timestamp::<Int64Type>),
        function("TIMESTAMPTOSTRING", "Milliseconds since the epoch as text. See FORMAT_TIMESTAMP.")
            .with("(BIGINT, STRING) -> STRING", timestamp_to_string)
            .with("(BIGINT, STRING, STRING) -> STRING", timestamp_to_string),
    ]
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

/// Compiled patterns kept per thread.
const CACHED_PATTERNS_MAX: usize = 64;

thread_local! {
    static PATTERNS: RefCell<HashMap<String, Rc<TimePattern>>> = RefCell::new(HashMap::new());
}

/// The compiled pattern, from the cache if it was used before.
fn compiled(pattern: &str) -> Result<Rc<TimePattern>, String> {
    PATTERNS.with_borrow_mut(|patterns| {
        if let Some(known) = patterns.get(pattern) {
            return Ok(Rc::clone(known));
        }
        let compiled = Rc::new(TimePattern::new(pattern).map_err(text)?);
        if patterns.len() >= CACHED_PATTERNS_MAX {
            patterns.clear();
        }
        patterns.insert(pattern.to_owned(), Rc::clone(&compiled));
        Ok(compiled)
    })
}

fn zone(id: &str) -> Result<Zone, String> {
    Zone::parse(id).ok_or_else(|| format!("unknown time zone \"{id}\""))
}

/// The zone argument of a row: UTC if the call has none. Ok(None) if it is NULL.
fn zone_of(zones: Option<&Reader<'_, StringArray>>, row: usize) -> Result<Option<Zone>, String> {
    match zones {
        None => Ok(Some(Zone::UTC)),
        Some(zones) => zones.get(row).map(zone).transpose(),
    }
}

fn within_day(time: i32) -> Result<i32, String> {
    if (0..DAY_MS as i32).contains(&time) { Ok(time) } else { Err(format!("{time} ms is not a time of day")) }
}

/// Milliseconds to add: the count of the second argument in the unit of the first.
fn interval(call: &Call<'_>, count: i32, sign: i64) -> i64 {
    call.unit(0).millis() * i64::from(count) * sign
}

fn add_to_date(call: &Call<'_>, sign: i64) -> KernelResult {
    let (counts, dates) = (call.ints(1), call.dates(2));
    call.build_dates(|i| {
        let (Some(count), Some(date)) = (counts.get(i), dates.get(i)) else { return Ok(None) };
        let ms = i64::from(date) * DAY_MS + interval(call, count, sign);
        i32::try_from(ms.div_euclid(DAY_MS)).map(Some).map_err(|_| "the date is out of range".to_owned())
    })
}

fn add_to_time(call: &Call<'_>, sign: i64) -> KernelResult {
    let (counts, times) = (call.ints(1), call.times(2));
    call.build_times(|i| {
        let (Some(count), Some(time)) = (counts.get(i), times.get(i)) else { return Ok(None) };
        let ms = i64::from(within_day(time)?) + interval(call, count, sign);
        Ok(Some(ms.rem_euclid(DAY_MS) as i32))
    })
}

fn add_to_timestamp(call: &Call<'_>, sign: i64) -> KernelResult {
    let (counts, timestamps) = (call.ints(1), call.timestamps(2));
    call.build_timestamps(|i| {
        let (Some(count), Some(timestamp)) = (counts.get(i), timestamps.get(i)) else { return Ok(None) };
        let sum = timestamp.checked_add(interval(call, count, sign));
        sum.map(Some).ok_or_else(|| "the timestamp is out of range".to_owned())
    })
}

fn convert_tz(call: &Call<'_>) -> KernelResult {
    let (timestamps, froms, tos) = (call.timestamps(0), call.strings(1), call.strings(2));
    call.build_timestamps(|i| {
        let (Some(timestamp), Some(from), Some(to)) = (timestamps.get(i), froms.get(i), tos.get(i)) else {
            return Ok(None);
        };
        let (from, to) = (zone(from)?, zone(to)?);
        Ok(timestamp.checked_add(to.offset_at(timestamp) - from.offset_at(timestamp)))
    })
}

fn format_timestamp(call: &Call<'_>) -> KernelResult {
    let (timestamps, patterns) = (call.timestamps(0), call.strings(1));
    let zones = (call.count() > 2).then(|| call.strings(2));
    call.build_strings(|i| {
        let (Some(ms), Some(pattern), Some(zone)) =
            (timestamps.get(i), patterns.get(i), zone_of(zones.as_ref(), i)?)
        else {
            return Ok(None);
        };
        compiled(pattern)?.format_timestamp(ms, zone).map(Some).map_err(text)
    })
}

fn timestamp_to_string(call: &Call<'_>) -> KernelResult {
    let (timestamps, patterns) = (call.longs(0), call.strings(1));
    let zones = (call.count() > 2).then(|| call.strings(2));
    call.build_strings(|i| {
        let (Some(ms), Some(pattern), Some(zone)) =
            (timestamps.get(i), patterns.get(i), zone_of(zones.as_ref(), i)?)
        else {
            return Ok(None);
        };
        compiled(pattern)?.format_timestamp(ms, zone).map(Some).map_err(text)
    })
}

fn parse_timestamp<T: ArrowPrimitiveType<Native = i64>>(call: &Call<'_>) -> KernelResult {
    let (texts, patterns) = (call.strings(0), call.strings(1));
    let zones = (call.count() > 2).then(|| call.strings(2));
    call.build::<T>(|i| {
        let (Some(time), Some(pattern), Some(zone)) =
            (texts.get(i), patterns.get(i), zone_of(zones.as_ref(), i)?)
        else {
            return Ok(None);
        };
        compiled(pattern)?.parse_timestamp(time, zone).map(Some).map_err(text)
    })
}
