//! Tables sized to their data: numbers to the right, NULL visible, long values cut with a mark.

use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

/// Characters a cell may show before it is cut.
pub const CELL_CHARS_MAX: usize = 120;

/// A finished table of a header and rows of JSON values.
pub fn table(header: &[String], rows: &[Vec<Value>], colour: bool) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|name| {
        let cell = Cell::new(name);
        if colour { cell.add_attribute(Attribute::Bold) } else { cell }
    }));
    for row in rows {
        table.add_row(row.iter().map(|value| {
            let cell = Cell::new(cell_text(value));
            if value.is_number() { cell.set_alignment(CellAlignment::Right) } else { cell }
        }));
    }
    table.to_string()
}

/// A value as people read it: text without quotes, NULL for null, nested values as JSON.
pub fn cell_text(value: &Value) -> String {
    let text = match value {
        Value::Null => "NULL".to_owned(),
        Value::String(s) => s.replace('\n', "⏎"),
        other => other.to_string(),
    };
    match text.char_indices().nth(CELL_CHARS_MAX) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Rows that come one at a time: columns get their width from the header and the first rows, and keep it.
#[derive(Debug)]
pub struct StreamingTable {
    widths: Vec<usize>,
    header: Vec<String>,
    rows: u64,
}

impl StreamingTable {
    pub fn new(header: Vec<String>) -> StreamingTable {
        let widths = header.iter().map(|h| h.chars().count().max(6)).collect();
        StreamingTable { widths, header, rows: 0 }
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The lines to print for these rows, with the header before the first.
    pub fn push(&mut self, batch: &[Vec<Value>]) -> String {
        let texts: Vec<Vec<String>> = batch.iter().map(|r| r.iter().map(cell_text).collect()).collect();
        let mut out = String::new();
        if self.rows == 0 {
            for row in &texts {
                for (width, text) in self.widths.iter_mut().zip(row) {
                    *width = (*width).max(text.chars().count().min(60));
                }
            }
            out.push_str(&self.line(&self.header.clone(), None));
            let rule: Vec<String> = self.widths.iter().map(|w| "─".repeat(*w)).collect();
            out.push_str(&format!(" {}\n", rule.join("─┼─")));
        }
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
                if values.is_some_and(|v| v[i].is_number()) {
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
        let text = table(&header, &[vec![json!("a"), json!(12345)], vec![json!(null), json!(1)]], false);
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
}
