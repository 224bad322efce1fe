//! The clients of the load. Each goes on until it is stopped or gets an error, and returns what it was told.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use tokio::sync::watch;
use weir_broker::client::admin::Admin;
use weir_broker::client::consumer::reader::{FetchOptions, Reader};
use weir_broker::client::group_offsets;
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::producer::partitioner::partition_for_key;
use weir_broker::client::producer::transactional::{GroupPosition, TransactionalProducer};
use weir_broker::env::clock::{Clock, SystemClock};
use weir_broker::ids::TopicPartition;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};
use weir_broker::record::compression::DecompressBuf;

use super::{Existence, KEYS, PARTITIONS, PRODUCERS, Promise, partitions, value_of};
use crate::http::SqlClient;
use crate::log_reader::transport;

const BATCH_RECORDS: i64 = 50;
const LATEST_KEYS: i64 = 20;
const COPIER: &str = "copier";
const TXN_TIMEOUT_MS: i32 = 10_000;

/// What a producer knows about the records it sent.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) next: i64,
    pub(super) acknowledged: HashSet<i64>,
    pub(super) unanswered: HashSet<i64>,
}

type Stop = watch::Receiver<bool>;

/// Waits for an answer, unless stopped first.
async fn answer<T, E>(stop: &mut Stop, asked: impl Future<Output = Result<T, E>>) -> Option<T> {
    tokio::select! {
        outcome = asked => outcome.ok(),
        _ = stop.wait_for(|stop| *stop) => None,
    }
}

/// Now: retention would take older records away.
fn now_ms() -> i64 {
    SystemClock::new().now_ms()
}

fn record(key: &str, value: &str) -> Bytes {
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    builder.append(now_ms(), Some(key.as_bytes()), Some(value.as_bytes()), &[]);
    builder.build().expect("small batch")
}

/// One round of records per partition, and their ids.
fn round_of(producer: i64, next: i64) -> (Vec<(TopicPartition, Vec<Bytes>)>, Vec<i64>) {
    let ids: Vec<i64> = (next..next + BATCH_RECORDS).map(|n| n * PRODUCERS + producer).collect();
    let mut builders: BTreeMap<i32, RecordBatchBuilder> = BTreeMap::new();
    let now = now_ms();
    for id in &ids {
        let key = format!("key-{}", id.unsigned_abs() % KEYS);
        let value = format!("{{\"id\":{id},\"v\":{}}}", value_of(*id));
        builders
            .entry(partition_for_key(key.as_bytes(), PARTITIONS))
            .or_insert_with(|| RecordBatchBuilder::new(BatchOptions::default()))
            .append(now, Some(key.as_bytes()), Some(value.as_bytes()), &[]);
    }
    let batch = |(partition, builder): (i32, RecordBatchBuilder)| {
        (TopicPartition::new("events", partition), vec![builder.build().expect("small batch")])
    };
    (builders.into_iter().map(batch).collect(), ids)
}

/// An idempotent producer. Ids rise.
pub(super) async fn produce(
    kafka: String,
    producer: i64,
    next: i64,
    pause: Duration,
    mut stop: Stop,
) -> Sent {
    let mut sent = Sent { next, ..Sent::default() };
    let Some(mut client) = answer(&mut stop, IdempotentProducer::init(transport(&kafka))).await else {
        return sent;
    };
    while !*stop.borrow() {
        let (batches, ids) = round_of(producer, sent.next);
        sent.next += BATCH_RECORDS;
        if answer(&mut stop, client.send(batches)).await.is_none() {
            sent.unanswered.extend(ids);
            return sent;
        }
        sent.acknowledged.extend(ids);
        tokio::time::sleep(pause).await;
    }
    sent
}

/// Copies `events` to `copied`, record by record, with its offsets in the same transactions. Returns the records copied.
pub(super) async fn copy(kafka: String, mut stop: Stop) -> u64 {
    let mut copied = 0;
    let mut stopping = stop.clone();
    let work = async {
        let transport = transport(&kafka);
        let mut producer =
            TransactionalProducer::init(Arc::clone(&transport), COPIER, TXN_TIMEOUT_MS).await?;
        let committed = group_offsets::fetch(&transport, COPIER).await?;
        let mut positions: Vec<(TopicPartition, i64)> =
            partitions("events").map(|p| (p.clone(), committed.get(&p).copied().unwrap_or(0))).collect();
        let reader = Reader::new(transport);
        let options = FetchOptions {
            wait_max: Duration::from_millis(20),
            partition_bytes_max: 32 << 10,
            ..FetchOptions::default()
        };
        let mut scratch = DecompressBuf::default();
        while !*stop.borrow_and_update() {
            let mut count = 0;
            for (at, (partition, fetched)) in
                reader.fetch(&positions, &options).await?.into_iter().enumerate()
            {
                let fetched = fetched?;
                let mut builder = RecordBatchBuilder::new(BatchOptions::default());
                let mut records = 0;
                for batch in &fetched.batches {
                    for record in batch.records(&mut scratch)? {
                        let record = record?;
                        if record.offset >= positions[at].1 {
                            builder.append(record.timestamp, record.key, record.value, &[]);
                            records += 1;
                        }
                    }
                }
                positions[at].1 = positions[at].1.max(fetched.next_offset);
                if records > 0 {
                    let to = TopicPartition::new("copied", partition.partition);
                    producer.produce(vec![(to, vec![builder.build()?])]).await?;
                    count += records;
                }
            }
            if count > 0 {
                let (group_id, offsets) = (COPIER.to_owned(), positions.clone());
                let position = GroupPosition { group_id, offsets, ..GroupPosition::default() };
                producer.commit(Some(&position)).await?;
                copied += count;
            }
        }
        Ok::<(), anyhow::Error>(())
    };
    answer(&mut stopping, work).await;
    copied
}

/// Commits rising offsets of the group `plain`.
pub(super) async fn commit(kafka: String, mut promise: Promise, mut stop: Stop) -> Promise {
    let transport = transport(&kafka);
    while !*stop.borrow() {
        promise.tried += 1;
        let offsets = [(TopicPartition::new("events", 0), promise.tried)];
        let committed = group_offsets::commit(&transport, "plain", &offsets);
        if answer(&mut stop, committed).await.is_none() {
            return promise;
        }
        promise.acknowledged = Some(promise.tried);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    promise
}

/// Writes rising values under a few keys of the compacted topic `latest`.
pub(super) async fn overwrite(
    kafka: String,
    mut promises: BTreeMap<String, Promise>,
    mut stop: Stop,
) -> BTreeMap<String, Promise> {
    let Some(mut client) = answer(&mut stop, IdempotentProducer::init(transport(&kafka))).await else {
        return promises;
    };
    let mut turn = promises.values().map(|promise| promise.tried).max().unwrap_or(0);
    while !*stop.borrow() {
        turn += 1;
        let key = format!("k{}", turn % LATEST_KEYS);
        let promise = promises.entry(key.clone()).or_default();
        promise.tried = turn;
        // Long, so that segments fill.
        let value = format!("{turn:>200}");
        let sent = client.send(vec![(TopicPartition::new("latest", 0), vec![record(&key, &value)])]);
        if answer(&mut stop, sent).await.is_none() {
            return promises;
        }
        promise.acknowledged = Some(turn);
    }
    promises
}

/// Produces to `trimmed` and deletes what is older than a hundred records.
pub(super) async fn trim(kafka: String, mut promise: Promise, mut stop: Stop) -> Promise {
    let transport = transport(&kafka);
    let Some(mut client) = answer(&mut stop, IdempotentProducer::init(Arc::clone(&transport))).await else {
        return promise;
    };
    let admin = Admin::new(transport);
    let partition = TopicPartition::new("trimmed", 0);
    while !*stop.borrow() {
        let sent = client.send(vec![(partition.clone(), vec![record("key", &"x".repeat(500))])]);
        let Some(sent) = answer(&mut stop, sent).await else { return promise };
        let keep_from = sent.last().map_or(0, |batch| batch.next_offset) - 100;
        if keep_from > promise.tried && keep_from % 10 == 0 {
            promise.tried = keep_from;
            if answer(&mut stop, admin.delete_records(&partition, keep_from)).await.is_none() {
                return promise;
            }
            promise.acknowledged = Some(keep_from);
        }
    }
    promise
}

/// Makes topics with a record each, and deletes every other.
pub(super) async fn make_topics(kafka: String, mut topics: Existence, mut stop: Stop) -> Existence {
    let transport = transport(&kafka);
    let admin = Admin::new(Arc::clone(&transport));
    while !*stop.borrow() {
        let name = format!("made-{}", topics.next);
        topics.next += 1;
        if answer(&mut stop, admin.create_topic(&name, 2, &BTreeMap::new())).await.is_none() {
            return topics;
        }
        topics.made.insert(name.clone());
        let first = async {
            let mut client = IdempotentProducer::init(Arc::clone(&transport)).await?;
            client.send(vec![(TopicPartition::new(name.as_str(), 1), vec![record("k", "v")])]).await
        };
        if answer(&mut stop, first).await.is_none() {
            return topics;
        }
        if topics.next.is_multiple_of(2) {
            topics.made.remove(&name);
            if answer(&mut stop, admin.delete_topics(&[&name])).await.is_none() {
                return topics;
            }
            topics.gone.insert(name);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    topics
}

/// Makes streams, and drops every other.
pub(super) async fn make_streams(
    sql: Option<SqlClient>,
    mut streams: Existence,
    mut stop: Stop,
) -> Existence {
    let Some(sql) = sql else { return streams };
    while !*stop.borrow() {
        let name = format!("DDL_{}", streams.next);
        streams.next += 1;
        let create = format!(
            "CREATE STREAM {name} (k STRING KEY, id BIGINT) WITH (KAFKA_TOPIC='events', VALUE_FORMAT='JSON');"
        );
        if answer(&mut stop, sql.execute(&create)).await.is_none() {
            return streams;
        }
        streams.made.insert(name.clone());
        if streams.next.is_multiple_of(2) {
            streams.made.remove(&name);
            let drop = format!("DROP STREAM {name};");
            if answer(&mut stop, sql.execute(&drop)).await.is_none() {
                return streams;
            }
            streams.gone.insert(name);
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    streams
}
