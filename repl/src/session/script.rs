//! Several statements and commands in a row: files, `-e`, and what is typed at the prompt.

use std::fs;
use std::io;
use std::path::Path;

use weir_sql::parser::split::split_statements;

use crate::input::helper::is_command;
use crate::session::commands::usage_error;
use crate::session::{Outcome, Session};

/// Bytes a script may have.
const SCRIPT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Scripts that may run each other.
const SCRIPT_DEPTH_MAX: usize = 16;

/// Where a statement stands.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The script; None for what was typed.
    file: Option<String>,
    line: usize,
}

impl Place {
    /// `FILE:LINE`, for statements of files.
    pub(crate) fn shown(&self) -> Option<String> {
        self.file.as_ref().map(|file| format!("{file}:{}", self.line))
    }
}

impl Session {
    /// Runs the statements and commands of a text in order, up to the first that fails.
    pub async fn run_text(&mut self, text: &str) -> Outcome {
        self.run_place(None, text).await
    }

    /// Runs a file as [`Session::run_text`] does. Errors name the file and the line.
    pub async fn run_script(&mut self, path: &Path) -> Outcome {
        let name = path.display().to_string();
        if self.places.len() >= SCRIPT_DEPTH_MAX {
            let error = usage_error(format!("\"{name}\" is the {SCRIPT_DEPTH_MAX}th script within a script"));
            self.show_error(&error);
            return Outcome::Failed;
        }
        match read_script(path) {
            Ok(text) => Box::pin(self.run_place(Some(name), &text)).await,
            Err(error) => {
                let error = usage_error(format!("cannot read \"{name}\": {error}"));
                self.show_error(&error);
                Outcome::Failed
            }
        }
    }

    /// Runs a text that came from `file`, or from nowhere that has a name.
    pub(crate) async fn run_place(&mut self, file: Option<String>, text: &str) -> Outcome {
        self.places.push(Place { file, line: 1 });
        let outcome = self.run_all(text).await;
        self.places.pop();
        outcome
    }

    async fn run_all(&mut self, text: &str) -> Outcome {
        let mut from = 0;
        'cut: loop {
            let script = split_statements(&text[from..]);
            for fragment in script.statements.iter().chain(&script.rest) {
                let at = from + fragment.offset;
                let before = &text[..at];
                if let Some(place) = self.places.last_mut() {
                    place.line = before.matches('\n').count() + 1;
                }
                if is_command(fragment.text) {
                    // A command ends with its line, so what follows is cut anew.
                    let end = text[at..].find('\n').map_or(text.len(), |length| at + length);
                    match Box::pin(self.run_command(&text[at..end])).await {
                        Some(Outcome::Done) => {
                            from = end;
                            continue 'cut;
                        }
                        Some(other) => return other,
                        None => {}
                    }
                }
                let end = if fragment.text.ends_with(';') { "" } else { ";" };
                self.last_statement = Some(format!("{}{end}", fragment.text));
                let placed = format!("{}{end}", placed(before, fragment.text));
                match Box::pin(self.run_statement(fragment.text, &placed)).await {
                    Outcome::Done => {}
                    other => return other,
                }
            }
            return Outcome::Done;
        }
    }
}

/// The statement where it stands after `before`: places in errors are then those of the script.
pub fn placed(before: &str, statement: &str) -> String {
    blanks_like(before) + statement
}

/// Line ends and blanks that put what follows where it stands after `before`.
fn blanks_like(before: &str) -> String {
    let (lines, last) =
        before.rsplit_once('\n').map_or((0, before), |(lines, last)| (lines.matches('\n').count() + 1, last));
    format!("{}{}", "\n".repeat(lines), " ".repeat(last.chars().count()))
}

/// Reads a file that is not too large.
pub(crate) fn read_script(path: &Path) -> io::Result<String> {
    let bytes = fs::metadata(path)?.len();
    if bytes > SCRIPT_BYTES_MAX {
        return Err(io::Error::other(format!("it has {bytes} bytes, {SCRIPT_BYTES_MAX} are the limit")));
    }
    fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_keep_their_place() {
        assert_eq!(blanks_like(""), "");
        assert_eq!(blanks_like("SET 'a'; "), "         ");
        assert_eq!(blanks_like("one;\ntwo;\n  "), "\n\n  ");
    }
}
