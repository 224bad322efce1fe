//! A terminal session: properties, variables, output form, and what a statement or command does.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::client::{ClientError, RequestContext, ServerClient};
use crate::input::interrupts::Interrupts;
use crate::render::entity;
use crate::render::line;
use crate::render::rows::{csv_line, markdown_head, markdown_line};
use crate::render::style::Palette;
use crate::render::table::{Overflow, TableStyle};
use crate::session::classify::{StatementClass, classify};
use crate::session::pager::Pager;
use crate::session::script::Place;

pub mod classify;
pub mod commands;
pub mod pager;
pub mod programs;
pub mod query;
pub mod script;
pub mod strings;
pub mod watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputForm {
    Table,
    /// Answers of the server, as they are.
    Json,
    /// Each row an object of its columns, a line each.
    Ndjson,
    Csv,
    Markdown,
}

/// How a statement ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Failed,
    /// Ctrl-C.
    Interrupted,
    /// `exit`, `quit`, `\q`.
    Exit,
}

#[derive(Debug)]
pub struct Session {
    pub client: ServerClient,
    pub context: RequestContext,
    pub output: OutputForm,
    pub palette: Palette,
    pub timing: bool,
    /// Rows after which a push query ends, where asked for on the command line.
    pub row_limit: Option<u64>,
    pub query_timeout: Option<Duration>,
    /// A file that gets a copy of all output.
    pub spool: Option<std::fs::File>,
    /// Rows one below the other, column by column (`\x`).
    pub expanded: bool,
    /// Characters of a column (`SET CLI COLUMN-WIDTH`); None: by the data.
    pub column_chars: Option<usize>,
    /// Display of wide values (`SET CLI WRAP`).
    pub overflow: Overflow,
    /// Shows long results, in an interactive shell only.
    pub pager: Option<Pager>,
    /// The statement that ran last, which `\watch` repeats.
    pub(crate) last_statement: Option<String>,
    /// The scripts being run, the innermost last.
    pub(crate) places: Vec<Place>,
}

impl Session {
    pub fn new(client: ServerClient, output: OutputForm, palette: Palette) -> Session {
        Session {
            client,
            context: RequestContext::default(),
            output,
            palette,
            timing: false,
            row_limit: None,
            query_timeout: None,
            spool: None,
            expanded: false,
            column_chars: None,
            overflow: Overflow::Cut,
            pager: None,
            last_statement: None,
            places: Vec::new(),
        }
    }

    pub(crate) fn table_style(&self) -> TableStyle {
        let colour = self.palette.header.is_bold;
        TableStyle { column_chars: self.column_chars, overflow: self.overflow, ..TableStyle::detect(colour) }
    }

    /// Prints to standard output, and to the spool file if there is one.
    pub fn print(&mut self, text: &str) {
        let text = text.trim_end_matches('\n');
        line::out(text);
        self.copy(text);
    }

    /// Prints a result that may be long.
    pub(crate) fn print_result(&mut self, text: &str) {
        let pager = self.pager.clone().filter(|_| self.places.len() <= 1);
        let is_shown = pager.is_some_and(|pager| tokio::task::block_in_place(|| pager.show(text)));
        match is_shown {
            true => self.copy(text),
            false => self.print(text),
        }
    }

    /// Prints what is for people rather than programs: beside the rows where a program reads those.
    pub(crate) fn note(&mut self, text: &str) {
        if self.output == OutputForm::Table {
            return self.print(text);
        }
        line::err(format_args!("{}", text.trim_end_matches('\n')));
        self.copy(text);
    }

    /// Writes to the spool file, if there is one.
    pub fn copy(&mut self, text: &str) {
        if let Some(spool) = &mut self.spool {
            let _ = writeln!(spool, "{}", without_colours(text.trim_end_matches('\n')));
        }
    }

    /// Runs one statement, without or with its semicolon. `text` is what the server gets.
    pub(crate) async fn run_statement(&mut self, statement: &str, text: &str) -> Outcome {
        let started = Instant::now();
        let result = match classify(statement) {
            StatementClass::Query(kind) => self.run_query(kind, text, started).await,
            StatementClass::Local(command) => self.run_local(command, statement).await,
            StatementClass::Server => self.run_server(text, started).await,
        };
        result.unwrap_or_else(|error| {
            self.show_error(&error);
            Outcome::Failed
        })
    }

    async fn run_server(&mut self, statement: &str, started: Instant) -> Result<Outcome, ClientError> {
        let mut interrupts = Interrupts::watch();
        let entities = tokio::select! {
            entities = self.client.execute(statement, &self.context) => entities?,
            () = interrupts.next() => return Ok(self.interrupted()),
        };
        for item in &entities {
            self.show_entity(item);
        }
        if entities.is_empty() && self.output == OutputForm::Table {
            self.print("OK");
        }
        if self.timing && self.output == OutputForm::Table {
            let line = self.palette.dim.paint(elapsed(started)).to_string();
            self.print(&line);
        }
        Ok(Outcome::Done)
    }

    fn show_entity(&mut self, item: &serde_json::Value) {
        let rows = || entity::rows(item);
        match self.output {
            OutputForm::Json => self.print(&serde_json::to_string_pretty(item).unwrap_or_default()),
            OutputForm::Ndjson => match entity::objects(item) {
                Some(objects) => objects.iter().for_each(|object| self.print(object)),
                None => self.print(&item.to_string()),
            },
            OutputForm::Table => self.print_result(&entity::render(item, self.table_style())),
            OutputForm::Csv => match rows() {
                Some(grid) => {
                    let header: Vec<_> = grid.header.into_iter().map(serde_json::Value::String).collect();
                    self.print(&csv_line(&header));
                    grid.rows.iter().for_each(|row| self.print(&csv_line(row)));
                }
                None => self.note(&entity::render(item, TableStyle::plain())),
            },
            OutputForm::Markdown => match rows() {
                Some(grid) => {
                    self.print(&markdown_head(&grid.header));
                    grid.rows.iter().for_each(|row| self.print(&markdown_line(row)));
                }
                None => self.note(&entity::render(item, TableStyle::plain())),
            },
        }
        // Rows have no place for them.
        if self.output != OutputForm::Json && self.output != OutputForm::Table && rows().is_some() {
            for warning in item["warnings"].as_array().into_iter().flatten() {
                self.note(&format!("Warning: {}", warning["message"].as_str().unwrap_or_default()));
            }
        }
    }

    /// Ctrl-C while the server was at it.
    pub(crate) fn interrupted(&mut self) -> Outcome {
        line::err(format_args!("\nInterrupted: the server may still carry the statement out."));
        Outcome::Interrupted
    }

    /// Errors go to standard error; the message of the server carries place and caret.
    pub fn show_error(&mut self, error: &ClientError) {
        let place = self.places.iter().rev().find_map(Place::shown);
        if let ClientError::Refused { entities, .. } = error {
            entities.iter().for_each(|item| self.show_entity(item));
        }
        let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
        line::err(format_args!("{} {place}{error}", self.palette.error.paint("Error:")));
        self.copy(&format!("Error: {place}{error}"));
    }
}

pub(crate) fn elapsed(started: Instant) -> String {
    let ms = started.elapsed().as_secs_f64() * 1e3;
    if ms < 1_000.0 { format!("{ms:.1} ms") } else { format!("{:.2} s", ms / 1e3) }
}

/// The text without the escape sequences of colours.
fn without_colours(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        out.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out
}

/// Names out of "`ID` INTEGER KEY, `N` STRUCT<`A` INTEGER>": the quoted names at the outer level.
pub(crate) fn column_names(schema: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0_usize;
    let mut expecting = true;
    let mut chars = schema.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '<' | '(' => depth += 1,
            '>' | ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => expecting = true,
            '`' => {
                let mut name = String::new();
                while let Some(c) = chars.next() {
                    if c == '`' && chars.next_if_eq(&'`').is_none() {
                        break;
                    }
                    name.push(c);
                }
                if depth == 0 && expecting {
                    names.push(name);
                    expecting = false;
                }
            }
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_names_are_those_of_the_outer_level() {
        let schema = "`ID` INTEGER KEY, `A,``B` STRUCT<`X` INTEGER, `Y` DECIMAL(4, 2)>, `C` STRING";
        assert_eq!(column_names(schema), ["ID", "A,`B", "C"]);
    }

    #[test]
    fn spooled_text_has_no_colours() {
        assert_eq!(without_colours("\u{1b}[1;31mError:\u{1b}[0m no"), "Error: no");
    }
}
