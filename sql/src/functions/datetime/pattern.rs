//! Patterns of java.time's DateTimeFormatter: compiled once, then used to read and write times.

pub(crate) mod format;
pub(crate) mod names;
pub(crate) mod parse;

use crate::functions::datetime::zone::Zone;
use crate::value::time::DAY_MS;

/// What a pattern, or a text under it, can do wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("pattern \"{pattern}\" is not valid: {reason}")]
    Pattern { pattern: String, reason: String },
    #[error("text \"{text}\" does not fit pattern \"{pattern}\" at index {index}")]
    Text { text: String, pattern: String, index: usize },
    #[error("text \"{text}\" under pattern \"{pattern}\" is not a time: {reason}")]
    Value { text: String, pattern: String, reason: String },
    #[error("pattern \"{pattern}\" asks for '{letter}', which a {kind} does not have")]
    Unsupported { pattern: String, letter: char, kind: &'static str },
}

/// A part of a time that pattern letters stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    Era,
    /// `u`: 0 is 1 BCE.
    Year,
    /// `y`.
    YearOfEra,
    /// `Y`.
    WeekYear,
    Quarter,
    Month,
    /// `w`, weeks beginning on Sunday.
    WeekOfYear,
    /// `W`.
    WeekOfMonth,
    DayOfYear,
    DayOfMonth,
    /// `E`: Monday is 1.
    DayOfWeek,
    /// `e`, `c` as a number: Sunday is 1.
    LocalDayOfWeek,
    /// `F`.
    AlignedWeekOfMonth,
    AmPm,
    /// `h`: 1–12.
    ClockHourOfAmPm,
    /// `K`: 0–11.
    HourOfAmPm,
    /// `k`: 1–24.
    ClockHourOfDay,
    /// `H`: 0–23.
    HourOfDay,
    Minute,
    Second,
    /// `n`.
    Nano,
    /// `A`.
    MilliOfDay,
    /// `N`.
    NanoOfDay,
}

impl Field {
    pub(crate) fn is_date(self) -> bool {
        self < Field::AmPm
    }

    fn of(letter: char) -> Option<Field> {
        Some(match letter {
            'G' => Field::Era,
            'u' => Field::Year,
            'y' => Field::YearOfEra,
            'Y' => Field::WeekYear,
            'Q' | 'q' => Field::Quarter,
            'M' | 'L' => Field::Month,
            'w' => Field::WeekOfYear,
            'W' => Field::WeekOfMonth,
            'D' => Field::DayOfYear,
            'd' => Field::DayOfMonth,
            'E' => Field::DayOfWeek,
            'e' | 'c' => Field::LocalDayOfWeek,
            'F' => Field::AlignedWeekOfMonth,
            'a' => Field::AmPm,
            'h' => Field::ClockHourOfAmPm,
            'K' => Field::HourOfAmPm,
            'k' => Field::ClockHourOfDay,
            'H' => Field::HourOfDay,
            'm' => Field::Minute,
            's' => Field::Second,
            'n' => Field::Nano,
            'A' => Field::MilliOfDay,
            'N' => Field::NanoOfDay,
            _ => return None,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextStyle {
    Short,
    Full,
    Narrow,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Literal(String),
    /// `pad_sign`: a number wider than `min` gets a plus sign (years).
    Number {
        field: Field,
        letter: char,
        min: usize,
        max: usize,
        pad_sign: bool,
    },
    /// Two digits of a year from 2000 on.
    ReducedYear {
        field: Field,
        letter: char,
    },
    Text {
        field: Field,
        letter: char,
        style: TextStyle,
    },
    /// Digits after the decimal point of seconds.
    Fraction {
        digits: usize,
    },
    Offset(OffsetStyle),
    ZoneId,
    ZoneName,
    Optional(Vec<Item>),
}

/// How an offset is written: `zero` for UTC, minutes always or if not zero, with or without a colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetStyle {
    pub(crate) zero: &'static str,
    pub(crate) colon: bool,
    pub(crate) minutes: Minutes,
    /// Begins with `GMT`.
    pub(crate) gmt: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Minutes {
    Always,
    IfNotZero,
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct TimePattern {
    pattern: String,
    items: Vec<Item>,
}

impl TimePattern {
    /// Errors: letters that stand for nothing, quotes or brackets that do not close.
    pub fn new(pattern: &str) -> Result<TimePattern, PatternError> {
        let mut compiler = Compiler { pattern, rest: pattern.chars().collect(), at: 0 };
        let items = compiler.items(0)?;
        Ok(TimePattern { pattern: pattern.to_owned(), items })
    }

    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The instant that a text stands for, in ms since the epoch. What the pattern leaves out is 1970-01-01T00:00; a zone in
    /// the text goes before `zone`.
    pub fn parse_timestamp(&self, text: &str, zone: Zone) -> Result<i64, PatternError> {
        let parsed = self.parse(text)?;
        let local = parsed.date().map_err(|e| self.value_error(text, e))? * DAY_MS
            + parsed.time_ms().map_err(|e| self.value_error(text, e))?;
        Ok(parsed.zone.unwrap_or(zone).to_instant(local))
    }

    /// Days since the epoch.
    pub fn parse_date(&self, text: &str) -> Result<i32, PatternError> {
        let days = self.parse(text)?.date().map_err(|e| self.value_error(text, e))?;
        i32::try_from(days).map_err(|_| self.value_error(text, "the year is out of range".to_owned()))
    }

    /// Milliseconds of the day. Errors: patterns that have parts of a date.
    pub fn parse_time(&self, text: &str) -> Result<i32, PatternError> {
        self.check_fields(Field::is_date, "TIME")?;
        let ms = self.parse(text)?.time_ms().map_err(|e| self.value_error(text, e))?;
        Ok(ms as i32)
    }

    fn value_error(&self, text: &str, reason: String) -> PatternError {
        PatternError::Value { text: text.to_owned(), pattern: self.pattern.clone(), reason }
    }

    pub fn format_timestamp(&self, ms: i64, zone: Zone) -> Result<String, PatternError> {
        let offset = zone.offset_at(ms);
        let local = ms.saturating_add(offset);
        Ok(format::format(
            &self.items,
            &format::Moment {
                days: local.div_euclid(DAY_MS),
                nano_of_day: local.rem_euclid(DAY_MS) * 1_000_000,
                instant_ms: ms,
                zone,
            },
        ))
    }

    /// Errors: patterns that have parts of a time of day, or a zone.
    pub fn format_date(&self, days: i32) -> Result<String, PatternError> {
        self.check_fields(|f| !f.is_date(), "DATE")?;
        self.check_zone("DATE")?;
        let days = i64::from(days);
        let moment = format::Moment { days, nano_of_day: 0, instant_ms: days * DAY_MS, zone: Zone::UTC };
        Ok(format::format(&self.items, &moment))
    }

    /// Errors: patterns that have parts of a date, or a zone.
    pub fn format_time(&self, ms_of_day: i32) -> Result<String, PatternError> {
        self.check_fields(Field::is_date, "TIME")?;
        self.check_zone("TIME")?;
        let nano_of_day = i64::from(ms_of_day) * 1_000_000;
        let instant_ms = i64::from(ms_of_day);
        Ok(format::format(&self.items, &format::Moment { days: 0, nano_of_day, instant_ms, zone: Zone::UTC }))
    }

    fn check_fields(&self, refused: fn(Field) -> bool, kind: &'static str) -> Result<(), PatternError> {
        let mut found = None;
        visit(&self.items, &mut |item| {
            let used = match item {
                Item::Number { field, letter, .. }
                | Item::ReducedYear { field, letter }
                | Item::Text { field, letter, .. } => Some((*field, *letter)),
                Item::Fraction { .. } => Some((Field::Nano, 'S')),
                Item::Literal(_) | Item::Offset(_) | Item::ZoneId | Item::ZoneName | Item::Optional(_) => {
                    None
                }
            };
            if let Some((field, letter)) = used
                && refused(field)
            {
                found.get_or_insert(letter);
            }
        });
        match found {
            Some(letter) => Err(PatternError::Unsupported { pattern: self.pattern.clone(), letter, kind }),
            None => Ok(()),
        }
    }

    fn check_zone(&self, kind: &'static str) -> Result<(), PatternError> {
        let mut found = None;
        visit(&self.items, &mut |item| match item {
            Item::Offset(_) => found = Some('X'),
            Item::ZoneId => found = Some('V'),
            Item::ZoneName => found = Some('z'),
            _ => {}
        });
        match found {
            Some(letter) => Err(PatternError::Unsupported { pattern: self.pattern.clone(), letter, kind }),
            None => Ok(()),
        }
    }

    fn parse(&self, text: &str) -> Result<parse::Parsed, PatternError> {
        parse::parse(&self.items, text).map_err(|index| PatternError::Text {
            text: text.to_owned(),
            pattern: self.pattern.clone(),
            index,
        })
    }

    /// Days since the epoch by the rules of the older SimpleDateFormat: numbers of any width and out of range, text after the
    /// match. Two-digit years lie in the hundred years from `century_start` on. Errors: a time of day other than midnight.
    pub fn parse_date_leniently(&self, text: &str, century_start: i64) -> Result<i32, PatternError> {
        let parsed = parse::parse_leniently(&self.items, text, century_start).map_err(|index| {
            PatternError::Text { text: text.to_owned(), pattern: self.pattern.clone(), index }
        })?;
        let days = parsed.lenient_date().map_err(|e| self.value_error(text, e))?;
        i32::try_from(days).map_err(|_| self.value_error(text, "the year is out of range".to_owned()))
    }
}

fn visit<'a>(items: &'a [Item], f: &mut impl FnMut(&'a Item)) {
    for item in items {
        f(item);
        if let Item::Optional(inner) = item {
            inner.iter().for_each(|item| visit(std::slice::from_ref(item), f));
        }
    }
}

struct Compiler<'a> {
    pattern: &'a str,
    rest: Vec<char>,
    at: usize,
}

/// Optional sections inside one another.
const SECTION_DEPTH_MAX: usize = 16;

impl Compiler<'_> {
    fn error(&self, reason: impl Into<String>) -> PatternError {
        PatternError::Pattern { pattern: self.pattern.to_owned(), reason: reason.into() }
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Item>, PatternError> {
        if depth > SECTION_DEPTH_MAX {
            return Err(self.error("sections are nested too deeply"));
        }
        let mut items = Vec::new();
        while let Some(&c) = self.rest.get(self.at) {
            match c {
                '\'' => {
                    let text = self.quoted()?;
                    push_literal(&mut items, &text);
                }
                '[' => {
                    self.at += 1;
                    items.push(Item::Optional(self.items(depth + 1)?));
                }
                ']' if depth > 0 => {
                    self.at += 1;
                    return Ok(items);
                }
                ']' => return Err(self.error("a ] without [")),
                '{' | '}' | '#' => return Err(self.error(format!("'{c}' is reserved"))),
                c if c.is_ascii_alphabetic() => {
                    let count = self.rest[self.at..].iter().take_while(|n| **n == c).count();
                    self.at += count;
                    items.push(self.letter(c, count)?);
                }
                other => {
                    self.at += 1;
                    push_literal(&mut items, &other.to_string());
                }
            }
        }
        // Sections that the pattern leaves open end with it.
        Ok(items)
    }

    /// Text in quotes; two quotes are one.
    fn quoted(&mut self) -> Result<String, PatternError> {
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.rest.get(self.at) {
                None => return Err(self.error("a quote is not closed")),
                Some('\'') if self.rest.get(self.at + 1) == Some(&'\'') => {
                    text.push('\'');
                    self.at += 2;
                }
                Some('\'') => {
                    self.at += 1;
                    return Ok(if text.is_empty() { "'".to_owned() } else { text });
                }
                Some(other) => {
                    text.push(*other);
                    self.at += 1;
                }
            }
        }
    }

    fn letter(&self, letter: char, count: usize) -> Result<Item, PatternError> {
        let too_many = || self.error(format!("too many letters '{letter}'"));
        let plain = |field| match count {
            1 => Ok(Item::Number { field, letter, min: 1, max: 19, pad_sign: false }),
            2..=19 => Ok(Item::Number { field, letter, min: count, max: count, pad_sign: false }),
            _ => Err(too_many()),
        };
        let text_style = |count| match count {
            1..=3 => Ok(TextStyle::Short),
            4 => Ok(TextStyle::Full),
            5 => Ok(TextStyle::Narrow),
            _ => Err(too_many()),
        };
        let field = Field::of(letter);
        match (letter, field) {
            ('y' | 'u' | 'Y', Some(field)) => Ok(match count {
                2 => Item::ReducedYear { field, letter },
                1..=3 => Item::Number { field, letter, min: count, max: 19, pad_sign: false },
                4..=19 => Item::Number { field, letter, min: count, max: 19, pad_sign: true },
                _ => return Err(too_many()),
            }),
            ('M' | 'L' | 'Q' | 'q' | 'e' | 'c', Some(field)) if count <= 2 => Ok(Item::Number {
                field,
                letter,
                min: count,
                max: if count == 1 { 19 } else { 2 },
                pad_sign: false,
            }),
            ('M' | 'L' | 'Q' | 'q', Some(field)) => {
                Ok(Item::Text { field, letter, style: text_style(count)? })
            }
            ('e' | 'c', Some(_)) => {
                Ok(Item::Text { field: Field::DayOfWeek, letter, style: text_style(count)? })
            }
            ('G' | 'E', Some(field)) => Ok(Item::Text { field, letter, style: text_style(count)? }),
            ('a', Some(field)) if count == 1 => Ok(Item::Text { field, letter, style: TextStyle::Short }),
            ('d' | 'h' | 'H' | 'k' | 'K' | 'm' | 's' | 'w', Some(_)) if count > 2 => Err(too_many()),
            ('F' | 'W' | 'a', Some(_)) if count > 1 => Err(too_many()),
            ('D', Some(_)) if count > 3 => Err(too_many()),
            ('D', Some(field)) if count == 2 => {
                Ok(Item::Number { field, letter, min: 2, max: 3, pad_sign: false })
            }
            ('S', _) if count <= 9 => Ok(Item::Fraction { digits: count }),
            ('S', _) => Err(too_many()),
            ('V', _) if count == 2 => Ok(Item::ZoneId),
            ('V', _) => Err(self.error("'V' must be given twice")),
            ('z' | 'v', _) if count <= 4 => Ok(Item::ZoneName),
            ('X' | 'x' | 'Z' | 'O', _) => offset_style(letter, count).map(Item::Offset).ok_or_else(too_many),
            (_, Some(field)) => plain(field),
            _ => Err(self.error(format!("unknown letter '{letter}'"))),
        }
    }
}

fn push_literal(items: &mut Vec<Item>, text: &str) {
    match items.last_mut() {
        Some(Item::Literal(before)) => before.push_str(text),
        _ => items.push(Item::Literal(text.to_owned())),
    }
}

fn offset_style(letter: char, count: usize) -> Option<OffsetStyle> {
    let style = |zero, colon, minutes| OffsetStyle { zero, colon, minutes, gmt: false };
    let gmt = |zero, colon, minutes| OffsetStyle { zero, colon, minutes, gmt: true };
    Some(match (letter, count) {
        ('X', 1) => style("Z", false, Minutes::IfNotZero),
        ('X', 2 | 4) => style("Z", false, Minutes::Always),
        ('X', 3 | 5) => style("Z", true, Minutes::Always),
        ('x', 1) => style("+00", false, Minutes::IfNotZero),
        ('x', 2 | 4) | ('Z', 1..=3) => style("+0000", false, Minutes::Always),
        ('x', 3 | 5) => style("+00:00", true, Minutes::Always),
        ('Z', 4) | ('O', 4) => gmt("GMT", true, Minutes::Always),
        ('Z', 5) => style("Z", true, Minutes::Always),
        ('O', 1) => gmt("GMT", true, Minutes::IfNotZero),
        _ => return None,
    })
}
