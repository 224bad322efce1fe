//! A terminal session: properties, variables, output form, and what a statement or command does.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::signal;

use crate::client::{ClientError, QueryAnswer, QueryItem, RequestContext, ServerClient};
use crate::render::entity;
use crate::render::style::Palette;
use crate::render::table::{StreamingTable, table};
use crate::session::classify::{StatementClass, classify};

pub mod classify;
pub mod commands;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputForm {
    Table,
    Json,
}

/// How a statement ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Failed,
    /// `exit`, `quit`, `\q`.
    Exit,
}

/// Rows of a pull query that are gathered for one table; more are shown as they come.
const GATHERED_ROWS_MAX: usize = 10_000;

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
        }
    }

    /// Prints to standard output, and to the spool file if there is one.
    pub fn print(&mut self, text: &str) {
        let mut out = std::io::stdout().lock();
        // A closed pipe (`weir -e … | head`) is no reason to fail.
        let _ = writeln!(out, "{}", text.trim_end_matches('\n'));
        let _ = out.flush();
        if let Some(spool) = &mut self.spool {
            let _ = writeln!(spool, "{}", text.trim_end_matches('\n'));
        }
    }

    /// Runs one statement, without or with its semicolon.
    pub async fn run_statement(&mut self, statement: &str) -> Outcome {
        let started = Instant::now();
        let result = match classify(statement) {
            StatementClass::Query => self.run_query(statement, started).await,
            StatementClass::Local(command) => self.run_local(command, statement).await,
            StatementClass::Server => self.run_server(statement, started).await,
        };
        match result {
            Ok(()) => Outcome::Done,
            Err(error) => {
                self.show_error(&error, statement);
                Outcome::Failed
            }
        }
    }

    async fn run_server(&mut self, statement: &str, started: Instant) -> Result<(), ClientError> {
        let entities = self.client.execute(statement, &self.context).await?;
        for item in &entities {
            let text = match self.output {
                OutputForm::Json => serde_json::to_string_pretty(item).unwrap_or_default(),
                OutputForm::Table => entity::render(item, self.palette.header.is_bold),
            };
            self.print(&text);
        }
        if entities.is_empty() && self.output == OutputForm::Table {
            self.print("OK");
        }
        self.show_time(started);
        Ok(())
    }

    async fn run_query(&mut self, statement: &str, started: Instant) -> Result<(), ClientError> {
        let mut answer = self.client.query(statement, &self.context).await?;
        let deadline = self.query_timeout.map(|t| tokio::time::Instant::now() + t);
        let mut shown = Shown::default();
        loop {
            let item = tokio::select! {
                item = answer.next() => item?,
                _ = signal::ctrl_c() => {
                    self.finish(&mut shown, "Query terminated", started);
                    return Ok(());
                }
                () = sleep_until(deadline) => {
                    self.finish(&mut shown, "Query timed out", started);
                    return Ok(());
                }
            };
            let Some(item) = item else {
                self.finish(&mut shown, "", started);
                return Ok(());
            };
            if self.show_item(&mut shown, item, &mut answer, started).await? {
                return Ok(());
            }
        }
    }

    /// Shows one item; true if the query is over.
    async fn show_item(
        &mut self,
        shown: &mut Shown,
        item: QueryItem,
        answer: &mut QueryAnswer,
        started: Instant,
    ) -> Result<bool, ClientError> {
        match item {
            QueryItem::Header { query_id, schema } => {
                shown.header = column_names(&schema);
                shown.is_pull = query_id.starts_with("query_");
                if self.output == OutputForm::Json {
                    self.print(&serde_json::json!({"queryId": query_id, "schema": schema}).to_string());
                }
            }
            QueryItem::Line(line) => self.print(&line),
            QueryItem::Row { columns, tombstone } => {
                shown.rows += 1;
                self.show_row(shown, columns, tombstone);
                if self.row_limit.is_some_and(|limit| shown.rows >= limit) {
                    self.finish(shown, "Limit Reached", started);
                    return Ok(true);
                }
            }
            QueryItem::Final(message) => {
                // Read to the end, so that the connection can serve the next statement.
                while answer.next().await?.is_some() {}
                self.finish(shown, &message, started);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn show_row(&mut self, shown: &mut Shown, columns: Vec<Value>, tombstone: bool) {
        if self.output == OutputForm::Json {
            let row = serde_json::json!({"row": {"columns": columns, "tombstone": tombstone}});
            self.print(&row.to_string());
            return;
        }
        let columns = if tombstone {
            columns.into_iter().map(|c| if c.is_null() { Value::from("<TOMBSTONE>") } else { c }).collect()
        } else {
            columns
        };
        if self.expanded {
            let record = format!("-[ row {} ]-", shown.rows);
            let width = shown.header.iter().map(|h| h.chars().count()).max().unwrap_or(0);
            let lines: Vec<String> = shown
                .header
                .iter()
                .zip(&columns)
                .map(|(name, value)| format!("{name:<width$} | {}", crate::render::table::cell_text(value)))
                .collect();
            self.print(&format!("{record}\n{}", lines.join("\n")));
        } else if shown.is_pull && shown.gathered.len() < GATHERED_ROWS_MAX && shown.streaming.is_none() {
            shown.gathered.push(columns);
        } else {
            let header = shown.header.clone();
            let gathered = std::mem::take(&mut shown.gathered);
            let streaming = shown.streaming.get_or_insert_with(|| StreamingTable::new(header));
            let mut text = if gathered.is_empty() { String::new() } else { streaming.push(&gathered) };
            text.push_str(&streaming.push(&[columns]));
            self.print(&text);
        }
    }

    /// Prints gathered rows and the closing line.
    fn finish(&mut self, shown: &mut Shown, message: &str, started: Instant) {
        let gathered = std::mem::take(&mut shown.gathered);
        if self.output == OutputForm::Table {
            if !gathered.is_empty() || (shown.is_pull && shown.rows == 0 && !self.expanded) {
                let text = table(&shown.header, &gathered, self.palette.header.is_bold);
                self.print(&text);
            }
            let rows = if shown.rows == 1 { "1 row".to_owned() } else { format!("{} rows", shown.rows) };
            let time =
                if self.timing || shown.is_pull { format!(" ({})", elapsed(started)) } else { String::new() };
            let message =
                if message.is_empty() || shown.is_pull { String::new() } else { format!("{message}: ") };
            let line = self.palette.dim.paint(format!("{message}{rows}{time}")).to_string();
            self.print(&line);
        } else if !message.is_empty() {
            self.print(&serde_json::json!({"finalMessage": message}).to_string());
        }
    }

    fn show_time(&mut self, started: Instant) {
        if self.timing && self.output == OutputForm::Table {
            let line = self.palette.dim.paint(elapsed(started)).to_string();
            self.print(&line);
        }
    }

    /// Errors go to standard error; the message of the server carries place and caret.
    pub fn show_error(&mut self, error: &ClientError, statement: &str) {
        if self.output == OutputForm::Json {
            eprintln!("{}", serde_json::json!({"error": error.to_string(), "statementText": statement}));
            return;
        }
        if let ClientError::Refused { entities, .. } = error {
            for item in entities {
                let text = entity::render(item, false);
                self.print(&text);
            }
        }
        eprintln!("{} {error}", self.palette.error.paint("Error:"));
    }
}

/// What of a running query has been shown.
#[derive(Debug, Default)]
struct Shown {
    header: Vec<String>,
    is_pull: bool,
    gathered: Vec<Vec<Value>>,
    streaming: Option<StreamingTable>,
    rows: u64,
}

fn elapsed(started: Instant) -> String {
    let ms = started.elapsed().as_secs_f64() * 1e3;
    if ms < 1_000.0 { format!("{ms:.1} ms") } else { format!("{:.2} s", ms / 1e3) }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
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
}
