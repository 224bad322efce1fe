//! Text files of cases, whose expectations `weir test --update` writes.
//!
//! ```text
//! === a filter keeps the rows that it is TRUE for
//! CREATE STREAM s (id INT KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
//! CREATE STREAM big AS SELECT id, v FROM s WHERE v > 10;
//! --- input
//! s  1  {"V":5}
//! s  2  {"V":11}  @7
//! --- output
//! BIG  2  {"V":11}  @7
//! ```
//!
//! `tests/cases/README.md` describes the form.

pub mod diff;
pub mod form;
pub mod record;
pub mod runner;
pub mod table;

#[cfg(test)]
mod tests;

use weir_engine::driver::DriverConfig;

use crate::testing::case_file::diff::{merged, shown};
use crate::testing::case_file::form::{Case, CaseFile, Step, StepKind};
use crate::testing::report::{Outcome, Stop};

/// A replacement of the body of an expectation, or a new expectation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// Lines of the file that go, counted from 0; empty at the place of an insertion.
    pub lines: std::ops::Range<usize>,
    pub replacement: Vec<String>,
}

/// The outcome of a case, and the changes after which it passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseRun {
    pub outcome: Outcome,
    pub rewrites: Vec<Rewrite>,
}

/// Runs one case. A case that stops for another reason than an expectation has no rewrites.
pub fn run(file: &CaseFile, case: &Case, config: DriverConfig) -> CaseRun {
    let actual = match runner::run(file, case, config) {
        Ok(actual) => actual,
        Err(stop) => return CaseRun { outcome: stop.into(), rewrites: Vec::new() },
    };
    let mut report = Vec::new();
    let mut rewrites = Vec::new();
    for (step, lines) in case.steps.iter().zip(&actual.bodies) {
        let Some(lines) = lines else { continue };
        if let Some(rewrite) = compare(file, step, lines, &mut report) {
            rewrites.push(rewrite);
        }
    }
    for added in &actual.added {
        let at = added.after.map_or(case.end, |step| case.steps[step].body.end);
        report.push(format!("not expected: --- {}", added.kind.word()));
        report.extend(added.lines.iter().map(|line| format!("+ {line}")));
        let mut replacement = vec![format!("--- {}", added.kind.word())];
        replacement.extend(added.lines.iter().cloned());
        rewrites.push(Rewrite { lines: at..at, replacement });
    }
    let outcome = match report.is_empty() {
        true => Outcome::Passed,
        false => Outcome::Failed(report.join("\n")),
    };
    CaseRun { outcome, rewrites }
}

/// Adds the difference between the step's lines and the actual ones to `report`.
fn compare(file: &CaseFile, step: &Step, actual: &[String], report: &mut Vec<String>) -> Option<Rewrite> {
    let raw: Vec<&str> = file.lines[step.body.clone()].iter().map(String::as_str).collect();
    let expected: Vec<&str> = raw.iter().copied().filter(|line| !form::is_comment(line)).collect();
    let same = |expected: &str, actual: &str| match step.kind {
        StepKind::Output => record::same_line(expected, actual),
        StepKind::Expressions | StepKind::Aggregates => table::same_line(expected, actual),
        _ => expected.trim_end() == actual.trim_end(),
    };
    if expected.len() == actual.len() && expected.iter().zip(actual).all(|(e, a)| same(e, a)) {
        return None;
    }
    report.push(format!("--- {} differs (- expected, + actual)", step.kind.word()));
    report.extend(shown(&expected, actual, same));
    Some(Rewrite { lines: step.body.clone(), replacement: merged(&raw, actual, same) })
}

/// The text of the file with all changes made.
pub fn rewritten(file: &CaseFile, rewrites: &[Rewrite]) -> String {
    let mut lines = file.lines.clone();
    let mut ordered: Vec<&Rewrite> = rewrites.iter().collect();
    ordered.sort_by_key(|r| r.lines.start);
    for rewrite in ordered.into_iter().rev() {
        lines.splice(rewrite.lines.clone(), rewrite.replacement.iter().cloned());
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

/// A failure that names a line of the file.
pub fn at_line(line: usize, message: impl std::fmt::Display) -> Stop {
    Stop::Failed(format!("line {}: {message}", line + 1))
}
