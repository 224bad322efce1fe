//! The layout of a file of cases: where each case and each of its steps stands.

use std::ops::Range;

use crate::testing::case_file::at_line;
use crate::testing::report::Stop;

/// The body of an expectation that nothing came.
pub const NOTHING: &str = "(nothing)";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    Statements,
    /// Records to produce.
    Input,
    /// Records that queries wrote since the last such step.
    Output,
    /// The error that the statements above end in.
    Error,
    /// Rows in the processing log since the last such step.
    Reports,
    /// Sources that the case has made.
    Sources,
    /// Columns of a table of expressions, with a value for each row.
    Columns,
    /// Expressions over the columns, each with its type and its value for each row.
    Expressions,
    /// Aggregates over the columns, each with its type and its result after each row.
    Aggregates,
}

impl StepKind {
    const ALL: [StepKind; 9] = [
        StepKind::Statements,
        StepKind::Input,
        StepKind::Output,
        StepKind::Error,
        StepKind::Reports,
        StepKind::Sources,
        StepKind::Columns,
        StepKind::Expressions,
        StepKind::Aggregates,
    ];

    pub fn word(self) -> &'static str {
        match self {
            StepKind::Statements => "statements",
            StepKind::Input => "input",
            StepKind::Output => "output",
            StepKind::Error => "error",
            StepKind::Reports => "reports",
            StepKind::Sources => "sources",
            StepKind::Columns => "columns",
            StepKind::Expressions => "expressions",
            StepKind::Aggregates => "aggregates",
        }
    }

    fn from_word(word: &str) -> Option<StepKind> {
        StepKind::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// True if `weir test --update` may write the step's body.
    pub fn is_expectation(self) -> bool {
        match self {
            StepKind::Output
            | StepKind::Error
            | StepKind::Reports
            | StepKind::Sources
            | StepKind::Expressions
            | StepKind::Aggregates => true,
            StepKind::Statements | StepKind::Input | StepKind::Columns => false,
        }
    }
}

/// A part of a case. Units: lines of the file, counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub kind: StepKind,
    /// Without blank lines and comments at its end.
    pub body: Range<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub name: String,
    /// The setup that holds here, as an index into [`CaseFile::setups`].
    pub setup: Option<usize>,
    pub steps: Vec<Step>,
    /// The line after the last one of the case's text.
    pub end: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaseFile {
    pub lines: Vec<String>,
    /// Lines of statements that run before those of each case.
    pub setups: Vec<Range<usize>>,
    pub cases: Vec<Case>,
}

impl CaseFile {
    /// Errors: text before the first case, an unknown kind of step, a case without a name or of a
    /// name that another one has.
    pub fn parse(text: &str) -> Result<CaseFile, Stop> {
        let mut file = CaseFile { lines: text.lines().map(str::to_owned).collect(), ..CaseFile::default() };
        let starts: Vec<usize> =
            (0..file.lines.len()).filter(|line| file.lines[*line].starts_with("===")).collect();
        file.check_preamble(starts.first().copied().unwrap_or(file.lines.len()))?;
        let ends = starts.iter().skip(1).copied().chain([file.lines.len()]);
        for (start, end) in starts.iter().copied().zip(ends.collect::<Vec<_>>()) {
            file.add_block(start, end)?;
        }
        Ok(file)
    }

    fn check_preamble(&self, end: usize) -> Result<(), Stop> {
        match (0..end).find(|line| !is_comment(&self.lines[*line]) && !self.lines[*line].trim().is_empty()) {
            Some(line) => Err(at_line(line, "text stands before the first case")),
            None => Ok(()),
        }
    }

    fn add_block(&mut self, start: usize, end: usize) -> Result<(), Stop> {
        let name = self.lines[start].trim_start_matches('=').trim().to_owned();
        let steps = self.steps(start + 1, end)?;
        if name == "setup" {
            let [Step { kind: StepKind::Statements, body }] = steps.as_slice() else {
                return Err(at_line(start, "a setup has statements and nothing else"));
            };
            self.setups.push(body.clone());
            return Ok(());
        }
        if name.is_empty() || self.cases.iter().any(|case| case.name == name) {
            return Err(at_line(start, "a case needs a name of its own"));
        }
        let end = self.text_end(start..end);
        self.cases.push(Case { name, setup: self.setups.len().checked_sub(1), steps, end });
        Ok(())
    }

    /// The steps of a case. Its first lines are statements without a header.
    fn steps(&self, start: usize, end: usize) -> Result<Vec<Step>, Stop> {
        let mut steps = Vec::new();
        let (mut kind, mut body_start) = (StepKind::Statements, start);
        let headers = (start..end).filter(|line| self.lines[*line].starts_with("--- "));
        for line in headers.chain([end]) {
            let body = body_start..self.text_end(body_start..line);
            if !body.is_empty() || kind != StepKind::Statements {
                steps.push(Step { kind, body });
            }
            if line < end {
                let word = self.lines[line].trim_start_matches('-').trim();
                kind = StepKind::from_word(word)
                    .ok_or_else(|| at_line(line, format!("\"{word}\" is no kind of step")))?;
                body_start = line + 1;
            }
        }
        Ok(steps)
    }

    /// The end of the lines, less blank lines and comments at the end.
    fn text_end(&self, lines: Range<usize>) -> usize {
        lines
            .clone()
            .rev()
            .find(|line| !is_comment(&self.lines[*line]) && !self.lines[*line].trim().is_empty())
            .map_or(lines.start, |last| last + 1)
    }

    /// The lines as one text, with empty lines in place of comments: places in it are places in the
    /// body.
    pub fn text(&self, lines: Range<usize>) -> String {
        let line = |l: &String| if is_comment(l) { String::new() } else { l.clone() };
        let mut text: String = self.lines[lines].iter().map(|l| line(l) + "\n").collect();
        text.truncate(text.trim_end().len());
        text
    }

    /// The lines that are neither comments nor blank, each with its number.
    pub fn content(&self, lines: Range<usize>) -> impl Iterator<Item = (usize, &str)> {
        lines
            .map(|line| (line, self.lines[line].as_str()))
            .filter(|(_, text)| !is_comment(text) && !text.trim().is_empty())
    }
}

/// A comment begins with `#` in the first column.
pub fn is_comment(line: &str) -> bool {
    line.starts_with('#')
}
