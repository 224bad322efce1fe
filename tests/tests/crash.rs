//! kill -9 under load: no acknowledged record is lost or doubled, and tables equal an oracle.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tokio::sync::watch;
use weir_broker::client::admin::Admin;
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::producer::partitioner::partition_for_key;
use weir_broker::client::reader::{FetchOptions, Reader};
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::client::transport::Transport;
use weir_broker::ids::TopicPartition;
use weir_broker::log::access::{Isolation, OffsetSpec};
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};
use weir_broker::record::compression::DecompressBuf;
use weir_tests::server::ServerProcess;

const KILLS: usize = 20;
const PRODUCERS: u64 = 4;
const PARTITIONS: i32 = 4;
const KEYS: u64 = 100;
const BATCH_RECORDS: u64 = 50;
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(60);

const STATEMENTS: &str = "\
    CREATE STREAM events (k STRING KEY, id BIGINT, v BIGINT) WITH (KAFKA_TOPIC='events', PARTITIONS=4, VALUE_FORMAT='JSON');\
    CREATE STREAM copies AS SELECT k, id, v FROM events EMIT CHANGES;\
    CREATE TABLE totals AS SELECT k, COUNT(*) AS n, SUM(v) AS s FROM events GROUP BY k EMIT CHANGES;\
    CREATE TABLE by_parity WITH (KEY_FORMAT='JSON') AS \
      SELECT id % 2 AS parity, COUNT(*) AS n, SUM(v) AS s FROM events GROUP BY id % 2 EMIT CHANGES;";

/// What producers know about the records they sent.
#[derive(Debug, Default)]
struct Sent {
    acknowledged: HashSet<i64>,
    /// In a request that was not answered: there once or not at all.
    unanswered: HashSet<i64>,
}

fn transport(kafka: &str) -> Arc<dyn Transport> {
    Arc::new(TcpTransport::new(kafka, TcpTransportConfig::default()))
}

fn value_of(id: i64) -> i64 {
    id * 7 % 1_000
}

/// Produces until told to stop or the server is gone. Ids rise within a producer.
async fn produce(
    kafka: String,
    producer: u64,
    mut next: i64,
    mut stop: watch::Receiver<bool>,
) -> (i64, Sent) {
    let mut sent = Sent::default();
    let Ok(mut client) = IdempotentProducer::init(transport(&kafka)).await else { return (next, sent) };
    while !*stop.borrow() {
        let mut batches: BTreeMap<i32, (RecordBatchBuilder, Vec<i64>)> = BTreeMap::new();
        for _ in 0..BATCH_RECORDS {
            let id = next * PRODUCERS as i64 + producer as i64;
            next += 1;
            let key = format!("key-{}", id.unsigned_abs() % KEYS);
            let partition = partition_for_key(key.as_bytes(), PARTITIONS);
            let value = format!("{{\"id\":{id},\"v\":{}}}", value_of(id));
            let (builder, ids) = batches
                .entry(partition)
                .or_insert_with(|| (RecordBatchBuilder::new(BatchOptions::default()), Vec::new()));
            builder.append(1_000_000 + id, Some(key.as_bytes()), Some(value.as_bytes()), &[]);
            ids.push(id);
        }
        let mut ids = Vec::new();
        let mut encoded = Vec::new();
        for (partition, (builder, batch_ids)) in batches {
            ids.extend(batch_ids);
            encoded.push((
                TopicPartition::new("events", partition),
                vec![builder.build().expect("small batch")],
            ));
        }
        let answered = tokio::select! {
            outcome = client.send(encoded) => outcome.is_ok(),
            _ = stop.wait_for(|s| *s) => false,
        };
        if answered {
            sent.acknowledged.extend(ids);
        } else {
            sent.unanswered.extend(ids);
            return (next, sent);
        }
    }
    (next, sent)
}

/// All records of a topic that read-committed readers see: (partition, key, value), in order per partition.
async fn read_all(kafka: &str, topic: &str) -> Result<Vec<(i32, String, Value)>> {
    let transport = transport(kafka);
    let wanted: Vec<_> =
        (0..PARTITIONS).map(|p| (TopicPartition::new(topic, p), OffsetSpec::Latest)).collect();
    let listed = Admin::new(Arc::clone(&transport)).list_offsets(&wanted, Isolation::ReadCommitted).await?;
    let reader = Reader::new(transport);
    let mut records = Vec::new();
    for ((partition, _), end) in wanted.into_iter().zip(listed) {
        let end = end.offset.unwrap_or(0);
        let mut position = 0;
        while position < end {
            let fetched = reader.fetch(&[(partition.clone(), position)], &FetchOptions::default()).await?;
            let (_, outcome) = fetched.into_iter().next().context("no answer for the partition")?;
            let outcome = outcome?;
            let mut scratch = DecompressBuf::with_limit(64 << 20);
            for batch in &outcome.batches {
                for record in batch.records(&mut scratch)? {
                    let record = record?;
                    if record.offset < position {
                        continue;
                    }
                    let key = String::from_utf8(record.key.unwrap_or_default().to_vec())?;
                    let value = serde_json::from_slice(record.value.unwrap_or(b"null"))?;
                    records.push((partition.partition, key, value));
                }
            }
            if outcome.next_offset <= position {
                bail!("{topic}: the reader does not get beyond offset {position}");
            }
            position = outcome.next_offset;
        }
    }
    Ok(records)
}

/// Every acknowledged id once, every unanswered id at most once, nothing else, and in the order each producer sent.
fn check_log(records: &[(i32, String, Value)], sent: &Sent) {
    let mut seen: HashMap<i64, usize> = HashMap::new();
    let mut last: HashMap<(i32, i64), i64> = HashMap::new();
    for (partition, _, value) in records {
        let id = value["id"].as_i64().expect("every record has an id");
        *seen.entry(id).or_default() += 1;
        let before = last.insert((*partition, id % PRODUCERS as i64), id);
        assert!(before.is_none_or(|b| b < id), "id {id} stands after {before:?} in partition {partition}");
    }
    let lost: Vec<&i64> = sent.acknowledged.iter().filter(|id| !seen.contains_key(id)).collect();
    assert!(lost.is_empty(), "{} acknowledged records are lost, {:?} among them", lost.len(), lost.first());
    let doubled: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "{} records are doubled: {:?}", doubled.len(), doubled.first());
    for id in seen.keys() {
        assert!(sent.acknowledged.contains(id) || sent.unanswered.contains(id), "id {id} was never sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_server_loses_and_doubles_nothing() -> Result<()> {
    let seed: u64 = std::env::var("WEIR_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    println!("seed={seed}; WEIR_SEED={seed} repeats the delays");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir()?;
    let mut server = ServerProcess::start(folder.path())?;
    server.sql().execute(STATEMENTS).await?;
    let mut sent = Sent::default();
    let mut next = vec![0; PRODUCERS as usize];
    for kill in 0..=KILLS {
        let (stop, stopped) = watch::channel(false);
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|p| tokio::spawn(produce(server.kafka.clone(), p, next[p as usize], stopped.clone())))
            .collect();
        tokio::time::sleep(Duration::from_millis(random.random_range(20..400))).await;
        if kill < KILLS {
            server.kill()?;
        }
        stop.send(true)?;
        for (producer, running) in producers.into_iter().enumerate() {
            let (reached, more) = running.await?;
            next[producer] = reached;
            sent.acknowledged.extend(more.acknowledged);
            sent.unanswered.extend(more.unanswered);
        }
        if kill == KILLS {
            break;
        }
        server = ServerProcess::start(folder.path()).with_context(|| format!("start after kill {kill}"))?;
    }
    let events = read_all(&server.kafka, "events").await?;
    println!(
        "{} acknowledged, {} unanswered, {} in the log",
        sent.acknowledged.len(),
        sent.unanswered.len(),
        events.len()
    );
    assert!(sent.acknowledged.len() > 1_000, "too little load to mean anything");
    check_log(&events, &sent);
    check_results(&server, &events).await
}

/// Copies hold every event once; the tables are what the events add up to.
async fn check_results(server: &ServerProcess, events: &[(i32, String, Value)]) -> Result<()> {
    let mut totals: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let mut parity: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for (_, key, value) in events {
        let (id, v) = (value["id"].as_i64().context("id")?, value["v"].as_i64().context("v")?);
        for entry in [totals.entry(key.clone()).or_default(), parity.entry(id % 2).or_default()] {
            entry.0 += 1;
            entry.1 += v;
        }
    }
    let sql = server.sql();
    let started = Instant::now();
    for table in ["totals", "by_parity"] {
        loop {
            let rows = sql.rows(&format!("SELECT SUM(n) AS n FROM {table};")).await?;
            let counted = rows.first().and_then(|r| r[0].as_i64()).unwrap_or(0);
            assert!(counted <= events.len() as i64, "{table} counts {counted} of {} events", events.len());
            if counted == events.len() as i64 {
                break;
            }
            assert!(started.elapsed() < CAUGHT_UP_WITHIN, "{table} stays at {counted} of {}", events.len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let rows = sql.rows("SELECT k, n, s FROM totals;").await?;
    let found: BTreeMap<String, (i64, i64)> = rows
        .iter()
        .map(|r| {
            (
                r[0].as_str().unwrap_or_default().to_owned(),
                (r[1].as_i64().unwrap_or(-1), r[2].as_i64().unwrap_or(-1)),
            )
        })
        .collect();
    assert_eq!(found, totals);
    let rows = sql.rows("SELECT parity, n, s FROM by_parity;").await?;
    let found: BTreeMap<i64, (i64, i64)> = rows
        .iter()
        .map(|r| (r[0].as_i64().unwrap_or(-1), (r[1].as_i64().unwrap_or(-1), r[2].as_i64().unwrap_or(-1))))
        .collect();
    assert_eq!(found, parity);
    let copies = loop {
        let copies = read_all(&server.kafka, "COPIES").await?;
        if copies.len() >= events.len() {
            break copies;
        }
        assert!(
            started.elapsed() < CAUGHT_UP_WITHIN,
            "{} of {} events were copied",
            copies.len(),
            events.len()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let mut ids: Vec<i64> = copies.iter().filter_map(|(_, _, v)| v["ID"].as_i64()).collect();
    let mut expected: Vec<i64> = events.iter().filter_map(|(_, _, v)| v["id"].as_i64()).collect();
    ids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ids, expected, "copies and events differ");
    Ok(())
}
