//! Programs that the shell starts: `\!` and the editor of `\e`.

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitStatus};

use crate::client::ClientError;
use crate::session::commands::usage_error;
use crate::session::script::read_script;
use crate::session::{Outcome, Session};

const EDITOR_DEFAULT: &str = "vi";

impl Session {
    /// `\! COMMAND`; without a command the user's shell. A command that fails is a failed statement.
    pub(crate) fn run_program(&mut self, command: &str) -> Outcome {
        let mut program = match command.is_empty() {
            true => Command::new(std::env::var_os("SHELL").unwrap_or_else(|| "sh".into())),
            false => {
                let mut shell = Command::new("sh");
                shell.args(["-c", command]);
                shell
            }
        };
        match tokio::task::block_in_place(|| program.status()) {
            Ok(status) if status.success() || command.is_empty() => Outcome::Done,
            Ok(status) => {
                self.show_error(&usage_error(format!("the command {}", ending(status))));
                Outcome::Failed
            }
            Err(error) => {
                self.show_error(&usage_error(format!("cannot run a shell: {error}")));
                Outcome::Failed
            }
        }
    }
}

/// Opens a text in the user's editor (`VISUAL`, `EDITOR`, else vi), and gives what was saved.
///
/// Errors: the editor cannot be run or reports a failure.
pub fn edit(text: &str) -> Result<String, ClientError> {
    let failed = |action: &str, error: std::io::Error| usage_error(format!("cannot {action}: {error}"));
    let mut file = tempfile::Builder::new()
        .prefix("weir-")
        .suffix(".sql")
        .tempfile()
        .map_err(|error| failed("make a file for the editor", error))?;
    file.write_all(text.as_bytes()).map_err(|error| failed("write the editor's file", error))?;
    open_editor(file.path())?;
    // Editors that save by renaming leave another file at the path.
    let edited = read_script(file.path()).map_err(|error| failed("read the editor's file", error))?;
    Ok(edited.trim_end().to_owned())
}

/// Opens a file in the user's editor, and waits until it is closed.
fn open_editor(path: &Path) -> Result<(), ClientError> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let editor =
        variable("VISUAL").or_else(|| variable("EDITOR")).unwrap_or_else(|| EDITOR_DEFAULT.to_owned());
    // The variable may hold arguments: "code --wait".
    let status = Command::new("sh").args(["-c", &format!("{editor} \"$1\""), "sh"]).arg(path).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(usage_error(format!("the editor \"{editor}\" {}", ending(status)))),
        Err(error) => Err(usage_error(format!("cannot run the editor \"{editor}\": {error}"))),
    }
}

fn ending(status: ExitStatus) -> String {
    status.code().map_or_else(|| "was killed".to_owned(), |code| format!("ended with code {code}"))
}
