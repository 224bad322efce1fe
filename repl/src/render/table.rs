//! Tables sized to their data: numbers to the right, NULL visible, long values cut with a mark.

use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

/// Characters a cell may show before it is cut.
pub const CELL_CHARS_MAX: usize = 120;
/// Characters that every column keeps when a table is made to fit its terminal.
const FITTED_CHARS_MIN: usize = 8;
/// Characters that a column keeps beside columns that are never cut.
const YIELDING_CHARS_MIN: usize = 4;
/// Width of a bordered table beside its cells: one bar, and a bar and two blanks for each column.
const BORDER_CHARS: usize = 1;
const COLUMN_CHARS: usize = 3;

/// Display of values wider than their column.
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
    /// Columns that are never cut to fit a terminal: names that other statements need.
    pub kept: &'static [usize],
}

/// A finished table, sized to its data, and to the terminal where that is narrower.
pub fn table(header: &[String], rows: &[Vec<Value>], style: TableStyle) -> String {
    fitted_table(header, rows, &[], style)
}

/// As [`table`]; the grid's kept columns are whole.
pub fn grid_table(grid: &Grid, style: TableStyle) -> String {
    fitted_table(&grid.header, &grid.rows, grid.kept, style)
}

fn fitted_table(header: &[String], rows: &[Vec<Value>], kept: &[usize], style: TableStyle) -> String {
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
        None => fit(&mut widths, kept, style.line_chars_max),
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

/// Takes from the widest columns that are not kept, until the line fits or each is at its least.
pub(crate) fn fit(widths: &mut [usize], kept: &[usize], line_chars_max: Option<usize>) {
    let Some(line_chars_max) = line_chars_max else { return };
    shrink(widths, kept, line_chars_max, FITTED_CHARS_MIN);
    if !kept.is_empty() {
        shrink(widths, kept, line_chars_max, YIELDING_CHARS_MIN);
    }
}

fn shrink(widths: &mut [usize], kept: &[usize], line_chars_max: usize, chars_min: usize) {
    let yields = |column: usize| !kept.contains(&column);
    loop {
        let line: usize = widths.iter().map(|w| w + COLUMN_CHARS).sum::<usize>() + BORDER_CHARS;
        let Some(over) = line.checked_sub(line_chars_max).filter(|over| *over > 0) else { return };
        let yielding = || widths.iter().enumerate().filter(|(column, _)| yields(*column)).map(|(_, w)| *w);
        let widest = yielding().max().unwrap_or(0);
        if widest <= chars_min {
            return;
        }
        let next = yielding().filter(|w| *w < widest).max().unwrap_or(0).max(chars_min);
        let alike = yielding().filter(|w| *w == widest).count();
        let share = over.div_ceil(alike).min(widest - next);
        for (column, width) in widths.iter_mut().enumerate() {
            if yields(column) && *width == widest {
                *width -= share;
            }
        }
    }
}

pub(crate) fn cut(text: &str, chars: usize) -> String {
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

    #[test]
    fn names_are_never_cut_to_fit() {
        let header = ["Query ID", "Query Type", "Status", "Sink Name", "Sink Kafka Topic", "Query String"];
        let id = "CTAS_ERROR_RATE_PER_MINUTE_123";
        let row = [
            id,
            "PERSISTENT",
            "RUNNING:1",
            "ERROR_RATE",
            "ERROR_RATE",
            "CREATE TABLE ERROR_RATE WITH (KAFKA_TOPIC",
        ];
        let grid = Grid {
            header: header.map(str::to_owned).to_vec(),
            rows: vec![row.map(|text| json!(text)).to_vec()],
            kept: &[0, 2],
        };
        let text = grid_table(&grid, TableStyle { line_chars_max: Some(80), ..TableStyle::plain() });
        assert!(text.contains(id) && text.contains("RUNNING:1"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
