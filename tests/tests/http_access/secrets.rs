//! Secrets: none is logged, stored or shown.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use weir_broker::auth::config::Secret;
use weir_broker::auth::sasl::SaslMechanism;
use weir_broker::auth::scram::ScramMechanism;
use weir_broker::client::admin::Admin;
use weir_broker::client::security::{ClientSasl, ClientSecurity};
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_tests::identity_provider::TokenKey;
use weir_tests::raw_http::send;
use weir_tests::server::{ServerProcess, weir_binary};

use crate::http_access::audit::until_audited;
use crate::http_access::{USERS, as_user, basic, credentials, prepare, weir};

/// Every file below a folder, as text.
fn texts(folder: &Path) -> Result<Vec<(String, String)>> {
    let mut texts = Vec::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry?;
        if entry.file_type().is_file() {
            let text = String::from_utf8_lossy(&std::fs::read(entry.path())?).into_owned();
            texts.push((entry.path().display().to_string(), text));
        }
    }
    Ok(texts)
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_shown_nowhere() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let log = std::fs::File::create(folder.path().join("log"))?;
    let users = credentials(folder.path())?;
    let data = folder.path().join("data");
    // A provider that does not answer, so that its address is logged.
    let jwks = "https://127.0.0.1:1/keys?code=jwks-s3cret";
    let server = ServerProcess::launch(&data, |command| {
        command.args(["--http-listen", "127.0.0.1:0", "--listeners", "SASL_PLAINTEXT://127.0.0.1:0"]);
        command.args(["--credentials-file", &users, "--super-user", "User:admin"]);
        command.args(["--audit-topic", "audit", "--oauth-jwks", jwks]);
        command.env("WEIR_LOG", "trace").stderr(log);
    })?;
    prepare(&server).await?;
    let mut shown = Vec::new();
    let admin = as_user(&server, "admin");

    // Credentials in settings of requests and queries.
    let jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required username='x' password='jaas-s3cret';";
    let properties =
        json!({"sasl.jaas.config": jaas, "producer.sasl.jaas.config": jaas, "auto.offset.reset": "earliest"});
    for sql in [
        "CREATE STREAM a_out AS SELECT * FROM a_in;",
        "SHOW PROPERTIES;",
        "SHOW QUERIES EXTENDED;",
        "EXPLAIN SELECT * FROM a_in EMIT CHANGES;",
        "DESCRIBE a_in EXTENDED;",
    ] {
        let (status, text) =
            admin.post("/ksql", &json!({"ksql": sql, "streamsProperties": properties})).await?;
        ensure!(status.is_success(), "{sql}: {text}");
        shown.push((sql.to_owned(), text));
    }
    let set = format!("SET 'sasl.jaas.config'='{}'; SHOW PROPERTIES;", jaas.replace('\'', "''"));
    let listed = admin.execute(&set).await?.to_string();
    ensure!(listed.contains("[hidden]"), "{listed}");
    shown.push((set.replace("jaas-s3cret", ""), listed));

    // Credentials in requests, taken or refused, and where they do not belong.
    let token = TokenKey::new("one")?.token(&json!({"sub": "ada", "exp": 4_000_000_000_u64}))?;
    for (line, header) in [
        ("GET /info", format!("Authorization: Bearer {token}\r\n")),
        ("GET /info?access_token=url-s3cret", String::new()),
        ("GET /ws/query?access_token=url-s3cret", format!("Authorization: {}\r\n", basic("guest"))),
        ("GET /info", format!("Authorization: Basic {}\r\n", STANDARD.encode("admin:guessed-s3cret"))),
    ] {
        shown
            .push((line.replace("url-s3cret", ""), format!("{:?}", send(&server, line, &header, "").await?)));
    }
    for (mechanism, user, password) in [
        (SaslMechanism::Plain, "admin", "admin-secret"),
        (SaslMechanism::Plain, "admin", "guessed-s3cret"),
        (SaslMechanism::Scram(ScramMechanism::Sha256), "writer", "guessed-s3cret"),
        (SaslMechanism::OauthBearer, "", token.as_str()),
    ] {
        let sasl = ClientSasl { mechanism, user: user.to_owned(), password: Secret::new(password) };
        let security = ClientSecurity { tls: None, sasl: Some(sasl) };
        let config = TcpTransportConfig { security, ..TcpTransportConfig::default() };
        let admin = Admin::new(Arc::new(TcpTransport::new(&server.kafka, config)));
        let error = admin.list_topics().await.err().map(|error| format!("{error:?} {error}"));
        shown.push((format!("{mechanism:?}"), error.unwrap_or_default()));
    }
    let made = Command::new(weir_binary())
        .args(["user", "create", "new", "--brokers", &server.kafka, "-X", "sasl.mechanism=PLAIN"])
        .args(["-X", "sasl.username=admin", "-X", "sasl.password=admin-secret"])
        .env("WEIR_USER_PASSWORD", "made-s3cret")
        .output()?;
    ensure!(made.status.success(), "{made:?}");
    shown
        .push(("weir user create".to_owned(), format!("{made:?}").replace("sasl.password=admin-secret", "")));

    shown.push(("/metrics".to_owned(), admin.get("/metrics").await?.1));
    until_audited(&admin, "http", &[("User:admin", "SHOW", Value::Null, true)]).await?;
    drop(server);
    // The log, and the command topic, the audit topic and all else that the node has written.
    shown.extend(texts(&folder.path().join("data"))?);
    shown.push(("log".to_owned(), std::fs::read_to_string(folder.path().join("log"))?));
    let own = USERS
        .iter()
        .flat_map(|user| [format!("{user}-secret"), STANDARD.encode(format!("{user}:{user}-secret"))]);
    let given = ["jaas-s3cret", "jwks-s3cret", "url-s3cret", "guessed-s3cret", "made-s3cret", token.as_str()];
    for secret in own.chain(given.map(str::to_owned)).chain([STANDARD.encode("admin:guessed-s3cret")]) {
        for (place, text) in &shown {
            ensure!(!text.contains(&secret), "{secret} is in {place}");
        }
    }
    let has = |wanted: &str| shown.iter().any(|(_, text)| text.contains(wanted));
    ensure!(
        has("cannot be loaded") && has("[hidden]") && has("CREATE STREAM a_out"),
        "what is searched is not there"
    );
    Ok(())
}

#[test]
fn tools_show_no_secrets_of_addresses() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let project = folder.path().join("project").display().to_string();
    let address = "http://ada:s3cret@localhost:1";
    let jwks = "https://id.example/keys?code=s3cret";
    for (arguments, is_refused) in [
        (vec!["--server", address, "-e", "SHOW STREAMS;"], true),
        (vec!["migrate", "new", &project, address], true),
        (vec!["config", "show", "--oauth-jwks", jwks], false),
        (vec!["config", "show", "--oauth-jwks", "https://ada:s3cret@id.example/keys"], false),
    ] {
        let output = weir(&arguments, &[("WEIR_CREDENTIALS", "ada:s3cret")])?;
        let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
        ensure!(output.status.success() != is_refused, "{arguments:?}: {text}");
        ensure!(!text.contains("s3cret"), "{arguments:?}: {text}");
    }
    ensure!(!folder.path().join("project").exists(), "the project has an address with a password");
    Ok(())
}
