//! A query that cannot write, commit, start or go on says so on every page of the HTTP API, and
//! costs itself only.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hyper::StatusCode;
use serde_json::{Value, json};
use weir_broker::client::admin::Admin;
use weir_tests::http::SqlClient;
use weir_tests::log_reader::transport;
use weir_tests::server::ServerProcess;

const STREAM: &str =
    "CREATE STREAM s (k STRING KEY, n INT) WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='JSON');";
const COUNT: &str = "CREATE TABLE t AS SELECT k, COUNT(*) AS c FROM s GROUP BY k;";
const PATIENCE: Duration = Duration::from_secs(120);

fn start_with(folder: &Path, failpoints: &str) -> Result<ServerProcess> {
    ServerProcess::start_adjusted(folder, |command| {
        command.env("WEIR_FAILPOINTS", failpoints);
    })
}

/// The pages that show conditions, read one after another.
#[derive(Debug)]
struct Pages {
    /// The only query of SHOW QUERIES, of SHOW QUERIES EXTENDED, and as EXPLAIN has it.
    listed: Value,
    extended: Value,
    explained: Value,
    /// Status and body.
    health: (StatusCode, Value),
    metrics: String,
}

impl Pages {
    async fn read(sql: &SqlClient) -> Result<Pages> {
        let listed = sql.execute("SHOW QUERIES;").await?[0]["queries"][0].clone();
        let id = listed["id"].as_str().context("an id")?;
        let explained = sql.execute(&format!("EXPLAIN {id};")).await?[0]["queryDescription"].clone();
        let extended = sql.execute("SHOW QUERIES EXTENDED;").await?[0]["queryDescriptions"][0].clone();
        let (status, health) = sql.get("/healthcheck").await?;
        let health = (status, serde_json::from_str(&health)?);
        Ok(Pages { listed, extended, explained, health, metrics: sql.get("/metrics").await?.1 })
    }

    /// The condition of this type, if every page has it.
    fn condition(&self, kind: &str) -> Option<&Value> {
        let id = self.listed["id"].as_str()?;
        let in_health = &self.health.1["details"]["queries"]["conditions"][id];
        let of_kind = |list: &Value| {
            list.as_array().is_some_and(|all| all.iter().any(|condition| condition["type"] == kind))
        };
        let label = kind.to_ascii_lowercase();
        let sample = format!("weir_query_condition{{query=\"{id}\",condition=\"{label}\"}} 1\n");
        let lists = [&self.listed["conditions"], &self.extended["conditions"], in_health];
        let shown = lists.into_iter().all(of_kind) && self.metrics.contains(&sample);
        let all = self.explained["conditions"].as_array().filter(|_| shown)?;
        all.iter().find(|condition| condition["type"] == kind)
    }

    fn has_conditions(&self) -> bool {
        self.explained["conditions"] != json!([]) || self.listed["conditions"] != json!([])
    }
}

/// Waits until the pages are as wanted.
async fn await_pages(sql: &SqlClient, what: &str, wanted: impl Fn(&Pages) -> bool) -> Result<Pages> {
    let started = Instant::now();
    loop {
        let pages = Pages::read(sql).await?;
        if wanted(&pages) {
            return Ok(pages);
        }
        ensure!(started.elapsed() < PATIENCE, "{what}: {pages:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn await_condition(sql: &SqlClient, kind: &str) -> Result<Pages> {
    await_pages(sql, kind, |pages| pages.condition(kind).is_some()).await
}

fn text<'v>(condition: &'v Value, member: &str) -> &'v str {
    condition[member].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_whose_output_is_refused_cannot_write() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = start_with(folder.path(), "segment.changelog.write.before=enospc@1+")?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    sql.execute(COUNT).await?;
    let pages = Pages::read(&sql).await?;
    ensure!(!pages.has_conditions(), "{pages:#?}");
    ensure!(pages.health.1["details"]["queries"] == json!({"isHealthy": true}), "{pages:#?}");
    sql.execute("INSERT INTO s VALUES ('a', 1);").await?;
    let pages = await_condition(&sql, "CANNOT_WRITE").await?;
    let condition = pages.condition("CANNOT_WRITE").context("shown")?;
    ensure!(text(condition, "cause").contains("-changelog-0"), "{condition}");
    ensure!(text(condition, "message").contains(text(condition, "cause")), "{condition}");
    ensure!(condition["since"].as_i64().is_some_and(|since| since > 1_600_000_000_000), "{condition}");
    // The row was read, and is not committed.
    let offsets = &pages.explained["tasksMetadata"][0]["topicOffsets"][0];
    let wanted = json!({
        "topicPartitionEntity": {"topic": "s", "partition": 0}, "endOffset": 1, "readOffset": 1,
        "committedOffset": 0, "lag": 0, "committedLag": 1,
    });
    ensure!(*offsets == wanted, "{offsets}");
    let id = text(&pages.listed, "id");
    let lag = format!("weir_query_committed_lag_records{{query=\"{id}\",topic=\"s\",partition=\"0\"}} 1\n");
    ensure!(pages.metrics.contains(&lag), "{}", pages.metrics);
    // It costs itself only.
    let (status, health) = &pages.health;
    ensure!(*status == StatusCode::OK && health["isHealthy"] == true, "{health}");
    ensure!(health["details"]["queries"]["isHealthy"] == false, "{health}");
    ensure!(text(&health["details"]["queries"], "reason").contains("output is not accepted"), "{health}");
    server.kill()?;
    let server = ServerProcess::start(folder.path())?;
    let pages = await_pages(&server.sql(), "RUNNING", |p| p.listed["state"] == "RUNNING").await?;
    ensure!(!pages.has_conditions(), "{pages:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_whose_transactions_do_not_end_cannot_commit() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start_with(folder.path(), "txn.end.decided=enospc@1+")?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    sql.execute(COUNT).await?;
    sql.execute("INSERT INTO s VALUES ('a', 1);").await?;
    let pages = await_condition(&sql, "CANNOT_COMMIT").await?;
    let condition = pages.condition("CANNOT_COMMIT").context("shown")?;
    ensure!(text(condition, "cause").contains("EndTxn"), "{condition}");
    ensure!(pages.health.0 == StatusCode::OK, "{pages:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_whose_state_cannot_be_written_is_in_back_off() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    sql.execute(COUNT).await?;
    let pages = Pages::read(&sql).await?;
    // Stores are made with the first commit.
    let stores = folder.path().join("state").join(text(&pages.explained, "consumerGroupId"));
    std::fs::write(&stores, "no directory")?;
    sql.execute("INSERT INTO s VALUES ('a', 1);").await?;
    let is_late = |pages: &Pages| {
        pages.listed["state"] == "ERROR"
            && pages.condition("BACK_OFF").is_some_and(|one| one["failures"].as_i64() >= Some(3))
    };
    let pages = await_pages(&sql, "BACK_OFF", is_late).await?;
    let condition = pages.condition("BACK_OFF").context("shown")?;
    ensure!(!text(condition, "cause").is_empty(), "{condition}");
    ensure!(condition["nextAttempt"].as_i64() > condition["since"].as_i64(), "{condition}");
    ensure!(pages.health.0 == StatusCode::OK, "{pages:#?}");
    std::fs::remove_file(&stores)?;
    await_pages(&sql, "RUNNING", |pages| pages.listed["state"] == "RUNNING" && !pages.has_conditions())
        .await?;
    ensure!(sql.rows("SELECT k, c FROM t;").await? == [[json!("a"), json!(1)]]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_whose_topic_is_deleted_says_which_is_missing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    let admin = Admin::new(transport(&server.kafka));
    admin.create_topic("s", 1, &BTreeMap::new()).await?;
    let stream = "CREATE STREAM s (k STRING KEY, n INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');";
    sql.execute(stream).await?;
    sql.execute("CREATE STREAM copy AS SELECT * FROM s;").await?;
    admin.delete_topics(&["s"]).await?;
    let pages = await_pages(&sql, "ERROR", |pages| pages.listed["state"] == "ERROR").await?;
    let missing = pages.condition("TOPICS_MISSING").context("shown")?;
    ensure!(missing["topics"] == json!(["s"]), "{missing}");
    let (status, health) = &pages.health;
    let id = text(&pages.listed, "id");
    ensure!(*status == StatusCode::OK && health["details"]["queries"]["failed"] == 1, "{health}");
    ensure!(text(&health["details"]["queries"], "reason").contains(id), "{health}");
    ensure!(sql.get("/readyz").await?.0 == StatusCode::OK);
    Ok(())
}

/// Also: `--task-step-max-ms` decides when a step is overdue.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_whose_step_does_not_return_is_overdue() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start_adjusted(folder.path(), |command| {
        command
            .args(["--task-step-max-ms", "300", "--worker-threads", "1"])
            .env("WEIR_FAILPOINTS", "rocksdb.write.before=delay:20000@1");
    })?;
    let sql = server.sql();
    sql.execute(STREAM).await?;
    sql.execute(COUNT).await?;
    sql.execute("INSERT INTO s VALUES ('a', 1);").await?;
    let pages = await_condition(&sql, "STEP_OVERDUE").await?;
    let (status, health) = &pages.health;
    // The thread serves other queries as well.
    ensure!(*status == StatusCode::SERVICE_UNAVAILABLE, "{health}");
    ensure!(text(&health["details"]["engine"], "reason").contains(text(&pages.listed, "id")), "{health}");
    let pages = await_pages(&sql, "the step returns", |pages| !pages.has_conditions()).await?;
    ensure!(pages.health.0 == StatusCode::OK, "{pages:#?}");
    Ok(())
}
