//! Clients of the oracle test: transactional producers, some of whose transactions are aborted or abandoned, and DDL.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::json;
use tokio::sync::watch;
use weir_broker::client::producer::partitioner::partition_for_key;
use weir_broker::client::producer::transactional::TransactionalProducer;
use weir_broker::ids::TopicPartition;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};
use weir_tests::http::SqlClient;
use weir_tests::log_reader::transport;

/// Partitions of every source topic.
pub(crate) const PARTITIONS: i32 = 3;
const EVENT_KEYS: u64 = 40;
const TABLE_KEYS: u64 = 30;
const RIGHT_KEYS: u64 = 12;
const TXN_TIMEOUT_MS: i32 = 10_000;

/// The outcomes of transactions, by the ids of their events.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    pub(crate) committed: BTreeSet<i64>,
    pub(crate) aborted: BTreeSet<i64>,
    /// Sets of ids of which all are visible or none: the answer to the commit did not arrive.
    pub(crate) unknown: Vec<BTreeSet<i64>>,
    pub(crate) transactions: u64,
}

impl Outcomes {
    pub(crate) fn add(&mut self, other: Outcomes) {
        self.committed.extend(other.committed);
        self.aborted.extend(other.aborted);
        self.unknown.extend(other.unknown);
        self.transactions += other.transactions;
    }
}

/// A producer between two rounds.
#[derive(Debug)]
pub(crate) struct Producer {
    pub(crate) name: String,
    pub(crate) random: StdRng,
    /// The id of its next event; ids of two producers never meet.
    pub(crate) next_id: i64,
    pub(crate) id_step: i64,
    /// Event time, in ms since the epoch.
    pub(crate) clock_ms: i64,
}

/// The records of one transaction, by partition.
#[derive(Default)]
struct Records(BTreeMap<TopicPartition, RecordBatchBuilder>);

impl Records {
    fn add(&mut self, topic: &str, key: &str, value: Option<&str>, timestamp: i64) {
        let partition = TopicPartition::new(topic, partition_for_key(key.as_bytes(), PARTITIONS));
        self.0.entry(partition).or_insert_with(|| RecordBatchBuilder::new(BatchOptions::default())).append(
            timestamp,
            Some(key.as_bytes()),
            value.map(str::as_bytes),
            &[],
        );
    }

    fn batches(self) -> Result<Vec<(TopicPartition, Vec<Bytes>)>> {
        self.0.into_iter().map(|(partition, builder)| Ok((partition, vec![builder.build()?]))).collect()
    }
}

impl Producer {
    /// Random records for one transaction, and the ids of its events.
    fn transaction(&mut self) -> (Records, BTreeSet<i64>) {
        let (mut records, mut ids) = (Records::default(), BTreeSet::new());
        for _ in 0..self.random.random_range(1..30) {
            self.clock_ms += self.random.random_range(0..200);
            let back = match self.random.random_range(0..100) {
                0..3 => 60_000,
                3..35 => self.random.random_range(0..2_000),
                _ => 0,
            };
            let (id, v) = (self.next_id, self.random.random_range(0..1_000));
            self.next_id += self.id_step;
            ids.insert(id);
            let key = format!("k{}", self.random.random_range(0..EVENT_KEYS));
            let value = json!({"ID": id, "V": v, "KIND": format!("kind{}", v % 9)}).to_string();
            records.add("ev", &key, Some(&value), self.clock_ms - back);
        }
        for _ in 0..self.random.random_range(0..8) {
            self.change_a_table(&mut records);
        }
        (records, ids)
    }

    fn change_a_table(&mut self, records: &mut Records) {
        let random = &mut self.random;
        let number: i64 = random.random_range(0..1_000);
        let right = format!("r{}", random.random_range(0..RIGHT_KEYS));
        let key = format!("l{}", random.random_range(0..TABLE_KEYS));
        let gone = random.random_bool(0.15);
        let (topic, key, value) = match random.random_range(0..4) {
            0 => ("tr", right, json!({"C": number})),
            1 => ("tm", key, json!({"B": number})),
            _ => {
                let fk = if random.random_bool(0.1) { json!(null) } else { json!(right) };
                ("tl", key, json!({"FK": fk, "A": number, "GRP": format!("g{}", number % 5)}))
            }
        };
        let value = value.to_string();
        records.add(topic, &key, (!gone).then_some(value.as_str()), self.clock_ms);
    }

    /// Runs transactions until stopped or refused.
    pub(crate) async fn run(&mut self, kafka: &str, mut stop: watch::Receiver<bool>) -> Outcomes {
        let mut outcomes = Outcomes::default();
        let mut stopped = stop.clone();
        tokio::select! {
            _ = self.transactions(kafka, &mut stop, &mut outcomes) => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
        outcomes
    }

    async fn transactions(
        &mut self,
        kafka: &str,
        stop: &mut watch::Receiver<bool>,
        outcomes: &mut Outcomes,
    ) -> Result<()> {
        let name = self.name.clone();
        let mut client = TransactionalProducer::init(transport(kafka), &name, TXN_TIMEOUT_MS).await?;
        while !*stop.borrow_and_update() {
            let (records, ids) = self.transaction();
            let fate = self.random.random_range(0..100);
            // Until the outcome is known, the ids are visible all or not at all.
            outcomes.unknown.push(ids);
            outcomes.transactions += 1;
            client.produce(records.batches()?).await?;
            match fate {
                0..25 => client.abort().await?,
                // Abandoned: the next client of this name aborts it.
                25..28 => {
                    client = TransactionalProducer::init(transport(kafka), &name, TXN_TIMEOUT_MS).await?
                }
                _ => {
                    client.commit(None).await?;
                }
            }
            let ids = outcomes.unknown.pop().unwrap_or_default();
            if fate < 28 { outcomes.aborted.extend(ids) } else { outcomes.committed.extend(ids) }
        }
        Ok(())
    }
}

/// Creates and drops tables, pauses and resumes queries, until stopped or refused.
pub(crate) async fn change_queries(
    sql: SqlClient,
    round: u64,
    mut random: StdRng,
    mut stop: watch::Receiver<bool>,
) -> u64 {
    let mut done = 0;
    while !*stop.borrow_and_update() {
        let name = format!("X_{round}_{done}");
        let create =
            format!("CREATE TABLE {name} AS SELECT k, COUNT(*) AS n FROM ev GROUP BY k EMIT CHANGES;");
        let statements = match random.random_range(0..3) {
            0 => "PAUSE ALL; RESUME ALL;".to_owned(),
            1 => create,
            _ => format!("{create} DROP TABLE {name} DELETE TOPIC;"),
        };
        tokio::select! {
            outcome = sql.execute(&statements) => if outcome.is_err() { return done },
            _ = stop.wait_for(|stop| *stop) => return done,
        }
        done += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    done
}
