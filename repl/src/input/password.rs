//! A password from the terminal, without showing it.

use std::borrow::Cow;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Editor, Helper};

/// Shows a star for each character.
struct Masked;

impl Helper for Masked {}
impl Validator for Masked {}
impl Hinter for Masked {
    type Hint = String;
}
impl Completer for Masked {
    type Candidate = String;
}

impl Highlighter for Masked {
    fn highlight<'l>(&self, line: &'l str, _pos: usize) -> Cow<'l, str> {
        Cow::Owned("*".repeat(line.chars().count()))
    }

    fn highlight_char(&self, _line: &str, _pos: usize, _kind: CmdKind) -> bool {
        true
    }
}

/// Asks for a password.
///
/// Errors: the terminal is gone, or the user has pressed Ctrl-C or Ctrl-D.
pub fn ask(prompt: &str) -> Result<String, ReadlineError> {
    let mut editor = Editor::<Masked, rustyline::history::MemHistory>::with_history(
        rustyline::Config::default(),
        rustyline::history::MemHistory::new(),
    )?;
    editor.set_helper(Some(Masked));
    editor.readline(prompt)
}
