//! Which column a field of an object belongs to.
//!
//! Producers write the same fields in the same order, so the names seen at each place of the last object are tried first: one
//! comparison per field. Anything else is looked up by name.

use hashbrown::HashMap;

use crate::serde::error::Fallible;
use crate::serde::json::scan::Scanner;

/// What to do with a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Skip,
    Column(usize),
    /// One column has the exact name, another the upper-case one: both take the value.
    Both(usize, usize),
}

/// Places for which names are remembered; wider objects use the look-up beyond it.
const EXPECTED_MAX: usize = 256;

#[derive(Debug)]
pub(crate) struct FieldIndex {
    by_name: HashMap<Box<str>, usize, foldhash::fast::FixedState>,
    /// Shape: `expected[i]` is what stood at place `i` of the last object.
    expected: Vec<Expected>,
}

#[derive(Debug)]
struct Expected {
    /// The name with both quotes, as it stood in the text.
    token: Vec<u8>,
    target: Target,
}

impl FieldIndex {
    pub(crate) fn new<'n>(names: impl Iterator<Item = &'n str>) -> FieldIndex {
        let by_name: HashMap<Box<str>, usize, _> =
            names.enumerate().map(|(column, name)| (name.into(), column)).collect();
        FieldIndex { by_name, expected: Vec::new() }
    }

    /// Reads the name of the field at this place of an object, up to and with the colon.
    #[inline]
    pub(crate) fn read_name(&mut self, scanner: &mut Scanner<'_>, place: usize) -> Fallible<Target> {
        scanner.peek();
        if let Some(expected) = self.expected.get(place) {
            let end = scanner.position + expected.token.len();
            if scanner.bytes().get(scanner.position..end) == Some(&expected.token[..]) {
                scanner.position = end;
                scanner.expect(b':')?;
                return Ok(expected.target);
            }
        }
        self.look_up(scanner, place)
    }

    fn look_up(&mut self, scanner: &mut Scanner<'_>, place: usize) -> Fallible<Target> {
        let start = scanner.position;
        let name = scanner.string()?;
        let token = &scanner.bytes()[start..scanner.position];
        let target = if name.escaped {
            let mut text = Vec::with_capacity(name.text.len());
            name.append_to(&mut text)?;
            self.target(&String::from_utf8_lossy(&text))
        } else {
            self.target(name.text)
        };
        if let Some(expected) = self.expected.get_mut(place) {
            expected.token.clear();
            expected.token.extend_from_slice(token);
            expected.target = target;
        } else if place == self.expected.len() && place < EXPECTED_MAX {
            self.expected.push(Expected { token: token.to_vec(), target });
        }
        scanner.expect(b':')?;
        Ok(target)
    }

    fn target(&self, name: &str) -> Target {
        let exact = self.by_name.get(name).copied();
        let upper = if name.bytes().any(|b| b.is_ascii_lowercase() || !b.is_ascii()) {
            self.by_name.get(name.to_uppercase().as_str()).copied().filter(|upper| exact != Some(*upper))
        } else {
            None
        };
        match (exact, upper) {
            (Some(exact), Some(upper)) => Target::Both(exact, upper),
            (Some(column), None) | (None, Some(column)) => Target::Column(column),
            (None, None) => Target::Skip,
        }
    }
}
