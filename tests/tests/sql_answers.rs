//! The members, types and codes of answers, as ksqlDB's clients expect them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hyper::StatusCode;
use serde_json::{Value, json};
use weir_broker::client::transport::Transport;
use weir_broker::protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use weir_broker::protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use weir_broker::protocol::request::Request;
use weir_tests::http::SqlClient;
use weir_tests::log_reader::transport;
use weir_tests::server::ServerProcess;

const STREAM: &str =
    "CREATE STREAM s (k STRING KEY, n INT) WITH (KAFKA_TOPIC='s', PARTITIONS=2, VALUE_FORMAT='JSON');";

async fn refused(sql: &SqlClient, path: &str, body: &Value) -> Result<Value> {
    let (status, text) = sql.post(path, body).await?;
    assert!(!status.is_success(), "{path} {body}: {text}");
    let mut error: Value = serde_json::from_str(&text).with_context(|| text)?;
    error["status"] = json!(status.as_u16());
    Ok(error)
}

fn check(error: &Value, status: u16, code: u32, kind: &str) {
    let found = (&error["status"], &error["error_code"], &error["@type"]);
    assert_eq!(found, (&json!(status), &json!(code), &json!(kind)), "{error}");
    assert_eq!(error.get("statementText").is_some(), kind == "statement_error", "{error}");
}

/// The id of the only push query, once there is one.
async fn push_id(sql: &SqlClient) -> Result<String> {
    let started = Instant::now();
    loop {
        let queries = sql.execute("SHOW QUERIES;").await?;
        let queries = queries[0]["queries"].as_array().context("queries")?;
        if let Some(push) = queries.iter().find(|q| q["queryType"] == "PUSH") {
            return Ok(push["id"].as_str().context("an id")?.to_owned());
        }
        ensure!(started.elapsed() < Duration::from_secs(60), "no push query");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn push_queries_are_explained_and_terminated_by_their_ids() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    let client = sql.clone();
    let query = json!({"ksql": "SELECT k, n FROM s EMIT CHANGES;",
                       "streamsProperties": {"auto.offset.reset": "earliest"}});
    let push = tokio::spawn(async move { client.post("/query", &query).await });
    let id = push_id(&sql).await?;
    let explained = sql.execute(&format!("EXPLAIN {id};")).await?;
    let explained = &explained[0]["queryDescription"];
    assert_eq!(explained["id"].as_str(), Some(id.as_str()));
    assert_eq!((&explained["queryType"], &explained["state"]), (&json!("PUSH"), &json!("RUNNING")));
    assert_eq!(explained["overriddenProperties"]["auto.offset.reset"], "earliest");
    check(
        &refused(&sql, "/ksql", &json!({"ksql": format!("PAUSE {id};")})).await?,
        400,
        40001,
        "statement_error",
    );
    let ended = sql.execute(&format!("TERMINATE {id};")).await?;
    assert_eq!(ended[0]["@type"], "terminate_query");
    assert_eq!(ended[0]["queryId"].as_str(), Some(id.to_uppercase().as_str()));
    assert_eq!(ended[0]["wasTerminated"], true);
    let (status, text) = push.await??;
    assert_eq!(status, StatusCode::OK);
    assert!(text.trim_end().ends_with(']'), "{text}");
    let again = refused(&sql, "/ksql", &json!({"ksql": format!("TERMINATE {id};")})).await?;
    check(&again, 400, 40001, "statement_error");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_hold_within_their_request() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    let body = json!({
        "ksql": "DEFINE place = 'other'; CREATE STREAM ${name} (n INT) \
                 WITH (KAFKA_TOPIC='${place}', PARTITIONS=1, VALUE_FORMAT='JSON'); UNDEFINE name;\
                 UNDEFINE unknown; DESCRIBE renamed;",
        "sessionVariables": {"name": "renamed"},
    });
    let (status, text) = sql.post("/ksql", &body).await?;
    assert_eq!(status, StatusCode::OK, "{text}");
    let answers: Value = serde_json::from_str(&text)?;
    assert!(
        answers[0]["statementText"].as_str().is_some_and(|t| t.contains("renamed") && t.contains("'other'"))
    );
    assert_eq!(answers[1]["@type"], "warning_entity");
    assert_eq!(answers[1]["message"], "Cannot undefine variable 'unknown' which was never defined.");
    assert_eq!(answers[2]["sourceDescription"]["topic"], "other");
    // After UNDEFINE the reference stays as it is, which is no name.
    let error =
        refused(&sql, "/ksql", &json!({"ksql": "DEFINE v = 's'; UNDEFINE v;\nDESCRIBE ${v};"})).await?;
    check(&error, 400, 40001, "statement_error");
    assert!(error["message"].as_str().is_some_and(|m| m.contains("line 2:")), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_the_type_and_code_of_their_cause() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    for (path, statement, status, code, kind) in [
        ("/ksql", "DESCRIBE FUNCTION nope;", 400, 40000, "generic_error"),
        ("/ksql", "ASSERT TOPIC nope TIMEOUT 1 MILLISECONDS;", 417, 41700, "generic_error"),
        ("/ksql", "ASSERT SCHEMA SUBJECT nope TIMEOUT 1 MILLISECONDS;", 417, 41700, "generic_error"),
        ("/ksql", "SET 'nonsense'='1';", 400, 40001, "statement_error"),
        ("/ksql", "SET 'auto.offset.reset'='earlyest';", 400, 40001, "statement_error"),
        ("/ksql", "DESCRIBE nope;", 400, 40001, "statement_error"),
        ("/ksql", "SELECT * FROM s;", 400, 40002, "statement_error"),
        ("/query", "SHOW STREAMS;", 400, 40000, "generic_error"),
        ("/query-stream", "SHOW STREAMS;", 400, 40001, "statement_error"),
        ("/query-stream", "SELECT * FROM s; SELECT * FROM s;", 400, 40001, "statement_error"),
        ("/query", "PRINT nope;", 400, 40001, "generic_error"),
    ] {
        let error = refused(&sql, path, &json!({"ksql": statement})).await?;
        check(&error, status, code, kind);
    }
    for properties in [json!({"auto.offset.reset": "earlyest"}), json!({"producer.nonsense": 1})] {
        for path in ["/ksql", "/query", "/query-stream"] {
            let body = json!({"ksql": "SHOW STREAMS;", "streamsProperties": properties});
            check(&refused(&sql, path, &body).await?, 400, 40000, "generic_error");
        }
    }
    let (status, text) = sql.post_text("/inserts-stream", "{\"target\":\"nope\"}\n").await?;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
    assert!(text.contains("generic_error") && text.contains("40001"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_without_effect_are_named_in_warnings() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    let body = json!({
        "ksql": "CREATE STREAM o AS SELECT * FROM s;",
        "streamsProperties": {"ksql.streams.num.stream.threads": 4, "auto.offset.reset": "earliest"},
    });
    let (status, text) = sql.post("/ksql", &body).await?;
    assert_eq!(status, StatusCode::OK, "{text}");
    let answers: Value = serde_json::from_str(&text)?;
    let warnings = answers[0]["warnings"].as_array().context("warnings")?;
    assert_eq!(warnings.len(), 1, "{text}");
    assert!(warnings[0]["message"].as_str().is_some_and(|m| m.contains("num.stream.threads")), "{text}");
    let properties = sql.execute("SHOW PROPERTIES;").await?;
    let properties = properties[0]["properties"].as_array().context("properties")?;
    let level = |name: &str| properties.iter().find(|p| p["name"] == name).map(|p| p["level"].clone());
    assert_eq!(level("ksql.service.id"), Some(json!("SERVER")));
    assert_eq!(level("ksql.suppress.enabled"), Some(json!("QUERY")));
    assert_eq!(level("auto.offset.reset"), Some(json!("SESSION")));
    let value = |name: &str| properties.iter().find(|p| p["name"] == name).map(|p| p["value"].clone());
    assert_eq!(value("ksql.streams.commit.interval.ms"), Some(json!("100")));
    assert_eq!(value("ksql.persistence.default.format.key"), Some(json!("KAFKA")));
    assert!(value("ksql.hidden.topics").is_some_and(|topics| topics.to_string().contains("_schemas")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_are_described_with_figures() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    sql.execute(
        "CREATE STREAM o AS SELECT * FROM s; CREATE TABLE t AS SELECT k, COUNT(*) AS c FROM o GROUP BY k;",
    )
    .await?;
    sql.execute("INSERT INTO s VALUES ('a', 1);").await?;
    assert_eq!(sql.rows("SELECT c FROM t;").await?, vec![vec![json!(1)]]);
    let brief = sql.execute("DESCRIBE o;").await?;
    let brief = &brief[0]["sourceDescription"];
    assert_eq!((&brief["partitions"], &brief["replication"]), (&json!(2), &json!(1)));
    assert_eq!(brief["sourceConstraints"], json!(["T"]));
    assert_eq!(brief["writeQueries"][0]["sinkKafkaTopics"], json!(["O"]));
    assert_eq!((&brief["extended"], &brief["statistics"]), (&json!(false), &json!("")));
    let all = sql.execute("DESCRIBE STREAMS;").await?;
    assert_eq!(all[0]["sourceDescriptions"][0]["extended"], false);
    let all = sql.execute("SHOW TABLES EXTENDED;").await?;
    assert_eq!(all[0]["sourceDescriptions"][0]["extended"], true);
    let started = Instant::now();
    loop {
        let extended = sql.execute("DESCRIBE o EXTENDED;").await?;
        let extended = &extended[0]["sourceDescription"];
        let records = extended["clusterStatistics"]
            .as_array()
            .and_then(|list| list.iter().find(|s| s["name"] == "records-in-total"))
            .map(|s| s["value"].clone());
        if records == Some(json!(1)) {
            break;
        }
        ensure!(started.elapsed() < Duration::from_secs(60), "{extended}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(readers(&sql).await?, (json!(1), json!(2)), "one query of two tasks");
    // Offsets in both partitions without a member, then a member with both partitions.
    let kafka = transport(&server.kafka);
    let partition = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_leader_epoch: -1,
        committed_metadata: Some(String::new()),
        ..OffsetCommitRequestPartition::default()
    };
    let topics = vec![OffsetCommitRequestTopic {
        name: "s".to_owned(),
        partitions: vec![partition(0), partition(1)],
        ..OffsetCommitRequestTopic::default()
    }];
    let request =
        OffsetCommitRequest { group_id: "offsets".to_owned(), topics, ..OffsetCommitRequest::default() };
    kafka.send(Request::OffsetCommit(request)).await?;
    assert_eq!(readers(&sql).await?, (json!(2), json!(2)));
    let started = Instant::now();
    while readers(&sql).await? != (json!(3), json!(3)) {
        heartbeat(kafka.as_ref()).await?;
        ensure!(started.elapsed() < Duration::from_secs(60), "{:?}", readers(&sql).await?);
    }
    Ok(())
}

/// Groups and consumers of the topic `s`.
async fn readers(sql: &SqlClient) -> Result<(Value, Value)> {
    let topics = sql.execute("SHOW TOPICS EXTENDED;").await?;
    let topics = topics[0]["topics"].as_array().context("topics")?;
    let read = topics.iter().find(|t| t["name"] == "s").context("topic s")?;
    Ok((read["consumerGroupCount"].clone(), read["consumerCount"].clone()))
}

/// The only member of a group joins it.
async fn heartbeat(kafka: &dyn Transport) -> Result<()> {
    let request = ConsumerGroupHeartbeatRequest {
        group_id: "members".to_owned(),
        member_id: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        member_epoch: 0,
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(vec!["s".to_owned()]),
        topic_partitions: Some(Vec::new()),
        ..ConsumerGroupHeartbeatRequest::default()
    };
    kafka.send(Request::ConsumerGroupHeartbeat(request)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn explained_statements_have_the_members_of_running_queries() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    sql.execute("CREATE TABLE t AS SELECT k, COUNT(*) AS c FROM s GROUP BY k;").await?;
    let members = |description: &Value| -> Vec<String> {
        description.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    let started = std::time::Instant::now();
    let running = loop {
        let shown = sql.execute("SHOW QUERIES EXTENDED;").await?;
        let running = shown[0]["queryDescriptions"][0].clone();
        if running["tasksMetadata"].as_array().is_some_and(|tasks| tasks.len() == 2) {
            break running;
        }
        // Tasks are there once the query runs.
        assert!(started.elapsed() < std::time::Duration::from_secs(120), "{running}");
    };
    let running = &running;
    let id = running["id"].as_str().context("an id")?;
    assert_eq!(
        sql.execute(&format!("EXPLAIN {};", id.to_lowercase())).await?[0]["queryDescription"]["id"],
        id
    );
    for (statement, kind) in [
        ("SELECT * FROM s EMIT CHANGES;", "PUSH"),
        ("CREATE STREAM o AS SELECT * FROM s;", "PERSISTENT"),
        ("SELECT * FROM t WHERE k = 'a';", "PULL"),
    ] {
        let explained = sql.execute(&format!("EXPLAIN {statement}")).await?;
        let explained = &explained[0]["queryDescription"];
        assert_eq!(members(explained), members(running), "{statement}");
        assert_eq!(explained["queryType"], kind);
        assert_eq!(explained["statementText"], statement);
        assert_eq!(explained["overriddenProperties"]["auto.offset.reset"], "earliest");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn print_answers_in_the_form_of_its_endpoint() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(
        "CREATE STREAM s (k STRING KEY, n INT) WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='JSON');\
         INSERT INTO s VALUES ('a', 1); INSERT INTO s VALUES ('b', 2);",
    )
    .await?;
    let print = json!({"ksql": "PRINT s FROM BEGINNING LIMIT 2;"});
    let (_, text) = sql.post("/query", &print).await?;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert_eq!(lines[..2], ["Key format: KAFKA_STRING", "Value format: JSON or KAFKA_STRING"]);
    assert!(lines[3].contains("key: b, value: {\"N\":2}, partition: 0"), "{text}");
    let (_, text) = sql.post("/query-stream", &print).await?;
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.lines().all(|line| line.starts_with("rowtime: ")), "{text}");
    let (status, text) = sql.post_accepting("/query-stream", &print, "application/json").await?;
    assert_eq!((status, text.as_str()), (StatusCode::NOT_ACCEPTABLE, ""));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_commands_have_ksqldbs_ids_and_messages() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    let with = "WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='JSON')";
    // `*` stands for the id of the query.
    for (statement, id, message) in [
        (
            &format!("CREATE STREAM s (k STRING KEY, n INT) {with};")[..],
            "stream/`S`/create",
            "Stream created",
        ),
        (
            "CREATE TABLE \"low\" (k STRING PRIMARY KEY, n INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');",
            "table/`low`/create",
            "Table created",
        ),
        ("CREATE STREAM o AS SELECT * FROM s;", "stream/`O`/create", "Created query with ID *"),
        (
            "CREATE TABLE t AS SELECT k, COUNT(*) FROM s GROUP BY k;",
            "table/`T`/create",
            "Created query with ID *",
        ),
        ("INSERT INTO o SELECT * FROM s;", "stream/`O`/create", "Created query with ID *"),
        ("ALTER STREAM s ADD COLUMN m INT;", "stream/S/alter", "Stream S altered."),
        ("ALTER TABLE \"low\" ADD COLUMN m INT;", "table/low/alter", "Table low altered."),
        (
            "CREATE TYPE pair AS STRUCT<a INT, b ARRAY<STRING>>;",
            "type/PAIR/create",
            "Registered custom type with name 'PAIR' and SQL type STRUCT<`A` INTEGER, `B` ARRAY<STRING>>",
        ),
        (
            "CREATE TYPE IF NOT EXISTS pair AS INT;",
            "type/PAIR/create",
            "PAIR is already registered with type STRUCT<`A` INTEGER, `B` ARRAY<STRING>>",
        ),
        ("DROP TYPE pair;", "type/PAIR/drop", "Dropped type 'PAIR'"),
        ("DROP TYPE IF EXISTS pair;", "type/PAIR/drop", "Type 'PAIR' does not exist."),
        ("DROP TABLE \"low\";", "table/low/drop", "Source `low` (topic: s) was dropped."),
        ("DROP TABLE IF EXISTS \"low\";", "table/low/drop", "Source `low` does not exist."),
    ] {
        let answer = sql.execute(statement).await?;
        let entity = &answer[0];
        let query_id = entity["commandStatus"]["queryId"].as_str().unwrap_or_default();
        assert_eq!(entity["@type"], "currentStatus", "{statement}: {entity}");
        assert_eq!(entity["commandId"], id, "{statement}");
        assert_eq!(entity["commandStatus"]["status"], "SUCCESS", "{statement}: {entity}");
        assert_eq!(entity["commandStatus"]["message"], message.replace('*', query_id), "{statement}");
        assert_eq!(query_id.is_empty(), !message.ends_with('*'), "{statement}: {entity}");
    }
    for (statement, message) in [
        (format!("CREATE STREAM IF NOT EXISTS s (n INT) {with};"), "Cannot add stream `S`: A stream"),
        (
            "CREATE TABLE IF NOT EXISTS t AS SELECT k, COUNT(*) FROM s GROUP BY k;".to_owned(),
            "Cannot add table `T`: A table",
        ),
    ] {
        let answer = sql.execute(&statement).await?;
        assert_eq!(answer[0]["@type"], "warning_entity", "{answer}");
        assert_eq!(answer[0]["message"], format!("{message} with the same name already exists."));
    }
    Ok(())
}
