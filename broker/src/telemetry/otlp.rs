//! OpenTelemetry's metrics as clients push them: `MetricsData`, read point by point.
//!
//! Source: `opentelemetry/proto/metrics/v1/metrics.proto`. The numbers below are its field numbers. A message is gone
//! through twice where a field that comes later decides about one before it; nothing is stored.

use std::fmt;

use crate::telemetry::wire::{Fields, Malformed, Value};

/// How a point's value relates to the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It replaces the one before.
    Latest,
    /// It is added to the one before.
    Difference,
}

/// A number, as it was sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    Int(i64),
    Double(f64),
}

impl Number {
    /// The sum; whole as long as both are and it fits.
    pub(crate) fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) if a.checked_add(b).is_some() => Self::Int(a + b),
            (a, b) => Self::Double(a.to_f64() + b.to_f64()),
        }
    }

    fn to_f64(self) -> f64 {
        match self {
            Self::Int(number) => number as f64,
            Self::Double(number) => number,
        }
    }
}

/// As OpenMetrics writes numbers.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => number.fmt(f),
            Self::Double(number) if number.is_infinite() => {
                f.write_str(if *number > 0.0 { "+Inf" } else { "-Inf" })
            }
            Self::Double(number) => number.fmt(f),
        }
    }
}

/// One value of one metric.
#[derive(Debug, Clone, Copy)]
pub struct Point<'a> {
    pub metric: &'a str,
    /// What is told of a distribution: its count or its sum; empty for plain numbers.
    pub part: &'static str,
    pub value: Number,
    pub meaning: Meaning,
    /// The message with the attributes, and their field's number.
    attributes: (&'a [u8], u64),
}

impl<'a> Point<'a> {
    /// What the value is of: names and values.
    pub fn attributes(&self) -> impl Iterator<Item = Result<Attribute<'a>, Malformed>> + use<'a> {
        let (message, number) = self.attributes;
        attributes(message, number)
    }
}

/// A name and its value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attribute<'a> {
    pub name: &'a str,
    pub value: AttributeValue<'a>,
}

/// The simple values; lists and bytes have none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AttributeValue<'a> {
    Text(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    Other,
}

impl fmt::Display for AttributeValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => text.fmt(f),
            Self::Bool(value) => value.fmt(f),
            Self::Int(number) => number.fmt(f),
            Self::Double(number) => number.fmt(f),
            Self::Other => f.write_str("?"),
        }
    }
}

/// Visits the attributes of what sent the metrics, then every point.
pub trait Visitor {
    fn resource(&mut self, attribute: Attribute<'_>);

    fn point(&mut self, point: Point<'_>);
}

const RESOURCE_METRICS: u64 = 1;
const RESOURCE: u64 = 1;
const RESOURCE_ATTRIBUTES: u64 = 1;
const SCOPE_METRICS: u64 = 2;
const METRICS: u64 = 2;
const NAME: u64 = 1;
const GAUGE: u64 = 5;
const SUM: u64 = 7;
const HISTOGRAM: u64 = 9;
const EXPONENTIAL_HISTOGRAM: u64 = 10;
const SUMMARY: u64 = 11;
const DATA_POINTS: u64 = 1;
const TEMPORALITY: u64 = 2;
const TEMPORALITY_DELTA: u64 = 1;
const AS_DOUBLE: u64 = 4;
const AS_INT: u64 = 6;
const NUMBER_ATTRIBUTES: u64 = 7;
const COUNT: u64 = 4;
const TOTAL: u64 = 5;

/// Reads a whole message.
///
/// Errors: it is malformed; what came before was visited.
pub fn visit(message: &[u8], visitor: &mut impl Visitor) -> Result<(), Malformed> {
    for resource_metrics in messages(message, RESOURCE_METRICS) {
        let resource_metrics = resource_metrics?;
        for resource in messages(resource_metrics, RESOURCE) {
            for attribute in attributes(resource?, RESOURCE_ATTRIBUTES) {
                visitor.resource(attribute?);
            }
        }
        for scope in messages(resource_metrics, SCOPE_METRICS) {
            for metric in messages(scope?, METRICS) {
                visit_metric(metric?, visitor)?;
            }
        }
    }
    Ok(())
}

fn visit_metric(metric: &[u8], visitor: &mut impl Visitor) -> Result<(), Malformed> {
    let mut name = "";
    for field in Fields::new(metric) {
        if let (NAME, value) = field? {
            name = value.text()?;
        }
    }
    for field in Fields::new(metric) {
        let (number, value) = field?;
        match number {
            GAUGE | SUM => visit_numbers(name, value.bytes()?, visitor)?,
            HISTOGRAM => visit_distributions(name, value.bytes()?, 9, visitor)?,
            EXPONENTIAL_HISTOGRAM => visit_distributions(name, value.bytes()?, 1, visitor)?,
            SUMMARY => visit_distributions(name, value.bytes()?, 7, visitor)?,
            _ => {}
        }
    }
    Ok(())
}

fn meaning(data: &[u8]) -> Result<Meaning, Malformed> {
    let mut meaning = Meaning::Latest;
    for field in Fields::new(data) {
        if let (TEMPORALITY, value) = field? {
            let is_delta = value.varint()? == TEMPORALITY_DELTA;
            meaning = if is_delta { Meaning::Difference } else { Meaning::Latest };
        }
    }
    Ok(meaning)
}

fn visit_numbers(metric: &str, data: &[u8], visitor: &mut impl Visitor) -> Result<(), Malformed> {
    let meaning = meaning(data)?;
    for point in messages(data, DATA_POINTS) {
        let point = point?;
        let mut value = None;
        for field in Fields::new(point) {
            match field? {
                (AS_DOUBLE, bits) => value = Some(Number::Double(f64::from_bits(bits.fixed64()?))),
                (AS_INT, bits) => value = Some(Number::Int(bits.fixed64()?.cast_signed())),
                _ => {}
            }
        }
        if let Some(value) = value {
            visitor.point(Point { metric, part: "", value, meaning, attributes: (point, NUMBER_ATTRIBUTES) });
        }
    }
    Ok(())
}

/// Count and sum of histograms and summaries, which have them in the same places.
fn visit_distributions(
    metric: &str,
    data: &[u8],
    attributes: u64,
    visitor: &mut impl Visitor,
) -> Result<(), Malformed> {
    let meaning = meaning(data)?;
    for point in messages(data, DATA_POINTS) {
        let point = point?;
        for field in Fields::new(point) {
            let (part, value) = match field? {
                (COUNT, bits) => ("count", Number::Int(i64::try_from(bits.fixed64()?).unwrap_or(i64::MAX))),
                (TOTAL, bits) => ("sum", Number::Double(f64::from_bits(bits.fixed64()?))),
                _ => continue,
            };
            visitor.point(Point { metric, part, value, meaning, attributes: (point, attributes) });
        }
    }
    Ok(())
}

/// The values of a field that holds messages.
fn messages(message: &[u8], number: u64) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    Fields::new(message).filter_map(move |field| match field {
        Ok((found, value)) if found == number => Some(value.bytes()),
        Ok(_) => None,
        Err(malformed) => Some(Err(malformed)),
    })
}

fn attributes(message: &[u8], number: u64) -> impl Iterator<Item = Result<Attribute<'_>, Malformed>> {
    messages(message, number).map(|pair| {
        let (mut name, mut value) = ("", AttributeValue::Other);
        for field in Fields::new(pair?) {
            match field? {
                (1, key) => name = key.text()?,
                (2, any) => value = attribute_value(any.bytes()?)?,
                _ => {}
            }
        }
        Ok(Attribute { name, value })
    })
}

fn attribute_value(any: &[u8]) -> Result<AttributeValue<'_>, Malformed> {
    let mut value = AttributeValue::Other;
    for field in Fields::new(any) {
        value = match field? {
            (1, text) => AttributeValue::Text(text.text()?),
            (2, Value::Varint(number)) => AttributeValue::Bool(number != 0),
            (3, Value::Varint(number)) => AttributeValue::Int(number.cast_signed()),
            (4, Value::Fixed64(bits)) => AttributeValue::Double(f64::from_bits(bits)),
            _ => AttributeValue::Other,
        };
    }
    Ok(value)
}
