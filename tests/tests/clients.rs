//! Real Kafka clients against the real binary: kcat and confluent-kafka.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use weir_tests::server::ServerProcess;

/// True where the clients must be there; elsewhere a missing client is told and passed over.
fn clients_required() -> bool {
    std::env::var_os("CI").is_some() || std::env::var_os("WEIR_PYTHON").is_some()
}

fn has_kcat() -> bool {
    Command::new("kcat").arg("-V").output().is_ok_and(|o| o.status.success())
}

fn kcat(server: &ServerProcess, arguments: &[&str], input: &str) -> Result<String> {
    let mut child = Command::new("kcat")
        .args(["-b", &server.kafka])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("no standard input")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kcat {arguments:?}: {error}");
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_and_sql_share_topics() -> Result<()> {
    if !has_kcat() {
        assert!(!clients_required(), "kcat is not installed");
        println!("0 of 1 run: kcat is not installed");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(
        "CREATE STREAM s (k STRING KEY, n INT) WITH (KAFKA_TOPIC='s', PARTITIONS=2, VALUE_FORMAT='JSON');\
         CREATE TABLE t AS SELECT k, SUM(n) AS total FROM s GROUP BY k EMIT CHANGES;",
    )
    .await?;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let input: String = (1..=100).map(|n| format!("{codec}:{{\"n\":{n}}}\n")).collect();
        kcat(&server, &["-P", "-t", "s", "-K", ":", "-z", codec], &input)?;
    }
    let read = kcat(&server, &["-C", "-t", "s", "-e", "-q", "-f", "%k %s\n"], "")?;
    assert_eq!(read.lines().count(), 500);
    let listing = kcat(&server, &["-L", "-J"], "")?;
    assert!(listing.contains("\"topic\":\"s\""), "{listing}");
    let started = std::time::Instant::now();
    loop {
        let rows = sql.rows("SELECT k, total FROM t;").await?;
        if rows.len() == 5 && rows.iter().all(|r| r[1] == 5_050) {
            break;
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(30), "{rows:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let changes = kcat(&server, &["-C", "-t", "T", "-e", "-q", "-f", "%k %s\n"], "")?;
    assert!(changes.lines().any(|l| l == "zstd {\"TOTAL\":5050}"), "{changes}");
    Ok(())
}

/// Runs a script of `clients/` against a fresh server; it prints "all ok" at its end.
fn run_script(name: &str) -> Result<()> {
    let Some(python) = std::env::var_os("WEIR_PYTHON") else {
        assert!(!clients_required(), "WEIR_PYTHON must name a Python with confluent-kafka");
        println!("0 of 1 run: WEIR_PYTHON does not name a Python with confluent-kafka");
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name);
    let output = Command::new(python).arg(script).arg(&server.kafka).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("all ok"), "{text}");
    Ok(())
}

#[test]
fn confluent_kafka_produces_consumes_and_transacts() -> Result<()> {
    run_script("confluent.py")
}

#[test]
fn confluent_kafka_shares_topics_by_the_newer_group_protocol() -> Result<()> {
    run_script("consumer_protocol.py")
}
