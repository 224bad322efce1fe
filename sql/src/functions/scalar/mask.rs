//! Hiding characters: MASK and its kin.

use crate::functions::call::{Call, KernelResult};
use crate::functions::scalar::ScalarFunction;
use crate::functions::utf16;

pub(crate) fn functions() -> Vec<ScalarFunction> {
    let function = |name, overview| ScalarFunction::new(name, "STRING", overview);
    let counted = |name, overview, kernel| {
        function(name, overview)
            .with("(STRING, INT) -> STRING", kernel)
            .with("(STRING, INT, STRING, STRING, STRING, STRING) -> STRING", kernel)
    };
    vec![
        function(
            "MASK",
            "Replaces upper case, lower case, digits and other characters by one character each.",
        )
        .with("(STRING) -> STRING", |c| mask(c, 1, |_, _, _| true))
        .with("(STRING, STRING, STRING, STRING, STRING) -> STRING", |c| mask(c, 1, |_, _, _| true)),
        counted("MASK_LEFT", "Masks the first characters.", |c| mask(c, 2, |at, _, n| at < n)),
        counted("MASK_RIGHT", "Masks the last characters.", |c| mask(c, 2, |at, length, n| at + n >= length)),
        counted("MASK_KEEP_LEFT", "Masks all but the first characters.", |c| mask(c, 2, |at, _, n| at >= n)),
        counted("MASK_KEEP_RIGHT", "Masks all but the last characters.", |c| {
            mask(c, 2, |at, length, n| at + n < length)
        }),
    ]
}

/// What takes the place of each class of characters; None leaves it.
#[derive(Clone, Copy, Debug)]
struct Masks {
    upper: Option<char>,
    lower: Option<char>,
    digit: Option<char>,
    other: Option<char>,
}

impl Masks {
    /// The character that stands for each UTF-16 unit of `c`; None leaves it.
    fn mask(&self, c: char) -> Option<char> {
        if c.len_utf16() > 1 {
            // Java classifies halves of pairs, which are neither letters nor digits.
            return self.other;
        }
        if c.is_uppercase() {
            self.upper
        } else if c.is_lowercase() {
            self.lower
        } else if c.is_numeric() {
            self.digit
        } else {
            self.other
        }
    }
}

/// Masks the UTF-16 units for which `chosen(index, length, count)` holds. The mask characters begin at argument `first`.
fn mask(call: &Call<'_>, first: usize, chosen: fn(usize, usize, usize) -> bool) -> KernelResult {
    let texts = call.strings(0);
    let counts = (first == 2).then(|| call.ints(1));
    let given: Vec<_> = (first..call.count()).map(|i| call.strings(i)).collect();
    call.build_strings(|i| {
        let Some(text) = texts.get(i) else { return Ok(None) };
        let count = match counts.as_ref().map(|c| c.get(i)) {
            None => 0,
            Some(None) => return Ok(None),
            Some(Some(count)) => usize::try_from(count)
                .map_err(|_| format!("masking of {count} characters is not possible"))?,
        };
        let masks = if given.is_empty() {
            Masks { upper: Some('X'), lower: Some('x'), digit: Some('n'), other: Some('-') }
        } else {
            Masks {
                upper: one(given[0].get(i))?,
                lower: one(given[1].get(i))?,
                digit: one(given[2].get(i))?,
                other: one(given[3].get(i))?,
            }
        };
        let length = utf16::length(text);
        let mut masked = String::with_capacity(text.len());
        let mut at = 0;
        for c in text.chars() {
            // A pair of which one half is chosen is masked as a whole: half a pair is no text.
            let units = c.len_utf16();
            if (at..at + units).any(|unit| chosen(unit, length, count)) {
                let mask = masks.mask(c);
                (0..if mask.is_some() { units } else { 1 }).for_each(|_| masked.push(mask.unwrap_or(c)));
            } else {
                masked.push(c);
            }
            at += units;
        }
        Ok(Some(masked))
    })
}

fn one(mask: Option<&str>) -> Result<Option<char>, String> {
    let Some(mask) = mask else { return Ok(None) };
    let mut chars = mask.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => Ok(Some(c)),
        _ => Err(format!("a mask must be one character, not \"{mask}\"")),
    }
}
