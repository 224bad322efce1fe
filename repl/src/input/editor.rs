//! The line editor: multi-line statements as one history entry, kept across sessions.

use std::path::PathBuf;

use rustyline::error::ReadlineError;
use rustyline::history::{FileHistory, History};
use rustyline::{CompletionType, Config, EditMode, Editor};

use crate::input::helper::SqlHelper;
use crate::input::names::Names;

const HISTORY_ENTRIES_MAX: usize = 10_000;

/// What the person at the terminal did.
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
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(SqlHelper::new(names, colour)));
        if let Some(file) = &history_file {
            // A first session has no file yet.
            let _ = editor.load_history(file);
        }
        Ok(SqlEditor { editor, history_file })
    }

    /// Reads one input: a command, or lines up to the semicolon that completes the last statement.
    pub fn read(&mut self, prompt: &str) -> rustyline::Result<Input> {
        match self.editor.readline(prompt) {
            Ok(text) => {
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

    /// The newest entries with their numbers, oldest first.
    pub fn history(&self, count: usize) -> Vec<String> {
        let entries = self.editor.history();
        let skipped = entries.len().saturating_sub(count);
        let numbered = entries.iter().enumerate().skip(skipped);
        numbered.map(|(at, entry)| format!("{:>5}  {}", at + 1, entry.replace('\n', "\n       "))).collect()
    }
}
