//! How long a row takes from its INSERT to a running push query, both over HTTP.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use weir_server::config::NodeConfig;

use crate::bench::workload::{Bench, round};
use crate::client::{QueryAnswer, QueryItem, RequestContext};

/// Rows before those that are measured: connections, caches.
const WARM_UP_ROWS: u64 = 20;
/// More say nothing more.
const ROWS_MAX: u64 = 1_000;
/// A row that has not come by then never will.
const TIMEOUT: Duration = Duration::from_secs(20);

const STREAM: &str = "CREATE STREAM latency (k STRING KEY, n BIGINT) \
    WITH (KAFKA_TOPIC='latency', PARTITIONS=1, VALUE_FORMAT='JSON');";

/// Inserts rows one by one, each after the one before has arrived; gives the spread of the times.
pub async fn run(dir: &Path, rows: u64, config: impl FnOnce(&mut NodeConfig)) -> Result<Value> {
    let bench = Bench::start(dir, 0, config).await?;
    let figures = measure(&bench, rows.min(ROWS_MAX)).await;
    bench.stop().await;
    figures
}

async fn measure(bench: &Bench, rows: u64) -> Result<Value> {
    let (client, context) = (bench.client(), RequestContext::default());
    client.execute(STREAM, &context).await?;
    let mut push = client.query("SELECT k, n FROM latency EMIT CHANGES;", &context).await?;
    match tokio::time::timeout(TIMEOUT, push.next()).await?? {
        Some(QueryItem::Header { .. }) => {}
        other => bail!("the push query began with {other:?}"),
    }
    let mut times = Vec::new();
    for n in 0..WARM_UP_ROWS + rows {
        let started = Instant::now();
        client.execute(&format!("INSERT INTO latency (k, n) VALUES ('a', {n});"), &context).await?;
        let inserted = started.elapsed();
        tokio::time::timeout(TIMEOUT, await_row(&mut push, n)).await.context("a row did not come")??;
        if n >= WARM_UP_ROWS {
            times.push((started.elapsed(), inserted));
        }
    }
    let percentile = |per_cent: usize, of: fn(&(Duration, Duration)) -> Duration| {
        let mut sorted: Vec<Duration> = times.iter().map(of).collect();
        sorted.sort_unstable();
        let at = (sorted.len() * per_cent / 100).min(sorted.len().saturating_sub(1));
        round(sorted.get(at).map_or(0.0, Duration::as_secs_f64) * 1e3, 2)
    };
    Ok(json!({
        "engine": format!("weir {}", env!("CARGO_PKG_VERSION")),
        "workload": "latency",
        "rows": rows,
        "push_p50_ms": percentile(50, |t| t.0),
        "push_p90_ms": percentile(90, |t| t.0),
        "push_p99_ms": percentile(99, |t| t.0),
        "push_max_ms": percentile(100, |t| t.0),
        "insert_p50_ms": percentile(50, |t| t.1),
        "insert_p99_ms": percentile(99, |t| t.1),
    }))
}

async fn await_row(push: &mut QueryAnswer, n: u64) -> Result<()> {
    loop {
        match push.next().await? {
            Some(QueryItem::Row { columns, .. }) if columns.get(1) == Some(&json!(n)) => return Ok(()),
            Some(_) => {}
            None => bail!("the push query ended"),
        }
    }
}
