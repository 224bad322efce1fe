//! RocksDB's files cut short, with a bit flipped, or lost, while the node is stopped: state is rebuilt from its changelog, whether
//! that shows when it is opened or when it is read. A pull query never gives a wrong row and never leaves rows out, and the
//! process does not end.
//!
//! `WEIR_DAMAGES=1000` tries a thousand of each instead of fifty; `WEIR_SEED` repeats a run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rand::RngExt;
use rand::rngs::StdRng;
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::producer::partitioner::partition_for_key;
use weir_broker::ids::TopicPartition;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};
use weir_broker::record::compression::Compression;
use weir_tests::log_reader::transport;
use weir_tests::seed;
use weir_tests::server::ServerProcess;
use weir_tests::time::now_ms;

const TRIES: u64 = 50;
/// Their keys are wide: a clean stop writes what is larger than 1 MiB for a task, and leaves less to the changelog.
const KEYS: u64 = 1_200;
const KEY_CHARS: usize = 2_000;
const PARTITIONS: i32 = 2;
const STATEMENTS: &str = "\
    CREATE STREAM s (k STRING KEY, v BIGINT) WITH (KAFKA_TOPIC='s', PARTITIONS=2, KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON');\
    CREATE TABLE sums AS SELECT k, SUM(v) AS total, COUNT(*) AS n FROM s GROUP BY k EMIT CHANGES;";
const READY_WITHIN: Duration = Duration::from_secs(120);
const STOP_PATIENCE: Duration = Duration::from_secs(80);

/// How many rows each key has, of which every one counts 1.
type Counts = BTreeMap<String, i64>;

async fn produce(server: &ServerProcess, counts: &mut Counts, keys: impl Iterator<Item = u64>) -> Result<()> {
    let mut builders: BTreeMap<i32, RecordBatchBuilder> = BTreeMap::new();
    for key in keys {
        let key = format!("k{key}-{}", "x".repeat(KEY_CHARS));
        builders
            .entry(partition_for_key(key.as_bytes(), PARTITIONS))
            .or_insert_with(|| {
                RecordBatchBuilder::new(BatchOptions {
                    compression: Compression::Lz4,
                    ..BatchOptions::default()
                })
            })
            .append(now_ms(), Some(key.as_bytes()), Some(b"{\"V\":1}"), &[]);
        *counts.entry(key).or_default() += 1;
    }
    let batches = builders
        .into_iter()
        .map(|(partition, builder)| Ok((TopicPartition::new("s", partition), vec![builder.build()?])));
    let mut producer = IdempotentProducer::init(transport(&server.kafka)).await?;
    producer.send(batches.collect::<Result<_>>()?).await?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The files of the query's databases by kind: tables, manifests and so on. Locks and logs for humans do not matter.
fn files(dir: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>> {
    let (mut kinds, mut dirs) = (BTreeMap::<String, Vec<PathBuf>>::new(), vec![dir.to_path_buf()]);
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let kind = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
            let kind = if name.ends_with(".sst") { "sst" } else { kind };
            let in_database = dir.join("CURRENT").exists();
            if in_database && entry.metadata()?.len() > 0 && !name.starts_with("LOG") && name != "LOCK" {
                kinds.entry(kind.to_owned()).or_default().push(path);
            }
        }
    }
    Ok(kinds)
}

/// Pulls until every row of now is there. Meanwhile rows may be older, but never others, and never fewer.
async fn await_rows(
    server: &mut ServerProcess,
    before: &Counts,
    now: &Counts,
    random: &mut StdRng,
) -> Result<()> {
    let begun = Instant::now();
    let sql = server.sql();
    loop {
        if let Some(status) = server.ended()? {
            bail!("the server ended with {status}");
        }
        if let Ok(rows) = sql.rows("SELECT k, total, n FROM sums;").await {
            ensure!(rows.len() == now.len(), "{} of {} rows", rows.len(), now.len());
            let mut all_new = true;
            for row in &rows {
                let (key, total, n) = (row[0].as_str(), row[1].as_i64(), row[2].as_i64());
                let key = key.with_context(|| format!("{row:?} has no key"))?;
                let (least, most) = (before.get(key), now.get(key));
                ensure!(total == n && least <= n.as_ref() && n.as_ref() <= most, "{row:?} is wrong");
                all_new &= n.as_ref() == most;
            }
            if all_new {
                let key = now.keys().nth(random.random_range(0..now.len())).context("keys")?;
                let one = sql.rows(&format!("SELECT total FROM sums WHERE k = '{key}';")).await;
                if let Ok(one) = one {
                    let total = one.first().and_then(|row| row[0].as_i64());
                    ensure!(one.len() == 1 && total == now.get(key).copied(), "{key} has {one:?}");
                    return Ok(());
                }
            }
        }
        let queries = sql.execute("SHOW QUERIES;").await?;
        ensure!(!queries.to_string().contains("panicked"), "{queries}");
        ensure!(begun.elapsed() < READY_WITHIN, "not ready: {queries}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_state_is_rebuilt() -> Result<()> {
    damage_and_restart(seed::announce("damaged_state")).await
}

/// A flipped bit of a MANIFEST once kept a query restoring for ever.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_state_of_a_seed_that_failed_is_rebuilt() -> Result<()> {
    damage_and_restart(15_699_398_082_453_797_277).await
}

async fn damage_and_restart(seed: u64) -> Result<()> {
    let mut random = seed::random(seed);
    let dir = tempfile::tempdir()?;
    let (data, image) = (dir.path().join("data"), dir.path().join("image"));
    let state = data.join("state");
    // Several rounds make several tables on disk.
    let mut counts = Counts::new();
    for round in 0..3 {
        let mut server = ServerProcess::start(&data)?;
        if round == 0 {
            server.sql().execute(STATEMENTS).await?;
        }
        produce(&server, &mut counts, 0..KEYS).await?;
        let least = counts.keys().map(|key| (key.clone(), 0)).collect();
        while await_rows(&mut server, &least, &counts, &mut random).await.is_err() {
            // The first rows are still on their way.
            ensure!(server.ended()?.is_none(), "the server ended");
        }
        ensure!(server.terminate(STOP_PATIENCE)?.success(), "no clean end");
    }
    copy(&state, &image)?;
    let imaged = counts.clone();
    let kinds = files(&image)?;
    for kind in ["sst", "MANIFEST", "CURRENT", "OPTIONS"] {
        ensure!(kinds.contains_key(kind), "{kind} is not among {:?}", kinds.keys());
    }
    let names: Vec<&String> = kinds.keys().collect();
    let tries = seed::number("WEIR_DAMAGES").unwrap_or(TRIES);
    let mut figures: BTreeMap<(String, &str), u64> = BTreeMap::new();
    for turn in 0..2 * tries {
        // Half of them in tables, where the rows are.
        let kind = if turn % 4 < 2 { "sst" } else { names[random.random_range(0..names.len())].as_str() };
        let of_kind = &kinds[kind];
        let path = &of_kind[random.random_range(0..of_kind.len())];
        let target = state.join(path.strip_prefix(&image)?);
        std::fs::remove_dir_all(&state)?;
        copy(&image, &state)?;
        let mut bytes = std::fs::read(&target)?;
        let (at, bit) = (random.random_range(0..bytes.len()), random.random_range(0..8));
        let action = match turn % 10 {
            1 => "lose",
            even if even % 2 == 0 => "flip",
            _ => "cut",
        };
        match action {
            "flip" => bytes[at] ^= 1 << bit,
            _ => bytes.truncate(at),
        }
        match action {
            "lose" => std::fs::remove_file(&target)?,
            _ => std::fs::write(&target, bytes)?,
        }
        let context = || format!("seed {seed}, turn {turn}: {action} {} at {at} bit {bit}", target.display());
        let mut server = ServerProcess::start(&data).with_context(context)?;
        // What is on disk is older than the changelog.
        let some: Vec<u64> = (0..7).map(|_| random.random_range(0..KEYS)).collect();
        produce(&server, &mut counts, some.into_iter()).await.with_context(context)?;
        await_rows(&mut server, &imaged, &counts, &mut random).await.with_context(context)?;
        *figures.entry((kind.to_owned(), action)).or_default() += 1;
        server.kill()?;
    }
    println!("rebuilt: {figures:?}");
    Ok(())
}
