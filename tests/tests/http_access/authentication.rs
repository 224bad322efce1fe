//! Authentication: clients without valid credentials reach no endpoint.

use anyhow::{Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use weir_broker::auth::scram::ScramMechanism;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, ScramCredentialUpsertion,
};
use weir_broker::protocol::response::Response;
use weir_tests::log_reader::transport;
use weir_tests::raw_http::send;
use weir_tests::secure_server::SecureServer;

use crate::http_access::{basic, start};

#[tokio::test(flavor = "multi_thread")]
async fn clients_without_credentials_reach_no_endpoint() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), &["--http-open-path", "/healthz"])?;
    let wrong = format!("Authorization: Basic {}\r\n", STANDARD.encode("admin:wrong"));
    let body = json!({"ksql": "SHOW STREAMS;", "sql": "SELECT 1;"}).to_string();
    for line in [
        "GET /",
        "GET /info",
        "GET /healthcheck",
        "GET /readyz",
        "GET /chc/live",
        "GET /chc/ready",
        "GET /metrics",
        "GET /status",
        "GET /status/stream/S/create",
        "GET /is_valid_property/x",
        "GET /v1/metadata",
        "GET /v1/metadata/id",
        "GET /ws/query",
        "GET /nowhere",
        "POST /ksql",
        "POST /ksql/terminate",
        "POST /query",
        "POST /query-stream",
        "POST /close-query",
        "POST /inserts-stream",
    ] {
        let headers = ["", &wrong, "Authorization: Bearer x.y.z\r\n", "Authorization: Basic !\r\n"];
        for header in headers.into_iter().take(if line == "POST /ksql" { 4 } else { 1 }) {
            let answer = send(&server, line, header, &body).await?;
            assert_eq!(answer.status, 401, "{line} {header}: {answer:?}");
            assert!(answer.header("www-authenticate").is_some_and(|w| w.contains("Basic")), "{answer:?}");
        }
    }
    assert_eq!(send(&server, "GET /healthz", "", "").await?.status, 200);
    let own = format!("Authorization: {}\r\n", basic("guest"));
    assert_eq!(send(&server, "GET /info", &own, "").await?.status, 200);
    Ok(())
}

/// Passwords that were checked are remembered, but not for longer than they are the users'.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_was_changed_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let secure = SecureServer::start(folder.path(), &[])?;
    let admin = transport(secure.address("PLAINTEXT")?);
    let status = async |password: &str| -> Result<u16> {
        let credentials = format!("Basic {}", STANDARD.encode(format!("alice:{password}")));
        Ok(secure.server.sql().authorized(&credentials).get("/info").await?.0.as_u16())
    };
    assert_eq!((status("alice, secret").await?, status("changed").await?), (200, 401));
    let upsertions = [ScramMechanism::Sha256, ScramMechanism::Sha512].map(|mechanism| {
        let salted = mechanism.salted_password("changed", b"salt", 4_096);
        ScramCredentialUpsertion {
            name: "alice".to_owned(),
            mechanism: mechanism.code(),
            iterations: 4_096,
            salt: b"salt".to_vec().into(),
            salted_password: salted.into(),
        }
    });
    let upsertions = upsertions.to_vec();
    let request = AlterUserScramCredentialsRequest { upsertions, ..Default::default() };
    let answer = admin.send(request.into()).await?;
    let Response::AlterUserScramCredentials(answer) = answer else { bail!("{answer:?}") };
    ensure!(answer.results.iter().all(|result| result.error_code == ErrorCode::None), "{answer:?}");
    assert_eq!((status("alice, secret").await?, status("changed").await?), (401, 200));
    Ok(())
}
