//! The command topic: protected from statements, checked when a node starts, repaired with `weir command-topic`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hyper::StatusCode;
use serde_json::{Value, json};
use weir_tests::http::SqlClient;
use weir_tests::server::{ServerProcess, weir_binary};
use weir_tests::tools::{Ran, run};

const COMMAND_TOPIC: &str = "_confluent-ksql-default__command_topic";
const STREAM: &str =
    "CREATE STREAM s (k STRING KEY, n INT) WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='JSON');";

fn weir(arguments: &[&str], input: &str) -> Result<Ran> {
    run(Command::new(weir_binary()).args(arguments), input)
}

/// Status, error code and message of statements that must be refused.
async fn refusal(sql: &SqlClient, statements: &str) -> Result<(u16, i64, String)> {
    let (status, text) = sql.post("/ksql", &json!({"ksql": statements})).await?;
    ensure!(!status.is_success(), "{statements}: {text}");
    let answer: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let message = answer["message"].as_str().unwrap_or_default().to_owned();
    Ok((status.as_u16(), answer["error_code"].as_i64().unwrap_or(0), message))
}

async fn names(sql: &SqlClient, statement: &str, list: &str) -> Result<Vec<String>> {
    let answer = sql.execute(statement).await?;
    let items = answer[0][list].as_array().with_context(|| answer.to_string())?;
    let name = |item: &Value| item["name"].as_str().or(item["id"].as_str()).unwrap_or_default().to_owned();
    Ok(items.iter().map(name).collect())
}

async fn get(sql: &SqlClient, path: &str) -> Result<(StatusCode, Value)> {
    let (status, text) = sql.get(path).await?;
    Ok((status, serde_json::from_str(&text).with_context(|| text)?))
}

#[tokio::test(flavor = "multi_thread")]
async fn system_topics_are_read_only_for_statements() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    // Reading is allowed, as in ksqlDB.
    let with = "key_format='KAFKA', value_format='KAFKA'";
    let over = |name: &str, topic: &str| {
        format!("CREATE STREAM {name} (k STRING KEY, x STRING) WITH (kafka_topic='{topic}', {with});")
    };
    for (name, topic) in [("c", COMMAND_TOPIC), ("o", "__consumer_offsets"), ("t", "__transaction_state")] {
        sql.execute(&over(name, topic)).await?;
    }
    for statement in [
        "INSERT INTO c VALUES ('z', 'junk');",
        "INSERT INTO c SELECT k, CAST(n AS STRING) AS x FROM s;",
        "DROP STREAM c DELETE TOPIC;",
        "INSERT INTO o VALUES ('z', 'junk');",
        "DROP STREAM t DELETE TOPIC;",
        "DROP STREAM KSQL_PROCESSING_LOG DELETE TOPIC;",
        &format!("CREATE STREAM d WITH (kafka_topic='{COMMAND_TOPIC}') AS SELECT * FROM s;"),
        &format!(
            "CREATE TABLE d WITH (kafka_topic='{COMMAND_TOPIC}') AS SELECT k, COUNT(*) AS c FROM s GROUP BY k;"
        ),
        "CREATE STREAM d (x INT) WITH (kafka_topic='_confluent-ksql-new', partitions=1, value_format='JSON');",
        "CREATE STREAM d WITH (kafka_topic='_confluent-ksql-new') AS SELECT * FROM s;",
    ] {
        let (status, code, message) = refusal(&sql, statement).await?;
        ensure!((status, code) == (400, 40001), "{statement}: {status} {message}");
        ensure!(message.contains("read-only topic"), "{statement}: {message}");
    }
    let (_, answer) = sql.post("/inserts-stream", &json!({"target": "c"})).await?;
    ensure!(answer.contains("read-only topic"), "{answer}");
    sql.post("/ksql/terminate", &json!({"deleteTopicList": [".*"]})).await?;
    let all = names(&sql, "SHOW ALL TOPICS;", "topics").await?;
    for topic in [COMMAND_TOPIC, "__consumer_offsets", "__transaction_state", "default_ksql_processing_log"] {
        ensure!(all.iter().any(|name| name == topic), "{topic} is missing: {all:?}");
    }
    let shown = names(&sql, "SHOW TOPICS;", "topics").await?;
    ensure!(!shown.iter().any(|name| name.starts_with('_')), "{shown:?}");
    sql.execute(STREAM).await?;
    server.kill()?;

    let server = ServerProcess::start(folder.path())?;
    let (status, _) = get(&server.sql(), "/healthcheck").await?;
    ensure!(status == StatusCode::OK, "{status}");
    ensure!(names(&server.sql(), "SHOW STREAMS;", "streams").await?.contains(&"S".to_owned()));
    Ok(())
}

/// Writes a record as any Kafka client may that is allowed to.
fn produce(server: &ServerProcess, key: &str, value: &str) -> Result<()> {
    let arguments = ["produce", COMMAND_TOPIC, "-b", &server.kafka, "-k", key];
    let ran = weir(&arguments, value)?;
    ensure!(ran.code == Some(0), "{}{}", ran.out, ran.err);
    Ok(())
}

async fn check_degraded(server: &ServerProcess, offset: i64) -> Result<()> {
    let sql = server.sql();
    let (_, info) = get(&sql, "/info").await?;
    ensure!(info["KsqlServerInfo"]["serverStatus"] == "DEGRADED", "{info}");
    let (status, health) = get(&sql, "/healthcheck").await?;
    ensure!(status == StatusCode::SERVICE_UNAVAILABLE && health["isHealthy"] == false, "{health}");
    let runner = &health["details"]["commandRunner"];
    ensure!(runner["isHealthy"] == false && runner["offset"] == offset, "{health}");
    for statement in [
        "CREATE STREAM x (a INT) WITH (kafka_topic='x', partitions=1, value_format='JSON');",
        "TERMINATE ALL;",
    ] {
        let (status, code, message) = refusal(&sql, statement).await?;
        ensure!((status, code) == (500, 50000) && message.contains("weir command-topic"), "{message}");
    }
    ensure!(!names(&sql, "SHOW TOPICS;", "topics").await?.contains(&"x".to_owned()));
    let shell = weir(&["--server", &server.http, "-e", "SHOW STREAMS;"], "")?;
    ensure!(shell.code == Some(0) && shell.err.contains("DEGRADED"), "{}{}", shell.out, shell.err);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_record_degrades_the_node_until_the_topic_is_restored() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let file = folder.path().join("commands.jsonl").display().to_string();
    let mut server = ServerProcess::start(&data)?;
    server.sql().execute(STREAM).await?;
    produce(&server, "z", "junk")?;
    let sql = server.sql();
    sql.execute("CREATE TABLE t AS SELECT k, COUNT(*) AS c FROM s GROUP BY k;").await?;
    let queries = names(&sql, "SHOW QUERIES;", "queries").await?;
    server.kill()?;

    let mut server = ServerProcess::start(&data)?;
    // The processing log's stream has offset 0, this one 1.
    check_degraded(&server, 2).await?;
    let sql = server.sql();
    // What was there before goes on, also what came after the foreign record.
    sql.execute("INSERT INTO s VALUES ('a', 1);").await?;
    ensure!(names(&sql, "SHOW QUERIES;", "queries").await? == queries);
    let broker = ["command-topic", "-b", &server.kafka];
    let tool = |arguments: &[&str]| weir(&[&broker[..], arguments].concat(), "");
    let checked = tool(&["check"])?;
    ensure!(checked.code == Some(1) && checked.err.contains("Offset 2"), "{}{}", checked.out, checked.err);
    let saved = tool(&["backup", &file])?;
    ensure!(saved.code == Some(0), "{}{}", saved.out, saved.err);
    let again = tool(&["backup", &file])?;
    ensure!(again.code == Some(1), "a backup replaced a file");
    let refused = tool(&["restore", &file])?;
    ensure!(refused.code == Some(1) && refused.err.contains("--skip-unreadable"), "{}", refused.err);
    ensure!(tool(&["check"])?.code == Some(1), "a refused restore changed the topic");
    let restored = tool(&["restore", &file, "--skip-unreadable"])?;
    ensure!(restored.code == Some(0), "{}{}", restored.out, restored.err);
    server.kill()?;

    let mut server = ServerProcess::start(&data)?;
    check_repaired(&server, &queries).await?;
    server.kill()?;
    let server = ServerProcess::start(&data)?;
    ensure!(names(&server.sql(), "SHOW STREAMS;", "streams").await?.contains(&"S2".to_owned()));
    Ok(())
}

async fn check_repaired(server: &ServerProcess, queries: &[String]) -> Result<()> {
    let sql = server.sql();
    let (status, health) = get(&sql, "/healthcheck").await?;
    ensure!(status == StatusCode::OK, "{health}");
    let (_, info) = get(&sql, "/info").await?;
    ensure!(info["KsqlServerInfo"]["serverStatus"] == "RUNNING", "{info}");
    ensure!(names(&sql, "SHOW QUERIES;", "queries").await? == queries);
    sql.execute("CREATE STREAM s2 AS SELECT * FROM s;").await?;
    let now = names(&sql, "SHOW QUERIES;", "queries").await?;
    ensure!(now.len() == queries.len() + 1, "{now:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_after_a_lost_one_wait_for_the_repair() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let (dir, file) = (data.display().to_string(), folder.path().join("c.jsonl").display().to_string());
    let mut server = ServerProcess::start(&data)?;
    server.sql().execute(STREAM).await?;
    server.sql().execute("CREATE STREAM before AS SELECT * FROM s;").await?;
    server.sql().execute("CREATE STREAM gone AS SELECT * FROM s;").await?;
    produce(&server, "4/stream/`LOST`/create", "{")?;
    server.sql().execute("CREATE STREAM after AS SELECT * FROM s;").await?;
    server.sql().execute("DROP STREAM before;").await?;
    server.sql().execute("DROP STREAM gone DELETE TOPIC;").await?;
    server.kill()?;

    let mut server = ServerProcess::start(&data)?;
    check_degraded(&server, 4).await?;
    let (_, health) = get(&server.sql(), "/healthcheck").await?;
    ensure!(health["details"]["commandRunner"]["commandsHeldBack"] == 3, "{health}");
    let streams = names(&server.sql(), "SHOW STREAMS;", "streams").await?;
    ensure!(streams.contains(&"S".to_owned()) && !streams.contains(&"AFTER".to_owned()), "{streams:?}");
    // A topic that a later command deleted is not made again.
    let topics = names(&server.sql(), "SHOW TOPICS;", "topics").await?;
    ensure!(topics.contains(&"BEFORE".to_owned()) && !topics.contains(&"GONE".to_owned()), "{topics:?}");
    // Queries that later commands ended do not run again.
    let shown = server.sql().execute("SHOW QUERIES;").await?;
    let queries = shown[0]["queries"].as_array().context("queries")?;
    ensure!(queries.len() == 2 && queries.iter().all(|query| query["state"] == "ERROR"), "{shown}");
    server.kill()?;

    repair_stopped(&dir, &file)?;
    let server = ServerProcess::start(&data)?;
    let sql = server.sql();
    let streams = names(&sql, "SHOW STREAMS;", "streams").await?;
    ensure!(streams.contains(&"AFTER".to_owned()) && !streams.contains(&"BEFORE".to_owned()), "{streams:?}");
    let (status, health) = get(&sql, "/healthcheck").await?;
    ensure!(status == StatusCode::OK, "{health}");
    Ok(())
}

/// Backs up and restores in the data folder of a stopped node.
fn repair_stopped(dir: &str, file: &str) -> Result<()> {
    for (arguments, code) in [
        (&["check"][..], 1),
        (&["backup", file], 0),
        (&["restore", file, "--skip-unreadable"], 0),
        (&["check"], 0),
    ] {
        let ran = weir(&[&["command-topic", "--data-dir", dir][..], arguments].concat(), "")?;
        ensure!(ran.code == Some(code), "{arguments:?}: {}{}", ran.out, ran.err);
    }
    let nowhere = weir(&["command-topic", "--data-dir", "/no/such/folder", "check"], "")?;
    ensure!(nowhere.code == Some(1) && nowhere.err.contains("not the data folder"), "{}", nowhere.err);
    Ok(())
}

/// Starts a node without a processing log, whose failpoints are armed.
fn start_with(data: &Path, failpoints: &str) -> Result<ServerProcess> {
    ServerProcess::start_adjusted(data, |command| {
        command.arg("--no-processing-log").env("WEIR_FAILPOINTS", failpoints);
    })
}

/// Sources, queries, topics, internal ones as well.
async fn inventory(sql: &SqlClient) -> Result<Vec<Vec<String>>> {
    let mut all = Vec::new();
    for (statement, list) in [
        ("SHOW STREAMS;", "streams"),
        ("SHOW TABLES;", "tables"),
        ("SHOW QUERIES;", "queries"),
        ("SHOW ALL TOPICS;", "topics"),
    ] {
        all.push(names(sql, statement, list).await?);
    }
    Ok(all)
}

const COUNT: &str = "CREATE TABLE t AS SELECT n, COUNT(*) AS c FROM s GROUP BY n;";

#[tokio::test(flavor = "multi_thread")]
async fn failed_start_leaves_nothing_behind() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = start_with(folder.path(), "query.start.before=eio@1;query.start.before=eio@4")?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    let before = inventory(&sql).await?;
    for (statement, properties) in [
        (COUNT, json!({})),
        ("CREATE STREAM a WITH (VALUE_FORMAT='AVRO') AS SELECT * FROM s;", json!({})),
        ("CREATE STREAM b AS SELECT * FROM s;", json!({"auto.offset.reset": "bogus"})),
        ("CREATE STREAM b AS SELECT * FROM s;", json!({"processing.guarantee": "never"})),
        ("CREATE STREAM b WITH (REPLICAS=3) AS SELECT * FROM s;", json!({})),
    ] {
        let body = json!({"ksql": statement, "streamsProperties": properties});
        let (status, text) = sql.post("/ksql", &body).await?;
        ensure!(!status.is_success(), "{statement}: {text}");
        ensure!(inventory(&sql).await? == before, "{statement}: {:?}", inventory(&sql).await?);
        let (status, health) = get(&sql, "/healthcheck").await?;
        ensure!(status == StatusCode::OK, "{statement}: {health}");
        ensure!(health["details"]["queries"]["isHealthy"] == true, "{statement}: {health}");
    }
    sql.execute(COUNT).await?;
    sql.execute("CREATE STREAM f AS SELECT * FROM s;").await?;
    // A query that is replaced in vain goes on.
    let running = inventory(&sql).await?;
    let (status, ..) = refusal(&sql, "CREATE OR REPLACE STREAM f AS SELECT * FROM s WHERE n > 1;").await?;
    ensure!(status == 500 && inventory(&sql).await? == running);
    let described = sql.execute("SHOW QUERIES EXTENDED;").await?.to_string();
    ensure!(described.contains("RUNNING") && !described.contains("WHERE"), "{described}");
    server.kill()?;

    let server = start_with(folder.path(), "")?;
    ensure!(inventory(&server.sql()).await? == running);
    let (status, health) = get(&server.sql(), "/healthcheck").await?;
    ensure!(status == StatusCode::OK && health["details"]["queries"]["isHealthy"] == true, "{health}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn internal_topics_of_a_failed_start_are_gone_and_older_ones_stay() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start_with(folder.path(), "")?;
    let sql = server.sql();
    let created = sql.execute(STREAM).await?;
    let offset = created[0]["commandSequenceNumber"].as_i64().context("an offset")?;
    // The changelog of the next query is there already, and too wide.
    let query = format!("_confluent-ksql-default_query_CTAS_T_{}", offset + 1);
    let changelog = format!("{query}-Aggregate-Aggregate-Materialize-changelog");
    let ran = weir(&["topic", "create", &changelog, "-p", "7", "-b", &server.kafka], "")?;
    ensure!(ran.code == Some(0), "{}{}", ran.out, ran.err);
    let before = inventory(&sql).await?;
    let (_, _, message) = refusal(&sql, COUNT).await?;
    ensure!(message.contains(&changelog), "{message}");
    ensure!(inventory(&sql).await? == before, "{:?}", inventory(&sql).await?);
    sql.execute(COUNT).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn command_that_cannot_be_written_is_not_in_force() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let points = "command.append.before=enospc@2;command.append.after=eio@2;command.append.before=eio@4";
    let mut server = start_with(folder.path(), points)?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    let before = inventory(&sql).await?;
    // Not written; written, although the node cannot know; not written.
    for statement in [COUNT, "CREATE STREAM d AS SELECT * FROM s;", COUNT] {
        let (status, _, message) = refusal(&sql, statement).await?;
        ensure!(status == 500 && message.contains("could not be written"), "{message}");
        ensure!(inventory(&sql).await? == before, "{statement}: {:?}", inventory(&sql).await?);
    }
    server.kill()?;
    let mut server = start_with(folder.path(), "")?;
    ensure!(inventory(&server.sql()).await? == before);
    server.sql().execute(COUNT).await?;
    let after = inventory(&server.sql()).await?;
    server.kill()?;
    ensure!(inventory(&start_with(folder.path(), "")?.sql()).await? == after);
    Ok(())
}

async fn state(sql: &SqlClient) -> Result<String> {
    let queries = sql.execute("SHOW QUERIES;").await?;
    Ok(queries[0]["queries"][0]["state"].as_str().unwrap_or("none").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_and_resumed_queries_are_so_after_a_restart() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = ServerProcess::start(folder.path())?;
    server.sql().execute(STREAM).await?;
    server.sql().execute(COUNT).await?;
    let id = names(&server.sql(), "SHOW QUERIES;", "queries").await?[0].clone();
    for (statements, wanted) in [
        (vec![format!("PAUSE {id};"), format!("RESUME {id};")], "RUNNING"),
        (vec![format!("PAUSE {id};")], "PAUSED"),
        // A query that takes the place of a paused one runs.
        (vec![format!("PAUSE {id};"), COUNT.replace("CREATE", "CREATE OR REPLACE")], "RUNNING"),
        (vec!["RESUME ALL;".to_owned(), "PAUSE ALL;".to_owned()], "PAUSED"),
        (vec!["RESUME ALL;".to_owned()], "RUNNING"),
        (vec![format!("PAUSE {id};"), format!("TERMINATE {id};")], "none"),
    ] {
        for statement in &statements {
            server.sql().execute(statement).await?;
        }
        server.kill()?;
        server = ServerProcess::start(folder.path())?;
        let started = Instant::now();
        while state(&server.sql()).await? != wanted {
            let seen = state(&server.sql()).await?;
            ensure!(started.elapsed() < Duration::from_secs(60), "{statements:?}: {seen}, expected {wanted}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    ensure!(names(&server.sql(), "SHOW TABLES;", "tables").await? == ["T"]);
    Ok(())
}

/// Commands in the topic, as `weir command-topic check` counts them.
fn command_count(server: &ServerProcess) -> Result<u64> {
    let ran = weir(&["command-topic", "-b", &server.kafka, "check"], "")?;
    ensure!(ran.code == Some(0), "{}{}", ran.out, ran.err);
    let count = ran.out.split_once(": ").and_then(|(_, rest)| rest.split_once(' ')).context("a count")?.0;
    Ok(count.parse()?)
}

async fn eventually_commands(server: &ServerProcess, most: u64) -> Result<()> {
    let started = Instant::now();
    while command_count(server)? > most {
        ensure!(started.elapsed() < Duration::from_secs(60), "{} commands", command_count(server)?);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_without_effect_are_deleted_while_the_node_runs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = ServerProcess::start(folder.path())?;
    server.sql().execute(STREAM).await?;
    for batch in 0..3 {
        let statements: String = (0..500)
            .map(|n| {
                let name = format!("x{batch}_{n}");
                format!("CREATE STREAM {name} (n INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON'); DROP STREAM {name};")
            })
            .collect();
        server.sql().execute(&statements).await?;
    }
    // Fewer than a thousand may wait for their deletion, and two commands are in force.
    eventually_commands(&server, 1_001).await?;
    server.kill()?;
    let server = ServerProcess::start(folder.path())?;
    ensure!(names(&server.sql(), "SHOW STREAMS;", "streams").await?.len() == 2);
    eventually_commands(&server, 2).await
}
