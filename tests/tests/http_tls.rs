//! HTTPS at the real binary: HTTP/2 by ALPN, certificates of clients, and new certificates without a restart.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Version;
use serde_json::{Value, json};
use weir_tests::http::SqlClient;
use weir_tests::raw_http::PATIENCE;
use weir_tests::secure_server::Certificates;
use weir_tests::server::ServerProcess;

const STREAM: &str =
    "CREATE STREAM s (k STRING KEY, n INT) WITH (KAFKA_TOPIC='a_s', PARTITIONS=1, VALUE_FORMAT='JSON');";
const PUSH: &str = "SELECT n FROM s EMIT CHANGES;";

/// A node with HTTPS and the super user `admin`; the owner of the client certificate may read topics that begin with
/// `a_`.
fn start(folder: &Path, certificates: &Certificates, client_auth: &str) -> Result<ServerProcess> {
    std::fs::write(folder.join("users"), "admin:admin-secret\n")?;
    ServerProcess::start_adjusted(&folder.join("data"), |command| {
        command.arg("--http-tls").arg("--tls-certificate").arg(certificates.path("server.pem"));
        command.arg("--tls-key").arg(certificates.path("server.key"));
        command.arg("--tls-client-authorities").arg(certificates.path("ca.pem"));
        command.args(["--tls-client-auth", client_auth, "--role", "read:User:CN=app,O=Weir:a_"]);
        command.args(["--super-user", "User:admin", "--credentials-file"]).arg(folder.join("users"));
    })
}

/// A client that trusts the authority of `certificates`, and shows the certificate of `own`.
fn client(
    server: &ServerProcess,
    certificates: &Certificates,
    own: Option<&Certificates>,
) -> Result<SqlClient> {
    let own = own.map(|own| (own.path("client.pem"), own.path("client.key")));
    SqlClient::over_tls(&server.http, &certificates.path("ca.pem"), own)
}

fn as_admin(client: &SqlClient) -> SqlClient {
    client.authorized(&format!("Basic {}", STANDARD.encode("admin:admin-secret")))
}

fn query(sql: &str) -> Value {
    json!({"ksql": sql, "streamsProperties": {"auto.offset.reset": "earliest"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn https_speaks_http2_and_streams_push_queries() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let certificates = Certificates::make(folder.path())?;
    let server = start(folder.path(), &certificates, "none")?;
    let admin = as_admin(&client(&server, &certificates, None)?);
    admin.execute(STREAM).await?;
    let response = admin.open("/ksql", &json!({"ksql": "SHOW STREAMS;"})).await?;
    assert_eq!((response.version(), response.status().as_u16()), (Version::HTTP_2, 200));
    let refused =
        client(&server, &certificates, None)?.open("/ksql", &json!({"ksql": "SHOW STREAMS;"})).await?;
    assert_eq!((refused.version(), refused.status().as_u16()), (Version::HTTP_2, 401));
    // All requests share one connection, on which neither query holds up the other or a statement.
    let mut streams = Vec::new();
    for path in ["/query-stream", "/query"] {
        let mut rows = admin.stream(path, &query(PUSH)).await?;
        rows.until("queryId").await?;
        streams.push(rows);
    }
    for n in 1..=3 {
        admin.execute(&format!("INSERT INTO s VALUES ('k', {n});")).await?;
        for rows in &mut streams {
            rows.until(&format!("[{n}]")).await?;
        }
    }
    // The reset of a stream ends its query; the connection goes on.
    drop(streams);
    let started = Instant::now();
    loop {
        let queries = admin.execute("SHOW QUERIES;").await?;
        if queries[0]["queries"].as_array().is_some_and(Vec::is_empty) {
            break;
        }
        ensure!(started.elapsed() < PATIENCE, "{queries}");
    }
    let answer =
        admin.stream("/query-stream", &query("SELECT n FROM s EMIT CHANGES LIMIT 3;")).await?.rest().await?;
    assert_eq!(answer.lines().skip(1).collect::<Vec<_>>(), ["[1]", "[2]", "[3]"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_name_http_clients() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let certificates = Certificates::make(folder.path())?;
    let foreign = folder.path().join("foreign");
    std::fs::create_dir(&foreign)?;
    let foreign = Certificates::make(&foreign)?;
    let server = start(folder.path(), &certificates, "required")?;
    let certified = client(&server, &certificates, Some(&certificates))?;
    // Beside a certificate, credentials name the client.
    let admin = as_admin(&certified);
    admin.execute(STREAM).await?;
    admin.execute(&STREAM.replace("STREAM s", "STREAM b").replace("a_s", "b_s")).await?;
    let topics = certified.execute("SHOW TOPICS;").await?.to_string();
    ensure!(topics.contains("a_s") && !topics.contains("b_s"), "{topics}");
    let (status, text) = certified.post("/ksql", &json!({"ksql": "INSERT INTO s VALUES ('k', 1);"})).await?;
    ensure!(status.as_u16() == 403 && text.contains("User:CN=app,O=Weir"), "{status} {text}");
    for own in [None, Some(&foreign)] {
        let refused = client(&server, &certificates, own)?.get("/info").await;
        ensure!(refused.is_err(), "{own:?}: {refused:?}");
    }
    // A client knows a server by its authority.
    ensure!(client(&server, &foreign, Some(&certificates))?.get("/info").await.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn https_certificates_are_loaded_anew_on_sighup() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let certificates = Certificates::make(folder.path())?;
    let server = start(folder.path(), &certificates, "none")?;
    let before = as_admin(&client(&server, &certificates, None)?);
    before.execute(STREAM).await?;
    let mut rows = before.stream("/query-stream", &query(PUSH)).await?;
    rows.until("queryId").await?;
    Certificates::make(&certificates.folder)?;
    ensure!(client(&server, &certificates, None)?.get("/info").await.is_err(), "the authority is new");
    let signalled = Command::new("kill").args(["-HUP", &server.id().to_string()]).status()?;
    ensure!(signalled.success(), "no signal was sent");
    let started = Instant::now();
    loop {
        let after = as_admin(&client(&server, &certificates, None)?);
        match after.execute("INSERT INTO s VALUES ('k', 7);").await {
            Ok(_) => break,
            Err(error) => {
                ensure!(started.elapsed() < PATIENCE, "the certificates are not used: {error:#}");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
    }
    // Connections that were there before go on.
    rows.until("[7]").await?;
    before.execute("INSERT INTO s VALUES ('k', 8);").await?;
    rows.until("[8]").await?;
    Ok(())
}
