//! Queries in figures.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use weir_engine::query::condition::QueryCondition;
use weir_engine::query::status::{InputStatus, QueryState, QueryStatus};

use crate::context::Context;
use crate::metrics::text::Page;
use crate::queries::conditions;

const MICROS: f64 = 1e-6;

/// Name, kind, help, value.
type QueryMetric = (&'static str, &'static str, &'static str, fn(&QueryStatus) -> f64);

const QUERY_METRICS: [QueryMetric; 12] = [
    ("weir_query_records_in", "counter", "Records read.", |q| q.metrics.rows_in as f64),
    ("weir_query_in_bytes", "counter", "Bytes of records read.", |q| q.metrics.bytes_in as f64),
    (
        "weir_query_records_out",
        "counter",
        "Records written to the sink, to repartition topics and to changelogs.",
        |q| q.metrics.records_out as f64,
    ),
    ("weir_query_out_bytes", "counter", "Bytes of records written.", |q| q.metrics.bytes_out as f64),
    ("weir_query_commits", "counter", "Transactions committed.", |q| q.metrics.commits as f64),
    (
        "weir_query_commit_duration_seconds",
        "counter",
        "Time spent in commits, from flush to acknowledged.",
        |q| q.metrics.commit_micros as f64 * MICROS,
    ),
    ("weir_query_commit_duration_max_seconds", "gauge", "The longest commit.", |q| {
        q.metrics.commit_micros_max as f64 * MICROS
    }),
    ("weir_query_row_errors", "counter", "Rows reported to the processing log.", |q| {
        q.metrics.row_errors as f64
    }),
    ("weir_query_late_rows", "counter", "Rows dropped because their windows were closed.", |q| {
        q.metrics.late_rows as f64
    }),
    ("weir_query_restarts", "counter", "Times the query was started again after a failure.", |q| {
        q.metrics.restarts as f64
    }),
    ("weir_query_restored_records", "counter", "Changelog records read to restore state.", |q| {
        q.metrics.restored_records as f64
    }),
    ("weir_query_restore_remaining_records", "gauge", "Changelog records still to be restored.", |q| {
        q.metrics.restore_remaining as f64
    }),
];

const STATES: [QueryState; 6] = [
    QueryState::Starting,
    QueryState::Restoring,
    QueryState::Running,
    QueryState::Paused,
    QueryState::Restarting,
    QueryState::Error,
];

fn state_name(state: QueryState) -> &'static str {
    match state {
        QueryState::Starting => "starting",
        QueryState::Restoring => "restoring",
        QueryState::Running => "running",
        QueryState::Paused => "paused",
        QueryState::Restarting => "restarting",
        QueryState::Error => "error",
    }
}

pub(crate) fn write(context: &Context, page: &mut Page) {
    let queries = context.engine().queries();
    for (name, kind, help, value) in QUERY_METRICS {
        let mut family = page.family(name, kind, help);
        for query in &queries {
            family.sample(&[("query", &query.query_id)], value(query));
        }
    }
    states(context, &queries, page);
    condition_states(context, &queries, page);
    lags(
        &queries,
        page,
        ("weir_query_lag_records", "Records of a partition that the query has still to read."),
        |input| input.lag,
    );
    lags(
        &queries,
        page,
        (
            "weir_query_committed_lag_records",
            "Records of a partition whose results the query has still to commit.",
        ),
        |input| input.committed_lag,
    );
    page.family("weir_push_queries", "gauge", "Push queries that run now.")
        .sample(&[], context.pushes().count());
    let counters = context.processing_log().counters();
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    page.family("weir_processing_log_reports", "counter", "Failing rows that queries reported.")
        .sample(&[], load(&counters.reported));
    page.family("weir_processing_log_written", "counter", "Reports written to the processing log's topic.")
        .sample(&[], load(&counters.written));
    page.family(
        "weir_processing_log_dropped",
        "counter",
        "Reports dropped: too many in a second, or the topic could not be written.",
    )
    .sample(&[], load(&counters.dropped));
}

/// A lag by query and partition. A partition that a query reads twice, as in the join of two streams over one topic, has
/// the greater one: a series must not be there twice.
fn lags(
    queries: &[QueryStatus],
    page: &mut Page,
    (name, help): (&str, &str),
    lag_of: fn(&InputStatus) -> Option<i64>,
) {
    let mut family = page.family(name, "gauge", help);
    for query in queries {
        let mut greatest: BTreeMap<(&str, i32), i64> = BTreeMap::new();
        for input in query.tasks.iter().flat_map(|t| &t.inputs) {
            if let Some(lag) = lag_of(input) {
                let known = greatest.entry((input.topic.as_str(), input.partition)).or_insert(lag);
                *known = lag.max(*known);
            }
        }
        for ((topic, partition), lag) in greatest {
            let partition = partition.to_string();
            let labels = [("query", query.query_id.as_str()), ("topic", topic), ("partition", &partition)];
            family.sample(&labels, lag);
        }
    }
}

/// A state set: 1 for the state that a query is in. A query that should run and does not is in error.
fn states(context: &Context, queries: &[QueryStatus], page: &mut Page) {
    let mut family = page.family("weir_query_state", "gauge", "1 for the state that the query is in.");
    for query in queries {
        for state in STATES {
            let labels = [("query", query.query_id.as_str()), ("state", state_name(state))];
            family.sample(&labels, u8::from(query.state == state));
        }
    }
    for query_id in context.starts().failures().into_keys() {
        family.sample(&[("query", &query_id), ("state", state_name(QueryState::Error))], 1);
    }
    for query_id in context.starts().starting_ids() {
        if queries.iter().all(|query| query.query_id != query_id) {
            family.sample(&[("query", &query_id), ("state", state_name(QueryState::Starting))], 1);
        }
    }
}

/// A state set: 1 for the conditions that the query is in, and when each began.
fn condition_states(context: &Context, queries: &[QueryStatus], page: &mut Page) {
    let conditions = conditions::all(context);
    let ids: BTreeSet<&str> = queries
        .iter()
        .map(|query| query.query_id.as_str())
        .chain(conditions.keys().map(String::as_str))
        .collect();
    let name = |kind: &str| kind.to_ascii_lowercase();
    let mut family =
        page.family("weir_query_condition", "gauge", "1 for a condition that keeps the query from its work.");
    for id in ids {
        for kind in QueryCondition::KINDS {
            let is_in = conditions.get(id).is_some_and(|all| all.iter().any(|one| one.kind() == kind));
            family.sample(&[("query", id), ("condition", &name(kind))], u8::from(is_in));
        }
    }
    let mut family = page.family(
        "weir_query_condition_since_timestamp_seconds",
        "gauge",
        "Time at which the condition began.",
    );
    for (id, all) in &conditions {
        for kind in QueryCondition::KINDS {
            let of_kind = all.iter().filter(|one| one.kind() == kind);
            if let Some(since_ms) = of_kind.filter_map(QueryCondition::since_ms).min() {
                family.sample(&[("query", id), ("condition", &name(kind))], since_ms as f64 / 1_000.0);
            }
        }
    }
}
