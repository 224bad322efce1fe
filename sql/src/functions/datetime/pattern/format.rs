//! Writing a time under a pattern.

use crate::functions::datetime::pattern::{Field, Item, Minutes, OffsetStyle, names};
use crate::functions::datetime::zone::{Zone, format_offset};
use crate::value::time::{civil_from_days, days_from_civil};

/// A local time, and the instant and zone it was made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) days: i64,
    pub(crate) nano_of_day: i64,
    pub(crate) instant_ms: i64,
    pub(crate) zone: Zone,
}

pub(crate) fn format(items: &[Item], moment: &Moment) -> String {
    let mut out = String::new();
    write(&mut out, items, moment);
    out
}

fn write(out: &mut String, items: &[Item], moment: &Moment) {
    for item in items {
        match item {
            Item::Literal(text) => out.push_str(text),
            Item::Number { field, min, pad_sign, .. } => {
                let value = moment.get(*field);
                let digits = value.unsigned_abs().to_string();
                if value < 0 {
                    out.push('-');
                } else if *pad_sign && digits.len() > *min {
                    out.push('+');
                }
                out.push_str(&format!("{digits:0>width$}", width = *min));
            }
            Item::ReducedYear { field, .. } => {
                out.push_str(&format!("{:02}", moment.get(*field).rem_euclid(100)));
            }
            Item::Text { field, style, .. } => {
                out.push_str(names::name(*field, *style, moment.get(*field)).unwrap_or_default());
            }
            Item::Fraction { digits } => {
                let nanos = format!("{:09}", moment.get(Field::Nano));
                out.push_str(&nanos[..*digits]);
            }
            Item::Offset(style) => out.push_str(&offset(*style, moment.zone.offset_at(moment.instant_ms))),
            Item::ZoneId => out.push_str(&moment.zone.id()),
            Item::ZoneName => out.push_str(&moment.zone.abbreviation(moment.instant_ms)),
            Item::Optional(items) => write(out, items, moment),
        }
    }
}

fn offset(style: OffsetStyle, offset_ms: i64) -> String {
    if offset_ms == 0 {
        return style.zero.to_owned();
    }
    let full = format_offset(offset_ms, if style.colon { ':' } else { '\0' });
    let shown = match style.minutes {
        Minutes::IfNotZero if full.ends_with("00") => full[..3].to_owned(),
        _ => full,
    };
    match (style.gmt, style.minutes) {
        (false, _) => shown,
        (true, Minutes::Always) => format!("GMT{shown}"),
        // The short form has no leading zero.
        (true, Minutes::IfNotZero) => format!("GMT{}", shown.replacen("+0", "+", 1).replacen("-0", "-", 1)),
    }
}

impl Moment {
    fn get(&self, field: Field) -> i64 {
        let (year, month, day) = civil_from_days(self.days);
        let day_of_year = self.days - days_from_civil(year, 1, 1) + 1;
        // Monday is 1: the epoch was a Thursday.
        let day_of_week = (self.days + 3).rem_euclid(7) + 1;
        let seconds = self.nano_of_day / 1_000_000_000;
        let hour = seconds / 3600;
        match field {
            Field::Era => i64::from(year > 0),
            Field::Year => year,
            Field::YearOfEra => {
                if year > 0 {
                    year
                } else {
                    1 - year
                }
            }
            Field::WeekYear => sunday_week(self.days).0,
            Field::Quarter => (month - 1) / 3 + 1,
            Field::Month => month,
            Field::WeekOfYear => sunday_week(self.days).1,
            Field::WeekOfMonth => {
                let first_of_month = (days_from_civil(year, month, 1) + 4).rem_euclid(7);
                (day - 1 + first_of_month) / 7 + 1
            }
            Field::DayOfYear => day_of_year,
            Field::DayOfMonth => day,
            Field::DayOfWeek => day_of_week,
            Field::LocalDayOfWeek => day_of_week % 7 + 1,
            Field::AlignedWeekOfMonth => (day - 1) / 7 + 1,
            Field::AmPm => hour / 12,
            Field::ClockHourOfAmPm => (hour + 11) % 12 + 1,
            Field::HourOfAmPm => hour % 12,
            Field::ClockHourOfDay => (hour + 23) % 24 + 1,
            Field::HourOfDay => hour,
            Field::Minute => seconds / 60 % 60,
            Field::Second => seconds % 60,
            Field::Nano => self.nano_of_day % 1_000_000_000,
            Field::MilliOfDay => self.nano_of_day / 1_000_000,
            Field::NanoOfDay => self.nano_of_day,
        }
    }
}

/// Year and number of a week that begins on Sunday; the week with January 1 is the first of its year.
fn sunday_week(days: i64) -> (i64, i64) {
    let sunday = |day: i64| day - (day + 4).rem_euclid(7);
    let year = civil_from_days(sunday(days) + 6).0;
    let first = sunday(days_from_civil(year, 1, 1));
    (year, (sunday(days) - first) / 7 + 1)
}
