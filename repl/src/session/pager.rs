//! Long results of an interactive shell go through a pager.

use std::io::Write;
use std::process::{Command, Stdio};

/// Lines that fit any terminal; pagers such as `less -F` show what fits the actual one at once.
const LINES_MIN: usize = 20;

const LESS: &str = "less";

/// Exit codes of a shell whose command cannot be run.
const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;

/// A command that shows text a page at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pager(String);

impl Pager {
    /// `WEIR_PAGER`, else `PAGER`, else less. None if the first of the variables that is set is empty, or if there is
    /// no less.
    pub fn of_environment() -> Option<Pager> {
        Pager::choose(|name| std::env::var(name).ok())
    }

    fn choose(variable: impl Fn(&str) -> Option<String>) -> Option<Pager> {
        match variable("WEIR_PAGER").or_else(|| variable("PAGER")) {
            Some(command) => (!command.trim().is_empty()).then_some(Pager(command)),
            None => {
                let path = variable("PATH")?;
                let is_there = std::env::split_paths(&path).any(|folder| folder.join(LESS).is_file());
                is_there.then(|| Pager(LESS.to_owned()))
            }
        }
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
    fn the_pager_is_that_of_the_environment_or_less() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_string_lossy().into_owned();
        let choose = |given: &[(&str, &str)]| {
            let given: Vec<(&str, &str)> = [given, &[("PATH", &path)]].concat();
            let find = |name: &str| given.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            Pager::choose(find).map(|pager| pager.0)
        };
        assert_eq!(choose(&[]), None);
        std::fs::write(folder.path().join(LESS), "").expect("written");
        assert_eq!(choose(&[]).as_deref(), Some("less"));
        assert_eq!(choose(&[("PAGER", "more")]).as_deref(), Some("more"));
        assert_eq!(choose(&[("PAGER", "more"), ("WEIR_PAGER", "cat")]).as_deref(), Some("cat"));
        assert_eq!(choose(&[("PAGER", "more"), ("WEIR_PAGER", "")]), None);
        assert_eq!(choose(&[("PAGER", " ")]), None);
    }

    #[test]
    fn a_pager_that_cannot_be_run_shows_nothing() {
        let long = "line\n".repeat(LINES_MIN);
        assert!(!Pager("no-such-pager".to_owned()).show(&long));
        assert!(Pager("cat > /dev/null".to_owned()).show(&long));
        assert!(Pager("true".to_owned()).show(&long), "a reader may leave early");
        assert!(!Pager("cat".to_owned()).show("short"));
    }
}
