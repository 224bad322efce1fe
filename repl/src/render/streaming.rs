//! Rows of a push query, shown as they come.
//!
//! The columns get their widths from the first rows and the terminal. Later values that are wider make their column
//! grow while the line has room, which shows the header again, and are cut with a mark then.

use serde_json::Value;

use crate::render::table::{cell_text, cut, fit};

/// Width up to which a column grows.
const COLUMN_CHARS_MAX: usize = 60;
const COLUMN_CHARS_MIN: usize = 6;
/// A column that grows gets at least so many characters, so that the header is seldom shown again.
const GROWTH_CHARS_MIN: usize = 8;
/// Characters of a line beside its cells: a blank before it, and a bar with blanks between two cells.
const MARGIN_CHARS: usize = 1;
const SEPARATOR: &str = " │ ";
const SEPARATOR_CHARS: usize = 3;

/// Rows that come one at a time.
#[derive(Debug)]
pub struct StreamingTable {
    widths: Vec<usize>,
    header: Vec<String>,
    header_due: bool,
    /// Characters a line may have; None: as many as the data needs.
    line_chars_max: Option<usize>,
    rows: u64,
}

impl StreamingTable {
    /// A table whose widths come from the header and the first rows.
    pub fn new(header: Vec<String>, first: &[Vec<Value>], line_chars_max: Option<usize>) -> StreamingTable {
        let mut widths: Vec<usize> =
            header.iter().map(|name| name.chars().count().max(COLUMN_CHARS_MIN)).collect();
        for (width, needed) in widths.iter_mut().zip(widest(first)) {
            *width = needed.max(*width);
        }
        fit(&mut widths, &[], line_chars_max);
        StreamingTable { widths, header, header_due: true, line_chars_max, rows: 0 }
    }

    /// Sizes the columns anew by the first rows, after the header was shown without any.
    pub fn size_by(&mut self, first: &[Vec<Value>]) {
        let sized = StreamingTable::new(std::mem::take(&mut self.header), first, self.line_chars_max);
        let header_due = self.header_due || sized.widths != self.widths;
        *self = StreamingTable { header_due, rows: self.rows, ..sized };
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
        for (column, needed) in widest(batch).into_iter().enumerate() {
            self.grow(column, needed);
        }
        let mut out = self.head();
        for values in batch {
            let texts: Vec<String> = values.iter().map(cell_text).collect();
            out.push_str(&self.line(&texts, Some(values)));
        }
        self.rows += batch.len() as u64;
        out
    }

    fn grow(&mut self, column: usize, needed: usize) {
        let line = MARGIN_CHARS
            + self.widths.iter().sum::<usize>()
            + SEPARATOR_CHARS * self.widths.len().saturating_sub(1);
        let room = self.line_chars_max.map_or(usize::MAX, |max| max.saturating_sub(line));
        let Some(width) = self.widths.get_mut(column).filter(|width| **width < needed) else { return };
        let wanted = needed.max(*width + GROWTH_CHARS_MIN) - *width;
        if room > 0 {
            *width += wanted.min(room);
            self.header_due = true;
        }
    }

    fn line(&self, texts: &[String], values: Option<&[Value]>) -> String {
        let cell = |(i, text): (usize, &String)| {
            let width = self.widths.get(i).copied().unwrap_or(0);
            let text = cut(text, width);
            match values.and_then(|v| v.get(i)).is_some_and(Value::is_number) {
                true => format!("{text:>width$}"),
                false => format!("{text:<width$}"),
            }
        };
        let cells: Vec<String> = texts.iter().enumerate().map(cell).collect();
        format!(" {}\n", cells.join(SEPARATOR).trim_end())
    }
}

/// Width of the widest value of each column, up to the widest a column may be.
fn widest(rows: &[Vec<Value>]) -> Vec<usize> {
    let mut widths = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, value) in widths.iter_mut().zip(row) {
            *width = cell_text(value).chars().count().min(COLUMN_CHARS_MAX).max(*width);
        }
    }
    widths
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn streamed_rows_keep_their_columns() {
        let mut table = StreamingTable::new(names(&["K", "TOTAL"]), &[], None);
        let first = table.push(&[vec![json!("alpha"), json!(1)]]);
        assert_eq!(first.lines().count(), 3);
        let second = table.push(&[vec![json!("b"), json!(200)]]);
        assert_eq!(second, " b      │    200\n");
        assert_eq!(table.rows(), 2);
    }

    #[test]
    fn a_growing_column_shows_the_header_again() {
        let mut table = StreamingTable::new(names(&["K"]), &[], None);
        assert_eq!(table.head().lines().count(), 2);
        assert_eq!(table.head(), "");
        assert_eq!(table.push(&[vec![json!("short")]]).lines().count(), 1);
        assert_eq!(table.push(&[vec![json!("longer than that")]]).lines().count(), 3);
    }

    #[test]
    fn lines_fit_the_terminal_and_the_header_is_seldom_shown_again() {
        let row = |agent: &str| vec![json!("127.0.0.1"), json!(404), json!("/a/page"), json!(agent)];
        let first = [row("curl/7.88.1"), row("Mozilla/5.0")];
        let header = names(&["IP", "STATUS", "URL", "AGENT"]);
        let mut table = StreamingTable::new(header, &first, Some(60));
        let mut text = table.push(&first);
        for chars in 1..80 {
            text.push_str(&table.push(&[row(&"x".repeat(chars))]));
        }
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
        assert!(text.matches("STATUS").count() <= 4, "{text}");
        assert!(text.contains("x…"), "{text}");
        let wide = [vec![json!("y".repeat(50)), json!("z".repeat(50))]];
        let text = StreamingTable::new(names(&["A", "B"]), &wide, Some(40)).push(&wide);
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
    }
}
