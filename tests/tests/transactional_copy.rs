//! Kafka's transactional copy test: messages are copied in transactions, some of which are aborted, while brokers and clients are
//! bounced, cleanly and not. Every message arrives exactly once, no aborted one is ever seen. Once with clients that
//! use transactions as before KIP-890, once with current ones.
//!
//! `WEIR_COPIES=100000 WEIR_BOUNCES=30` copies more through more bounces of each kind than 5,000 and 3.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::sync::watch;
use weir_broker::client::admin::Admin;
use weir_broker::client::consumer::reader::{FetchOptions, Reader};
use weir_broker::client::group_offsets;
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::producer::transactional::{GroupPosition, TransactionalProducer};
use weir_broker::client::transport::Transport;
use weir_broker::ids::TopicPartition;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};
use weir_broker::record::compression::DecompressBuf;
use weir_tests::log_reader::{Gaps, check_offsets, read_committed, transport};
use weir_tests::proxy::{Catch, Proxy, Transactions};
use weir_tests::seed;
use weir_tests::server::ServerProcess;
use weir_tests::time::now_ms;

const MESSAGES: u64 = 5_000;
/// Of each kind.
const BOUNCES: u64 = 3;
const PARTITIONS: i32 = 3;
const COPIER: &str = "copier";
const TXN_TIMEOUT_MS: i32 = 20_000;
const STOP_PATIENCE: Duration = Duration::from_secs(80);
const DONE_WITHIN: Duration = Duration::from_secs(1_200);
/// What is in a transaction that is going to be aborted begins so.
const DOOMED: &str = "doomed";

fn batch(values: &[String]) -> Result<Bytes> {
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    for value in values {
        builder.append(now_ms(), Some(value.as_bytes()), Some(value.as_bytes()), &[]);
    }
    Ok(builder.build()?)
}

fn partitions(topic: &str) -> impl Iterator<Item = TopicPartition> {
    (0..PARTITIONS).map(move |partition| TopicPartition::new(topic, partition))
}

/// The topics, with so many messages in the first.
async fn prepare(kafka: &str, messages: u64) -> Result<()> {
    let transport = transport(kafka);
    let admin = Admin::new(Arc::clone(&transport));
    let small = BTreeMap::from([("segment.bytes".to_owned(), "100000".to_owned())]);
    admin.create_topic("source", PARTITIONS, &small).await?;
    admin.create_topic("sink", PARTITIONS, &small).await?;
    let mut producer = IdempotentProducer::init(transport).await?;
    for (turn, numbers) in (0..messages).collect::<Vec<_>>().chunks(500).enumerate() {
        let values: Vec<String> = numbers.iter().map(u64::to_string).collect();
        let partition = i32::try_from(turn)? % PARTITIONS;
        producer.send(vec![(TopicPartition::new("source", partition), vec![batch(&values)?])]).await?;
    }
    Ok(())
}

/// How far copiers may go, and how far they are.
#[derive(Debug)]
struct Progress {
    copied: AtomicU64,
    limit: watch::Sender<u64>,
}

/// Copies until there is no more or it is told to stop, which it does between transactions. Some transactions are
/// aborted and done again.
async fn copy(kafka: String, progress: Arc<Progress>, stop: watch::Receiver<bool>, seed: u64) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let transport = transport(&kafka);
    let mut producer = TransactionalProducer::init(Arc::clone(&transport), COPIER, TXN_TIMEOUT_MS).await?;
    let committed = group_offsets::fetch(&transport, COPIER).await?;
    let mut positions: Vec<(TopicPartition, i64)> =
        partitions("source").map(|p| (p.clone(), committed.get(&p).copied().unwrap_or(0))).collect();
    // Answers get lost with those who waited for them; the offsets tell what was copied.
    let copied: i64 = positions.iter().map(|(_, offset)| offset).sum();
    progress.copied.store(u64::try_from(copied)?, Ordering::SeqCst);
    let reader = Reader::new(transport);
    let mut scratch = DecompressBuf::default();
    let mut limit = progress.limit.subscribe();
    while !*stop.borrow() {
        let so_far = progress.copied.load(Ordering::SeqCst);
        if so_far >= *limit.borrow_and_update() {
            // The next bounce comes first, or the end.
            let mut stop = stop.clone();
            tokio::select! {
                changed = limit.changed() => changed?,
                _ = stop.wait_for(|stop| *stop) => {}
            }
            continue;
        }
        let doomed = random.random_bool(0.25);
        let options = FetchOptions {
            wait_max: Duration::from_millis(20),
            partition_bytes_max: random.random_range(500..8_000),
            ..FetchOptions::default()
        };
        let before = positions.clone();
        let mut count = 0;
        for (at, (partition, fetched)) in reader.fetch(&positions, &options).await?.into_iter().enumerate() {
            let fetched = fetched?;
            let mut values = Vec::new();
            let most = random.random_range(1..60);
            for batch in &fetched.batches {
                for record in batch.records(&mut scratch)? {
                    let record = record?;
                    if record.offset >= positions[at].1 && values.len() < most {
                        let value = std::str::from_utf8(record.value.unwrap_or_default())?;
                        values.push(if doomed { format!("{DOOMED} {value}") } else { value.to_owned() });
                        positions[at].1 = record.offset + 1;
                    }
                }
            }
            if !values.is_empty() {
                let to = TopicPartition::new("sink", (partition.partition + 1) % PARTITIONS);
                // In two batches, so that there is something in the middle.
                let (first, second) = values.split_at(values.len() / 2);
                for part in [first, second].into_iter().filter(|part| !part.is_empty()) {
                    producer.produce(vec![(to.clone(), vec![batch(part)?])]).await?;
                }
                count += values.len() as u64;
            }
        }
        if doomed {
            producer.abort().await?;
            positions = before;
        } else if count > 0 {
            let (group_id, offsets) = (COPIER.to_owned(), positions.clone());
            let position = GroupPosition { group_id, offsets, ..GroupPosition::default() };
            producer.commit(Some(&position)).await?;
            progress.copied.fetch_add(count, Ordering::SeqCst);
        }
    }
    Ok(())
}

/// Runs copiers one after another, until stopped; one that fails is followed by the next, as is one that is bounced.
async fn keep_copying(
    kafka: String,
    progress: Arc<Progress>,
    mut bounces: tokio::sync::mpsc::Receiver<Bounce>,
    seed: u64,
) -> Result<()> {
    let mut turn = 0;
    loop {
        turn += 1;
        let (stop, stopped) = watch::channel(false);
        let mut copier =
            tokio::spawn(copy(kafka.clone(), Arc::clone(&progress), stopped, seed.wrapping_add(turn)));
        tokio::select! {
            ended = &mut copier => {
                // The broker may be away just now; transports wait longer from attempt to attempt.
                drop(ended?);
            }
            bounce = bounces.recv() => match bounce {
                Some(Bounce::ClientHard) => copier.abort(),
                Some(_) => {
                    stop.send_replace(true);
                    drop(copier.await?);
                }
                None => {
                    stop.send_replace(true);
                    return copier.await?;
                }
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bounce {
    BrokerClean,
    BrokerHard,
    ClientClean,
    ClientHard,
}

fn start(dir: &Path) -> Result<ServerProcess> {
    ServerProcess::start_adjusted(dir, |command| {
        command.args(["--housekeeping-interval-ms", "100"]);
    })
}

/// Reads committed records all the while; none of an aborted transaction may be among them.
async fn watch_sink(kafka: String, mut stop: watch::Receiver<bool>) -> Result<u64> {
    let mut seen = 0;
    while !*stop.borrow() {
        let look = async {
            let transport: Arc<dyn Transport> = transport(&kafka);
            let mut count = 0;
            for partition in partitions("sink") {
                for record in read_committed(&transport, &partition).await? {
                    let value = record.value.unwrap_or_default();
                    ensure!(!value.starts_with(DOOMED), "{partition} shows \"{value}\"");
                    count += 1;
                }
            }
            Ok::<u64, anyhow::Error>(count)
        };
        match tokio::select! { found = look => found, _ = stop.wait_for(|stop| *stop) => break } {
            Ok(count) => {
                ensure!(count >= seen, "{count} records are visible, {seen} were before");
                seen = count;
            }
            Err(error) if error.to_string().contains(DOOMED) => return Err(error),
            // The broker is away.
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(seen)
}

async fn copy_through_bounces(transactions: Transactions, seed: u64) -> Result<()> {
    let mut random = seed::random(seed);
    let messages = seed::number("WEIR_COPIES").unwrap_or(MESSAGES);
    let each = seed::number("WEIR_BOUNCES").unwrap_or(BOUNCES);
    let dir = tempfile::tempdir()?;
    let mut server = start(dir.path())?;
    prepare(&server.kafka, messages).await?;
    let proxy = Proxy::start(&server.kafka, transactions).await?;
    let mut bounces: Vec<Bounce> = (0..each)
        .flat_map(|_| [Bounce::BrokerClean, Bounce::BrokerHard, Bounce::ClientClean, Bounce::ClientHard])
        .collect();
    bounces.shuffle(&mut random);
    let phase = messages / (bounces.len() as u64 + 1);
    let (limit, _) = watch::channel(0);
    let progress = Arc::new(Progress { copied: AtomicU64::new(0), limit });
    let (bounce_client, client_bounces) = tokio::sync::mpsc::channel(1);
    let copying = tokio::spawn(keep_copying(
        proxy.address().to_owned(),
        Arc::clone(&progress),
        client_bounces,
        random.random(),
    ));
    let (stop, stopped) = watch::channel(false);
    let watching = tokio::spawn(watch_sink(proxy.address().to_owned(), stopped));
    let started = Instant::now();
    for (index, bounce) in bounces.iter().enumerate() {
        // A bounce comes somewhere in its phase, while messages are being copied.
        let from = index as u64 * phase;
        progress.limit.send_replace(from + phase);
        let at = from + random.random_range(0..phase / 2);
        while progress.copied.load(Ordering::SeqCst) < at {
            ensure!(started.elapsed() < DONE_WITHIN, "stuck before bounce {index}, {bounce:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        match bounce {
            Bounce::ClientClean | Bounce::ClientHard => bounce_client.send(*bounce).await?,
            Bounce::BrokerClean | Bounce::BrokerHard => {
                if *bounce == Bounce::BrokerClean {
                    ensure!(server.terminate(STOP_PATIENCE)?.success(), "no clean end");
                } else {
                    server.kill()?;
                }
                server = start(dir.path())?;
                proxy.follow(&server.kafka);
            }
        }
    }
    progress.limit.send_replace(u64::MAX);
    let direct = transport(&server.kafka);
    let mut values = Vec::new();
    while values.len() < messages as usize {
        ensure!(started.elapsed() < DONE_WITHIN, "{} of {messages} were copied", values.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
        values.clear();
        for partition in partitions("sink") {
            values.extend(read_committed(&direct, &partition).await?);
        }
    }
    drop(bounce_client);
    copying.await?.context("the last copier")?;
    stop.send_replace(true);
    let seen = watching.await??;
    values.clear();
    for partition in partitions("sink") {
        let ends = check_offsets(&direct, &partition, Gaps::Refused).await?;
        ensure!(ends.last_stable == ends.high_watermark, "{partition}: a transaction is open: {ends:?}");
        values.extend(read_committed(&direct, &partition).await?);
    }
    let mut numbers: Vec<u64> = values
        .iter()
        .map(|seen| Ok(seen.value.as_deref().unwrap_or_default().parse()?))
        .collect::<Result<_>>()?;
    numbers.sort_unstable();
    ensure!(numbers == (0..messages).collect::<Vec<_>>(), "the copies are not the messages");
    println!(
        "{transactions:?}: {messages} messages, {} bounces, {seen} watched, {:?}",
        bounces.len(),
        started.elapsed()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_is_copied_once_through_bounces() -> Result<()> {
    let seed = seed::announce("transactional_copy");
    for transactions in [Transactions::V1, Transactions::V2] {
        copy_through_bounces(transactions, seed)
            .await
            .with_context(|| format!("seed {seed}, {transactions:?}"))?;
    }
    Ok(())
}

/// All values that readers of committed records see.
async fn visible(transport: &Arc<dyn Transport>) -> Result<Vec<String>> {
    let mut values = Vec::new();
    for partition in partitions("sink") {
        let seen = read_committed(transport, &partition).await?;
        values.extend(seen.into_iter().filter_map(|seen| seen.value));
    }
    values.sort();
    Ok(values)
}

async fn produce(producer: &mut TransactionalProducer, value: &str) -> Result<()> {
    for partition in partitions("sink") {
        producer.produce(vec![(partition, vec![batch(&[value.to_owned()])?])]).await?;
    }
    Ok(())
}

/// Waits until there are records of an open transaction in every partition.
async fn await_open(transport: &Arc<dyn Transport>) -> Result<()> {
    let started = Instant::now();
    for partition in partitions("sink") {
        loop {
            let ends = check_offsets(transport, &partition, Gaps::Refused).await?;
            if ends.last_stable < ends.high_watermark {
                break;
            }
            ensure!(started.elapsed() < DONE_WITHIN, "{partition}: no transaction is open");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    Ok(())
}

fn thrice(values: &[&str]) -> Vec<String> {
    let mut all: Vec<String> =
        values.iter().flat_map(|value| vec![(*value).to_owned(); PARTITIONS as usize]).collect();
    all.sort();
    all
}

/// Jepsen's case: the end of a transaction is on its way while another instance of the producer takes over.
#[tokio::test(flavor = "multi_thread")]
async fn delayed_end_of_a_fenced_producer_ends_nothing() -> Result<()> {
    for transactions in [Transactions::V1, Transactions::V2] {
        for committed in [true, false] {
            let dir = tempfile::tempdir()?;
            let server = start(dir.path())?;
            prepare(&server.kafka, 0).await?;
            let direct = transport(&server.kafka);
            let proxy = Proxy::start(&server.kafka, transactions).await?;
            let mut first =
                TransactionalProducer::init(transport(proxy.address()), COPIER, TXN_TIMEOUT_MS).await?;
            produce(&mut first, "kept").await?;
            first.commit(None).await?;
            produce(&mut first, "fenced").await?;
            proxy.catch_end_txn(Catch::StayQuiet);
            let ending = tokio::spawn(async move {
                if committed { first.commit(None).await.map(drop) } else { first.abort().await }
            });
            let held = proxy.caught().await;
            // The first instance is gone before it asks again.
            ending.abort();
            let mut second =
                TransactionalProducer::init(transport(proxy.address()), COPIER, TXN_TIMEOUT_MS).await?;
            produce(&mut second, "second").await?;
            await_open(&direct).await?;
            let code = held.release().await?;
            let context = format!("{transactions:?}, committed {committed}: {code:?}");
            ensure!(
                [ErrorCode::ProducerFenced, ErrorCode::InvalidProducerEpoch].contains(&code),
                "{context}"
            );
            ensure!(visible(&direct).await? == thrice(&["kept"]), "{context}: the late end ended something");
            second.commit(None).await.context(context.clone())?;
            ensure!(visible(&direct).await? == thrice(&["kept", "second"]), "{context}");
        }
    }
    Ok(())
}

/// With current transactions the late end does not even end the next transaction of the same producer (KIP-890).
#[tokio::test(flavor = "multi_thread")]
async fn delayed_end_does_not_end_the_next_transaction() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = start(dir.path())?;
    prepare(&server.kafka, 0).await?;
    let direct = transport(&server.kafka);
    let proxy = Proxy::start(&server.kafka, Transactions::V2).await?;
    let mut producer =
        TransactionalProducer::init(transport(proxy.address()), COPIER, TXN_TIMEOUT_MS).await?;
    produce(&mut producer, "first").await?;
    proxy.catch_end_txn(Catch::HangUp);
    // The connection ends, so the producer asks again on another.
    producer.commit(None).await?;
    let held = proxy.caught().await;
    produce(&mut producer, "second").await?;
    await_open(&direct).await?;
    let code = held.release().await?;
    ensure!([ErrorCode::ProducerFenced, ErrorCode::InvalidProducerEpoch].contains(&code), "{code:?}");
    ensure!(visible(&direct).await? == thrice(&["first"]), "the late end ended the next transaction");
    producer.abort().await?;
    ensure!(visible(&direct).await? == thrice(&["first"]), "aborted");
    Ok(())
}
