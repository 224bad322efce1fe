//! The command line of `weir bench`.

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use weir_broker::client::admin::Admin;
use weir_broker::client::producer::record::ProducerRecord;
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::client::transport::Transport;
use weir_broker::log::config::Durability;

use crate::bench::end_to_end;
use crate::bench::latency;
use crate::bench::pipe::{consume, producer};
use crate::bench::rows;
use crate::bench::start;
use crate::bench::usage;
use crate::bench::workload::{Bench, PARTITIONS, round};
use crate::durability::DurabilityArg;
use crate::render::line;

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Workloads: w1 filter and project, w2 windowed COUNT and SUM, w3 stream-table join, latency of a push query, produce,
    /// consume, e2e latency from producer to consumer, start to the first acknowledgement
    #[arg(default_values_t = ["w1", "w2", "w3", "latency", "produce", "consume"].map(str::to_owned))]
    pub workloads: Vec<String>,
    /// Rows of each workload
    #[arg(long, default_value_t = 5_000_000)]
    pub rows: u64,
    /// Seconds of each rate of e2e
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// Folder for the node's data instead of a temporary one
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// When records are acknowledged
    #[arg(long, value_enum, default_value = "fsync")]
    pub durability: DurabilityArg,
    /// Write the rows as files rows.ndjson and table.ndjson into this folder, and run nothing
    #[arg(long, value_name = "DIR")]
    pub export: Option<PathBuf>,
}

/// Runs the workloads, each on a fresh node; prints a JSON line for each.
pub async fn run(args: BenchArgs) -> Result<()> {
    if let Some(folder) = &args.export {
        return export(folder, args.rows);
    }
    for workload in &args.workloads {
        let dir = match &args.data_dir {
            Some(dir) => dir.join(workload),
            None => std::env::temp_dir().join(format!("weir-bench-{}-{workload}", std::process::id())),
        };
        let figures = run_one(&args, workload, &dir).await;
        if args.data_dir.is_none() {
            // A temporary folder that cannot be removed is no failure of the workload.
            let _ = std::fs::remove_dir_all(&dir);
        }
        for line in figures? {
            line::out(format_args!("{line}"));
        }
    }
    Ok(())
}

async fn run_one(args: &BenchArgs, workload: &str, dir: &std::path::Path) -> Result<Vec<Value>> {
    let durability: Durability = args.durability.into();
    if workload == "latency" {
        return Ok(vec![latency::run(dir, args.rows, |config| config.durability = durability).await?]);
    }
    if workload == "e2e" {
        return end_to_end::run(dir, args.seconds, durability).await;
    }
    if workload == "start" {
        return Ok(vec![start::run(dir).await?]);
    }
    let is_sql = workload.starts_with('w');
    let rows = if is_sql { args.rows } else { 0 };
    let bench = Bench::start(dir, rows, |config| config.durability = durability).await?;
    let figures = match workload {
        "produce" | "consume" => pipe_workloads(&bench, args.rows, workload).await,
        _ => bench.run(workload).await.map(|figures| vec![figures]),
    };
    bench.stop().await;
    figures
}

/// 100-byte and 1 KiB records through a real socket.
async fn pipe_workloads(bench: &Bench, rows: u64, workload: &str) -> Result<Vec<Value>> {
    let address = bench.kafka_address().context("the node has no Kafka port")?.to_string();
    let transport: Arc<dyn Transport> = Arc::new(TcpTransport::new(address, TcpTransportConfig::default()));
    let mut figures = Vec::new();
    for (size, records) in [(100_usize, rows), (1_024, rows / 8)] {
        let topic = format!("bench-{size}");
        Admin::new(bench.transport()).create_topic(&topic, PARTITIONS, &Default::default()).await?;
        let (mut started, mut cpu) = (Instant::now(), usage::cpu_seconds());
        let (producer, index) = producer(Arc::clone(&transport), &topic, PARTITIONS).await?;
        let value = vec![b'x'; size];
        for number in 0..records {
            let timestamp = rows::timestamp(number);
            let record = ProducerRecord { value: Some(&value), timestamp, ..ProducerRecord::default() };
            producer.send(index, &record).await?;
        }
        producer.flush().await?;
        if workload == "consume" {
            (started, cpu) = (Instant::now(), usage::cpu_seconds());
            let bytes = consume(&transport, &topic, records).await?;
            if bytes != records * size as u64 {
                bail!("{bytes} bytes were read, {} expected", records * size as u64);
            }
        }
        let (seconds, cpu) = (started.elapsed().as_secs_f64(), usage::cpu_seconds() - cpu);
        figures.push(json!({
            "engine": format!("weir {}", env!("CARGO_PKG_VERSION")),
            "workload": workload,
            "record_bytes": size,
            "records": records,
            "seconds": round(seconds, 3),
            "cpu_seconds": round(cpu, 2),
            "records_per_second": (records as f64 / seconds).round(),
            "mb_per_second": round(records as f64 * size as f64 / seconds / 1e6, 1),
            "peak_rss_mib": round(usage::peak_rss_mib(), 1),
        }));
    }
    Ok(figures)
}

fn export(folder: &std::path::Path, rows_count: u64) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut out = BufWriter::new(std::fs::File::create(folder.join("rows.ndjson"))?);
    let mut row = String::new();
    for index in 0..rows_count {
        row.clear();
        rows::write_row(index, &mut row);
        row.push('\n');
        out.write_all(row.as_bytes())?;
    }
    out.flush()?;
    let mut out = BufWriter::new(std::fs::File::create(folder.join("table.ndjson"))?);
    for index in 0..rows::KEYS {
        let (key, value) = rows::table_row(index);
        writeln!(out, "{{\"k\":\"{key}\",{}", &value[1..])?;
    }
    out.flush()?;
    Ok(())
}
