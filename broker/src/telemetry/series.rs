//! The latest values of one client, within bounds.

use std::collections::BTreeMap;

use crate::telemetry::otlp::{Attribute, Meaning, Number, Point, Visitor, visit};
use crate::telemetry::wire::Malformed;

/// Series kept of one client.
pub const SERIES_PER_CLIENT_MAX: usize = 2_000;
/// Attributes kept of one series, or of what sent it.
const ATTRIBUTES_MAX: usize = 16;
/// Characters kept of names and values.
const TEXT_CHARS_MAX: usize = 200;

/// What a value is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesKey {
    pub metric: String,
    /// Names and values, sorted.
    pub attributes: Vec<(String, String)>,
}

/// What one push said.
#[derive(Debug, Default)]
pub struct Pushed {
    /// Attributes of what sent it.
    pub resource: Vec<(String, String)>,
    points: BTreeMap<SeriesKey, (Number, Meaning)>,
    /// Points for which there was no room.
    pub dropped: u64,
}

impl Pushed {
    /// Reads a message, keeping at most `series_max` series.
    ///
    /// Errors: it is malformed; then nothing of it counts.
    pub fn read(message: &[u8], series_max: usize) -> Result<Self, Malformed> {
        let mut reading = Reading { pushed: Self::default(), series_max, malformed: false };
        visit(message, &mut reading)?;
        if reading.malformed { Err(Malformed) } else { Ok(reading.pushed) }
    }

    /// How many series there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Did the client tell nothing?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// The values now, after those of the pushes before.
    pub(crate) fn after(
        self,
        before: &BTreeMap<SeriesKey, Number>,
        room: usize,
    ) -> BTreeMap<SeriesKey, Number> {
        let now = |(key, (value, meaning)): (SeriesKey, (Number, Meaning))| {
            let base = before.get(&key).filter(|_| meaning == Meaning::Difference);
            let value = base.map_or(value, |base| base.plus(value));
            (key, value)
        };
        self.points.into_iter().take(room).map(now).collect()
    }
}

struct Reading {
    pushed: Pushed,
    series_max: usize,
    malformed: bool,
}

impl Visitor for Reading {
    fn resource(&mut self, attribute: Attribute<'_>) {
        // Java's client repeats them with every metric.
        let (name, value) = pair(&attribute);
        let resource = &mut self.pushed.resource;
        if resource.len() < ATTRIBUTES_MAX && resource.iter().all(|(known, _)| *known != name) {
            resource.push((name, value));
        }
    }

    fn point(&mut self, point: Point<'_>) {
        let mut attributes = Vec::new();
        for attribute in point.attributes().take(ATTRIBUTES_MAX) {
            match attribute {
                Ok(attribute) => attributes.push(pair(&attribute)),
                Err(Malformed) => {
                    self.malformed = true;
                    return;
                }
            }
        }
        attributes.sort();
        let mut metric = shortened(point.metric);
        if !point.part.is_empty() {
            metric.push('.');
            metric.push_str(point.part);
        }
        let key = SeriesKey { metric, attributes };
        let points = &mut self.pushed.points;
        if points.len() < self.series_max || points.contains_key(&key) {
            points.insert(key, (point.value, point.meaning));
        } else {
            self.pushed.dropped += 1;
        }
    }
}

fn pair(attribute: &Attribute<'_>) -> (String, String) {
    (shortened(attribute.name), shortened(&attribute.value.to_string()))
}

/// The beginning of a text.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}
