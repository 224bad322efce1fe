//! English names of months, days, eras and halves of the day.

use crate::functions::datetime::pattern::{Field, TextStyle};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const QUARTERS: [&str; 4] = ["1st quarter", "2nd quarter", "3rd quarter", "4th quarter"];
const QUARTERS_SHORT: [&str; 4] = ["Q1", "Q2", "Q3", "Q4"];
const QUARTERS_NARROW: [&str; 4] = ["1", "2", "3", "4"];
const ERAS: [&str; 2] = ["Before Christ", "Anno Domini"];
const ERAS_SHORT: [&str; 2] = ["BC", "AD"];
const ERAS_NARROW: [&str; 2] = ["B", "A"];
const HALVES: [&str; 2] = ["AM", "PM"];

/// The names of a field's values, and the number of the first.
fn table(field: Field, style: TextStyle) -> (&'static [&'static str], i64, usize) {
    let cut = match style {
        TextStyle::Full => usize::MAX,
        TextStyle::Short => 3,
        TextStyle::Narrow => 1,
    };
    match (field, style) {
        (Field::Month, _) => (&MONTHS, 1, cut),
        (Field::DayOfWeek, _) => (&DAYS, 1, cut),
        (Field::Quarter, TextStyle::Full) => (&QUARTERS, 1, usize::MAX),
        (Field::Quarter, TextStyle::Short) => (&QUARTERS_SHORT, 1, usize::MAX),
        (Field::Quarter, TextStyle::Narrow) => (&QUARTERS_NARROW, 1, usize::MAX),
        (Field::Era, TextStyle::Full) => (&ERAS, 0, usize::MAX),
        (Field::Era, TextStyle::Short) => (&ERAS_SHORT, 0, usize::MAX),
        (Field::Era, TextStyle::Narrow) => (&ERAS_NARROW, 0, usize::MAX),
        _ => (&HALVES, 0, usize::MAX),
    }
}

pub(crate) fn name(field: Field, style: TextStyle, value: i64) -> Option<&'static str> {
    let (names, first, cut) = table(field, style);
    let name = names.get(usize::try_from(value - first).ok()?)?;
    Some(&name[..name.len().min(cut)])
}

/// The value whose name a text begins with, in any case, and the length of the name. The longest name wins.
pub(crate) fn find(field: Field, style: TextStyle, text: &str) -> Option<(i64, usize)> {
    let (names, first, cut) = table(field, style);
    let matching = names.iter().enumerate().filter_map(|(i, name)| {
        let name = &name[..name.len().min(cut)];
        let start = text.get(..name.len())?;
        start.eq_ignore_ascii_case(name).then_some((first + i as i64, name.len()))
    });
    // Of equally long names the first is meant (narrow names are not unique).
    matching.fold(None, |best: Option<(i64, usize)>, found| match best {
        Some(best) if best.1 >= found.1 => Some(best),
        _ => Some(found),
    })
}
