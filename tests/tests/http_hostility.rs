//! Requests that are malformed, too large or never read: the HTTP port refuses them and does not fail.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use weir_tests::server::ServerProcess;

fn address(server: &ServerProcess) -> &str {
    server.http.trim_start_matches("http://")
}

/// Sends bytes and reads the answer up to its end; the connection may be closed early.
async fn send(server: &ServerProcess, request: &[u8]) -> Result<String> {
    let mut socket = TcpStream::connect(address(server)).await?;
    // The server may refuse before it has read everything.
    let _ = socket.write_all(request).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(120), socket.read_to_end(&mut answer)).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// 400 to 499, or 0 if the connection was closed without an answer.
fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
}

async fn is_alive(server: &ServerProcess) -> Result<bool> {
    let (status, _) = server.sql().get("/healthcheck").await?;
    Ok(status.is_success())
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bodies_are_refused_with_400() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let deep = format!("{{\"ksql\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_sql =
        json!({"ksql": format!("SELECT {}1{} FROM s;", "(".repeat(20_000), ")".repeat(20_000))}).to_string();
    let long_name = json!({"ksql": format!("DROP STREAM {};", "x".repeat(1_000_000))}).to_string();
    let bodies: Vec<&[u8]> = vec![
        b"",
        b"{",
        b"null",
        b"[]",
        b"\"text\"",
        b"{\"ksql\": 5}",
        b"{\"ksql\": \"SHOW STREAMS;\", \"streamsProperties\": 3}",
        b"{\"ksql\": \"SHOW STREAMS;\", \"commandSequenceNumber\": \"x\"}",
        b"{\"ksql\": \"\xff\xfe\"}",
        b"{\"ksql\": \"\\ud800\"}",
        b"\x00\x01\x02",
        deep.as_bytes(),
        deep_sql.as_bytes(),
        long_name.as_bytes(),
    ];
    for path in ["/ksql", "/query", "/query-stream", "/close-query", "/inserts-stream"] {
        for body in &bodies {
            let answer = send(&server, &post(path, "", body)).await?;
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            // An unknown member is none of the server's business.
            let is_ignored = path != "/inserts-stream" && status(&answer) == 200;
            assert!(is_ignored || (400..500).contains(&status(&answer)), "{path} {shown}: {answer}");
            if status(&answer) >= 400 {
                assert!(answer.contains("error_code"), "{path} {shown}: {answer}");
            }
        }
    }
    assert!(is_alive(&server).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn large_requests_are_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    // A body over the limit, announced or not.
    let body = vec![b' '; 11 * 1024 * 1024];
    let answer = send(&server, &post("/ksql", "", &body)).await?;
    assert!([0, 413].contains(&status(&answer)), "{answer}");
    let chunked = [
        b"POST /ksql HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nB00000\r\n".as_slice(),
        &body,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    let answer = send(&server, &chunked).await?;
    assert!([0, 413].contains(&status(&answer)), "{answer}");
    // Many headers, and one long header.
    let many: String = (0..5_000).map(|n| format!("X-{n}: y\r\n")).collect();
    let answer = send(&server, &post("/ksql", &many, b"{}")).await?;
    assert!([0, 400, 431].contains(&status(&answer)), "{answer}");
    let long = format!("X-Long: {}\r\n", "y".repeat(2 * 1024 * 1024));
    let answer = send(&server, &post("/ksql", &long, b"{}")).await?;
    assert!([0, 400, 431].contains(&status(&answer)), "{answer}");
    let answer = send(
        &server,
        format!("GET /{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "a".repeat(200_000))
            .as_bytes(),
    )
    .await?;
    assert!([0, 400, 404, 414].contains(&status(&answer)), "{answer}");
    assert!(is_alive(&server).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let kafka: &[u8] = b"\x00\x00\x00\x10\x00\x12\x00\x00\x00\x00\x00\x01\x00\x04test\x00\x00";
    for request in [
        kafka,
        b"GARBAGE\r\n\r\n",
        b"POST /ksql HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /ksql HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"GET /status/%ff/%fe/%00 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /is_valid_property/%ff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"DELETE /ksql HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /ws/query?request=%ff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let answer = send(&server, request).await?;
        let shown = String::from_utf8_lossy(request);
        // HTTP/2 says it in a frame.
        let is_h2 = request.starts_with(b"PRI");
        assert!(is_h2 || status(&answer) == 0 || (400..500).contains(&status(&answer)), "{shown}: {answer}");
    }
    assert!(is_alive(&server).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_dropped_with_a_message() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let listen = ["--http-listen", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0"];
    let patience = ["--slow-reader-timeout-ms", "300"];
    let server = ServerProcess::start_with(folder.path(), &[listen.as_slice(), &patience].concat())?;
    let sql = server.sql();
    sql.execute("CREATE STREAM s (v STRING) WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='JSON');")
        .await?;
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4_096)?;
    let mut slow = socket.connect(address(&server).parse()?).await?;
    let body = json!({"sql": "SELECT * FROM s EMIT CHANGES;"}).to_string();
    slow.write_all(&post("/query-stream", "", body.as_bytes())).await?;
    let mut seen = vec![0; 1_000];
    let count = slow.read(&mut seen).await?;
    ensure!(count > 0, "no header");
    // More than sockets and queues hold.
    let text = "x".repeat(256 * 1024);
    let rows: String = (0..150).map(|_| format!("{}\n", json!({"v": text}))).collect();
    for _ in 0..2 {
        let target = json!({"target": "s"}).to_string();
        let insert = post("/inserts-stream", "", format!("{target}\n{rows}").as_bytes());
        let answer = send(&server, &insert).await?;
        ensure!(answer.contains("\"seq\":149"), "{}", &answer[answer.len().saturating_sub(300)..]);
    }
    let is_running =
        async || Ok::<_, anyhow::Error>(sql.execute("SHOW QUERIES;").await?.to_string().contains("PUSH"));
    let started = std::time::Instant::now();
    while is_running().await? {
        ensure!(started.elapsed() < Duration::from_secs(120), "the query goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(120), slow.read_to_end(&mut rest)).await??;
    let text = String::from_utf8_lossy(&rest);
    let last = text.lines().rev().find(|l| l.starts_with('{')).context("no last line")?;
    let error: Value = serde_json::from_str(last).with_context(|| last.to_owned())?;
    assert!(error["message"].as_str().is_some_and(|m| m.contains("read nothing")), "{error}");
    assert!(is_alive(&server).await?);
    Ok(())
}
