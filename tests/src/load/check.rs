//! Comparing a server with what its predecessors promised.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use weir_broker::client::admin::Admin;
use weir_broker::client::group_offsets;
use weir_broker::client::producer::transactional::TransactionalProducer;
use weir_broker::client::transport::Transport;
use weir_broker::ids::TopicPartition;
use weir_broker::log::access::{Isolation, OffsetSpec};

use super::{Ledger, PARTITIONS, PRODUCERS, partitions, value_of};
use crate::log_reader::{Gaps, Seen, check_offsets, read_committed, transport};
use crate::server::ServerProcess;

const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(240);

/// The records of `events`, per partition.
pub type Events = Vec<Vec<Seen>>;

fn id_of(seen: &Seen) -> Result<i64> {
    let value: Value = serde_json::from_str(seen.value.as_deref().unwrap_or("null"))?;
    let id = value["id"].as_i64().context("every event has an id")?;
    ensure!(value["v"].as_i64() == Some(value_of(id)), "event {id} has another value: {value}");
    Ok(id)
}

impl Ledger {
    /// Compares a server with everything its predecessors promised. Run it while no client of the load is running.
    pub async fn check(&self, server: &ServerProcess) -> Result<Events> {
        let transport = transport(&server.kafka);
        let mut events = Vec::new();
        for partition in partitions("events") {
            check_offsets(&transport, &partition, Gaps::Refused).await?;
            events.push(read_committed(&transport, &partition).await?);
        }
        self.check_events(&events)?;
        self.check_copies(&transport, &events).await?;
        self.check_latest(&transport).await?;
        let plain = group_offsets::fetch(&transport, "plain").await?;
        let plain = plain.get(&TopicPartition::new("events", 0)).copied();
        ensure!(self.commits.holds(plain), "group plain is at {plain:?}, promised {:?}", self.commits);
        let admin = Admin::new(Arc::clone(&transport));
        let trimmed = [(TopicPartition::new("trimmed", 0), OffsetSpec::Earliest)];
        let start = admin.list_offsets(&trimmed, Isolation::ReadUncommitted).await?[0].offset.unwrap_or(0);
        let start = (start > 0).then_some(start);
        ensure!(self.trimmed.holds(start), "trimmed starts at {start:?}, promised {:?}", self.trimmed);
        let topics = admin.list_topics().await?.into_iter().map(|topic| topic.name).collect();
        self.topics.check("topic", &topics);
        if self.streams.next > 0 {
            self.check_streams(server).await?;
        }
        Ok(events)
    }

    /// Every acknowledged id once, every unanswered at most once, nothing else, and in the order each producer sent.
    fn check_events(&self, events: &Events) -> Result<()> {
        let mut seen: HashMap<i64, usize> = HashMap::new();
        for (partition, records) in events.iter().enumerate() {
            let mut last: BTreeMap<i64, i64> = BTreeMap::new();
            for record in records {
                let id = id_of(record)?;
                *seen.entry(id).or_default() += 1;
                let before = last.insert(id % PRODUCERS, id);
                ensure!(
                    before.is_none_or(|before| before < id),
                    "id {id} stands after {before:?} in partition {partition}, at offset {}",
                    record.offset
                );
            }
        }
        let lost: Vec<&i64> = self.acknowledged.iter().filter(|id| !seen.contains_key(id)).collect();
        ensure!(
            lost.is_empty(),
            "{} acknowledged records are lost, {:?} among them",
            lost.len(),
            lost.first()
        );
        let doubled: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
        ensure!(
            doubled.is_empty(),
            "{} records are doubled, {:?} among them",
            doubled.len(),
            doubled.first()
        );
        let foreign = seen.keys().find(|id| !self.acknowledged.contains(id) && !self.unanswered.contains(id));
        ensure!(foreign.is_none(), "id {foreign:?} was never sent");
        Ok(())
    }

    /// Copies are, record for record, the events before the committed offsets of the copier.
    async fn check_copies(&self, transport: &Arc<dyn Transport>, events: &Events) -> Result<()> {
        // Ends what the last copier left open.
        drop(TransactionalProducer::init(Arc::clone(transport), "copier", 10_000).await?);
        let committed = group_offsets::fetch(transport, "copier").await?;
        let mut total = 0;
        for (events, partition) in events.iter().zip(partitions("events")) {
            let to = TopicPartition::new("copied", partition.partition);
            let ends = check_offsets(transport, &to, Gaps::Refused).await?;
            ensure!(
                ends.last_stable == ends.high_watermark,
                "{to}: {ends:?}, but every transaction has ended"
            );
            let copies = read_committed(transport, &to).await?;
            let end = committed.get(&partition).copied().unwrap_or(0);
            let expected = events.iter().filter(|event| event.offset < end);
            let same = copies.iter().map(|c| (&c.key, &c.value)).eq(expected.map(|e| (&e.key, &e.value)));
            ensure!(same, "{to}: {} copies are not the events before offset {end}", copies.len());
            total += copies.len() as u64;
        }
        ensure!(total >= self.copied, "{} records were copied, {total} are there", self.copied);
        Ok(())
    }

    async fn check_latest(&self, transport: &Arc<dyn Transport>) -> Result<()> {
        let partition = TopicPartition::new("latest", 0);
        check_offsets(transport, &partition, Gaps::Allowed).await?;
        let mut last = BTreeMap::new();
        for seen in read_committed(transport, &partition).await? {
            let turn: i64 = seen.value.unwrap_or_default().trim().parse()?;
            let before = last.insert(seen.key.clone(), turn);
            ensure!(before.is_none_or(|before| before < turn), "key {}: {turn} after {before:?}", seen.key);
        }
        for (key, promise) in &self.latest {
            let found = last.get(key).copied();
            ensure!(promise.holds(found), "key {key} has {found:?}, promised {promise:?}");
        }
        Ok(())
    }

    async fn check_streams(&self, server: &ServerProcess) -> Result<()> {
        let listed = server.sql().execute("SHOW STREAMS;").await?;
        let streams = listed[0]["streams"].as_array().context("a list of streams")?;
        let names: HashSet<String> =
            streams.iter().filter_map(|stream| stream["name"].as_str().map(str::to_owned)).collect();
        self.streams.check("stream", &names);
        Ok(())
    }

    /// Tables and streams of [`super::STATEMENTS`] are what the events add up to.
    pub async fn check_tables(&self, server: &ServerProcess, events: &Events) -> Result<()> {
        let mut totals: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        let mut parity: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        let mut ids = Vec::new();
        for event in events.iter().flatten() {
            let id = id_of(event)?;
            ids.push(id);
            for entry in [totals.entry(event.key.clone()), parity.entry((id % 2).to_string())] {
                let entry = entry.or_default();
                entry.0 += 1;
                entry.1 += value_of(id);
            }
        }
        let sql = server.sql();
        for (table, key, expected) in [("totals", "k", &totals), ("by_parity", "parity", &parity)] {
            let started = Instant::now();
            loop {
                let rows = sql.rows(&format!("SELECT SUM(n) AS n FROM {table};")).await?;
                let counted = rows.first().and_then(|row| row[0].as_i64()).unwrap_or(0);
                ensure!(counted <= ids.len() as i64, "{table} counts {counted} of {} events", ids.len());
                if counted == ids.len() as i64 {
                    break;
                }
                ensure!(started.elapsed() < CAUGHT_UP_WITHIN, "{table} stays at {counted} of {}", ids.len());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let rows = sql.rows(&format!("SELECT {key}, n, s FROM {table};")).await?;
            let number = |value: &Value| value.as_i64().unwrap_or(-1);
            let found: BTreeMap<String, (i64, i64)> = rows
                .iter()
                .map(|row| {
                    let key = row[0].as_str().map_or_else(|| row[0].to_string(), str::to_owned);
                    (key, (number(&row[1]), number(&row[2])))
                })
                .collect();
            ensure!(found == *expected, "{table} is {found:?}, the events add up to {expected:?}");
        }
        self.check_query_copies(server, ids).await
    }

    async fn check_query_copies(&self, server: &ServerProcess, mut expected: Vec<i64>) -> Result<()> {
        let transport = transport(&server.kafka);
        let started = Instant::now();
        let mut ids = loop {
            let mut ids = Vec::new();
            for partition in 0..PARTITIONS {
                for seen in read_committed(&transport, &TopicPartition::new("COPIES", partition)).await? {
                    let value: Value = serde_json::from_str(seen.value.as_deref().unwrap_or("null"))?;
                    ids.push(value["ID"].as_i64().context("every copy has an id")?);
                }
            }
            if ids.len() >= expected.len() {
                break ids;
            }
            ensure!(started.elapsed() < CAUGHT_UP_WITHIN, "{} of {} were copied", ids.len(), expected.len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        ids.sort_unstable();
        expected.sort_unstable();
        ensure!(ids == expected, "copies and events differ");
        Ok(())
    }
}
