//! SELECT and PRINT: rows are shown as they come, until the query ends or is ended.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{ClientError, QueryAnswer, QueryItem};
use crate::input::interrupts::Interrupts;
use crate::render::line;
use crate::render::rows::{csv_line, expanded, json_object, markdown_head, markdown_line};
use crate::render::table::{StreamingTable, table};
use crate::session::{Outcome, OutputForm, Session, column_names, elapsed};

/// Rows of a pull query that are gathered for one table; more are shown as they come.
const GATHERED_ROWS_MAX: usize = 10_000;
/// A push query without rows shows its header after this time, so that one sees that it runs.
const HEADER_AFTER: Duration = Duration::from_millis(300);

/// What of a running query has been shown.
#[derive(Debug, Default)]
struct Shown {
    header: Vec<String>,
    is_pull: bool,
    gathered: Vec<Vec<Value>>,
    streaming: Option<StreamingTable>,
    rows: u64,
    header_at: Option<tokio::time::Instant>,
}

impl Session {
    pub(crate) async fn run_query(
        &mut self,
        statement: &str,
        started: Instant,
    ) -> Result<Outcome, ClientError> {
        let mut interrupts = Interrupts::watch();
        let mut answer = tokio::select! {
            answer = self.client.query(statement, &self.context) => answer?,
            () = interrupts.next() => return Ok(self.interrupted()),
        };
        let deadline = self.query_timeout.map(|t| tokio::time::Instant::now() + t);
        let mut shown = Shown::default();
        loop {
            let item = tokio::select! {
                item = answer.next() => item?,
                () = interrupts.next() => {
                    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
                        // The terminal shows ^C where the cursor stands.
                        line::out("");
                    }
                    self.finish(&mut shown, "Query terminated", started);
                    return Ok(Outcome::Interrupted);
                }
                () = sleep_until(deadline) => {
                    self.finish(&mut shown, "Query timed out", started);
                    return Ok(Outcome::Done);
                }
                () = sleep_until(shown.header_at) => {
                    self.show_header(&mut shown);
                    continue;
                }
            };
            let Some(item) = item else {
                self.finish(&mut shown, "", started);
                return Ok(Outcome::Done);
            };
            if self.show_item(&mut shown, item, &mut answer, started).await? {
                return Ok(Outcome::Done);
            }
        }
    }

    fn show_header(&mut self, shown: &mut Shown) {
        shown.header_at = None;
        if shown.streaming.is_none() {
            let mut streaming = StreamingTable::new(shown.header.clone());
            let head = streaming.head();
            shown.streaming = Some(streaming);
            self.print(&head);
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
                match self.output {
                    OutputForm::Json => {
                        self.print(&serde_json::json!({"queryId": query_id, "schema": schema}).to_string());
                    }
                    OutputForm::Csv => {
                        let names: Vec<Value> = shown.header.iter().cloned().map(Value::String).collect();
                        self.print(&csv_line(&names));
                    }
                    OutputForm::Markdown => self.print(&markdown_head(&shown.header)),
                    OutputForm::Table if !shown.is_pull && !self.expanded => {
                        shown.header_at = Some(tokio::time::Instant::now() + HEADER_AFTER);
                    }
                    OutputForm::Table | OutputForm::Ndjson => {}
                }
            }
            QueryItem::Line(line) => self.print(&line),
            QueryItem::Row { columns, tombstone } => {
                shown.rows += 1;
                shown.header_at = None;
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
        match self.output {
            OutputForm::Json => {
                let row = serde_json::json!({"row": {"columns": columns, "tombstone": tombstone}});
                self.print(&row.to_string());
            }
            OutputForm::Ndjson => self.print(&json_object(&shown.header, &columns)),
            OutputForm::Csv => self.print(&csv_line(&columns)),
            OutputForm::Markdown => self.print(&markdown_line(&columns)),
            OutputForm::Table => self.show_table_row(shown, columns, tombstone),
        }
    }

    fn show_table_row(&mut self, shown: &mut Shown, mut columns: Vec<Value>, tombstone: bool) {
        if tombstone {
            for column in columns.iter_mut().filter(|column| column.is_null()) {
                *column = Value::from("<TOMBSTONE>");
            }
        }
        if self.expanded {
            self.print(&expanded(&shown.header, &columns, shown.rows));
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
        match self.output {
            OutputForm::Table => {
                if !gathered.is_empty() || (shown.is_pull && shown.rows == 0 && !self.expanded) {
                    let text = table(&shown.header, &gathered, self.table_style());
                    self.print(&text);
                }
                let rows = if shown.rows == 1 { "1 row".to_owned() } else { format!("{} rows", shown.rows) };
                let time = if self.timing || shown.is_pull {
                    format!(" ({})", elapsed(started))
                } else {
                    String::new()
                };
                let message =
                    if message.is_empty() || shown.is_pull { String::new() } else { format!("{message}: ") };
                let line = self.palette.dim.paint(format!("{message}{rows}{time}")).to_string();
                self.print(&line);
            }
            OutputForm::Json if !message.is_empty() => {
                self.print(&serde_json::json!({"finalMessage": message}).to_string());
            }
            OutputForm::Json | OutputForm::Ndjson | OutputForm::Csv | OutputForm::Markdown => {}
        }
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
