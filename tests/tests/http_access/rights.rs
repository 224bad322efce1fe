//! Rights of each principal, by endpoint and statement.

use std::path::Path;

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_broker::protocol::messages::create_acls::{AclCreation, CreateAclsRequest};
use weir_tests::log_reader::transport;
use weir_tests::raw_http::{PATIENCE, authority, send};
use weir_tests::secure_server::SecureServer;
use weir_tests::server::ServerProcess;

use crate::http_access::{USERS, as_user, basic, prepare, start};

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
    // A query that reads what the reader sees, into what it does not see.
    as_user(&server, "admin").execute("CREATE STREAM b_told AS SELECT * FROM a_in;").await?;
    for sql in [
        "SHOW STREAMS;",
        "SHOW TABLES;",
        "SHOW QUERIES;",
        "SHOW ALL TOPICS;",
        "SHOW STREAMS EXTENDED;",
        "DESCRIBE a_in;",
        "DESCRIBE a_in EXTENDED;",
        "DESCRIBE STREAMS EXTENDED;",
    ] {
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
