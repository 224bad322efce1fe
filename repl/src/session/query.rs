//! SELECT and PRINT: rows are shown as they come, until the query ends or is ended.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use serde_json::Value;
use weir_sql::ast::kind::StatementKind;

use crate::client::{ClientError, QueryAnswer, QueryItem};
use crate::input::interrupts::Interrupts;
use crate::render::line;
use crate::render::rows::{csv_line, expanded, json_object, markdown_head, markdown_line};
use crate::render::streaming::StreamingTable;
use crate::render::table::table;
use crate::session::{Outcome, OutputForm, Session, column_names, elapsed};

/// Rows of a pull query that are gathered for one table; more are shown as they come.
const GATHERED_ROWS_MAX: usize = 10_000;
/// A push query without rows shows its header after this time, so that one sees that it runs.
const HEADER_AFTER: Duration = Duration::from_millis(300);
/// The first rows of a push query, which give its columns their widths: those within this time, up to this many.
const FIRST_ROWS_WITHIN: Duration = Duration::from_millis(100);
const FIRST_ROWS_MAX: usize = 100;
/// The ends of a finite query that its rows make plain.
const USUAL_ENDS: [&str; 3] = ["", "Query Completed", "Limit Reached"];
/// How a record of PRINT begins; other lines are about all records.
const PRINTED_RECORD: &str = "rowtime: ";

/// Output of a running query so far.
#[derive(Debug, Default)]
struct Shown {
    header: Vec<String>,
    /// The query ends by itself, so that its rows can be shown as one table.
    is_finite: bool,
    /// PRINT: records instead of rows.
    is_print: bool,
    /// Rows for a finite query's table, or the first rows of another.
    gathered: Vec<Vec<Value>>,
    streaming: Option<StreamingTable>,
    rows: u64,
    header_at: Option<tokio::time::Instant>,
    first_rows_until: Option<tokio::time::Instant>,
}

impl Session {
    pub(crate) async fn run_query(
        &mut self,
        kind: StatementKind,
        statement: &str,
        started: Instant,
    ) -> Result<Outcome, ClientError> {
        let mut interrupts = Interrupts::watch();
        let mut answer = tokio::select! {
            answer = self.client.query(statement, &self.context) => answer?,
            () = interrupts.next() => return Ok(self.interrupted()),
        };
        let deadline = self.query_timeout.map(|t| tokio::time::Instant::now() + t);
        let (is_print, is_finite) = (kind == StatementKind::Print, kind == StatementKind::PullQuery);
        let mut shown = Shown { is_finite, is_print, ..Shown::default() };
        loop {
            let item = tokio::select! {
                item = answer.next() => match item {
                    Ok(item) => item,
                    Err(error) => {
                        self.show_first_rows(&mut shown);
                        return Err(error);
                    }
                },
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
                () = sleep_until(shown.first_rows_until) => {
                    self.show_first_rows(&mut shown);
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
            let line_chars_max = self.table_style().line_chars_max;
            let mut streaming = StreamingTable::new(shown.header.clone(), &[], line_chars_max);
            let head = streaming.head();
            shown.streaming = Some(streaming);
            self.print(&head);
        }
    }

    /// Shows the rows that were gathered to size a streamed table, if there are any.
    fn show_first_rows(&mut self, shown: &mut Shown) {
        shown.first_rows_until = None;
        let rows = std::mem::take(&mut shown.gathered);
        if rows.is_empty() {
            return;
        }
        let line_chars_max = self.table_style().line_chars_max;
        let header = shown.header.clone();
        let streaming =
            shown.streaming.get_or_insert_with(|| StreamingTable::new(header, &[], line_chars_max));
        streaming.size_by(&rows);
        let text = streaming.push(&rows);
        self.print(&text);
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
                match self.output {
                    OutputForm::Json => {
                        self.print(&serde_json::json!({"queryId": query_id, "schema": schema}).to_string());
                    }
                    OutputForm::Csv => {
                        let names: Vec<Value> = shown.header.iter().cloned().map(Value::String).collect();
                        self.print(&csv_line(&names));
                    }
                    OutputForm::Markdown => self.print(&markdown_head(&shown.header)),
                    OutputForm::Table if !shown.is_finite && !self.expanded => {
                        shown.header_at = Some(tokio::time::Instant::now() + HEADER_AFTER);
                    }
                    OutputForm::Table | OutputForm::Ndjson => {}
                }
            }
            QueryItem::Line(line) => {
                shown.rows += u64::from(line.starts_with(PRINTED_RECORD));
                self.print(&line);
            }
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
            return;
        }
        match &mut shown.streaming {
            Some(streaming) if streaming.rows() > 0 => {
                let text = streaming.push(&[columns]);
                self.print(&text);
            }
            _ => {
                shown.gathered.push(columns);
                let rows_max = if shown.is_finite { GATHERED_ROWS_MAX } else { FIRST_ROWS_MAX };
                if shown.gathered.len() >= rows_max {
                    self.show_first_rows(shown);
                } else if !shown.is_finite && shown.first_rows_until.is_none() {
                    shown.first_rows_until = Some(tokio::time::Instant::now() + FIRST_ROWS_WITHIN);
                }
            }
        }
    }

    /// Prints gathered rows and the closing line.
    fn finish(&mut self, shown: &mut Shown, message: &str, started: Instant) {
        match self.output {
            OutputForm::Table => {
                if !shown.is_finite {
                    self.show_first_rows(shown);
                } else if shown.streaming.is_none() && !self.expanded {
                    let text = table(&shown.header, &shown.gathered, self.table_style());
                    self.print_result(&text);
                }
                let line = closing_line(shown, message, started, self.timing);
                let line = self.palette.dim.paint(line).to_string();
                self.print(&line);
            }
            OutputForm::Json if !message.is_empty() => {
                self.print(&serde_json::json!({"finalMessage": message}).to_string());
            }
            OutputForm::Json | OutputForm::Ndjson | OutputForm::Csv | OutputForm::Markdown => {}
        }
    }
}

/// `Limit Reached: 4 rows`, or for a finite query `4 rows (1.2 ms)`.
fn closing_line(shown: &Shown, message: &str, started: Instant, timing: bool) -> String {
    let noun = if shown.is_print { "record" } else { "row" };
    let count = match shown.rows {
        1 => format!("1 {noun}"),
        other => format!("{other} {noun}s"),
    };
    if shown.is_finite {
        let hint = if shown.rows == 0 { "; EMIT CHANGES waits for rows" } else { "" };
        let remark = if USUAL_ENDS.contains(&message) { String::new() } else { format!("{message}: ") };
        return format!("{remark}{count} ({}){hint}", elapsed(started));
    }
    let message = if message.is_empty() { String::new() } else { format!("{message}: ") };
    let time = if timing { format!(" ({})", elapsed(started)) } else { String::new() };
    format!("{message}{count}{time}")
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
