//! Access control of the SQL port: authentication, and the rights of each principal by endpoint and statement.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_broker::auth::config::Secret;
use weir_broker::auth::sasl::SaslMechanism;
use weir_broker::auth::scram::ScramMechanism;
use weir_broker::client::admin::Admin;
use weir_broker::client::security::{ClientSasl, ClientSecurity};
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::ids::TopicPartition;
use weir_broker::log::access::{Isolation, OffsetSpec};
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::alter_client_quotas::{
    AlterClientQuotasRequest, EntityData, EntryData, OpData,
};
use weir_broker::protocol::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, ScramCredentialUpsertion,
};
use weir_broker::protocol::messages::create_acls::{AclCreation, CreateAclsRequest};
use weir_broker::protocol::response::Response;
use weir_tests::http::SqlClient;
use weir_tests::identity_provider::TokenKey;
use weir_tests::log_reader::transport;
use weir_tests::raw_http::{PATIENCE, authority, send};
use weir_tests::secure_server::{Certificates, SecureServer};
use weir_tests::server::{ServerProcess, weir_binary};

/// `admin` is a super user; `writer` and `reader` have roles for topics that begin with `a_`; `guest` has none.
const USERS: [&str; 4] = ["admin", "writer", "reader", "guest"];

fn credentials(folder: &Path) -> Result<String> {
    let path = folder.join("users");
    let lines: String = USERS.iter().map(|user| format!("{user}:{user}-secret\n")).collect();
    std::fs::write(&path, lines)?;
    Ok(path.display().to_string())
}

fn start(folder: &Path, further: &[&str]) -> Result<ServerProcess> {
    let users = credentials(folder)?;
    ServerProcess::start_adjusted(&folder.join("data"), |command| {
        command.args(["--credentials-file", &users, "--super-user", "User:admin"]);
        command.args(["--role", "write:User:writer:a_", "--role", "read:User:reader:a_"]).args(further);
    })
}

fn basic(user: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{user}-secret")))
}

fn as_user(server: &ServerProcess, user: &str) -> SqlClient {
    server.sql().authorized(&basic(user))
}

async fn prepare(server: &ServerProcess) -> Result<()> {
    let admin = as_user(server, "admin");
    for name in ["a_in", "b_in"] {
        let create = format!(
            "CREATE STREAM {name} (k STRING KEY, n INT) WITH (KAFKA_TOPIC='{name}', PARTITIONS=1, VALUE_FORMAT='JSON');"
        );
        admin.execute(&create).await?;
    }
    for name in ["a", "b"] {
        let create = format!(
            "CREATE TABLE {name}_t WITH (KAFKA_TOPIC='{name}_t') AS SELECT k, COUNT(*) AS c FROM {name}_in GROUP BY k;"
        );
        admin.execute(&create).await?;
    }
    admin.execute("INSERT INTO a_in VALUES ('x', 1); INSERT INTO b_in VALUES ('x', 1);").await?;
    Ok(())
}

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

/// GET and POST endpoints with the users that they admit, as letters: `a`dmin, `w`riter, `r`eader, `g`uest. What a
/// request to `*` needs follows from its content.
const ENDPOINTS: [(&str, &str); 20] = [
    ("/", "awrg"),
    ("/info", "awrg"),
    ("/healthcheck", "awrg"),
    ("/healthz", "awrg"),
    ("/readyz", "awrg"),
    ("/chc/live", "awrg"),
    ("/chc/ready", "awrg"),
    ("/metrics", "awr"),
    ("/status", "awr"),
    ("/status/{kind}/{entity}/{action}", "*"),
    ("/is_valid_property/{name}", "awrg"),
    ("/v1/metadata", "awrg"),
    ("/v1/metadata/id", "awrg"),
    ("/ksql", "*"),
    ("/ksql/terminate", "*"),
    ("/ws/query", "*"),
    ("/query", "*"),
    ("/query-stream", "*"),
    ("/close-query", "*"),
    ("/inserts-stream", "*"),
];

/// Statements by kind, with the users that may run them. Each runs as guest, reader, writer and admin in turn.
const STATEMENTS: [(&str, &str, &str); 42] = [
    ("SHOW", "SHOW STREAMS;", "awrg"),
    ("SHOW", "SHOW TOPICS;", "awrg"),
    ("SHOW", "SHOW QUERIES;", "awrg"),
    ("DESCRIBE", "DESCRIBE a_in;", "awr"),
    ("DESCRIBE", "DESCRIBE b_in;", "a"),
    ("DESCRIBE", "DESCRIBE FUNCTION ABS;", "awrg"),
    ("EXPLAIN", "EXPLAIN SELECT * FROM a_in EMIT CHANGES;", "awr"),
    ("EXPLAIN", "EXPLAIN SELECT * FROM b_in EMIT CHANGES;", "a"),
    ("ASSERT", "ASSERT TOPIC a_in;", "awr"),
    ("ASSERT", "ASSERT TOPIC b_in;", "a"),
    ("SELECT", "SELECT * FROM a_t;", "awr"),
    ("SELECT", "SELECT * FROM b_t;", "a"),
    ("SELECT", "SELECT * FROM a_in;", "awr"),
    ("SELECT", "SELECT * FROM a_in EMIT CHANGES LIMIT 1;", "awr"),
    ("SELECT", "SELECT * FROM b_in EMIT CHANGES LIMIT 1;", "a"),
    ("SELECT", "SELECT * FROM a_in x JOIN b_in y WITHIN 1 HOUR ON x.k = y.k EMIT CHANGES LIMIT 1;", "a"),
    ("PRINT", "PRINT a_in FROM BEGINNING LIMIT 1;", "awr"),
    ("PRINT", "PRINT b_in FROM BEGINNING LIMIT 1;", "a"),
    ("INSERT VALUES", "INSERT INTO a_in VALUES ('y', 1);", "aw"),
    ("INSERT VALUES", "INSERT INTO b_in VALUES ('y', 1);", "a"),
    (
        "CREATE",
        "CREATE STREAM IF NOT EXISTS a_new (n INT) WITH (KAFKA_TOPIC='a_new', PARTITIONS=1, VALUE_FORMAT='JSON');",
        "aw",
    ),
    (
        "CREATE",
        "CREATE STREAM IF NOT EXISTS b_new (n INT) WITH (KAFKA_TOPIC='b_new', PARTITIONS=1, VALUE_FORMAT='JSON');",
        "a",
    ),
    (
        "CREATE",
        "CREATE STREAM IF NOT EXISTS over_a (n INT) WITH (KAFKA_TOPIC='a_in', VALUE_FORMAT='JSON');",
        "awr",
    ),
    (
        "CREATE",
        "CREATE STREAM IF NOT EXISTS over_b (n INT) WITH (KAFKA_TOPIC='b_in', VALUE_FORMAT='JSON');",
        "a",
    ),
    (
        "CREATE AS SELECT",
        "CREATE STREAM IF NOT EXISTS a_copy WITH (KAFKA_TOPIC='a_copy') AS SELECT * FROM a_in;",
        "aw",
    ),
    (
        "CREATE AS SELECT",
        "CREATE STREAM IF NOT EXISTS steal WITH (KAFKA_TOPIC='a_steal') AS SELECT * FROM b_in;",
        "a",
    ),
    (
        "CREATE AS SELECT",
        "CREATE STREAM IF NOT EXISTS leak WITH (KAFKA_TOPIC='b_leak') AS SELECT * FROM a_in;",
        "a",
    ),
    ("INSERT INTO SELECT", "INSERT INTO b_in SELECT * FROM a_in;", "a"),
    ("PAUSE", "PAUSE ALL;", "a"),
    ("RESUME", "RESUME ALL;", "a"),
    ("TERMINATE", "TERMINATE ALL;", "a"),
    ("ALTER", "ALTER STREAM b_in ADD COLUMN x INT;", "a"),
    ("ALTER SYSTEM", "ALTER SYSTEM 'a'='b';", "a"),
    ("CREATE TYPE", "CREATE TYPE IF NOT EXISTS t AS STRUCT<a INT>;", "a"),
    ("DROP TYPE", "DROP TYPE IF EXISTS t;", "a"),
    ("SET", "SET 'auto.offset.reset'='earliest';", "awrg"),
    ("DROP", "DROP STREAM IF EXISTS b_new DELETE TOPIC;", "a"),
    ("DROP", "DROP STREAM IF EXISTS over_b;", "a"),
    ("CREATE CONNECTOR", "CREATE SOURCE CONNECTOR c WITH ('connector.class'='x');", "a"),
    ("DROP CONNECTOR", "DROP CONNECTOR c;", "a"),
    // Who takes the place of a source must be allowed to change the source that was there.
    (
        "CREATE",
        "CREATE OR REPLACE STREAM b_in (k STRING KEY, n INT, x INT) WITH (KAFKA_TOPIC='a_in', VALUE_FORMAT='JSON');",
        "a",
    ),
    (
        "CREATE AS SELECT",
        "CREATE OR REPLACE TABLE b_t WITH (KAFKA_TOPIC='a_t2') AS SELECT k, COUNT(*) AS c FROM a_in GROUP BY k;",
        "a",
    ),
];

/// Kinds of statements that change the request alone, or are the shell's.
const LOCAL: [&str; 4] = ["UNSET", "DEFINE", "UNDEFINE", "RUN SCRIPT"];

/// Texts of a source file that stand in the arms of a match.
fn arms(file: &str) -> Result<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/src").join(file);
    let text = std::fs::read_to_string(path)?;
    let arms = text.lines().filter_map(|line| line.split_once("=> \"")?.1.split_once('"'));
    Ok(arms.map(|(text, _)| text.to_owned()).collect())
}

#[test]
fn every_endpoint_and_kind_of_statement_has_a_row() -> Result<()> {
    let paths = arms("http/endpoint.rs")?;
    ensure!(paths.len() == ENDPOINTS.len(), "{paths:?}");
    for path in paths {
        ensure!(ENDPOINTS.iter().any(|(known, _)| *known == path), "no row for {path}");
    }
    let kinds = arms("statement/rights.rs")?;
    ensure!(kinds.len() > 20, "{kinds:?}");
    for kind in kinds {
        let has_row = STATEMENTS.iter().any(|(known, ..)| *known == kind);
        ensure!(has_row || LOCAL.contains(&kind.as_str()), "no row for {kind}");
    }
    Ok(())
}

/// Sends a request as each user and checks which are refused. Those with the fewest rights come first, so that what a
/// user may do was not done by another before.
async fn check(server: &ServerProcess, path: &str, body: &Value, allowed: &str) -> Result<()> {
    for user in USERS.iter().rev() {
        let client = as_user(server, user);
        let (status, text) = match body {
            Value::Null => client.get(path).await?,
            body => client.post(path, body).await?,
        };
        let is_denied = status.as_u16() == 403 && text.contains("40301");
        let is_allowed = allowed.contains(&user[..1]);
        ensure!(is_denied != is_allowed, "{user} {path} {body}: {status} {text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_and_statements_need_their_rights() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), &[])?;
    prepare(&server).await?;
    for (path, allowed) in ENDPOINTS.iter().filter(|(_, allowed)| *allowed != "*") {
        check(&server, &path.replace("{name}", "auto.offset.reset"), &Value::Null, allowed).await?;
    }
    check(&server, "/status/stream/B_IN/create", &Value::Null, "a").await?;
    check(&server, "/status/stream/A_IN/create", &Value::Null, "awr").await?;
    check(&server, "/close-query", &json!({"queryId": "none"}), "awrg").await?;
    for (kind, sql, allowed) in STATEMENTS {
        let path = if ["SELECT", "PRINT"].contains(&kind) { "/query" } else { "/ksql" };
        let properties = json!({"auto.offset.reset": "earliest"});
        check(&server, path, &json!({"ksql": sql, "streamsProperties": properties}), allowed).await?;
    }
    check(&server, "/ksql/terminate", &json!({}), "a").await
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_refusals_show_nothing_of_foreign_topics() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), &[])?;
    prepare(&server).await?;
    let reader = as_user(&server, "reader");
    for sql in
        ["SHOW STREAMS;", "SHOW TABLES;", "SHOW QUERIES;", "SHOW ALL TOPICS;", "SHOW STREAMS EXTENDED;"]
    {
        let shown = reader.execute(sql).await?.to_string().to_uppercase();
        assert!(!shown.contains("B_IN") && !shown.contains("B_T"), "{sql}: {shown}");
        assert!(shown.contains("A_"), "{sql}: {shown}");
    }
    let guest = as_user(&server, "guest").execute("SHOW ALL TOPICS;").await?;
    assert_eq!(guest[0]["topics"], json!([]));
    // The analysis would name the columns that there are.
    let (status, text) =
        reader.post("/query", &json!({"ksql": "SELECT nope FROM b_in EMIT CHANGES;"})).await?;
    assert_eq!(status.as_u16(), 403, "{text}");
    // A batch with one forbidden statement does nothing.
    let batch = "CREATE TYPE mine AS INT; SHOW TYPES;";
    let (status, _) = as_user(&server, "writer").post("/ksql", &json!({"ksql": batch})).await?;
    assert_eq!(status.as_u16(), 403);
    let (status, text) = reader.post("/ksql/terminate", &json!({})).await?;
    assert_eq!(status.as_u16(), 403, "{text}");
    let rows = "{\"target\": \"b_in\"}\n{\"k\": \"x\", \"n\": 1}\n";
    let headers = format!("Authorization: {}\r\n", basic("writer"));
    assert_eq!(send(&server, "POST /inserts-stream", &headers, rows).await?.status, 403);
    Ok(())
}

/// Starts a push query as a user and gives its id.
async fn start_push(server: &ServerProcess, user: &str, sql: &str) -> Result<(TcpStream, String)> {
    let body = json!({"sql": sql}).to_string();
    let (credentials, length) = (basic(user), body.len());
    let request = format!(
        "POST /query-stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: {credentials}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let mut socket = TcpStream::connect(authority(server)).await?;
    socket.write_all(request.as_bytes()).await?;
    let mut seen = String::new();
    let mut part = [0; 1_024];
    loop {
        let count = tokio::time::timeout(PATIENCE, socket.read(&mut part)).await??;
        ensure!(count > 0, "the query has ended: {seen}");
        seen.push_str(&String::from_utf8_lossy(&part[..count]));
        let id = seen.split_once("\"queryId\":\"").and_then(|(_, rest)| rest.split_once('"'));
        if let Some((id, _)) = id {
            return Ok((socket, id.to_owned()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn push_queries_are_seen_and_closed_by_their_owner_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), &[])?;
    prepare(&server).await?;
    let (mut socket, id) = start_push(&server, "reader", "SELECT * FROM a_in EMIT CHANGES;").await?;
    for (user, is_own) in [("guest", false), ("writer", false), ("reader", true)] {
        let client = as_user(&server, user);
        let shown = client.execute("SHOW QUERIES;").await?.to_string();
        assert_eq!(shown.contains(&id), is_own, "{user}: {shown}");
        let terminate = json!({"ksql": format!("TERMINATE {id};")});
        let requests = [("/ksql", terminate), ("/close-query", json!({"queryId": id}))];
        for (path, body) in requests.into_iter().skip(usize::from(is_own)) {
            let (status, text) = client.post(path, &body).await?;
            assert_eq!(status.is_success(), is_own, "{user} {path}: {status} {text}");
        }
    }
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, async {
        while !rest.ends_with(b"0\r\n\r\n") {
            ensure!(socket.read_buf(&mut rest).await? > 0, "the connection has ended");
        }
        anyhow::Ok(())
    })
    .await?
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_write_a_topic_may_not_delete_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let secure = SecureServer::start(folder.path(), &[])?;
    // READ, WRITE, CREATE, DESCRIBE.
    let creations = [3, 4, 5, 8].map(|operation| AclCreation {
        resource_type: 2,
        resource_name: "open-".to_owned(),
        resource_pattern_type: 4,
        principal: "User:alice".to_owned(),
        host: "*".to_owned(),
        operation,
        permission_type: 3,
    });
    let request = CreateAclsRequest { creations: creations.to_vec() };
    transport(secure.address("PLAINTEXT")?).send(request.into()).await?;
    let credentials = format!("Basic {}", STANDARD.encode("alice:alice, secret"));
    let alice = secure.server.sql().authorized(&credentials);
    alice
        .execute("CREATE STREAM s (n INT) WITH (KAFKA_TOPIC='open-s', PARTITIONS=1, VALUE_FORMAT='JSON');")
        .await?;
    let (status, text) = alice.post("/ksql", &json!({"ksql": "DROP STREAM s DELETE TOPIC;"})).await?;
    assert_eq!(status.as_u16(), 403, "{text}");
    assert!(text.contains("needs Delete on topic"), "{text}");
    alice.execute("INSERT INTO s VALUES (1); DROP STREAM s;").await?;
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
async fn until_audited(
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

fn weir(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Output> {
    let mut command = Command::new(weir_binary());
    command.args(arguments).envs(variables.iter().copied()).stdin(std::process::Stdio::null());
    command.output().context("the shell does not run")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_proves_itself_over_tls() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let certificates = Certificates::make(folder.path())?;
    let path = |name: &str| certificates.path(name).display().to_string();
    let tls = [
        "--http-tls",
        "--tls-certificate",
        &path("server.pem"),
        "--tls-key",
        &path("server.key"),
        "--tls-client-auth",
        "requested",
        "--tls-client-authorities",
        &path("ca.pem"),
        "--role",
        "read:User:CN=app,O=Weir:a_",
    ];
    let server = start(folder.path(), &tls)?;
    assert!(server.http.starts_with("https://"), "{}", server.http);
    let show = ["--server", &server.http, "-e", "SHOW TOPICS;"];
    let ca = path("ca.pem");
    let run = |further: &[&str], variables: &[(&str, &str)]| weir(&[&show[..], further].concat(), variables);
    let shown = |output: &Output| {
        String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
    };
    let password = [("WEIR_PASSWORD", "admin-secret")];
    let admitted = run(&["--cacert", &ca, "-u", "admin"], &password)?;
    assert!(admitted.status.success(), "{}", shown(&admitted));
    let certified =
        run(&["--cacert", &ca, "--cert", &path("client.pem"), "--key", &path("client.key")], &[])?;
    assert!(certified.status.success(), "{}", shown(&certified));
    for (further, variables, reason) in [
        (vec!["--cacert", &ca, "-u", "admin"], vec![("WEIR_PASSWORD", "wrong")], "wrong"),
        (vec!["--cacert", &ca], vec![], "authentication is required"),
        (vec!["--cacert", &ca, "-u", "admin"], vec![], "WEIR_PASSWORD"),
        (vec!["-u", "admin"], password.to_vec(), "certificate"),
        (vec!["--cacert", &ca, "--token", "x.y.z"], vec![], "not accepted"),
    ] {
        let refused = run(&further, &variables)?;
        let text = shown(&refused);
        assert!(!refused.status.success() && text.contains(reason), "{further:?}: {text}");
        assert!(!text.contains("admin-secret"), "{text}");
    }
    let project = folder.path().join("project");
    let project = project.display().to_string();
    let made = weir(&["migrate", "new", &project, &server.http], &[])?;
    ensure!(made.status.success(), "{}", shown(&made));
    let migrate = ["migrate", "--project", &project, "-u", "admin", "--cacert", &ca, "initialize"];
    let migrated = weir(&migrate, &password)?;
    assert!(migrated.status.success(), "{}", shown(&migrated));
    Ok(())
}

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
