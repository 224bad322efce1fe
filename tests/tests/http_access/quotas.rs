//! Quotas of HTTP clients.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::alter_client_quotas::{
    AlterClientQuotasRequest, EntityData, EntryData, OpData,
};
use weir_broker::protocol::response::Response;
use weir_tests::log_reader::transport;
use weir_tests::raw_http::{PATIENCE, send};
use weir_tests::secure_server::SecureServer;
use weir_tests::server::ServerProcess;

/// Sets a quota of all HTTP clients, or takes it back.
async fn set_quota(server: &ServerProcess, key: &str, value: Option<f64>) -> Result<()> {
    let entity =
        vec![EntityData { entity_type: "client-id".to_owned(), entity_name: Some("http".to_owned()) }];
    let op = OpData { key: key.to_owned(), value: value.unwrap_or_default(), remove: value.is_none() };
    let entries = vec![EntryData { entity, ops: vec![op] }];
    let request = AlterClientQuotasRequest { entries, validate_only: false };
    let Response::AlterClientQuotas(answer) = transport(&server.kafka).send(request.into()).await? else {
        bail!("the answer is of another API")
    };
    ensure!(answer.entries[0].error_code == ErrorCode::None, "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_hold_for_http_clients() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let long = json!({"ksql": "SHOW FUNCTIONS;"}).to_string();
    // Of an allowance of 100 bytes a second a long answer uses more than ten seconds'.
    set_quota(&server, "consumer_byte_rate", Some(100.0)).await?;
    assert_eq!(send(&server, "POST /ksql", "", &long).await?.status, 200);
    let refused = send(&server, "POST /ksql", "", &long).await?;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("10")), "{refused:?}");
    for probe in ["GET /healthcheck", "GET /healthz", "GET /metrics"] {
        assert_eq!(send(&server, probe, "", "").await?.status, 200, "{probe}");
    }
    set_quota(&server, "consumer_byte_rate", None).await?;
    assert_eq!(send(&server, "POST /ksql", "", &long).await?.status, 200);
    // A body that is under way is held back: 2 seconds, for 3,000 bytes at 1,000 a second.
    set_quota(&server, "producer_byte_rate", Some(1_000.0)).await?;
    let padded = json!({"ksql": format!("SHOW STREAMS;{}", " ".repeat(3_000))}).to_string();
    let started = Instant::now();
    assert_eq!(send(&server, "POST /ksql", "", &padded).await?.status, 200);
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
    set_quota(&server, "producer_byte_rate", None).await?;
    // A nanosecond of a thread's time per second.
    set_quota(&server, "request_percentage", Some(0.000_000_1)).await?;
    assert_eq!(send(&server, "GET /info", "", "").await?.status, 200);
    assert_eq!(send(&server, "GET /info", "", "").await?.status, 429);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_over_their_quota_are_told_when_to_come_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let secure = SecureServer::start(folder.path(), &[])?;
    secure.set_quota("bob", "consumer_byte_rate", 500.0).await?;
    let body = json!({"ksql": "SHOW FUNCTIONS;"}).to_string();
    let ask = async |credentials: &str, line: &str| {
        let header = format!("Authorization: Basic {}\r\n", STANDARD.encode(credentials));
        send(&secure.server, line, &header, &body).await
    };
    let (alice, bob) = ("alice:alice, secret", "bob:bob-secret");
    // A second's worth may be used at once; what is over is made up for.
    let first = ask(bob, "POST /ksql").await?;
    ensure!(first.status == 200 && first.body.len() > 5_000, "{} {}", first.status, first.body.len());
    for line in ["POST /ksql", "POST /query", "GET /info"] {
        let refused = ask(bob, line).await?;
        assert_eq!(refused.status, 429, "{line}: {refused:?}");
        let seconds: u64 = refused.header("retry-after").context("no header")?.parse()?;
        ensure!((1..=10).contains(&seconds), "{refused:?}");
        ensure!(refused.body.contains("\"error_code\":42900"), "{refused:?}");
    }
    assert_eq!(ask(bob, "GET /healthcheck").await?.status, 200, "probes are always answered");
    assert_eq!(ask(alice, "POST /ksql").await?.status, 200, "others have quotas of their own");
    let started = Instant::now();
    while ask(bob, "GET /info").await?.status == 429 {
        ensure!(started.elapsed() < PATIENCE, "the client is never let in again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
