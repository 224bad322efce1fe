//! A load over everything durable, and what its clients were promised.
//!
//! Idempotent producers, a transactional copier, a group that commits, a compacted topic, topics made and deleted, records
//! deleted, and statements. Whatever ends the server, [`Ledger::check`] compares the next one with the promises.

pub mod check;
mod clients;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::watch;
use weir_broker::client::admin::Admin;
use weir_broker::ids::TopicPartition;

use crate::http::SqlClient;
use crate::log_reader::transport;
use crate::server::{Addresses, ServerProcess};

/// Idempotent producers.
pub const PRODUCERS: i64 = 4;
/// Partitions of the topics `events` and `copied`.
pub const PARTITIONS: i32 = 4;
const KEYS: u64 = 100;

/// Statements over the topic `events`; with [`Ledger::check_tables`] their results are compared.
pub const STATEMENTS: &str = "\
    CREATE STREAM events (k STRING KEY, id BIGINT, v BIGINT) WITH (KAFKA_TOPIC='events', VALUE_FORMAT='JSON');\
    CREATE STREAM copies AS SELECT k, id, v FROM events EMIT CHANGES;\
    CREATE TABLE totals AS SELECT k, COUNT(*) AS n, SUM(v) AS s FROM events GROUP BY k EMIT CHANGES;\
    CREATE TABLE by_parity WITH (KEY_FORMAT='JSON') AS \
      SELECT id % 2 AS parity, COUNT(*) AS n, SUM(v) AS s FROM events GROUP BY id % 2 EMIT CHANGES;";

/// A value of which the last acknowledged one must be there, or one that was tried after it.
#[derive(Debug, Default, Clone)]
pub struct Promise {
    pub acknowledged: Option<i64>,
    pub tried: i64,
}

impl Promise {
    fn holds(&self, found: Option<i64>) -> bool {
        match found {
            None => self.acknowledged.is_none(),
            Some(found) => self.acknowledged.is_none_or(|least| least <= found) && found <= self.tried,
        }
    }
}

/// What the clients were promised.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Ids of records of topic `events` that were acknowledged.
    pub acknowledged: HashSet<i64>,
    /// Ids of records whose request was not answered, or with an error: there once or not at all.
    pub unanswered: HashSet<i64>,
    next: BTreeMap<i64, i64>,
    copied: u64,
    /// Committed offsets of the group `plain`.
    commits: Promise,
    /// Per key, the last value of topic `latest`.
    latest: BTreeMap<String, Promise>,
    topics: Existence,
    streams: Existence,
    /// The log start of topic `trimmed`.
    trimmed: Promise,
}

/// Names that exist, do not, or may.
#[derive(Debug, Default)]
struct Existence {
    next: u64,
    made: BTreeSet<String>,
    gone: BTreeSet<String>,
}

impl Existence {
    fn check(&self, what: &str, found: &HashSet<String>) {
        for name in &self.made {
            assert!(found.contains(name), "{what} {name} was made, acknowledged, and is not there");
        }
        for name in &self.gone {
            assert!(!found.contains(name), "{what} {name} was deleted, acknowledged, and is there");
        }
    }
}

/// What of the load runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Kafka clients only.
    Broker,
    /// Statements as well.
    Everything,
}

/// Makes the topics, and the queries if they are in scope.
pub async fn prepare(server: &ServerProcess, scope: Scope) -> Result<()> {
    let admin = Admin::new(transport(&server.kafka));
    let small = |more: &[(&str, &str)]| -> BTreeMap<String, String> {
        let all = [("segment.bytes", "65536")].iter().chain(more);
        all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let compacted =
        [("cleanup.policy", "compact"), ("segment.bytes", "8192"), ("min.cleanable.dirty.ratio", "0.01")];
    admin.create_topic("events", PARTITIONS, &small(&[])).await?;
    admin.create_topic("copied", PARTITIONS, &small(&[])).await?;
    admin.create_topic("latest", 1, &small(&compacted)).await?;
    admin.create_topic("trimmed", 1, &small(&[("segment.bytes", "4096")])).await?;
    if scope == Scope::Everything {
        server.sql().execute(STATEMENTS).await?;
    }
    Ok(())
}

impl Ledger {
    /// Runs all clients against a server until `ended` is done, and notes what they were told.
    pub async fn run(
        &mut self,
        server: &Addresses,
        scope: Scope,
        pause: Duration,
        ended: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        let (stop, stopped) = watch::channel(false);
        let kafka = server.kafka.clone();
        let produce = (0..PRODUCERS).map(|producer| {
            let next = self.next.get(&producer).copied().unwrap_or(0);
            tokio::spawn(clients::produce(kafka.clone(), producer, next, pause, stopped.clone()))
        });
        let produce: Vec<_> = produce.collect();
        let copy = tokio::spawn(clients::copy(kafka.clone(), stopped.clone()));
        let commit = tokio::spawn(clients::commit(kafka.clone(), self.commits.clone(), stopped.clone()));
        let latest = tokio::spawn(clients::overwrite(kafka.clone(), self.latest.clone(), stopped.clone()));
        let trimmed = tokio::spawn(clients::trim(kafka.clone(), self.trimmed.clone(), stopped.clone()));
        let topics = std::mem::take(&mut self.topics);
        let topics = tokio::spawn(clients::make_topics(kafka, topics, stopped.clone()));
        let streams = std::mem::take(&mut self.streams);
        let sql = (scope == Scope::Everything).then(|| SqlClient::new(&server.http));
        let streams = tokio::spawn(clients::make_streams(sql, streams, stopped));
        let outcome = ended.await;
        // Nobody may be left who listens.
        stop.send_replace(true);
        for (producer, running) in (0..PRODUCERS).zip(produce) {
            let sent = running.await?;
            self.next.insert(producer, sent.next);
            self.acknowledged.extend(sent.acknowledged);
            self.unanswered.extend(sent.unanswered);
        }
        self.copied += copy.await?;
        self.commits = commit.await?;
        self.latest = latest.await?;
        self.trimmed = trimmed.await?;
        self.topics = topics.await?;
        self.streams = streams.await?;
        outcome
    }

    /// In one line, what was promised.
    pub fn summary(&self) -> String {
        format!(
            "{} acknowledged, {} unanswered, {} copied, group at {:?}, {} topics and {} streams made",
            self.acknowledged.len(),
            self.unanswered.len(),
            self.copied,
            self.commits.acknowledged,
            self.topics.next,
            self.streams.next,
        )
    }
}

fn partitions(topic: &str) -> impl Iterator<Item = TopicPartition> {
    (0..PARTITIONS).map(move |partition| TopicPartition::new(topic, partition))
}

fn value_of(id: i64) -> i64 {
    id * 7 % 1_000
}
