//! How long a node takes from its start to the first acknowledged record, and the memory it takes while idle.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use weir_broker::client::admin::Admin;
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::client::transport::Transport;
use weir_broker::ids::TopicPartition;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};

use crate::bench::workload::round;

const IDLE: Duration = Duration::from_secs(3);

/// Starts a node as a process of its own, with a new folder.
pub async fn run(dir: &Path) -> Result<Value> {
    let started = Instant::now();
    let mut child = Command::new(std::env::current_exe()?)
        .args(["server", "--http-listen", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().context("no standard output")?;
    let line = BufReader::new(stdout).lines().next_line().await?.context("the node said nothing")?;
    let ready = started.elapsed();
    let (_, kafka) = line.rsplit_once("Kafka ").with_context(|| format!("the node said \"{line}\""))?;
    let transport: Arc<dyn Transport> =
        Arc::new(TcpTransport::new(kafka.trim(), TcpTransportConfig::default()));
    Admin::new(Arc::clone(&transport)).create_topic("first", 1, &Default::default()).await?;
    let mut producer = IdempotentProducer::init(transport).await?;
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    builder.append(1_700_000_000_000, None, Some(b"first"), &[]);
    producer.send(vec![(TopicPartition::new("first", 0), vec![builder.build()?])]).await?;
    let acknowledged = started.elapsed();
    tokio::time::sleep(IDLE).await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id().unwrap_or(0)))?;
    let mib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        round(line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap_or(0.0) / 1024.0, 1)
    };
    child.kill().await?;
    Ok(json!({
        "engine": format!("weir {}", env!("CARGO_PKG_VERSION")),
        "workload": "start",
        "ready_ms": ready.as_millis(),
        "first_acknowledged_ms": acknowledged.as_millis(),
        "idle_rss_mib": mib("VmRSS:"),
        // Without the pages of the binary, which the kernel maps as it likes and takes back when memory is short.
        "idle_anonymous_mib": mib("RssAnon:"),
    }))
}
