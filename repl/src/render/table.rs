//! Tables sized to their data: numbers to the right, NULL visible, long values cut with a mark.

use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

/// Characters a cell may show before it is cut.
pub const CELL_CHARS_MAX: usize = 120;
/// Characters that every column keeps when a table is made to fit its terminal.
const FITTED_CHARS_MIN: usize = 8;
/// Width of a bordered table beside its cells: one bar, and a bar and two blanks for each column.
const BORDER_CHARS: usize = 1;
const COLUMN_CHARS: usize = 3;

/// What happens to values wider than their column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// They end with a mark.
    Cut,
    /// They go on in further lines (`SET CLI WRAP ON`).
    Wrap,
}

/// How tables look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableStyle {
    pub colour: bool,
    /// Characters a line may have; None: as many as the data needs.
    pub line_chars_max: Option<usize>,
    /// Characters of each cell (`SET CLI COLUMN-WIDTH`); None: by the data.
    pub column_chars: Option<usize>,
    pub overflow: Overflow,
}

impl TableStyle {
    /// No colours, as wide as the data.
    pub fn plain() -> TableStyle {
        TableStyle { colour: false, line_chars_max: None, column_chars: None, overflow: Overflow::Cut }
    }

    /// As wide as the terminal, where standard output is one.
    pub fn detect(colour: bool) -> TableStyle {
        let line_chars_max = Table::new().width().map(usize::from).filter(|width| *width > 0);
        TableStyle { colour, line_chars_max, ..TableStyle::plain() }
    }
}

/// A header and rows of JSON values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grid {
    pub header: Vec<String>,
    pub rows: Vec<Vec<Value>>,
}

/// A finished table, sized to its data, and to the terminal where that is narrower.
pub fn table(header: &[String], rows: &[Vec<Value>], style: TableStyle) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    let texts: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell_text).collect()).collect();
    let mut widths: Vec<usize> = header.iter().map(|name| name.chars().count()).collect();
    for row in &texts {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.chars().count());
        }
    }
    match style.column_chars {
        Some(chars) => widths.iter_mut().for_each(|width| *width = (*width).min(chars.max(1))),
        None => fit(&mut widths, style.line_chars_max),
    }
    let shown = |text: &str, column: usize| match (widths.get(column), style.overflow) {
        (Some(width), Overflow::Cut) => cut(text, *width),
        (Some(width), Overflow::Wrap) => wrap(text, *width),
        (None, _) => text.to_owned(),
    };
    table.set_header(header.iter().enumerate().map(|(column, name)| {
        let cell = Cell::new(shown(name, column));
        if style.colour { cell.add_attribute(Attribute::Bold) } else { cell }
    }));
    for (row, texts) in rows.iter().zip(&texts) {
        table.add_row(row.iter().zip(texts).enumerate().map(|(column, (value, text))| {
            let cell = Cell::new(shown(text, column));
            if value.is_number() { cell.set_alignment(CellAlignment::Right) } else { cell }
        }));
    }
    table.to_string()
}

/// Takes from the widest columns until the line fits or every column is at its least.
fn fit(widths: &mut [usize], line_chars_max: Option<usize>) {
    let Some(line_chars_max) = line_chars_max else { return };
    loop {
        let line: usize = widths.iter().map(|w| w + COLUMN_CHARS).sum::<usize>() + BORDER_CHARS;
        let Some(over) = line.checked_sub(line_chars_max).filter(|over| *over > 0) else { return };
        let widest = widths.iter().copied().max().unwrap_or(0);
        let next = widths.iter().copied().filter(|w| *w < widest).max().unwrap_or(0);
        let floor = next.max(FITTED_CHARS_MIN);
        if widest <= FITTED_CHARS_MIN {
            return;
        }
        let alike = widths.iter().filter(|w| **w == widest).count();
        let share = over.div_ceil(alike).min(widest - floor.min(widest - 1));
        widths.iter_mut().filter(|w| **w == widest).for_each(|w| *w -= share);
    }
}

fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    let kept: String = text.chars().take(chars.saturating_sub(1)).collect();
    format!("{kept}…")
}

fn wrap(text: &str, chars: usize) -> String {
    let letters: Vec<char> = text.chars().collect();
    let lines: Vec<String> = letters.chunks(chars.max(1)).map(|line| line.iter().collect()).collect();
    lines.join("\n")
}

/// A value as people read it: text without quotes, NULL for null, nested values as JSON.
pub fn cell_text(value: &Value) -> String {
    cut(&full_text(value), CELL_CHARS_MAX + 1)
}

/// As [`cell_text`], however long.
pub fn full_text(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(s) => s.replace('\n', "⏎"),
        other => other.to_string(),
    }
}

/// Rows that come one at a time. Columns get their width from the header and the rows so far; when one grows, the
/// header is shown again.
#[derive(Debug)]
pub struct StreamingTable {
    widths: Vec<usize>,
    header: Vec<String>,
    header_due: bool,
    rows: u64,
}

/// Width up to which a column grows.
const STREAMED_CHARS_MAX: usize = 60;
const STREAMED_CHARS_MIN: usize = 6;

impl StreamingTable {
    pub fn new(header: Vec<String>) -> StreamingTable {
        let widths = header.iter().map(|h| h.chars().count().max(STREAMED_CHARS_MIN)).collect();
        StreamingTable { widths, header, header_due: true, rows: 0 }
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The header, if it is due.
    pub fn head(&mut self) -> String {
        if !std::mem::take(&mut self.header_due) {
            return String::new();
        }
        let rule: Vec<String> = self.widths.iter().map(|w| "─".repeat(*w)).collect();
        format!("{} {}\n", self.line(&self.header, None), rule.join("─┼─"))
    }

    /// The lines to print for these rows, with the header before the first and where a column grew.
    pub fn push(&mut self, batch: &[Vec<Value>]) -> String {
        let texts: Vec<Vec<String>> = batch.iter().map(|r| r.iter().map(cell_text).collect()).collect();
        for row in &texts {
            for (width, text) in self.widths.iter_mut().zip(row) {
                let chars = text.chars().count().min(STREAMED_CHARS_MAX);
                if chars > *width {
                    *width = chars;
                    self.header_due = true;
                }
            }
        }
        let mut out = self.head();
        for (row, values) in texts.iter().zip(batch) {
            out.push_str(&self.line(row, Some(values)));
        }
        self.rows += batch.len() as u64;
        out
    }

    fn line(&self, texts: &[String], values: Option<&[Value]>) -> String {
        let cells: Vec<String> = texts
            .iter()
            .enumerate()
            .map(|(i, text)| {
                let width = self.widths.get(i).copied().unwrap_or(0);
                if values.and_then(|v| v.get(i)).is_some_and(Value::is_number) {
                    format!("{text:>width$}")
                } else {
                    format!("{text:<width$}")
                }
            })
            .collect();
        format!(" {}\n", cells.join(" │ ").trim_end())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_stand_right_and_null_is_seen() {
        let header = vec!["NAME".to_owned(), "N".to_owned()];
        let text = table(
            &header,
            &[vec![json!("a"), json!(12345)], vec![json!(null), json!(1)]],
            TableStyle::plain(),
        );
        assert!(text.contains("│ a    ┆ 12345 │"), "{text}");
        assert!(text.contains("│ NULL ┆     1 │"), "{text}");
    }

    #[test]
    fn long_text_is_cut_with_a_mark() {
        assert_eq!(cell_text(&json!("x".repeat(500))).chars().count(), CELL_CHARS_MAX + 1);
    }

    #[test]
    fn streamed_rows_keep_their_columns() {
        let mut table = StreamingTable::new(vec!["K".to_owned(), "TOTAL".to_owned()]);
        let first = table.push(&[vec![json!("alpha"), json!(1)]]);
        assert_eq!(first.lines().count(), 3);
        let second = table.push(&[vec![json!("b"), json!(200)]]);
        assert_eq!(second, " b      │    200\n");
        assert_eq!(table.rows(), 2);
    }

    #[test]
    fn a_growing_column_shows_the_header_again() {
        let mut table = StreamingTable::new(vec!["K".to_owned()]);
        assert_eq!(table.head().lines().count(), 2);
        assert_eq!(table.head(), "");
        assert_eq!(table.push(&[vec![json!("short")]]).lines().count(), 1);
        assert_eq!(table.push(&[vec![json!("longer than that")]]).lines().count(), 3);
    }

    #[test]
    fn tables_fit_the_terminal() {
        let header = vec!["ID".to_owned(), "TEXT".to_owned(), "MORE".to_owned()];
        let rows = [vec![json!(1), json!("x".repeat(90)), json!("y".repeat(50))]];
        let style = TableStyle { line_chars_max: Some(60), ..TableStyle::plain() };
        let text = table(&header, &rows, style);
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
        assert!(text.contains("x…") && text.contains("y…"), "{text}");
        let wrapped = table(&header, &rows, TableStyle { overflow: Overflow::Wrap, ..style });
        assert_eq!(wrapped.matches('x').count(), 90);
        let narrow = TableStyle { column_chars: Some(5), ..TableStyle::plain() };
        assert!(table(&header, &rows, narrow).contains("┆ xxxx… ┆"));
    }
}
