//! The interactive shell, and `-e` / `-f` which run and leave.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use weir_sql::parser::split::split_statements;

use crate::input::editor::{Input, SqlEditor};
use crate::input::helper::is_command;
use crate::input::names::Names;
use crate::session::{Outcome, Session};

/// What to run before, or instead of, a prompt.
#[derive(Clone, Debug)]
pub enum Script {
    Text(String),
    File(PathBuf),
}

impl Session {
    /// Runs the statements of a text in order, up to the first that fails.
    pub async fn run_text(&mut self, text: &str) -> Outcome {
        let script = split_statements(text);
        for fragment in &script.statements {
            match self.run_statement(fragment.text).await {
                Outcome::Done => {}
                other => return other,
            }
        }
        match &script.rest {
            None => Outcome::Done,
            Some(rest) => self.run_statement(&format!("{};", rest.text)).await,
        }
    }
}

/// Runs a script and leaves: 0 if every statement succeeded, 1 otherwise.
pub async fn run_script(mut session: Session, script: Script) -> ExitCode {
    let outcome = match script {
        Script::Text(text) => session.run_text(&text).await,
        Script::File(path) if path == Path::new("-") => {
            let mut text = String::new();
            match std::io::stdin().read_to_string(&mut text) {
                Ok(_) => session.run_text(&text).await,
                Err(error) => {
                    eprintln!("Error: cannot read standard input: {error}");
                    Outcome::Failed
                }
            }
        }
        Script::File(path) => session.run_script(&path).await,
    };
    if outcome == Outcome::Failed { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

/// The prompt loop. Reads standard input as a script when it is no terminal.
pub async fn run_interactive(mut session: Session, banner: &str) -> ExitCode {
    if !std::io::stdin().is_terminal() {
        return run_script(session, Script::File(PathBuf::from("-"))).await;
    }
    session.print(banner);
    let names = Names::default();
    let history_file = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".weir_history"));
    let mut editor = match SqlEditor::new(names.clone(), session.palette.header.is_bold, history_file) {
        Ok(editor) => editor,
        Err(error) => {
            eprintln!("Error: cannot read the terminal: {error}");
            return ExitCode::from(1);
        }
    };
    loop {
        names.refresh(&session.client).await;
        // The editor blocks its thread; the runtime's other threads serve the embedded node meanwhile.
        let input = tokio::task::block_in_place(|| editor.read("weir> "));
        let text = match input {
            Ok(Input::Text(text)) => text,
            Ok(Input::Cancelled) => continue,
            Ok(Input::End) => return ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("Error: cannot read the terminal: {error}");
                return ExitCode::from(1);
            }
        };
        if run_input(&mut session, &editor, &text).await == Outcome::Exit {
            return ExitCode::SUCCESS;
        }
    }
}

async fn run_input(session: &mut Session, editor: &SqlEditor, text: &str) -> Outcome {
    if text.trim().eq_ignore_ascii_case("history") {
        session.print(&editor.history(100).join("\n"));
        return Outcome::Done;
    }
    if is_command(text)
        && let Some(outcome) = session.run_command(text).await
    {
        return outcome;
    }
    session.run_text(text).await
}
