//! The interactive shell, and `-e` / `-f` which run and leave.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::input::editor::{Input, SqlEditor};
use crate::input::helper::joined;
use crate::input::names::Names;
use crate::render::line;
use crate::session::pager::Pager;
use crate::session::programs::edit;
use crate::session::{Outcome, Session};

const PROMPT: &str = "weir> ";
/// Opens the last statement in an editor; what is saved stands at the next prompt.
const EDIT: &str = "\\e";
/// 128 and the number of SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

/// Statements to run in place of a prompt.
#[derive(Clone, Debug)]
pub enum Script {
    Text(String),
    File(PathBuf),
}

/// Runs a script and leaves: 0 if every statement succeeded, 1 if one failed, 130 after Ctrl-C.
pub async fn run_script(mut session: Session, script: Script) -> ExitCode {
    let outcome = match script {
        Script::Text(text) => session.run_text(&text).await,
        Script::File(path) if path == Path::new("-") => {
            let mut text = String::new();
            match std::io::stdin().read_to_string(&mut text) {
                Ok(_) => session.run_place(Some("standard input".to_owned()), &text).await,
                Err(error) => {
                    line::err(format_args!("Error: cannot read standard input: {error}"));
                    Outcome::Failed
                }
            }
        }
        Script::File(path) => session.run_script(&path).await,
    };
    match outcome {
        Outcome::Done | Outcome::Exit => ExitCode::SUCCESS,
        Outcome::Failed => ExitCode::from(1),
        Outcome::Interrupted => ExitCode::from(INTERRUPTED),
    }
}

/// The prompt loop. Reads standard input as a script when it is no terminal.
pub async fn run_interactive(mut session: Session, banner: &str) -> ExitCode {
    if !std::io::stdin().is_terminal() {
        return run_script(session, Script::File(PathBuf::from("-"))).await;
    }
    // From now on Ctrl-C reaches those who wait for it, and ends the process no more.
    if let Err(error) = signal(SignalKind::interrupt()) {
        line::err(format_args!("Error: cannot watch for Ctrl-C: {error}"));
        return ExitCode::from(1);
    }
    session.print(banner);
    if std::io::stdout().is_terminal() {
        session.pager = Pager::of_environment();
    }
    let names = Names::default();
    let history_file = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".weir_history"));
    let mut editor = match SqlEditor::new(names.clone(), session.palette.header.is_bold, history_file) {
        Ok(editor) => editor,
        Err(error) => {
            line::err(format_args!("Error: cannot read the terminal: {error}"));
            return ExitCode::from(1);
        }
    };
    let mut initial = String::new();
    loop {
        names.refresh(&session.client).await;
        let begun = std::mem::take(&mut initial);
        // The editor blocks its thread; the runtime's other threads serve the embedded node meanwhile.
        let input = tokio::task::block_in_place(|| editor.read(PROMPT, &begun));
        let text = match input {
            Ok(Input::Text(text)) => text,
            Ok(Input::Cancelled) => continue,
            Ok(Input::End) => return ExitCode::SUCCESS,
            Err(error) => {
                line::err(format_args!("Error: cannot read the terminal: {error}"));
                return ExitCode::from(1);
            }
        };
        if text.trim() == EDIT {
            let last = editor.last_statements().unwrap_or_default();
            match tokio::task::block_in_place(|| edit(last)) {
                Ok(edited) => initial = edited,
                Err(error) => session.show_error(&error),
            }
            continue;
        }
        if run_input(&mut session, &editor, &text).await == Outcome::Exit {
            return ExitCode::SUCCESS;
        }
    }
}

async fn run_input(session: &mut Session, editor: &SqlEditor, text: &str) -> Outcome {
    session.copy(&format!("{PROMPT}{text}"));
    if text.trim().trim_end_matches(';').eq_ignore_ascii_case("history") {
        session.print(&editor.history(100).join("\n"));
        return Outcome::Done;
    }
    session.run_text(&joined(text)).await
}
