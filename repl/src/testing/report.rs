//! How cases went.

use std::fmt;
use std::io::Write;

use serde::Serialize;

/// The outcome of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// Why.
    Failed(String),
    /// Needs what is not built, named here.
    Skipped(String),
}

/// Why a case does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Expected and actual results differ.
    Failed(String),
    /// Needs what is not built.
    Skipped(String),
}

impl From<Stop> for Outcome {
    fn from(stop: Stop) -> Outcome {
        match stop {
            Stop::Failed(message) => Outcome::Failed(message),
            Stop::Skipped(reason) => Outcome::Skipped(reason),
        }
    }
}

/// One line of a report file.
#[derive(Debug, Serialize)]
struct Line<'a> {
    file: &'a str,
    name: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

/// Counts outcomes and writes each as a line of JSON.
pub struct Report {
    lines: Option<Box<dyn Write>>,
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("passed", &self.passed)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl Report {
    /// `lines` takes the report file, if one is wanted.
    pub fn new(lines: Option<Box<dyn Write>>) -> Report {
        Report { lines, passed: 0, failed: 0, skipped: 0 }
    }

    /// Notes an outcome. Errors: the report file cannot be written.
    pub fn add(&mut self, file: &str, name: &str, outcome: &Outcome) -> std::io::Result<()> {
        let (status, message) = match outcome {
            Outcome::Passed => ("passed", None),
            Outcome::Failed(message) => ("failed", Some(message.as_str())),
            Outcome::Skipped(reason) => ("skipped", Some(reason.as_str())),
        };
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Skipped(_) => self.skipped += 1,
        }
        if let Some(lines) = &mut self.lines {
            serde_json::to_writer(&mut *lines, &Line { file, name, status, message })?;
            lines.write_all(b"\n")?;
        }
        Ok(())
    }
}

/// "12 passed, 3 failed, 1 skipped"
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}
