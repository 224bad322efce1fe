//! The HTTP API of the real binary: shapes, errors, push latency, both HTTP versions.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_tests::server::ServerProcess;

const STREAM: &str =
    "CREATE STREAM s (k STRING KEY, n INT) WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='JSON');";

fn start(folder: &Path) -> Result<ServerProcess> {
    ServerProcess::start(folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_ksqldb_shapes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    let cases = [
        ("/ksql", "SELEC * FROM s;", 40001),
        ("/ksql", "CREATE STREAM t AS SELECT nope FROM s;", 40001),
        ("/ksql", "SELECT * FROM s EMIT CHANGES;", 40002),
        ("/ksql", "DESCRIBE missing;", 40001),
        ("/query", "SHOW STREAMS;", 40000),
        ("/query", "SELECT * FROM missing;", 40001),
    ];
    for (path, statement, code) in cases {
        let (status, text) = sql.post(path, &json!({"ksql": statement})).await?;
        let error: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        assert_eq!(error["error_code"], code, "{statement}: {text}");
        assert_eq!(status, StatusCode::BAD_REQUEST, "{statement}");
        assert!(error["message"].as_str().is_some_and(|m| m.len() > 10), "{text}");
    }
    let (status, _) = sql.post("/ksql", &json!({"ksql": ""})).await?;
    assert_eq!(status, StatusCode::OK);
    let (status, _) = sql.get("/nowhere").await?;
    assert_eq!(status, StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn information_is_served() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let sql = server.sql();
    let (_, info) = sql.get("/info").await?;
    let info: Value = serde_json::from_str(&info)?;
    let id = &info["KsqlServerInfo"]["kafkaClusterId"];
    assert_eq!(id.as_str().map(str::len), Some(22), "{info}");
    let (_, metadata) = sql.get("/v1/metadata/id").await?;
    let clusters = json!({"kafka-cluster": id, "ksql-cluster": "default_"});
    assert_eq!(
        serde_json::from_str::<Value>(&metadata)?,
        json!({"scope": {"path": [], "clusters": clusters}, "id": ""})
    );
    let (status, health) = sql.get("/healthcheck").await?;
    assert_eq!(status, StatusCode::OK, "{health}");
    sql.execute(STREAM).await?;
    let (_, statuses) = sql.get("/status").await?;
    assert!(statuses.contains("SUCCESS"), "{statuses}");
    let (_, metrics) = sql.get("/metrics").await?;
    assert!(metrics.contains("weir_partition_log_end_offset{topic=\"s\",partition=\"0\"} 0"), "{metrics}");
    assert!(!metrics.contains("# EOF"), "OpenMetrics was not asked for");
    for path in ["/chc/live", "/chc/ready"] {
        assert_eq!(sql.get(path).await?, (StatusCode::OK, "{}".to_owned()));
    }
    Ok(())
}

/// Opens a push query over a plain socket and gives it after its header arrived.
async fn open_push(server: &ServerProcess, sql: &str) -> Result<TcpStream> {
    let address = server.http.trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await?;
    let body = json!({"sql": sql}).to_string();
    let request = format!(
        "POST /query-stream HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await?;
    read_until(&mut socket, "columnNames").await?;
    Ok(socket)
}

async fn read_until(socket: &mut TcpStream, wanted: &str) -> Result<String> {
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    while !seen.contains(wanted) {
        let read = tokio::time::timeout(Duration::from_secs(120), socket.read(&mut buffer))
            .await
            .with_context(|| format!("\"{wanted}\" did not come; seen: {seen}"))??;
        anyhow::ensure!(read > 0, "the server closed the connection; seen: {seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    Ok(seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn inserted_row_shows_in_a_running_push_query() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    let mut push = open_push(&server, "SELECT k, n FROM s EMIT CHANGES;").await?;
    let mut taken = Vec::new();
    for n in 0..200 {
        let started = Instant::now();
        sql.execute(&format!("INSERT INTO s (k, n) VALUES ('a', {n});")).await?;
        read_until(&mut push, &format!("[\"a\",{n}]")).await?;
        taken.push(started.elapsed());
    }
    taken.sort_unstable();
    let (p50, p99) = (taken[taken.len() / 2], taken[taken.len() * 99 / 100]);
    // The whole way: parse, write, sync, read, render. The budget of 20 ms is for a quiet machine; here it only has to be possible.
    println!("insert to push row: p50 {p50:?}, p99 {p99:?}, at best {:?}", taken[0]);
    assert!(taken[0] < Duration::from_millis(200), "{:?}", taken[0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_and_tables_survive_a_kill() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = start(folder.path())?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    sql.execute("CREATE TABLE t AS SELECT k, COUNT(*) AS c, SUM(n) AS total FROM s GROUP BY k EMIT CHANGES;")
        .await?;
    for n in 1..=10 {
        sql.execute(&format!("INSERT INTO s (k, n) VALUES ('a', {n});")).await?;
    }
    server.kill()?;
    let server = start(folder.path())?;
    let sql = server.sql();
    let started = Instant::now();
    loop {
        let rows = sql.rows("SELECT k, c, total FROM t WHERE k = 'a';").await?;
        if rows == vec![vec![json!("a"), json!(10), json!(55)]] {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "{rows:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let queries = sql.execute("SHOW QUERIES;").await?;
    assert_eq!(queries[0]["queries"][0]["state"], "RUNNING");
    Ok(())
}

/// Asks until the answer holds what is wanted.
async fn eventually<F, A>(what: &str, mut ask: F) -> Result<()>
where
    F: FnMut() -> A,
    A: Future<Output = Result<bool>>,
{
    let started = Instant::now();
    while !ask().await? {
        anyhow::ensure!(started.elapsed() < Duration::from_secs(120), "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_rows_are_told_in_the_processing_log() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let sql = server.sql();
    sql.execute(
        "CREATE STREAM text (line STRING) WITH (KAFKA_TOPIC='raw', PARTITIONS=1, VALUE_FORMAT='KAFKA');
         CREATE STREAM s (n INT) WITH (KAFKA_TOPIC='raw', VALUE_FORMAT='JSON');
         CREATE STREAM o AS SELECT n * 2 AS twice FROM s;
         INSERT INTO text VALUES ('no json');
         INSERT INTO text VALUES ('{\"n\": 4}');",
    )
    .await?;
    let errors =
        "SELECT MESSAGE->TYPE, MESSAGE->DESERIALIZATIONERROR->`TOPIC`, LOGGER FROM KSQL_PROCESSING_LOG;";
    eventually("an entry", async || Ok(!sql.rows(errors).await?.is_empty())).await?;
    let rows = sql.rows(errors).await?;
    assert_eq!(rows[0][..2], [json!(0), json!("raw")]);
    assert!(rows[0][2].as_str().is_some_and(|l| l.starts_with("processing.CSAS_O_")), "{rows:?}");
    // The row after it is not held up, and the node is well.
    eventually("the good row", async || Ok(sql.rows("SELECT * FROM o;").await? == [[json!(8)]])).await?;
    let (status, health) = sql.get("/healthcheck").await?;
    assert_eq!(status, StatusCode::OK, "{health}");
    let (_, metrics) = sql.get("/metrics").await?;
    assert!(metrics.contains("weir_processing_log_written_total 1\n"), "{metrics}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_queries_requests_and_the_process() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    sql.execute("CREATE STREAM o AS SELECT * FROM s WHERE n > 1; INSERT INTO s VALUES ('a', 1);").await?;
    sql.execute("INSERT INTO s VALUES ('b', 2);").await?;
    let page = async || Ok::<_, anyhow::Error>(sql.get("/metrics").await?.1);
    let value = |page: &str, start: &str| -> Option<f64> {
        page.lines().find(|l| l.starts_with(start))?.rsplit(' ').next()?.parse().ok()
    };
    eventually("both rows being read", async || {
        let page = page().await?;
        Ok(value(&page, "weir_query_records_in_total{query=\"CSAS_O_") == Some(2.0)
            && value(&page, "weir_query_lag_records{query=\"CSAS_O_") == Some(0.0))
    })
    .await?;
    let page = page().await?;
    for wanted in [
        "weir_query_state{query=\"CSAS_O_2\",state=\"running\"} 1",
        "weir_query_state{query=\"CSAS_O_2\",state=\"error\"} 0",
        "weir_http_requests_total{path=\"/ksql\",status=\"200\"} 3",
        "weir_http_request_duration_seconds_count{path=\"/ksql\"} 3",
        "weir_partition_high_watermark{topic=\"s\",partition=\"0\"} 2",
        "weir_kafka_connections 0",
        "weir_push_queries 0",
    ] {
        assert!(page.contains(wanted), "no {wanted} in {page}");
    }
    for name in ["process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"] {
        assert!(value(&page, name).is_some_and(|v| v > 0.0), "no {name} in {page}");
    }
    // Every sample belongs to the family that was announced last.
    let mut family = "";
    for line in page.lines() {
        match line.strip_prefix("# TYPE ") {
            Some(rest) => family = rest.split(' ').next().unwrap_or_default(),
            None => assert!(line.starts_with('#') || line.starts_with(family), "{line} is not of {family}"),
        }
    }
    // The dashboard and the alerts ask for metrics that exist.
    for file in ["grafana.json", "alerts.yml"] {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file))?;
        let names: Vec<&str> = text
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| word.starts_with("weir_") || word.starts_with("process_"))
            .collect();
        assert!(names.len() > 3, "{file}: {names:?}");
        for name in names {
            let family = name.trim_end_matches("_bucket");
            assert!(page.contains(&format!("# TYPE {family} ")), "{file}: there is no {name}");
        }
    }
    Ok(())
}
