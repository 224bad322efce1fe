//! Runs the steps of a case on a workbench.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use weir_broker::error::chain;
use weir_engine::driver::DriverConfig;
use weir_engine::processing_log::ProcessingError;
use weir_sql::metastore::source::Source;
use weir_sql::parser::parse_statements;

use crate::testing::case_file::form::{Case, CaseFile, NOTHING, Step, StepKind};
use crate::testing::case_file::{at_line, record, table};
use crate::testing::report::Stop;
use crate::testing::workbench::{Refusal, Workbench};

/// Bodies of expectations as the case gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actual {
    /// Shape: one entry per step that was carried out; None for steps that are no expectations.
    pub bodies: Vec<Option<Vec<String>>>,
    /// Expectations that the case lacks.
    pub added: Vec<Added>,
}

/// An expectation that the case lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    pub kind: StepKind,
    /// The step it belongs behind. None: at the end of the case.
    pub after: Option<usize>,
    pub lines: Vec<String>,
}

/// A case at work.
struct Runner<'a> {
    file: &'a CaseFile,
    config: DriverConfig,
    bench: Workbench,
    /// Statements of setup and case that ran, for the workbenches of tables.
    statements: Vec<String>,
    /// Sources of the setup.
    given: Vec<String>,
    /// The error that the last statements ended in.
    error: Option<Vec<String>>,
    /// Records of each topic that output steps have shown.
    shown: HashMap<String, usize>,
    columns: Vec<table::Column>,
    actual: Actual,
}

/// Runs all steps.
///
/// Errors: a step cannot be carried out; the setup is rejected.
pub fn run(file: &CaseFile, case: &Case, config: DriverConfig) -> Result<Actual, Stop> {
    let bench = Workbench::new(BTreeMap::new(), config).map_err(|e| Stop::Failed(e.to_string()))?;
    let mut runner = Runner {
        file,
        config,
        bench,
        statements: Vec::new(),
        given: Vec::new(),
        error: None,
        shown: HashMap::new(),
        columns: Vec::new(),
        actual: Actual::default(),
    };
    if let Some(setup) = case.setup {
        runner.statements(file.setups[setup].clone())?;
        if let Some(error) = runner.error.take() {
            return Err(Stop::Failed(format!("the setup is rejected: {}", error.join("\n"))));
        }
        runner.given = runner.bench.declared.iter().map(|s| s.name.clone()).collect();
    }
    for (place, step) in case.steps.iter().enumerate() {
        if step.kind != StepKind::Error
            && let Some(lines) = runner.error.take()
        {
            // The steps behind depend on the statements that were rejected.
            let after = place.checked_sub(1);
            runner.actual.added.push(Added { kind: StepKind::Error, after, lines });
            return Ok(runner.actual);
        }
        runner.step(step)?;
    }
    runner.finish(case);
    Ok(runner.actual)
}

impl Runner<'_> {
    fn step(&mut self, step: &Step) -> Result<(), Stop> {
        let body = match step.kind {
            StepKind::Statements => self.statements(step.body.clone()).map(|()| None)?,
            StepKind::Input => self.input(step.body.clone()).map(|()| None)?,
            StepKind::Columns => self.columns(step.body.clone()).map(|()| None)?,
            StepKind::Output => Some(self.output()),
            StepKind::Error => Some(self.error.take().unwrap_or_default()),
            StepKind::Reports => Some(self.reports()),
            StepKind::Sources => Some(self.sources()),
            StepKind::Expressions => Some(self.table(table::Kind::Expressions, step)?),
            StepKind::Aggregates => Some(self.table(table::Kind::Aggregates, step)?),
        };
        self.actual.bodies.push(body.map(|lines| match lines.is_empty() {
            true => vec![NOTHING.to_owned()],
            false => lines,
        }));
        Ok(())
    }

    /// Adds the expectations that the case lacks: of its error, records and reports, and of no
    /// records if it has no expectation at all.
    fn finish(&mut self, case: &Case) {
        let error = self.error.take().unwrap_or_default();
        let has_expectation = case.steps.iter().any(|step| step.kind.is_expectation());
        let mut output = self.output();
        if !has_expectation && error.is_empty() && self.actual.added.is_empty() && output.is_empty() {
            output.push(NOTHING.to_owned());
        }
        let reports = self.reports();
        let came = [(StepKind::Error, error), (StepKind::Output, output), (StepKind::Reports, reports)];
        for (kind, lines) in came.into_iter().filter(|(_, lines)| !lines.is_empty()) {
            self.actual.added.push(Added { kind, after: None, lines });
        }
    }

    /// Runs statements up to the first that is rejected.
    fn statements(&mut self, body: Range<usize>) -> Result<(), Stop> {
        let first_line = body.start;
        let text = self.file.text(body);
        match self.execute(&text) {
            Ok(()) => self.statements.push(text),
            Err(Refusal::Rejected(error)) => {
                self.error = Some(error.render(&text).lines().map(|l| l.trim_end().to_owned()).collect());
            }
            Err(Refusal::Stopped(Stop::Failed(message))) => return Err(at_line(first_line, message)),
            Err(Refusal::Stopped(stop)) => return Err(stop),
        }
        Ok(())
    }

    fn execute(&mut self, text: &str) -> Result<(), Refusal> {
        for parsed in parse_statements(text)? {
            self.bench.execute(&parsed)?;
            if let Some(reason) = self.bench.unbuilt.take() {
                return Err(Stop::Failed(reason).into());
            }
            // Queries that a later statement ends or replaces have read the records before it.
            self.advance()?;
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<(), Stop> {
        self.bench.driver.run().map_err(|e| Stop::Failed(format!("the queries failed: {}", chain(&e))))
    }

    fn input(&mut self, body: Range<usize>) -> Result<(), Stop> {
        for (line, text) in self.file.content(body) {
            let bench = &self.bench;
            let source = |topic: &str| {
                let declared = bench.declared.iter().find(|s| s.topic == topic);
                declared.or_else(|| bench.source_over(topic))
            };
            let record = record::parse(text, source).map_err(|stop| placed(line, stop))?;
            self.bench.driver.produce(record, None);
        }
        self.advance()
    }

    fn columns(&mut self, body: Range<usize>) -> Result<(), Stop> {
        self.columns.clear();
        for (line, text) in self.file.content(body) {
            self.columns.push(table::Column::parse(text).map_err(|message| at_line(line, message))?);
        }
        Ok(())
    }

    fn table(&mut self, kind: table::Kind, step: &Step) -> Result<Vec<String>, Stop> {
        let (file, config) = (self.file, self.config);
        let lines: Vec<&str> = file.content(step.body.clone()).map(|(_, text)| text).collect();
        let statements = &self.statements;
        let bench = || -> Result<Workbench, Stop> {
            let mut bench =
                Workbench::new(BTreeMap::new(), config).map_err(|e| Stop::Failed(e.to_string()))?;
            for text in statements {
                table::execute(&mut bench, text).map_err(table::unexpected)?;
            }
            Ok(bench)
        };
        table::run(kind, &self.columns, &lines, bench).map_err(|stop| placed(step.body.start, stop))
    }

    /// Records that were written since the last call: those of queries, and if there is no query
    /// those of INSERTs.
    fn output(&mut self) -> Vec<String> {
        let mut topics: Vec<&str> = Vec::new();
        for source in &self.bench.declared {
            if !topics.contains(&source.topic.as_str()) {
                topics.push(&source.topic);
            }
        }
        let mut lines = Vec::new();
        for topic in topics {
            let Some(source) = self.bench.source_over(topic) else { continue };
            let records: Vec<_> = match self.bench.plans.is_empty() {
                true => self.bench.driver.records(topic).collect(),
                false => self.bench.driver.outputs(topic).collect(),
            };
            let shown = self.shown.insert(topic.to_owned(), records.len()).unwrap_or_default();
            lines.extend(records.into_iter().skip(shown).map(|r| record::line(source, r)));
        }
        lines
    }

    /// Entries of the processing log since the last call, sorted: their order depends on how input
    /// is cut.
    fn reports(&mut self) -> Vec<String> {
        let mut late = 0;
        let mut lines = Vec::new();
        for (_, error) in self.bench.driver.log().take() {
            let line = match error {
                ProcessingError::LateRows { rows, .. } => {
                    late += rows;
                    continue;
                }
                ProcessingError::Deserialization { origin, is_key, message, .. } => {
                    let side = if is_key { "key" } else { "value" };
                    format!("{side} of {} {}: {message}", origin.topic, origin.first_offset)
                }
                ProcessingError::RecordProcessing { message, .. } => message,
                ProcessingError::Production { topic, message, .. } => format!("record of {topic}: {message}"),
                ProcessingError::Serialization { topic, is_key, message } => {
                    let side = if is_key { "key" } else { "value" };
                    format!("{side} of {topic}: {message}")
                }
            };
            lines.push(line.replace('\n', " "));
        }
        if late > 0 {
            lines.push(format!("late rows: {late}"));
        }
        lines.sort_unstable();
        lines
    }

    /// The sources that are there, less those of the setup.
    fn sources(&self) -> Vec<String> {
        let known = |s: &&Source| self.bench.metastore.source(&s.name).is_some();
        let sources = self.bench.declared.iter().map(AsRef::as_ref).filter(known);
        sources.filter(|s| !self.given.contains(&s.name)).map(|s| self.describe(s)).collect()
    }

    fn describe(&self, source: &Source) -> String {
        let kind = if source.is_stream() { "STREAM" } else { "TABLE" };
        let partitions = self.bench.partitions(&source.topic).unwrap_or_default();
        let mut line = format!(
            "{kind} {} ({}) topic {} partitions {partitions} key {} value {}",
            source.name, source.schema, source.topic, source.key_format.format, source.value_format.format
        );
        if source.schema.value.len() == 1 && !source.value_format.wrap_single {
            line.push_str(" unwrapped");
        }
        for (side, format) in [("key", &source.key_format), ("value", &source.value_format)] {
            for (name, value) in &format.properties {
                line.push_str(&format!(" {side} {name} {value:?}"));
            }
        }
        if let Some(window) = source.window {
            line.push_str(&format!(" window {:?}", window.kind).to_uppercase().replace("WINDOW", "window"));
            line.extend(window.size_ms.map(|size| format!(" {size} ms")));
        }
        if let Some(timestamp) = &source.timestamp {
            line.push_str(&format!(" timestamp {}", timestamp.column));
            line.extend(timestamp.format.as_ref().map(|f| format!(" {f:?}")));
        }
        if source.read_only {
            line.push_str(" read-only");
        }
        line
    }
}

/// A failure with the line it belongs to.
fn placed(line: usize, stop: Stop) -> Stop {
    match stop {
        Stop::Failed(message) => at_line(line, message),
        Stop::Skipped(reason) => Stop::Skipped(reason),
    }
}
