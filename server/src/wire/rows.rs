//! Streams of rows in the three JSON shapes that clients ask for.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::error::ApiError;

/// Shape of a streamed answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsShape {
    /// `/query`: a JSON array of `{"header":…}`, `{"row":…}`, `{"finalMessage":…}`.
    StreamedRows,
    /// `/query-stream`: a line with the header, then an array a line.
    Delimited,
    /// `/query-stream` with `application/json`: one array of the header and the rows.
    JsonArray,
}

/// What a query's answer looks like, known before its first row.
#[derive(Clone, Debug)]
pub struct RowsHeader {
    pub query_id: Option<String>,
    pub columns: Vec<HeaderColumn>,
}

#[derive(Clone, Debug)]
pub struct HeaderColumn {
    pub name: String,
    /// As SQL spells it: `DECIMAL(4, 2)`.
    pub sql_type: String,
    /// As entities spell it: `{"type":"DECIMAL",…}`.
    pub schema: Value,
    /// Marked KEY in the header of a pull query.
    pub is_key: bool,
}

/// One thing that a running query tells its client.
#[derive(Clone, Debug)]
pub enum RowEvent {
    /// A row as the text of a JSON array. `tombstone`: the key's row is gone; the other columns are null.
    Row { columns: String, tombstone: bool },
    /// The query has failed; nothing follows.
    Failed(ApiError),
    /// "Limit Reached", "Query Completed" or a remark on the answer; nothing follows.
    Final(Cow<'static, str>),
}

/// Writes a header and events in one shape.
#[derive(Debug)]
pub struct RowsWriter {
    shape: RowsShape,
}

impl RowsWriter {
    pub fn new(shape: RowsShape) -> RowsWriter {
        RowsWriter { shape }
    }

    pub fn header(&mut self, header: &RowsHeader, out: &mut String) {
        match self.shape {
            RowsShape::StreamedRows => {
                let schema: Vec<String> = header
                    .columns
                    .iter()
                    .map(|c| {
                        let name = c.name.replace('`', "``");
                        format!("`{name}` {}{}", c.sql_type, if c.is_key { " KEY" } else { "" })
                    })
                    .collect();
                let query_id = header.query_id.as_deref().unwrap_or_default();
                let line = json!({"header": {"queryId": query_id, "schema": schema.join(", ")}});
                out.push('[');
                out.push_str(&line.to_string());
            }
            RowsShape::Delimited | RowsShape::JsonArray => {
                let names: Vec<&str> = header.columns.iter().map(|c| c.name.as_str()).collect();
                let types: Vec<&str> = header.columns.iter().map(|c| c.sql_type.as_str()).collect();
                let line = json!({"queryId": header.query_id, "columnNames": names, "columnTypes": types});
                if self.shape == RowsShape::JsonArray {
                    out.push('[');
                }
                out.push_str(&line.to_string());
                if self.shape == RowsShape::Delimited {
                    out.push('\n');
                }
            }
        }
    }

    pub fn event(&mut self, event: &RowEvent, out: &mut String) {
        match (self.shape, event) {
            (RowsShape::StreamedRows, RowEvent::Row { columns, tombstone }) => {
                out.push_str(",\n{\"row\":{\"columns\":");
                out.push_str(columns);
                if *tombstone {
                    out.push_str(",\"tombstone\":true");
                }
                out.push_str("}}");
            }
            (RowsShape::StreamedRows, RowEvent::Failed(error)) => {
                self.member("errorMessage", error.to_json(), out)
            }
            (RowsShape::StreamedRows, RowEvent::Final(text)) => {
                self.member("finalMessage", Value::from(text.as_ref()), out);
            }
            // A deleted row has no place in an array of column values: only the form above can tell it.
            (_, RowEvent::Row { tombstone: true, .. }) => {}
            (RowsShape::Delimited, RowEvent::Row { columns, .. }) => {
                out.push_str(columns);
                out.push('\n');
            }
            (RowsShape::Delimited, RowEvent::Failed(error)) => {
                out.push_str(&error.to_json().to_string());
                out.push('\n');
            }
            (RowsShape::JsonArray, RowEvent::Row { columns, .. }) => {
                out.push_str(",\n");
                out.push_str(columns);
            }
            (RowsShape::JsonArray, RowEvent::Failed(error)) => {
                out.push_str(",\n");
                out.push_str(&error.to_json().to_string());
            }
            (RowsShape::Delimited | RowsShape::JsonArray, RowEvent::Final(_)) => {}
        }
    }

    /// Closes the answer; must be the last call.
    pub fn end(&mut self, out: &mut String) {
        match self.shape {
            RowsShape::StreamedRows | RowsShape::JsonArray => out.push_str("]\n"),
            RowsShape::Delimited => {}
        }
    }

    fn member(&self, name: &str, value: Value, out: &mut String) {
        out.push_str(",\n");
        out.push_str(&json!({ name: value }).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, sql_type: &str, is_key: bool) -> HeaderColumn {
        HeaderColumn {
            name: name.to_owned(),
            sql_type: sql_type.to_owned(),
            schema: json!({"type": sql_type}),
            is_key,
        }
    }

    fn write(shape: RowsShape) -> String {
        let header = RowsHeader {
            query_id: Some("query_1".to_owned()),
            columns: vec![column("ID", "INTEGER", true), column("N", "STRING", false)],
        };
        let mut writer = RowsWriter::new(shape);
        let mut out = String::new();
        writer.header(&header, &mut out);
        writer.event(&RowEvent::Row { columns: "[1,\"a\"]".to_owned(), tombstone: false }, &mut out);
        writer.event(&RowEvent::Row { columns: "[1,null]".to_owned(), tombstone: true }, &mut out);
        writer.event(&RowEvent::Final("Limit Reached".into()), &mut out);
        writer.end(&mut out);
        out
    }

    #[test]
    fn streamed_rows_tell_tombstones_and_the_end() {
        let parsed: Value = serde_json::from_str(&write(RowsShape::StreamedRows)).expect("valid JSON");
        assert_eq!(parsed[0]["header"]["schema"], "`ID` INTEGER KEY, `N` STRING");
        assert_eq!(parsed[1]["row"]["columns"], json!([1, "a"]));
        assert_eq!(parsed[2]["row"]["tombstone"], true);
        assert_eq!(parsed[3]["finalMessage"], "Limit Reached");
    }

    #[test]
    fn delimited_lines_are_json_each() {
        let text = write(RowsShape::Delimited);
        let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).expect("valid JSON")).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["columnTypes"], json!(["INTEGER", "STRING"]));
        assert_eq!(lines[1], json!([1, "a"]));
    }

    #[test]
    fn json_array_is_one_document() {
        let parsed: Value = serde_json::from_str(&write(RowsShape::JsonArray)).expect("valid JSON");
        assert_eq!(parsed.as_array().map(Vec::len), Some(2));
    }
}
