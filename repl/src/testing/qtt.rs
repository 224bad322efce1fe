//! Runs query translation tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use weir_broker::error::chain;
use weir_engine::batch::RecordHeaders;
use weir_engine::driver::DriverConfig;
use weir_engine::driver::topic_log::DriverRecord;
use weir_engine::operator::aggregate::ExpiredFinals;
use weir_engine::processing_log::ProcessingError;
use weir_engine::topology::TopologyConfig;
use weir_sql::error::{ErrorKind, SqlError};
use weir_sql::metastore::source::Source;
use weir_sql::parser::parse_statements;
use weir_sql::window::WindowKind;

use crate::testing::case::{Case, ExpectedException, HeaderSpec, RecordSpec};
use crate::testing::codec::{Side, append_window, split_window};
use crate::testing::report::{Outcome, Stop};
use crate::testing::workbench::{PARTITIONS_DEFAULT, Refusal, Workbench};
use crate::testing::{compare, post, rejection};

/// Functions that the original suite brings along in its own jars.
const SUITE_FUNCTIONS: [&str; 20] = [
    "BAD_UDF",
    "TEST_UDF",
    "TEST_UDTF",
    "TEST_UDAF",
    "WHENCONDITION",
    "WHENRESULT",
    "VAR_ARG",
    "MID_VAR_ARG",
    "MULTI_ARG",
    "FOUR_ARG",
    "FIVE_ARG",
    "OBJ_COL_ARG",
    "GENERIC_VAR_ARG",
    "SUM_NULL",
    "RETURN_TYPE_WITH_TYPE_PARAM",
    "TOSTRUCT",
    "THROWING_UDTF",
    "TEST_UDTF_STRUCT",
    "VAR_ARG_UDTF",
    "WHOAMI",
];

/// Runs one case from start to end.
pub fn run(case: &Case, config: DriverConfig) -> Outcome {
    match run_case(case, config) {
        Ok(()) => Outcome::Passed,
        Err(stop) => stop.into(),
    }
}

fn run_case(case: &Case, config: DriverConfig) -> Result<(), Stop> {
    let properties = properties(&case.properties);
    // The cases were recorded on Kafka Streams, whose stores lose the final results of windows beyond retention.
    let topology = TopologyConfig { expired_finals: ExpiredFinals::Lose, ..config.topology };
    let config = DriverConfig { topology, ..config };
    let mut bench = Workbench::new(properties, config).map_err(|e| Stop::Failed(e.to_string()))?;
    for topic in &case.topics {
        bench.add_topic(&topic.name, topic.partitions.unwrap_or(PARTITIONS_DEFAULT), topic.replicas);
    }
    let refusal = execute(&mut bench, &case.statements).err();
    let registered = case.topics.iter().any(|t| t.key_schema.is_some() || t.value_schema.is_some());
    match (refusal, &case.expected_exception) {
        (Some(Refusal::Rejected(error)), expected) => check_rejection(&error, expected.as_ref(), registered),
        (Some(Refusal::Stopped(stop)), _) => Err(stop),
        (None, _) if bench.unbuilt.is_some() => Err(Stop::Skipped(bench.unbuilt.take().unwrap_or_default())),
        (None, Some(expected)) if is_run_time(expected) => check_run_time(case, &mut bench, expected),
        (None, Some(expected)) => Err(Stop::Failed(format!(
            "the statements must be rejected: {}",
            expected.message.as_deref().unwrap_or("any reason")
        ))),
        (None, None) => {
            post::check(&case.post, &bench)?;
            produce(case, &mut bench)?;
            bench.driver.run().map_err(|e| Stop::Failed(format!("the queries failed: {}", chain(&e))))?;
            check_outputs(case, &bench)
        }
    }
}

/// Properties as text.
pub(crate) fn properties(values: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    values.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

fn execute(bench: &mut Workbench, statements: &[String]) -> Result<(), Refusal> {
    for text in statements {
        for parsed in parse_statements(text)? {
            bench.execute(&parsed)?;
        }
    }
    Ok(())
}

/// A statement was rejected: rightly, or for want of something, or wrongly.
fn check_rejection(
    error: &SqlError,
    expected: Option<&ExpectedException>,
    registered: bool,
) -> Result<(), Stop> {
    let actual = match &error.hint {
        Some(hint) => format!("{}\n{hint}", error.message),
        None => error.message.clone(),
    };
    let wanted = expected.map(|e| e.message.as_deref());
    match wanted {
        Some(None) => return Ok(()),
        Some(Some(message)) if rejection::matches(message, &actual) => return Ok(()),
        Some(Some(message)) if message.starts_with("Syntax") && error.kind == ErrorKind::Syntax => {
            return Ok(());
        }
        Some(Some(_)) | None => {}
    }
    if let Some(function) = SUITE_FUNCTIONS.iter().find(|f| actual.contains(&format!("name '{f}'"))) {
        return Err(Stop::Skipped(format!("function {function} belongs to the original suite")));
    }
    if registered || actual.contains("Schema Registry") {
        return Err(Stop::Skipped("needs registered schemas".to_owned()));
    }
    Err(Stop::Failed(match wanted.flatten() {
        Some(message) => format!("rejected for another reason\nexpected: {message}\nactual:   {actual}"),
        None => format!("rejected: {actual}"),
    }))
}

/// Failures that the original has while it processes records. Here the record alone fails, with the same cause in
/// the processing log.
fn is_run_time(expected: &ExpectedException) -> bool {
    expected.kind.as_deref().is_some_and(|kind| kind.ends_with("StreamsException"))
}

fn check_run_time(case: &Case, bench: &mut Workbench, expected: &ExpectedException) -> Result<(), Stop> {
    produce(case, bench)?;
    let ran = bench.driver.run();
    let mut reports: Vec<String> = bench.driver.log().take().into_iter().map(|(_, e)| describe(&e)).collect();
    reports.extend(ran.err().map(|e| chain(&e)));
    let wanted = expected.cause_message.as_deref().or(expected.message.as_deref()).unwrap_or_default();
    if reports.iter().any(|report| rejection::matches(wanted, report)) {
        return Ok(());
    }
    Err(Stop::Failed(format!("no record failed with: {wanted}\nreported: {reports:?}")))
}

/// A report as the processing log words it.
fn describe(error: &ProcessingError) -> String {
    match error {
        ProcessingError::Deserialization { message, .. } => {
            format!("Unable to deserialize record: {message}")
        }
        ProcessingError::RecordProcessing { message, .. } | ProcessingError::LateRows { message, .. } => {
            message.clone()
        }
        ProcessingError::Production { message, .. } => format!("Unable to produce record: {message}"),
        ProcessingError::Serialization { message, .. } => format!("Unable to serialize record: {message}"),
    }
}

fn produce(case: &Case, bench: &mut Workbench) -> Result<(), Stop> {
    for input in &case.inputs {
        let record = input_record(bench, input)?;
        bench.driver.produce(record, None);
    }
    Ok(())
}

fn source_over<'a>(bench: &'a Workbench, topic: &str) -> Result<&'a Arc<Source>, Stop> {
    bench.source_over(topic).ok_or_else(|| Stop::Failed(format!("no source is over topic {topic}")))
}

fn key_side(source: &Source) -> Side<'_> {
    Side { format: &source.key_format, columns: &source.schema.key }
}

fn value_side(source: &Source) -> Side<'_> {
    Side { format: &source.value_format, columns: &source.schema.value }
}

/// Inputs are written in the formats of the first source that was declared over the topic.
fn input_record(bench: &Workbench, input: &RecordSpec) -> Result<DriverRecord, Stop> {
    let first = bench.declared.iter().find(|s| s.topic == input.topic);
    let source = match first {
        Some(source) => source,
        None => source_over(bench, &input.topic)?,
    };
    encode_input(source, input)
}

/// The record in the formats of a source.
pub(crate) fn encode_input(source: &Source, input: &RecordSpec) -> Result<DriverRecord, Stop> {
    let mut key = key_side(source).encode(input.key.as_ref().unwrap_or(&Value::Null))?;
    if let (Some(key), Some(window)) = (&mut key, &input.window) {
        append_window(key, window);
    }
    Ok(DriverRecord {
        topic: input.topic.clone(),
        key,
        value: value_side(source).encode(input.value.as_ref().unwrap_or(&Value::Null))?,
        timestamp: input.timestamp.unwrap_or(0),
        headers: input.headers.as_ref().map(|h| Arc::new(headers(h))),
        ..DriverRecord::default()
    })
}

fn headers(specs: &[HeaderSpec]) -> RecordHeaders {
    let value = |spec: &HeaderSpec| {
        // Base64 is what a bare BYTES value of JSON is.
        let format = weir_sql::format::FormatInfo::key(weir_sql::format::Format::Kafka);
        let columns = [weir_sql::schema::Column::new("VALUE", weir_sql::types::SqlType::Bytes)];
        let side = Side { format: &format, columns: &columns };
        spec.value.as_ref().and_then(|text| side.encode(&Value::String(text.clone())).ok().flatten())
    };
    specs.iter().map(|spec| (spec.key.clone(), value(spec))).collect()
}

/// Every topic that the case expects records of holds them in order; if it expects none, queries wrote none.
fn check_outputs(case: &Case, bench: &Workbench) -> Result<(), Stop> {
    let Some(outputs) = &case.outputs else { return Ok(()) };
    let mut topics: Vec<&str> = outputs.iter().map(|o| o.topic.as_str()).collect();
    if topics.is_empty() {
        topics = bench.declared.iter().filter(|s| s.from_query).map(|s| s.topic.as_str()).collect();
    }
    topics.sort_unstable();
    topics.dedup();
    for topic in topics {
        let expected: Vec<&RecordSpec> = outputs.iter().filter(|o| o.topic == topic).collect();
        let mut actual: Vec<&DriverRecord> = bench.driver.outputs(topic).collect();
        if actual.is_empty() {
            actual = bench.driver.records(topic).collect();
        }
        check_topic(source_over(bench, topic)?, topic, &expected, &actual)?;
    }
    Ok(())
}

/// The records of a topic are those that were expected, in order.
pub(crate) fn check_topic(
    source: &Source,
    topic: &str,
    expected: &[&RecordSpec],
    actual: &[&DriverRecord],
) -> Result<(), Stop> {
    for (place, (wanted, record)) in expected.iter().zip(actual).enumerate() {
        let differs = difference(source, wanted, record)?;
        if let Some(what) = differs {
            return Err(Stop::Failed(format!(
                "record {place} of topic {topic}: {what}{}",
                listing(source, actual)
            )));
        }
    }
    if expected.len() != actual.len() {
        let (expected, count) = (expected.len(), actual.len());
        return Err(Stop::Failed(format!(
            "topic {topic} has {count} records, expected {expected}{}",
            listing(source, actual)
        )));
    }
    Ok(())
}

/// Differences between an expected record and the actual one.
fn difference(source: &Source, expected: &RecordSpec, actual: &DriverRecord) -> Result<Option<String>, Stop> {
    let (key, window) = key_and_window(source, expected, actual);
    if let Some(value) = &expected.key
        && let Some(what) = side_differs("key", key_side(source), value, key)?
    {
        return Ok(Some(what));
    }
    if let Some(value) = &expected.value
        && let Some(what) = side_differs("value", value_side(source), value, actual.value.as_deref())?
    {
        return Ok(Some(what));
    }
    if let Some(timestamp) = expected.timestamp
        && timestamp != actual.timestamp
    {
        return Ok(Some(format!("timestamp is {}, expected {timestamp}", actual.timestamp)));
    }
    if let Some(wanted) = &expected.window {
        let matches =
            window.is_some_and(|(start, end)| start == wanted.start && end.is_none_or(|e| e == wanted.end));
        if !matches {
            return Ok(Some(format!("window is {window:?}, expected {} to {}", wanted.start, wanted.end)));
        }
    }
    if let Some(wanted) = &expected.headers {
        let ours = actual.headers.as_deref().cloned().unwrap_or_default();
        if ours != headers(wanted) {
            return Ok(Some(format!("headers are {ours:?}, expected {wanted:?}")));
        }
    }
    Ok(None)
}

type Bounds = (i64, Option<i64>);

/// The key without its window, if the source's keys have one.
fn key_and_window<'a>(
    source: &Source,
    expected: &RecordSpec,
    actual: &'a DriverRecord,
) -> (Option<&'a [u8]>, Option<Bounds>) {
    let Some(key) = actual.key.as_deref() else { return (None, None) };
    let session = match (&source.window, &expected.window) {
        (Some(window), _) => window.kind == WindowKind::Session,
        (None, Some(spec)) => spec.kind.eq_ignore_ascii_case("session"),
        (None, None) => return (Some(key), None),
    };
    let size_ms = source.window.and_then(|w| w.size_ms);
    match split_window(key, session) {
        Some((key, start, end)) => (Some(key), Some((start, end.or(size_ms.map(|size| start + size))))),
        None => (Some(key), None),
    }
}

fn side_differs(
    noun: &str,
    side: Side<'_>,
    expected: &Value,
    actual: Option<&[u8]>,
) -> Result<Option<String>, Stop> {
    let rendered = side.render(actual)?;
    if compare::same(expected, &rendered) {
        return Ok(None);
    }
    // A case may write a value as the columns would take it: names in lower case, a decimal as a string.
    if side.normal(expected).is_some_and(|normal| compare::same(&normal, &rendered)) {
        return Ok(None);
    }
    // A number may stand for a string key, and a string for a number: compare what they are as bytes.
    if !expected.is_object()
        && let Ok(Some(bytes)) = side.encode(expected)
        && Some(bytes.as_slice()) == actual
    {
        return Ok(None);
    }
    Ok(Some(format!("{noun} is {rendered}, expected {expected}")))
}

/// The first records of a topic, for messages.
fn listing(source: &Source, records: &[&DriverRecord]) -> String {
    const SHOWN: usize = 12;
    let mut out = String::from("\nactual:");
    for record in records.iter().take(SHOWN) {
        let key = record.key.as_deref();
        let session = source.window.map(|w| w.kind == WindowKind::Session);
        let (key, window) = match (key, session) {
            (Some(key), Some(session)) => match split_window(key, session) {
                Some((key, start, end)) => (Some(key), format!(" window {start}..{end:?}")),
                None => (Some(key), String::new()),
            },
            (key, _) => (key, String::new()),
        };
        let show = |side: Side<'_>, bytes| match side.render(bytes) {
            Ok(value) => value.to_string(),
            Err(_) => format!("{bytes:?}"),
        };
        let key = show(key_side(source), key);
        let value = show(value_side(source), record.value.as_deref());
        out.push_str(&format!("\n  {key}{window} -> {value} @{}", record.timestamp));
    }
    if records.len() > SHOWN {
        out.push_str(&format!("\n  … {} more", records.len() - SHOWN));
    }
    out
}
