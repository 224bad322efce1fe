//! Expected sources and topics after a case's statements, with schemas and formats.

use weir_sql::format::FormatInfo;
use weir_sql::metastore::source::Source;
use weir_sql::plan::physical::{ResultKind, Step};
use weir_sql::window::{WindowInfo, WindowKind};

use crate::testing::case::{FormatSpec, Post, PostTopic, SourceSpec};
use crate::testing::report::Stop;
use crate::testing::workbench::Workbench;

/// Errors: the first thing that is not as expected.
pub fn check(post: &Post, bench: &Workbench) -> Result<(), Stop> {
    for expected in &post.sources {
        let Some(source) = bench.metastore.source(&expected.name) else {
            return Err(Stop::Failed(format!("there is no source {}", expected.name)));
        };
        check_source(expected, source)?;
    }
    let Some(topics) = &post.topics else { return Ok(()) };
    for topic in &topics.topics {
        check_topic(topic, bench)?;
    }
    let forbids = topics.blacklist.as_deref().is_some_and(|pattern| pattern.ends_with("-repartition"));
    let found = bench.plans.iter().find_map(|plan| repartitions(&plan.root).pop().map(|topic| topic.name));
    match found {
        Some(name) if forbids => Err(Stop::Failed(format!("rows travel through internal topic {name}"))),
        _ => Ok(()),
    }
}

fn differs<T: std::fmt::Debug + ?Sized>(what: &str, of: &str, actual: &T, expected: &T) -> Stop {
    Stop::Failed(format!("{what} of {of} is {actual:?}, expected {expected:?}"))
}

fn check_source(expected: &SourceSpec, source: &Source) -> Result<(), Stop> {
    let name = expected.name.as_str();
    let kind = match source.kind {
        ResultKind::Stream => "stream",
        ResultKind::Table => "table",
    };
    if let Some(wanted) = &expected.kind
        && !wanted.eq_ignore_ascii_case(kind)
    {
        return Err(differs("type", name, kind, wanted.as_str()));
    }
    if let Some(wanted) = &expected.schema {
        let (wanted, actual) = (normal_schema(wanted), normal_schema(&source.schema.to_string()));
        if wanted != actual {
            return Err(differs("schema", name, &actual, &wanted));
        }
    }
    if let Some(wanted) = expected.is_source
        && wanted != source.read_only
    {
        return Err(differs("isSource", name, &source.read_only, &wanted));
    }
    check_format("key format", name, expected.key_format.as_ref(), &source.key_format, source.window)?;
    check_format("value format", name, expected.value_format.as_ref(), &source.value_format, None)?;
    check_features(
        "value features",
        name,
        expected.value_features.as_deref(),
        &source.value_format,
        source.schema.value.len(),
    )?;
    check_features(
        "key features",
        name,
        expected.key_features.as_deref(),
        &source.key_format,
        source.schema.key.len(),
    )
}

/// A single column that is written bare where the format would wrap it has the feature UNWRAP_SINGLES.
fn check_features(
    what: &str,
    of: &str,
    expected: Option<&[String]>,
    format: &FormatInfo,
    columns: usize,
) -> Result<(), Stop> {
    let Some(expected) = expected else { return Ok(()) };
    let wraps = FormatInfo::new(format.format).wrap_single;
    let unwrapped = columns == 1 && wraps && !format.wrap_single;
    let wanted = expected.iter().any(|f| f == "UNWRAP_SINGLES");
    if wanted == unwrapped { Ok(()) } else { Err(differs(what, of, &unwrapped, &wanted)) }
}

fn check_format(
    what: &str,
    of: &str,
    expected: Option<&FormatSpec>,
    actual: &FormatInfo,
    window: Option<WindowInfo>,
) -> Result<(), Stop> {
    let (wanted, window_type, window_size) = match expected {
        None => return Ok(()),
        Some(FormatSpec::Name(name)) => (name, None, None),
        Some(FormatSpec::Details { format, window_type, window_size, .. }) => {
            (format, window_type.as_deref(), *window_size)
        }
    };
    if !wanted.eq_ignore_ascii_case(actual.format.name()) {
        return Err(differs(what, of, actual.format.name(), wanted.as_str()));
    }
    let kind = window.map(|w| match w.kind {
        WindowKind::Tumbling => "TUMBLING",
        WindowKind::Hopping => "HOPPING",
        WindowKind::Session => "SESSION",
    });
    if window_type.is_some() && window_type != kind {
        return Err(differs("window type", of, &kind, &window_type));
    }
    let size = window.and_then(|w| w.size_ms).map(|size| size as u64);
    if window_size.is_some() && window_size != size {
        return Err(differs("window size", of, &size, &window_size));
    }
    Ok(())
}

/// A schema's text with names bare, types spelled one way and PRIMARY KEY as KEY.
fn normal_schema(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == '`' {
            let (name, tail) = rest[1..].split_once('`').unwrap_or((&rest[1..], ""));
            tokens.push(name.to_owned());
            rest = tail;
        } else if c.is_alphanumeric() || c == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            match rest[..end].to_uppercase().as_str() {
                "PRIMARY" => {}
                "VARCHAR" => tokens.push("STRING".to_owned()),
                "INT" => tokens.push("INTEGER".to_owned()),
                word => tokens.push(word.to_owned()),
            }
            rest = &rest[end..];
        } else {
            if !c.is_whitespace() {
                tokens.push(c.to_string());
            }
            rest = &rest[c.len_utf8()..];
        }
    }
    tokens
}

/// Topics of sources, and repartition topics. What changelogs are called and hold is the engine's business.
fn check_topic(expected: &PostTopic, bench: &Workbench) -> Result<(), Stop> {
    let name = expected.name.as_str();
    if name.ends_with("-changelog") {
        return Ok(());
    }
    if let Some(source) = bench.source_over(name) {
        check_format("key format", name, expected.key_format.as_ref(), &source.key_format, source.window)?;
        check_format("value format", name, expected.value_format.as_ref(), &source.value_format, None)?;
        if let (Some(wanted), Some(actual)) = (expected.partitions, bench.partitions(name))
            && wanted != actual
        {
            return Err(differs("partitions", name, &actual, &wanted));
        }
        return Ok(());
    }
    let internal: Vec<Internal<'_>> = bench.plans.iter().flat_map(|p| repartitions(&p.root)).collect();
    let fits = |topic: &Internal<'_>| {
        check_format("key format", name, expected.key_format.as_ref(), topic.key_format, None).and_then(
            |()| check_format("value format", name, expected.value_format.as_ref(), topic.value_format, None),
        )
    };
    // Names of internal topics follow from the original's node names; a topic of another name counts if it is alike.
    let named =
        name.split_once("query_").and_then(|(_, rest)| rest.split_once('-')).map_or(name, |(_, rest)| rest);
    if let Some(topic) = internal.iter().find(|t| format!("{}-repartition", t.name) == named) {
        return fits(topic);
    }
    if internal.iter().any(|topic| fits(topic).is_ok()) {
        return Ok(());
    }
    Err(Stop::Failed(format!("there is no topic like {name}")))
}

/// A topic between two parts of a query.
struct Internal<'a> {
    name: &'a str,
    key_format: &'a FormatInfo,
    value_format: &'a FormatInfo,
}

/// The internal topics at and below a step.
fn repartitions(step: &Step) -> Vec<Internal<'_>> {
    let mut found: Vec<Internal<'_>> = step.inputs().into_iter().flat_map(repartitions).collect();
    match step {
        Step::Repartition(s) => {
            found.push(Internal { name: &s.name, key_format: &s.key_format, value_format: &s.value_format });
        }
        Step::Aggregate(s) if s.regroup => {
            let name = "Aggregate-GroupBy";
            found.push(Internal { name, key_format: &s.key_format, value_format: &s.value_format });
        }
        _ => {}
    }
    found
}
