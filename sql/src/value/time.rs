//! Dates and times without a zone library: the proleptic Gregorian calendar, and the ISO text that CAST reads and writes.

pub const DAY_MS: i64 = 86_400_000;

/// Days since the epoch of a calendar date, whose month and day need not be in range.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month (1–12) and day (1–31) of a day since the epoch.
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

pub fn is_leap_year(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap_year(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// `2020-05-26`; years past 9999 get a sign, as in ISO 8601.
pub fn format_date(days: i32) -> String {
    let (year, month, day) = civil_from_days(i64::from(days));
    format!("{}-{month:02}-{day:02}", format_year(year))
}

fn format_year(year: i64) -> String {
    match year {
        0..=9999 => format!("{year:04}"),
        10_000.. => format!("+{year}"),
        _ => format!("-{:04}", -year),
    }
}

/// `23:59` when seconds are zero, else `23:59:01`; None past the end of the day.
pub fn format_time(ms: i32) -> Option<String> {
    if !(0..DAY_MS as i32).contains(&ms) {
        return None;
    }
    let seconds = ms / 1000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    Some(if second == 0 {
        format!("{hour:02}:{minute:02}")
    } else {
        format!("{hour:02}:{minute:02}:{second:02}")
    })
}

/// `2020-05-26T23:59:58.123`, UTC.
pub fn format_timestamp(ms: i64) -> String {
    let (days, of_day) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
    let (year, month, day) = civil_from_days(days);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, milli) = (of_day / 1000 % 60, of_day % 1000);
    format!("{}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}", format_year(year))
}

/// Days since the epoch from `2020`, `2020-05` or `2020-05-26`.
pub fn parse_date(text: &str) -> Option<i32> {
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let mut parts = body.split('-');
    let year = digits(parts.next()?, 4, 9)?;
    let month = parts.next().map_or(Some(1), |p| digits(p, 1, 2))?;
    let day = parts.next().map_or(Some(1), |p| digits(p, 1, 2))?;
    if parts.next().is_some() || !(1..=12).contains(&month) {
        return None;
    }
    let year = if negative { -year } else { year };
    if day < 1 || day > days_in_month(year, month) {
        return None;
    }
    i32::try_from(days_from_civil(year, month, day)).ok()
}

/// Milliseconds of the day from `23`, `23:59`, `23:59:58`, `23:59:58.123456789`.
fn parse_time_of_day(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let hour = digits(parts.next()?, 1, 2)?;
    let minute = parts.next().map_or(Some(0), |p| digits(p, 1, 2))?;
    let (second, milli) = match parts.next() {
        None => (0, 0),
        Some(text) => match text.split_once('.') {
            None => (digits(text, 1, 2)?, 0),
            Some((second, fraction)) => {
                digits(fraction, 1, 9)?;
                let padded = format!("{fraction:0<3}");
                (digits(second, 1, 2)?, digits(&padded[..3], 3, 3)?)
            }
        },
    };
    let in_range = hour < 24 && minute < 60 && second < 60 && parts.next().is_none();
    in_range.then_some(((hour * 60 + minute) * 60 + second) * 1000 + milli)
}

/// Milliseconds of the day from `HH:mm`, `HH:mm:ss` or with a fraction, which is cut to milliseconds.
pub fn parse_time(text: &str) -> Option<i32> {
    if !text.contains(':') {
        return None;
    }
    parse_time_of_day(text).map(|ms| ms as i32)
}

/// Milliseconds since the epoch from a full or partial ISO timestamp: missing parts take their lowest value, the zone
/// (`Z`, `+hhmm`, `-hh:mm`) is UTC if absent.
pub fn parse_timestamp(text: &str) -> Option<i64> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text.strip_suffix('Z').unwrap_or(text), None),
    };
    let days = i64::from(parse_date(date)?);
    let Some(time) = time else {
        return days.checked_mul(DAY_MS);
    };
    let (time, offset_ms) = match time.find(['Z', '+', '-']) {
        Some(at) => (&time[..at], parse_offset(&time[at..])?),
        None => (time, 0),
    };
    let of_day = if time.is_empty() { 0 } else { parse_time_of_day(time)? };
    days.checked_mul(DAY_MS)?.checked_add(of_day)?.checked_sub(offset_ms)
}

/// Milliseconds east of UTC from `Z`, `+hh`, `+hhmm` or `+hh:mm`.
pub fn parse_offset(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let body = text[1..].replace(':', "");
    let (hours, minutes) = match body.len() {
        2 => (digits(&body, 2, 2)?, 0),
        4 if body.is_ascii() => (digits(&body[..2], 2, 2)?, digits(&body[2..], 2, 2)?),
        _ => return None,
    };
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60_000)
}

fn digits(text: &str, min: usize, max: usize) -> Option<i64> {
    let fits = (min..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn civil_dates_round_trip() {
        for days in (-800_000..800_000).step_by(37) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
        assert_eq!(civil_from_days(0), (1970, 1, 1));
    }

    #[test]
    fn timestamps_are_read_with_missing_parts() {
        let check = |text: &str, expected: Option<i64>| assert_eq!(parse_timestamp(text), expected, "{text}");
        check("2020", Some(1_577_836_800_000));
        check("2020-05", Some(1_588_291_200_000));
        check("2020-05-26", Some(1_590_451_200_000));
        check("2020-05-26T23", Some(1_590_534_000_000));
        check("2020-05-26T23:59:58.123", Some(1_590_537_598_123));
        check("2020-05-26T23:59:58.123Z", Some(1_590_537_598_123));
        check("2020-05-26T23:59:58.123+0100", Some(1_590_533_998_123));
        check("2020-13-01", None);
        check("2020-02-30", None);
        check("nonsense", None);
        check("2020-05-26T24:00", None);
    }

    #[test]
    fn text_round_trips() {
        for text in ["2020-05-26T23:59:58.123", "1969-12-31T00:00:00.000", "0001-01-01T00:00:00.001"] {
            assert_eq!(format_timestamp(parse_timestamp(text).expect("valid")), text);
        }
        assert_eq!(format_date(parse_date("1600-02-29").expect("valid")), "1600-02-29");
        assert_eq!(format_time(parse_time("01:02:00").expect("valid")).as_deref(), Some("01:02"));
        assert_eq!(format_time(parse_time("01:02:03.9").expect("valid")).as_deref(), Some("01:02:03"));
    }
}
