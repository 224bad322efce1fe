//! Tables of expressions: columns with a value for each row, and expressions with their type and
//! values.
//!
//! ```text
//! --- columns
//! i INT = -3 | 0
//! --- expressions
//! ABS(i)   :: INTEGER = 3 | 0
//! ABS('x') :: error Function 'ABS' does not accept parameters (STRING).
//! 1 / i    :: INTEGER = 0 | null!
//! ```
//!
//! Each expression is a query of its own over a stream of the rows. `!` marks a row for which the
//! query reported an error. All rows are read at once, and once more one by one; the values must be
//! the same.

use weir_broker::error::chain;
use weir_sql::parser::parse_statements;

use crate::testing::case_file::record::datum;
use crate::testing::report::Stop;
use crate::testing::workbench::{Refusal, Workbench};

/// Stands between an expression and its results.
const MARK: &str = " :: ";

/// The topic of the rows.
const TOPIC: &str = "rows";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Expressions,
    Aggregates,
}

/// A column with a value for each row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name and type.
    definition: String,
    /// JSON.
    values: Vec<String>,
}

impl Column {
    /// Reads `name TYPE = value | value`.
    ///
    /// Errors: the line has another form.
    pub fn parse(line: &str) -> Result<Column, String> {
        let (definition, mut rest) = line.split_once(" = ").ok_or("expected name TYPE = value | value")?;
        let mut values = Vec::new();
        loop {
            values.push(datum(&mut rest)?.to_owned());
            rest = rest.trim();
            if rest.is_empty() {
                break;
            }
            rest = rest.strip_prefix('|').ok_or_else(|| format!("expected | between values, not {rest}"))?;
        }
        Ok(Column { definition: definition.trim().to_owned(), values })
    }

    fn name(&self) -> String {
        let name = self.definition.split_whitespace().next().unwrap_or_default();
        match name.strip_prefix('`').and_then(|n| n.strip_suffix('`')) {
            Some(quoted) => quoted.to_owned(),
            None => name.to_uppercase(),
        }
    }
}

/// The lines of the table, with the results that came.
///
/// Errors: columns of different lengths; statements that must run do not; values that depend on
/// batches.
pub fn run(
    kind: Kind,
    columns: &[Column],
    lines: &[&str],
    bench: impl Fn() -> Result<Workbench, Stop>,
) -> Result<Vec<String>, Stop> {
    let rows = rows(columns)?;
    let expressions: Vec<&str> = lines.iter().map(|line| expression(line)).collect();
    let table = Table { kind, columns, rows: &rows, expressions: &expressions };
    let together = table.evaluate(bench()?, Feed::Together)?;
    let single = table.evaluate(bench()?, Feed::OneByOne)?;
    let width = expressions.iter().map(|e| e.chars().count()).max().unwrap_or_default();
    let mut out = Vec::new();
    for ((expression, together), single) in expressions.iter().zip(together).zip(single) {
        if together.result != single.result {
            let (a, b) = (together.text(), single.text());
            return Err(Stop::Failed(format!(
                "{expression} depends on its batch: {a} together, {b} one by one"
            )));
        }
        let padding = " ".repeat(width.min(PADDED_MAX).saturating_sub(expression.chars().count()));
        out.push(format!("{expression}{padding}{MARK}{}", single.text()));
    }
    Ok(out)
}

/// Results of longer expressions are not aligned.
const PADDED_MAX: usize = 60;

/// The line without its results.
fn expression(line: &str) -> &str {
    line.rsplit_once(MARK).map_or(line, |(expression, _)| expression).trim()
}

/// True if two lines are of the same expression with the same results.
pub fn same_line(expected: &str, actual: &str) -> bool {
    fn split(line: &str) -> Option<(&str, &str)> {
        let (expression, results) = line.rsplit_once(MARK)?;
        Some((expression.trim(), results.trim()))
    }
    split(expected).is_some() && split(expected) == split(actual)
}

/// Each row as a JSON object.
fn rows(columns: &[Column]) -> Result<Vec<String>, Stop> {
    let count = columns.first().map_or(1, |c| c.values.len());
    if let Some(column) = columns.iter().find(|c| c.values.len() != count) {
        let message = format!("{} has {} values, not {count}", column.definition, column.values.len());
        return Err(Stop::Failed(message));
    }
    let member = |column: &Column, row: usize| {
        format!(",{}:{}", serde_json::Value::from(column.name()), column.values[row])
    };
    let row = |row: usize| columns.iter().map(|column| member(column, row)).collect::<String>();
    Ok((0..count).map(|n| format!("{{\"GROUPED\":1{}}}", row(n))).collect())
}

/// How rows are given to the queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feed {
    Together,
    /// With a run between any two, so that what is reported is about one row.
    OneByOne,
}

/// The result of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    result: ExpressionResult,
    /// Shape: one entry per row; true if an error was reported. Empty if rows were read together.
    reported: Vec<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ExpressionResult {
    /// The first line of the error.
    Rejected(String),
    /// Shape: one value per row, as JSON.
    Values { sql_type: String, values: Vec<String> },
}

impl Answer {
    fn text(&self) -> String {
        match &self.result {
            ExpressionResult::Rejected(message) => format!("error {message}"),
            ExpressionResult::Values { sql_type, values } => {
                let mark = |row: usize| if self.reported.get(row) == Some(&true) { "!" } else { "" };
                let values: Vec<String> =
                    values.iter().enumerate().map(|(row, v)| format!("{v}{}", mark(row))).collect();
                format!("{sql_type} = {}", values.join(" | "))
            }
        }
    }
}

struct Table<'a> {
    kind: Kind,
    columns: &'a [Column],
    rows: &'a [String],
    expressions: &'a [&'a str],
}

impl Table<'_> {
    fn evaluate(&self, mut bench: Workbench, feed: Feed) -> Result<Vec<Answer>, Stop> {
        let columns: String = self.columns.iter().map(|c| format!(", {}", c.definition)).collect();
        let create = format!(
            "CREATE STREAM rows (rownumber INT KEY, grouped INT{columns}) \
             WITH (KAFKA_TOPIC='{TOPIC}', VALUE_FORMAT='JSON');"
        );
        execute(&mut bench, &create).map_err(unexpected)?;
        let rejections = self.start(&mut bench)?;
        let mut reported = vec![Vec::new(); self.expressions.len()];
        for (number, row) in self.rows.iter().enumerate() {
            let record = format!("{TOPIC} {number} {row} @{number}");
            let record = super::record::parse(&record, |topic| bench.source_over(topic))?;
            bench.driver.produce(record, None);
            if feed == Feed::OneByOne {
                advance(&mut bench)?;
                let loggers: Vec<String> = bench.driver.log().take().into_iter().map(|(l, _)| l).collect();
                for (place, reported) in reported.iter_mut().enumerate() {
                    let infix = format!("_{}_", sink(place));
                    reported.push(loggers.iter().any(|logger| logger.contains(&infix)));
                }
            }
        }
        advance(&mut bench)?;
        rejections
            .into_iter()
            .zip(reported)
            .enumerate()
            .map(|(place, (rejection, reported))| {
                let result = match rejection {
                    Some(message) => ExpressionResult::Rejected(message),
                    None => self.result(&bench, place)?,
                };
                Ok(Answer { result, reported })
            })
            .collect()
    }

    /// Starts a query for each expression. Shape of the answer: the rejection of each, if it was.
    fn start(&self, bench: &mut Workbench) -> Result<Vec<Option<String>>, Stop> {
        let start = |(place, expression): (usize, &&str)| {
            let name = sink(place);
            let statement = match self.kind {
                Kind::Expressions => format!(
                    "CREATE STREAM {name} WITH (VALUE_FORMAT='JSON') AS \
                     SELECT rownumber, {expression} AS v FROM rows;"
                ),
                Kind::Aggregates => format!(
                    "CREATE TABLE {name} WITH (VALUE_FORMAT='JSON') AS \
                     SELECT grouped, {expression} AS v FROM rows GROUP BY grouped;"
                ),
            };
            match execute(bench, &statement) {
                Ok(()) => Ok(None),
                Err(Refusal::Rejected(error)) => Ok(Some(reason(&error.message))),
                Err(Refusal::Stopped(stop)) => Err(stop),
            }
        };
        self.expressions.iter().enumerate().map(start).collect()
    }

    /// Type and values of the expression at a place.
    fn result(&self, bench: &Workbench, place: usize) -> Result<ExpressionResult, Stop> {
        let name = sink(place);
        let source = bench.metastore.source(&name);
        let sql_type = source.and_then(|s| s.schema.value.first()).map(|c| c.sql_type.to_string());
        let sql_type = sql_type.ok_or_else(|| Stop::Failed(format!("{name} has no value column")))?;
        // The timestamp of a record is the number of its row.
        let mut values: Vec<Vec<String>> = vec![Vec::new(); self.rows.len()];
        for record in bench.driver.outputs(&name) {
            let text = record.value.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            let value = text.strip_prefix("{\"V\":").and_then(|t| t.strip_suffix('}')).unwrap_or(&text);
            if let Some(of_row) = values.get_mut(record.timestamp as usize) {
                of_row.push(value.to_owned());
            }
        }
        let value = |of_row: Vec<String>| match <[String; 1]>::try_from(of_row) {
            Ok([value]) => value,
            Err(other) => format!("({} rows)", other.len()),
        };
        Ok(ExpressionResult::Values { sql_type, values: values.into_iter().map(value).collect() })
    }
}

/// The sink of an expression's query, which gives the query its id.
fn sink(place: usize) -> String {
    format!("EXPRESSION{place}")
}

fn advance(bench: &mut Workbench) -> Result<(), Stop> {
    bench.driver.run().map_err(|e| Stop::Failed(format!("the queries failed: {}", chain(&e))))
}

/// The first line of an error that gives a reason, without a place: the statement around the
/// expression is not the case's.
fn reason(message: &str) -> String {
    let line = message.lines().find(|line| !line.ends_with(": Syntax Error")).unwrap_or(message);
    let place_end =
        line.strip_prefix("line ").and_then(|rest| rest.find(": ")).map(|at| at + "line : ".len());
    line[place_end.unwrap_or_default()..].trim_end().to_owned()
}

/// Runs all statements of a text.
pub fn execute(bench: &mut Workbench, text: &str) -> Result<(), Refusal> {
    for parsed in parse_statements(text)? {
        bench.execute(&parsed)?;
        if let Some(reason) = bench.unbuilt.take() {
            return Err(Stop::Failed(reason).into());
        }
    }
    Ok(())
}

/// A refusal where none may come.
pub fn unexpected(refusal: Refusal) -> Stop {
    match refusal {
        Refusal::Rejected(error) => Stop::Failed(format!("rejected: {}", error.message)),
        Refusal::Stopped(stop) => stop,
    }
}
