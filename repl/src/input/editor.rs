//! The line editor: multi-line statements as one history entry, kept across sessions.

use std::io::IsTerminal;
use std::path::PathBuf;

use rustyline::error::ReadlineError;
use rustyline::history::{FileHistory, History};
use rustyline::{
    ColorMode, CompletionType, Config, EditMode, Editor, EventHandler, KeyCode, KeyEvent, Modifiers,
};

use crate::input::continuation::{Backspace, Enter, Home, without_fillers};
use crate::input::helper::{SqlHelper, is_command};
use crate::input::names::Names;

const HISTORY_ENTRIES_MAX: usize = 10_000;

/// Input of the user at the terminal.
#[derive(Debug)]
pub enum Input {
    Text(String),
    /// Ctrl-C on an open line: what was typed is dropped.
    Cancelled,
    /// Ctrl-D.
    End,
}

#[derive(Debug)]
pub struct SqlEditor {
    editor: Editor<SqlHelper, FileHistory>,
    history_file: Option<PathBuf>,
}

impl SqlEditor {
    /// Errors: the terminal cannot be read.
    pub fn new(names: Names, colour: bool, history_file: Option<PathBuf>) -> rustyline::Result<SqlEditor> {
        let vi =
            std::env::var("EDITOR").is_ok_and(|e| e.ends_with("vi")) && std::env::var_os("WEIR_VI").is_some();
        let config = Config::builder()
            .max_history_size(HISTORY_ENTRIES_MAX)?
            .history_ignore_dups(true)?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .edit_mode(if vi { EditMode::Vi } else { EditMode::Emacs })
            .bracketed_paste(true)
            // The helper draws continuation marks also where there are no colours.
            .color_mode(if std::io::stdout().is_terminal() { ColorMode::Forced } else { ColorMode::Disabled })
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(SqlHelper::new(names, colour)));
        let key = |code| KeyEvent(code, Modifiers::NONE);
        editor.bind_sequence(key(KeyCode::Enter), EventHandler::Conditional(Box::new(Enter)));
        editor.bind_sequence(key(KeyCode::Backspace), EventHandler::Conditional(Box::new(Backspace)));
        editor.bind_sequence(key(KeyCode::Home), EventHandler::Conditional(Box::new(Home)));
        editor.bind_sequence(KeyEvent::ctrl('A'), EventHandler::Conditional(Box::new(Home)));
        if let Some(file) = &history_file {
            // A first session has no file yet.
            let _ = editor.load_history(file);
        }
        Ok(SqlEditor { editor, history_file })
    }

    /// Reads one input: a command, or lines up to the semicolon that completes the last statement. `initial` stands
    /// there already, for editing.
    pub fn read(&mut self, prompt: &str, initial: &str) -> rustyline::Result<Input> {
        match self.editor.readline_with_initial(prompt, (initial, "")) {
            Ok(text) => {
                let text = without_fillers(&text);
                if !text.trim().is_empty() {
                    self.editor.add_history_entry(text.as_str())?;
                    if let Some(file) = &self.history_file {
                        // An unwritable history does not stop anybody from working.
                        let _ = self.editor.append_history(file);
                    }
                }
                Ok(Input::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Input::Cancelled),
            Err(ReadlineError::Eof) => Ok(Input::End),
            Err(error) => Err(error),
        }
    }

    /// The newest entry of statements.
    pub fn last_statements(&self) -> Option<&str> {
        let is_statements = |entry: &&String| !is_command(entry);
        self.editor.history().iter().rev().find(is_statements).map(String::as_str)
    }

    /// The newest entries with their numbers, oldest first.
    pub fn history(&self, count: usize) -> Vec<String> {
        let entries = self.editor.history();
        let skipped = entries.len().saturating_sub(count);
        let numbered = entries.iter().enumerate().skip(skipped);
        numbered.map(|(at, entry)| format!("{:>5}  {}", at + 1, entry.replace('\n', "\n       "))).collect()
    }
}
