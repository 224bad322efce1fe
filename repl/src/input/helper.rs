//! Completion, colours and the decision whether Enter runs the input or opens a new line.

use std::borrow::Cow;

use nu_ansi_term::{Color, Style};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};
use weir_sql::dialect;
use weir_sql::parser::split::{Open, split_statements};

use crate::input::continuation::{blanks_for_fillers, draw, without_fillers};
use crate::input::names::Names;
use crate::input::slot::{open_string, slot};

/// Words that run without a semicolon when they stand first on a line.
const COMMANDS: [&str; 10] = [
    "exit",
    "quit",
    "help",
    "version",
    "clear",
    "output",
    "server",
    "history",
    "spool",
    "request_pipelining",
];

#[derive(Debug)]
pub struct SqlHelper {
    names: Names,
    colour: bool,
}

impl SqlHelper {
    pub fn new(names: Names, colour: bool) -> SqlHelper {
        SqlHelper { names, colour }
    }
}

impl Helper for SqlHelper {}
impl Hinter for SqlHelper {
    type Hint = String;
}

/// True if the input is a command of the session, which needs no semicolon.
pub fn is_command(input: &str) -> bool {
    let line = input.trim_start().lines().next().unwrap_or_default();
    let mut words = line.split_whitespace().map(|word| word.trim_end_matches(';').to_ascii_lowercase());
    let first = words.next().unwrap_or_default();
    if first.starts_with('\\') || first.starts_with('.') || COMMANDS.contains(&first.as_str()) {
        return true;
    }
    matches!((first.as_str(), words.next().as_deref()), ("set", Some("cli")) | ("run", Some("script")))
}

/// The input without the backslashes that carried it over line ends.
pub fn joined(input: &str) -> String {
    let mut out = String::with_capacity(input.len());
    let mut rest = input;
    while let Some((line, after)) = rest.split_once("\\\n") {
        out.push_str(line);
        // In a string or a quoted name the backslash is text.
        let is_text = matches!(split_statements(&out).open, Open::String | Open::QuotedName);
        out.push_str(if is_text { "\\\n" } else { "\n" });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Effect of Enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It runs the input.
    Ready,
    /// It opens a new line.
    GoesOn,
}

/// Ready: the input is a command, or the last of its statements is complete.
pub fn readiness(input: &str) -> Readiness {
    if input.ends_with('\\') && !input.trim_start().starts_with('\\') {
        return Readiness::GoesOn;
    }
    if input.trim().is_empty() || is_command(input) {
        return Readiness::Ready;
    }
    let script = split_statements(input);
    // `SHOW QUERIES; \watch`
    let ends_with_command = script.rest.is_some_and(|rest| is_command(rest.text));
    match script.open {
        Open::Nothing => Readiness::Ready,
        Open::Statement if ends_with_command => Readiness::Ready,
        Open::Statement | Open::String | Open::QuotedName | Open::BlockComment => Readiness::GoesOn,
    }
}

impl Validator for SqlHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> Result<ValidationResult, ReadlineError> {
        Ok(match readiness(&without_fillers(context.input())) {
            Readiness::Ready => ValidationResult::Valid(None),
            Readiness::GoesOn => ValidationResult::Incomplete,
        })
    }
}

impl Completer for SqlHelper {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _context: &Context<'_>,
    ) -> Result<(usize, Vec<String>), ReadlineError> {
        let line = blanks_for_fillers(line);
        let line = line.as_str();
        if let Some(start) = open_string(&line[..pos]) {
            let (before, prefix) = (&line[..start], &line[start..pos]);
            return Ok((start, self.names.candidates(slot(before), before, prefix)));
        }
        let start = word_start(line, pos);
        let prefix = &line[start..pos];
        if let Some(before) = line[..start].strip_suffix('.') {
            let qualifier = &before[word_start(before, before.len())..];
            if !qualifier.is_empty() {
                return Ok((start, self.names.columns(qualifier, line, prefix)));
            }
        }
        let before = &line[..start];
        let mut found = self.names.candidates(slot(before), before, prefix);
        if let [only] = found.as_mut_slice()
            && only.split(' ').all(dialect::is_keyword)
        {
            // A word always follows a keyword, or its semicolon.
            only.push(' ');
        }
        Ok((start, found))
    }
}

/// Byte offset at which the word before `pos` begins.
fn word_start(line: &str, pos: usize) -> usize {
    line[..pos]
        .char_indices()
        .rev()
        .take_while(|(_, c)| c.is_alphanumeric() || matches!(c, '_' | '-' | '`'))
        .last()
        .map_or(pos, |(at, _)| at)
}

impl Highlighter for SqlHelper {
    fn highlight<'l>(&self, line: &'l str, _pos: usize) -> Cow<'l, str> {
        Cow::Owned(draw(&if self.colour { colour(line) } else { line.to_owned() }))
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _default: bool) -> Cow<'b, str> {
        if self.colour {
            Cow::Owned(Color::Cyan.bold().paint(prompt).to_string())
        } else {
            Cow::Borrowed(prompt)
        }
    }

    fn highlight_char(&self, _line: &str, _pos: usize, _kind: CmdKind) -> bool {
        self.colour
    }
}

/// Keywords, strings, numbers and comments in their colours. Works on half-typed input.
fn colour(line: &str) -> String {
    let mut out = String::with_capacity(line.len() * 2);
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let (length, style) = token(rest, first);
        let (text, after) = rest.split_at(length);
        match style {
            Some(style) => out.push_str(&style.paint(text).to_string()),
            None => out.push_str(text),
        }
        rest = after;
    }
    out
}

/// Bytes of the token that `text` begins with, and its style.
fn token(text: &str, first: char) -> (usize, Option<Style>) {
    let until = |stop: &dyn Fn(char) -> bool| text.find(stop).unwrap_or(text.len());
    let closed = |quote: char| text[1..].find(quote).map_or(text.len(), |at| at + 2);
    match first {
        '\'' => (closed('\''), Some(Color::Green.normal())),
        '`' | '"' => (closed(first), None),
        '-' if text.starts_with("--") => (until(&|c| c == '\n'), Some(Color::DarkGray.normal())),
        '/' if text.starts_with("/*") => {
            (text.find("*/").map_or(text.len(), |at| at + 2), Some(Color::DarkGray.normal()))
        }
        c if c.is_ascii_digit() => {
            (until(&|c| !c.is_ascii_alphanumeric() && c != '.'), Some(Color::Magenta.normal()))
        }
        c if c.is_alphabetic() || c == '_' => {
            let length = until(&|c| !c.is_alphanumeric() && c != '_');
            let style = dialect::is_keyword(&text[..length]).then(|| Color::Blue.bold());
            (length, style)
        }
        c => (c.len_utf8(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_change_no_text() {
        let line = "SELECT 'it''s', `x`, 1.5 -- end\nFROM s /* open";
        let plain: String = {
            let coloured = colour(line);
            let mut out = String::new();
            let mut rest = coloured.as_str();
            while let Some(at) = rest.find('\u{1b}') {
                out.push_str(&rest[..at]);
                rest = rest[at..].split_once('m').map_or("", |(_, after)| after);
            }
            out.push_str(rest);
            out
        };
        assert_eq!(plain, line);
    }

    #[test]
    fn a_word_begins_after_the_last_separator() {
        assert_eq!(word_start("SELECT a.na", 11), 9);
        assert_eq!(word_start("SEL", 3), 0);
    }

    #[test]
    fn commands_need_no_semicolon() {
        assert!(is_command("exit"));
        assert!(is_command("\\d flights"));
        assert!(!is_command("SELECT 1"));
        assert!(is_command("SET CLI WRAP ON"));
        assert!(is_command("run script 'x.sql'"));
        assert!(!is_command("SET 'auto.offset.reset' = 'earliest';"));
    }

    #[test]
    fn a_backslash_carries_a_line_over() {
        assert_eq!(joined("SHOW \\\nSTREAMS;"), "SHOW \nSTREAMS;");
        assert_eq!(joined("PRINT 'a\\\nb';"), "PRINT 'a\\\nb';");
    }
}
