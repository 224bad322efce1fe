//! Rows for other programs: CSV, Markdown, and one JSON object a line.

use serde_json::{Map, Value};

use crate::render::table::{cell_text, full_text};

/// A line of CSV (RFC 4180): NULL is empty, nested values are JSON.
pub fn csv_line(values: &[Value]) -> String {
    let cell = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => csv_field(text),
        other => csv_field(&other.to_string()),
    };
    values.iter().map(cell).collect::<Vec<_>>().join(",")
}

fn csv_field(text: &str) -> String {
    // An empty string is quoted, so that it differs from NULL.
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

/// The header of a Markdown table, with its rule.
pub fn markdown_head(header: &[String]) -> String {
    let names: Vec<String> = header.iter().map(|name| markdown_field(name)).collect();
    format!("| {} |\n|{}", names.join(" | "), "---|".repeat(header.len()))
}

/// A row of a Markdown table.
pub fn markdown_line(values: &[Value]) -> String {
    let cells: Vec<String> = values.iter().map(|value| markdown_field(&full_text(value))).collect();
    format!("| {} |", cells.join(" | "))
}

fn markdown_field(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// A row as an object of its columns.
pub fn json_object(header: &[String], values: &[Value]) -> String {
    let object: Map<String, Value> = header.iter().cloned().zip(values.iter().cloned()).collect();
    Value::Object(object).to_string()
}

/// A row below the other, a column a line.
pub fn expanded(header: &[String], values: &[Value], row: u64) -> String {
    let width = header.iter().map(|h| h.chars().count()).max().unwrap_or(0);
    let lines: Vec<String> = header
        .iter()
        .zip(values)
        .map(|(name, value)| format!("{name:<width$} | {}", cell_text(value)))
        .collect();
    format!("-[ row {row} ]-\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn csv_quotes_where_it_must() {
        let row = [json!(1), json!("a,\"b\""), json!(null), json!(""), json!({"A": [1, 2]})];
        assert_eq!(csv_line(&row), r#"1,"a,""b""",,"","{""A"":[1,2]}""#);
    }

    #[test]
    fn markdown_escapes_bars() {
        assert_eq!(markdown_head(&["A".to_owned(), "B".to_owned()]), "| A | B |\n|---|---|");
        assert_eq!(markdown_line(&[json!("x|y"), json!(null)]), "| x\\|y | NULL |");
    }

    #[test]
    fn objects_keep_the_order_of_the_columns() {
        assert_eq!(
            json_object(&["B".to_owned(), "A".to_owned()], &[json!(1), json!("x")]),
            r#"{"B":1,"A":"x"}"#
        );
    }
}
