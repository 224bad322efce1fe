//! Joins of every kind against oracles that know nothing of batches, tasks and time: random changes, drawn with fixed seeds.

use std::collections::{BTreeMap, BTreeSet};

use crate::driver_harness::{Fixture, Input, check};
use weir_engine::driver::{BatchRows, Delivery, DriverConfig, Restart, TaskLayout};
use weir_engine::operator::pieces::PieceLimit;
use weir_engine::topology::TopologyConfig;

/// Draws of a seed.
struct Draw(u64);

impl Draw {
    /// 0..bound
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) ^ (self.0 >> 17)) % bound
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }
}

fn record(topic: &'static str, key: &str, value: Option<String>, timestamp: i64) -> Input {
    Input { topic, key: Some(key.to_owned()), value, timestamp }
}

/// Every way to cut, commit, interrupt, spread and delay that is worth a run.
fn configs(seed: u64) -> Vec<DriverConfig> {
    let cuts = [BatchRows::Whole, BatchRows::Rows(1), BatchRows::Rows(2), BatchRows::Random(seed)];
    let mut configs = Vec::new();
    for (i, batch_rows) in cuts.into_iter().enumerate() {
        for delivery in [Delivery::AtOnce, Delivery::Drawn(seed.wrapping_add(i as u64))] {
            // Many joined rows at a time, or one.
            let rows_max = if (i % 2 == 0) == (delivery == Delivery::AtOnce) { 1 << 14 } else { 1 };
            let piece = PieceLimit { rows_max, ..PieceLimit::default() };
            // With and without a restart from the stores, while next to nothing may stay in memory.
            let forgets = i == 2 || (i == 1 && delivery != Delivery::AtOnce);
            configs.push(DriverConfig {
                batch_rows,
                delivery,
                topology: TopologyConfig { piece, ..TopologyConfig::default() },
                resident_bytes_max: if forgets { 1 } else { DriverConfig::default().resident_bytes_max },
                layout: if i % 2 == 0 { TaskLayout::PerPartition } else { TaskLayout::Single },
                commit_records: [None, Some(2), Some(3), None][i],
                restart: [Restart::Never, Restart::DiscardState, Restart::KeepState, Restart::Never][i],
            });
        }
    }
    configs
}

/// Runs the inputs and gives the records of the result, in order.
fn outputs(statements: &str, inputs: &[Input], config: DriverConfig) -> Vec<String> {
    let mut fixture = Fixture::new(statements, config);
    fixture.produce(inputs);
    fixture.driver.run().expect("queries run");
    fixture.outputs("O")
}

/// The table that a changelog of `key => value @ time` leads to.
fn fold(outputs: Vec<String>) -> BTreeMap<String, String> {
    let mut table = BTreeMap::new();
    for line in outputs {
        let (key, rest) = line.split_once(" => ").expect("a line of the harness");
        let (value, _) = rest.rsplit_once(" @ ").expect("a line of the harness");
        match value {
            "-" => drop(table.remove(key)),
            value => drop(table.insert(key.to_owned(), value.to_owned())),
        }
    }
    table
}

/// The tables that inputs lead to, by topic and key.
fn tables(inputs: &[Input]) -> BTreeMap<&'static str, BTreeMap<String, String>> {
    let mut tables: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    for input in inputs {
        let table = tables.entry(input.topic).or_default();
        let key = input.key.clone().expect("tables have keys");
        match &input.value {
            Some(value) => drop(table.insert(key, value.clone())),
            None => drop(table.remove(&key)),
        }
    }
    tables
}

const FOREIGN_KEY_TABLES: &str = "
    CREATE TABLE a (k STRING PRIMARY KEY, f STRING, v BIGINT) WITH (kafka_topic='left', value_format='DELIMITED', partitions=3);
    CREATE TABLE b (k STRING PRIMARY KEY, w STRING) WITH (kafka_topic='right', value_format='DELIMITED', partitions=3);";

fn foreign_key_join(kind: &str) -> String {
    format!("{FOREIGN_KEY_TABLES} CREATE TABLE o AS SELECT a.k AS k, v, w FROM a {kind} JOIN b ON a.f = b.k;")
}

fn foreign_key_oracle(kind: &str, inputs: &[Input]) -> BTreeMap<String, String> {
    let tables = tables(inputs);
    let none = BTreeMap::new();
    let right = tables.get("right").unwrap_or(&none);
    let rows = tables.get("left").unwrap_or(&none).iter().filter_map(|(key, value)| {
        let (foreign_key, v) = value.split_once(',').expect("two columns");
        match right.get(foreign_key) {
            Some(w) => Some((key.clone(), format!("{v},{w}"))),
            None => (kind == "LEFT").then(|| (key.clone(), format!("{v},"))),
        }
    });
    rows.collect()
}

fn left_row(draw: &mut Draw) -> Option<String> {
    (draw.below(5) > 0).then(|| format!("{},{}", draw.one_of(&["f1", "f2", "f3", ""]), draw.below(2)))
}

#[test]
fn foreign_key_joins_equal_the_oracle_whatever_is_delivered_when() {
    for seed in 0..40 {
        let mut draw = Draw(seed);
        let inputs: Vec<Input> = (0..30)
            .map(|time| match draw.below(3) {
                0 => {
                    let value = (draw.below(3) > 0).then(|| format!("w{}", draw.below(3)));
                    record("right", draw.one_of(&["f1", "f2"]), value, time)
                }
                _ => record("left", draw.one_of(&["i1", "i2", "i3"]), left_row(&mut draw), time),
            })
            .collect();
        for kind in ["INNER", "LEFT"] {
            let expected = foreign_key_oracle(kind, &inputs);
            for config in configs(seed) {
                let actual = fold(outputs(&foreign_key_join(kind), &inputs, config));
                assert_eq!(actual, expected, "{kind}, seed {seed}, {config:?}, {inputs:?}");
            }
        }
    }
}

/// Every sequence of up to three changes of a joined left row, in one batch, before anything is answered: a key each.
#[test]
fn every_sequence_of_changes_in_a_batch_leads_to_the_right_foreign_key_join() {
    let changes = [Some("f1,1"), Some("f1,2"), Some("f2,1"), Some(",1"), Some(",2"), None];
    let mut sequences: Vec<Vec<usize>> = vec![Vec::new()];
    for length in 0..3 {
        let longer: Vec<Vec<usize>> = sequences
            .iter()
            .filter(|s| s.len() == length)
            .flat_map(|s| (0..changes.len()).map(|c| [s.as_slice(), &[c]].concat()))
            .collect();
        sequences.extend(longer);
    }
    let key = |n: usize| format!("i{n:03}");
    let mut joined = vec![record("right", "f1", Some("w".to_owned()), 0)];
    joined.extend((0..sequences.len()).map(|n| record("left", &key(n), Some("f1,1".to_owned()), 1)));
    let mut changed = Vec::new();
    for (n, sequence) in sequences.iter().enumerate() {
        changed.extend(sequence.iter().map(|c| record("left", &key(n), changes[*c].map(str::to_owned), 2)));
    }
    let gone = [record("right", "f1", None, 3)];
    for kind in ["INNER", "LEFT"] {
        for seed in 0..6 {
            for layout in [TaskLayout::Single, TaskLayout::PerPartition] {
                let config =
                    DriverConfig { delivery: Delivery::Drawn(seed), layout, ..DriverConfig::default() };
                let mut fixture = Fixture::new(&foreign_key_join(kind), config);
                let mut inputs = joined.clone();
                fixture.produce(&joined);
                fixture.driver.run().expect("queries run");
                fixture.produce(&changed);
                inputs.extend_from_slice(&changed);
                if seed % 2 == 1 {
                    fixture.produce(&gone);
                    inputs.extend_from_slice(&gone);
                }
                fixture.driver.run().expect("queries run");
                let expected = foreign_key_oracle(kind, &inputs);
                let actual = fold(fixture.outputs("O"));
                for (n, sequence) in sequences.iter().enumerate() {
                    let sequence: Vec<_> = sequence.iter().map(|c| changes[*c]).collect();
                    let key = key(n);
                    assert_eq!(
                        actual.get(&key),
                        expected.get(&key),
                        "{kind}, seed {seed}, {layout:?}: {sequence:?}"
                    );
                }
            }
        }
    }
}

/// As librdkafka's CRC32, or any other: rows of the left topic are not where murmur2 would put them.
#[test]
fn foreign_key_joins_answer_to_the_partition_that_asked() {
    let elsewhere = |input: &Input| {
        let key = input.key.as_deref().unwrap_or_default();
        (input.topic == "left").then(|| (key.bytes().map(i32::from).sum::<i32>() * 7 + 1) % 3)
    };
    let mut inputs = Vec::new();
    for n in 0..40_i64 {
        inputs.push(record("left", &format!("i{n}"), Some(format!("f{},{n}", n % 4)), n));
    }
    inputs.extend((0..3).map(|f| record("right", &format!("f{f}"), Some(format!("w{f}")), 50)));
    inputs.extend((0..10).map(|n| record("left", &format!("i{n}"), Some("f1,7".to_owned()), 60)));
    inputs.push(record("right", "f0", None, 70));
    for kind in ["INNER", "LEFT"] {
        for delivery in [Delivery::AtOnce, Delivery::Drawn(1), Delivery::Drawn(2)] {
            let config =
                DriverConfig { delivery, layout: TaskLayout::PerPartition, ..DriverConfig::default() };
            let mut fixture = Fixture::new(&foreign_key_join(kind), config);
            fixture.produce_by(&inputs, elsewhere);
            fixture.driver.run().expect("queries run");
            assert_eq!(fold(fixture.outputs("O")), foreign_key_oracle(kind, &inputs), "{kind}, {delivery:?}");
        }
    }
}

/// Times as in Kafka Streams: of the left change and the right row the later one.
#[test]
fn no_result_of_an_inner_foreign_key_join_is_taken_back_by_an_older_tombstone() {
    let some = |text: &str| Some(text.to_owned());
    for taken_back in [None, some(",1")] {
        let inputs = [
            record("right", "f1", some("w1"), 1),
            record("left", "i1", some("f1,1"), 2),
            record("right", "f1", some("w2"), 50),
            record("left", "i1", taken_back.clone(), 10),
        ];
        let lines = check(&foreign_key_join("INNER"), &inputs, "O");
        assert_eq!(lines, ["i1 => 1,w1 @ 2", "i1 => 1,w2 @ 50", "i1 => - @ 50"], "{taken_back:?}");
        // The right row has become older, and the left one newer.
        let inputs = [
            &inputs[..3],
            &[
                record("right", "f1", some("w3"), 5),
                record("left", "i1", some("f1,2"), 8),
                record("left", "i1", taken_back, 10),
            ],
        ]
        .concat();
        let lines = check(&foreign_key_join("INNER"), &inputs, "O");
        assert_eq!(lines[2..], ["i1 => 1,w3 @ 5", "i1 => 2,w3 @ 8", "i1 => - @ 10"]);
    }
}

fn table_join_oracle(kind: &str, inputs: &[Input]) -> BTreeMap<String, String> {
    let tables = tables(inputs);
    let none = BTreeMap::new();
    let (left, right) = (tables.get("left").unwrap_or(&none), tables.get("right").unwrap_or(&none));
    let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let rows = keys.into_iter().filter_map(|key| {
        let (l, r) = (left.get(key), right.get(key));
        let is_result = match kind {
            "INNER" => l.is_some() && r.is_some(),
            "LEFT" => l.is_some(),
            "RIGHT" => r.is_some(),
            _ => true,
        };
        let text = |value: Option<&String>| value.cloned().unwrap_or_default();
        is_result.then(|| (key.clone(), format!("{},{}", text(l), text(r))))
    });
    rows.collect()
}

/// The key column of a join, which is the outer side's.
fn key_of(kind: &str) -> &'static str {
    match kind {
        "RIGHT" => "b.k",
        "FULL OUTER" => "ROWKEY",
        _ => "a.k",
    }
}

/// Records of both sides; one in `tombstone_in` is a tombstone.
fn drawn_inputs(seed: u64, tombstone_in: u64) -> Vec<Input> {
    let mut draw = Draw(seed);
    let input = |time| {
        let value = (draw.below(tombstone_in) > 0).then(|| format!("v{}", draw.below(4)));
        record(["left", "right"][draw.below(2) as usize], draw.one_of(&["k1", "k2", "k3"]), value, time)
    };
    (0..30).map(input).collect()
}

#[test]
fn table_table_joins_equal_the_oracle() {
    for seed in 0..25 {
        let inputs = drawn_inputs(seed ^ 0x7ab1e, 3);
        for kind in ["INNER", "LEFT", "RIGHT", "FULL OUTER"] {
            let statements = format!(
                "CREATE TABLE a (k STRING PRIMARY KEY, v STRING) WITH (kafka_topic='left', value_format='DELIMITED', partitions=3);
                 CREATE TABLE b (k STRING PRIMARY KEY, w STRING) WITH (kafka_topic='right', value_format='DELIMITED', partitions=3);
                 CREATE TABLE o AS SELECT {} AS k, v, w FROM a {kind} JOIN b ON a.k = b.k;",
                key_of(kind)
            );
            let expected = table_join_oracle(kind, &inputs);
            for config in configs(seed) {
                let actual = fold(outputs(&statements, &inputs, config));
                assert_eq!(actual, expected, "{kind}, seed {seed}, {config:?}, {inputs:?}");
            }
        }
    }
}

#[test]
fn stream_table_joins_equal_the_oracle() {
    for seed in 0..25 {
        let inputs = drawn_inputs(seed ^ 0x57ab, 4);
        for kind in ["INNER", "LEFT"] {
            let statements = format!(
                "CREATE STREAM a (k STRING KEY, v STRING) WITH (kafka_topic='left', value_format='DELIMITED', partitions=3);
                 CREATE TABLE b (k STRING PRIMARY KEY, w STRING) WITH (kafka_topic='right', value_format='DELIMITED', partitions=3);
                 CREATE STREAM o AS SELECT a.k AS k, v, w FROM a {kind} JOIN b ON a.k = b.k;"
            );
            let mut table: BTreeMap<String, String> = BTreeMap::new();
            let mut expected = Vec::new();
            for input in &inputs {
                let key = input.key.clone().expect("every input has one");
                match (input.topic, &input.value) {
                    ("right", Some(value)) => drop(table.insert(key, value.clone())),
                    ("right", None) => drop(table.remove(&key)),
                    (_, None) => {}
                    (_, Some(v)) => match table.get(&key) {
                        Some(w) => expected.push(format!("{key} => {v},{w} @ {}", input.timestamp)),
                        None if kind == "LEFT" => {
                            expected.push(format!("{key} => {v}, @ {}", input.timestamp))
                        }
                        None => {}
                    },
                }
            }
            for config in configs(seed) {
                let actual = outputs(&statements, &inputs, config);
                assert_eq!(actual, expected, "{kind}, seed {seed}, {config:?}, {inputs:?}");
            }
        }
    }
}

/// Pairs within the window, and rows without a pair where their side is outer, as sorted lines.
///
/// A row that comes when stream time is past its reach, and finds no partner, comes out alone at once, as in Kafka Streams; within
/// the grace period it may have one later.
fn stream_join_oracle(kind: &str, (before, after): (i64, i64), inputs: &[Input]) -> Vec<String> {
    // Bounds are those of the side that the join keeps: the right one of a RIGHT join.
    let primary = if kind == "RIGHT" { "right" } else { "left" };
    let reach = |input: &Input| if input.topic == primary { (before, after) } else { (after, before) };
    let is_outer = |input: &Input| match kind {
        "INNER" => false,
        "LEFT" => input.topic == "left",
        "RIGHT" => input.topic == "right",
        _ => true,
    };
    let joins = |a: &Input, b: &Input| {
        let (back, ahead) = reach(a);
        let distance = b.timestamp - a.timestamp;
        a.topic != b.topic && a.key.is_some() && a.key == b.key && (-back..=ahead).contains(&distance)
    };
    let line = |left: Option<&Input>, right: Option<&Input>| {
        let text = |side: Option<&Input>| side.and_then(|i| i.value.clone()).unwrap_or_default();
        let time = left.iter().chain(&right).map(|i| i.timestamp).max().unwrap_or(0);
        let key = left.or(right).and_then(|i| i.key.clone()).unwrap_or("-".to_owned());
        format!("{key} => {},{} @ {time}", text(left), text(right))
    };
    let alone = |row: &Input| if row.topic == "left" { line(Some(row), None) } else { line(None, Some(row)) };
    let rows: Vec<&Input> = inputs.iter().filter(|i| i.value.is_some()).collect();
    let mut lines = Vec::new();
    let mut stream_time = i64::MIN;
    for (at, row) in rows.iter().enumerate() {
        stream_time = stream_time.max(row.timestamp);
        let earlier: Vec<&&Input> = rows[..at].iter().filter(|other| joins(row, other)).collect();
        for other in &earlier {
            let (left, right) = if row.topic == "left" { (row, *other) } else { (*other, row) };
            lines.push(line(Some(left), Some(right)));
        }
        let is_past = row.timestamp + reach(row).1 < stream_time;
        let has_later = rows[at..].iter().any(|other| joins(row, other));
        if is_outer(row) && earlier.is_empty() && (is_past || !has_later) {
            lines.push(alone(row));
        }
    }
    lines.sort();
    lines
}

#[test]
fn stream_stream_joins_equal_the_oracle() {
    const GRACE_MS: i64 = 6;
    for seed in 0..25 {
        let mut draw = Draw(seed ^ 0x57235);
        let inputs: Vec<Input> = (0..30_i64)
            .map(|n| {
                // Later than others by less than the grace period: no row is dropped.
                let timestamp = 100 + n * 2 - draw.below(GRACE_MS as u64) as i64;
                let topic = ["left", "right"][draw.below(2) as usize];
                let key = (draw.below(8) > 0).then(|| draw.one_of(&["k1", "k2"]).to_owned());
                let value = (draw.below(8) > 0).then(|| format!("{}{n}", &topic[..1]));
                Input { topic, key, value, timestamp }
            })
            .collect();
        let (before, after) = [(4, 4), (2, 7), (0, 5), (5, 0)][(seed % 4) as usize];
        for kind in ["INNER", "LEFT", "RIGHT", "FULL OUTER"] {
            let expected = stream_join_oracle(kind, (before, after), &inputs);
            // Stream time closes every window.
            let end = [
                record("left", "end1", Some("x".to_owned()), 900),
                record("right", "end2", Some("y".to_owned()), 900),
            ];
            let statements = format!(
                "CREATE STREAM a (k STRING KEY, v STRING) WITH (kafka_topic='left', value_format='DELIMITED', partitions=1);
                 CREATE STREAM b (k STRING KEY, w STRING) WITH (kafka_topic='right', value_format='DELIMITED', partitions=1);
                 CREATE STREAM o AS SELECT {} AS k, v, w FROM a {kind} JOIN b
                     WITHIN ({before} MILLISECONDS, {after} MILLISECONDS) GRACE PERIOD {GRACE_MS} MILLISECONDS ON a.k = b.k;",
                key_of(kind)
            );
            let mut all = inputs.clone();
            all.extend(end);
            for config in configs(seed) {
                let mut actual = outputs(&statements, &all, config);
                actual.sort();
                assert_eq!(actual, expected, "{kind}, seed {seed}, {config:?}, {inputs:?}");
            }
        }
    }
}
