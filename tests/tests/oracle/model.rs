//! The expected results, computed from the committed records of the source topics.
//!
//! The model shares no code with Weir's operators: it folds whole topics at once, with maps.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use weir_tests::log_reader::Seen;

/// Window size and grace of `Q_FINAL`, in ms.
const FINAL_SIZE_MS: i64 = 5_000;
const FINAL_GRACE_MS: i64 = 3_000;
/// Window size of `Q_TUMBLE`, in ms.
const TUMBLE_SIZE_MS: i64 = 60_000;

/// Rows of a table: the key columns as text, and the value columns.
pub(crate) type Rows = BTreeMap<String, Vec<Value>>;

/// The committed records of the source topics, per partition in offset order.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub(crate) events: Vec<Vec<Seen>>,
    pub(crate) left: Vec<Vec<Seen>>,
    pub(crate) middle: Vec<Vec<Seen>>,
    pub(crate) right: Vec<Vec<Seen>>,
}

/// An event.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) key: String,
    pub(crate) timestamp: i64,
    pub(crate) id: i64,
    pub(crate) v: i64,
    pub(crate) kind: String,
}

impl Event {
    fn parse(seen: &Seen) -> Result<Event> {
        let value: Value = serde_json::from_str(seen.value.as_deref().context("events have values")?)?;
        Ok(Event {
            key: seen.key.clone(),
            timestamp: seen.timestamp,
            id: value["ID"].as_i64().context("ID")?,
            v: value["V"].as_i64().context("V")?,
            kind: value["KIND"].as_str().context("KIND")?.to_owned(),
        })
    }
}

/// The last value of each key; keys whose last record is a tombstone are absent.
pub(crate) fn fold(partitions: &[Vec<Seen>]) -> Result<BTreeMap<String, Value>> {
    let mut rows = BTreeMap::new();
    for seen in partitions.iter().flatten() {
        match &seen.value {
            Some(value) => rows.insert(seen.key.clone(), serde_json::from_str(value)?),
            None => rows.remove(&seen.key),
        };
    }
    Ok(rows)
}

/// The expected results of all queries.
#[derive(Debug)]
pub(crate) struct Expected {
    /// Tables by name.
    pub(crate) tables: BTreeMap<&'static str, Rows>,
    /// `Q_FILTER`: per key, the ids in order.
    pub(crate) filtered: BTreeMap<String, Vec<i64>>,
    /// `Q_FINAL`: one row per closed window: key, window start, count.
    pub(crate) finals: BTreeSet<(String, i64, i64)>,
    pub(crate) event_ids: BTreeSet<i64>,
}

impl Expected {
    pub(crate) fn of(sources: &Sources) -> Result<Expected> {
        let events: Vec<Vec<Event>> = sources
            .events
            .iter()
            .map(|partition| partition.iter().map(Event::parse).collect())
            .collect::<Result<_>>()?;
        let all = || events.iter().flatten();
        let (left, middle, right) = (fold(&sources.left)?, fold(&sources.middle)?, fold(&sources.right)?);
        let tables = BTreeMap::from([
            ("Q_REP", group(all(), |e| (e.id % 7).to_string(), count_and_sum)),
            ("Q_LATEST", group(all(), |e| e.key.clone(), |rows| vec![json!(rows[rows.len() - 1].v)])),
            ("Q_DISTINCT", group(all(), |e| e.key.clone(), distinct_kinds)),
            ("Q_TUMBLE", group(all(), window_key, count_and_sum)),
            ("Q_LEFT", left_join(&left, &middle)),
            ("Q_FULL", full_join(&left, &middle)),
            ("Q_FK", foreign_key_join(&left, &right, false)),
            ("Q_FK_LEFT", foreign_key_join(&left, &right, true)),
            ("Q_GROUPS", group_table(&left)),
        ]);
        let mut filtered: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for event in all().filter(|e| e.v % 3 == 0) {
            filtered.entry(event.key.clone()).or_default().push(event.id);
        }
        Ok(Expected {
            tables,
            filtered,
            finals: events.iter().flat_map(|partition| closed_windows(partition)).collect(),
            event_ids: all().map(|e| e.id).collect(),
        })
    }
}

fn group<'a>(
    events: impl Iterator<Item = &'a Event>,
    key: impl Fn(&Event) -> String,
    result: impl Fn(&[&Event]) -> Vec<Value>,
) -> Rows {
    let mut groups: BTreeMap<String, Vec<&Event>> = BTreeMap::new();
    for event in events {
        groups.entry(key(event)).or_default().push(event);
    }
    groups.into_iter().map(|(key, events)| (key, result(&events))).collect()
}

fn count_and_sum(events: &[&Event]) -> Vec<Value> {
    vec![json!(events.len()), json!(events.iter().map(|e| e.v).sum::<i64>())]
}

fn distinct_kinds(events: &[&Event]) -> Vec<Value> {
    vec![json!(events.iter().map(|e| &e.kind).collect::<BTreeSet<_>>().len())]
}

fn window_key(event: &Event) -> String {
    format!("{}|{}", event.key, event.timestamp - event.timestamp.rem_euclid(TUMBLE_SIZE_MS))
}

/// The windows of a partition that are closed at its stream time, without the rows that came too late for them.
fn closed_windows(partition: &[Event]) -> Vec<(String, i64, i64)> {
    let mut stream_time = i64::MIN;
    let mut windows: BTreeMap<(String, i64), i64> = BTreeMap::new();
    for event in partition {
        stream_time = stream_time.max(event.timestamp);
        let start = event.timestamp - event.timestamp.rem_euclid(FINAL_SIZE_MS);
        if start + FINAL_SIZE_MS + FINAL_GRACE_MS > stream_time {
            *windows.entry((event.key.clone(), start)).or_default() += 1;
        }
    }
    windows
        .into_iter()
        .filter(|((_, start), _)| start + FINAL_SIZE_MS + FINAL_GRACE_MS <= stream_time)
        .map(|((key, start), count)| (key, start, count))
        .collect()
}

type Table = BTreeMap<String, Value>;

fn left_join(left: &Table, middle: &Table) -> Rows {
    let row = |(key, l): (&String, &Value)| {
        let b = middle.get(key).map_or(Value::Null, |m| m["B"].clone());
        (key.clone(), vec![l["A"].clone(), b])
    };
    left.iter().map(row).collect()
}

fn full_join(left: &Table, middle: &Table) -> Rows {
    let keys: BTreeSet<&String> = left.keys().chain(middle.keys()).collect();
    let column =
        |table: &Table, key: &String, name: &str| table.get(key).map_or(Value::Null, |row| row[name].clone());
    keys.into_iter()
        .map(|key| (key.clone(), vec![column(left, key, "A"), column(middle, key, "B")]))
        .collect()
}

fn foreign_key_join(left: &Table, right: &Table, keeps_unmatched: bool) -> Rows {
    let mut rows = Rows::new();
    for (key, l) in left {
        let matched = l["FK"].as_str().and_then(|fk| right.get(fk));
        match matched {
            Some(r) => rows.insert(key.clone(), vec![l["A"].clone(), r["C"].clone()]),
            None if keeps_unmatched => rows.insert(key.clone(), vec![l["A"].clone(), Value::Null]),
            None => None,
        };
    }
    rows
}

/// Groups without rows are absent here; the comparison leaves out rows whose count is 0.
fn group_table(left: &Table) -> Rows {
    let mut groups: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for row in left.values() {
        let group = groups.entry(row["GRP"].as_str().unwrap_or_default().to_owned()).or_default();
        group.0 += 1;
        group.1 += row["A"].as_i64().unwrap_or_default();
    }
    groups.into_iter().map(|(key, (n, s))| (key, vec![json!(n), json!(s)])).collect()
}
