//! Statements over HTTP that look at queries and end them, and queries over a WebSocket.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hyper::StatusCode;
use serde_json::{Value, json};
use weir_tests::http::SqlClient;
use weir_tests::server::ServerProcess;
use weir_tests::websocket::{frame, open_ws};

const STREAM: &str =
    "CREATE STREAM s (k STRING KEY, n INT) WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='JSON');";

/// The answer to a statement that is refused, with its status.
async fn refusal(sql: &SqlClient, statement: &str) -> Result<(StatusCode, Value)> {
    let (status, text) = sql.post("/ksql", &json!({"ksql": statement})).await?;
    Ok((status, serde_json::from_str(&text).with_context(|| text)?))
}

async fn eventually_rows(sql: &SqlClient, query: &str, wanted: &[Vec<Value>]) -> Result<()> {
    let started = Instant::now();
    loop {
        let rows = sql.rows(query).await?;
        if rows == wanted {
            return Ok(());
        }
        ensure!(started.elapsed() < Duration::from_secs(120), "{query}: {rows:?}, expected {wanted:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_the_command_it_names() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    let created = sql.execute(STREAM).await?;
    let number = created[0]["commandSequenceNumber"].as_i64().context("a number")?;
    let body = |number: i64| json!({"ksql": "SHOW STREAMS;", "commandSequenceNumber": number});
    let (status, text) = sql.post("/ksql", &body(number)).await?;
    assert_eq!(status, StatusCode::OK, "{text}");
    // A command that nobody has given does not come.
    let (status, text) = sql.post("/ksql", &body(number + 1)).await?;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    assert!(text.contains("50301"), "{text}");
    let query = json!({"ksql": "SELECT * FROM s;", "commandSequenceNumber": number + 1});
    let (status, _) = sql.post("/query", &query).await?;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_explained_paused_and_terminated() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    sql.execute("CREATE TABLE t AS SELECT k, COUNT(*) AS c FROM s GROUP BY k;").await?;
    sql.execute("INSERT INTO s VALUES ('a', 1);").await?;
    eventually_rows(&sql, "SELECT * FROM t;", &[vec![json!("a"), json!(1)]]).await?;
    let queries = sql.execute("SHOW QUERIES EXTENDED;").await?;
    let described = &queries[0]["queryDescriptions"][0];
    let id = described["id"].as_str().context("an id")?;
    let explained = sql.execute(&format!("EXPLAIN {id};")).await?;
    let explained = &explained[0]["queryDescription"];
    for (member, wanted) in [
        ("topology", "Sub-topology: 0"),
        ("topology", "Sink: (topic: T)"),
        ("executionPlan", "AGGREGATE"),
        ("statementText", "COUNT(*)"),
        ("consumerGroupId", id),
        ("state", "RUNNING"),
    ] {
        assert!(explained[member].as_str().is_some_and(|t| t.contains(wanted)), "{member}: {explained}");
    }
    assert_eq!((&explained["sources"], &explained["sinks"]), (&json!(["S"]), &json!(["T"])));
    assert_eq!(explained["overriddenProperties"]["auto.offset.reset"], "earliest");
    // Figures are published a little later than rows.
    let started = Instant::now();
    loop {
        let source = sql.execute("DESCRIBE t EXTENDED;").await?;
        let source = &source[0]["sourceDescription"];
        let offset = &source["queryOffsetSummaries"][0]["topicSummaries"][0]["offsets"][0]["consumerOffset"];
        if *offset == 1 && source["statistics"].as_str().is_some_and(|t| t.contains("records in 1 ")) {
            break;
        }
        ensure!(started.elapsed() < Duration::from_secs(120), "{source}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    sql.execute(&format!("PAUSE {id};")).await?;
    sql.execute("INSERT INTO s VALUES ('a', 2);").await?;
    let state = async || {
        Ok::<_, anyhow::Error>(sql.execute("SHOW QUERIES;").await?[0]["queries"][0]["state"].clone())
    };
    let started = Instant::now();
    while state().await? != "PAUSED" {
        ensure!(started.elapsed() < Duration::from_secs(120), "the query is not paused");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What it had is still there to be asked for.
    eventually_rows(&sql, "SELECT * FROM t;", &[vec![json!("a"), json!(1)]]).await?;
    sql.execute("RESUME ALL;").await?;
    eventually_rows(&sql, "SELECT * FROM t;", &[vec![json!("a"), json!(2)]]).await?;

    sql.execute("TERMINATE ALL;").await?;
    assert_eq!(sql.execute("SHOW QUERIES;").await?[0]["queries"], json!([]));
    let (status, error) = refusal(&sql, &format!("TERMINATE {id};")).await?;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{error}");
    sql.execute("DROP TABLE t DELETE TOPIC;").await?;
    let topics = sql.execute("SHOW TOPICS;").await?.to_string();
    assert!(!topics.contains("\"T\""), "{topics}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_refused_clearly() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    for (statement, status, code, wanted) in [
        ("SHOW CONNECTORS;", 400, 40001, "no Connect worker"),
        ("DESCRIBE CONNECTOR c;", 400, 40001, "no Connect worker"),
        ("ASSERT SCHEMA SUBJECT s;", 417, 41700, "Schema Registry"),
        ("ASSERT TOPIC nowhere TIMEOUT 20 MILLISECONDS;", 417, 41700, "does not exist"),
        ("ASSERT NOT EXISTS TOPIC s TIMEOUT 20 MILLISECONDS;", 417, 41700, "exists"),
        ("ASSERT TOPIC s WITH (PARTITIONS=2) TIMEOUT 20 MILLISECONDS;", 417, 41700, "expected 2, got 1"),
        ("ALTER SYSTEM 'a'='b';", 500, 50000, "ksql.runtime.feature.shared.enabled"),
        (
            "CREATE STREAM a (x INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='AVRO');",
            428,
            42801,
            "VALUE_FORMAT AVRO needs a Schema Registry",
        ),
        (
            "CREATE STREAM a WITH (VALUE_FORMAT='PROTOBUF') AS SELECT * FROM s;",
            428,
            42801,
            "VALUE_FORMAT PROTOBUF needs a Schema Registry",
        ),
    ] {
        let (answered, error) = refusal(&sql, statement).await?;
        assert_eq!((answered.as_u16(), &error["error_code"]), (status, &json!(code)), "{statement}: {error}");
        assert!(error["message"].as_str().is_some_and(|m| m.contains(wanted)), "{statement}: {error}");
    }
    let asserted = sql.execute("ASSERT TOPIC s WITH (PARTITIONS=1);").await?;
    assert_eq!(asserted[0]["exists"], true);
    let properties = sql.execute("LIST PROPERTIES;").await?.to_string();
    assert!(properties.contains("ksql.service.id"), "{properties}");
    let (status, _) = sql.get("/clusterStatus").await?;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (_, metadata) = sql.get("/v1/metadata/id").await?;
    assert!(metadata.contains("kafka-cluster"), "{metadata}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn terminating_the_cluster_leaves_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    sql.execute("CREATE STREAM o AS SELECT * FROM s;").await?;
    let (status, text) = sql.post("/ksql/terminate", &json!({"deleteTopicList": ["("]})).await?;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
    let (status, text) = sql.post("/ksql/terminate", &json!({"deleteTopicList": ["O"]})).await?;
    assert_eq!(status, StatusCode::OK, "{text}");
    let check = async |sql: &SqlClient| -> Result<()> {
        assert_eq!(sql.execute("SHOW QUERIES;").await?[0]["queries"], json!([]));
        let topics = sql.execute("SHOW TOPICS;").await?.to_string();
        assert!(topics.contains("\"s\"") && !topics.contains("\"O\""), "{topics}");
        let streams = sql.execute("SHOW STREAMS;").await?.to_string();
        assert!(!streams.contains("\"S\"") && !streams.contains("\"O\""), "{streams}");
        Ok(())
    };
    check(&sql).await?;
    server.kill()?;
    let server = ServerProcess::start(folder.path())?;
    check(&server.sql()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_answer_over_a_websocket() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    let request = json!({"ksql": "SELECT k, n FROM s EMIT CHANGES LIMIT 1;"}).to_string();
    let mut socket = open_ws(&server, &request, "").await?;
    let schema = frame(&mut socket).await?.context("a schema")?;
    assert_eq!(
        schema[1],
        json!({"name": "N", "schema": {"type": "INTEGER", "fields": null, "memberSchema": null}})
    );
    sql.execute("INSERT INTO s VALUES ('a', 1);").await?;
    assert_eq!(frame(&mut socket).await?, Some(json!({"row": {"columns": ["a", 1]}})));
    assert_eq!(frame(&mut socket).await?, Some(json!({"finalMessage": "Limit Reached"})));
    assert_eq!(frame(&mut socket).await?, None);
    // What is wrong with a query is told in a frame.
    for request in [json!({"ksql": "SELECT nope FROM s;"}).to_string(), "no json".to_owned()] {
        let mut socket = open_ws(&server, &request, "").await?;
        let error = frame(&mut socket).await?.context("an error")?;
        assert_eq!(error["error"]["error_code"].as_i64().map(|c| c / 100), Some(400), "{error}");
        assert_eq!(frame(&mut socket).await?, None);
    }
    // Without an upgrade there is no socket to answer on.
    let (status, _) = sql.get("/ws/query").await?;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    // A client that goes away ends its query.
    let request = json!({"ksql": "SELECT * FROM s EMIT CHANGES;"}).to_string();
    let mut socket = open_ws(&server, &request, "").await?;
    frame(&mut socket).await?;
    let push =
        async || Ok::<_, anyhow::Error>(sql.execute("SHOW QUERIES;").await?.to_string().contains("PUSH"));
    assert!(push().await?);
    drop(socket);
    let started = Instant::now();
    while push().await? {
        ensure!(started.elapsed() < Duration::from_secs(120), "the query goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_query_is_named_and_leaves_the_node_healthy() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(
        "CREATE STREAM text (line STRING) WITH (KAFKA_TOPIC='raw', PARTITIONS=1, VALUE_FORMAT='KAFKA');
         CREATE STREAM s (n INT) WITH (KAFKA_TOPIC='raw', VALUE_FORMAT='JSON');
         SET 'ksql.fail.on.deserialization.error'='true';
         CREATE STREAM o AS SELECT n FROM s;",
    )
    .await?;
    let (status, _) = sql.get("/healthcheck").await?;
    assert_eq!(status, StatusCode::OK);
    sql.execute("INSERT INTO text VALUES ('no json');").await?;
    let started = Instant::now();
    let health = loop {
        let (status, health) = sql.get("/healthcheck").await?;
        assert_eq!(status, StatusCode::OK, "{health}");
        let health: Value = serde_json::from_str(&health)?;
        if health["details"]["queries"]["isHealthy"] == false {
            break health;
        }
        ensure!(started.elapsed() < Duration::from_secs(120), "{health}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let cause = health["details"]["queries"]["reason"].as_str().context("a reason")?;
    assert!(cause.contains("CSAS_O_") && cause.contains("raw"), "{health}");
    assert_eq!(health["details"]["queries"]["failed"], 1);
    assert_eq!(
        (&health["isHealthy"], &health["details"]["kafka"]["isHealthy"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(sql.get("/readyz").await?.0, StatusCode::OK);
    let queries = sql.execute("SHOW QUERIES EXTENDED;").await?;
    let query = &queries[0]["queryDescriptions"][0];
    assert_eq!(query["state"], "ERROR");
    assert!(query["queryErrors"][0]["errorMessage"].as_str().is_some_and(|m| m.contains("raw")), "{query}");
    let (_, metrics) = sql.get("/metrics").await?;
    assert!(metrics.contains("state=\"error\"} 1"), "{metrics}");
    sql.execute("TERMINATE ALL;").await?;
    let (_, health) = sql.get("/healthcheck").await?;
    let health: Value = serde_json::from_str(&health)?;
    assert_eq!(health["details"]["queries"], json!({"isHealthy": true}));
    Ok(())
}
