//! Inserted rows: what a pull query sees of them at once, and what becomes of each row of `/inserts-stream`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hyper::StatusCode;
use serde_json::{Value, json};
use weir_broker::ids::TopicPartition;
use weir_tests::http::SqlClient;
use weir_tests::log_reader::{read_committed, transport};
use weir_tests::server::ServerProcess;

const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(120);

async fn refusal(sql: &SqlClient, statement: &str) -> Result<Value> {
    let (status, text) = sql.post("/ksql", &json!({"ksql": statement})).await?;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{statement}: {text}");
    serde_json::from_str(&text).with_context(|| text)
}

/// Sends the lines of `/inserts-stream` and gives the answer to each row.
async fn insert_lines(sql: &SqlClient, target: &str, lines: &[String]) -> Result<Vec<Value>> {
    let body = format!("{}\n{}\n", json!({"target": target}), lines.join("\n"));
    let (status, text) = sql.post_text("/inserts-stream", &body).await?;
    assert_eq!(status, StatusCode::OK, "{text}");
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_query_sees_the_rows_inserted_before_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    // A chain of queries, with rows that change their partition in between; each begins at the latest record.
    let (status, text) = sql
        .post(
            "/ksql",
            &json!({"ksql":
                "CREATE STREAM s (k STRING KEY, g STRING, n INT) \
                   WITH (KAFKA_TOPIC='s', PARTITIONS=3, VALUE_FORMAT='JSON');\
                 CREATE STREAM positive AS SELECT * FROM s WHERE n > 0;\
                 CREATE TABLE t AS SELECT g, COUNT(*) AS c, SUM(n) AS total FROM positive GROUP BY g;\
                 INSERT INTO s VALUES ('k0', 'a', 1);"}),
        )
        .await?;
    assert_eq!(status, StatusCode::OK, "{text}");
    let (mut count, mut total) = (1_i64, 1_i64);
    for n in 1..40_i64 {
        assert_eq!(
            sql.rows("SELECT c, total FROM t WHERE g = 'a';").await?,
            vec![vec![json!(count), json!(total)]],
            "before row {n}"
        );
        sql.execute(&format!("INSERT INTO s VALUES ('k{n}', 'a', {n});")).await?;
        (count, total) = (count + 1, total + n);
    }
    let lines: Vec<String> =
        (0..500).map(|n| json!({"k": format!("j{n}"), "g": "b", "n": 1}).to_string()).collect();
    let answers = insert_lines(&sql, "s", &lines).await?;
    assert!(answers.iter().all(|answer| answer["status"] == "ok"), "{answers:?}");
    assert_eq!(sql.rows("SELECT c FROM t WHERE g = 'b';").await?, vec![vec![json!(500)]]);
    assert_eq!(sql.rows("SELECT k FROM positive WHERE g = 'b';").await?.len(), 500);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_query_says_so_if_inserted_rows_may_be_missing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(
        "CREATE TABLE source (id INT PRIMARY KEY, n INT) \
           WITH (KAFKA_TOPIC='source', PARTITIONS=1, VALUE_FORMAT='JSON');\
         CREATE TABLE t AS SELECT * FROM source;\
         INSERT INTO source VALUES (1, 1);",
    )
    .await?;
    assert_eq!(sql.rows("SELECT n FROM t;").await?, vec![vec![json!(1)]]);
    sql.execute("PAUSE ALL;").await?;
    sql.execute("INSERT INTO source VALUES (1, 2);").await?;
    let (_, text) = sql.post("/query", &json!({"ksql": "SELECT n FROM t;"})).await?;
    let answer: Value = serde_json::from_str(&text)?;
    let last = answer.as_array().and_then(|items| items.last()).context("no items")?;
    let shown = answer[1]["row"]["columns"][0].as_i64();
    let told =
        last["finalMessage"].as_str().is_some_and(|m| m.contains("may be missing") && m.contains("CTAS_T_"));
    assert!(shown == Some(2) || (shown == Some(1) && told), "{text}");
    sql.execute("RESUME ALL;").await?;
    // A loaded machine may take longer than a pull query waits.
    let started = Instant::now();
    while sql.rows("SELECT n FROM t;").await? != vec![vec![json!(2)]] {
        assert!(started.elapsed() < CAUGHT_UP_WITHIN, "the row inserted meanwhile is not there");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_of_a_chunk_has_its_own_outcome() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(
        "CREATE STREAM s (`k``1` STRING KEY, n INT, text STRING) \
         WITH (KAFKA_TOPIC='s', PARTITIONS=2, VALUE_FORMAT='JSON');",
    )
    .await?;
    let large = "x".repeat(1_200_000);
    let mut lines: Vec<String> =
        (0..300).map(|n| json!({"`k``1`": format!("k{n}"), "n": n, "text": "t"}).to_string()).collect();
    lines[10] = json!({"`k``1`": "bad", "n": "no number"}).to_string();
    lines[20] = json!({"`k``1`": "bad", "nope": 1}).to_string();
    lines[30] = json!({"n": 1}).to_string();
    lines[40] = json!({"`k``1`": "bad", "text": large}).to_string();
    lines[50] = "no json".to_owned();
    let answers = insert_lines(&sql, "s", &lines).await?;
    assert_eq!(answers.len(), 300);
    for (row, answer) in answers.iter().enumerate() {
        assert_eq!(answer["seq"], json!(row));
        let expected = match row {
            10 => Some("coerce"),
            20 => Some("`NOPE` does not exist"),
            30 => Some("Key field must be specified"),
            40 => Some("MESSAGE_TOO_LARGE"),
            50 => Some("not valid"),
            _ => None,
        };
        match expected {
            None => assert_eq!(answer["status"], "ok", "{answer}"),
            Some(cause) => {
                assert_eq!(answer["status"], "error", "{answer}");
                assert!(answer["message"].as_str().is_some_and(|m| m.contains(cause)), "{answer}");
            }
        }
    }
    // The rows that were acknowledged are there, in order within a partition, and no others.
    let kafka = transport(&server.kafka);
    let mut count = 0;
    for partition in 0..2 {
        let mut last = None;
        for seen in read_committed(&kafka, &TopicPartition::new("s", partition)).await? {
            let value: Value = serde_json::from_str(seen.value.as_deref().context("a value")?)?;
            let n = value["N"].as_i64().context("N")?;
            assert!(last < Some(n), "{n} after {last:?}");
            (last, count) = (Some(n), count + 1);
        }
    }
    assert_eq!(count, 295);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn inserts_of_a_request_stop_at_the_first_that_fails() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(
        "CREATE STREAM s (n DECIMAL(3, 1)) WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='JSON');\
         CREATE STREAM o (n INT) WITH (KAFKA_TOPIC='o', PARTITIONS=1, VALUE_FORMAT='JSON');",
    )
    .await?;
    let error = refusal(
        &sql,
        "INSERT INTO s VALUES (1.5); INSERT INTO o VALUES (1); INSERT INTO s VALUES (2.5);\
         INSERT INTO s VALUES (CAST('1000' AS DECIMAL(3, 1))); INSERT INTO s VALUES (3.5);",
    )
    .await?;
    assert_eq!(error["@type"], "generic_error", "{error}");
    assert_eq!(sql.rows("SELECT n FROM s;").await?, vec![vec![json!(1.5)], vec![json!(2.5)]]);
    assert_eq!(sql.rows("SELECT n FROM o;").await?, vec![vec![json!(1)]]);
    // The broker refuses a row of the year 2096: those before it in the same batch are written, those after it are not.
    let error = refusal(
        &sql,
        "INSERT INTO o (n) VALUES (2); INSERT INTO o (n) VALUES (3); INSERT INTO o (n) VALUES (4);\
         INSERT INTO o (ROWTIME, n) VALUES (4000000000000, 5);\
         INSERT INTO o (n) VALUES (6); INSERT INTO o (n) VALUES (7);",
    )
    .await?;
    assert!(error["message"].as_str().is_some_and(|m| m.contains("INVALID_TIMESTAMP")), "{error}");
    let stored: Vec<Value> = sql.rows("SELECT n FROM o;").await?.into_iter().flatten().collect();
    assert_eq!(stored, [1, 2, 3, 4].map(|n| json!(n)));
    Ok(())
}

/// The rows of a pull query that did not warn that rows may be missing.
async fn current_rows(sql: &SqlClient, query: &str) -> Result<Vec<Value>> {
    let (status, text) = sql.post("/query", &json!({"ksql": query})).await?;
    assert!(status.is_success() && !text.contains("may be missing"), "{query}: {text}");
    let items: Vec<Value> = serde_json::from_str(&text).with_context(|| text)?;
    Ok(items.into_iter().filter_map(|item| item["row"]["columns"].get(0).cloned()).collect())
}

/// The answer of the other side of a foreign-key join comes back to a query that was waited for already.
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_query_of_a_foreign_key_join_sees_the_rows_inserted_before_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(
        "CREATE TABLE l (id INT PRIMARY KEY, r STRING) \
           WITH (KAFKA_TOPIC='l', PARTITIONS=2, VALUE_FORMAT='JSON');\
         CREATE TABLE r (k STRING PRIMARY KEY, v INT) \
           WITH (KAFKA_TOPIC='r', PARTITIONS=2, VALUE_FORMAT='JSON');\
         CREATE TABLE j AS SELECT l.id AS id, v FROM l JOIN r ON l.r = r.k;",
    )
    .await?;
    for n in 0..20 {
        sql.execute(&format!("INSERT INTO r VALUES ('r{n}', {n});")).await?;
        // The left side subscribes and is answered.
        sql.execute(&format!("INSERT INTO l VALUES (1, 'r{n}');")).await?;
        assert_eq!(current_rows(&sql, "SELECT v FROM j WHERE id = 1;").await?, [json!(n)]);
        // The right side changes.
        sql.execute(&format!("INSERT INTO r VALUES ('r{n}', {});", -n - 1)).await?;
        assert_eq!(current_rows(&sql, "SELECT v FROM j WHERE id = 1;").await?, [json!(-n - 1)]);
    }
    Ok(())
}

/// Rows of a topic that is gone are not waited for, nor are rows that a query has read before it was replaced.
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_query_waits_for_no_rows_that_cannot_come() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    let stream = "CREATE STREAM s (n INT) WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='JSON');";
    sql.execute(stream).await?;
    sql.execute("CREATE STREAM c AS SELECT n FROM s;").await?;
    sql.execute("INSERT INTO s VALUES (1); INSERT INTO s VALUES (2); INSERT INTO s VALUES (3);").await?;
    assert_eq!(current_rows(&sql, "SELECT n FROM c;").await?, [1, 2, 3].map(|n| json!(n)));
    sql.execute("CREATE OR REPLACE STREAM c AS SELECT n FROM s WHERE n < 100;").await?;
    assert_eq!(current_rows(&sql, "SELECT n FROM c;").await?, [1, 2, 3].map(|n| json!(n)));
    sql.execute("DROP STREAM c; DROP STREAM s DELETE TOPIC;").await?;
    sql.execute(stream).await?;
    sql.execute("CREATE STREAM d AS SELECT n FROM s;").await?;
    assert_eq!(current_rows(&sql, "SELECT n FROM d;").await?, [] as [Value; 0]);
    sql.execute("INSERT INTO s VALUES (4);").await?;
    assert_eq!(current_rows(&sql, "SELECT n FROM d;").await?, [json!(4)]);
    Ok(())
}
