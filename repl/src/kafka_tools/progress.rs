//! How far a tool is, for people who wait: on standard error, where that is a terminal.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

const FORM: &str = "{spinner} {human_pos} records, {per_sec}, {elapsed}";

/// A line that counts records.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Counts nothing.
    pub fn hidden() -> Progress {
        Progress(ProgressBar::hidden())
    }

    /// For records that are written while standard input is read: shown unless that is a terminal.
    pub fn of_input() -> Progress {
        if std::io::stdin().is_terminal() { Progress::hidden() } else { Progress::shown() }
    }

    /// For what goes to standard output: shown unless that is the same terminal.
    pub fn of_output() -> Progress {
        if std::io::stdout().is_terminal() { Progress::hidden() } else { Progress::shown() }
    }

    fn shown() -> Progress {
        let style = ProgressStyle::with_template(FORM).unwrap_or_else(|_| ProgressStyle::default_spinner());
        // It hides itself where standard error is no terminal.
        Progress(ProgressBar::new_spinner().with_style(style))
    }

    pub fn set(&self, records: u64) {
        self.0.set_position(records);
    }

    /// Removes the line.
    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}
