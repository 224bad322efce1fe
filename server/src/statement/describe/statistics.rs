//! Figures of the queries that write a source.

use serde_json::{Value, json};
use weir_engine::metrics::MetricsSnapshot;
use weir_engine::query::status::QueryStatus;

use crate::context::Context;

/// What DESCRIBE … EXTENDED shows of a source's writers.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    /// A line per query.
    pub(super) text: String,
    pub(super) errors_text: String,
    /// Sums over all queries.
    pub(super) cluster: Vec<Value>,
    pub(super) cluster_errors: Vec<Value>,
}

pub(super) fn of(context: &Context, queries: &[QueryStatus]) -> Statistics {
    if queries.is_empty() {
        return Statistics::default();
    }
    let figure = |(name, value): (&str, u64)| {
        let address = context.http_address();
        json!({
            "host": {"host": address.ip().to_string(), "port": address.port()},
            "name": name, "value": value, "timestamp": context.now_ms(),
        })
    };
    let sum = |count: fn(&MetricsSnapshot) -> u64| queries.iter().map(|q| count(&q.metrics)).sum::<u64>();
    let cluster = [
        ("records-in-total", sum(|m| m.rows_in)),
        ("bytes-in-total", sum(|m| m.bytes_in)),
        ("records-out-total", sum(|m| m.records_out)),
        ("bytes-out-total", sum(|m| m.bytes_out)),
        ("commits-total", sum(|m| m.commits)),
    ];
    let errors = [
        ("row-errors-total", sum(|m| m.row_errors)),
        ("late-rows-total", sum(|m| m.late_rows)),
        ("restarts-total", sum(|m| m.restarts)),
    ];
    Statistics {
        text: lines(queries, progress),
        errors_text: lines(queries, last_error),
        cluster: cluster.into_iter().map(figure).collect(),
        cluster_errors: errors.into_iter().map(figure).collect(),
    }
}

fn lines(queries: &[QueryStatus], line: fn(&QueryStatus) -> Option<String>) -> String {
    let lines: Vec<String> = queries.iter().filter_map(line).collect();
    lines.join("\n")
}

fn progress(query: &QueryStatus) -> Option<String> {
    let metrics = &query.metrics;
    Some(format!(
        "{}: state {}, records in {} ({} bytes), records out {} ({} bytes), lag {}, commits {}, row errors {}, \
         late rows {}, restarts {}",
        query.query_id,
        query.state.name(),
        metrics.rows_in,
        metrics.bytes_in,
        metrics.records_out,
        metrics.bytes_out,
        query.tasks.iter().flat_map(|t| &t.inputs).filter_map(|i| i.lag).sum::<i64>(),
        metrics.commits,
        metrics.row_errors,
        metrics.late_rows,
        metrics.restarts,
    ))
}

fn last_error(query: &QueryStatus) -> Option<String> {
    let error = query.errors.last()?;
    Some(format!("{}: last error at {}: {}", query.query_id, error.at_ms, error.message))
}
