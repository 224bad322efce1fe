//! Access decisions of both protocols in the audit topic.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use weir_broker::auth::config::Secret;
use weir_broker::auth::sasl::SaslMechanism;
use weir_broker::auth::scram::ScramMechanism;
use weir_broker::client::admin::Admin;
use weir_broker::client::security::{ClientSasl, ClientSecurity};
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::ids::TopicPartition;
use weir_broker::log::access::{Isolation, OffsetSpec};
use weir_tests::http::SqlClient;
use weir_tests::raw_http::{PATIENCE, send};
use weir_tests::secure_server::SecureServer;

use crate::http_access::{as_user, prepare, start};

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_written_to_the_audit_topic() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), &["--audit-topic", "audit"])?;
    prepare(&server).await?;
    let secret = "SELECT * FROM b_t WHERE k = 'secret-value';";
    as_user(&server, "reader").post("/query", &json!({"ksql": secret})).await?;
    send(&server, "GET /info", "", "").await?;
    let admin = as_user(&server, "admin");
    let wanted = [
        ("User:reader", "SELECT", json!("b_t"), false),
        ("User:admin", "INSERT VALUES", json!("a_in"), true),
        ("User:ANONYMOUS", "Authenticate", Value::Null, false),
    ];
    let text = until_audited(&admin, "http", &wanted).await?;
    assert!(!text.contains("secret-value"), "{text}");
    Ok(())
}

/// Waits until the topic `audit` holds decisions about these principals, actions and topics. Returns all of it.
pub(super) async fn until_audited(
    admin: &SqlClient,
    interface: &str,
    wanted: &[(&str, &str, Value, bool)],
) -> Result<String> {
    let started = Instant::now();
    // Each PRINT is a decision, too, so the topic always holds one record more than the last time.
    for limit in wanted.len().. {
        let print = json!({"ksql": format!("PRINT audit FROM BEGINNING LIMIT {limit};")});
        let (_, text) = admin.post("/query", &print).await?;
        let records = text.lines().filter_map(|line| {
            let (_, rest) = line.split_once("value: ")?;
            let end = rest.rfind(", partition")?;
            serde_json::from_str::<Value>(&rest[..end]).ok()
        });
        let records: Vec<Value> = records.collect();
        let has = |(principal, action, topic, allowed): &(&str, &str, Value, bool)| {
            records.iter().any(|r| {
                r["principal"] == *principal
                    && r["action"] == *action
                    && r["resourceName"] == *topic
                    && r["allowed"] == *allowed
                    && r["client"] == "127.0.0.1"
                    && r["interface"] == interface
                    && r["time"].as_i64().is_some_and(|t| t > 0)
            })
        };
        if wanted.iter().all(has) {
            return Ok(text);
        }
        ensure!(started.elapsed() < PATIENCE, "{text}");
    }
    unreachable!("the range has no end")
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_about_kafka_clients_are_audited() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let secure = SecureServer::start(folder.path(), &["--audit-topic", "audit"])?;
    secure.admit_users().await?;
    let alice = |password: &str| -> Result<Admin> {
        let sasl = ClientSasl {
            mechanism: SaslMechanism::Scram(ScramMechanism::Sha512),
            user: "alice".to_owned(),
            password: Secret::new(password),
        };
        let security = ClientSecurity { tls: None, sasl: Some(sasl) };
        let config = TcpTransportConfig { security, ..TcpTransportConfig::default() };
        Ok(Admin::new(Arc::new(TcpTransport::new(secure.address("SASL_PLAINTEXT")?, config))))
    };
    let create = async |client: &Admin, topic: &str| client.create_topic(topic, 1, &BTreeMap::new()).await;
    let known = alice("alice, secret")?;
    create(&known, "open-x").await?;
    ensure!(create(&known, "closed").await.is_err(), "no rule allows it");
    known
        .list_offsets(&[(TopicPartition::new("open-x", 0), OffsetSpec::Latest)], Isolation::ReadUncommitted)
        .await?;
    ensure!(create(&alice("guessed")?, "open-y").await.is_err(), "the password is wrong");
    let wanted = [
        ("User:alice", "SaslAuthenticate", Value::Null, true),
        ("User:alice", "SaslAuthenticate", Value::Null, false),
        ("User:alice", "CreateTopics", json!("open-x"), true),
        ("User:alice", "CreateTopics", json!("closed"), false),
        ("User:alice", "ListOffsets", json!("open-x"), true),
    ];
    let text = until_audited(&secure.sql_as("admin", "admin-secret"), "kafka", &wanted).await?;
    for secret in ["alice, secret", "guessed"] {
        assert!(!text.contains(secret), "{text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_read_the_audit_topic_and_change_nothing_of_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), &["--audit-topic", "audit"])?;
    let admin = as_user(&server, "admin");
    admin
        .execute(
            "CREATE STREAM s (principal STRING) WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='JSON');",
        )
        .await?;
    admin
        .execute("CREATE STREAM a (principal STRING) WITH (KAFKA_TOPIC='audit', VALUE_FORMAT='JSON');")
        .await?;
    let started = Instant::now();
    while !admin.rows("SELECT * FROM a;").await?.contains(&vec![json!("User:admin")]) {
        ensure!(started.elapsed() < PATIENCE, "the stream shows no decision");
    }
    for statement in [
        "INSERT INTO a VALUES ('User:forged');",
        "INSERT INTO a SELECT * FROM s;",
        "CREATE STREAM b WITH (KAFKA_TOPIC='audit') AS SELECT * FROM s;",
        "CREATE TABLE b WITH (KAFKA_TOPIC='audit') AS SELECT principal, COUNT(*) AS c FROM s GROUP BY principal;",
        "DROP STREAM a DELETE TOPIC;",
    ] {
        let (status, text) = admin.post("/ksql", &json!({"ksql": statement})).await?;
        ensure!(
            status.as_u16() == 400 && text.contains("read-only topic: audit"),
            "{statement}: {status} {text}"
        );
    }
    let (_, text) = admin.post("/inserts-stream", &json!({"target": "a"})).await?;
    ensure!(text.contains("read-only topic: audit"), "{text}");
    let (status, text) = admin.post("/ksql/terminate", &json!({"deleteTopicList": [".*"]})).await?;
    ensure!(status.is_success(), "{status} {text}");
    let topics = admin.execute("SHOW TOPICS;").await?.to_string();
    ensure!(topics.contains("\"audit\"") && !topics.contains("\"s\""), "{topics}");
    Ok(())
}
