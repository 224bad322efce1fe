//! Pages of other sites, in the browser of a user of the machine, reach no endpoint; programs and allowed pages do.

use anyhow::Result;
use serde_json::json;
use weir_tests::raw_http::send;
use weir_tests::server::ServerProcess;

const UPGRADE: &str = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A statement that a foreign page would like to run.
fn statement() -> String {
    json!({"ksql": "CREATE STREAM csrf (a INT) WITH (KAFKA_TOPIC='csrf', PARTITIONS=1, VALUE_FORMAT='JSON');"})
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_pages_reach_no_endpoint() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let body = statement();
    for line in
        ["POST /ksql", "POST /query", "POST /query-stream", "POST /inserts-stream", "POST /ksql/terminate"]
    {
        for headers in [
            "Origin: http://evil.example\r\n",
            "Origin: http://evil.example\r\nContent-Type: text/plain\r\n",
            "Origin: null\r\nContent-Type: application/json\r\n",
            "Origin: http://evil.example\r\nHost: evil.example\r\n",
            "Host: evil.example\r\n",
        ] {
            let answer = send(&server, line, headers, &body).await?;
            assert_eq!(answer.status, 403, "{line} {headers}: {answer:?}");
            assert!(answer.body.contains("40300"), "{answer:?}");
        }
        for headers in [
            "Content-Type: text/plain\r\n",
            "Content-Type: multipart/form-data; boundary=x\r\n",
            "Content-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: cross-site\r\n",
        ] {
            let answer = send(&server, line, headers, &body).await?;
            assert_eq!(answer.status, 415, "{line} {headers}: {answer:?}");
        }
    }
    for line in ["GET /info", "GET /metrics", "GET /status", "GET /nowhere"] {
        let answer = send(&server, line, "Origin: https://evil.example\r\n", "").await?;
        assert_eq!(answer.status, 403, "{line}");
    }
    let ws = "GET /ws/query?request=%7B%22ksql%22%3A%22SHOW%20STREAMS%3B%22%7D";
    let headers = format!("{UPGRADE}Origin: https://evil.example\r\n");
    assert_eq!(send(&server, ws, &headers, "").await?.status, 403);
    let streams = server.sql().execute("SHOW STREAMS;").await?.to_string();
    assert!(!streams.contains("CSRF"), "{streams}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_and_the_nodes_own_pages_are_served() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let body = json!({"ksql": "SHOW STREAMS;"}).to_string();
    let authority = weir_tests::raw_http::authority(&server);
    for headers in [
        String::new(),
        // curl -d
        "Content-Type: application/x-www-form-urlencoded\r\n".to_owned(),
        "Content-Type: application/json; charset=utf-8\r\n".to_owned(),
        format!("Host: {authority}\r\nOrigin: http://{authority}\r\nContent-Type: application/json\r\n"),
        "Host: [::1]:8088\r\n".to_owned(),
    ] {
        let answer = send(&server, "POST /ksql", &headers, &body).await?;
        assert_eq!(answer.status, 200, "{headers}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_origins_are_answered_as_browsers_ask() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start_adjusted(folder.path(), |command| {
        command.args(["--http-allow-origin", "https://app.example", "--http-allow-host", "node.example"]);
    })?;
    let question = "Origin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n\
                    Access-Control-Request-Headers: content-type\r\n";
    let answer = send(&server, "OPTIONS /query-stream", question, "").await?;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
    assert!(answer.header("access-control-allow-methods").is_some_and(|m| m.contains("POST")));
    let headers = "Origin: https://app.example\r\nHost: node.example\r\nContent-Type: application/json\r\n";
    let body = json!({"ksql": "SHOW STREAMS;"}).to_string();
    let answer = send(&server, "POST /ksql", headers, &body).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(answer.header("vary"), Some("Origin"));
    let other = send(&server, "OPTIONS /ksql", "Origin: https://other.example\r\n", "").await?;
    assert_eq!(other.status, 403);
    assert_eq!(other.header("access-control-allow-origin"), None);
    Ok(())
}
