//! Chunks, methods, content types and paths as ksqlDB's clients expect them.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use weir_tests::exposition;
use weir_tests::raw_http::{PATIENCE, authority, chunks, next_answer, read_answer, send};
use weir_tests::server::ServerProcess;

const STREAM: &str =
    "CREATE STREAM s (k STRING KEY, n INT) WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='JSON');";

#[tokio::test(flavor = "multi_thread")]
async fn few_rows_come_in_a_chunk_each() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    let rows: String = (0..5).map(|n| format!("INSERT INTO s VALUES ('k{n}', {n});")).collect();
    sql.execute(&rows).await?;
    let earliest = json!({"auto.offset.reset": "earliest"});
    let query = "SELECT n FROM s EMIT CHANGES LIMIT 5;";
    let body = json!({"sql": query, "properties": earliest}).to_string();
    let answer = send(&server, "POST /query-stream", "", &body).await?;
    let lines = chunks(&answer.body)?;
    assert_eq!(lines.len(), 6, "{lines:?}");
    for line in &lines {
        serde_json::from_str::<Value>(line).with_context(|| format!("a chunk is not one line: {line}"))?;
    }
    let body = json!({"ksql": query, "streamsProperties": earliest}).to_string();
    let answer = send(&server, "POST /query", "", &body).await?;
    let parts = chunks(&answer.body)?;
    assert!(parts.iter().all(|part| part.matches("\"row\"").count() <= 1), "{parts:?}");
    assert_eq!(serde_json::from_str::<Vec<Value>>(&parts.concat())?.len(), 7);
    assert_eq!(answer.header("content-type"), Some("application/vnd.ksql.v1+json"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_share_chunks() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    let target = json!({"target": "s"}).to_string();
    let lines: String = (0..2_000).map(|n| format!("\n{}", json!({"k": "a", "n": n}))).collect();
    let inserted = send(&server, "POST /inserts-stream", "", &format!("{target}{lines}\n")).await?;
    ensure!(inserted.body.contains("\"seq\":1999"), "{}", inserted.body.len());
    let body = json!({"sql": "SELECT n FROM s;"}).to_string();
    let parts = chunks(&send(&server, "POST /query-stream", "", &body).await?.body)?;
    let rows: usize = parts.iter().map(|part| part.lines().count()).sum();
    assert_eq!(rows, 2_001);
    assert!(parts.len() < 1_000, "{} chunks", parts.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_paths_and_types_have_their_statuses() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    server.sql().execute(STREAM).await?;
    for (line, status, code, allow) in [
        ("GET /ksql", 405, "40500", Some("POST")),
        ("DELETE /query-stream", 405, "40500", Some("POST")),
        ("POST /info", 405, "40500", Some("GET,HEAD")),
        ("OPTIONS /query-stream", 405, "40500", Some("POST")),
        ("GET /nowhere", 404, "40400", None),
    ] {
        let answer = send(&server, line, "", "").await?;
        assert_eq!((answer.status, answer.header("allow")), (status, allow), "{line}: {answer:?}");
        assert!(answer.body.contains(code), "{line}: {answer:?}");
    }
    let registry = send(&server, "POST /subjects/t-value/versions", "", "{}").await?;
    assert_eq!(registry.status, 404, "{registry:?}");
    assert!(registry.body.contains("this is no Schema Registry"), "{registry:?}");
    let body = json!({"sql": "SELECT * FROM s;", "ksql": "SELECT * FROM s;"}).to_string();
    for line in ["POST /query", "POST /query-stream"] {
        let answer = send(&server, line, "Accept: text/event-stream\r\n", &body).await?;
        assert_eq!(answer.status, 406, "{answer:?}");
        assert!(answer.body.contains("40600"), "{answer:?}");
    }
    for line in ["GET /info", "GET /healthcheck", "GET /status", "GET /v1/metadata/id", "GET /chc/ready"] {
        let answer = send(&server, line, "Accept: application/vnd.ksql.v1+json\r\n", "").await?;
        assert_eq!(answer.header("content-type"), Some("application/json"), "{line}");
    }
    let created = send(&server, "GET /status/stream/`S`/create", "", "").await?;
    assert_eq!(created.status, 200, "{created:?}");
    assert!(created.body.contains("SUCCESS"), "{created:?}");
    let escaped = send(&server, "GET /status/stream/%60S%60/create", "", "").await?;
    assert_eq!(escaped.body, created.body);
    let rows = format!("{}\n{}\n", json!({"target": "s"}), json!({"nope": 1}));
    let refused = send(&server, "POST /inserts-stream", "", &rows).await?;
    assert!(refused.body.contains("\"@type\":\"InsertError\""), "{refused:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_of_a_connection_may_have_back_quotes_in_its_path() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    server.sql().execute(STREAM).await?;
    let mut socket = TcpStream::connect(authority(&server)).await?;
    let status =
        |name: &str| format!("GET /status/stream/`{name}`/create HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let check = |answer: &weir_tests::raw_http::Answer| {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.contains("\"SUCCESS\""), "{answer:?}");
    };
    for _ in 0..3 {
        socket.write_all(status("S").as_bytes()).await?;
        check(&next_answer(&mut socket).await?);
    }
    // Back-quotes of a body are its own, whether its length is known or it comes in chunks.
    let create = |name: &str| {
        let with = "WITH (KAFKA_TOPIC='x', PARTITIONS=1, VALUE_FORMAT='JSON')";
        json!({"ksql": format!("CREATE STREAM `{name}` (\n`x y` INT) {with};")}).to_string()
    };
    let post = "POST /ksql HTTP/1.1\r\nHost: localhost\r\n";
    let body = create("one");
    socket.write_all(format!("{post}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
    check(&next_answer(&mut socket).await?);
    let body = create("two");
    let (first, second) = body.split_at(body.find('`').context("a back-quote")?);
    let chunked = format!(
        "{post}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:X};a=b\r\n{second}\r\n0\r\n\r\n",
        first.len(),
        second.len()
    );
    socket.write_all(chunked.as_bytes()).await?;
    check(&next_answer(&mut socket).await?);
    // Requests that do not wait for answers.
    socket.write_all(["one", "two", "S"].map(status).concat().as_bytes()).await?;
    for _ in 0..3 {
        check(&next_answer(&mut socket).await?);
    }
    let described = server.sql().execute("DESCRIBE `two`;").await?;
    assert_eq!(described[0]["sourceDescription"]["fields"][0]["name"], "x y", "{described}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_come_in_the_format_that_is_accepted() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    // Both sides of the join read one topic.
    sql.execute(STREAM).await?;
    sql.execute(&STREAM.replace("STREAM s", "STREAM twin")).await?;
    sql.execute(
        "CREATE STREAM j AS SELECT s.k, s.n FROM s JOIN twin WITHIN 1 HOUR ON s.k = twin.k;
         CREATE TABLE t AS SELECT k, COUNT(*) AS c FROM s GROUP BY k;
         INSERT INTO s VALUES ('k', 1);",
    )
    .await?;
    // Figures of queries are published once they run.
    let started = std::time::Instant::now();
    loop {
        let (_, page) = sql.get("/metrics").await?;
        if ["CSAS_J", "CTAS_T"]
            .iter()
            .all(|id| page.contains(&format!("weir_query_lag_records{{query=\"{id}")))
        {
            break;
        }
        ensure!(started.elapsed() < PATIENCE, "a query does not run: {page}");
    }
    let prometheus =
        "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3\r\n";
    let open = send(&server, "GET /metrics", prometheus, "").await?;
    assert!(open.header("content-type").is_some_and(|t| t.starts_with("application/openmetrics-text")));
    assert!(open.body.contains("# TYPE weir_http_requests counter\n") && open.body.contains("# EOF\n"));
    for accept in ["", "Accept: text/plain;version=0.0.4\r\n", "Accept: */*\r\n"] {
        let plain = send(&server, "GET /metrics", accept, "").await?;
        assert_eq!(
            plain.header("content-type"),
            Some("text/plain; version=0.0.4; charset=utf-8"),
            "{accept}"
        );
        assert!(plain.body.contains("# TYPE weir_http_requests_total counter\n"), "{}", plain.body);
        let families = exposition::check(&plain.body)?;
        for family in ["weir_query_records_in_total", "weir_query_lag_records", "weir_client_metric"] {
            assert!(families.contains(family), "{family}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn push_queries_end_with_a_message_when_the_node_stops() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    server.sql().execute(STREAM).await?;
    let open = async |path: &str, body: Value| -> Result<TcpStream> {
        let mut socket = TcpStream::connect(authority(&server)).await?;
        let body = body.to_string();
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
        socket.write_all(format!("{head}{body}").as_bytes()).await?;
        // The query runs once its header comes.
        ensure!(tokio::time::timeout(PATIENCE, socket.readable()).await.is_ok(), "no header");
        Ok(socket)
    };
    let mut rows = open("/query", json!({"ksql": "SELECT * FROM s EMIT CHANGES;"})).await?;
    let mut lines = open("/query-stream", json!({"sql": "SELECT * FROM s EMIT CHANGES;"})).await?;
    let signalled = Command::new("kill").args(["-TERM", &server.id().to_string()]).status()?;
    ensure!(signalled.success(), "no signal was sent");
    let rows = chunks(&read_answer(&mut rows).await?.body)?.concat();
    assert!(rows.contains("{\"finalMessage\":\"The server is shutting down\"}"), "{rows}");
    serde_json::from_str::<Vec<Value>>(&rows).with_context(|| rows.clone())?;
    let lines = chunks(&read_answer(&mut lines).await?.body)?.concat();
    assert!(lines.contains("50303") && lines.contains("shutting down"), "{lines}");
    tokio::time::timeout(PATIENCE, async {
        while TcpStream::connect(authority(&server)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await?;
    Ok(())
}
