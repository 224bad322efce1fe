//! The memory that statements make a node take.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hyper::StatusCode;
use serde_json::json;
use weir_tests::server::ServerProcess;

const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(240);

/// Enough for a task to take 8,192 rows at a time.
const ROWS: usize = 24_000;

#[tokio::test(flavor = "multi_thread")]
async fn long_values_of_many_rows_and_columns_take_bounded_memory() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(
        "CREATE STREAM s (k STRING KEY, v STRING) WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='JSON');",
    )
    .await?;
    let line = |n: usize| json!({"k": "a", "v": format!("v{n}")}).to_string();
    let lines: Vec<String> = (0..ROWS).map(line).collect();
    let body = format!("{}\n{}\n", json!({"target": "s"}), lines.join("\n"));
    let (status, text) = sql.post_text("/inserts-stream", &body).await?;
    assert_eq!(status, StatusCode::OK, "{text}");
    let before = server.peak_rss_mib();
    // Each of the columns has 160 MB for 8,192 rows.
    let columns: Vec<String> = (0..5).map(|c| format!("COUNT(LPAD(v, 20000, '{c}')) AS c{c}")).collect();
    let statement = format!("CREATE TABLE t AS SELECT k, {} FROM s GROUP BY k;", columns.join(", "));
    let request = json!({"ksql": statement, "streamsProperties": {"auto.offset.reset": "earliest"}});
    let (status, text) = sql.post("/ksql", &request).await?;
    assert_eq!(status, StatusCode::OK, "{text}");
    let started = Instant::now();
    let expected = vec![vec![json!(ROWS); 5]];
    loop {
        let rows = sql.rows("SELECT c0, c1, c2, c3, c4 FROM t WHERE k = 'a';").await?;
        if rows == expected {
            break;
        }
        if started.elapsed() > CAUGHT_UP_WITHIN {
            bail!("the query counts {rows:?} of {ROWS}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let grown = server.peak_rss_mib() - before;
    // What one step may hold, and its copies. All five columns have 800 MB.
    assert!(grown < 350.0, "{grown} MiB");
    Ok(())
}
