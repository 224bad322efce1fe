//! Rights that are taken away while requests run: rules, users and tokens.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_tests::http::{SqlClient, Streamed};
use weir_tests::identity_provider::{TokenKey, key_set};
use weir_tests::raw_http::{PATIENCE, authority};
use weir_tests::secure_server::SecureServer;
use weir_tests::time::now_ms;
use weir_tests::websocket::{frame, open_ws};

const STREAM: &str = "CREATE STREAM s (k STRING KEY, n INT) \
                      WITH (KAFKA_TOPIC='open-s', PARTITIONS=1, VALUE_FORMAT='JSON');";

/// A push query of a client, which runs when this returns.
async fn push(client: &SqlClient, path: &str) -> Result<Streamed> {
    let mut rows = client.stream(path, &json!({"ksql": "SELECT n FROM s EMIT CHANGES;"})).await?;
    rows.until("queryId").await?;
    Ok(rows)
}

/// `/inserts-stream` with a request body that goes on.
struct Inserts {
    socket: TcpStream,
    answer: String,
}

impl Inserts {
    async fn open(secure: &SecureServer, credentials: &str) -> Result<Inserts> {
        let mut socket = TcpStream::connect(authority(&secure.server)).await?;
        let head = format!(
            "POST /inserts-stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {}\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
            STANDARD.encode(credentials)
        );
        socket.write_all(head.as_bytes()).await?;
        let mut inserts = Inserts { socket, answer: String::new() };
        inserts.send(&json!({"target": "s"})).await?;
        Ok(inserts)
    }

    async fn send(&mut self, line: &Value) -> Result<()> {
        let line = format!("{line}\n");
        Ok(self.socket.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).await?)
    }

    /// Waits for a text in the answer.
    async fn until(&mut self, wanted: &str) -> Result<()> {
        let mut part = [0; 4_096];
        while !self.answer.contains(wanted) {
            let read = tokio::time::timeout(PATIENCE, self.socket.read(&mut part)).await;
            let count = read.with_context(|| format!("no {wanted}: {}", self.answer))??;
            ensure!(count > 0, "the answer has ended: {}", self.answer);
            self.answer.push_str(std::str::from_utf8(&part[..count])?);
        }
        Ok(())
    }
}

/// Waits until so many push queries are listed.
async fn until_push_queries(admin: &SqlClient, wanted: usize) -> Result<()> {
    let started = Instant::now();
    loop {
        let queries = admin.execute("SHOW QUERIES;").await?;
        if queries[0]["queries"].as_array().map(Vec::len) == Some(wanted) {
            return Ok(());
        }
        ensure!(started.elapsed() < PATIENCE, "{queries}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_rules_and_deleted_users_end_running_requests() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let secure = SecureServer::start(folder.path(), &[])?;
    secure.admit_users().await?;
    let admin = secure.sql_as("admin", "admin-secret");
    admin.execute(STREAM).await?;
    let (alice, bob) = (secure.sql_as("alice", "alice, secret"), secure.sql_as("bob", "bob-secret"));
    let mut queries = [push(&alice, "/query").await?, push(&alice, "/query-stream").await?];
    let mut print = alice.stream("/query", &json!({"ksql": "PRINT 'open-s' FROM BEGINNING;"})).await?;
    let mut inserts = Inserts::open(&secure, "alice:alice, secret").await?;
    let headers = format!("Authorization: Basic {}\r\n", STANDARD.encode("alice:alice, secret"));
    let request = json!({"ksql": "SELECT n FROM s EMIT CHANGES;"}).to_string();
    let mut socket = open_ws(&secure.server, &request, &headers).await?;
    frame(&mut socket).await?;
    let mut other = push(&bob, "/query").await?;
    inserts.send(&json!({"k": "a", "n": 1})).await?;
    inserts.until("{\"status\":\"ok\",\"seq\":0}").await?;
    for rows in queries.iter_mut().chain([&mut other]) {
        rows.until("[1]").await?;
    }
    print.until("\"N\":1").await?;
    assert_eq!(frame(&mut socket).await?, Some(json!({"row": {"columns": [1]}})));

    secure.remove_acls("alice").await?;
    let ended =
        "the query was ended: User:alice is not authorized to SELECT: needs Read on topic \\\"open-s\\\"";
    for rows in &mut queries {
        let answer = rows.rest().await?;
        ensure!(answer.contains(ended) && answer.contains("\"error_code\":40301"), "{answer}");
    }
    let items: Vec<Value> = serde_json::from_str(&queries[0].rest().await?)?;
    assert_eq!(items.last().context("no item")?["errorMessage"]["error_code"], 40_301);
    let printed = print.rest().await?;
    ensure!(printed.contains("User:alice is not authorized to PRINT"), "{printed}");
    let error = frame(&mut socket).await?.context("an error")?;
    ensure!(error["error"]["error_code"] == 40_301 && frame(&mut socket).await?.is_none(), "{error}");
    inserts.send(&json!({"k": "a", "n": 2})).await?;
    inserts.until("\"seq\":1").await?;
    ensure!(inserts.answer.contains("\"error_code\":40301"), "{}", inserts.answer);
    until_push_queries(&admin, 1).await?;

    // Queries of others go on.
    admin.execute("INSERT INTO s VALUES ('a', 33);").await?;
    other.until("[33]").await?;
    secure.delete_user("bob").await?;
    let answer = other.rest().await?;
    ensure!(answer.contains("the query was ended: User:bob: the user has been deleted"), "{answer}");
    ensure!(answer.contains("\"error_code\":40100") && !answer.contains("[2]"), "{answer}");
    until_push_queries(&admin, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_tokens_end_running_queries() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let key = TokenKey::new("one")?;
    let file = folder.path().join("keys.json");
    std::fs::write(&file, key_set(&[&key]))?;
    let secure = SecureServer::start(folder.path(), &["--oauth-jwks", &file.display().to_string()])?;
    secure.admit_users().await?;
    let admin = secure.sql_as("admin", "admin-secret");
    admin.execute(STREAM).await?;
    let with_token = |seconds: i64| -> Result<SqlClient> {
        let token = key.token(&json!({"sub": "alice", "exp": now_ms() / 1_000 + seconds}))?;
        Ok(secure.server.sql().authorized(&format!("Bearer {token}")))
    };
    let mut lasting = push(&with_token(3_600)?, "/query").await?;
    // Clocks may differ by 30 s, so that this token is accepted for 8 s more.
    let expiring = with_token(-22)?;
    let mut rows = push(&expiring, "/query").await?;
    let answer = rows.rest().await?;
    ensure!(answer.contains("the query was ended: User:alice: token has expired"), "{answer}");
    ensure!(answer.contains("\"error_code\":40100"), "{answer}");
    let (status, text) = expiring.get("/info").await?;
    ensure!(status.as_u16() == 401 && text.contains("token has expired"), "{status} {text}");
    admin.execute("INSERT INTO s VALUES ('a', 33);").await?;
    lasting.until("[33]").await
}
