//! What the disk does under the real binary: the order of syncs and answers, failing syncs, a full disk.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use rand::RngExt;
use weir_broker::client::admin::Admin;
use weir_broker::client::group_offsets;
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::producer::transactional::TransactionalProducer;
use weir_broker::client::transport::Transport;
use weir_broker::ids::TopicPartition;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};
use weir_tests::load::{Ledger, Scope, prepare};
use weir_tests::log_reader::{Gaps, check_offsets, read_committed, transport};
use weir_tests::proxy::{Proxy, Transactions};
use weir_tests::seed;
use weir_tests::server::ServerProcess;
use weir_tests::time::now_ms;

fn batch(value: &str) -> Bytes {
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    builder.append(now_ms(), Some(b"key"), Some(value.as_bytes()), &[]);
    builder.build().expect("small batch")
}

// The order of syncs and answers.

/// What a trace of system calls says about one log.
#[derive(Debug, Default)]
struct Order {
    writes: usize,
    syncs: usize,
    answers: usize,
    /// Answers sent while bytes of the log were not synced.
    early: usize,
}

/// Reads a trace of `strace -f -y`: writes to and syncs of the file `log`, and what is sent to sockets.
fn order_of(trace: &str, log: &str) -> Order {
    let mut order = Order::default();
    let (mut written, mut synced) = (0_usize, 0_usize);
    // Per thread: how much was written when its sync began.
    let mut syncing: HashMap<&str, usize> = HashMap::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if ["pwritev(", "pwrite64("].iter().any(|name| call.starts_with(name)) && call.contains(log) {
            written += 1;
            order.writes += 1;
        } else if call.starts_with("fdatasync(") && call.contains(log) {
            if call.contains("<unfinished") {
                syncing.insert(thread, written);
            } else if call.ends_with("= 0") {
                synced = written;
                order.syncs += 1;
            }
        } else if call.starts_with("<... fdatasync resumed>") && call.ends_with("= 0") {
            if let Some(at) = syncing.remove(thread) {
                synced = synced.max(at);
                order.syncs += 1;
            }
        } else if ["sendto(", "sendmsg(", "writev(", "write("].iter().any(|name| call.starts_with(name))
            && call.contains("<socket:")
        {
            order.answers += 1;
            order.early += usize::from(synced < written);
        }
    }
    order
}

/// Produces records one by one while the server is traced. `None` if processes may not be traced here.
async fn traced(durability: &str) -> Result<Option<Order>> {
    const RECORDS: usize = 200;
    let dir = tempfile::tempdir()?;
    let mut server = ServerProcess::start_adjusted(dir.path(), |command| {
        command.args(["--durability", durability]);
    })?;
    let transport = transport(&server.kafka);
    Admin::new(Arc::clone(&transport)).create_topic("traced", 1, &BTreeMap::new()).await?;
    let mut producer = IdempotentProducer::init(transport).await?;
    let partition = TopicPartition::new("traced", 0);
    producer.send(vec![(partition.clone(), vec![batch("first")])]).await?;
    let file = dir.path().join("trace");
    let mut strace = Command::new("strace")
        .args(["-f", "-y", "-qq", "-e", "trace=write,pwrite64,pwritev,fdatasync,sendto,sendmsg,writev", "-o"])
        .arg(&file)
        .args(["-p", &server.id().to_string()])
        .stderr(Stdio::null())
        .spawn()
        .context("strace is missing")?;
    let started = Instant::now();
    // Attached once anything is written down.
    while std::fs::metadata(&file).map_or(0, |meta| meta.len()) == 0 {
        if strace.try_wait()?.is_some() || started.elapsed() > Duration::from_secs(120) {
            let _ = strace.kill();
            return Ok(None);
        }
        producer.send(vec![(partition.clone(), vec![batch("probe")])]).await?;
    }
    for number in 0..RECORDS {
        producer.send(vec![(partition.clone(), vec![batch(&number.to_string())])]).await?;
    }
    server.kill()?;
    strace.wait()?;
    let order = order_of(&std::fs::read_to_string(&file)?, "/traced-0/00000000000000000000.log");
    ensure!(order.writes >= RECORDS && order.answers >= RECORDS, "the trace is not whole: {order:?}");
    Ok(Some(order))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_leaves_before_its_sync() -> Result<()> {
    let Some(order) = traced("fsync").await? else {
        println!("SKIPPED: no process may be traced here");
        return Ok(());
    };
    println!("fsync: {order:?}");
    assert_eq!(order.early, 0, "answers before the sync: {order:?}");
    let relaxed = traced("relaxed").await?.context("traced before")?;
    println!("relaxed: {relaxed:?}");
    // The proof can fail.
    assert!(relaxed.early > 0, "relaxed durability answers before the sync: {relaxed:?}");
    Ok(())
}

// Failing syncs.

const FAILURES: u64 = 6;
/// `EX_IOERR`
const STORAGE_FAILED: i32 = 74;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_after_a_failed_sync() -> Result<()> {
    let seed = seed::announce("disk");
    let mut random = seed::random(seed);
    let kinds = ["segment.topic.sync", "segment.topic.write", "segment.offsets.sync", "metadata.sync"];
    let failures = seed::number("WEIR_FAILURES").unwrap_or(FAILURES);
    let dir = tempfile::tempdir()?;
    let mut server = ServerProcess::start(dir.path())?;
    prepare(&server, Scope::Broker).await?;
    server.kill()?;
    let mut ledger = Ledger::default();
    for failure in 0..failures {
        let kind = kinds[failure as usize % kinds.len()];
        let order = format!("{kind}.before=eio@{}", random.random_range(10..40));
        let mut server = ServerProcess::start_adjusted(dir.path(), |command| {
            command.env("WEIR_FAILPOINTS", &order);
        })?;
        let addresses = server.addresses();
        let mut status = None;
        let ended = async {
            let started = Instant::now();
            while status.is_none() && started.elapsed() < Duration::from_secs(8) {
                tokio::time::sleep(Duration::from_millis(10)).await;
                status = server.ended()?;
            }
            Ok(())
        };
        ledger.run(&addresses, Scope::Broker, Duration::ZERO, ended).await?;
        match status {
            Some(status) => {
                ensure!(status.code() == Some(STORAGE_FAILED), "{order}: the server ended with {status}");
            }
            // It failed while a log was recovered: that partition is offline.
            None => {
                let (_, metrics) = server.sql().get("/metrics").await?;
                let offline = metrics.lines().any(|line| {
                    line.strip_prefix("weir_partitions_offline ").is_some_and(|count| count != "0")
                });
                ensure!(offline, "{order}: the server goes on, and every partition is served");
                server.kill()?;
            }
        }
        let mut server = ServerProcess::start(dir.path())?;
        ledger.check(&server).await.with_context(|| format!("seed {seed}, {order}"))?;
        server.kill()?;
    }
    println!("{failures} failed writes and syncs: {}", ledger.summary());
    Ok(())
}

// A full disk.

/// A file system of a few MiB, unmounted when dropped.
struct SmallDisk {
    mount: PathBuf,
    _dir: tempfile::TempDir,
}

impl SmallDisk {
    /// `None` where nothing may be mounted.
    fn new(kind: &str) -> Result<Option<SmallDisk>> {
        let dir = tempfile::tempdir()?;
        let mount = dir.path().join("mount");
        std::fs::create_dir(&mount)?;
        let quiet = |command: &mut Command| {
            command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        let mounted = if kind == "tmpfs" {
            quiet(Command::new("mount").args(["-t", "tmpfs", "-o", "size=32m", "tmpfs"]).arg(&mount))
        } else {
            let image = dir.path().join("image");
            std::fs::File::create(&image)?.set_len(64 << 20)?;
            quiet(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image))
                && quiet(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&mount))
        };
        Ok(mounted.then_some(SmallDisk { mount, _dir: dir }))
    }

    fn path(&self) -> &Path {
        &self.mount
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The folder goes with the test, mounted or not.
        let _ = Command::new("umount").arg("-l").arg(&self.mount).status();
    }
}

/// One batch, asked for once.
async fn produce(transport: &Arc<dyn Transport>, topic: &str, value: &str) -> Result<ErrorCode> {
    let data = PartitionProduceData { index: 0, records: Some(batch(value)) };
    let topic = TopicProduceData {
        name: topic.to_owned(),
        partition_data: vec![data],
        ..TopicProduceData::default()
    };
    let request =
        ProduceRequest { acks: -1, timeout_ms: 10_000, topic_data: vec![topic], ..ProduceRequest::default() };
    let Response::Produce(answer) = transport.send(Request::Produce(request)).await? else {
        bail!("no answer")
    };
    Ok(answer.responses[0].partition_responses[0].error_code)
}

/// As [`produce`], again and again while a deleted topic still takes room.
async fn produce_when_there_is_room(transport: &Arc<dyn Transport>, topic: &str, value: &str) -> Result<()> {
    let started = Instant::now();
    loop {
        match produce(transport, topic, value).await? {
            ErrorCode::None => return Ok(()),
            code if code.is_retriable() && started.elapsed() < Duration::from_secs(120) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            code => bail!("there is no room for {topic}: {code:?}"),
        }
    }
}

/// Makes a topic. What a deleted topic took is given back beside the answer to its deletion, so that there may be no
/// room for a moment yet.
async fn create_when_there_is_room(admin: &Admin, name: &str) -> Result<()> {
    let started = Instant::now();
    loop {
        match admin.create_topic(name, 1, &BTreeMap::new()).await {
            Ok(()) => return Ok(()),
            Err(error)
                if error.code() == Some(ErrorCode::KafkaStorageError)
                    && started.elapsed() < Duration::from_secs(120) =>
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn fill_and_free(kind: &str) -> Result<()> {
    const VALUE_BYTES: usize = 60_000;
    const CYCLES: usize = 2;
    let Some(disk) = SmallDisk::new(kind)? else {
        println!("SKIPPED: {kind} cannot be mounted here");
        return Ok(());
    };
    let mut server = ServerProcess::start(&disk.path().join("data"))?;
    let transport = transport(&server.kafka);
    let admin = Admin::new(Arc::clone(&transport));
    admin.create_topic("kept", 1, &BTreeMap::new()).await?;
    let mut acknowledged = HashSet::new();
    let mut number = 0;
    for cycle in 0..CYCLES {
        let filler = format!("filler-{cycle}");
        create_when_there_is_room(&admin, &filler).await?;
        // Half of the room is the filler's, the rest is filled with what is to stay.
        for _ in 0..150 {
            produce_when_there_is_room(&transport, &filler, &"f".repeat(VALUE_BYTES)).await?;
        }
        let refusal = loop {
            number += 1;
            let value = format!("{number:08}{}", "k".repeat(if cycle == 0 { VALUE_BYTES } else { 5_000 }));
            match produce(&transport, "kept", &value).await? {
                ErrorCode::None => acknowledged.insert(number),
                code => break code,
            };
        };
        ensure!(refusal.is_retriable(), "a full disk is answered with {refusal:?}");
        let seen = read_committed(&transport, &TopicPartition::new("kept", 0)).await?;
        ensure!(seen.len() == acknowledged.len(), "{} of {} are readable", seen.len(), acknowledged.len());
        ensure!(server.ended()?.is_none(), "the server ended");
        admin.delete_topics(&[&filler]).await.context("topics can be deleted when the disk is full")?;
        let freed = Instant::now();
        loop {
            number += 1;
            if produce(&transport, "kept", &format!("{number:08}")).await? == ErrorCode::None {
                acknowledged.insert(number);
                break;
            }
            ensure!(freed.elapsed() < Duration::from_secs(20), "no record is taken 20 s after there is room");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!(
            "{kind}, cycle {cycle}: {} records, goes on after {:?}",
            acknowledged.len(),
            freed.elapsed()
        );
    }
    server.kill()?;
    let server = ServerProcess::start(&disk.path().join("data"))?;
    let transport = weir_tests::log_reader::transport(&server.kafka);
    let kept = TopicPartition::new("kept", 0);
    check_offsets(&transport, &kept, Gaps::Refused).await?;
    let seen = read_committed(&transport, &kept).await?;
    let found: Result<Vec<i32>> =
        seen.iter().map(|seen| Ok(seen.value.as_deref().unwrap_or_default()[..8].parse()?)).collect();
    let found = found?;
    let distinct: HashSet<i32> = found.iter().copied().collect();
    ensure!(
        distinct == acknowledged && found.len() == distinct.len(),
        "{} of {}",
        found.len(),
        acknowledged.len()
    );
    Ok(())
}

/// Fills what room there is, with large records first.
async fn fill(transport: &Arc<dyn Transport>, topic: &str) -> Result<()> {
    for bytes in [60_000, 4_000, 100] {
        loop {
            match produce(transport, topic, &"f".repeat(bytes)).await? {
                ErrorCode::None => {}
                code => {
                    ensure!(code.is_retriable(), "a full disk is answered with {code:?}");
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Transactions are open, a group commits and queries run when the disk fills up; all of them go on when there is room.
async fn fill_under_everything(kind: &str) -> Result<()> {
    const TRANSACTIONS: usize = 6;
    const RESUMED_WITHIN: Duration = Duration::from_secs(20);
    let Some(disk) = SmallDisk::new(kind)? else {
        println!("SKIPPED: {kind} cannot be mounted here");
        return Ok(());
    };
    let data = disk.path().join("data");
    let mut server = ServerProcess::start(&data)?;
    prepare(&server, Scope::Everything).await?;
    let transport = transport(&server.kafka);
    let admin = Admin::new(Arc::clone(&transport));
    admin.create_topic("filler", 1, &BTreeMap::new()).await?;
    admin.create_topic("sink", 1, &BTreeMap::new()).await?;
    let sink = TopicPartition::new("sink", 0);
    let proxy = Proxy::start(&server.kafka, Transactions::V1).await?;
    let older: Arc<dyn Transport> = weir_tests::log_reader::transport(proxy.address());
    let mut open = Vec::new();
    for number in 0..TRANSACTIONS {
        let of = if number % 2 == 0 { &transport } else { &older };
        // Long, so that the next record about it needs another block.
        let id = format!("id-{number}-{}", "x".repeat(3_000));
        let mut producer = TransactionalProducer::init(Arc::clone(of), &id, 60_000).await?;
        producer.produce(vec![(sink.clone(), vec![batch(&number.to_string())])]).await?;
        open.push(producer);
    }
    fill(&transport, "filler").await?;
    // Everybody asks while the disk is full. Their clients ask again until they get what they want.
    let mut waiting = tokio::task::JoinSet::new();
    for (number, mut producer) in open.into_iter().enumerate() {
        waiting.spawn(async move {
            if number % 3 == 0 {
                producer.abort().await?;
            } else {
                producer.commit(None).await?;
            }
            Ok::<_, anyhow::Error>(format!("transaction {number}"))
        });
    }
    let groups = Arc::clone(&transport);
    waiting.spawn(async move {
        let group = format!("group-{}", "x".repeat(5_000));
        while let Err(error) =
            group_offsets::commit(&groups, &group, &[(TopicPartition::new("sink", 0), 3)]).await
        {
            ensure!(error.is_retriable(), "a full disk is answered with {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok::<_, anyhow::Error>("group".to_owned())
    });
    let events = Arc::clone(&transport);
    waiting.spawn(async move {
        let mut producer = IdempotentProducer::init(events).await?;
        for id in 0..40 {
            let value = format!("{{\"id\":{id},\"v\":1}}");
            producer.send(vec![(TopicPartition::new("events", id % 4), vec![batch(&value)])]).await?;
        }
        Ok::<_, anyhow::Error>("events".to_owned())
    });
    // So long that every kind of client was refused.
    tokio::time::sleep(Duration::from_secs(2)).await;
    ensure!(server.ended()?.is_none(), "{kind}: the server ended");
    ensure!(waiting.try_join_next().is_none(), "{kind}: the disk is not full");
    admin.delete_topics(&["filler"]).await.context("topics can be deleted when the disk is full")?;
    let freed = Instant::now();
    while let Some(done) = tokio::time::timeout_at((freed + RESUMED_WITHIN).into(), waiting.join_next())
        .await
        .with_context(|| format!("{kind}: not everything went on within {RESUMED_WITHIN:?}"))?
    {
        println!("{kind}: {} went on after {:?}", done??, freed.elapsed());
    }
    let counted = async || -> Result<i64> {
        let rows = server.sql().rows("SELECT SUM(n) AS n FROM by_parity;").await?;
        Ok(rows.first().and_then(|row| row[0].as_i64()).unwrap_or(0))
    };
    // Queries read the events only after they were produced, so their time begins anew.
    let caught_up = Instant::now();
    loop {
        let count = counted().await.unwrap_or(0);
        if count == 40 {
            break;
        }
        ensure!(caught_up.elapsed() < RESUMED_WITHIN, "{kind}: the query stays at {count} of 40");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("{kind}: the queries went on after {:?}", caught_up.elapsed());
    for restarted in [false, true] {
        if restarted {
            server.kill()?;
            server = ServerProcess::start(&data)?;
        }
        let transport = weir_tests::log_reader::transport(&server.kafka);
        let mut seen: Vec<String> =
            read_committed(&transport, &sink).await?.into_iter().filter_map(|seen| seen.value).collect();
        seen.sort();
        ensure!(seen == ["1", "2", "4", "5"], "{kind}: {seen:?} are committed, restarted: {restarted}");
        let ends = check_offsets(&transport, &sink, Gaps::Refused).await?;
        ensure!(ends.last_stable == ends.high_watermark, "{kind}: a transaction is open: {ends:?}");
        let committed = group_offsets::fetch(&transport, &format!("group-{}", "x".repeat(5_000))).await?;
        ensure!(committed.get(&sink) == Some(&3), "{kind}: {committed:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_groups_and_queries_go_on_when_there_is_room() -> Result<()> {
    for kind in ["tmpfs", "ext4"] {
        fill_under_everything(kind).await.context(kind.to_owned())?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_is_retriable_and_writing_goes_on_when_there_is_room() -> Result<()> {
    for kind in ["tmpfs", "ext4"] {
        fill_and_free(kind).await.context(kind.to_owned())?;
    }
    Ok(())
}
