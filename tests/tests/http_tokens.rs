//! Bearer tokens of an identity provider at the real binary: over HTTP and over SASL/OAUTHBEARER.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use weir_broker::auth::config::Secret;
use weir_broker::auth::sasl::SaslMechanism;
use weir_broker::client::security::{ClientSasl, ClientSecurity};
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::client::transport::Transport;
use weir_broker::protocol::messages::metadata::MetadataRequest;
use weir_broker::protocol::response::Response;
use weir_tests::identity_provider::{KeyServer, TokenKey, key_set};
use weir_tests::raw_http::PATIENCE;
use weir_tests::secure_server::Certificates;
use weir_tests::server::ServerProcess;
use weir_tests::time::now_ms;

const ISSUER: &str = "https://id.example";

/// Claims of a token of ada, who may read topics that begin with `a_`.
fn claims() -> Value {
    json!({"sub": "ada", "iss": ISSUER, "aud": ["weir", "other"], "exp": now_ms() / 1_000 + 3_600})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

/// A node that verifies tokens with a key set, and writes its log to a file.
fn start(folder: &Path, jwks: &str, further: &[&str]) -> Result<ServerProcess> {
    let log = File::create(log_file(folder))?;
    ServerProcess::launch(&folder.join("data"), |command| {
        command.args(["--http-listen", "127.0.0.1:0", "--listeners", "SASL_PLAINTEXT://127.0.0.1:0"]);
        command.args(["--super-user", "User:root", "--role", "read:User:ada:a_"]);
        command.args(["--oauth-jwks", jwks, "--oauth-issuer", ISSUER, "--oauth-audience", "weir"]);
        command.args(further).stderr(log);
    })
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("log")
}

/// Names of the topics that an HTTP client with the token sees, or the status and message of the refusal.
async fn over_http(
    server: &ServerProcess,
    token: &str,
) -> Result<std::result::Result<String, (u16, String)>> {
    let client = server.sql().authorized(&format!("Bearer {token}"));
    let (status, text) = client.post("/ksql", &json!({"ksql": "SHOW TOPICS;"})).await?;
    Ok(if status.is_success() { Ok(text) } else { Err((status.as_u16(), text)) })
}

/// The same over SASL/OAUTHBEARER.
async fn over_kafka(server: &ServerProcess, token: &str) -> Result<std::result::Result<String, String>> {
    let sasl = ClientSasl {
        mechanism: SaslMechanism::OauthBearer,
        user: String::new(),
        password: Secret::new(token),
    };
    let security = ClientSecurity { tls: None, sasl: Some(sasl) };
    let transport =
        TcpTransport::new(&server.kafka, TcpTransportConfig { security, ..TcpTransportConfig::default() });
    match transport.send(MetadataRequest::default().into()).await {
        Ok(Response::Metadata(answer)) => {
            let names = answer.topics.into_iter().filter_map(|topic| topic.name);
            Ok(Ok(names.collect::<Vec<_>>().join(" ")))
        }
        Ok(other) => bail!("the answer is of another API: {other:?}"),
        Err(error) => Ok(Err(error.to_string())),
    }
}

/// Checks that both protocols admit the token as ada.
async fn check_admitted(server: &ServerProcess, token: &str) -> Result<()> {
    for topics in [
        over_http(server, token).await?.map_err(|(status, text)| format!("{status} {text}")),
        over_kafka(server, token).await?,
    ] {
        match topics {
            Ok(topics) => ensure!(topics.contains("a_in") && !topics.contains("b_in"), "{topics}"),
            Err(refusal) => bail!("the token is refused: {refusal}"),
        }
    }
    Ok(())
}

/// Checks that both protocols refuse the token, HTTP with this reason.
async fn check_refused(server: &ServerProcess, token: &str, reason: &str) -> Result<()> {
    match over_http(server, token).await? {
        Err((401, text)) => ensure!(text.contains(reason) && !text.contains(token), "{text}"),
        other => bail!("{reason}: {other:?}"),
    }
    match over_kafka(server, token).await? {
        Err(error) => ensure!(!error.contains(token), "{error}"),
        Ok(topics) => bail!("{reason}: {topics}"),
    }
    Ok(())
}

/// Makes a topic that ada may read and one that she may not. `token`: of the super user.
async fn prepare(server: &ServerProcess, token: &str) -> Result<()> {
    let root = server.sql().authorized(&format!("Bearer {token}"));
    for name in ["a_in", "b_in"] {
        let with = format!("WITH (KAFKA_TOPIC='{name}', PARTITIONS=1, VALUE_FORMAT='JSON')");
        root.execute(&format!("CREATE STREAM {name} (n INT) {with};")).await?;
    }
    Ok(())
}

/// Waits until HTTP clients with the token are answered with this status.
async fn until_answered(server: &ServerProcess, token: &str, wanted: u16) -> Result<()> {
    let started = Instant::now();
    loop {
        let answered = over_http(server, token).await?;
        if answered.as_ref().map_or_else(|(status, _)| *status, |_| 200) == wanted {
            return Ok(());
        }
        ensure!(started.elapsed() < PATIENCE, "{answered:?}, expected {wanted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_admit_http_and_kafka_clients_alike() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (key, other) = (TokenKey::new("one")?, TokenKey::new("one")?);
    let file = folder.path().join("keys.json");
    std::fs::write(&file, key_set(&[&key]))?;
    let server = start(folder.path(), &file.display().to_string(), &["--oauth-scope", "sql"])?;
    let scoped = |mut claims: Value| {
        claims["scope"] = json!("mail sql");
        claims
    };
    let sign = |claims: Value| key.token(&scoped(claims));
    prepare(&server, &sign(with("sub", json!("root")))?).await?;
    check_admitted(&server, &sign(claims())?).await?;
    let past = now_ms() / 1_000 - 3_600;
    for (token, reason) in [
        (sign(with("exp", json!(past)))?, "token has expired"),
        (sign(with("nbf", json!(past + 7_200)))?, "not valid yet"),
        (sign(with("iss", json!("https://evil.example")))?, "\\\"iss\\\" claim"),
        (sign(with("aud", json!("other")))?, "\\\"aud\\\" claim"),
        (sign(with("sub", json!("")))?, "\\\"sub\\\" claim"),
        (key.token(&claims())?, "required scope"),
        (other.token(&scoped(claims()))?, "signature is invalid"),
        (TokenKey::new("two")?.token(&scoped(claims()))?, "not in the key set"),
        ("x.y.z".to_owned(), "malformed"),
    ] {
        check_refused(&server, &token, reason).await?;
    }
    // A principal without rights is known, and sees nothing.
    let guest = over_http(&server, &sign(with("sub", json!("guest")))?).await?;
    ensure!(guest.as_ref().is_ok_and(|topics| !topics.contains("_in")), "{guest:?}");
    Ok(())
}

/// Changes the key of a provider from one to another. `publish` makes the set of one key the one that is served.
async fn check_rotation(
    server: &ServerProcess,
    (first, second): (&TokenKey, &TokenKey),
    publish: impl FnOnce(String) -> Result<()>,
) -> Result<()> {
    prepare(server, &first.token(&with("sub", json!("root")))?).await?;
    let (old, new) = (first.token(&claims())?, second.token(&claims())?);
    check_admitted(server, &old).await?;
    check_refused(server, &new, "not in the key set").await?;
    publish(key_set(&[second]))?;
    until_answered(server, &new, 200).await?;
    check_admitted(server, &new).await?;
    check_refused(server, &old, "not in the key set").await
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_keys_of_a_file_are_found() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (first, second) = (TokenKey::new("first")?, TokenKey::new("second")?);
    let file = folder.path().join("keys.json");
    std::fs::write(&file, key_set(&[&first]))?;
    let server = start(folder.path(), &format!("file://{}", file.display()), &[])?;
    check_rotation(&server, (&first, &second), |set| Ok(std::fs::write(&file, set)?)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_keys_of_a_url_are_found_and_kept_while_it_does_not_answer() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let certificates = Certificates::make(folder.path())?;
    let (first, second) = (TokenKey::new("first")?, TokenKey::new("second")?);
    let provider = KeyServer::start(&certificates, key_set(&[&first])).await?;
    let authority = certificates.path("ca.pem").display().to_string();
    let url = format!("{}?code=s3cret", provider.url());
    let server = start(folder.path(), &url, &["--oauth-authorities", &authority])?;
    let publish = |set| {
        provider.publish(set);
        Ok(())
    };
    check_rotation(&server, (&first, &second), publish).await?;
    drop(provider);
    // Whether a new key is the provider's cannot be known now.
    until_answered(&server, &TokenKey::new("third")?.token(&claims())?, 503).await?;
    check_admitted(&server, &second.token(&claims())?).await?;
    drop(server);
    let log = std::fs::read_to_string(log_file(folder.path()))?;
    ensure!(log.contains("cannot be loaded") && !log.contains("s3cret"), "{log}");
    Ok(())
}

#[test]
fn key_set_urls_with_passwords_are_refused_without_showing_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let refused = start(folder.path(), "https://ada:s3cret@id.example/keys", &[]);
    ensure!(refused.is_err(), "the node has started");
    let log = std::fs::read_to_string(log_file(folder.path()))?;
    ensure!(log.contains("https://id.example/keys") && !log.contains("s3cret"), "{log}");
    Ok(())
}
