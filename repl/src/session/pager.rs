//! Long results of an interactive shell go through the pager of the environment.

use std::io::Write;
use std::process::{Command, Stdio};

/// Lines that fit any terminal; pagers such as `less -F` show what fits the actual one at once.
const LINES_MIN: usize = 20;

/// Exit codes of a shell whose command cannot be run.
const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;

/// A command that shows text a page at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pager(String);

impl Pager {
    /// `WEIR_PAGER`, else `PAGER`; None where neither is set, or the first of them is empty.
    pub fn of_environment() -> Option<Pager> {
        let variable = |name| std::env::var(name).ok();
        let command = variable("WEIR_PAGER").or_else(|| variable("PAGER"))?;
        (!command.trim().is_empty()).then_some(Pager(command))
    }

    /// Shows a text that is long. False: it is short, or the pager cannot be run.
    pub fn show(&self, text: &str) -> bool {
        if text.lines().count() < LINES_MIN {
            return false;
        }
        let mut command = Command::new("sh");
        command.args(["-c", &self.0]).stdin(Stdio::piped());
        if std::env::var_os("LESS").is_none() {
            // Colours as they are, long lines cut, no pages for what fits the screen.
            command.env("LESS", "FRSX");
        }
        let Ok(mut child) = command.spawn() else { return false };
        if let Some(mut stdin) = child.stdin.take() {
            // A reader who leaves early has seen enough.
            let _ = writeln!(stdin, "{text}");
        }
        child.wait().is_ok_and(|status| !matches!(status.code(), Some(NOT_EXECUTABLE | NOT_FOUND)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pager_that_cannot_be_run_shows_nothing() {
        let long = "line\n".repeat(LINES_MIN);
        assert!(!Pager("no-such-pager".to_owned()).show(&long));
        assert!(Pager("cat > /dev/null".to_owned()).show(&long));
        assert!(Pager("true".to_owned()).show(&long), "a reader may leave early");
        assert!(!Pager("cat".to_owned()).show("short"));
    }
}
