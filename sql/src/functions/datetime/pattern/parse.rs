//! Reading a time under a pattern.

use crate::functions::datetime::pattern::{Field, Item, Minutes, OffsetStyle, TextStyle, names};
use crate::functions::datetime::zone::Zone;
use crate::value::time::{days_from_civil, days_in_month};

/// The parts found in a text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parsed {
    fields: Vec<(Field, i64)>,
    pub(crate) zone: Option<Zone>,
}

/// Strictly: the whole text, widths as the pattern asks. The error is the index where it does not fit.
pub(crate) fn parse(items: &[Item], text: &str) -> Result<Parsed, usize> {
    let mut cursor = Cursor { text, at: 0, parsed: Parsed::default(), lenient: None };
    cursor.items(items)?;
    if cursor.at < text.len() { Err(cursor.at) } else { Ok(cursor.parsed) }
}

/// As SimpleDateFormat: a prefix of the text, numbers of any width.
pub(crate) fn parse_leniently(items: &[Item], text: &str, century_start: i64) -> Result<Parsed, usize> {
    let mut cursor = Cursor { text, at: 0, parsed: Parsed::default(), lenient: Some(century_start) };
    cursor.items(items)?;
    Ok(cursor.parsed)
}

impl Parsed {
    fn get(&self, field: Field) -> Option<i64> {
        self.fields.iter().find(|(f, _)| *f == field).map(|(_, value)| *value)
    }

    fn checked(&self, field: Field, min: i64, max: i64) -> Result<Option<i64>, String> {
        match self.get(field) {
            Some(value) if !(min..=max).contains(&value) => {
                Err(format!("{value} is not from {min} to {max} ({field:?})"))
            }
            value => Ok(value),
        }
    }

    fn year(&self) -> i64 {
        let of_era = || {
            let year = self.get(Field::YearOfEra).or_else(|| self.get(Field::WeekYear))?;
            Some(if self.get(Field::Era) == Some(0) { 1 - year } else { year })
        };
        self.get(Field::Year).or_else(of_era).unwrap_or(1970)
    }

    /// Days since the epoch. A day past the end of its month, up to 31, is the last of the month.
    pub(crate) fn date(&self) -> Result<i64, String> {
        let year = self.year();
        if year.abs() > 999_999_999 {
            return Err(format!("the year {year} is out of range"));
        }
        let month = self.checked(Field::Month, 1, 12)?;
        let day = self.checked(Field::DayOfMonth, 1, 31)?;
        let days = match (month, day, self.checked(Field::DayOfYear, 1, 366)?) {
            (None, None, Some(day_of_year)) => {
                let days = days_from_civil(year, 1, 1) + day_of_year - 1;
                if days >= days_from_civil(year + 1, 1, 1) {
                    return Err(format!("the year {year} has no day {day_of_year}"));
                }
                days
            }
            (month, day, _) => {
                let month = month.or_else(|| Some(self.get(Field::Quarter)? * 3 - 2)).unwrap_or(1);
                let day = day.unwrap_or(1).min(days_in_month(year, month));
                days_from_civil(year, month, day)
            }
        };
        match self.get(Field::DayOfWeek) {
            Some(expected) if (days + 3).rem_euclid(7) + 1 != expected => {
                Err("the day of the week is another one".to_owned())
            }
            _ => Ok(days),
        }
    }

    fn hour(&self) -> Result<i64, String> {
        if let Some(hour) = self.checked(Field::HourOfDay, 0, 23)? {
            return Ok(hour);
        }
        if let Some(hour) = self.checked(Field::ClockHourOfDay, 1, 24)? {
            return Ok(hour % 24);
        }
        let half = self.get(Field::AmPm).unwrap_or(0);
        let clock_hour = self.checked(Field::ClockHourOfAmPm, 1, 12)?.map(|h| h % 12);
        let hour = match clock_hour {
            Some(hour) => hour,
            None => self.checked(Field::HourOfAmPm, 0, 11)?.unwrap_or(0),
        };
        Ok(half * 12 + hour)
    }

    /// Milliseconds of the day; finer parts are cut.
    pub(crate) fn time_ms(&self) -> Result<i64, String> {
        if let Some(nanos) = self.checked(Field::NanoOfDay, 0, 86_399_999_999_999)? {
            return Ok(nanos / 1_000_000);
        }
        if let Some(ms) = self.checked(Field::MilliOfDay, 0, 86_399_999)? {
            return Ok(ms);
        }
        let minute = self.checked(Field::Minute, 0, 59)?.unwrap_or(0);
        let second = self.checked(Field::Second, 0, 59)?.unwrap_or(0);
        let nano = self.checked(Field::Nano, 0, 999_999_999)?.unwrap_or(0);
        Ok(((self.hour()? * 60 + minute) * 60 + second) * 1000 + nano / 1_000_000)
    }

    /// Days since the epoch, numbers out of range counting on: day 32 is the first of the next month.
    pub(crate) fn lenient_date(&self) -> Result<i64, String> {
        let time =
            [Field::HourOfDay, Field::HourOfAmPm, Field::Minute, Field::Second, Field::Nano, Field::AmPm];
        let midnight = time.iter().all(|f| self.get(*f).unwrap_or(0) == 0)
            && self.get(Field::ClockHourOfDay).unwrap_or(24) == 24
            && self.get(Field::ClockHourOfAmPm).unwrap_or(12) == 12;
        if !midnight {
            return Err("a DATE has no time of day".to_owned());
        }
        let month = self.get(Field::Month).unwrap_or(1);
        let year = self.year() + (month - 1).div_euclid(12);
        if year.abs() > 999_999_999 {
            return Err(format!("the year {year} is out of range"));
        }
        let first = days_from_civil(year, (month - 1).rem_euclid(12) + 1, 1);
        match (self.get(Field::DayOfMonth), self.get(Field::DayOfYear)) {
            (None, Some(day_of_year)) => Ok(days_from_civil(year, 1, 1) + day_of_year - 1),
            (day, _) => Ok(first + day.unwrap_or(1) - 1),
        }
    }
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
    parsed: Parsed,
    /// Start of the century of two-digit years, if SimpleDateFormat's rules apply.
    lenient: Option<i64>,
}

/// Digits that a numeric item right before a number of fixed width must leave to it.
fn reserved(items: &[Item]) -> usize {
    items
        .iter()
        .map_while(|item| match item {
            Item::Number { min, max, .. } if min == max => Some(*max),
            Item::ReducedYear { .. } => Some(2),
            Item::Fraction { digits } => Some(*digits),
            _ => None,
        })
        .sum()
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn items(&mut self, items: &[Item]) -> Result<(), usize> {
        for (i, item) in items.iter().enumerate() {
            self.item(item, &items[i + 1..])?;
        }
        Ok(())
    }

    fn item(&mut self, item: &Item, following: &[Item]) -> Result<(), usize> {
        match item {
            Item::Literal(text) => {
                let found = self.rest().get(..text.len()).is_some_and(|t| t.eq_ignore_ascii_case(text));
                if !found {
                    return Err(self.at);
                }
                self.at += text.len();
                Ok(())
            }
            Item::Number { field, min, max, .. } => self.number(*field, *min, *max, following),
            Item::ReducedYear { field, .. } => self.reduced_year(*field, following),
            Item::Text { field, style, .. } => self.name(*field, *style),
            Item::Fraction { digits } => self.fraction(*digits),
            Item::Offset(style) => self.offset(*style),
            Item::ZoneId | Item::ZoneName => self.zone(),
            Item::Optional(items) => {
                let before = (self.at, self.parsed.clone());
                if self.items(items).is_err() {
                    (self.at, self.parsed) = before;
                }
                Ok(())
            }
        }
    }

    fn digits(&self, from: usize) -> usize {
        self.text[from..].bytes().take_while(u8::is_ascii_digit).count()
    }

    fn set(&mut self, field: Field, value: i64) -> Result<(), usize> {
        match self.parsed.get(field) {
            Some(present) if present != value && self.lenient.is_none() => Err(self.at),
            Some(_) => Ok(()),
            None => {
                self.parsed.fields.push((field, value));
                Ok(())
            }
        }
    }

    fn number(&mut self, field: Field, min: usize, max: usize, following: &[Item]) -> Result<(), usize> {
        let start = self.at;
        let negative = self.rest().starts_with('-') && max == 19;
        let signed = negative || self.rest().starts_with('+') && max == 19;
        let from = start + usize::from(signed);
        let available = self.digits(from);
        let keep = reserved(following);
        let (min, count) = match self.lenient {
            // A number next to another one has the width that the pattern gives it.
            Some(_) if keep > 0 => (1, available.min(min)),
            Some(_) => (1, available.min(18)),
            None => (min, available.min(max).min(18).min(available.saturating_sub(keep).max(min))),
        };
        if count < min || count == 0 {
            return Err(start);
        }
        let value: i64 = self.text[from..from + count].parse().map_err(|_| start)?;
        self.set(field, if negative { -value } else { value })?;
        self.at = from + count;
        Ok(())
    }

    fn reduced_year(&mut self, field: Field, following: &[Item]) -> Result<(), usize> {
        let available = self.digits(self.at);
        let Some(century_start) = self.lenient else {
            if available < 2 {
                return Err(self.at);
            }
            let value: i64 = self.text[self.at..self.at + 2].parse().map_err(|_| self.at)?;
            self.set(field, 2000 + value)?;
            self.at += 2;
            return Ok(());
        };
        let count = if reserved(following) > 0 { available.min(2) } else { available.min(18) };
        if count == 0 {
            return Err(self.at);
        }
        let value: i64 = self.text[self.at..self.at + count].parse().map_err(|_| self.at)?;
        let year = if count == 2 { century_start + (value - century_start).rem_euclid(100) } else { value };
        self.set(field, year)?;
        self.at += count;
        Ok(())
    }

    fn name(&mut self, field: Field, style: TextStyle) -> Result<(), usize> {
        let mut found = names::find(field, style, self.rest());
        if self.lenient.is_some() {
            // Full and short names are both understood.
            let full = names::find(field, TextStyle::Full, self.rest());
            found = full.or(found).or_else(|| names::find(field, TextStyle::Short, self.rest()));
        }
        let (value, length) = found.ok_or(self.at)?;
        self.set(field, value)?;
        self.at += length;
        Ok(())
    }

    fn fraction(&mut self, digits: usize) -> Result<(), usize> {
        let available = self.digits(self.at);
        let count = if self.lenient.is_some() { available.min(9) } else { digits };
        if available < count || count == 0 {
            return Err(self.at);
        }
        let text = format!("{:0<9}", &self.text[self.at..self.at + count]);
        self.set(Field::Nano, text.parse().map_err(|_| self.at)?)?;
        self.at += count;
        Ok(())
    }

    fn offset(&mut self, style: OffsetStyle) -> Result<(), usize> {
        let start = self.at;
        if style.gmt {
            if !self.rest().starts_with("GMT") {
                return Err(start);
            }
            self.at += 3;
        }
        let rest = self.rest();
        let sign = match rest.as_bytes().first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => {
                let zero = style.zero.trim_start_matches("GMT");
                if !rest.get(..zero.len()).is_some_and(|t| t.eq_ignore_ascii_case(zero)) {
                    return Err(start);
                }
                self.at += zero.len();
                self.parsed.zone = Some(Zone::UTC);
                return Ok(());
            }
        };
        let two = |at: usize| -> Option<i64> {
            let text = rest.get(at..at + 2)?;
            text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
        };
        let hours = two(1).ok_or(start)?;
        let colon = usize::from(rest[3..].starts_with(':') && style.colon);
        let (minutes, length) = match (two(3 + colon), style.minutes) {
            (Some(minutes), _) if colon == 1 || !style.colon => (minutes, 5 + colon),
            (_, Minutes::IfNotZero) => (0, 3),
            _ => return Err(start),
        };
        if hours > 18 || minutes > 59 {
            return Err(start);
        }
        self.parsed.zone = Some(Zone::Fixed(sign * (hours * 60 + minutes) * 60_000));
        self.at += length;
        Ok(())
    }

    fn zone(&mut self) -> Result<(), usize> {
        let rest = self.rest();
        let in_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+' | ':');
        let mut length = rest.find(|c| !in_id(c)).unwrap_or(rest.len());
        // The longest text that names a zone.
        while length > 0 {
            if let Some(zone) = zone_by_name(&rest[..length]) {
                self.parsed.zone = Some(zone);
                self.at += length;
                return Ok(());
            }
            length -= 1;
        }
        Err(self.at)
    }
}

/// An id, or one of the abbreviations in common use.
fn zone_by_name(name: &str) -> Option<Zone> {
    let id = match name {
        "PST" | "PDT" => "America/Los_Angeles",
        "MST" | "MDT" => "America/Denver",
        "CST" | "CDT" => "America/Chicago",
        "EST" | "EDT" => "America/New_York",
        "BST" => "Europe/London",
        "CET" | "CEST" => "Europe/Paris",
        "JST" => "Asia/Tokyo",
        "IST" => "Asia/Kolkata",
        other => other,
    };
    Zone::parse(id)
}
