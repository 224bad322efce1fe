//! Measures the log: append throughput with and without fsync, reads, and opening many partitions.
//!
//! `cargo run --release -p weir-broker --example log_bench -- [DIRECTORY]`; the directory should be on the disk to be
//! measured and is filled with up to 2 GB, then removed.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use weir_broker::env::clock::SystemClock;
use weir_broker::env::storage::system::SystemStorage;
use weir_broker::ids::{TopicId, TopicPartition};
use weir_broker::log::access::{AppendOrigin, Isolation, ReadRequest};
use weir_broker::log::config::{Durability, LogConfig};
use weir_broker::log::manager::{LogManager, LogManagerConfig};
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let root: PathBuf = std::env::args_os().nth(1).map_or_else(|| "weir-log-bench".into(), PathBuf::from);
    for durability in [Durability::Relaxed, Durability::Fsync] {
        for record_bytes in [100, 1024] {
            for (producers, in_flight) in [(1, 1), (1, 5), (8, 5), (64, 1)] {
                append(&root, durability, record_bytes, producers, in_flight)?;
            }
        }
    }
    open_many(&root, 10_000)?;
    Ok(())
}

fn open(dir: &Path, durability: Durability) -> Outcome<Arc<LogManager>> {
    let config = LogManagerConfig { durability, ..LogManagerConfig::new(dir) };
    Ok(LogManager::open(config, Arc::new(SystemStorage), Arc::new(SystemClock::new()))?)
}

/// Producers append 16 KiB batches, each to its own partition, with so many unanswered at most.
fn append(
    root: &Path,
    durability: Durability,
    record_bytes: usize,
    producers: usize,
    in_flight: usize,
) -> Outcome {
    let dir = root.join("append");
    let manager = open(&dir, durability)?;
    let per_batch = (16 << 10) / record_bytes;
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    for _ in 0..per_batch {
        builder.append(1, None, Some(&vec![7; record_bytes]), &[]);
    }
    let batch = builder.build()?;
    let batches = match durability {
        Durability::Relaxed => 20_000 / producers,
        Durability::Fsync => 1_500 / producers.min(8),
    };
    let mut logs = Vec::new();
    for partition in 0..producers {
        let tp = TopicPartition::new("bench", partition as i32);
        logs.push(manager.create(&tp, TopicId::NONE, LogConfig::default())?);
    }
    let started = Instant::now();
    std::thread::scope(|scope| {
        let work = |log| {
            let batch = &batch;
            move || -> Outcome {
                let mut waiting = std::collections::VecDeque::new();
                for _ in 0..batches {
                    // A copy, as the socket's buffer would be.
                    let bytes = bytes::Bytes::copy_from_slice(batch);
                    waiting.push_back(weir_broker::log::partition_log::Log::append(
                        log,
                        bytes,
                        AppendOrigin::Client,
                        0,
                    )?);
                    if waiting.len() >= in_flight {
                        waiting.pop_front().expect("not empty").flush.wait_blocking()?;
                    }
                }
                waiting.into_iter().try_for_each(|appended| appended.flush.wait_blocking())?;
                Ok(())
            }
        };
        let threads: Vec<_> = logs.iter().map(|log| scope.spawn(work(log))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let records = (producers * batches * per_batch) as f64;
    let megabytes = (producers * batches * batch.len()) as f64 / 1e6;
    println!(
        "append {durability:?} {record_bytes} B, {producers} producers x {in_flight} in flight: {:.0} MB/s, {:.0} records/s, \
         {:.0} batches/s",
        megabytes / seconds,
        records / seconds,
        (producers * batches) as f64 / seconds,
    );
    if producers == 1 && durability == Durability::Relaxed {
        read(&logs[0], record_bytes)?;
    }
    drop(logs);
    manager.shutdown()?;
    drop(manager);
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

fn read(log: &weir_broker::log::partition_log::Log, record_bytes: usize) -> Outcome {
    let started = Instant::now();
    let (mut offset, mut read) = (0, 0);
    loop {
        let request = ReadRequest {
            offset,
            bytes_max: 1 << 20,
            isolation: Isolation::ReadUncommitted,
            at_least_one_batch: true,
        };
        let data = log.read(&request)?;
        let Some(last) = weir_broker::record::batch::BatchIter::new(data.bytes.clone()).last() else { break };
        offset = last?.header().next_offset();
        read += data.bytes.len();
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("read {record_bytes} B, checked twice: {:.0} MB/s", read as f64 / 1e6 / seconds);
    Ok(())
}

/// Makes many partitions with a record each, and opens them after a clean stop and after a crash.
fn open_many(root: &Path, partitions: i32) -> Outcome {
    let dir = root.join("many");
    let manager = open(&dir, Durability::Relaxed)?;
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    builder.append(1, None, Some(b"value"), &[]);
    let batch = builder.build()?;
    let timed = |what: &str, started: Instant| {
        println!("{what} {partitions} partitions: {:.2} s", started.elapsed().as_secs_f64());
    };
    let started = Instant::now();
    for partition in 0..partitions {
        let log =
            manager.create(&TopicPartition::new("many", partition), TopicId::NONE, LogConfig::default())?;
        log.append(batch.clone(), AppendOrigin::Client, 0)?;
    }
    timed("create", started);
    let started = Instant::now();
    manager.shutdown()?;
    drop(manager);
    timed("shut down", started);
    let started = Instant::now();
    let manager = open(&dir, Durability::Relaxed)?;
    timed("open cleanly", started);
    // Dropped without a shutdown, as a crash leaves it.
    drop(manager);
    let started = Instant::now();
    let manager = open(&dir, Durability::Relaxed)?;
    timed("recover", started);
    drop(manager);
    std::fs::remove_dir_all(root)?;
    Ok(())
}
