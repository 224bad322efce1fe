//! Log lines of a node: their levels and forms, and that no reader of them can hold up or end the node.

use std::fs::{File, OpenOptions};
use std::io::{Read, pipe};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use weir_tests::http::SqlClient;
use weir_tests::server::{ServerProcess, weir_binary};

const PATIENCE: Duration = Duration::from_secs(60);

/// A stream, a table over it, and an inserted row that shows: all that a node has threads for.
async fn works(sql: &SqlClient) -> Result<()> {
    sql.execute(
        "CREATE STREAM s (id STRING KEY, n INT) WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='JSON');\
         CREATE TABLE t AS SELECT id, COUNT(*) AS n FROM s GROUP BY id;\
         INSERT INTO s (id, n) VALUES ('a', 1);",
    )
    .await?;
    let started = Instant::now();
    while sql.rows("SELECT * FROM t;").await?.is_empty() {
        if started.elapsed() > PATIENCE {
            bail!("the table stays empty");
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_standard_error_costs_log_lines_only() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (reader, writer) = pipe()?;
    drop(reader);
    let mut server = ServerProcess::start_adjusted(folder.path(), |command| {
        command.args(["--log-level", "debug"]).stderr(writer);
    })?;
    works(&server.sql()).await?;
    assert!(server.terminate(PATIENCE)?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standard_error_that_is_never_read_holds_up_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (_reader, writer) = pipe()?;
    let mut server = ServerProcess::start_adjusted(folder.path(), |command| {
        command.args(["--log-level", "trace"]).stderr(writer);
    })?;
    let sql = server.sql();
    works(&sql).await?;
    // More lines than the pipe takes.
    for _ in 0..200 {
        sql.execute("SHOW STREAMS;").await?;
    }
    assert!(server.terminate(PATIENCE)?.success());
    Ok(())
}

/// A port that nothing listens on now.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_starts_and_serves_with_all_its_output_on_a_full_disk() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let full = || -> Result<File> { Ok(OpenOptions::new().write(true).open("/dev/full")?) };
    let (http, kafka) = (free_port()?, free_port()?);
    let mut child = Command::new(weir_binary())
        .args(["server", "--log-level", "debug", "--data-dir"])
        .arg(folder.path())
        .args([
            "--http-listen",
            &format!("localhost:{http}"),
            "--kafka-listen",
            &format!("localhost:{kafka}"),
        ])
        .stdout(full()?)
        .stderr(full()?)
        .spawn()?;
    let sql = SqlClient::new(&format!("http://127.0.0.1:{http}"));
    let started = Instant::now();
    while sql.execute("SHOW STREAMS;").await.is_err() {
        if let Some(status) = child.try_wait()? {
            bail!("the node ended with {status}");
        }
        assert!(started.elapsed() < PATIENCE, "the node does not serve");
        tokio::task::yield_now().await;
    }
    let outcome = works(&sql).await;
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
    let status = child.wait()?;
    outcome?;
    assert!(status.success(), "{status}");
    Ok(())
}

/// Standard error of a node that starts and is told to stop.
fn logged(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Result<String> {
    let (mut reader, writer) = pipe()?;
    let mut server = ServerProcess::start_adjusted(folder, |command| {
        command.args(arguments).env_remove("RUST_LOG").env_remove("WEIR_LOG").stderr(writer);
        command.envs(variables.iter().copied());
    })?;
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    assert!(server.terminate(PATIENCE)?.success());
    drop(server);
    reading.join().ok().context("the reader panicked")?.map_err(Into::into)
}

#[test]
fn levels_and_forms_are_chosen_by_flags_and_variables() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let text = logged(folder.path(), &[], &[])?;
    for step in ["node stops", "closing the HTTP port", "stopping queries", "closing the Kafka listeners"] {
        assert!(text.contains(step), "{step} in {text}");
    }
    assert!(!text.contains("DEBUG"), "{text}");
    let lines = logged(folder.path(), &["--log-format", "json"], &[])?;
    let mut messages = Vec::new();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        assert!(line["timestamp"].is_string() && line["level"] == "INFO", "{line}");
        messages.push(line["message"].as_str().unwrap_or_default().to_owned());
    }
    assert!(messages.contains(&"node stopped".to_owned()), "{messages:?}");
    assert_eq!(logged(folder.path(), &["--log-level", "off"], &[])?, "");
    assert_eq!(logged(folder.path(), &[], &[("RUST_LOG", "off")])?, "");
    assert!(logged(folder.path(), &[], &[("RUST_LOG", "off"), ("WEIR_LOG", "debug")])?.contains("DEBUG"));
    let wrong = Command::new(weir_binary())
        .args(["server", "--log-level", "loud"])
        .stdin(Stdio::null())
        .current_dir(folder.path())
        .output()?;
    let error = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(wrong.status.code() == Some(2) && error.contains("unknown level \"loud\""), "{error}");
    Ok(())
}
