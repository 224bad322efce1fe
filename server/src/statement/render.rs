//! Rows of queries as events of their answers.

use std::borrow::Cow;
use std::ops::Range;

use arrow::array::ArrayRef;
use serde_json::Value;
use weir_engine::serde::json_value::row_to_json;
use weir_sql::schema::Column;

use crate::wire::rows::RowEvent;

pub(crate) const LIMIT_REACHED: Cow<'static, str> = Cow::Borrowed("Limit Reached");
pub(crate) const QUERY_COMPLETED: Cow<'static, str> = Cow::Borrowed("Query Completed");

/// Rows rendered into one batch of events.
pub(crate) const EVENT_ROWS_MAX: usize = 1_000;

/// Some rows of `arrays`, whose types are those of `columns`. `is_absent`: the row is a tombstone.
pub(crate) fn render(
    columns: &[Column],
    arrays: &[ArrayRef],
    rows: Range<usize>,
    is_absent: impl Fn(usize) -> bool,
) -> Vec<RowEvent> {
    let event = |row| RowEvent::Row {
        columns: Value::Array(row_to_json(columns, arrays, row)).to_string(),
        tombstone: is_absent(row),
    };
    rows.map(event).collect()
}

/// Ends a background loop with its query.
pub(crate) struct AbortOnDrop(pub(crate) tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
