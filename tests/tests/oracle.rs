//! Eleven queries against an independent oracle, through kills, stops, removed state and DDL that runs meanwhile.
//!
//! Transactional producers write, abort and abandon; a round ends with kill -9, SIGTERM or a pause by SIGSTOP, and the
//! next one may have another number of workers and less local state. Then sinks and pull answers must be what the
//! committed records of the source topics amount to.
//!
//! `WEIR_ROUNDS=100` runs a hundred rounds instead of six; `WEIR_SEED` repeats a run.

mod load;
mod model;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::sync::watch;
use weir_broker::client::admin::Admin;
use weir_broker::client::transport::Transport;
use weir_broker::env::clock::{Clock, SystemClock};
use weir_broker::ids::TopicPartition;
use weir_tests::http::SqlClient;
use weir_tests::log_reader::{Gaps, Seen, check_offsets, read_committed, transport};
use weir_tests::seed;
use weir_tests::server::ServerProcess;

use self::load::{Outcomes, PARTITIONS, Producer, change_queries};
use self::model::{Expected, Rows, Sources};

const ROUNDS: u64 = 6;
const CHECKED_EVERY: u64 = 3;
const PRODUCERS: i64 = 2;
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(120);
const STOP_PATIENCE: Duration = Duration::from_secs(60);
/// Event time begins so long before now.
const BEGINS_MS_AGO: i64 = 3 * 86_400_000;

const STATEMENTS: &str = "\
    CREATE STREAM ev (k STRING KEY, id BIGINT, v BIGINT, kind STRING) WITH (KAFKA_TOPIC='ev', VALUE_FORMAT='JSON');\
    CREATE TABLE tl (k STRING PRIMARY KEY, fk STRING, a BIGINT, grp STRING) WITH (KAFKA_TOPIC='tl', VALUE_FORMAT='JSON');\
    CREATE TABLE tm (k STRING PRIMARY KEY, b BIGINT) WITH (KAFKA_TOPIC='tm', VALUE_FORMAT='JSON');\
    CREATE TABLE tr (k STRING PRIMARY KEY, c BIGINT) WITH (KAFKA_TOPIC='tr', VALUE_FORMAT='JSON');\
    CREATE STREAM q_filter AS SELECT k, id FROM ev WHERE v % 3 = 0 EMIT CHANGES;\
    CREATE TABLE q_rep AS SELECT id % 7 AS g, COUNT(*) AS n, SUM(v) AS s FROM ev GROUP BY id % 7 EMIT CHANGES;\
    CREATE TABLE q_latest AS SELECT k, LATEST_BY_OFFSET(v) AS v FROM ev GROUP BY k EMIT CHANGES;\
    CREATE TABLE q_distinct AS SELECT k, COUNT_DISTINCT(kind) AS n FROM ev GROUP BY k EMIT CHANGES;\
    CREATE TABLE q_tumble AS SELECT k, COUNT(*) AS n, SUM(v) AS s FROM ev \
      WINDOW TUMBLING (SIZE 1 MINUTE, RETENTION 25 DAYS, GRACE PERIOD 20 DAYS) GROUP BY k EMIT CHANGES;\
    CREATE TABLE q_final AS SELECT k, AS_VALUE(k) AS kk, WINDOWSTART AS ws, COUNT(*) AS n FROM ev \
      WINDOW TUMBLING (SIZE 5 SECONDS, RETENTION 25 DAYS, GRACE PERIOD 3 SECONDS) GROUP BY k EMIT FINAL;\
    CREATE TABLE q_left AS SELECT l.k AS k, l.a AS a, m.b AS b FROM tl l LEFT JOIN tm m ON l.k = m.k EMIT CHANGES;\
    CREATE TABLE q_full AS SELECT ROWKEY AS k, l.a AS a, m.b AS b FROM tl l FULL JOIN tm m ON l.k = m.k EMIT CHANGES;\
    CREATE TABLE q_fk AS SELECT l.k AS k, l.a AS a, r.c AS c FROM tl l JOIN tr r ON l.fk = r.k EMIT CHANGES;\
    CREATE TABLE q_fk_left AS SELECT l.k AS k, l.a AS a, r.c AS c FROM tl l LEFT JOIN tr r ON l.fk = r.k EMIT CHANGES;\
    CREATE TABLE q_groups AS SELECT grp, COUNT(*) AS n, SUM(a) AS s FROM tl GROUP BY grp EMIT CHANGES;";

/// A table and the pull query whose rows are compared: key columns first, of which there are so many.
const TABLES: [(&str, &str, usize); 9] = [
    ("Q_REP", "SELECT g, n, s FROM q_rep;", 1),
    ("Q_LATEST", "SELECT k, v FROM q_latest;", 1),
    ("Q_DISTINCT", "SELECT k, n FROM q_distinct;", 1),
    ("Q_TUMBLE", "SELECT k, WINDOWSTART, n, s FROM q_tumble;", 2),
    ("Q_LEFT", "SELECT k, a, b FROM q_left;", 1),
    ("Q_FULL", "SELECT k, a, b FROM q_full;", 1),
    ("Q_FK", "SELECT k, a, c FROM q_fk;", 1),
    ("Q_FK_LEFT", "SELECT k, a, c FROM q_fk_left;", 1),
    ("Q_GROUPS", "SELECT grp, n, s FROM q_groups WHERE n > 0;", 1),
];

#[tokio::test(flavor = "multi_thread")]
async fn queries_equal_an_oracle_through_faults() -> Result<()> {
    let seed = seed::announce("oracle");
    let rounds = seed::number("WEIR_ROUNDS").unwrap_or(ROUNDS);
    let mut random = seed::random(seed);
    let folder = tempfile::tempdir()?;
    let mut server = start(folder.path(), 2)?;
    prepare(&server).await?;
    let mut producers: Vec<Producer> = (0..PRODUCERS).map(|n| producer(n, seed)).collect();
    let mut outcomes = Outcomes::default();
    for round in 1..=rounds {
        run_round(&server, round, &mut producers, &mut outcomes, &mut random).await?;
        end_process(&mut server, &mut random)?;
        remove_some_state(folder.path(), &mut random)?;
        let workers = random.random_range(1..=5);
        server = start(folder.path(), workers).with_context(|| format!("start after round {round}"))?;
        if round % CHECKED_EVERY == 0 || round == rounds {
            check(&server, &outcomes).await.with_context(|| format!("seed {seed}, after round {round}"))?;
        }
    }
    ensure!(outcomes.committed.len() > 100, "too little load to mean anything");
    println!(
        "{rounds} rounds: {} transactions, {} events committed, {} aborted, {} unknown",
        outcomes.transactions,
        outcomes.committed.len(),
        outcomes.aborted.len(),
        outcomes.unknown.iter().map(BTreeSet::len).sum::<usize>(),
    );
    Ok(())
}

fn start(folder: &Path, workers: u32) -> Result<ServerProcess> {
    ServerProcess::start_adjusted(folder, |command| {
        command.args(["--worker-threads", &workers.to_string()]);
    })
}

async fn prepare(server: &ServerProcess) -> Result<()> {
    let admin = Admin::new(transport(&server.kafka));
    for topic in ["ev", "tl", "tm", "tr"] {
        admin.create_topic(topic, PARTITIONS, &BTreeMap::new()).await?;
    }
    server.sql().execute(STATEMENTS).await?;
    Ok(())
}

fn producer(number: i64, seed: u64) -> Producer {
    Producer {
        name: format!("oracle-{number}"),
        random: seed::random(seed.wrapping_add(number.unsigned_abs() + 1)),
        next_id: number,
        id_step: PRODUCERS,
        clock_ms: SystemClock::new().now_ms() - BEGINS_MS_AGO,
    }
}

/// Producers and DDL run for a moment; a pause by SIGSTOP may fall into it.
async fn run_round(
    server: &ServerProcess,
    round: u64,
    producers: &mut Vec<Producer>,
    outcomes: &mut Outcomes,
    random: &mut StdRng,
) -> Result<()> {
    let (stop, stopped) = watch::channel(false);
    let lasts = Duration::from_millis(random.random_range(200..1_200));
    let paused = random.random_bool(0.25);
    let ddl =
        tokio::spawn(change_queries(server.sql(), round, seed::random(random.random()), stopped.clone()));
    let run = |mut producer: Producer| {
        let (kafka, stopped) = (server.kafka.clone(), stopped.clone());
        tokio::spawn(async move {
            let outcomes = producer.run(&kafka, stopped).await;
            (producer, outcomes)
        })
    };
    let running: Vec<_> = std::mem::take(producers).into_iter().map(run).collect();
    tokio::time::sleep(lasts).await;
    if paused {
        signal(server, "-STOP")?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        signal(server, "-CONT")?;
        tokio::time::sleep(lasts).await;
    }
    stop.send_replace(true);
    for producer in running {
        let (producer, result) = producer.await?;
        producers.push(producer);
        outcomes.add(result);
    }
    ddl.await?;
    Ok(())
}

fn signal(server: &ServerProcess, name: &str) -> Result<()> {
    let status = Command::new("kill").args([name, &server.id().to_string()]).status()?;
    ensure!(status.success(), "kill {name} failed");
    Ok(())
}

fn end_process(server: &mut ServerProcess, random: &mut StdRng) -> Result<()> {
    if random.random_bool(0.25) {
        let status = server.terminate(STOP_PATIENCE)?;
        ensure!(status.success(), "SIGTERM ended the server with {status}");
        return Ok(());
    }
    server.kill()
}

/// After a third of the rounds, all local state or some folders of it are gone.
fn remove_some_state(data: &Path, random: &mut StdRng) -> Result<()> {
    let state = data.join("state");
    if !random.random_bool(0.33) || !state.exists() {
        return Ok(());
    }
    if random.random_bool(0.5) {
        return Ok(std::fs::remove_dir_all(state)?);
    }
    for entry in std::fs::read_dir(state)? {
        let path = entry?.path();
        if path.is_dir() && random.random_bool(0.5) {
            std::fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

async fn read(kafka: &Arc<dyn Transport>, topic: &str) -> Result<Vec<Vec<Seen>>> {
    let mut partitions = Vec::new();
    for partition in 0..PARTITIONS {
        let partition = TopicPartition::new(topic, partition);
        check_offsets(kafka, &partition, Gaps::Allowed).await?;
        partitions.push(read_committed(kafka, &partition).await?);
    }
    Ok(partitions)
}

/// Compares sinks and pull answers with the oracle.
async fn check(server: &ServerProcess, outcomes: &Outcomes) -> Result<()> {
    let kafka = transport(&server.kafka);
    end_open_transactions(&kafka).await?;
    let sql = server.sql();
    sql.execute("RESUME ALL;").await?;
    let sources = Sources {
        events: read(&kafka, "ev").await?,
        left: read(&kafka, "tl").await?,
        middle: read(&kafka, "tm").await?,
        right: read(&kafka, "tr").await?,
    };
    let expected = Expected::of(&sources)?;
    check_outcomes(outcomes, &expected.event_ids)?;
    let begun = Instant::now();
    loop {
        let difference = match difference(&sql, &kafka, &expected).await {
            Ok(None) => return Ok(()),
            Ok(Some(text)) => text,
            // Queries may still be starting.
            Err(error) => format!("{error:#}"),
        };
        if begun.elapsed() > CAUGHT_UP_WITHIN {
            bail!("{difference}; {}", sql.execute("SHOW QUERIES;").await?);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A transaction that a killed producer left open ends as soon as its successor begins.
async fn end_open_transactions(kafka: &Arc<dyn Transport>) -> Result<()> {
    use weir_broker::client::producer::transactional::TransactionalProducer;
    for number in 0..PRODUCERS {
        TransactionalProducer::init(Arc::clone(kafka), &format!("oracle-{number}"), 10_000).await?;
    }
    Ok(())
}

fn check_outcomes(outcomes: &Outcomes, visible: &BTreeSet<i64>) -> Result<()> {
    let lost: Vec<_> = outcomes.committed.difference(visible).collect();
    ensure!(lost.is_empty(), "{} committed events are lost: {:?}", lost.len(), lost.first());
    let aborted: Vec<_> = outcomes.aborted.intersection(visible).collect();
    ensure!(aborted.is_empty(), "{} aborted events are visible: {:?}", aborted.len(), aborted.first());
    for ids in &outcomes.unknown {
        let count = ids.intersection(visible).count();
        ensure!(count == 0 || count == ids.len(), "{count} of {} events of a transaction", ids.len());
    }
    Ok(())
}

/// The first difference between what is and what should be.
async fn difference(
    sql: &SqlClient,
    kafka: &Arc<dyn Transport>,
    expected: &Expected,
) -> Result<Option<String>> {
    for (table, query, keys) in TABLES {
        let rows = keyed(sql.rows(query).await?, keys)?;
        if let Some(text) = compare(table, &rows, &expected.tables[table]) {
            return Ok(Some(text));
        }
    }
    let mut filtered: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for seen in read(kafka, "Q_FILTER").await?.into_iter().flatten() {
        let value: Value = serde_json::from_str(seen.value.as_deref().context("a value")?)?;
        filtered.entry(seen.key).or_default().push(value["ID"].as_i64().context("ID")?);
    }
    if filtered != expected.filtered {
        let count = |map: &BTreeMap<String, Vec<i64>>| map.values().map(Vec::len).sum::<usize>();
        return Ok(Some(format!(
            "Q_FILTER has {} records, expected {}",
            count(&filtered),
            count(&expected.filtered)
        )));
    }
    let mut finals = BTreeSet::new();
    for seen in read(kafka, "Q_FINAL").await?.into_iter().flatten() {
        let value: Value = serde_json::from_str(seen.value.as_deref().context("a value")?)?;
        let key = value["KK"].as_str().context("KK")?.to_owned();
        let row = (key, value["WS"].as_i64().context("WS")?, value["N"].as_i64().context("N")?);
        ensure!(finals.insert(row.clone()), "Q_FINAL emitted {row:?} twice");
    }
    if finals != expected.finals {
        let (more, fewer) =
            (finals.difference(&expected.finals).next(), expected.finals.difference(&finals).next());
        return Ok(Some(format!("Q_FINAL: not expected: {more:?}, missing: {fewer:?}")));
    }
    Ok(None)
}

fn keyed(rows: Vec<Vec<Value>>, keys: usize) -> Result<Rows> {
    let count = rows.len();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let row = |row: Vec<Value>| {
        let key = row[..keys].iter().map(text).collect::<Vec<_>>().join("|");
        (key, row[keys..].to_vec())
    };
    let rows: Rows = rows.into_iter().map(row).collect();
    ensure!(rows.len() == count, "a key comes twice");
    Ok(rows)
}

fn compare(table: &str, found: &Rows, expected: &Rows) -> Option<String> {
    if found == expected {
        return None;
    }
    let keys: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
    let wrong: Vec<&&String> = keys.iter().filter(|key| found.get(**key) != expected.get(**key)).collect();
    let first = wrong.first()?;
    Some(format!(
        "{table}: {} rows differ; {first} is {:?}, expected {:?}",
        wrong.len(),
        found.get(**first),
        expected.get(**first)
    ))
}
