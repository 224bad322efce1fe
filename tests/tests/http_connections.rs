//! Clients that open connections and are slow, or silent, keep no others out.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_tests::raw_http::{PATIENCE, authority, read_answer, send};
use weir_tests::secure_server::Certificates;
use weir_tests::server::ServerProcess;

/// Connections of the servers below.
const CONNECTIONS_MAX: usize = 16;

fn start(folder: &std::path::Path, timeout_ms: &str) -> Result<ServerProcess> {
    ServerProcess::start_adjusted(folder, |command| {
        command.args(["--http-max-connections", &CONNECTIONS_MAX.to_string()]);
        command.args(["--http-request-timeout-ms", timeout_ms]);
    })
}

/// Opens connections that have sent `bytes` and wait.
async fn stuck(server: &ServerProcess, bytes: &[u8], count: usize) -> Result<Vec<TcpStream>> {
    let mut sockets = Vec::new();
    for _ in 0..count {
        let mut socket = TcpStream::connect(authority(server)).await?;
        // The server may have closed it for the next one.
        let _ = socket.write_all(bytes).await;
        sockets.push(socket);
    }
    Ok(sockets)
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_give_way_to_others() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), "600000")?;
    let slow: [&[u8]; 4] = [
        b"",
        b"POST /ksql HTTP/1.1\r\nHost: loc",
        b"POST /ksql HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{\"k",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for bytes in slow {
        let sockets = stuck(&server, bytes, 4 * CONNECTIONS_MAX).await?;
        let started = Instant::now();
        for line in ["GET /healthcheck", "GET /metrics", "GET /info"] {
            assert_eq!(send(&server, line, "", "").await?.status, 200, "{line}");
        }
        let body = json!({"ksql": "SHOW STREAMS;"}).to_string();
        assert_eq!(send(&server, "POST /ksql", "", &body).await?.status, 200);
        println!("beside {} stuck connections: {:?}", sockets.len(), started.elapsed());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn running_queries_do_not_give_way_and_probes_are_answered_beside_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), "600000")?;
    let stream = "CREATE STREAM s (n INT) WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='JSON');";
    server.sql().execute(stream).await?;
    let body = json!({"sql": "SELECT * FROM s EMIT CHANGES;"}).to_string();
    let head =
        format!("POST /query-stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut queries = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut socket = TcpStream::connect(authority(&server)).await?;
        socket.write_all(format!("{head}{body}").as_bytes()).await?;
        let mut part = [0; 12];
        tokio::time::timeout(PATIENCE, socket.read_exact(&mut part)).await??;
        ensure!(part.ends_with(b"200"), "{part:?}");
        queries.push(socket);
    }
    for line in ["GET /healthcheck", "GET /metrics"] {
        assert_eq!(send(&server, line, "", "").await?.status, 200, "{line}");
    }
    let refused = send(&server, "GET /info", "", "").await?;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{refused:?}");
    drop(queries.pop());
    let started = Instant::now();
    while send(&server, "GET /info", "", "").await?.status != 200 {
        ensure!(started.elapsed() < PATIENCE, "the place of a query that is gone stays taken");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_arrive_in_time_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), "500")?;
    let body = b"POST /ksql HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{\"k";
    let mut slow = stuck(&server, body, 1).await?;
    let answer = read_answer(&mut slow[0]).await?;
    assert_eq!(answer.status, 408, "{answer:?}");
    assert!(answer.body.contains("40800"), "{answer:?}");
    for bytes in [b"".as_slice(), b"GET /info HTTP/1.1\r\nHos", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut silent = stuck(&server, bytes, 1).await?;
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, silent[0].read_to_end(&mut rest)).await;
        ensure!(ended.is_ok(), "{:?} is kept", String::from_utf8_lossy(bytes));
    }
    // A connection that is used goes on.
    let mut used = TcpStream::connect(authority(&server)).await?;
    for _ in 0..4 {
        used.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
        let mut part = [0; 12];
        tokio::time::timeout(PATIENCE, used.read_exact(&mut part)).await??;
        let mut rest = [0; 512];
        let _ = tokio::time::timeout(Duration::from_millis(150), used.read(&mut rest)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tls_handshake_that_does_not_come_is_not_waited_for() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let certificates = Certificates::make(folder.path())?;
    let server = ServerProcess::start_adjusted(&folder.path().join("data"), |command| {
        command.arg("--http-tls").args(["--http-request-timeout-ms", "600000"]);
        command.arg("--tls-certificate").arg(certificates.path("server.pem"));
        command.arg("--tls-key").arg(certificates.path("server.key"));
    })?;
    // Nothing, and the beginning of a record of 512 bytes.
    let mut silent = stuck(&server, b"", 1).await?;
    silent.append(&mut stuck(&server, &[0x16, 3, 1, 2, 0, 1], 1).await?);
    for (at, socket) in silent.iter_mut().enumerate() {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut rest)).await;
        ensure!(ended.is_ok(), "handshake {at} is waited for");
    }
    Ok(())
}
