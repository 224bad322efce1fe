//! SQL files with assertions: sections that begin with `--@test: name`, each run on an engine of its own.
//!
//! ```sql
//! --@test: doubles values
//! CREATE STREAM a (k STRING KEY, v INT) WITH (kafka_topic='a', partitions=1, format='JSON');
//! CREATE STREAM b AS SELECT k, v * 2 AS v FROM a;
//! INSERT INTO a VALUES ('x', 1);
//! ASSERT VALUES b (k, v) VALUES ('x', 2);
//! ```
//!
//! A section with `--@expected.error:` or `--@expected.message:` must end in an error, with that text in it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use weir_broker::error::chain;
use weir_engine::driver::DriverConfig;
use weir_engine::driver::topic_log::DriverRecord;
use weir_engine::serde::{Decoded, key_decoder, value_decoder};
use weir_sql::ast::statement::{Assert, CreateSource, InsertValues, SourceKind, Statement};
use weir_sql::metastore::source::Source;
use weir_sql::parser::{ParseConfig, ParsedStatement, parse_statements_with};
use weir_sql::plan::command::{CreateSourceCommand, DdlCommand};
use weir_sql::plan::statement::PreparedStatement;
use weir_sql::schema::Column;
use weir_sql::value::SqlValue;
use weir_sql::value::convert::from_array;

use crate::testing::codec::unavailable;
use crate::testing::report::{Outcome, Stop};
use crate::testing::workbench::{Refusal, Workbench};

/// One test of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    pub name: String,
    /// Must end in an error. The class is that of the original; here any error counts, and the message tells.
    pub expected_error: Option<String>,
    pub expected_message: Option<String>,
    pub text: String,
}

/// The sections of a file. What stands before the first is dropped, if it is blank or comment.
///
/// Errors: statements before the first section.
pub fn sections(text: &str) -> Result<Vec<Section>, Stop> {
    let mut sections: Vec<Section> = Vec::new();
    for line in text.lines() {
        let directive = line.trim().strip_prefix("--@").and_then(|d| d.split_once(':'));
        match (directive, sections.last_mut()) {
            (Some(("test", name)), _) => {
                sections.push(Section { name: name.trim().to_owned(), ..Section::default() });
            }
            (Some(("expected.error", class)), Some(section)) => {
                section.expected_error = Some(class.trim().to_owned());
            }
            (Some(("expected.message", message)), Some(section)) => {
                section.expected_message = Some(message.trim().to_owned());
            }
            (None, Some(section)) => {
                section.text.push_str(line);
                section.text.push('\n');
            }
            (None, None) if line.trim().is_empty() || line.trim_start().starts_with("--") => {}
            (None, None) => return Err(Stop::Failed("statements stand before the first --@test".to_owned())),
            (Some((other, _)), _) => return Err(Stop::Failed(format!("unknown directive --@{other}"))),
        }
    }
    Ok(sections)
}

/// Runs one section. `folder` is where RUN SCRIPT looks.
pub fn run(section: &Section, folder: &Path, config: DriverConfig) -> Outcome {
    let expects_error = section.expected_error.is_some() || section.expected_message.is_some();
    let failure = match run_section(section, folder, config) {
        Ok(()) => None,
        Err(Refusal::Stopped(Stop::Skipped(reason))) => return Outcome::Skipped(reason),
        Err(Refusal::Stopped(Stop::Failed(message))) => Some(message),
        Err(Refusal::Rejected(error)) => Some(error.message),
    };
    match (failure, expects_error) {
        (None, false) => Outcome::Passed,
        (None, true) => Outcome::Failed("the test must end in an error".to_owned()),
        (Some(message), false) => Outcome::Failed(message),
        (Some(message), true) => match &section.expected_message {
            Some(fragment) if !squeezed(&message).contains(&squeezed(fragment)) => {
                Outcome::Failed(format!("another error\nexpected: {fragment}\nactual:   {message}"))
            }
            _ => Outcome::Passed,
        },
    }
}

/// Runs of blanks as one.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A section at work.
struct Runner<'a> {
    bench: Workbench,
    folder: &'a Path,
    /// How many records of each topic have been asserted.
    seen: HashMap<String, usize>,
}

fn run_section(section: &Section, folder: &Path, config: DriverConfig) -> Result<(), Refusal> {
    let bench = Workbench::new(BTreeMap::new(), config)?;
    let mut runner = Runner { bench, folder, seen: HashMap::new() };
    runner.run_text(&section.text, 0)
}

/// RUN SCRIPTs inside each other.
const SCRIPT_DEPTH_MAX: usize = 16;

impl Runner<'_> {
    fn run_text(&mut self, text: &str, depth: usize) -> Result<(), Refusal> {
        for parsed in parse_statements_with(text, ParseConfig { test_statements: true })? {
            match &parsed.statement {
                Statement::Assert(assert) => self.check(assert, &parsed)?,
                Statement::RunScript { path } if depth < SCRIPT_DEPTH_MAX => {
                    let path = self.folder.join(path);
                    let text = std::fs::read_to_string(&path)
                        .map_err(|e| Stop::Failed(format!("cannot read {}: {e}", path.display())))?;
                    self.run_text(&text, depth + 1)?;
                }
                Statement::RunScript { .. } => {
                    return Err(Stop::Failed("scripts run each other too deeply".to_owned()).into());
                }
                _ => {
                    self.bench.execute(&parsed)?;
                    if let Some(reason) = self.bench.unbuilt.take() {
                        return Err(Stop::Skipped(reason).into());
                    }
                    // What ran before a change of queries was seen by the queries of then.
                    self.advance()?;
                }
            }
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<(), Stop> {
        self.bench.driver.run().map_err(|e| Stop::Failed(format!("the queries failed: {}", chain(&e))))
    }

    fn check(&mut self, assert: &Assert, parsed: &ParsedStatement) -> Result<(), Refusal> {
        match assert {
            Assert::Values(values) => self.check_record(values, parsed, false),
            Assert::Tombstone(values) => self.check_record(values, parsed, true),
            Assert::Source { kind, name, columns, properties } => {
                let create = CreateSource {
                    kind: *kind,
                    or_replace: false,
                    read_only: false,
                    if_not_exists: false,
                    name: name.clone(),
                    columns: columns.clone(),
                    properties: properties.clone(),
                };
                self.check_source(create, &name.name)
            }
            Assert::Topic { .. } | Assert::Schema { .. } => {
                Err(Stop::Skipped("ASSERT TOPIC and SCHEMA need a server".to_owned()).into())
            }
        }
    }

    /// The next record over the source's topic has these values in the listed columns.
    fn check_record(
        &mut self,
        values: &InsertValues,
        parsed: &ParsedStatement,
        tombstone: bool,
    ) -> Result<(), Refusal> {
        let insert = Statement::InsertValues(values.clone());
        let PreparedStatement::InsertValues(row) = self.bench.prepare(&insert, &parsed.text)? else {
            return Err(Stop::Failed("the assertion is not of values".to_owned()).into());
        };
        let Some(source) = self.bench.metastore.source(&row.source).cloned() else {
            return Err(Stop::Failed(format!("there is no source {}", row.source)).into());
        };
        let place = self.seen.entry(source.topic.clone()).or_default();
        let Some(record) = self.bench.driver.records(&source.topic).nth(*place).cloned() else {
            let message =
                format!("Expected another record (record {}) for source {}", *place + 1, source.name);
            return Err(Stop::Failed(message).into());
        };
        *place += 1;
        let actual = RecordValues::read(&source, &record)?;
        if tombstone != record.value.is_none() {
            return Err(mismatch("record value", &source, &actual, &"a tombstone").into());
        }
        let listed = |name: &str| values.columns.is_empty() || values.columns.iter().any(|c| c.name == name);
        let key = self.bench.constants(&row.key)?;
        compare_listed(&source, &source.schema.key, &key, &actual.key, listed)?;
        if !tombstone {
            let value = self.bench.constants(&row.value)?;
            compare_listed(&source, &source.schema.value, &value, &actual.value, listed)?;
        }
        if let Some(expr) = &row.timestamp {
            let wanted = self.bench.constant(expr)?;
            if wanted != SqlValue::Bigint(record.timestamp) {
                return Err(mismatch("ROWTIME", &source, &record.timestamp, &wanted).into());
            }
        }
        Ok(())
    }

    /// A source of that name is what CREATE would have made of the assertion.
    fn check_source(&mut self, create: CreateSource, name: &str) -> Result<(), Refusal> {
        let Some(actual) = self.bench.metastore.source(name).cloned() else {
            return Err(Stop::Failed(format!("Source {name} does not exist")).into());
        };
        let kind = create.kind;
        let mut elsewhere = create;
        elsewhere.name.name.push_str("_ASSERTED");
        let statement = Statement::CreateSource(elsewhere);
        let PreparedStatement::Command(command) = self.bench.prepare(&statement, "")? else {
            return Err(Stop::Failed("the assertion is not of a source".to_owned()).into());
        };
        let Some(DdlCommand::CreateSource(wanted)) = command.ddl else {
            return Err(Stop::Failed("the assertion is not of a source".to_owned()).into());
        };
        compare_source(&actual, &wanted, kind).map_err(Refusal::Stopped)
    }
}

fn mismatch(
    what: &str,
    source: &Source,
    actual: &dyn std::fmt::Debug,
    expected: &dyn std::fmt::Debug,
) -> Stop {
    let name = &source.name;
    Stop::Failed(format!(
        "Expected {what} does not match actual (for source {name})\nexpected: {expected:?}\nactual:   {actual:?}"
    ))
}

fn compare_source(actual: &Source, wanted: &CreateSourceCommand, kind: SourceKind) -> Result<(), Stop> {
    let is_stream = kind == SourceKind::Stream;
    if actual.is_stream() != is_stream {
        return Err(mismatch("type", actual, &actual.kind, &kind));
    }
    if actual.schema != wanted.schema {
        return Err(mismatch("schema", actual, &actual.schema.to_string(), &wanted.schema.to_string()));
    }
    if actual.topic != wanted.topic {
        return Err(mismatch("kafka topic", actual, &actual.topic, &wanted.topic));
    }
    if actual.key_format.format != wanted.key_format.format || actual.window != wanted.window {
        return Err(mismatch("key format", actual, &actual.key_format, &wanted.key_format));
    }
    if actual.value_format.format != wanted.value_format.format {
        return Err(mismatch("value format", actual, &actual.value_format, &wanted.value_format));
    }
    if actual.value_format.wrap_single != wanted.value_format.wrap_single {
        return Err(mismatch("value serde features", actual, &actual.value_format, &wanted.value_format));
    }
    if actual.timestamp != wanted.timestamp {
        return Err(mismatch("timestamp column", actual, &actual.timestamp, &wanted.timestamp));
    }
    Ok(())
}

/// A record as values.
#[derive(Debug)]
struct RecordValues {
    key: Vec<SqlValue>,
    value: Vec<SqlValue>,
}

impl RecordValues {
    fn read(source: &Source, record: &DriverRecord) -> Result<RecordValues, Stop> {
        let mut keys =
            key_decoder(&source.key_format, &source.schema.key, source.window).map_err(unavailable)?;
        let mut values = value_decoder(&source.value_format, &source.schema.value).map_err(unavailable)?;
        let key = keys.decode(&[record.key.as_deref()]);
        let value = values.decode(&[record.value.as_deref()]);
        Ok(RecordValues { key: row(&source.schema.key, &key)?, value: row(&source.schema.value, &value)? })
    }
}

fn row(columns: &[Column], decoded: &Decoded) -> Result<Vec<SqlValue>, Stop> {
    match decoded.errors.first() {
        Some(error) => Err(Stop::Failed(format!("a record cannot be read: {error}"))),
        None => {
            Ok(columns.iter().zip(&decoded.columns).map(|(c, a)| from_array(a, 0, &c.sql_type)).collect())
        }
    }
}

fn compare_listed(
    source: &Source,
    columns: &[Column],
    expected: &[SqlValue],
    actual: &[SqlValue],
    listed: impl Fn(&str) -> bool,
) -> Result<(), Stop> {
    for ((column, wanted), value) in columns.iter().zip(expected).zip(actual) {
        if listed(&column.name) && wanted != value {
            return Err(mismatch(&format!("record value of {}", column.name), source, value, wanted));
        }
    }
    Ok(())
}
